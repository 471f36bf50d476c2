//! What is known of Microsoft 365, asked from outside.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is the failure")]

mod catalogue;
mod explain;
