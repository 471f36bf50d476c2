//! The API from outside: a real queue manager over a spool in memory, asked by the typed client through a real socket.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

extern crate posthouse_admin as admin;

mod asking;
mod doors;
mod memory;
mod running;
