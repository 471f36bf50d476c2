//! A command line, taken apart. Verbs in any case; blanks at the end do not matter.

/// What the peer wants. Arguments are what follows the verb, not yet checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Hello { name: &'a str, esmtp: bool },
    Mail(&'a str),
    Rcpt(&'a str),
    Data(&'a str),
    Bdat(&'a str),
    Reset,
    Noop,
    Verify(&'a str),
    Expand,
    Help,
    Quit,
    StartTls(&'a str),
    Auth(&'a str),
    Unknown,
}

const VERB_OCTETS: usize = "STARTTLS".len();

impl<'a> Command<'a> {
    pub(super) fn parse(line: &'a str) -> Self {
        let (verb, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let argument = argument.trim_matches([' ', '\t']);
        let mut upper = [0; VERB_OCTETS];
        let Some(upper) = upper.get_mut(..verb.len()) else { return Self::Unknown };
        upper.copy_from_slice(verb.as_bytes());
        upper.make_ascii_uppercase();
        match &*upper {
            b"EHLO" => Self::Hello { name: argument, esmtp: true },
            b"HELO" => Self::Hello { name: argument, esmtp: false },
            b"MAIL" => Self::Mail(argument),
            b"RCPT" => Self::Rcpt(argument),
            b"DATA" => Self::Data(argument),
            b"BDAT" => Self::Bdat(argument),
            b"RSET" => Self::Reset,
            b"NOOP" => Self::Noop,
            b"VRFY" => Self::Verify(argument),
            b"EXPN" => Self::Expand,
            b"HELP" => Self::Help,
            b"QUIT" => Self::Quit,
            b"STARTTLS" => Self::StartTls(argument),
            b"AUTH" => Self::Auth(argument),
            _ => Self::Unknown,
        }
    }
}

/// `FROM:` or `TO:` in any case, a blank before the colon allowed; what follows it.
pub(super) fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    if !word.eq_ignore_ascii_case(keyword) {
        return None;
    }
    rest.trim_start_matches([' ', '\t']).strip_prefix(':')
}

/// The argument of BDAT: how many octets, and whether they are the last.
pub(super) fn chunk(argument: &str) -> Option<(u64, bool)> {
    let mut words = argument.split_ascii_whitespace();
    let size = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some((size, last))
}

/// True for a line with which octets follow, however little of it can be read.
pub(super) fn is_chunk(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// True for a line that no client of good will sends: with a CR or LF that ends nothing, or with another control character.
pub(super) fn has_controls(line: &[u8]) -> bool {
    line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_come_in_any_case() {
        assert_eq!(Command::parse("mAiL  FROM:<a@b> "), Command::Mail("FROM:<a@b>"));
        assert_eq!(Command::parse("ehlo\tx"), Command::Hello { name: "x", esmtp: true });
        assert_eq!(Command::parse("StartTLS"), Command::StartTls(""));
        for line in ["", " NOOP", "NOOPX", "MAIL:", "STARTTLSX", "ſTARTTLS", "\u{212a}"] {
            assert_eq!(Command::parse(line), Command::Unknown, "{line:?}");
        }
    }

    #[test]
    fn keywords_of_paths_come_in_any_case_and_with_blanks() {
        for argument in ["FROM:<a>", "from:<a>", "From :<a>"] {
            assert_eq!(after_keyword(argument, "FROM"), Some("<a>"), "{argument}");
        }
        for argument in ["", "FRO", "TO:<a>", "FROM<a>", "frö:"] {
            assert_eq!(after_keyword(argument, "FROM"), None, "{argument}");
        }
    }

    #[test]
    fn chunks_have_a_size_and_may_be_the_last() {
        assert_eq!(chunk("0 last"), Some((0, true)));
        assert_eq!(chunk("10"), Some((10, false)));
        for argument in ["", "LAST", "-1", "+1", "1x", "1 FIRST", "1 LAST 2", "99999999999999999999"] {
            assert_eq!(chunk(argument), None, "{argument}");
        }
    }
}
