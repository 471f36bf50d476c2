//! Transparency of message content in DATA (RFC 5321 §4.5.2), in both directions.
//!
//! In: pieces of any size. Out: pieces with the leading dots taken off, or put on. Both run through the bytes once, with
//! vector instructions, and copy whole runs of lines, never line by line.

mod stuff;
mod unstuff;

pub use stuff::DotStuffer;
pub use unstuff::{DotUnstuffer, Unstuffed};
