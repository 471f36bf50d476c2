//! Addresses of the envelope: `Mailbox`, the reverse-path and the forward-path.
//!
//! In: the text of a MAIL or RCPT command, or of a stored envelope. Out: a value that is valid ever after and is written
//! back byte for byte as received (quotes, case and all). Only source routes are dropped, as RFC 5321 §4.1.1.3 wants.
//! RFC 5321 §4.1.2, RFC 6531 §3.3 for UTF-8. Never: whether a domain exists.

mod path;
mod pattern;
mod syntax;

pub(crate) use path::split_path;
pub use pattern::{AddressPattern, AddressPatternError};
use serde::{Deserialize, Serialize};

/// `local-part@domain`, or `local-part@[address-literal]`. Compares as text, exactly; see [`Mailbox::same_as`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    text: Box<str>,
    at: usize,
}

impl Mailbox {
    /// The text without angle brackets. At most 64 octets of local-part, 255 of domain (RFC 5321 §4.5.3.1).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = syntax::check_mailbox(text)?;
        Ok(Self { text: text.into(), at })
    }
    /// As received.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// With its quotes, if it has any.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }
    /// Domain or address literal, as received.
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }
    /// False if the address needs SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
    /// The same address for the purpose of rules: domain without regard to case, local-part without regard to ASCII case.
    pub fn same_as(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

/// Argument of MAIL FROM. The null reverse-path `<>` marks notifications that must never be answered.
///
/// As text (`Display`, serde) always in angle brackets; read with or without them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReversePath {
    /// `<>`
    Null,
    /// `<mailbox>`
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, unless this is `<>`.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
    /// False if the path needs SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// Argument of RCPT TO.
///
/// As text (`Display`, serde) always in angle brackets; read with or without them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ForwardPath {
    /// `<postmaster>` without a domain (RFC 5321 §4.1.1.3), any case.
    Postmaster,
    /// `<mailbox>`
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// The mailbox, unless this is `<postmaster>`.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Postmaster => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
    /// False if the path needs SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing on one side of it.
    #[error("an address has the form local-part@domain")]
    Shape,
    /// Local-part over 64 octets.
    #[error("the local-part is longer than 64 octets")]
    LocalPartTooLong,
    /// Domain over 255 octets.
    #[error("the domain is longer than 255 octets")]
    DomainTooLong,
    /// A character that neither atom nor quoted string may hold.
    #[error("the local-part has a character that must be quoted, or cannot stand in an address")]
    LocalPart,
    /// Not a domain name and not an address literal.
    #[error("the domain is neither a domain name nor an address literal")]
    Domain,
}

impl TryFrom<String> for Mailbox {
    type Error = AddressError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        let at = syntax::check_mailbox(&value)?;
        Ok(Self { text: value.into(), at })
    }
}
impl From<Mailbox> for String {
    fn from(value: Mailbox) -> Self {
        value.text.into()
    }
}
impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
impl std::str::FromStr for Mailbox {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ReversePath {
    type Error = AddressError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}
impl From<ReversePath> for String {
    fn from(value: ReversePath) -> Self {
        value.to_string()
    }
}
impl std::fmt::Display for ReversePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}
impl std::str::FromStr for ReversePath {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match path::whole_path(text)? {
            "" => Ok(Self::Null),
            inner => Mailbox::parse(inner).map(Self::Mailbox),
        }
    }
}

impl TryFrom<String> for ForwardPath {
    type Error = AddressError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}
impl From<ForwardPath> for String {
    fn from(value: ForwardPath) -> Self {
        value.to_string()
    }
}
impl std::fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<postmaster>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}
impl std::str::FromStr for ForwardPath {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match path::whole_path(text)? {
            inner if inner.eq_ignore_ascii_case("postmaster") => Ok(Self::Postmaster),
            inner => Mailbox::parse(inner).map(Self::Mailbox),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_given_back_as_received() {
        let mailbox = Mailbox::parse("\"John \\\" @ Doe\"@[IPv6:2001:DB8::1]").unwrap();
        assert_eq!(mailbox.local_part(), "\"John \\\" @ Doe\"");
        assert_eq!(mailbox.domain(), "[IPv6:2001:DB8::1]");
        assert_eq!(mailbox.to_string(), "\"John \\\" @ Doe\"@[IPv6:2001:DB8::1]");
    }

    #[test]
    fn rules_compare_without_case_and_storage_compares_exactly() {
        let (small, big) = (Mailbox::parse("a@b.example").unwrap(), Mailbox::parse("A@B.example").unwrap());
        assert!(small.same_as(&big));
        assert_ne!(small, big);
    }

    #[test]
    fn paths_are_read_with_and_without_brackets_and_written_with_them() {
        for (text, written) in [("<>", "<>"), ("", "<>"), ("<a@b>", "<a@b>"), ("a@b", "<a@b>")] {
            assert_eq!(text.parse::<ReversePath>().unwrap().to_string(), written);
        }
        for (text, written) in [("<PostMaster>", "<postmaster>"), ("a@b", "<a@b>"), ("<@x,@y:a@b>", "<a@b>")] {
            assert_eq!(text.parse::<ForwardPath>().unwrap().to_string(), written);
        }
        for text in ["<>", "", "<a@b", "a@b>", "<a@b>x", "<postmaster>@x", "<@:a@b>", "<@x:>"] {
            assert!(text.parse::<ForwardPath>().is_err(), "{text}");
        }
    }
}
