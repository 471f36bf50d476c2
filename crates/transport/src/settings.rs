//! What a transport is told; made by `config`, all checked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use queue::LaneName;
use secret::Secret;

use crate::sender::{Clients, Identity};

/// A next hop that speaks SMTP. Submission and smart host differ in their values and in the catalogue rows that apply.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// The lane that it serves.
    pub lane: LaneName,
    /// See there.
    pub kind: SmtpKind,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// See there.
    pub tls: ClientTls,
    /// PEM of roots trusted in addition to the system's, for this next hop alone.
    pub ca: Option<PathBuf>,
    /// Our name for EHLO.
    pub hello: String,
    /// See there.
    pub auth: Auth,
    /// As whom it may send.
    pub identity: Identity,
    /// What the clients' entries say of their mail on the way out.
    pub clients: Clients,
    /// Signs what goes by this path; `None`: the next hop does.
    pub keys: Option<Arc<dkim::Keys>>,
    /// Most recipients of a transaction. What the server announces or refuses may make it less.
    pub recipients: usize,
    /// Most recipients of one domain in a transaction; `None`: no such limit.
    pub recipients_of_a_domain: Option<usize>,
    /// Most connections, as the lane's permits.
    pub connections: usize,
    /// See there.
    pub timeouts: Timeouts,
    /// Messages on one connection. Default 50.
    pub messages_per_connection: u32,
    /// Age at which a connection is closed. Default 10 minutes.
    pub connection_age: Duration,
    /// An idle connection is closed after this. Default 60 seconds.
    pub connection_idle: Duration,
}

/// Whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpKind {
    /// Exchange Online client submission.
    Submission,
    /// Any SMTP server.
    Smarthost,
}

/// TLS towards a next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientTls {
    /// Never.
    None,
    /// STARTTLS if offered; the certificate is not checked then.
    Opportunistic,
    /// STARTTLS, verified; without it nothing is sent.
    #[default]
    Required,
    /// TLS from the first byte, verified.
    Implicit,
}

/// How we prove ourselves.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// AUTH PLAIN or LOGIN, as offered (submission: LOGIN).
    Password {
        /// User name.
        username: String,
        /// Secret.
        password: Secret,
    },
    /// AUTH XOAUTH2.
    XOAuth2 {
        /// The mailbox.
        user: String,
        /// Gives the tokens.
        tokens: Arc<entra::TokenSource>,
    },
}

/// Waits towards a next hop (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TCP connect, all addresses together. Default 30 seconds.
    pub connect: Duration,
    /// TLS handshake. Default 30 seconds.
    pub handshake: Duration,
    /// A reply to any command. Default 5 minutes.
    pub command: Duration,
    /// A write of content. Default 3 minutes.
    pub content: Duration,
    /// The reply to the final dot. Default 15 minutes: Exchange delays in place of refusing.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            connect: Duration::from_secs(30),
            handshake: Duration::from_secs(30),
            command: minutes(5),
            content: minutes(3),
            end: minutes(15),
        }
    }
}
