//! A path as it stands in MAIL and RCPT: angle brackets, source route, what follows.
//!
//! Also taken without angle brackets, because IIS and Exchange took it and devices rely on that.

use super::{AddressError, syntax};

/// Splits the text after `FROM:` or `TO:` into the path, brackets included, and the parameters behind it.
pub(crate) fn split_path(text: &str) -> Result<(&str, &str), AddressError> {
    let text = text.trim_start_matches([' ', '\t']);
    let end = path_length(text).ok_or(AddressError::Shape)?;
    let (path, parameters) = text.split_at_checked(end).ok_or(AddressError::Shape)?;
    if path.is_empty() || !(parameters.is_empty() || parameters.starts_with([' ', '\t'])) {
        return Err(AddressError::Shape);
    }
    Ok((path, parameters))
}

/// To behind the `>`, or, without brackets, to the first blank; quotes hide both.
fn path_length(text: &str) -> Option<usize> {
    let bracketed = text.starts_with('<');
    let (mut quoted, mut escaped) = (false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if bracketed && !quoted => return Some(place + 1),
            b' ' | b'\t' if !bracketed && !quoted => return Some(place),
            _ => {}
        }
    }
    (!bracketed).then_some(text.len())
}

/// What is inside the brackets, without the source route. `text` must be one path and nothing else.
pub(super) fn whole_path(text: &str) -> Result<&str, AddressError> {
    let inner = match text.strip_prefix('<') {
        Some(rest) => rest.strip_suffix('>').ok_or(AddressError::Shape)?,
        None => text,
    };
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, mailbox) = inner.split_once(':').ok_or(AddressError::Shape)?;
    let hops_are_domains = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(syntax::is_domain));
    if !hops_are_domains {
        return Err(AddressError::Domain);
    }
    if mailbox.is_empty() { Err(AddressError::Shape) } else { Ok(mailbox) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_where_its_bracket_closes() {
        let table: &[(&str, Option<(&str, &str)>)] = &[
            ("<a@b>", Some(("<a@b>", ""))),
            (" <a@b> SIZE=1", Some(("<a@b>", " SIZE=1"))),
            ("<\"a> b\"@c> SIZE=1", Some(("<\"a> b\"@c>", " SIZE=1"))),
            ("<\"a\\\"> b\"@c>", Some(("<\"a\\\"> b\"@c>", ""))),
            ("a@b SIZE=1", Some(("a@b", " SIZE=1"))),
            ("\"a b\"@c", Some(("\"a b\"@c", ""))),
            ("<>", Some(("<>", ""))),
            ("<a@b>SIZE=1", None),
            ("<a@b", None),
            ("", None),
            ("   ", None),
        ];
        for (text, expected) in table {
            assert_eq!(&split_path(text).ok(), expected, "{text:?}");
        }
    }
}
