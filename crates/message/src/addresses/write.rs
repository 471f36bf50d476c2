//! Address fields written so that every reader reads the same.

use smtp::Mailbox;

use super::{AddressList, Entry, Item};
use crate::encoding::{cut, encoded_words, phrase};

/// Octets of a display name that are written.
const NAME: usize = 300;

/// A display name as it stands before `<`: a quoted string or encoded words wherever it might be taken for something else.
pub(crate) fn display(name: &str) -> String {
    let name = cut(name.trim(), NAME);
    if name.contains(['<', '>']) { encoded_words(&name) } else { phrase(&name) }
}

/// A mailbox with its display name.
pub(crate) fn written(name: Option<&str>, mailbox: &Mailbox) -> String {
    with_phrase(name.map(display).as_deref(), mailbox)
}

fn with_phrase(phrase: Option<&str>, mailbox: &Mailbox) -> String {
    match phrase {
        Some(phrase) => format!("{phrase} <{mailbox}>"),
        // A quoted local-part looks like a display name.
        None if mailbox.as_str().starts_with('"') => format!("<{mailbox}>"),
        None => mailbox.to_string(),
    }
}

impl Entry {
    /// With or without its name.
    pub(crate) fn written(&self, named: bool) -> String {
        match (&self.name, &self.phrase) {
            _ if !named => with_phrase(None, &self.mailbox),
            // Perhaps of a character set that we do not know.
            (Some(_), Some(phrase)) if phrase.contains("=?") && phrase.len() <= NAME => {
                with_phrase(Some(phrase), &self.mailbox)
            }
            (name, _) => written(name.as_deref(), &self.mailbox),
        }
    }
}

impl AddressList {
    /// The value of a field; comments and routes are gone.
    pub(crate) fn written(&self) -> String {
        let items = self.items.iter().map(|item| match item {
            Item::Mailbox(entry) => entry.written(true),
            Item::Group { name, members } => format!("{}: {};", display(name), join(members, true)),
        });
        items.collect::<Vec<_>>().join(", ")
    }

    /// Mailboxes only, in at most so many octets: without their names if it must be.
    pub(crate) fn flat(&self, octets: usize) -> String {
        let named = join(self.entries(), true);
        if named.len() <= octets { named } else { join(self.entries(), false) }
    }
}

fn join<'e>(entries: impl IntoIterator<Item = &'e Entry>, named: bool) -> String {
    entries.into_iter().map(|entry| entry.written(named)).collect::<Vec<_>>().join(", ")
}
