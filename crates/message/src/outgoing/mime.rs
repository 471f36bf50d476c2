//! The fields of MIME that the message itself needs.

use super::Plan;
use super::draft::Draft;
use crate::encoding::text_of;

/// Content-Transfer-Encoding and Content-Type as planned, and the MIME-Version without which neither counts.
pub(super) fn declare(draft: &mut Draft<'_>, plan: &Plan<'_>) {
    if let Some(new) = plan.encoding {
        let encoding = new.encoding.to_string();
        let value = draft.find("content-transfer-encoding").map(super::draft::Entry::value);
        if !value.is_some_and(|value| value.eq_ignore_ascii_case(encoding.as_bytes())) {
            draft.put("Content-Transfer-Encoding", &encoding);
            draft.note(format!("the body is sent as {encoding}"));
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
