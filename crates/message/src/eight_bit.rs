//! Header fields with octets over 127 made ASCII (RFC 2047, RFC 2231).
//!
//! In: the name of a field and its value, unfolded; of the message or of a part. Out: a value in ASCII that means the same, as
//! far as the field can say it. Never: another address. One that is itself not ASCII stays, for ASCII has no words for it.

use crate::addresses::AddressList;
use crate::encoding::{ascii, clean, encoded_words, field, readable, text_of, unstructured};
use crate::mime::Reader;
use crate::section::unfold;

/// Octets of a parameter's value in one piece (RFC 2231 §3).
const PIECE: usize = 60;

/// How a field is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Addresses,
    /// Message ids in angle brackets.
    Ids,
    /// A word and parameters (RFC 2045 §5.1).
    Parameters,
    /// Of words for machines.
    Machine,
    Text,
}

impl Shape {
    /// By the name of the field, any case.
    pub(crate) fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("resent-").unwrap_or(&name) {
            "from" | "sender" | "reply-to" | "to" | "cc" | "bcc" => Self::Addresses,
            "disposition-notification-to" | "return-receipt-to" | "errors-to" => Self::Addresses,
            "message-id" | "references" | "in-reply-to" => Self::Ids,
            "content-type" | "content-disposition" => Self::Parameters,
            "date" | "received" | "return-path" | "mime-version" | "content-transfer-encoding" | "content-id" => {
                Self::Machine
            }
            "dkim-signature" | "authentication-results" | "auto-submitted" => Self::Machine,
            other if other.starts_with("arc-") => Self::Machine,
            _ => Self::Text,
        }
    }
}

/// The value of a field of the message in ASCII, except for addresses that are not.
pub(crate) fn in_ascii(name: &str, value: &[u8]) -> String {
    match Shape::of(name) {
        Shape::Addresses => addresses(value),
        Shape::Ids => ids(value),
        Shape::Parameters => parameters(value).map_or_else(|| ascii(&clean(&text_of(value))), |parts| parts.join("; ")),
        Shape::Machine => ascii(&clean(&text_of(value))),
        Shape::Text => text(value),
    }
}

fn text(value: &[u8]) -> String {
    unstructured(readable(&text_of(value)).trim())
}

