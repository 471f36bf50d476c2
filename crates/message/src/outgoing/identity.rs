//! Date and Message-ID: there, readable, and the same at every attempt.
//!
//! RFC 5322 §3.6.1, §3.6.4; RFC 6409 §8.2 and §8.3 let a submission server add them.

use jiff::fmt::rfc2822::DateTimeParser;

use super::Plan;
use super::author::keep;
use super::draft::Draft;
use crate::encoding::{clean, text_of};

static DATES: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
/// Octets of an id: with the name of its field it has one line.
const ID: usize = 900;

pub(super) fn date(draft: &mut Draft<'_>, plan: &Plan<'_>) {
    let readable = draft.find("date").map(|entry| DATES.parse_timestamp(entry.value()).is_ok());
    let note = match readable {
        Some(true) => return,
        Some(false) => "Date could not be read: it became the time at which the message came",
        None => "Date was missing: it became the time at which the message came",
    };
    draft.put("Date", &crate::letter::date(plan.date));
    draft.note(note);
}

pub(super) fn message_id(draft: &mut Draft<'_>, plan: &Plan<'_>) {
    let value = draft.find("message-id").map(|entry| clean(&text_of(&entry.value())));
    let value = value.as_deref().map(str::trim);
    if value.is_some_and(is_sound) {
        return;
    }
    if let Some(id) = value.and_then(found) {
        draft.put("Message-ID", &id);
        draft.note("Message-ID was not written as it must be: it was put in angle brackets");
        return;
    }
    let note = match value {
        Some(_) => "Message-ID was not one: it was replaced",
        None => "Message-ID was missing: one was made",
    };
    keep(draft, "message-id", "X-Original-Message-ID");
    draft.put("Message-ID", &format!("<{}@{}>", plan.id, host_of(plan.host)));
    draft.note(note);
}

/// One id in angle brackets, perhaps with a comment behind it.
fn is_sound(value: &str) -> bool {
    let inner = value.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    value.len() <= ID
        && inner.is_some_and(|(id, after)| {
            is_id(id)
                && (after.is_empty()
                    || (after.trim_start().starts_with('(') && after.ends_with(')') && after.is_ascii()))
        })
}

/// An id without brackets, or with something behind them.
fn found(value: &str) -> Option<String> {
    let inside = value.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(id, _)| id);
    let id = inside.unwrap_or(value);
    (id.len() <= ID - 2 && is_id(id)).then(|| format!("<{id}>"))
}

fn is_id(id: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_graphic() && !b"<>(),".contains(&octet);
    let sides = id.split_once('@');
    id.bytes().all(plain)
        && sides.is_some_and(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains('@'))
}

/// Of a name or an address literal, what may stand in one.
pub(super) fn host_of(hello: &str) -> String {
    let of_a_host = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '[' | ']' | ':');
    let host: String = hello.chars().filter(of_a_host).collect();
    if host.is_empty() { "localhost".to_owned() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_other_texts() {
        for value in ["<a@b>", "<a@b> (added by x)", "<a.b+c$1@[10.0.0.1]>"] {
            assert!(is_sound(value), "{value}");
        }
        let table = [
            ("a@b", Some("<a@b>")),
            ("<a@b> <c@d>", Some("<a@b>")),
            ("<a@b", None),
            ("<>", None),
            ("", None),
            ("<a b@c>", None),
            ("<ü@b>", None),
            ("a@b, c@d", None),
            ("a@b@c", None),
            ("<a>", None),
        ];
        for (value, expected) in table {
            assert!(!is_sound(value), "{value}");
            assert_eq!(found(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_host_is_what_may_stand_in_an_id() {
        for (hello, host) in [
            ("relay.test", "relay.test"),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
            ("re lay>\r\nX: y", "relayX:y"),
            ("", "localhost"),
        ] {
            assert_eq!(host_of(hello), host);
        }
    }
}
