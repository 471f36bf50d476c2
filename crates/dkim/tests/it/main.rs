//! Signatures as others see them: verified by mail-auth, and by dkimpy where Python has it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is the failure")]

mod dkimpy;
mod judge;
mod sealing;
mod signing;
mod site;
mod vectors;
