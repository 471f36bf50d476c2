//! The submission endpoint of Exchange Online, and beside it a plain SMTP server that takes everything.
//!
//! `listener` accepts, `session` moves octets between socket and protocol machine, `dialogue` decides what to answer,
//! `sign_in` and `submission` hold Exchange's rules, `words` its replies.

mod dialogue;
mod link;
mod listener;
mod session;
mod sign_in;
mod submission;
pub(crate) mod words;

pub(crate) use listener::{Listener, serve};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Exchange Online's.
    Submission,
    /// No TLS, no AUTH, no rules.
    SmartHost,
}
