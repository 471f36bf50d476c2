//! The part of Entra ID that hands out access tokens to applications, and the check that Exchange makes on them.

mod assertion;
mod keys;
mod refusal;
mod request;
mod server;

pub(crate) use assertion::Seen;
pub use keys::KeyError;
pub(crate) use keys::TokenKeys;
pub(crate) use server::serve;
