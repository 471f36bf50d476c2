//! SPF (RFC 7208): what the record says, what it costs, whom it lets send, what is wrong with it.

mod evaluate;
mod record;
mod report;
mod walk;

pub(crate) use evaluate::{AddressResult, evaluate};
pub use report::SpfReport;
pub(crate) use report::{Wanted, causes, passes_as_copied, report};
pub(crate) use walk::{Walk, walk};

/// Look-ups that one evaluation may cause. RFC 7208, section 4.6.4.
pub(crate) const LOOKUPS: u8 = 10;
/// Hosts that an `mx` may come to. The same section.
pub(crate) const MX_HOSTS: usize = 10;
/// Look-ups of these that may find nothing. The same section.
pub(crate) const VOID_LOOKUPS: u8 = 2;
