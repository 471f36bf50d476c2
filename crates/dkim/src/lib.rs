//! DKIM signatures (RFC 6376, RFC 8463) on the paths where the relay is the last to touch a message; ARC seals
//! (RFC 8617) where they are asked for.
//!
//! In: private keys, a header section, a body in pieces. Out: header fields to put in front; new keys, and the DNS records
//! that go with them. Never: the message in memory, the DNS, a private key printed.
//!
//! Canonicalisation and signature are our own, so that all keys sign in one pass over the body; mail-auth is the judge in the
//! tests.

mod body;
mod compare;
mod header;
mod key;
mod keys;
mod name;
mod record;
mod seal;
mod signing;
mod sys;
mod tags;

pub use compare::{Finding, compare};
pub use key::{Algorithm, Key, KeyError, KeySettings, KeyWarning, PemError, PrivatePem, generate, write_new};
pub use keys::{Keys, signers};
pub use name::{Domain, NameError, Selector};
pub use record::{DnsRecord, record_name};
pub use seal::{Arrival, Sealed, Sealing};
pub use signing::{LONGEST_SECTION, SignError, Signing};
