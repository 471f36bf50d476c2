//! The header section of a part: its fields, and how it is written again.
//!
//! In: the section's octets as they came, with its empty line if there was one; what is to be stated anew. Out: fields; the
//! section with CRLF at its line ends, without NUL, folded at blanks where a line is too long. Fields that need no change
//! keep their octets.

use super::plan::NewEncoding;
use crate::eight_bit::part_field;

/// RFC 5322 §2.1.1: a line has no more, its CRLF not counted.
const LINE: usize = 998;
const TYPE: &[u8] = b"Content-Type";
const ENCODING: &[u8] = b"Content-Transfer-Encoding";

/// One line and its end; what comes after them.
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// Nothing, if the text just stops.
    pub(super) end: &'a [u8],
    pub(super) rest: &'a [u8],
}

impl<'a> Line<'a> {
    pub(super) fn first_of(octets: &'a [u8]) -> Self {
        let (text, tail) = octets.split_at(memchr::memchr2(b'\r', b'\n', octets).unwrap_or(octets.len()));
        let end = if tail.starts_with(b"\r\n") { 2 } else { tail.len().min(1) };
        let (end, rest) = tail.split_at(end);
        Self { text, end, rest }
    }
}

/// A field as it came; its value with line ends.
struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl Field<'_> {
    fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// A name of printable characters, perhaps blanks (RFC 5322 §4.5), a colon.
pub(super) fn is_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line.get(..LINE).unwrap_or(line)) else { return false };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

pub(super) fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// The fields of a section, up to its empty line; what is none (the first line of a mailbox file) is passed over.
fn fields(section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = section;
    let raw = std::iter::from_fn(move || {
        let (field, after) = next_field(rest)?;
        rest = after;
        Some(field)
    });
    raw.filter(|raw| is_field(raw)).filter_map(|raw| {
        let (name, value) = raw.split_at_checked(memchr::memchr(b':', raw)?)?;
        Some(Field { name: name.trim_ascii_end(), value: value.get(1..)? })
    })
}

/// The values of the first Content-Type and the first Content-Transfer-Encoding.
pub(super) fn media_fields(section: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let first = |name: &[u8]| fields(section).find(|field| field.is(name)).map(|field| field.value);
    (first(TYPE), first(ENCODING))
}

/// What a section is to say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rewriting {
    pub(super) encoding: Option<NewEncoding>,
    /// It is the header section of a message: it needs a MIME-Version if it names an encoding, and its 8-bit fields stay.
    pub(super) message: bool,
    /// 8-bit fields become ASCII.
    pub(super) seven_bit: bool,
}

/// What became of a section, but for its line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// A long line is folded, or a NUL blanked.
    pub(super) mended: bool,
    /// An 8-bit field is ASCII now.
    pub(super) encoded: bool,
    /// A line is too long and has no blank to be folded at.
    pub(super) unfoldable: bool,
}

pub(super) fn write(section: &[u8], rewriting: Rewriting, out: &mut Vec<u8>) -> Written {
    let mut written = Written::default();
    let (mut stated, mut version) = (false, false);
    let mut rest = section;
    while let Some((field, after)) = next_field(rest) {
        rest = after;
        version = version || is_named(field, b"MIME-Version");
        match rewriting.encoding.filter(|_| is_named(field, ENCODING)) {
            Some(new) if !std::mem::replace(&mut stated, true) => state_encoding(new, out),
            Some(_) => {}
            None => write_field(field, rewriting, &mut written, out),
        }
    }
    if let Some(new) = rewriting.encoding {
        state_missing(new, stated, version || !rewriting.message, out);
    }
    if rewriting.encoding.is_some() || !rest.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    written
}

/// A field with its continuations, and what comes after it; nothing at the empty line, or at the end.
fn next_field(section: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = Line::first_of(section);
    if line.text.is_empty() {
        return None;
    }
    let mut rest = line.rest;
    while is_continuation(rest) {
        rest = Line::first_of(rest).rest;
    }
    section.split_at_checked(section.len() - rest.len())
}

fn write_field(field: &[u8], rewriting: Rewriting, written: &mut Written, out: &mut Vec<u8>) {
    let encode = rewriting.seven_bit && !rewriting.message && !field.is_ascii();
    let ascii = encode.then(|| part_field(field)).flatten();
    written.encoded |= ascii.is_some();
    let ascii = ascii.map(|text| text + "\r\n");
    let mut rest = ascii.as_ref().map_or(field, String::as_bytes);
    while !rest.is_empty() {
        let line = Line::first_of(rest);
        write_line(line.text, !line.end.is_empty(), written, out);
        rest = line.rest;
    }
}

/// What the fields that were there have not said.
fn state_missing(new: NewEncoding, stated: bool, version: bool, out: &mut Vec<u8>) {
    if !stated {
        state_encoding(new, out);
    }
    if let Some(charset) = new.charset {
        out.extend_from_slice(format!("Content-Type: text/plain; charset={charset}\r\n").as_bytes());
    }
    if !version {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
}

fn is_named(line: &[u8], name: &[u8]) -> bool {
    let colon = memchr::memchr(b':', line).unwrap_or_default();
    line.get(..colon).unwrap_or_default().trim_ascii_end().eq_ignore_ascii_case(name)
}

fn state_encoding(new: NewEncoding, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("Content-Transfer-Encoding: {}\r\n", new.encoding).as_bytes());
}