fn addresses(value: &[u8]) -> String {
    match AddressList::parse(value) {
        Ok(list) => list.written(),
        // Words that no grammar knows: those that could be of an address stay apart from the others.
        Err(_) => {
            let text = clean(&text_of(value));
            let words = text
                .split_ascii_whitespace()
                .map(|word| if word.is_ascii() { word.to_owned() } else { encoded_words(word) });
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Those that are ASCII.
fn ids(value: &[u8]) -> String {
    let value = clean(&text_of(value));
    value.split_ascii_whitespace().filter(|id| id.is_ascii()).collect::<Vec<_>>().join(" ")
}

/// A field of a part, as it came, in ASCII, without a line end behind it. `None`: it would mean something else then. Text that
/// is no UTF-8 is not guessed at here.
pub(crate) fn part_field(raw: &[u8]) -> Option<String> {
    let (name, value) = raw.split_at_checked(memchr::memchr(b':', raw)?)?;
    let (name, value) = (std::str::from_utf8(name).ok()?, value.get(1..)?);
    let text = match Shape::of(name.trim()) {
        Shape::Parameters => format!("{name}: {}", parameters(value)?.join(";\r\n\t")),
        _ => {
            let mut text = String::new();
            field(&mut text, name, &unstructured(std::str::from_utf8(&unfold(value)).ok()?.trim()));
            text.trim_end().to_owned()
        }
    };
    text.is_ascii().then_some(text)
}

/// What stands before the parameters, then each of them: those that are not ASCII by RFC 2231. Octets that are no UTF-8 are
/// windows-1252 and stay what they are, so that a boundary is still that of the body. Comments are left out.
fn parameters(value: &[u8]) -> Option<Vec<String>> {
    let (main, mut reader) = Reader::of_value(value);
    let mut parts = vec![String::from_utf8(main).ok()?];
    while let Some((name, value)) = reader.parameter() {
        parts.extend(parameter(&String::from_utf8(name).ok()?, &value)?);
    }
    parts.iter().all(|part| part.is_ascii()).then_some(parts)
}

fn parameter(name: &str, value: &[u8]) -> Option<Vec<String>> {
    if name.ends_with('*') {
        // RFC 2231 §4: it is encoded already, or should be.
        let octets =
            value.iter().map(|octet| if octet.is_ascii() { char::from(*octet).into() } else { percent(*octet) });
        return Some(vec![format!("{name}={}", octets.collect::<String>())]);
    }
    if value.is_ascii() {
        let value = String::from_utf8_lossy(value).replace('\\', "\\\\").replace('"', "\\\"");
        return Some(vec![format!("{name}=\"{value}\"")]);
    }
    // A piece of a value that is not encoded as a whole.
    (!name.contains('*')).then(|| extended(name, value))
}

/// `name*=utf-8''…`, in pieces where it is long (RFC 2231 §3). No character is cut: many readers decode each piece by itself.
fn extended(name: &str, value: &[u8]) -> Vec<String> {
    let (charset, characters): (_, Vec<&[u8]>) = match std::str::from_utf8(value) {
        Ok(text) => ("utf-8", text.split_inclusive(|_| true).map(str::as_bytes).collect()),
        Err(_) => ("windows-1252", value.chunks(1).collect()),
    };
    let mut pieces = vec![format!("{charset}''")];
    for character in characters {
        let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~".contains(octet);
        let octets =
            character.iter().map(|octet| if plain(octet) { char::from(*octet).into() } else { percent(*octet) });
        let text: String = octets.collect();
        match pieces.last_mut().filter(|piece| piece.len() + text.len() <= PIECE) {
            Some(piece) => piece.push_str(&text),
            None => pieces.push(text),
        }
    }
    match pieces.as_slice() {
        [piece] => vec![format!("{name}*={piece}")],
        _ => pieces.iter().enumerate().map(|(number, piece)| format!("{name}*{number}*={piece}")).collect(),
    }
}

fn percent(octet: u8) -> String {
    format!("%{octet:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_ascii_by_the_rules_of_their_kind() {
        let table: &[(&str, &[u8], &str)] = &[
            ("Subject", "Störung".as_bytes(), "=?utf-8?Q?St=C3=B6rung?="),
            ("Subject", b"St\xf6rung \x80", "=?utf-8?Q?St=C3=B6rung_=E2=82=AC?="),
            ("Subject", "=?utf-8?q?=C3=A4?= ö".as_bytes(), "=?utf-8?Q?=C3=A4_=C3=B6?="),
            ("To", "Müller <m@x>, a@b (Grün)".as_bytes(), "=?utf-8?Q?M=C3=BCller?= <m@x>, =?utf-8?Q?Gr=C3=BCn?= <a@b>"),
            ("Cc", "Büro: a@b, \"x\" <c@d>;".as_bytes(), "=?utf-8?Q?B=C3=BCro?=: a@b, x <c@d>;"),
            ("To", "Büro <a@b".as_bytes(), "=?utf-8?Q?B=C3=BCro?= <a@b"),
            ("From", "ü@x".as_bytes(), "ü@x"),
            ("References", "<a@b> <ü@x> <c@d>".as_bytes(), "<a@b> <c@d>"),
            ("Received", "from Büro".as_bytes(), "from B\\x{FC}ro"),
            (
                "Content-Type",
                "text/plain; name=\"Ü; x.txt\"; charset=utf-8".as_bytes(),
                "text/plain; name*=utf-8''%C3%9C%3B%20x.txt; charset=\"utf-8\"",
            ),
            (
                "Content-Disposition",
                b"attachment; filename=\"\xdc.pdf\"",
                "attachment; filename*=windows-1252''%DC.pdf",
            ),
            (
                "Content-Disposition",
                "attachment; filename*=utf-8''ü%20x".as_bytes(),
                "attachment; filename*=utf-8''%C3%BC%20x",
            ),
            ("Content-Type", b"multipart/mixed; boundary=\xfc", "multipart/mixed; boundary*=windows-1252''%FC"),
            ("Content-Type", "tüxt/plain; name=x".as_bytes(), "t\\x{FC}xt/plain; name=x"),
        ];
        for (name, value, expected) in table {
            assert_eq!(in_ascii(name, value), *expected, "{name}: {}", text_of(value));
        }
    }

    #[test]
    fn a_long_file_name_is_read_back_by_others() {
        for length in 1..80 {
            let name = format!("{}.pdf", "aü".repeat(length));
            let value = in_ascii("Content-Disposition", format!("attachment; filename=\"{name}\"").as_bytes());
            assert!(value.is_ascii());
            let message = format!("Content-Type: text/plain\r\nContent-Disposition: {value}\r\n\r\nx\r\n");
            let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
            let theirs = mail_parser::MimeHeaders::attachment_name(read.part(0).unwrap()).map(str::to_owned);
            assert_eq!(theirs, Some(name));
        }
    }
    #[test]
    fn fields_of_parts_become_ascii_and_mean_the_same() {
        let table: [(&[u8], Option<&str>); 8] = [
            (
                "Content-Type: text/plain; charset=utf-8;\r\n name=\"Größe \\\"1\\\".txt\"\r\n".as_bytes(),
                Some(
                    "Content-Type: text/plain;\r\n\tcharset=\"utf-8\";\r\n\tname*=utf-8''Gr%C3%B6%C3%9Fe%20%221%22.txt",
                ),
            ),
            (
                b"Content-Disposition: attachment (x); filename=\xfc.pdf",
                Some("Content-Disposition: attachment;\r\n\tfilename*=windows-1252''%FC.pdf"),
            ),
            (
                "content-disposition: inline; filename*=utf-8''ü%20x".as_bytes(),
                Some("content-disposition: inline;\r\n\tfilename*=utf-8''%C3%BC%20x"),
            ),
            ("Content-Disposition: inline; filename*0=\"ü\"".as_bytes(), None),
            ("Content-Type: text/plain (ü); name=x".as_bytes(), Some("Content-Type: text/plain;\r\n\tname=\"x\"")),
            ("Content-Type: tüxt/plain".as_bytes(), None),
            (
                "Content-Description: Störung\r\n der Anlage\r\n".as_bytes(),
                Some("Content-Description: =?utf-8?Q?St=C3=B6rung_der_Anlage?="),
            ),
            (b"Content-Description: \xfc", None),
        ];
        for (raw, expected) in table {
            assert_eq!(part_field(raw).as_deref(), expected, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn a_long_parameter_goes_in_pieces() {
        let text = part_field(format!("Content-Type: a/b; name={}", "ä".repeat(40)).as_bytes()).unwrap();
        let lines: Vec<_> = text.split(";\r\n\t").collect();
        assert!(lines[1].starts_with("name*0*=utf-8''%C3%A4") && lines[2].starts_with("name*1*=%"), "{text}");
        assert_eq!(text.matches("%C3").count() + text.matches("%A4").count(), 80);
        assert!(lines.iter().all(|line| line.len() <= 76));
    }
}
