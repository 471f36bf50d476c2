//! The real binary, driven from outside the way users do: SMTP in, the simulated Microsoft 365 out, commands beside it.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests: what goes wrong here should end the test"
)]

mod access;
mod alerts;
mod catalogue;
mod clients;
mod command_line;
mod crash;
mod demo;
mod explain;
mod figures;
mod full_disk;
mod harness;
mod mending;
mod operators;
mod refusals;
mod relaying;
mod reports;
mod seen_from_outside;
mod senders;
mod stopping;
mod trying;
mod unconfirmed;
