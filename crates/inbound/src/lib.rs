//! Listeners, TLS, AUTH and admission. Drives the server machine of `smtp` and hands envelopes to the spool.
//!
//! In: connections. Out: messages in the spool, durable before their 250, and word of them to the queue manager. Never: a
//! message accepted that is not stored, a client let in that no entry names, a wait without a limit.

mod admission;
mod connections;
mod conversation;
mod incoming;
mod link;
mod listen;
mod logins;
mod open_relay;
mod platform;
mod self_signed;
mod sender;
mod session;
mod settings;
mod sockets;
mod tls;

pub use listen::{BindError, Inbound};
pub(crate) use listen::{Listener, Shared};
pub use open_relay::{OpenRelay, open_relay};
pub use sender::{SenderPattern, SenderPatternError};
pub use settings::{ClientEntry, Limits, ListenerSettings, Settings, TlsMode, TlsSettings, User, Verifier};
pub use tls::TlsError;
