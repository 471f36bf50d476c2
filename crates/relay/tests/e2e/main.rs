//! The real binary, driven from outside the way users do: SMTP in, the simulated Microsoft 365 out, commands beside it.
#![allow(missing_docs, reason = "tests")]

mod clients;
mod command_line;
mod crash;
mod demo;
mod full_disk;
mod harness;
mod operators;
mod refusals;
mod relaying;
mod seen_from_outside;
mod stopping;
