//! Listeners, TLS, AUTH and admission. Drives the server machine of `smtp` and hands envelopes to the spool.
//!
//! In: connections. Out: messages in the spool, durable before their 250, and word of them to the queue manager. Never: a
//! message accepted that is not stored, a client let in that no entry names, a wait without a limit.
//!
//! Memory of a session, measured with 1,000 of them: 5 KiB waiting in plain text, 13 KiB waiting in TLS, at most 40 KiB more
//! while content arrives, whatever the message's size; to this the spool's writer adds its own buffer, and the envelope at
//! most 1 KiB for each recipient. Each thread of the runtime has one read buffer of 32 KiB, which its sessions share.

mod admission;
mod client_certificates;
mod condition;
mod connections;
mod conversation;
mod hashes;
mod identity;
mod incoming;
mod link;
mod listen;
mod lockout;
mod logins;
mod matching;
mod open_relay;
mod platform;
mod recipients;
mod rights;
mod self_signed;
mod session;
mod settings;
mod sockets;
mod tls;
mod trial;
mod usage;

pub use condition::{Condition, ConditionError, Criteria, Criterion};
pub use identity::{
    CertificatePattern, CertificatePatternError, Fingerprint, FingerprintError, NameMatch, NamePattern,
    NamePatternError, PeerCertificate,
};
pub use listen::{BindError, Inbound};
pub(crate) use listen::{Listener, Shared};
pub use logins::{PasswordHashError, hash_password};
pub use matching::{Tie, ties};
pub use open_relay::{OpenRelay, open_relay};
pub use recipients::{PlusAddresses, RecipientMap, RecipientMapError};
pub use settings::{ClientEntry, Limits, ListenerSettings, Priority, Settings, TlsMode, TlsSettings, User, Verifier};
pub use tls::TlsError;
pub use trial::{Accepted, Question, Trial, TrialStep, Verdict, trial};
