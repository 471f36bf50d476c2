//! Content-Type and Content-Transfer-Encoding as a reader of mail takes them (RFC 2045 §5.1, §6.1; RFC 2231 §3, §4).
//!
//! In: values of fields, folded or not. Out: the media type, its boundary, the encoding. What cannot be read is what readers
//! make of it: text/plain, no encoding.

use std::collections::HashMap;

use crate::encoding::digit;

/// Octets of a boundary; RFC 2046 §5.1.1 allows 70.
const BOUNDARY: usize = 200;
/// Octets of a media type that are kept, for notes.
const MEDIA: usize = 60;

/// A media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContentType {
    /// `text/plain`, in lower case; what cannot stand in a note is left out.
    pub(super) media: String,
    /// If there is a usable one.
    pub(super) boundary: Option<Vec<u8>>,
}

impl ContentType {
    pub(super) fn parse(value: &[u8]) -> Self {
        let mut reader = Reader(value);
        let kind = reader.token();
        let media = match reader.sign(b'/') {
            true => format!("{}/{}", printable(kind), printable(reader.token())),
            // RFC 2045 §5.2: what cannot be read is text/plain.
            false => "text/plain".to_owned(),
        };
        Self { media, boundary: boundary(&mut reader) }
    }

    pub(super) fn new(media: &str) -> Self {
        Self { media: media.to_owned(), boundary: None }
    }

    /// `text` of `text/plain`
    pub(super) fn top(&self) -> &str {
        self.media.split('/').next().unwrap_or_default()
    }
}

fn printable(token: &[u8]) -> String {
    let octets = token.iter().filter(|octet| octet.is_ascii_graphic()).take(MEDIA / 2);
    octets.map(|octet| char::from(octet.to_ascii_lowercase())).collect()
}

/// The first parameter of that name, else what RFC 2231 makes of its pieces.
fn boundary(reader: &mut Reader) -> Option<Vec<u8>> {
    let (mut plain, mut pieces) = (None, Vec::new());
    while let Some((name, value)) = reader.parameter() {
        match name.strip_prefix(b"boundary".as_slice()) {
            Some([]) => plain = plain.or(Some(value)),
            Some(section) => pieces.push((section.to_vec(), value)),
            None => {}
        }
    }
    plain.or_else(|| extended(&pieces)).and_then(usable)
}

/// `*`, or `*0`, `*1*`, …
fn extended(pieces: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut found = HashMap::new();
    for (name, value) in pieces {
        found.entry(name.as_slice()).or_insert(value);
    }
    let of = |section: &str| found.get(section.as_bytes()).copied();
    if let Some(value) = of("*") {
        return Some(without_charset(value));
    }
    let mut whole = Vec::new();
    for number in 0..pieces.len() {
        match (of(&format!("*{number}")), of(&format!("*{number}*"))) {
            (Some(value), _) => whole.extend_from_slice(value),
            (None, Some(value)) if number == 0 => whole.extend(without_charset(value)),
            (None, Some(value)) => whole.extend(percent_decoded(value)),
            (None, None) => break,
        }
    }
    Some(whole)
}

/// `charset'language'text`
fn without_charset(value: &[u8]) -> Vec<u8> {
    let mut parts = value.splitn(3, |octet| *octet == b'\'');
    percent_decoded(parts.nth(2).unwrap_or(value))
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let pair = after.split_first_chunk::<2>().filter(|_| *first == b'%');
        match pair.and_then(|([high, low], tail)| Some((digit(*high)? << 4 | digit(*low)?, tail))) {
            Some((octet, tail)) => {
                octets.push(octet);
                rest = tail;
            }
            None => octets.push(*first),
        }
    }
    octets
}

/// Blanks at its end would be lost in transit; control characters cannot be part of a line that is compared.
fn usable(mut boundary: Vec<u8>) -> Option<Vec<u8>> {
    boundary.truncate(boundary.trim_ascii_end().len());
    let clean = boundary.iter().all(|octet| !octet.is_ascii_control());
    (clean && !boundary.is_empty() && boundary.len() <= BOUNDARY).then_some(boundary)
}

/// What a Content-Transfer-Encoding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// Nothing, `7bit`, or a word that is no encoding (`utf-8`, `none`), which readers pass over.
    SevenBit,
    EightBit,
    Binary,
    QuotedPrintable,
    Base64,
    /// `uuencode`, `x-…`: its text means something that we cannot read.
    Foreign,
}

impl Declared {
    pub(super) fn parse(value: &[u8]) -> Self {
        let token = Reader(value).token().to_ascii_lowercase();
        match token.as_slice() {
            b"8bit" | b"8-bit" => Self::EightBit,
            b"binary" => Self::Binary,
            b"quoted-printable" => Self::QuotedPrintable,
            b"base64" => Self::Base64,
            b"uuencode" | b"uue" | b"yenc" | b"binhex" | b"binhex40" | b"mac-binhex40" => Self::Foreign,
            token if token.starts_with(b"x-") => Self::Foreign,
            _ => Self::SevenBit,
        }
    }

    /// The octets stand as they are.
    pub(super) fn is_identity(self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }
}

