//! Listeners, TLS, AUTH and admission. Drives the server machine of `smtp` and hands envelopes to the spool.

mod settings;

pub use settings::{ClientEntry, Limits, ListenerSettings, Settings, TlsMode, TlsSettings, User, Verifier};
