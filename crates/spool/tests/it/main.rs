//! The embedded spool from outside: the promises of every backend, crashes, tools, the stored format.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at what it did not expect")]

extern crate posthouse_spool as spool;

mod format;
mod promises;
