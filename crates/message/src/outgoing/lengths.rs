//! Octets over 127, values that Exchange refuses for their size, lines that SMTP cannot carry.

use std::cell::Cell;

use super::draft::{Draft, Entry};
use super::structure::capitalized;
use crate::addresses::AddressList;
use crate::authors::FIELD;
use crate::eight_bit::{Shape, in_ascii};
use crate::encoding::{cut, encoded_words, lines, readable, text_of, unstructured};

/// RFC 5322 §2.1.1
const LINE: usize = 998;
/// Exchange takes no larger value; ours are counted unfolded, with room for the line ends of folding.
const VALUE: usize = 32_768;
/// What a value that is shortened has at most.
const SHORT: usize = 30_000;
/// Octets of a subject that is cut.
const SUBJECT: usize = 4_000;
/// Ids of References that are kept: the first, and as many of the last.
const LAST_IDS: usize = 20;
/// A word longer than this finds no place to fold.
const WORD: usize = 900;
/// Fields that are named in a note.
const NAMED: usize = 8;

/// Makes fields ASCII, as far as they can be; with SMTPUTF8 those that are no UTF-8.
pub(super) fn encode(draft: &mut Draft<'_>, smtputf8: bool) {
    let (mut found, mut empty) = (Vec::new(), Vec::new());
    for at in 0..draft.len() {
        let Some(entry) = draft.get(at) else { continue };
        if entry.octets.is_ascii() || (smtputf8 && std::str::from_utf8(&entry.octets).is_ok()) {
            continue;
        }
        let (name, value) = (capitalized(&entry.name), encoded(entry));
        if value.as_bytes() == entry.value() {
            continue; // Only an address is left, and it stays.
        }
        if value.is_empty() {
            empty.push(at);
        } else {
            draft.set(at, &value);
        }
        if found.len() <= NAMED && !found.contains(&name) {
            found.push(name);
        }
    }
    // All at once: there may be very many.
    let at = Cell::new(0_usize);
    draft.remove(|_| empty.binary_search(&at.replace(at.get() + 1)).is_ok());
    if !found.is_empty() {
        draft.note(format!("{}: characters that are not ASCII were encoded", list(&found)));
    }
}

fn encoded(entry: &Entry) -> String {
    let value = entry.value();
    match (entry.name.as_str(), AddressList::parse(&value)) {
        ("from" | "sender", Ok(addresses)) => addresses.flat(FIELD - "Sender: ".len()),
        _ => in_ascii(&entry.name, &value),
    }
}

fn list(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(", …");
    }
    text
}

/// Values over 32,768 octets.
pub(super) fn shorten(draft: &mut Draft<'_>) {
    let mut at = 0;
    while let Some(entry) = draft.get(at) {
        if entry.folded().len() <= VALUE || entry.value().len() <= SHORT {
            at += 1;
            continue;
        }
        let name = capitalized(&entry.name);
        match shorter(entry) {
            Some(value) => {
                draft.set(at, &value);
                draft.note(format!("{name} was larger than 32768 octets: it was shortened"));
                at += 1;
            }
            None => {
                draft.remove_at(at);
                draft.note(format!("{name} was larger than 32768 octets: it was removed"));
            }
        }
    }
}

fn shorter(entry: &Entry) -> Option<String> {
    let value = entry.value();
    match entry.name.as_str() {
        "subject" => Some(unstructured(&cut(&readable(&text_of(&value)), SUBJECT))),
        "references" => Some(first_and_last(&text_of(&value))),
        "to" | "cc" | "reply-to" => as_many_as_fit(&AddressList::parse(&value).ok()?),
        _ => None,
    }
}

fn first_and_last(ids: &str) -> String {
    let ids = ids.replace("><", "> <");
    let ids: Vec<&str> = ids.split_ascii_whitespace().filter(|id| id.len() <= WORD).collect();
    let last = ids.get(ids.len().saturating_sub(LAST_IDS).max(1)..).unwrap_or_default();
    ids.iter().take(1).chain(last).copied().collect::<Vec<_>>().join(" ")
}

fn as_many_as_fit(list: &AddressList) -> Option<String> {
    let mut text = String::new();
    for entry in list.entries() {
        let entry = entry.written(true);
        if text.len() + entry.len() + 2 > SHORT {
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&entry);
    }
    (!text.is_empty()).then_some(text)
}

/// Lines over 998 octets.
pub(super) fn fold(draft: &mut Draft<'_>) {
    for at in 0..draft.len() {
        let Some(entry) = draft.get(at) else { continue };
        if lines(&entry.octets).all(|line| line.len() <= LINE) {
            continue;
        }
        let (name, value) = (capitalized(&entry.name), foldable(entry));
        draft.set(at, &value);
        draft.note(format!("{name}: a line longer than 998 octets was folded"));
    }
}

/// A value with blanks where it may be folded.
fn foldable(entry: &Entry) -> String {
    let value = entry.value();
    let text = text_of(&value);
    match Shape::of(&entry.name) {
        Shape::Addresses => match AddressList::parse(&value) {
            Ok(list) if entry.name == "from" || entry.name == "sender" => list.flat(FIELD - "Sender: ".len()),
            Ok(list) => list.written(),
            Err(_) => text,
        },
        Shape::Ids => text.replace("><", "> <"),
        Shape::Text if text.split_ascii_whitespace().any(|word| word.len() > WORD) => encoded_words(text.trim()),
        Shape::Parameters | Shape::Machine | Shape::Text => text,
    }
}
