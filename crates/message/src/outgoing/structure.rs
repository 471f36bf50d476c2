//! What is wrong with fields whatever they say: line ends, control characters, repetitions, fields that never leave.

use super::ORGANIZATION;
use super::draft::{Draft, Entry};
use crate::addresses::AddressList;
use crate::encoding::lines;

/// At most one of each (RFC 5322 §3.6, RFC 2045 §3 to §8); From and Sender have rules of their own.
const SINGLE: [&str; 12] = [
    "date",
    "reply-to",
    "to",
    "cc",
    "message-id",
    "in-reply-to",
    "references",
    "subject",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
];

/// Whether a section has at most one field of this name, in lower case.
pub(super) fn stands_once(name: &str) -> bool {
    SINGLE.contains(&name)
}

/// Line ends become CRLF, blank lines of a field and blanks before its colon go, control characters become blanks.
pub(super) fn tidy(draft: &mut Draft<'_>) {
    let (mut ends, mut controls, mut blanks) = (false, false, false);
    for at in 0..draft.len() {
        let Some(entry) = draft.get(at) else { continue };
        let bare = has_bare_line_end(&entry.octets);
        let control = entry.octets.iter().any(is_control);
        let blank = has_blank_line(entry) || has_blank_before_colon(&entry.octets);
        ends |= bare;
        controls |= control;
        blanks |= blank;
        if bare || control || blank {
            let octets = tidied(entry);
            draft.set_octets(at, octets);
        }
    }
    for (found, note) in [
        (ends, "line ends of the header section that were not CRLF became CRLF"),
        (controls, "control characters in header fields became blanks"),
        (blanks, "blanks that could be taken for the end of a field's name, or of the header section, were removed"),
    ] {
        if found {
            draft.note(note);
        }
    }
}

fn is_control(octet: &u8) -> bool {
    octet.is_ascii_control() && !matches!(octet, b'\t' | b'\r' | b'\n')
}

/// Also of a last line without any end.
fn has_bare_line_end(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        match rest.get(at..).and_then(|end| end.strip_prefix(b"\r\n")) {
            Some(after) => rest = after,
            None => return true,
        }
    }
    !rest.is_empty()
}

/// A continuation that is nothing but blanks: some readers take it for the end of the section. Not in the first line.
fn has_blank_line(entry: &Entry) -> bool {
    lines(entry.folded()).skip(1).any(|line| line.iter().all(u8::is_ascii_whitespace))
}

fn has_blank_before_colon(octets: &[u8]) -> bool {
    octets.iter().take_while(|octet| **octet != b':').any(|octet| matches!(octet, b' ' | b'\t'))
}

fn tidied(entry: &Entry) -> Vec<u8> {
    let mut octets = format!("{}:", entry.written_name()).into_bytes();
    let mut empty = true;
    for (number, line) in lines(entry.folded()).enumerate() {
        let line: Vec<u8> = line.iter().map(|octet| if is_control(octet) { b' ' } else { *octet }).collect();
        if number > 0 && line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        octets.extend_from_slice(&line);
        octets.extend_from_slice(b"\r\n");
        empty = false;
    }
    if empty {
        octets.extend_from_slice(b"\r\n");
    }
    octets
}

/// Fields that no one but us and the last server may see, and those that only Microsoft may write.
pub(super) fn remove(draft: &mut Draft<'_>) {
    for name in ["bcc", "resent-bcc", "return-path"] {
        if draft.remove(|entry| entry.name == name) > 0 {
            draft.note(format!("{} was removed: it must not leave", capitalized(name)));
        }
    }
    if draft.remove(|entry| entry.name.starts_with(ORGANIZATION)) > 0 {
        draft.note("fields X-MS-Exchange-Organization-… were removed: only Exchange itself may set them");
    }
}

/// Of what may stand there only once the first is kept.
pub(super) fn one_each(draft: &mut Draft<'_>) {
    for name in SINGLE {
        if let Some(first) = draft.position(name)
            && draft.remove_after(first, name) > 0
        {
            draft.note(format!("{} stood there more than once: the first was kept", capitalized(name)));
        }
    }
}

/// Puts angle brackets where a name is followed by an address without them.
pub(super) fn brackets(draft: &mut Draft<'_>) {
    for name in ["reply-to", "to", "cc"] {
        let Some(at) = draft.position(name) else { continue };
        let list = draft.get(at).and_then(|entry| AddressList::parse(&entry.value()).ok());
        if let Some(list) = list.filter(|list| list.unbracketed) {
            draft.set(at, &list.written());
            draft.note(format!("{}: an address had no angle brackets and got them", capitalized(name)));
        }
    }
}

/// `Reply-To`
pub(super) fn capitalized(name: &str) -> String {
    let mut start = true;
    let letters = name.chars().map(|letter| {
        let written = if start { letter.to_ascii_uppercase() } else { letter };
        start = letter == '-';
        written
    });
    let name: String = letters.collect();
    match name.as_str() {
        "Message-Id" => "Message-ID".to_owned(),
        "Mime-Version" => "MIME-Version".to_owned(),
        _ => name,
    }
}
