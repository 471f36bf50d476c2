//! Replies: the code, the enhanced status code, the text; written by the server machine, read by the client machine.
//!
//! In: values, or a server's bytes. Out: bytes, or values that keep every number the server gave (Microsoft's run to
//! three digits). Never: a control character in a text, so that a reply can neither break a line of the protocol nor of a log.

mod parser;
mod write;

use std::borrow::Cow;

pub use parser::ReplyParser;

use serde::{Deserialize, Serialize};

/// Three digits, 200 to 599 (RFC 5321 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// `None` outside 200..=599.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 { Some(Self(code)) } else { None }
    }
    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
    /// 2yz
    pub const fn is_positive(self) -> bool {
        self.0 / 100 == 2
    }
    /// 3yz
    pub const fn is_intermediate(self) -> bool {
        self.0 / 100 == 3
    }
    /// 4yz
    pub const fn is_transient(self) -> bool {
        self.0 / 100 == 4
    }
    /// 5yz
    pub const fn is_permanent(self) -> bool {
        self.0 / 100 == 5
    }
}

/// `class.subject.detail`, RFC 3463; subject and detail up to 999, as Microsoft uses them (`5.7.606`).
/// As text, also in serde: `"5.7.606"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// For codes written in the source: `EnhancedStatus::new(5, 7, 1)`. Panics at compile time in a const outside the range.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        assert!((class == 2 || class == 4 || class == 5) && subject <= 999 && detail <= 999);
        Self { class, subject, detail }
    }
    /// 2, 4 or 5.
    pub const fn class(self) -> u8 {
        self.class
    }
    /// Second number.
    pub const fn subject(self) -> u16 {
        self.subject
    }
    /// Third number.
    pub const fn detail(self) -> u16 {
        self.detail
    }
}

/// A whole reply. `lines` are the texts without code and without enhanced status code, at least one, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// The three digits.
    pub code: ReplyCode,
    /// At the start of every line, if the server gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<EnhancedStatus>,
    /// Text, a line each.
    pub lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// One line. `code` must be 200..=599 (checked at compile time in a const, a panic elsewhere: for codes in the source).
    #[track_caller]
    pub fn new(code: u16, status: EnhancedStatus, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Some(status), ..Self::plain(code, text) }
    }
    /// One line without an enhanced status code.
    #[track_caller]
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let code = ReplyCode::new(code).expect("codes in the source are 200..=599");
        Self { code, status: None, lines: vec![text.into()] }
    }
    /// The text on one line, lines joined with a blank.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.lines.iter().map(|line| line.len() + 1).sum());
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.extend(write::without_controls(line));
        }
        text
    }
    /// The same, and what is not ASCII as `\x{FC}` (RFC 6533 §3): for peers that have not asked for SMTPUTF8.
    pub fn in_ascii(self) -> Self {
        let line = |line: Cow<'static, str>| if line.is_ascii() { line } else { write::in_ascii(&line).into() };
        Self { lines: self.lines.into_iter().map(line).collect(), ..self }
    }
    /// As on the wire, CRLF after every line. CR, LF and other controls in a text are written as blanks, lines longer
    /// than 512 octets are folded into continuation lines.
    pub fn write(&self, into: &mut Vec<u8>) {
        write::write(self, into);
    }
}

/// On one line as an operator reads it: `550 5.7.1 text`.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        match self.text().as_str() {
            "" => Ok(()),
            text => write!(f, " {text}"),
        }
    }
}

/// What is wrong with bytes that should have been a reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not three digits and a blank or hyphen.
    #[error("not an SMTP reply: {0:?}")]
    Syntax(String),
    /// Lines of one reply with different codes.
    #[error("a reply that mixes {0} and {1}")]
    MixedCodes(u16, u16),
    /// A line over 8,192 octets or a reply over 100 lines (Exchange's lines run far past 512 octets).
    #[error("a reply that does not end")]
    TooLong,
}

impl std::fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
impl TryFrom<u16> for ReplyCode {
    type Error = ReplyError;
    fn try_from(value: u16) -> Result<Self, Self::Error> {
        Self::new(value).ok_or_else(|| ReplyError::Syntax(value.to_string()))
    }
}
impl From<ReplyCode> for u16 {
    fn from(value: ReplyCode) -> Self {
        value.0
    }
}

impl TryFrom<String> for EnhancedStatus {
    type Error = ReplyError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}
impl From<EnhancedStatus> for String {
    fn from(value: EnhancedStatus) -> Self {
        value.to_string()
    }
}
impl std::fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
impl std::str::FromStr for EnhancedStatus {
    type Err = ReplyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_status(text).ok_or_else(|| ReplyError::Syntax(text.to_owned()))
    }
}

fn parse_status(text: &str) -> Option<EnhancedStatus> {
    let mut numbers = text.split('.').map(|number| {
        let digits = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u16>().ok().filter(|_| digits)
    });
    let class = numbers.next()?.filter(|class| matches!(class, 2 | 4 | 5))?;
    let (subject, detail) = (numbers.next()??, numbers.next()??);
    if numbers.next().is_some() || text.len() < 5 || text.as_bytes().get(1) != Some(&b'.') {
        return None;
    }
    Some(EnhancedStatus { class: u8::try_from(class).ok()?, subject, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_keep_three_digits() {
        assert_eq!("5.7.606".parse(), Ok(EnhancedStatus::new(5, 7, 606)));
        for text in ["", "5", "5.7", "5.7.", "5.7.1.1", "3.7.1", "05.7.1", "5.7.1000", "5.+7.1", "5.7.x", "255.7.1"] {
            assert!(text.parse::<EnhancedStatus>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_operator_reads_one_line_without_controls() {
        let mut reply = Reply::new(550, EnhancedStatus::new(5, 7, 1), "no\u{1b}[31m");
        reply.lines.extend(["".into(), "really".into()]);
        assert_eq!(reply.to_string(), "550 5.7.1 no [31m really");
        assert_eq!(Reply::plain(250, "").to_string(), "250");
    }
}
