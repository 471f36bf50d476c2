//! Who a message says it is from: its From and Sender fields.
//!
//! In: header fields, unfolded, as they stand in the message. Out: authors, or why a field cannot be used. The same reading
//! decides on the way in whether a client may send as this, and on the way out what is repaired, so that the two agree.
//! Rule: of a field that is usable nobody can read another address than is read here; one that is not never leaves.
//! RFC 5322 §3.6.2; RFC 6854 allows groups in From.

use serde::{Deserialize, Serialize};
use smtp::Mailbox;

use crate::addresses::{AddressList, written};

/// Octets of a From or Sender field, unfolded, its name included; a longer one is not usable.
pub(crate) const FIELD: usize = 4_096;
/// Authors of one message.
const AUTHORS: usize = 100;

/// A mailbox of From or Sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The display name, encoded words decoded (RFC 2047) where the character set is known, no control characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address.
    pub mailbox: Mailbox,
}

impl Author {
    /// The name, unless it is still encoded because its character set is not known: nobody could read that twice encoded.
    pub(crate) fn readable_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.contains("=?"))
    }
    /// As an element of an address field.
    pub(crate) fn written(&self) -> String {
        written(self.readable_name(), &self.mailbox)
    }
}

/// What From and Sender say. The default is that of a message that nobody has asked: no author, and no trouble either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authors {
    /// In the order of the field, members of groups in their places; 1 to 100 if From is usable, otherwise none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Author>,
    /// `None` without a usable Sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Author>,
    /// Why From is not usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_trouble: Option<AuthorTrouble>,
    /// Why Sender is not usable; a message without one has no trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_trouble: Option<AuthorTrouble>,
}

impl Authors {
    /// All addresses that the message claims, From before Sender.
    pub fn identities(&self) -> impl Iterator<Item = &Mailbox> {
        self.from.iter().chain(&self.sender).map(|author| &author.mailbox)
    }
}

/// Why a From or Sender field cannot be used. As text: what is wrong with it, after "the field".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorTrouble {
    /// No such field.
    #[error("is missing")]
    Missing,
    /// More than one such field.
    #[error("stands there more than once")]
    Repeated,
    /// Over 4,096 octets; of another field than From and Sender, over 1 MiB.
    #[error("is longer than 4096 octets")]
    TooLong,
    /// Over 100 addresses.
    #[error("has more than 100 addresses")]
    TooMany,
    /// More than one address, or a group, where one mailbox must stand.
    #[error("has more than one address")]
    NotOne,
    /// NUL or another control character.
    #[error("has a control character")]
    Control,
    /// A bracket, quotation mark, comment or group that is not closed, or was not opened.
    #[error("has a bracket, quotation mark or comment without its other half")]
    Unbalanced,
    /// Nothing that is an address with a domain.
    #[error("has no valid address where one must stand")]
    NoAddress,
    /// An address that is neither ASCII nor UTF-8.
    #[error("has an address that is not UTF-8")]
    NotUtf8,
    /// Anything else that the grammar does not know, or that readers would read in different ways.
    #[error("cannot be read in one way only")]
    Unreadable,
}

/// Takes all fields of a header section, one by one.
#[derive(Debug, Default)]
pub(crate) struct AuthorsReader {
    from: Option<Result<Vec<Author>, AuthorTrouble>>,
    sender: Option<Result<Vec<Author>, AuthorTrouble>>,
}

impl AuthorsReader {
    /// `length`: octets of the whole field, unfolded; only of one with at most [`FIELD`] the value must be whole.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], length: usize) {
        let (slot, read): (_, fn(&[u8]) -> _) = if name.eq_ignore_ascii_case(b"from") {
            (&mut self.from, |value| read_from(value).map(|list| authors(&list)))
        } else if name.eq_ignore_ascii_case(b"sender") {
            (&mut self.sender, |value| read_sender(value).map(|list| authors(&list)))
        } else {
            return;
        };
        *slot = Some(match slot {
            Some(_) => Err(AuthorTrouble::Repeated),
            None if length > FIELD => Err(AuthorTrouble::TooLong),
            None => read(value),
        });
    }

    pub(crate) fn finish(self) -> Authors {
        let (from, from_trouble) = match self.from.unwrap_or(Err(AuthorTrouble::Missing)) {
            Ok(from) => (from, None),
            Err(trouble) => (Vec::new(), Some(trouble)),
        };
        let (sender, sender_trouble) = match self.sender.transpose() {
            Ok(sender) => (sender.and_then(|sender| sender.into_iter().next()), None),
            Err(trouble) => (None, Some(trouble)),
        };
        Authors { from, sender, from_trouble, sender_trouble }
    }
}

