//! Addresses and ids as the fields of a report hold them: xtext decoded (RFC 3461 §4), UTF-8 as it is or as embedded
//! characters (RFC 6533 §3), and the way back.

use smtp::{EnvelopeId, ForwardPath, OriginalRecipient};

use crate::encoding::{clean, digit, embed};

/// Value of `Original-Envelope-Id`.
pub(super) fn envelope_id(id: &EnvelopeId) -> String {
    decoded(id.as_str())
}

/// Value of `Original-Recipient`. `utf8`: it may hold UTF-8.
pub(super) fn original_recipient(original: &OriginalRecipient, utf8: bool) -> String {
    let (kind, address) = original.as_str().split_once(';').unwrap_or(("rfc822", original.as_str()));
    let address = match (kind.eq_ignore_ascii_case("utf-8"), utf8) {
        (false, _) => decoded(address),
        (true, true) => without_controls(&disembedded(address)),
        (true, false) => embedded(address, |character| character.is_ascii()),
    };
    format!("{kind}; {address}")
}

/// Value of `Final-Recipient`. `utf8`: it may hold UTF-8.
pub(super) fn final_recipient(path: &ForwardPath, utf8: bool) -> String {
    let Some(mailbox) = path.mailbox() else { return "rfc822; postmaster".to_owned() };
    let address = mailbox.as_str();
    match (mailbox.is_ascii(), utf8) {
        (true, _) => format!("rfc822; {address}"),
        (false, true) => format!("utf-8; {}", without_controls(address)),
        (false, false) => format!("utf-8; {}", embedded(address, is_qchar)),
    }
}

/// The address in a field: its type, and what it stands for.
pub(super) fn read(value: &str) -> Option<(String, String)> {
    let (kind, address) = value.split_once(';')?;
    let (kind, address) = (kind.trim().to_ascii_lowercase(), address.trim());
    let address = if kind == "utf-8" { disembedded(address) } else { address.to_owned() };
    (!kind.is_empty() && !address.is_empty()).then(|| (clean(&kind), clean(&address)))
}

/// RFC 6533 §3
fn is_qchar(character: char) -> bool {
    matches!(character, '!'..='~') && !matches!(character, '\\' | '+' | '=')
}

fn embedded(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        if stays(character) { written.push(character) } else { embed(&mut written, character) }
    }
    written
}

/// With UTF-8 as it is, and so that what was no embedded character does not become one.
fn without_controls(address: &str) -> String {
    embedded(address, |character| !character.is_control() && character != '\\')
}

/// With embedded characters decoded.
fn disembedded(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        read.push_str(before);
        let character = after.split_once('}').and_then(|(digits, tail)| {
            let sound = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let point = u32::from_str_radix(digits, 16).ok().filter(|_| sound)?;
            Some((char::from_u32(point)?, tail))
        });
        match character {
            Some((character, tail)) => {
                read.push(character);
                rest = tail;
            }
            None => {
                read.push_str("\\x{");
                rest = after;
            }
        }
    }
    read.push_str(rest);
    read
}

/// What xtext stands for, if that can stand in a field; otherwise the xtext.
fn decoded(xtext: &str) -> String {
    let mut read = Vec::with_capacity(xtext.len());
    let mut rest = xtext.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', [high, low, tail @ ..]) => {
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return xtext.to_owned() };
                read.push(high << 4 | low);
                rest = tail;
            }
            _ => read.push(*first),
        }
    }
    let printable = read.iter().all(|octet| matches!(octet, b' '..=b'~')) && read.trim_ascii().len() == read.len();
    String::from_utf8(read).ok().filter(|read| printable && !read.contains("  ")).unwrap_or_else(|| xtext.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_decoded_where_what_it_stands_for_can_stand_in_a_field() {
        let table = [
            ("QQ314159", "QQ314159"),
            ("a+2Bb+3Dc", "a+b=c"),
            ("two+20words", "two words"),
            ("x+0D+0ABcc:+20y", "x+0D+0ABcc:+20y"),
            ("+20x", "+20x"),
            ("+FC", "+FC"),
            ("a+20+20b", "a+20+20b"),
        ];
        for (xtext, expected) in table {
            assert_eq!(envelope_id(&xtext.parse().unwrap()), expected, "{xtext}");
        }
    }

    #[test]
    fn addresses_are_written_by_type_and_read_back() {
        let table = [
            ("rfc822;a+2Bb@c", "rfc822; a+b@c", "rfc822; a+b@c"),
            ("x400;/c+3Dx", "x400; /c=x", "x400; /c=x"),
            ("utf-8;grün@c", "utf-8; gr\\x{FC}n@c", "utf-8; grün@c"),
            ("utf-8;gr\\x{FC}n\\x{2B}@c", "utf-8; gr\\x{FC}n\\x{2B}@c", "utf-8; grün+@c"),
        ];
        for (orcpt, plain, utf8) in table {
            let orcpt: OriginalRecipient = orcpt.parse().unwrap();
            assert_eq!(original_recipient(&orcpt, false), plain);
            assert_eq!(original_recipient(&orcpt, true), utf8);
        }
        let path: ForwardPath = "<grün+1@bücher.example>".parse().unwrap();
        assert_eq!(final_recipient(&path, false), "utf-8; gr\\x{FC}n\\x{2B}1@b\\x{FC}cher.example");
        assert_eq!(final_recipient(&path, true), "utf-8; grün+1@bücher.example");
        for utf8 in [false, true] {
            let (kind, address) = read(&final_recipient(&path, utf8)).unwrap();
            assert_eq!((kind.as_str(), address.as_str()), ("utf-8", "grün+1@bücher.example"));
        }
    }

    #[test]
    fn what_only_looks_embedded_stays() {
        assert_eq!(disembedded("a\\x{zz}\\x{}\\x{110000}\\x{D800}\\x{41"), "a\\x{zz}\\x{}\\x{110000}\\x{D800}\\x{41");
    }
}
