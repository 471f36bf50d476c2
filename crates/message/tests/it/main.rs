//! What the crate does to whole messages, as others see it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is the failure")]

extern crate posthouse_message as message;

mod bodies;
mod headers;