/// The value of a From field, if it is usable.
pub(crate) fn read_from(value: &[u8]) -> Result<AddressList, AuthorTrouble> {
    let list = AddressList::parse(value)?;
    let (mut count, mut octets) = (0, "From:".len());
    for entry in list.entries() {
        count += 1;
        octets += entry.mailbox.as_str().len() + ", ".len();
    }
    match count {
        0 => Err(AuthorTrouble::NoAddress),
        _ if count > AUTHORS => Err(AuthorTrouble::TooMany),
        // So that it can be written canonically and still be read.
        _ if octets > FIELD => Err(AuthorTrouble::TooLong),
        _ => Ok(list),
    }
}

/// The value of a Sender field, if it is usable.
pub(crate) fn read_sender(value: &[u8]) -> Result<AddressList, AuthorTrouble> {
    let list = read_from(value)?;
    match list.items.as_slice() {
        [crate::addresses::Item::Mailbox(_)] => Ok(list),
        _ => Err(AuthorTrouble::NotOne),
    }
}

fn authors(list: &AddressList) -> Vec<Author> {
    list.entries().map(|entry| Author { name: entry.name.clone(), mailbox: entry.mailbox.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ScanLimits, Scanner};

    fn scan(text: &str) -> Authors {
        let mut scanner = Scanner::new(ScanLimits::default(), "relay.test");
        scanner.push(text.as_bytes()).unwrap();
        scanner.finish().0.authors
    }

    #[test]
    fn each_trouble_has_its_name() {
        use AuthorTrouble::*;
        let many = format!("From: {}\r\n", vec!["a@b"; 101].join(","));
        let most = format!("From: {}\r\n", vec!["a@b"; 100].join(","));
        let long = format!("From: {} <a@b>\r\n", "x".repeat(4_085));
        let longest = format!("From: {}\r\n  <a@b>\r\n", "x".repeat(4_083));
        let table = [
            ("Subject: x\r\n", Some(Missing), None),
            ("From: a@b\r\nfrom : a@b\r\n", Some(Repeated), None),
            ("From: a@b\rFROM: c@d\n\r\n", Some(Repeated), None),
            ("From: G:;\r\n", Some(NoAddress), None),
            ("From:\r\n", Some(NoAddress), None),
            (&many, Some(TooMany), None),
            (&most, None, None),
            (&long, Some(TooLong), None),
            (&longest, None, None),
            ("From: a@b\r\nSender: a@b, c@d\r\n", None, Some(NotOne)),
            ("From: a@b\r\nSender: G: a@b;\r\n", None, Some(NotOne)),
            ("From: a@b\r\nSender: \r\n", None, Some(NoAddress)),
            ("From: a@b\r\nSender: c@d\r\nSender: c@d\r\n", None, Some(Repeated)),
            ("From: a@b\r\n\r\nFrom: c@d\r\n", None, None),
        ];
        for (text, from, sender) in table {
            let authors = scan(text);
            assert_eq!((authors.from_trouble, authors.sender_trouble), (from, sender), "{text:.80}");
            assert_eq!(authors.from.is_empty(), from.is_some());
        }
    }

    #[test]
    fn identities_are_all_that_is_claimed() {
        let authors = scan("Sender: \"S\" <c@d>\r\nFrom: Anna <a@b>, G: e@f;\r\n\r\n");
        assert_eq!(authors.identities().map(Mailbox::as_str).collect::<Vec<_>>(), ["a@b", "e@f", "c@d"]);
        assert_eq!(authors.from[0].name.as_deref(), Some("Anna"));
    }

    #[test]
    fn facts_of_an_earlier_version_load_without_authors() {
        let facts: crate::HeaderFacts = serde_json::from_str(r#"{"from":"a@b"}"#).unwrap();
        assert_eq!(facts.authors, Authors::default());
        let authors = scan("From: a@b\r\n");
        let json = serde_json::to_string(&authors).unwrap();
        assert_eq!(json, r#"{"from":[{"mailbox":"a@b"}]}"#);
        assert_eq!(serde_json::from_str::<Authors>(&json).unwrap(), authors);
    }
}
