//! From whatever somebody pasted to the answers in it: SMTP replies and the names of errors.
//!
//! In: a text of any size and content: a bare code, a reply of several lines, lines of a log, a report of undeliverable mail,
//! JSON. Out: at most [`MOST`] SMTP answers, and the words that could be names. Never: a panic, or work without bound: what
//! is past [`LONGEST`] octets is not read.

use smtp::EnhancedStatus;

use crate::matching::parse_status;

/// Octets of a text that are read.
pub(super) const LONGEST: usize = 64 * 1024;
/// SMTP answers taken from one text.
const MOST: usize = 8;
/// Words looked up as names.
const MOST_WORDS: usize = 4096;
/// Octets of a reply's text.
const LONGEST_TEXT: usize = 2000;
/// Lines that a reply may run on without repeating its code.
const WRAPPED_LINES: usize = 4;

/// Reply codes that stand for themselves in the middle of a line, without an enhanced code behind them.
const REPLY_CODES: [u16; 30] = [
    421, 430, 432, 441, 442, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504, 510, 511, 521, 523, 530, 534, 535, 538,
    541, 550, 551, 552, 553, 554, 556,
];
/// What stands before a reply in a log or a report.
const INTRODUCED_BY: [&str; 10] =
    ["said", "reply", "response", "returned", "error", "code", "smtp", "was", "answered", "status"];

/// An SMTP answer, as far as the text gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Quoted {
    pub(super) number: Option<u16>,
    pub(super) status: Option<EnhancedStatus>,
    pub(super) text: String,
}

impl Quoted {
    /// The digit that decides, if it is the digit of an SMTP answer.
    pub(super) fn digit(&self) -> Option<u16> {
        self.number.map(|number| number / 100).or(self.status.map(|status| u16::from(status.class())))
    }

    pub(super) fn codes(&self) -> String {
        match (self.number, self.status) {
            (Some(number), Some(status)) => format!("{number} {status}"),
            (Some(number), None) => number.to_string(),
            (None, Some(status)) => status.to_string(),
            (None, None) => String::new(),
        }
    }
}

/// The start of the text that is read.
pub(super) fn bounded(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Runs of letters, digits, dots and underscores, without dots at their ends.
fn atoms(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let part_of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.find(part_of)?;
        let found = rest.get(start..)?;
        let length = found.find(|c| !part_of(c)).unwrap_or(found.len());
        let (atom, behind) = found.split_at(length);
        let at = line.len() - found.len();
        rest = behind;
        let trimmed = atom.trim_start_matches('.');
        Some((at + atom.len() - trimmed.len(), trimmed.trim_end_matches('.')))
    })
}

/// Words that could be names of errors, each once, in order.
pub(super) fn words(text: &str) -> Vec<&str> {
    let mut seen = std::collections::HashSet::new();
    atoms(text).map(|(_, atom)| atom).filter(|atom| atom.len() > 2 && seen.insert(*atom)).take(MOST_WORDS).collect()
}

/// The SMTP answers in a text: those with an enhanced code, else those without; refusals, else what is no refusal.
pub(super) fn quoted(text: &str) -> Vec<Quoted> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<Quoted> = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let behind = lines.get(at..).unwrap_or_default();
        for (mut answer, is_last) in in_line(line) {
            if is_last {
                at += run_on(&mut answer, behind);
            }
            add(&mut found, answer);
        }
        if found.len() > 8 * MOST {
            break;
        }
    }
    let negative = |answer: &Quoted| matches!(answer.digit(), Some(4 | 5));
    if found.iter().any(negative) {
        found.retain(negative);
    }
    if found.iter().any(|answer| answer.status.is_some()) {
        found.retain(|answer| answer.status.is_some());
    }
    found.truncate(MOST);
    found
}

/// A report says the same thing several times: the fullest form stays.
fn add(found: &mut Vec<Quoted>, answer: Quoted) {
    let same = |other: &&mut Quoted| {
        other.status == answer.status
            && (answer.status.is_some() && (other.number.is_none() || answer.number.is_none())
                || other.number == answer.number)
            && (other.text.is_empty() || answer.text.is_empty() || answer.status.is_some())
    };
    match found.iter_mut().find(same) {
        None => found.push(answer),
        Some(other) => {
            let fuller = answer.number.is_some() && other.number.is_none() || answer.text.len() > other.text.len();
            let number = other.number.or(answer.number);
            if fuller && !(other.number.is_some() && answer.number.is_none()) {
                *other = answer;
            }
            other.number = number;
        }
    }
}

