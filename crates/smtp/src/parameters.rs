//! Parameters of MAIL and RCPT (RFC 1870, 3030, 3461, 4954, 6152, 6531). Values are kept as received where the RFC
//! wants them passed on unchanged (ENVID, ORCPT).

use serde::{Deserialize, Serialize};

/// BODY=, RFC 6152 and 3030.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyType {
    /// `7BIT`, and the default.
    #[default]
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
    /// `BINARYMIME`
    BinaryMime,
}

/// RET=, RFC 3461 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ret {
    /// Return the whole message.
    Full,
    /// Return the header section.
    Hdrs,
}

/// ENVID=, RFC 3461 §4.4: xtext exactly as received, at most 100 octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvelopeId(Box<str>);

/// ORCPT=, RFC 3461 §4.2: `addr-type;xtext` exactly as received (also `utf-8;…`, RFC 6533), at most 500 octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginalRecipient(Box<str>);

/// NOTIFY=, RFC 3461 §4.1. `NEVER` is all three false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notify {
    /// SUCCESS
    pub success: bool,
    /// FAILURE
    pub failure: bool,
    /// DELAY
    pub delay: bool,
}

/// Everything that may follow MAIL FROM:<…>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// SIZE=
    pub size: Option<u64>,
    /// BODY=
    pub body: BodyType,
    /// SMTPUTF8
    pub smtputf8: bool,
    /// RET=
    pub ret: Option<Ret>,
    /// ENVID=
    pub envid: Option<EnvelopeId>,
    /// AUTH= (RFC 4954 §5), xtext as received. Kept for nothing but a polite parser.
    pub auth: Option<Box<str>>,
}

/// Everything that may follow RCPT TO:<…>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptParameters {
    /// NOTIFY=
    pub notify: Option<Notify>,
    /// ORCPT=
    pub orcpt: Option<OriginalRecipient>,
}

/// Why a value is no parameter's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid value: {0}")]
pub struct ParameterError(pub String);

impl TryFrom<String> for EnvelopeId {
    type Error = ParameterError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        let _ = value;
        todo!()
    }
}
impl From<EnvelopeId> for String {
    fn from(value: EnvelopeId) -> Self {
        let _ = value;
        todo!()
    }
}

impl std::fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for EnvelopeId {
    type Err = ParameterError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let _ = text;
        todo!()
    }
}

impl TryFrom<String> for OriginalRecipient {
    type Error = ParameterError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        let _ = value;
        todo!()
    }
}
impl From<OriginalRecipient> for String {
    fn from(value: OriginalRecipient) -> Self {
        let _ = value;
        todo!()
    }
}

impl std::fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for OriginalRecipient {
    type Err = ParameterError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let _ = text;
        todo!()
    }
}