/// What is left of a value.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// What stands before the parameters (`text/plain`, `attachment`), without blanks and comments; and where they begin.
    pub(crate) fn of_value(value: &'a [u8]) -> (Vec<u8>, Self) {
        let mut reader = Self(value);
        let mut main = reader.token().to_vec();
        while reader.sign(b'/') {
            main.push(b'/');
            main.extend_from_slice(reader.token());
        }
        (main, reader)
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Blanks, line ends, comments (RFC 5322 §3.2.2).
    fn skip(&mut self) {
        let mut depth = 0_u32;
        while let Some(first) = self.0.first() {
            match first {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => _ = self.next(),
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => return,
            }
            self.next();
        }
    }

    fn sign(&mut self, sign: u8) -> bool {
        self.skip();
        let found = self.0.first() == Some(&sign);
        if found {
            self.next();
        }
        found
    }

    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|octet| ends(*octet)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        token
    }

    fn token(&mut self) -> &'a [u8] {
        self.skip();
        self.until(|octet| b" \t\r\n()/;=\"".contains(&octet))
    }

    /// The next `; name=value`, its name in lower case. Between them anything may stand that is none.
    pub(crate) fn parameter(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            self.skip();
            self.until(|octet| b";\"(".contains(&octet));
            match self.0.first()? {
                b';' => _ = self.next(),
                b'"' => _ = self.quoted(),
                _ => self.skip(),
            }
            let name = self.token().to_ascii_lowercase();
            if !name.is_empty() && self.sign(b'=') {
                return Some((name, self.value()));
            }
        }
    }

    /// A quoted string; else all up to a blank, a comment or `;`, for many write boundaries with `=` in them and do not quote them.
    fn value(&mut self) -> Vec<u8> {
        self.skip();
        match self.0.first() {
            Some(b'"') => self.quoted(),
            _ => self.until(|octet| b" \t\r\n(;".contains(&octet)).to_vec(),
        }
    }

    /// Line ends are folding, and no part of it.
    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        self.next();
        while let Some(octet) = self.next() {
            match octet {
                b'"' => break,
                b'\\' => text.extend(self.next()),
                b'\r' | b'\n' => {}
                other => text.push(other),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_as_others_read_them() {
        let table: [(&str, &str, Option<&str>); 21] = [
            ("text/plain", "text/plain", None),
            (" TEXT / Html ; charset=x", "text/html", None),
            ("multipart/mixed; boundary=abc", "multipart/mixed", Some("abc")),
            ("multipart/mixed;\r\n\tBOUNDARY=\"a b\\\"c\"", "multipart/mixed", Some("a b\"c")),
            ("multipart/mixed; boundary=----=_Part/1:2?3", "multipart/mixed", Some("----=_Part/1:2?3")),
            ("multipart/mixed (a (nested\\) one)); (x) boundary (y) = (z) abc (w)", "multipart/mixed", Some("abc")),
            ("multipart/mixed; name=\"; boundary=no\"; boundary=yes", "multipart/mixed", Some("yes")),
            ("multipart/mixed; boundary=one; boundary=two", "multipart/mixed", Some("one")),
            ("multipart/mixed; boundary=\"abc  \"", "multipart/mixed", Some("abc")),
            ("multipart/mixed; boundary*=us-ascii'en'a%20b%3d", "multipart/mixed", Some("a b=")),
            (
                "multipart/mixed; boundary*0=ab; boundary*1*=c%64; boundary*2=\"e f\"",
                "multipart/mixed",
                Some("abcde f"),
            ),
            (
                "multipart/mixed; boundary*1=b; boundary*0=a; boundary*1=x; boundary*1*=y; boundary*00=z",
                "multipart/mixed",
                Some("ab"),
            ),
            ("multipart/mixed; boundary*0*=''a%62; boundary*2=z", "multipart/mixed", Some("ab")),
            ("multipart/mixed; boundary=\"\"", "multipart/mixed", None),
            ("multipart/mixed; boundary", "multipart/mixed", None),
            ("multipart/mixed; boundary=\"a\0b\"", "multipart/mixed", None),
            ("multipart/mixed; foo; ; boundary=abc", "multipart/mixed", Some("abc")),
            ("multipart/mixed boundary=abc", "multipart/mixed", None),
            ("multipart/mixed; boundary=\"abc", "multipart/mixed", Some("abc")),
            ("text", "text/plain", None),
            ("", "text/plain", None),
        ];
        for (value, media, boundary) in table {
            let expected = ContentType { media: media.to_owned(), boundary: boundary.map(|it| it.as_bytes().to_vec()) };
            assert_eq!(ContentType::parse(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn a_boundary_is_as_long_as_we_look() {
        let of =
            |length| ContentType::parse(format!("multipart/x; boundary={}", "b".repeat(length)).as_bytes()).boundary;
        assert_eq!(of(BOUNDARY).map(|boundary| boundary.len()), Some(BOUNDARY));
        assert_eq!(of(BOUNDARY + 1), None);
    }

    #[test]
    fn encodings_are_known_by_their_first_word() {
        let table = [
            ("7bit", Declared::SevenBit),
            (" 8BIT (yes)", Declared::EightBit),
            ("8-bit", Declared::EightBit),
            ("binary; x=y", Declared::Binary),
            ("(c) Quoted-Printable", Declared::QuotedPrintable),
            ("BASE64", Declared::Base64),
            ("x-uuencode", Declared::Foreign),
            ("UUENCODE", Declared::Foreign),
            ("utf-8", Declared::SevenBit),
            ("", Declared::SevenBit),
        ];
        for (value, expected) in table {
            assert_eq!(Declared::parse(value.as_bytes()), expected, "{value}");
        }
    }
}
