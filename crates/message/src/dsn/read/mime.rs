//! As much of MIME (RFC 2045, 2046) as it takes to find the parts of a report.

use std::borrow::Cow;

use crate::dsn::returned::header_section;
use crate::encoding::{from_base64, from_quoted, lines};

/// Multiparts within each other.
const DEPTH: usize = 5;
/// Parts that are looked at.
const PARTS: usize = 64;
/// Octets of a field that are looked at.
const FIELD: usize = 4_096;
/// Octets of a boundary (RFC 2046 §5.1.1).
const BOUNDARY: usize = 70;

/// What a part is to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Status,
    Header,
    Message,
    Other,
}

/// A part that is not a multipart.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) kind: Kind,
    encoding: Encoding,
    octets: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Encoding {
    Identity,
    QuotedPrintable,
    Base64,
}

impl Part<'_> {
    /// Decoded.
    pub(super) fn content(&self) -> Cow<'_, [u8]> {
        match self.encoding {
            Encoding::Identity => Cow::Borrowed(self.octets),
            Encoding::QuotedPrintable => Cow::Owned(from_quoted(self.octets)),
            Encoding::Base64 => Cow::Owned(from_base64(self.octets)),
        }
    }
}

/// The parts of a message, in order.
pub(super) fn parts(octets: &[u8]) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    walk(octets, 0, &mut found);
    found
}

fn walk<'a>(octets: &'a [u8], depth: usize, found: &mut Vec<Part<'a>>) {
    if found.len() >= PARTS {
        return;
    }
    let header = header_section(octets);
    let rest = octets.get(header.len()..).unwrap_or_default();
    let body = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")).unwrap_or(rest);
    let (mut kind, mut encoding) = (String::new(), Encoding::Identity);
    for (name, value) in fields(header, FIELD) {
        if name.eq_ignore_ascii_case("content-type") && kind.is_empty() {
            kind = value;
        } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
            encoding = match value.trim().to_ascii_lowercase().as_str() {
                "quoted-printable" => Encoding::QuotedPrintable,
                "base64" => Encoding::Base64,
                _ => Encoding::Identity,
            };
        }
    }
    let media_type = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match boundary(&kind).filter(|_| media_type.starts_with("multipart/")) {
        Some(boundary) if depth < DEPTH => split(body, &boundary).for_each(|part| walk(part, depth + 1, found)),
        _ => found.push(Part { kind: kind_of(&media_type), encoding, octets: body }),
    }
}

fn kind_of(media_type: &str) -> Kind {
    match media_type {
        "" | "text/plain" => Kind::Text,
        "message/delivery-status" | "message/global-delivery-status" => Kind::Status,
        "text/rfc822-headers" | "message/global-headers" => Kind::Header,
        "message/rfc822" | "message/global" => Kind::Message,
        _ => Kind::Other,
    }
}

/// The parameter of a Content-Type field.
fn boundary(value: &str) -> Option<String> {
    let start = value.to_ascii_lowercase().find("boundary")?;
    let text = value.get(start + "boundary".len()..)?.trim_start().strip_prefix('=')?.trim_start();
    let boundary = match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?.to_owned(),
        None => text.split([';', ' ', '\t']).next()?.to_owned(),
    };
    (!boundary.is_empty() && boundary.len() <= BOUNDARY).then_some(boundary)
}

/// What stands between the delimiters; the line end before one belongs to it.
fn split<'a>(body: &'a [u8], boundary: &str) -> impl Iterator<Item = &'a [u8]> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut rest = after_delimiter(body, &delimiter).filter(|(_, _, last)| !last).map(|(_, rest, _)| rest);
    std::iter::from_fn(move || {
        let body = rest.take()?;
        match after_delimiter(body, &delimiter) {
            Some((part, after, last)) => {
                rest = (!last).then_some(after);
                Some(part)
            }
            // A report cut short.
            None => Some(body),
        }
    })
}

/// What is before the next delimiter, what is after its line, and whether it was the last one.
fn after_delimiter<'a>(body: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8], bool)> {
    for at in memchr::memmem::find_iter(body, delimiter) {
        let (before, found) = body.split_at(at);
        let tail = found.get(delimiter.len()..).unwrap_or_default();
        let (tail, last) = tail.strip_prefix(b"--").map_or((tail, false), |tail| (tail, true));
        let line = memchr::memchr(b'\n', tail).map_or(tail.len(), |end| end + 1);
        let (line, after) = tail.split_at(line);
        if (before.is_empty() || before.ends_with(b"\n")) && line.trim_ascii().is_empty() {
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            return Some((before.strip_suffix(b"\r").unwrap_or(before), after, last));
        }
    }
    None
}

/// Groups of lines between empty lines.
pub(super) fn blocks(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        while let Some(after) = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")) {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let mut length = 0;
        for line in lines(rest) {
            if line.is_empty() {
                break;
            }
            let tail = rest.get(length + line.len()..).unwrap_or_default();
            let end = if tail.starts_with(b"\r\n") { 2 } else { usize::from(!tail.is_empty()) };
            length += line.len() + end;
        }
        // An empty line that begins with a bare CR.
        let (block, after) = rest.split_at(length.max(1).min(rest.len()));
        rest = after;
        Some(block)
    })
}

/// Fields, unfolded, of each value at most so many octets.
pub(super) fn fields(block: &[u8], octets: usize) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines(block) {
        let continues = matches!(line.first(), Some(b' ' | b'\t'));
        if let Some((_, value)) = fields.last_mut().filter(|_| continues) {
            let room = octets.saturating_sub(value.len());
            value.push_str(&String::from_utf8_lossy(line.get(..room).unwrap_or(line)));
        } else if let Some(colon) = memchr::memchr(b':', line).filter(|_| !continues) {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
            fields.push((text(name), text(value.get(..octets).unwrap_or(value))));
        }
    }
    fields
}