fn write_line(text: &[u8], ended: bool, written: &mut Written, out: &mut Vec<u8>) {
    let mut rest = text;
    while rest.len() > LINE {
        let Some(at) = fold(rest) else {
            written.unfoldable = true;
            break;
        };
        let (line, after) = rest.split_at(at);
        blank_nul(line, written, out);
        out.extend_from_slice(b"\r\n");
        written.mended = true;
        rest = after;
    }
    blank_nul(rest, written, out);
    if ended {
        out.extend_from_slice(b"\r\n");
    }
}

/// The last blank that leaves text on both sides.
fn fold(text: &[u8]) -> Option<usize> {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t' | 0);
    let start = text.iter().position(|octet| !blank(octet))?;
    let end = text.iter().rposition(|octet| !blank(octet))?.min(LINE);
    let place = text.get(start..=end)?.iter().rposition(|octet| matches!(octet, b' ' | b'\t'))?;
    Some(start + place)
}

fn blank_nul(text: &[u8], written: &mut Written, out: &mut Vec<u8>) {
    written.mended |= text.contains(&0);
    out.extend(text.iter().map(|octet| if *octet == 0 { b' ' } else { *octet }));
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Charset, TransferEncoding};
    use super::*;

    const QUOTED: NewEncoding = NewEncoding { encoding: TransferEncoding::QuotedPrintable, charset: None };

    fn of(section: &str, encoding: Option<NewEncoding>, message: bool) -> (String, Written) {
        let mut out = Vec::new();
        let written = write(section.as_bytes(), Rewriting { encoding, message, seven_bit: false }, &mut out);
        (String::from_utf8(out).unwrap(), written)
    }

    #[test]
    fn a_section_in_order_keeps_its_octets() {
        for section in ["", "\r\n", "A: b\r\n", "A : b\r\n\tc\r\n \r\nA:\r\n\r\n", "A: b", ">From x\r\nA: b\r\n\r\n"] {
            assert_eq!(of(section, None, true), (section.to_owned(), Written::default()));
        }
    }

    #[test]
    fn the_encoding_is_stated_once_where_it_stood() {
        let new = "Content-Transfer-Encoding: quoted-printable\r\n";
        let table = [
            (
                "A: b\nContent-transfer-encoding:\n 8bit\nC: d\rCONTENT-TRANSFER-ENCODING: 7bit\r\n\n",
                "A: b\r\n",
                "C: d\r\n",
            ),
            ("A: b\r\n\r\n", "A: b\r\n", ""),
            ("\r\n", "", ""),
            ("", "", ""),
        ];
        for (section, before, after) in table {
            assert_eq!(of(section, Some(QUOTED), false).0, format!("{before}{new}{after}\r\n"), "{section:?}");
        }
    }

    #[test]
    fn a_type_and_a_version_are_added_where_they_are_missing() {
        let charset = Some(NewEncoding { charset: Some(Charset::Utf8), ..QUOTED });
        let (text, _) = of("A: b\r\n\r\n", charset, true);
        let lines: Vec<_> = text.split("\r\n").collect();
        assert_eq!(lines[2..], ["Content-Type: text/plain; charset=utf-8", "MIME-Version: 1.0", "", ""]);
        assert_eq!(of("mime-version: 1.0\r\n\r\n", Some(QUOTED), true).0.matches("ersion").count(), 1);
    }

    #[test]
    fn lines_too_long_are_folded_at_blanks_and_nul_is_blanked() {
        let mended = Written { mended: true, ..Written::default() };
        let (long, longer) = ("b".repeat(600), "c".repeat(996));
        let (text, written) = of(&format!("A: {long} {longer} d\0\r\n\r\n"), None, false);
        assert_eq!((text, written), (format!("A: {long}\r\n {longer}\r\n d \r\n\r\n"), mended));
        let (text, written) = of(&format!("A: {longer}c\r\n   \r\n"), None, false);
        assert_eq!((text, written), (format!("A:\r\n {longer}c\r\n   \r\n"), mended));
        let (text, written) = of(&format!("A:{longer}c\r\n"), None, false);
        assert_eq!((text, written.unfoldable), (format!("A:{longer}c\r\n"), true));
        assert!(of(&format!("A: {longer}{longer}\r\n"), None, false).1.unfoldable);
    }

    #[test]
    fn fields_are_told_from_text() {
        for line in ["A:", "A b", "A b: c", ": x", " A: b", "Grüße: x", ""] {
            assert_eq!(is_field(line.as_bytes()), line == "A:", "{line}");
        }
        assert!(is_field(b"Subject \t: x"));
        let values =
            media_fields(b"content-type: a/b;\n c=d\r\nContent-Type: x/y\r\nContent-Transfer-Encoding :8bit\r\n\r\n");
        assert_eq!(values, (Some(&b" a/b;\n c=d\r\n"[..]), Some(&b"8bit\r\n"[..])));
    }
}
