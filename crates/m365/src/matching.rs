//! How an SMTP reply is held against a row: its enhanced status code, its number, its text.

use std::borrow::Cow;

use smtp::{EnhancedStatus, Reply};

/// What a row says of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CodePattern {
    /// `*`: any code, or none.
    Any,
    /// `5.7.139`
    Exact(EnhancedStatus),
    /// `5.7.700-749`, over the last number.
    Range(EnhancedStatus, u16),
    /// A name or number of Graph or Entra.
    Name,
}

impl CodePattern {
    /// Of an SMTP row. `None`: neither code, range nor `*`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        match text.split_once('-') {
            None => parse_status(text).map(Self::Exact),
            Some((first, last)) => {
                let (first, last) = (parse_status(first)?, last.parse().ok()?);
                (first.detail() < last && last <= 999).then_some(Self::Range(first, last))
            }
        }
    }

    pub(crate) fn covers(&self, status: Option<EnhancedStatus>) -> bool {
        match (self, status) {
            (Self::Any, _) => true,
            (Self::Exact(own), Some(status)) => *own == status,
            (Self::Range(first, last), Some(status)) => {
                (first.class(), first.subject()) == (status.class(), status.subject())
                    && (first.detail()..=*last).contains(&status.detail())
            }
            (Self::Exact(_) | Self::Range(..), None) | (Self::Name, _) => false,
        }
    }
}

/// What a row says of the three digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplyPattern {
    codes: Vec<u16>,
    /// `4xx`
    digit: Option<u16>,
    /// Only exactly these.
    strict: bool,
}

impl ReplyPattern {
    /// `550`, `421/451`, `4xx`. `None`: something else.
    pub(crate) fn parse(text: &str, strict: bool) -> Option<Self> {
        if let Some(digit) = text.strip_suffix("xx") {
            return Some(Self { digit: Some(digit.parse().ok()?), ..Self::default() });
        }
        let codes = text.split('/').map(|code| code.parse().ok()).collect::<Option<Vec<u16>>>()?;
        Some(Self { codes, digit: None, strict })
    }

    /// Whether it names exactly this one.
    pub(crate) fn names(&self, code: u16) -> bool {
        self.codes.contains(&code)
    }

    /// How well the reply code agrees; `None` where it contradicts. The first digit is what the server binds itself to.
    pub(crate) fn fit(&self, code: u16) -> Option<Fit> {
        if self.codes.contains(&code) {
            return Some(Fit::Exact);
        }
        let unsaid = self.codes.is_empty() && self.digit.is_none();
        let same_digit = self.digit == Some(code / 100) || self.codes.iter().any(|own| own / 100 == code / 100);
        (unsaid || (same_digit && !self.strict)).then_some(Fit::Loose)
    }
}

/// The better one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    Exact,
    Loose,
}

/// What is held against the rows.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) code: u16,
    pub(crate) status: Option<EnhancedStatus>,
    pub(crate) text: Cow<'a, str>,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(reply: &'a Reply) -> Self {
        let text = match reply.lines.as_slice() {
            [line] => Cow::Borrowed(line.as_ref()),
            lines => Cow::Owned(lines.join(" ")),
        };
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(without_server_tag(text)),
            Cow::Owned(text) => Cow::Owned(without_server_tag(&text).to_owned()),
        };
        let status = reply.status.or_else(|| status_in(&text, reply.code.get()));
        Self { code: reply.code.get(), status, text }
    }
}

/// Exchange ends its refusals with `[host date id]`, older hosts with `[host]`. It says nothing about the refusal, and a
/// host's name must not look like a word that a row asks for.
pub(crate) fn without_server_tag(text: &str) -> &str {
    let trimmed = text.trim_end_matches([' ', '.']);
    let Some(start) = trimmed.rfind('[').filter(|_| trimmed.ends_with(']')) else { return text };
    let (before, tag) = trimmed.split_at(start);
    let host = tag.trim_matches(['[', ']']).split(' ').next().unwrap_or_default();
    if is_host_name(host) { before.trim_end() } else { text }
}

/// At least three labels, the last of letters: no address, no `[Message=…]`.
fn is_host_name(word: &str) -> bool {
    let name_like = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let letters = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphabetic());
    name_like && word.matches('.').count() >= 2 && word.rsplit('.').next().is_some_and(letters)
}

/// An enhanced status code that the reply parser left in the text: at its start (then whatever its class, as in
/// `554 4.3.2`), or the first further on whose class is the reply's first digit.
fn status_in(text: &str, code: u16) -> Option<EnhancedStatus> {
    let mut words = text
        .split_ascii_whitespace()
        .map(|word| word.trim_matches(['#', '(', ')', '<', '>', ',', ';', ':', '\'', '"']));
    let first = words.next().and_then(parse_status);
    first.or_else(|| words.filter_map(parse_status).find(|status| u16::from(status.class()) == code / 100))
}

/// `5.7.139`, nothing else; of class 2, 4 or 5.
pub(crate) fn parse_status(text: &str) -> Option<EnhancedStatus> {
    let mut parts = text.split('.').map(number);
    let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
    let class = u8::try_from(class).ok().filter(|class| matches!(class, 2 | 4 | 5))?;
    parts.next().is_none().then(|| EnhancedStatus::new(class, subject, detail))
}

/// One to three digits, nothing else.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_tag_is_taken_off_and_nothing_else_is() {
        for (text, left) in [
            ("denied [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-02-13T12:34:56.789Z 08DC2C8A]", "denied"),
            ("denied. [AM4PR0101CA0065.eurprd01.prod.exchangelabs.com]", "denied."),
            (
                "Recipient address rejected: Access denied [AS(201806281)]",
                "Recipient address rejected: Access denied [AS(201806281)]",
            ),
            ("blocked [192.0.2.1]", "blocked [192.0.2.1]"),
            ("does not exist [Message=InfoDomainNonexistent]", "does not exist [Message=InfoDomainNonexistent]"),
            ("[", "["),
            ("", ""),
        ] {
            assert_eq!(without_server_tag(text), left);
        }
    }

    #[test]
    fn a_code_in_the_text_is_found_and_an_address_is_not_one() {
        let found =
            |text, code| status_in(text, code).map(|status| (status.class(), status.subject(), status.detail()));
        assert_eq!(found("4.3.2 mailbox busy", 554), Some((4, 3, 2)));
        assert_eq!(found("refused (#5.7.64)", 550), Some((5, 7, 64)));
        assert_eq!(found("host 5.4.3.2 refused", 550), None);
        assert_eq!(found("refused by version 4.1.2", 550), None);
        assert_eq!(found("TLS 1.2 5.7.1000", 550), None);
    }

    #[test]
    fn a_reply_with_another_first_digit_contradicts() {
        let pattern = ReplyPattern::parse("421/451", false).unwrap();
        assert_eq!(pattern.fit(451), Some(Fit::Exact));
        assert_eq!(pattern.fit(450), Some(Fit::Loose));
        assert_eq!(pattern.fit(550), None);
        assert_eq!(ReplyPattern::parse("4xx", false).unwrap().fit(450), Some(Fit::Loose));
        assert_eq!(ReplyPattern::parse("550", true).unwrap().fit(554), None);
        assert_eq!(ReplyPattern::default().fit(550), Some(Fit::Loose));
    }
}
