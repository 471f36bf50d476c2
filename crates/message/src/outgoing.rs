//! The header section that leaves: repaired where it must be, rewritten where policy says so, otherwise octet for octet as
//! it came.
//!
//! In: the header section as the spool keeps it, and a plan. Out: the section to send, and a note in plain words for each
//! thing that was changed. The same section and plan always give the same octets, so that every attempt sends the same message.
//! Never: a From or Sender that one reader could take for another than the next; a decision on who may send.
//! RFC 5322 §3.6 for what a message must have; RFC 6409 §8 for what a submission server may mend.

mod author;
mod draft;
mod edits;
mod identity;
mod lengths;
mod mime;
mod rewriting;
mod structure;
#[cfg(test)]
mod tests;

use draft::Draft;
pub use edits::{EditError, FieldName, HeaderEdits};
use jiff::Timestamp;
pub use rewriting::{Rewriting, Template, TemplateError};
use smtp::Mailbox;

use crate::authors::{Authors, AuthorsReader};
use crate::mime::NewEncoding;
use crate::section::Section;
use crate::signatures::Signatures;

/// Fields that Exchange takes as its own word, where it takes them at all; lower case.
const ORGANIZATION: &str = "x-ms-exchange-organization-";

/// What is to be done, decided by the transport; the same at every attempt.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The id of the message: of the relay's own trace field, and of a Message-ID made here (`<id@host>`).
    pub id: &'a str,
    /// Our name.
    pub host: &'a str,
    /// The name of the client entry, for `{client}`.
    pub client: &'a str,
    /// When the message was accepted: the Date of one that came without.
    pub date: Timestamp,
    /// Stands in for a missing or unusable From: the reverse-path, or the mailbox of the path. `None`: `MAILER-DAEMON@host`.
    pub author: Option<&'a Mailbox>,
    /// From becomes another, if policy says so.
    pub rewriting: Option<&'a Rewriting>,
    /// What the operator wants of this client's messages.
    pub edits: &'a HeaderEdits,
    /// The message may leave with header fields in UTF-8 (RFC 6532): it came with SMTPUTF8, and the next hop speaks it.
    pub smtputf8: bool,
    /// The message itself is a leaf whose body is encoded anew.
    pub encoding: Option<NewEncoding>,
}

/// The section to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The relay's own trace field first; the empty line that divides it from the body last.
    pub octets: Vec<u8>,
    /// One for each thing that was changed, for the message's story.
    pub notes: Vec<String>,
    /// Names of fields that were added, changed or removed; lower case, each once.
    pub changed_fields: Vec<String>,
    /// An octet over 127 has stayed: only SMTPUTF8 can carry it.
    pub eight_bit: bool,
    /// Who the section now says it is from.
    pub authors: Authors,
    /// Those that the message came with.
    pub signatures: Signatures,
}

/// `section`: what [`Section::end_of`] measured; `incoming`: what [`authors`] read in it. If nothing has to change the octets are
/// those of the section.
pub fn outgoing(section: &[u8], incoming: &Authors, plan: &Plan<'_>) -> Outgoing {
    let section = Section::parse(section, plan.id);
    let signatures = Signatures::of(&section);
    let mut draft = Draft::new(&section);

    structure::tidy(&mut draft);
    structure::remove(&mut draft);
    plan.edits.apply(&mut draft, plan.smtputf8);
    author::repair(&mut draft, incoming, plan);
    structure::one_each(&mut draft);
    identity::date(&mut draft, plan);
    identity::message_id(&mut draft, plan);
    mime::declare(&mut draft, plan);
    lengths::encode(&mut draft, plan.smtputf8);
    structure::brackets(&mut draft);
    lengths::shorten(&mut draft);
    lengths::fold(&mut draft);

    let (octets, notes, changed_fields) = draft.finish();
    let eight_bit = !octets.is_ascii();
    // Where no field was touched nobody can read another author.
    let authors = match changed_fields.is_empty() {
        true => incoming.clone(),
        false => authors(&Section::parse(&octets, plan.id)),
    };
    Outgoing { octets, notes, changed_fields, eight_bit, authors, signatures }
}

/// Who the section says it is from; as the scanner found on the way in.
pub fn authors(section: &Section<'_>) -> Authors {
    let mut reader = AuthorsReader::default();
    for field in section.fields().iter().filter(|field| field.is("from") || field.is("sender")) {
        reader.field(field.name().as_bytes(), &field.unfolded(), field.unfolded_length());
    }
    reader.finish()
}
