//! Addresses of the envelope: `Mailbox`, the reverse-path and the forward-path.
//!
//! Parsed once, valid ever after, and written back byte for byte as received (quotes, case and all).
//! RFC 5321 §4.1.2, RFC 6531 §3.3 for UTF-8.

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
        let _ = text;
        todo!()
    }
    /// As received.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// With its quotes, if it has any.
    pub fn local_part(&self) -> &str {
        todo!()
    }
    /// Domain or address literal, as received.
    pub fn domain(&self) -> &str {
        todo!()
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReversePath {
    /// `<>`
    Null,
    /// `<mailbox>`
    Mailbox(Mailbox),
}

/// Argument of RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ForwardPath {
    /// `<postmaster>` without a domain (RFC 5321 §4.1.1.3), any case.
    Postmaster,
    /// `<mailbox>`
    Mailbox(Mailbox),
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
        let _ = value;
        todo!()
    }
}
impl From<Mailbox> for String {
    fn from(value: Mailbox) -> Self {
        let _ = value;
        todo!()
    }
}

impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for Mailbox {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let _ = text;
        todo!()
    }
}

impl TryFrom<String> for ReversePath {
    type Error = AddressError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        let _ = value;
        todo!()
    }
}
impl From<ReversePath> for String {
    fn from(value: ReversePath) -> Self {
        let _ = value;
        todo!()
    }
}

impl std::fmt::Display for ReversePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for ReversePath {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let _ = text;
        todo!()
    }
}

impl TryFrom<String> for ForwardPath {
    type Error = AddressError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        let _ = value;
        todo!()
    }
}
impl From<ForwardPath> for String {
    fn from(value: ForwardPath) -> Self {
        let _ = value;
        todo!()
    }
}

impl std::fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for ForwardPath {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let _ = text;
        todo!()
    }
}
