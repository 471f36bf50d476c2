//! Whole conversations with the two machines, and what is written and read back.

extern crate posthouse_smtp as smtp;

mod client;
mod conversation;
mod round_trips;
mod server;
mod transcript;
