//! The transport against servers that follow a script: what it says to them, and what it reports.

pub(crate) mod body;
mod broken;
mod certificates;
mod encrypted;
mod fixture;
mod hostile;
mod journal;
mod lacking;
mod large;
mod login;
mod many;
mod refused;
mod reuse;
mod sandbox;
mod server;
pub(crate) mod spool;
