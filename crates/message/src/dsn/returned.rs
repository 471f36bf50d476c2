//! The third part: the message, or its header section, in the form that the way of the report allows.

use super::Returned;
use crate::encoding::{lines, quoted_printable};
use crate::{ScanLimits, Scanner};

/// RFC 5322 §2.1.1
const LINE: u64 = 998;

/// What came of it, for the words of the first part too.
pub(super) struct Third {
    /// The part, its fields included.
    pub(super) octets: Option<Vec<u8>>,
    /// The message is all there.
    pub(super) whole: bool,
}

/// `utf8`: the report goes by SMTPUTF8; `eight_bit`: by 8BITMIME at least.
pub(super) fn part(returned: &Returned, utf8: bool, eight_bit: bool) -> Third {
    let (octets, whole) = match returned {
        Returned::Nothing(_) => return Third { octets: None, whole: false },
        Returned::Header { octets, .. } => (octets, None),
        Returned::Message(octets) => (octets, whole(octets, utf8, eight_bit)),
    };
    let is_whole = whole.is_some();
    Third { octets: Some(whole.unwrap_or_else(|| header(octets, utf8))), whole: is_whole }
}

/// RFC 2046 §5.2.1: a message within a message is never encoded, so it must be able to go as it is.
fn whole(octets: &[u8], utf8: bool, eight_bit: bool) -> Option<Vec<u8>> {
    let mut scanner = Scanner::new(ScanLimits { header_section: usize::MAX, fields: usize::MAX }, "");
    scanner.push(octets).ok()?;
    let (_, facts) = scanner.finish();
    let global = facts.eight_bit_header;
    let header_goes = !global || (utf8 && std::str::from_utf8(header_section(octets)).is_ok());
    let body_goes = !facts.eight_bit_body || eight_bit;
    if facts.nul || facts.longest_line > LINE || !header_goes || !body_goes {
        return None;
    }
    let kind = if global { "message/global" } else { "message/rfc822" };
    let encoding = if global || facts.eight_bit_body { "8bit" } else { "7bit" };
    Some(joined(kind, encoding, octets))
}

fn header(octets: &[u8], utf8: bool) -> Vec<u8> {
    let section = header_section(octets);
    let legal = lines(section).all(|line| line.len() as u64 <= LINE && !line.contains(&0));
    if legal && section.is_ascii() {
        joined("text/rfc822-headers", "7bit", section)
    } else if legal && utf8 && std::str::from_utf8(section).is_ok() {
        joined("message/global-headers", "8bit", section)
    } else {
        // RFC 6522 §4 allows it for header sections that are not what they should be.
        let text = quoted_printable(section);
        joined("text/rfc822-headers", "quoted-printable", text.as_bytes())
    }
}

/// Fields and content, every line end a CRLF.
fn joined(kind: &str, encoding: &str, content: &[u8]) -> Vec<u8> {
    let fields = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    let mut part = fields.into_bytes();
    part.reserve(content.len() + 2);
    for line in lines(content) {
        part.extend_from_slice(line);
        part.extend_from_slice(b"\r\n");
    }
    part
}

/// Up to an empty line, or to a line that is neither a field nor its continuation.
pub(super) fn header_section(octets: &[u8]) -> &[u8] {
    let mut length = 0;
    for line in lines(octets) {
        let continues = matches!(line.first(), Some(b' ' | b'\t')) && length > 0;
        if !continues && !is_field(line) {
            break;
        }
        let rest = octets.get(length + line.len()..).unwrap_or_default();
        let end = if rest.starts_with(b"\r\n") { 2 } else { usize::from(!rest.is_empty()) };
        length += line.len() + end;
    }
    octets.get(..length).unwrap_or(octets)
}

fn is_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(|octet| matches!(octet, 33..=126))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(third: Third) -> String {
        String::from_utf8_lossy(&third.octets.unwrap()).into_owned()
    }

    fn message(octets: &str) -> Returned {
        Returned::Message(octets.as_bytes().to_vec())
    }

    #[test]
    fn the_header_section_ends_where_the_body_begins() {
        let table = [
            ("A: b\r\n c\r\n\r\nbody", "A: b\r\n c\r\n"),
            ("A: b\nC: d\n\nbody", "A: b\nC: d\n"),
            ("A: b\r\nno field\r\n", "A: b\r\n"),
            ("A: b", "A: b"),
            (" x\r\nA: b\r\n", ""),
            ("", ""),
        ];
        for (octets, expected) in table {
            assert_eq!(header_section(octets.as_bytes()), expected.as_bytes(), "{octets:?}");
        }
    }

    #[test]
    fn a_message_is_returned_as_it_is_or_only_its_header_section() {
        let long = format!("A: b\r\n\r\n{}\r\n", "x".repeat(999));
        let global = "Subject: ü\r\n\r\nü\r\n";
        let table = [
            ("A: b\r\n\r\nc\r\n", false, false, "message/rfc822", "7bit"),
            ("A: b\n\nc\n", false, false, "message/rfc822", "7bit"),
            ("A: b\r\n\r\nü\r\n", false, true, "message/rfc822", "8bit"),
            ("A: b\r\n\r\nü\r\n", false, false, "text/rfc822-headers", "7bit"),
            ("A: b\r\n\r\n\0\r\n", true, true, "text/rfc822-headers", "7bit"),
            (&long, true, true, "text/rfc822-headers", "7bit"),
            (global, true, true, "message/global", "8bit"),
            (global, false, true, "text/rfc822-headers", "quoted-printable"),
        ];
        for (octets, utf8, eight_bit, kind, encoding) in table {
            let third = part(&message(octets), utf8, eight_bit);
            assert_eq!(third.whole, kind.starts_with("message/"));
            let expected = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
            assert!(text(third).starts_with(&expected), "{octets:?}");
        }
    }

    #[test]
    fn header_sections_that_are_no_utf8_are_quoted() {
        let latin = Returned::Header { octets: b"Subject: gr\xfcn\r\n\r\n".to_vec(), cut: false };
        assert!(text(part(&latin, true, true)).ends_with("quoted-printable\r\n\r\nSubject: gr=FCn\r\n"));
        let utf8 = Returned::Header { octets: "Subject: grün\r\n\r\n".into(), cut: false };
        assert!(text(part(&utf8, true, true)).starts_with("Content-Type: message/global-headers\r\n"));
    }
}
