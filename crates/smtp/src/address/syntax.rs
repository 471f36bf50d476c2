//! The characters of an address: which texts are a `Mailbox` (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! More generous than the RFC in one point: underscores in domains, which the names of devices and of Windows hosts have.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::AddressError;

/// RFC 5321 §4.5.3.1.1
const LOCAL_PART_OCTETS: usize = 64;
/// RFC 5321 §4.5.3.1.2
const DOMAIN_OCTETS: usize = 255;
/// RFC 1035 §2.3.4
const LABEL_OCTETS: usize = 63;

/// Where the `@` stands, if the text is a mailbox.
pub(super) fn check_mailbox(text: &str) -> Result<usize, AddressError> {
    let at = if text.starts_with('"') { quoted_length(text)? } else { text.find('@').ok_or(AddressError::Shape)? };
    let (local_part, rest) = text.split_at_checked(at).ok_or(AddressError::Shape)?;
    let domain = rest.strip_prefix('@').ok_or(AddressError::Shape)?;
    if local_part.is_empty() || domain.is_empty() {
        return Err(AddressError::Shape);
    }
    if local_part.len() > LOCAL_PART_OCTETS {
        return Err(AddressError::LocalPartTooLong);
    }
    if domain.len() > DOMAIN_OCTETS {
        return Err(AddressError::DomainTooLong);
    }
    if !local_part.starts_with('"') && !local_part.split('.').all(is_atom) {
        return Err(AddressError::LocalPart);
    }
    if is_domain(domain) || is_literal(domain) { Ok(at) } else { Err(AddressError::Domain) }
}

/// Length of the quoted string at the start, both quotes included.
fn quoted_length(text: &str) -> Result<usize, AddressError> {
    let mut characters = text.char_indices().skip(1);
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok(place + 1),
            '\\' => match characters.next() {
                Some((_, ' '..='~')) => {}
                _ => return Err(AddressError::LocalPart),
            },
            character if character.is_control() => return Err(AddressError::LocalPart),
            _ => {}
        }
    }
    Err(AddressError::Shape)
}

pub(super) fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_atext)
}

fn is_atext(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|' | '}'
        | '~' => true,
        other => !other.is_ascii() && !other.is_control(),
    }
}

/// A domain name; labels may be UTF-8 (RFC 6531). One that ends with a dot is none (RFC 5321 §2.3.5).
pub(super) fn is_domain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let letter =
        |c: char| c.is_ascii_alphanumeric() || c == '_' || (!c.is_ascii() && !c.is_control() && !c.is_whitespace());
    // A UTF-8 label is longer than the DNS label it stands for, so only the whole domain's limit holds for it.
    !label.is_empty()
        && (label.len() <= LABEL_OCTETS || !label.is_ascii())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c == '-' || letter(c))
}

/// `[192.0.2.1]`, `[IPv6:…]` or `[Tag:…]` (RFC 5321 §4.1.3).
fn is_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else { return false };
    match inner.split_once(':') {
        None => inner.parse::<Ipv4Addr>().is_ok(),
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => address.parse::<Ipv6Addr>().is_ok(),
        Some((tag, content)) => {
            is_label(tag)
                && tag.is_ascii()
                && !content.is_empty()
                && content.bytes().all(|byte| matches!(byte, 33..=90 | 94..=126))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_told_from_other_texts() {
        use AddressError::*;
        let long_local = format!("{}@b", "a".repeat(65));
        let long_domain = format!("a@{}", "b.".repeat(127) + "cc");
        let long_label = format!("a@{}", "b".repeat(64));
        let table: &[(&str, Result<usize, AddressError>)] = &[
            ("a@b", Ok(1)),
            ("a.b+c=d@x-y.example", Ok(7)),
            ("printer_1@dev_1.local", Ok(9)),
            ("\"a b\"@x", Ok(5)),
            ("\"\"@x", Ok(2)),
            ("\"a@b\"@x", Ok(5)),
            ("\"a\\\"b\"@x", Ok(6)),
            ("a@[192.0.2.1]", Ok(1)),
            ("a@[IPv6:::1]", Ok(1)),
            ("a@[x400:abc]", Ok(1)),
            ("grün@bücher.example", Ok(5)),
            ("", Err(Shape)),
            ("a", Err(Shape)),
            ("@b", Err(Shape)),
            ("a@", Err(Shape)),
            ("\"a@b", Err(Shape)),
            ("\"a\"b@c", Err(Shape)),
            (&long_local, Err(LocalPartTooLong)),
            (&long_domain, Err(DomainTooLong)),
            (&long_label, Err(Domain)),
            ("a b@c", Err(LocalPart)),
            ("a..b@c", Err(LocalPart)),
            (".a@c", Err(LocalPart)),
            ("a.@c", Err(LocalPart)),
            ("a\r\n@c", Err(LocalPart)),
            ("\"a\n\"@c", Err(LocalPart)),
            ("\"a\\ü\"@c", Err(LocalPart)),
            ("a<@c", Err(LocalPart)),
            ("a@b@c", Err(Domain)),
            ("a@b.", Err(Domain)),
            ("a@b..c", Err(Domain)),
            ("a@-b", Err(Domain)),
            ("a@b c", Err(Domain)),
            ("a@b>", Err(Domain)),
            ("a@[300.0.2.1]", Err(Domain)),
            ("a@[IPv6:zz]", Err(Domain)),
            ("a@[]", Err(Domain)),
            ("a@[x:]", Err(Domain)),
        ];
        for (text, expected) in table {
            assert_eq!(&check_mailbox(text), expected, "{text:?}");
        }
    }
}
