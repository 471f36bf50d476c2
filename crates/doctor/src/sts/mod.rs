//! The policy of MTA-STS (RFC 8461): a file that the domain serves over HTTPS, and that senders go by once the DNS announces it.

mod fetch;
mod policy;
mod report;

pub use fetch::{FetchError, PolicyAnswer, PolicyFetch};
pub use policy::{Mode, PolicyFacts};
pub(crate) use report::{Announced, proposed, report};
