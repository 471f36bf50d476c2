//! The inbound side seen from the wire: real sockets on loopback, everything behind them faked.

extern crate posthouse_inbound as inbound;

mod client;
mod fakes;
mod relay;

mod accepting;
mod auth;
mod refusing;
mod spooling;
mod stopping;
mod tls;
