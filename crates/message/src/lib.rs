//! The message as bytes: what its header section says that matters to a relay, what its content asks of a next hop, the trace
//! field that we add; bodies in the form that a next hop takes; and mail of our own: plain text, and delivery status
//! notifications.
//!
//! In: pieces of a message, or what mail of ours is to say. Out: facts about it, header fields, messages as bytes. Never: I/O,
//! a clock; what a part of a message decodes to is never changed here.

mod addresses;
mod authors;
pub mod dsn;
mod eight_bit;
mod encoding;
mod header;
mod letter;
mod lines;
pub mod mime;
mod outgoing;
mod scan;
mod section;
mod signatures;
mod trace;

pub use authors::{Author, AuthorTrouble, Authors};
pub use letter::{AutoSubmitted, Letter};
pub use outgoing::{
    EditError, FieldName, HeaderEdits, Outgoing, Plan, Rewriting, Template, TemplateError, authors, outgoing,
};
pub use scan::{ContentFacts, HeaderFacts, Importance, ScanError, ScanLimits, Scanner};
pub use section::{Field, Section};
pub use signatures::Signatures;
pub use trace::{Received, Via};