/// The answers of one line; `true`: it is the last, so that following lines may belong to it.
fn in_line(line: &str) -> Vec<(Quoted, bool)> {
    let mut found: Vec<Quoted> = Vec::new();
    // A reply code that waits for its enhanced code: where it ended.
    let mut number: Option<(u16, usize)> = None;
    let mut previous = "";
    for (at, atom) in atoms(line) {
        let end = at + atom.len();
        if let Some(status) = parse_status(atom) {
            match (number.take(), found.last_mut()) {
                (Some((number, ended)), _) if is_gap(line, ended, at) => {
                    found.pop();
                    found.push(Quoted { number: Some(number), status: Some(status), text: after(line, end) });
                }
                // `550 relaying denied (#5.7.1)`
                (Some(_), Some(last)) if last.status.is_none() => last.status = Some(status),
                _ => found.push(Quoted { number: None, status: Some(status), text: after(line, end) }),
            }
        } else if let Some(code) = reply_code(atom).filter(|code| stands_out(line, at, previous, *code)) {
            number = Some((code, end));
            found.push(Quoted { number: Some(code), status: None, text: after(line, end) });
        }
        previous = atom;
    }
    let last = found.len();
    found.into_iter().enumerate().map(|(index, answer)| (answer, index + 1 == last)).collect()
}

fn reply_code(atom: &str) -> Option<u16> {
    let digits = atom.len() == 3 && atom.bytes().all(|byte| byte.is_ascii_digit());
    let code: u16 = digits.then(|| atom.parse().ok())??;
    (matches!(code / 100, 2 | 4 | 5) && code / 10 % 10 <= 5).then_some(code)
}

/// Not a port, a size, a year: at the start of the line, after a quote or the like, after `said:`, or before an enhanced
/// code.
fn stands_out(line: &str, at: usize, previous: &str, code: u16) -> bool {
    let before = line.get(..at).unwrap_or_default();
    let behind = line.get(at + 3..).unwrap_or_default();
    let next = atoms(behind).next().filter(|(start, _)| is_gap(behind, 0, *start));
    if next.is_some_and(|(_, atom)| parse_status(atom).is_some()) || before.trim().is_empty() {
        return true;
    }
    let known = REPLY_CODES.contains(&code);
    let quoted = before.ends_with(['\'', '"', '(', ';', '#', '<']);
    known && (quoted || INTRODUCED_BY.iter().any(|word| previous.eq_ignore_ascii_case(word)))
}

/// Nothing but what may stand between the two codes of a reply.
fn is_gap(line: &str, from: usize, to: usize) -> bool {
    line.get(from..to)
        .is_some_and(|gap| gap.len() <= 3 && gap.chars().all(|c| matches!(c, ' ' | '-' | '#' | '(' | '\t')))
}

/// The reply's text from there on.
fn after(line: &str, end: usize) -> String {
    let text = line.get(end..).unwrap_or_default().trim_start_matches([' ', '-', ':', ')', '>', ',', ';', '\t']);
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().trim_end().to_owned()
}

/// Adds the lines that go on with the same reply: `550-…` lines, and lines that were wrapped. How many they were.
fn run_on(answer: &mut Quoted, lines: &[&str]) -> usize {
    let mut taken = 0;
    let mut wrapped = 0;
    for line in lines {
        let more = match (continuation(line, answer), in_line(line).is_empty()) {
            (Some(more), _) => more,
            (None, true) if wrapped < WRAPPED_LINES && !line.trim().is_empty() => {
                wrapped += 1;
                line.trim().to_owned()
            }
            (None, _) => break,
        };
        if answer.text.len() + more.len() < LONGEST_TEXT {
            if !answer.text.is_empty() {
                answer.text.push(' ');
            }
            answer.text.push_str(&more);
        }
        taken += 1;
    }
    taken
}

