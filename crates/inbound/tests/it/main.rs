//! The inbound side seen from the wire: real sockets on loopback, everything behind them faked.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests, where a panic is the answer")]

extern crate posthouse_inbound as inbound;

mod certificates;
mod client;
mod entries;
mod fakes;
mod relay;

mod accepting;
mod auth;
mod refusing;
mod spooling;
mod stopping;
mod tls;
mod trying;
