//! DMARC (RFC 9989): which policy holds for a domain, whose domain it is part of, what is aligned with it.

mod record;
mod report;
mod tree;

pub use record::Strictness;
pub(crate) use record::{Disposition, is_uri};
pub use report::DmarcReport;
pub(crate) use report::{findings, report, trouble};
pub(crate) use tree::{Tree, tree};
