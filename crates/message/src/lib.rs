//! The message as bytes: what its header section says that matters to a relay, what its content asks of a next hop,
//! and the trace field that we add.
//!
//! In: pieces of a message. Out: facts about it, and header fields as bytes. Never: I/O, a clock; the content is never
//! changed here.

mod header;
mod lines;
mod scan;
mod trace;

pub use scan::{ContentFacts, HeaderFacts, Importance, ScanError, ScanLimits, Scanner};
pub use trace::{Received, Via};
