//! From and Sender: made canonical where readers could differ, replaced where they are unusable, rewritten where policy says so.

use smtp::Mailbox;

use super::Plan;
use super::draft::Draft;
use super::identity::host_of;
use crate::addresses::{canonical, display, written};
use crate::authors::{Author, AuthorTrouble, Authors, FIELD, read_from, read_sender};
use crate::encoding::{clean, cut, text_of, unstructured};

/// What the client wrote, where it was replaced.
pub(super) const ORIGINAL_FROM: &str = "X-Original-From";
const ORIGINAL_SENDER: &str = "X-Original-Sender";
/// Octets of an original that are kept.
const ORIGINAL: usize = 2_000;
/// Octets of an unusable From that may become a display name.
const NAME: usize = 100;

/// Afterwards there is one From, and at most one Sender, one at least where From has several authors; and all readers read the
/// same in them.
pub(super) fn repair(draft: &mut Draft<'_>, incoming: &Authors, plan: &Plan<'_>) {
    sender(draft, incoming);
    match incoming.from_trouble {
        Some(trouble) => replace_from(draft, trouble, plan),
        None => canonical_from(draft),
    }
    if let Some(rewriting) = plan.rewriting {
        let authors = match incoming.from_trouble {
            Some(_) => plan.author.map(|author| Author { name: None, mailbox: author.clone() }).into_iter().collect(),
            None => incoming.from.clone(),
        };
        super::rewriting::apply(draft, &authors, incoming, rewriting, plan);
    } else if incoming.from.len() > 1 && draft.find("sender").is_none() {
        name_sender(draft, &incoming.from, plan);
    }
}

/// Of several authors, Sender says who sent the message (RFC 5322 §3.6.2); Exchange refuses it otherwise (`550 5.1.20`).
fn name_sender(draft: &mut Draft<'_>, from: &[Author], plan: &Plan<'_>) {
    let of_plan = plan.author.and_then(canonical);
    let mut sendable = of_plan.iter().chain(from.iter().map(|author| &author.mailbox));
    if let Some(sender) = sendable.find(|mailbox| plan.smtputf8 || mailbox.is_ascii()) {
        draft.add("Sender", &written(None, sender));
        draft.note(format!("From has several authors and there was no Sender: it became {sender}"));
    }
}

fn sender(draft: &mut Draft<'_>, incoming: &Authors) {
    if let Some(trouble) = incoming.sender_trouble {
        keep(draft, "sender", ORIGINAL_SENDER);
        draft.remove(|entry| entry.name == "sender");
        draft.note(format!("Sender {trouble}: it was removed"));
        return;
    }
    let Some(at) = draft.position("sender") else { return };
    let list = draft.get(at).and_then(|entry| read_sender(&entry.value()).ok());
    if let Some(list) = list.filter(|list| list.odd) {
        draft.set(at, &list.flat(FIELD - "Sender: ".len()));
        draft.note("Sender was written anew, so that all readers read the same address");
    }
}

fn canonical_from(draft: &mut Draft<'_>) {
    let Some(at) = draft.position("from") else { return };
    let list = draft.get(at).and_then(|entry| read_from(&entry.value()).ok());
    if let Some(list) = list.filter(|list| list.odd) {
        draft.set(at, &list.flat(FIELD - "From: ".len()));
        draft.note(match list.unbracketed {
            true => "From: an address had no angle brackets and got them",
            false => "From was written anew, so that all readers read the same address",
        });
    }
}

fn replace_from(draft: &mut Draft<'_>, trouble: AuthorTrouble, plan: &Plan<'_>) {
    let name = name_of_unusable(draft);
    let mailbox = stand_in(plan);
    let value = match name {
        Some(name) => format!("{} <{mailbox}>", display(&name)),
        None => format!("<{mailbox}>"),
    };
    keep(draft, "from", ORIGINAL_FROM);
    draft.put("From", &value);
    draft.note(format!("From {trouble}: it became {mailbox}"));
}

/// A single From without anything of an address in it is a name.
fn name_of_unusable(draft: &Draft<'_>) -> Option<String> {
    let entry = draft.find("from").filter(|_| draft.count("from") == 1)?;
    let text = crate::encoding::readable(&clean(&text_of(&entry.value())));
    let text = text.trim().trim_matches('"').trim();
    let name = !text.is_empty() && text.len() <= NAME && !text.contains(['@', '<', '>', '"', '\\']);
    name.then(|| text.to_owned())
}

/// Who a message is from that does not say so.
pub(super) fn stand_in(plan: &Plan<'_>) -> Mailbox {
    let daemon = |host: &str| Mailbox::parse(&format!("MAILER-DAEMON@{host}")).ok();
    plan.author
        .and_then(canonical)
        .or_else(|| daemon(&host_of(plan.host)).as_ref().and_then(canonical))
        .or_else(|| daemon("localhost"))
        .expect("a fixed text that is a mailbox")
}

/// Keeps what a field said under another name; what came under that name goes, for it would be taken for ours.
pub(super) fn keep(draft: &mut Draft<'_>, name: &str, kept: &str) {
    let originals: Vec<Vec<u8>> =
        draft.fields().filter(|entry| entry.name == name).map(super::draft::Entry::value).take(3).collect();
    draft.remove(|entry| entry.name.eq_ignore_ascii_case(kept));
    for original in originals.iter().filter(|original| !original.is_empty()) {
        draft.add(kept, &original_text(original));
    }
}

/// On one line, in ASCII; the end of a long one is left out.
fn original_text(original: &[u8]) -> String {
    let text = clean(&text_of(original));
    match text.get(..ORIGINAL) {
        Some(start) if text.is_ascii() => format!("{start} ..."),
        None if text.is_ascii() => text,
        _ => unstructured(&cut(&text, ORIGINAL)),
    }
}
