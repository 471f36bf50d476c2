//! Replies: the code, the enhanced status code, the text; written by the server machine, read by the client machine.

use std::borrow::Cow;

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
    pub fn new(code: u16, status: EnhancedStatus, text: impl Into<Cow<'static, str>>) -> Self {
        let _ = (code, status, text.into());
        todo!()
    }
    /// One line without an enhanced status code.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let _ = (code, text.into());
        todo!()
    }
    /// The text on one line, lines joined with a blank.
    pub fn text(&self) -> String {
        todo!()
    }
    /// As on the wire, CRLF after every line. CR, LF and other controls in a text are written as blanks, lines longer
    /// than 512 octets are folded into continuation lines.
    pub fn write(&self, into: &mut Vec<u8>) {
        let _ = into;
        todo!()
    }
}

/// On one line as an operator reads it: `550 5.7.1 text`.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
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

/// Collects lines until a reply is whole.
#[derive(Debug, Default)]
pub struct ReplyParser {
    _private: (),
}

impl ReplyParser {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }
    /// Uses bytes from the front of `input`; `consumed` of them. `Some` when a reply is complete. Lone LF ends no line.
    pub fn push(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let _ = input;
        todo!()
    }
}

impl TryFrom<u16> for ReplyCode {
    type Error = ReplyError;
    fn try_from(value: u16) -> Result<Self, Self::Error> {
        let _ = value;
        todo!()
    }
}
impl From<ReplyCode> for u16 {
    fn from(value: ReplyCode) -> Self {
        let _ = value;
        todo!()
    }
}

impl TryFrom<String> for EnhancedStatus {
    type Error = ReplyError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        let _ = value;
        todo!()
    }
}
impl From<EnhancedStatus> for String {
    fn from(value: EnhancedStatus) -> Self {
        let _ = value;
        todo!()
    }
}

impl std::fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for EnhancedStatus {
    type Err = ReplyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let _ = text;
        todo!()
    }
}
