//! The token source against a token endpoint on loopback.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is the failure")]

mod assertion;
mod cache;
mod failure;
mod server;
mod tls;
