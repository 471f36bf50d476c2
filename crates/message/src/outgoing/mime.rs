//! The fields of MIME that the message itself needs.

use super::Plan;
use super::draft::Draft;
use crate::encoding::text_of;

/// A Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEncoding {
    /// `7bit`
    SevenBit,
    /// `8bit`
    EightBit,
    /// `quoted-printable`
    QuotedPrintable,
    /// `base64`
    Base64,
}

impl TransferEncoding {
    /// The word of the field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::QuotedPrintable => "quoted-printable",
            Self::Base64 => "base64",
        }
    }
}

/// How the body of a message that is a single part leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEncoding {
    /// See there.
    pub encoding: TransferEncoding,
    /// Character set of the text, stated where the message has no Content-Type.
    pub charset: Option<&'static str>,
}

/// Content-Transfer-Encoding and Content-Type as planned, and the MIME-Version without which neither counts.
pub(super) fn declare(draft: &mut Draft<'_>, plan: &Plan<'_>) {
    if let Some(new) = plan.encoding {
        let value = draft.find("content-transfer-encoding").map(super::draft::Entry::value);
        if !value.is_some_and(|value| value.eq_ignore_ascii_case(new.encoding.as_str().as_bytes())) {
            draft.put("Content-Transfer-Encoding", new.encoding.as_str());
            draft.note(format!("the body is sent as {}", new.encoding.as_str()));
        }
        if let Some(charset) = new.charset.filter(|_| draft.find("content-type").is_none()) {
            draft.add("Content-Type", &format!("text/plain; charset={charset}"));
        }
    }
    if draft.find("mime-version").is_none() && uses_mime(draft) {
        draft.add("MIME-Version", "1.0");
        draft.note("MIME-Version was missing");
    }
}

/// A type with its subtype, for before MIME there was a Content-Type of one word (RFC 1049); or an encoding.
fn uses_mime(draft: &Draft<'_>) -> bool {
    let of_mime = |value: Vec<u8>| text_of(&value).split(';').next().is_some_and(|kind| kind.contains('/'));
    draft.find("content-transfer-encoding").is_some()
        || draft.find("content-type").is_some_and(|entry| of_mime(entry.value()))
}
