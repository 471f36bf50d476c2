//! The sandbox as a program sees it: over its sockets.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod control;
mod dialogue;
mod faults;
mod limits;
mod sending;
mod talk;
mod token;