/// The text of a further line of the same reply.
fn continuation(line: &str, answer: &Quoted) -> Option<String> {
    let number = answer.number?.to_string();
    let rest = line.trim_start().strip_prefix(number.as_str())?;
    let rest = rest.strip_prefix([' ', '-'])?;
    let status = answer.status.map(|status| status.to_string()).unwrap_or_default();
    let text = rest.strip_prefix(status.as_str()).unwrap_or(rest);
    Some(after(text, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        quoted(text).into_iter().map(|answer| (answer.codes(), answer.text)).collect()
    }

    #[track_caller]
    fn check(text: &str, codes: &str, words: &str) {
        assert_eq!(read(text), [(codes.to_owned(), words.to_owned())], "{text}");
    }

    #[test]
    fn a_reply_is_found_in_whatever_stands_around_it() {
        let words = "SMTP; Client does not have permissions to send as this sender";
        for text in [
            format!("550 5.7.60 {words}"),
            format!("550-5.7.60 {words}"),
            format!("  550   5.7.60 {words}\r\n"),
            format!("Diagnostic-Code: smtp;550 5.7.60 {words}"),
            format!("Diagnostic-Code: smtp; 550-5.7.60 {words}"),
            format!("Status: 5.7.60\nDiagnostic-Code: smtp;550 5.7.60 {words}\n"),
            format!(
                "Nov 20 relay postfix/smtp[4711]: 4B3C: to=<a@b.test>, relay=mail[192.0.2.1]:587, delay=0.4, dsn=5.7.60, \
                     status=bounced (host mail[192.0.2.1] said: 550 5.7.60 {words}"
            ),
            format!("host.example #<host.example #5.7.60 smtp;550 5.7.60 {words}"),
        ] {
            check(&text, "550 5.7.60", words);
        }
        check(&format!("Remote Server returned '550 5.7.60 {words}'"), "550 5.7.60", &format!("{words}'"));
        check(&format!("The server response was: 5.7.60 {words}"), "5.7.60", words);
    }

    #[test]
    fn lines_of_one_reply_are_joined_and_wrapped_ones_too() {
        check(
            "550-5.7.60 SMTP; Client does not\n550 5.7.60 have permissions",
            "550 5.7.60",
            "SMTP; Client does not have permissions",
        );
        check("550-one\r\n550-two\r\n550 three", "550", "one two three");
        check(
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is\ndisabled for the Tenant.\n\nnext",
            "535 5.7.139",
            "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        );
    }

    #[test]
    fn bare_codes_are_found() {
        check("5.7.60", "5.7.60", "");
        check(" 432 ", "432", "");
        check("#5.7.64", "5.7.64", "");
        check("550 relaying denied (#5.7.1)", "550 5.7.1", "relaying denied (#5.7.1)");
        check("554 4.3.2 mailbox busy", "554 4.3.2", "mailbox busy");
    }

    #[test]
    fn ports_sizes_addresses_and_versions_are_no_replies() {
        for text in [
            "connected to smtp.office365.com port 587, 450 bytes in 550 ms",
            "from 5.7.60.1 with version 1.550.5",
            "TLSv1.2 with cipher ECDHE (256/256 bits)",
            "",
            "no digits here",
            "999 5.7.1000 4.4444.1",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn several_refusals_are_told_apart_and_what_succeeded_does_not_hide_them() {
        let text = "250 2.1.0 Sender OK\n550 5.1.1 User unknown\n452 4.5.3 Too many recipients";
        let codes: Vec<String> = read(text).into_iter().map(|(codes, _)| codes).collect();
        assert_eq!(codes, ["550 5.1.1", "452 4.5.3"]);
        check("250 2.0.0 OK queued", "250 2.0.0", "OK queued");
    }

    #[test]
    fn a_text_without_end_is_read_to_its_bound() {
        let text = "550 5.7.60 ü ".repeat(LONGEST);
        assert!(bounded(&text).len() <= LONGEST);
        let found = quoted(bounded(&text));
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|answer| answer.text.len() <= LONGEST_TEXT));
        assert!(words(bounded(&"a_1 ".repeat(LONGEST))).len() == 1);
        let many: String = (0..LONGEST).map(|n| format!("5.7.{} x\n", n % 1000)).collect();
        assert!(quoted(bounded(&many)).len() <= MOST);
    }
}
