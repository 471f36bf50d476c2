//! A header section in the making.
//!
//! In: the section as it came, then changes, each with a note. Out: its octets; what nobody changed is as it came.

use std::collections::BTreeSet;

use crate::encoding::{field, unfolded as on_one_line};
use crate::section::{Field, Section, unfold};

/// See the head of this file.
pub(crate) struct Draft<'a> {
    trace: &'a [u8],
    fields: Vec<Entry>,
    /// Of them, how many at the front are ours.
    added: usize,
    notes: Vec<String>,
    changed: BTreeSet<String>,
    empty_line: bool,
}

/// A field of it.
pub(crate) struct Entry {
    /// Lower case.
    pub(crate) name: String,
    /// The whole field, its line ends included.
    pub(crate) octets: Vec<u8>,
}

impl Entry {
    fn of(field: &Field<'_>) -> Self {
        Self { name: field.name().to_ascii_lowercase(), octets: field.octets().to_vec() }
    }
    fn after_colon(&self) -> &[u8] {
        let colon = memchr::memchr(b':', &self.octets).map_or(self.octets.len(), |colon| colon + 1);
        self.octets.get(colon..).unwrap_or_default()
    }
    /// As it stands in the message.
    pub(crate) fn written_name(&self) -> String {
        let name = self.octets.split(|octet| *octet == b':').next().unwrap_or_default();
        String::from_utf8_lossy(name.trim_ascii_end()).into_owned()
    }
    /// The value, unfolded, without blanks around it.
    pub(crate) fn value(&self) -> Vec<u8> {
        unfold(self.after_colon()).trim_ascii().to_vec()
    }
    /// The value with its line ends.
    pub(crate) fn folded(&self) -> &[u8] {
        self.after_colon()
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(section: &Section<'a>) -> Self {
        Self {
            trace: section.trace(),
            fields: section.fields().iter().map(Entry::of).collect(),
            added: 0,
            notes: Vec::new(),
            changed: BTreeSet::new(),
            empty_line: section.has_empty_line(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }
    pub(crate) fn get(&self, at: usize) -> Option<&Entry> {
        self.fields.get(at)
    }
    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        self.fields.iter().find(|entry| entry.name == name)
    }
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|entry| entry.name == name)
    }
    pub(crate) fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|entry| entry.name == name).count()
    }
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Entry> {
        self.fields.iter()
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Other octets for the field at this place; with its name and line ends.
    pub(crate) fn set_octets(&mut self, at: usize, octets: Vec<u8>) {
        if let Some(entry) = self.fields.get_mut(at) {
            entry.octets = octets;
            let name = entry.name.clone();
            self.touched(name);
        }
    }

    /// Another value for the field at this place.
    pub(crate) fn set(&mut self, at: usize, value: &str) {
        if let Some(entry) = self.fields.get(at) {
            let written = written(&entry.written_name(), value);
            self.set_octets(at, written);
        }
    }

    /// A field of ours, below those that we have added already.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        let octets = written(name, value);
        let name = name.to_ascii_lowercase();
        self.touched(name.clone());
        self.fields.insert(self.added, Entry { name, octets });
        self.added += 1;
    }

    /// Sets the first field of this name, or adds one; others of the name go.
    pub(crate) fn put(&mut self, name: &str, value: &str) {
        let lower = name.to_ascii_lowercase();
        match self.position(&lower) {
            Some(at) => {
                self.set_octets(at, written(name, value));
                self.remove_after(at, &lower);
            }
            None => self.add(name, value),
        }
    }

    /// Takes fields out; gives back how many there were.
    pub(crate) fn remove(&mut self, goes: impl Fn(&Entry) -> bool) -> usize {
        let (mut at, mut removed, mut ours) = (0, Vec::new(), self.added);
        self.fields.retain(|entry| {
            let gone = goes(entry);
            if gone {
                removed.push(entry.name.clone());
                ours -= usize::from(at < self.added);
            }
            at += 1;
            !gone
        });
        self.added = ours;
        let count = removed.len();
        removed.into_iter().for_each(|name| self.touched(name));
        count
    }

    /// Takes out all fields of the name that stand behind this place.
    pub(crate) fn remove_after(&mut self, at: usize, name: &str) -> usize {
        let before = self.fields.len();
        let (mut place, mut ours) = (0, self.added);
        self.fields.retain(|entry| {
            let gone = place > at && entry.name == name;
            ours -= usize::from(gone && place < self.added);
            place += 1;
            !gone
        });
        self.added = ours;
        let removed = before - self.fields.len();
        if removed > 0 {
            self.touched(name.to_owned());
        }
        removed
    }

    /// Takes out the field at this place.
    pub(crate) fn remove_at(&mut self, at: usize) {
        if at < self.fields.len() {
            let entry = self.fields.remove(at);
            self.added -= usize::from(at < self.added);
            self.touched(entry.name);
        }
    }

    fn touched(&mut self, name: String) {
        self.changed.insert(name);
    }

    /// The octets, notes and names of changed fields.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<String>, Vec<String>) {
        if !self.empty_line {
            self.note("the empty line between header section and body was missing and was put in");
        }
        let mut octets = self.trace.to_vec();
        self.fields.iter().for_each(|entry| octets.extend_from_slice(&entry.octets));
        octets.extend_from_slice(b"\r\n");
        (octets, self.notes, self.changed.into_iter().collect())
    }
}

/// A whole field: message ids lose their meaning by a line break in the wrong place, so they stay on one line.
fn written(name: &str, value: &str) -> Vec<u8> {
    let mut text = String::with_capacity(name.len() + value.len() + 8);
    let one_line = name.eq_ignore_ascii_case("message-id");
    if one_line {
        on_one_line(&mut text, name, value)
    } else {
        field(&mut text, name, value)
    }
    text.into_bytes()
}
