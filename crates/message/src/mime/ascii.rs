//! Fields of parts with octets over 127 in them, in ASCII: parameters by RFC 2231, other text by RFC 2047.
//!
//! In: a field as it came. Out: the same as ASCII; nothing, where that would change its meaning. Octets that are no UTF-8 are
//! windows-1252 in parameters, where they stay what they are, and no text elsewhere. Comments beside parameters are left out.

use super::media::Reader;
use crate::encoding;

/// Octets of a parameter's value in one piece.
const PIECE: usize = 60;

/// `raw`: with its line ends. Without one at the end.
pub(super) fn field(raw: &[u8]) -> Option<String> {
    let (name, value) = raw.split_at_checked(memchr::memchr(b':', raw)?)?;
    let name = std::str::from_utf8(name).ok()?;
    let value = value.get(1..)?;
    let text = match name.trim().to_ascii_lowercase().as_str() {
        "content-type" | "content-disposition" => parameters(name, value)?,
        _ => {
            let value: Vec<u8> = value.iter().copied().filter(|octet| !b"\r\n".contains(octet)).collect();
            let mut text = String::new();
            encoding::field(&mut text, name, &encoding::unstructured(std::str::from_utf8(&value).ok()?.trim()));
            text.trim_end().to_owned()
        }
    };
    text.is_ascii().then_some(text)
}

fn parameters(name: &str, value: &[u8]) -> Option<String> {
    let (main, mut reader) = Reader::of_value(value);
    let mut text = format!("{name}: {}", String::from_utf8(main).ok()?);
    while let Some((name, value)) = reader.parameter() {
        let name = String::from_utf8(name).ok()?;
        for piece in parameter(&name, &value)? {
            text.push_str(";\r\n\t");
            text.push_str(&piece);
        }
    }
    Some(text)
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

/// `name*=utf-8''…`, in pieces where it is long (RFC 2231 §3).
fn extended(name: &str, value: &[u8]) -> Vec<String> {
    let charset = if std::str::from_utf8(value).is_ok() { "utf-8" } else { "windows-1252" };
    let mut pieces = vec![format!("{charset}''")];
    for octet in value {
        let plain = octet.is_ascii_alphanumeric() || b"-._~".contains(octet);
        let text = if plain { char::from(*octet).into() } else { percent(*octet) };
        match pieces.last_mut().filter(|piece| piece.len() < PIECE) {
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
    fn fields_become_ascii_and_mean_the_same() {
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
            assert_eq!(field(raw).as_deref(), expected, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn a_long_parameter_goes_in_pieces() {
        let text = field(format!("Content-Type: a/b; name={}", "ä".repeat(40)).as_bytes()).unwrap();
        let lines: Vec<_> = text.split(";\r\n\t").collect();
        assert!(lines[1].starts_with("name*0*=utf-8''%C3%A4") && lines[2].starts_with("name*1*=%"), "{text}");
        assert_eq!(text.matches("%C3").count() + text.matches("%A4").count(), 80);
        assert!(lines.iter().all(|line| line.len() <= 76));
    }
}
