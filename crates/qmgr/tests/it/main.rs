//! The queue manager on a spool and a remote that are only memory, in virtual time.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests panic like tests")]

mod budgets;
mod delays;
mod incidents;
mod ledger;
mod log;
mod manager;
mod relay;
mod remote;
mod report;
mod simulation;
mod spool;
mod unconfirmed;
mod watch;
mod world;
