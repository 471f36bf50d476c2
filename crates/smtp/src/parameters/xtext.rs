//! xtext (RFC 3461 §4) and its UTF-8 cousin (RFC 6533 §3): checked, never decoded, because they are passed on as they came;
//! encoded where nothing came.

/// RFC 3461 §4.4
const ENVELOPE_ID_OCTETS: usize = 100;
/// RFC 3461 §4.2
const ORIGINAL_RECIPIENT_OCTETS: usize = 500;

pub(super) fn is_envelope_id(text: &str) -> bool {
    text.len() <= ENVELOPE_ID_OCTETS && is_xtext(text)
}

pub(super) fn is_original_recipient(text: &str) -> bool {
    let Some((kind, address)) = text.split_once(';') else { return false };
    let kind_is_atom = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let address_is_valid = is_xtext(address) || (kind.eq_ignore_ascii_case("utf-8") && is_unitext(address));
    text.len() <= ORIGINAL_RECIPIENT_OCTETS && kind_is_atom && address_is_valid
}

/// Each octet that xtext does not have as itself becomes `+` and two hexadecimal digits.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            33..=126 if !matches!(byte, b'+' | b'=') => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("+{byte:02X}")),
        }
    }
    encoded
}

/// Printable ASCII in which `+` comes with two hexadecimal digits and `=` does not come.
pub(super) fn is_xtext(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let valid = match byte {
            b'+' => is_hex(bytes.next()) && is_hex(bytes.next()),
            b'=' => false,
            other => matches!(other, 33..=126),
        };
        if !valid {
            return false;
        }
    }
    !text.is_empty()
}

fn is_hex(byte: Option<u8>) -> bool {
    matches!(byte, Some(b'0'..=b'9' | b'A'..=b'F'))
}

/// UTF-8 in which `+` and `=` do not come and a backslash begins `\x{HEX}`.
fn is_unitext(text: &str) -> bool {
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = match character {
            '\\' => match embedded_character(rest) {
                Some(rest) => rest,
                None => return false,
            },
            '+' | '=' => return false,
            '!'..='~' => rest.get(1..).unwrap_or_default(),
            other if !other.is_ascii() && !other.is_control() => rest.get(other.len_utf8()..).unwrap_or_default(),
            _ => return false,
        };
    }
    !text.is_empty()
}

/// What follows a `\x{HEX}` at the start of `text`.
fn embedded_character(text: &str) -> Option<&str> {
    let (digits, rest) = text.strip_prefix("\\x{")?.split_once('}')?;
    (matches!(digits.len(), 2..=6) && digits.bytes().all(|byte| is_hex(Some(byte)))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_ids_are_xtext_of_a_hundred_octets() {
        for text in ["a", "QQ314159", "a+2Bb+3D", "<>", &"x".repeat(100)] {
            assert!(is_envelope_id(text), "{text}");
        }
        for text in ["", "a b", "a=b", "a+", "a+2", "a+2b", "a+G0", "ü", "a\r\n", &"x".repeat(101)] {
            assert!(!is_envelope_id(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_encoded_is_xtext() {
        for (text, encoded) in [
            ("anna@contoso.test", "anna@contoso.test"),
            ("a+b=c@d", "a+2Bb+3Dc@d"),
            ("\"a b\"@c", "\"a+20b\"@c"),
            ("ü\r", "+C3+BC+0D"),
        ] {
            assert_eq!(encode(text), encoded);
            assert!(is_xtext(encoded), "{encoded}");
        }
    }

    #[test]
    fn original_recipients_have_a_type_and_an_address() {
        for text in ["rfc822;a@b", "RFC822;a+2Bb@c", "utf-8;gr\\x{FC}n@c", "utf-8;grün@c", "x400;a/b"] {
            assert!(is_original_recipient(text), "{text}");
        }
        let long = format!("rfc822;{}", "a".repeat(494));
        for text in
            ["", "rfc822", "rfc822;", ";a", "rfc822;a b", "rfc822;grün@c", "utf-8;a=b", "utf-8;ü\\y", "r f;a", &long]
        {
            assert!(!is_original_recipient(text), "{text:?}");
        }
    }
}
