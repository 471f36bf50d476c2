//! What an operator may do to the header sections of a client: add, replace and remove fields.
//!
//! In: names and values as configured. Out: edits that cannot break a message, or the reason why one could. Never: a field
//! that says who a message is from, where it has been, or how its body is to be read.

use super::draft::Draft;
use super::structure::stands_once;
use crate::addresses::AddressList;
use crate::eight_bit::{Shape, in_ascii};

/// Octets of a name; it has a line with the first word.
const NAME: usize = 76;
/// Octets of a value.
const VALUE: usize = 4_096;

/// The name of a field that may be edited, see the head of this file. As configured; case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldName(String);

/// Why a field cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Not a field name (RFC 5322 §3.6.8), or over 76 octets.
    #[error("{0:?} is no name of a header field: 1 to 76 printable ASCII characters, no blank, no colon")]
    Name(String),
    /// The relay, or the message's structure, needs the field as it is.
    #[error("{0} cannot be edited: {1}")]
    Structural(String, &'static str),
    /// A control character, or over 4,096 octets.
    #[error("the value for {0} must be one line of at most 4096 octets without control characters")]
    Value(String),
    /// A field of addresses must hold addresses.
    #[error("the value for {0} is no list of addresses")]
    Addresses(String),
}

impl FieldName {
    /// Refuses what must not be edited.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let ftext = |octet: u8| octet.is_ascii_graphic() && octet != b':';
        if text.is_empty() || text.len() > NAME || !text.bytes().all(ftext) {
            return Err(EditError::Name(text.chars().take(NAME).collect()));
        }
        match structural(&text.to_ascii_lowercase()) {
            Some(why) => Err(EditError::Structural(text.to_owned(), why)),
            None => Ok(Self(text.to_owned())),
        }
    }
    /// As configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for FieldName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a field is not to be edited; lower case.
fn structural(name: &str) -> Option<&'static str> {
    Some(match name {
        "from" | "sender" => "it says who the message is from; rewriting has settings of its own",
        "bcc" => "it never leaves the relay",
        "return-path" | "received" => "it tells where the message has been",
        "date" | "message-id" => "answers and duplicates are known by it",
        "dkim-signature" => "it belongs to a signature",
        "mime-version" => "it says how the body is to be read",
        _ if name.starts_with("arc-") => "it belongs to a signature",
        _ if name.starts_with("content-") => "it says how the body is to be read",
        _ if name.starts_with("resent-") => "it tells where the message has been",
        _ if name.starts_with(super::ORGANIZATION) => "only Microsoft 365 itself may set it",
        _ => return None,
    })
}

/// Edits, applied in this order: remove, replace, add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    add: Vec<(FieldName, String)>,
    replace: Vec<(FieldName, String)>,
    remove: Vec<FieldName>,
}

impl HeaderEdits {
    /// `add`: one more field, unless one with this value is there, or instead of the one that may be there; `replace`: the only
    /// field of its name, added if there was none; `remove`: all of the name. Values are text in any language; fields of addresses need addresses.
    pub fn new(
        add: Vec<(FieldName, String)>,
        replace: Vec<(FieldName, String)>,
        remove: Vec<FieldName>,
    ) -> Result<Self, EditError> {
        add.iter().chain(&replace).try_for_each(|(name, value)| check(name, value))?;
        Ok(Self { add, replace, remove })
    }
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.replace.is_empty() && self.remove.is_empty()
    }

    pub(super) fn apply(&self, draft: &mut Draft<'_>, smtputf8: bool) {
        for name in &self.remove {
            if draft.remove(|entry| entry.name.eq_ignore_ascii_case(&name.0)) > 0 {
                draft.note(format!("{name} was removed, as configured"));
            }
        }
        for (name, value) in &self.replace {
            let (lower, value) = (name.0.to_ascii_lowercase(), sendable(name, value, smtputf8));
            let same = draft.find(&lower).is_some_and(|entry| entry.value() == value.as_bytes());
            if !same || draft.count(&lower) > 1 {
                draft.put(&name.0, &value);
                draft.note(format!("{name} was set, as configured"));
            }
        }
        for (name, value) in &self.add {
            let (lower, value) = (name.0.to_ascii_lowercase(), sendable(name, value, smtputf8));
            if draft.fields().any(|entry| entry.name == lower && entry.value() == value.as_bytes()) {
                continue;
            }
            match stands_once(&lower) {
                true => draft.put(&name.0, &value),
                false => draft.add(&name.0, &value),
            }
            draft.note(format!("{name} was added, as configured"));
        }
    }
}

fn sendable(name: &FieldName, value: &str, smtputf8: bool) -> String {
    let value = value.trim();
    if value.is_ascii() || smtputf8 { value.to_owned() } else { in_ascii(&name.0, value.as_bytes()) }
}

fn check(name: &FieldName, value: &str) -> Result<(), EditError> {
    if value.trim().is_empty() || value.len() > VALUE || crate::encoding::clean(value) != value {
        return Err(EditError::Value(name.0.clone()));
    }
    let addresses =
        || AddressList::parse(value.as_bytes()).is_ok_and(|list| !list.unbracketed && !list.items.is_empty());
    if Shape::of(&name.0) == Shape::Addresses && !addresses() {
        return Err(EditError::Addresses(name.0.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_message_cannot_be_edited() {
        for name in [
            "From",
            "SENDER",
            "Bcc",
            "Received",
            "DKIM-Signature",
            "ARC-Seal",
            "Content-Type",
            "Resent-To",
            "X-MS-Exchange-Organization-SCL",
            "MIME-Version",
            "Message-ID",
        ] {
            assert!(matches!(FieldName::parse(name), Err(EditError::Structural(..))), "{name}");
        }
        for name in ["", "a b", "a:", "ü", &"x".repeat(77), "a\r\nb"] {
            assert!(matches!(FieldName::parse(name), Err(EditError::Name(_))), "{name}");
        }
        let edit = |name: &str, value: &str| {
            HeaderEdits::new(vec![(FieldName::parse(name).unwrap(), value.to_owned())], vec![], vec![])
        };
        assert!(edit("X-Site", "Köln, Halle 3").is_ok());
        assert!(edit("Reply-To", "Büro <a@b>").is_ok());
        assert!(matches!(edit("Reply-To", "nobody"), Err(EditError::Addresses(_))));
        for value in ["", " ", "a\r\nBcc: x@y", "\0", &"x".repeat(4_097)] {
            assert!(matches!(edit("X-Site", value), Err(EditError::Value(_))), "{value:?}");
        }
    }
}
