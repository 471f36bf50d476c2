//! Header fields with octets over 127 made ASCII (RFC 2047, RFC 2231).
//!
//! In: the name of a field and its value, unfolded; of the message or of a part. Out: a value in ASCII that means the same, as
//! far as the field can say it. Never: another address. One that is itself not ASCII stays, for ASCII has no words for it.

use std::fmt::Write;

use crate::addresses::AddressList;
use crate::encoding::{ascii, clean, encoded_words, readable, text_of, unstructured};

/// Octets of a piece of a parameter's value (RFC 2231 §3).
const PIECE: usize = 50;

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

/// The value in ASCII, except for addresses that are not. Also for the fields of a part.
pub(crate) fn encode_part_field(name: &str, value: &[u8]) -> String {
    match Shape::of(name) {
        Shape::Addresses => addresses(value),
        Shape::Ids => ids(value),
        Shape::Parameters => parameters(&text_of(value)),
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

/// Each parameter that is not ASCII by RFC 2231, the others as they are.
fn parameters(value: &str) -> String {
    let value = clean(value);
    let mut written = String::with_capacity(value.len());
    for (at, part) in split_parameters(&value).into_iter().enumerate() {
        if at > 0 {
            written.push(';');
        }
        match part.split_once('=') {
            Some((name, value)) if at > 0 && !part.is_ascii() && name.is_ascii() => {
                parameter(&mut written, name.trim(), value.trim())
            }
            _ if part.is_ascii() => written.push_str(part),
            _ => written.push_str(&ascii(part)),
        }
    }
    written
}

/// At semicolons outside of quoted strings.
fn split_parameters(value: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = |octet: char| {
        match octet {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => return true,
            _ => {}
        }
        false
    };
    value.split(ends).collect()
}

/// ` name*=utf-8''…`, or in pieces ` name*0*=utf-8''…; name*1*=…`.
fn parameter(into: &mut String, name: &str, value: &str) {
    let encoded = percent_encoded(&unquoted(value));
    let name = name.trim_end_matches('*');
    // Writing into a string does not fail.
    if encoded.len() <= PIECE {
        let _ = write!(into, " {name}*=utf-8''{encoded}");
        return;
    }
    for (number, piece) in pieces(&encoded).into_iter().enumerate() {
        let start = if number == 0 { "utf-8''" } else { ";" };
        let _ = match number {
            0 => write!(into, " {name}*0*={start}{piece}"),
            _ => write!(into, "{start} {name}*{number}*={piece}"),
        };
    }
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let (mut text, mut escaped) = (String::new(), false);
    for character in inner.chars() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => break,
            other => {
                text.push(other);
                escaped = false;
            }
        }
    }
    text
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            // Writing into a string does not fail.
            let _ = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}

/// Never cut inside a `%FC`.
fn pieces(encoded: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), encoded);
    while rest.len() > PIECE {
        let end = (PIECE - 2..=PIECE).find(|at| rest.as_bytes().get(*at) == Some(&b'%')).unwrap_or(PIECE);
        let inside = rest.get(..end).and_then(|piece| piece.rfind('%')).filter(|at| at + 3 > end);
        let (piece, after) = rest.split_at(inside.unwrap_or(end));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
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
                "text/plain; name*=utf-8''%C3%9C%3B%20x.txt; charset=utf-8",
            ),
            ("Content-Disposition", b"attachment; filename=\"\xdc.pdf\"", "attachment; filename*=utf-8''%C3%9C.pdf"),
        ];
        for (name, value, expected) in table {
            assert_eq!(encode_part_field(name, value), *expected, "{name}: {}", text_of(value));
        }
    }

    #[test]
    fn a_long_file_name_is_read_back_by_others() {
        for length in 1..80 {
            let name = format!("{}.pdf", "aü".repeat(length));
            let value = encode_part_field("Content-Disposition", format!("attachment; filename=\"{name}\"").as_bytes());
            assert!(value.is_ascii());
            let message = format!("Content-Type: text/plain\r\nContent-Disposition: {value}\r\n\r\nx\r\n");
            let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
            let theirs = mail_parser::MimeHeaders::attachment_name(read.part(0).unwrap()).map(str::to_owned);
            assert_eq!(theirs, Some(name));
        }
    }
}
