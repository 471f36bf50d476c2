//! Whole conversations with the two machines, and what is written and read back.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where something is wrong")]

extern crate posthouse_smtp as smtp;

mod client;
mod conversation;
mod round_trips;
mod server;
mod transcript;
