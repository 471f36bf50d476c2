//! Parameters of MAIL and RCPT (RFC 1870, 3030, 3461, 4954, 6152, 6531). Values are kept as received where the RFC
//! wants them passed on unchanged (ENVID, ORCPT).
//!
//! In: the text after the path. Out: values, and the same text again (`Display`, a blank before every parameter; what is
//! the default is not written). Never: whether an extension was offered; the machines know.

mod parse;
mod xtext;

pub use parse::ParametersError;
use serde::{Deserialize, Serialize};

use crate::Mailbox;

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

impl BodyType {
    /// As on the wire.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
            Self::BinaryMime => "BINARYMIME",
        }
    }
}

impl Ret {
    /// As on the wire.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Hdrs => "HDRS",
        }
    }
}

impl EnvelopeId {
    /// xtext, as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OriginalRecipient {
    /// `rfc822;` and the address in xtext. `None` if that has more than 500 octets.
    pub fn rfc822(mailbox: &Mailbox) -> Option<Self> {
        format!("rfc822;{}", xtext::encode(mailbox.as_str())).try_into().ok()
    }
    /// `addr-type;xtext`, as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// False if it can be sent only where SMTPUTF8 is spoken.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

impl std::fmt::Display for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let mut chosen = words.into_iter().filter_map(|(set, word)| set.then_some(word));
        f.write_str(chosen.next().unwrap_or("NEVER"))?;
        chosen.try_for_each(|word| write!(f, ",{word}"))
    }
}

/// As it follows the path: ` SIZE=1000 BODY=8BITMIME`.
impl std::fmt::Display for MailParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        if self.body != BodyType::SevenBit {
            write!(f, " BODY={}", self.body.keyword())?;
        }
        if self.smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if let Some(ret) = self.ret {
            write!(f, " RET={}", ret.keyword())?;
        }
        if let Some(envid) = &self.envid {
            write!(f, " ENVID={envid}")?;
        }
        if let Some(auth) = &self.auth {
            write!(f, " AUTH={auth}")?;
        }
        Ok(())
    }
}

/// As it follows the path: ` NOTIFY=FAILURE ORCPT=rfc822;a@b`.
impl std::fmt::Display for RcptParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(notify) = self.notify {
            write!(f, " NOTIFY={notify}")?;
        }
        if let Some(orcpt) = &self.orcpt {
            write!(f, " ORCPT={orcpt}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for EnvelopeId {
    type Error = ParameterError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        if xtext::is_envelope_id(&value) { Ok(Self(value.into())) } else { Err(ParameterError(value)) }
    }
}
impl From<EnvelopeId> for String {
    fn from(value: EnvelopeId) -> Self {
        value.0.into()
    }
}
impl std::fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::str::FromStr for EnvelopeId {
    type Err = ParameterError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for OriginalRecipient {
    type Error = ParameterError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        if xtext::is_original_recipient(&value) { Ok(Self(value.into())) } else { Err(ParameterError(value)) }
    }
}
impl From<OriginalRecipient> for String {
    fn from(value: OriginalRecipient) -> Self {
        value.0.into()
    }
}
impl std::fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::str::FromStr for OriginalRecipient {
    type Err = ParameterError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}
