//! What is to be done with a body: between the survey and the second pass.

use std::fmt;
use std::sync::Arc;

use super::walk::Start;

/// A Content-Transfer-Encoding (RFC 2045 §6.1) to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEncoding {
    /// `7bit`, of a multipart or message in which nothing is 8-bit any more.
    SevenBit,
    /// `8bit`, of a multipart or message in which nothing is binary any more.
    EightBit,
    /// `quoted-printable`
    QuotedPrintable,
    /// `base64`
    Base64,
}

impl fmt::Display for TransferEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::QuotedPrintable => "quoted-printable",
            Self::Base64 => "base64",
        })
    }
}

/// What a header section is to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEncoding {
    /// Its Content-Transfer-Encoding; other fields of that name are removed.
    pub encoding: TransferEncoding,
    /// There was no Content-Type: `Content-Type: text/plain; charset=…` is to be added.
    pub charset: Option<Charset>,
}

/// What octets of text can be said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// `us-ascii`
    UsAscii,
    /// `utf-8`
    Utf8,
    /// `unknown-8bit` (RFC 1428 §3)
    Unknown8Bit,
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UsAscii => "us-ascii",
            Self::Utf8 => "utf-8",
            Self::Unknown8Bit => "unknown-8bit",
        })
    }
}

/// What becomes of the octets of a part, or of the text around parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Treatment {
    /// They pass.
    #[default]
    Keep,
    /// Bare line ends become CRLF.
    LineEnds,
    Quote,
    Base64,
    /// Quoted-printable, decoded and encoded again.
    Requote,
    /// Base64 in lines of 76.
    Rewrap,
    /// Text around parts, which nobody is shown.
    Omit,
}

/// To one entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) encoding: Option<NewEncoding>,
    /// Its content, or what stands before its first part.
    pub(super) content: Treatment,
    /// What stands after its last part.
    pub(super) epilogue: Treatment,
}

/// What a [`Survey`](super::Survey) found to do. At most 10,000 changes and 20 notes: some 80 KiB.
#[derive(Clone, Debug)]
pub struct BodyPlan {
    pub(super) start: Start,
    /// In the order of the entities; of those that change.
    pub(super) changes: Arc<[(u32, Change)]>,
    pub(super) identity: bool,
    pub(super) refusal: Option<String>,
    pub(super) notes: Vec<String>,
    pub(super) breaks_signed_part: bool,
}

impl BodyPlan {
    /// Every octet passes as it came, and may; the second pass is not needed.
    pub fn is_identity(&self) -> bool {
        self.identity
    }

    /// What the message's own header section has to state; `None`: it stays as it is.
    pub fn top(&self) -> Option<NewEncoding> {
        self.changes.first().filter(|(ordinal, _)| *ordinal == 0).and_then(|(_, change)| change.encoding)
    }

    /// Why it cannot be done without loss, for the sender: `part 2 (text/plain) is signed and has 8-bit octets`. Whoever
    /// sends it nevertheless sends what a next hop may refuse.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// For the message's story: `part 2 (text/plain) re-encoded as quoted-printable: lines over 998 octets`.
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// A signature over a part (RFC 1847) will no longer hold.
    pub fn breaks_signed_part(&self) -> bool {
        self.breaks_signed_part
    }
}
