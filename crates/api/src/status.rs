//! What is going on.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The relay as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Our name in EHLO and trace fields.
    pub hostname: String,
    /// When this process started.
    pub started_at: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Takes mail and works on it; as `/readyz` says.
    pub ready: bool,
    /// If not: why, a line each.
    pub not_ready: Vec<String>,
    /// In the order of the configuration.
    pub listeners: Vec<Listener>,
    /// Recipients and messages.
    pub counters: Counters,
    /// See there.
    pub spool: SpoolHealth,
    /// In order of name; also lanes that are not configured any more but still have mail.
    pub lanes: Vec<Lane>,
}

/// A listener that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// As in the configuration.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Recipients since the spool was made, and messages now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Recipients taken in.
    pub accepted: u64,
    /// Recipients queued now.
    pub queued: u64,
    /// Recipients handed over.
    pub handed_over: u64,
    /// Recipients bounced.
    pub bounced: u64,
    /// Recipients expired.
    pub expired: u64,
    /// Recipients removed by an operator.
    pub removed: u64,
    /// Whether every recipient is accounted for: accepted = the sum of the others.
    pub conserved: bool,
    /// Messages queued now.
    pub messages: u64,
    /// Of them held.
    pub held: u64,
    /// When the oldest of them was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Timestamp>,
}

/// The spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolHealth {
    /// Whether it takes mail.
    pub state: SpoolState,
    /// Why not, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Octets free on its file system.
    pub free_bytes: u64,
    /// Octets that it takes up.
    pub used_bytes: u64,
    /// What recovery found at start, a line each; empty after a clean stop.
    pub recovery: Vec<String>,
}

/// Whether the spool takes mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpoolState {
    /// It does.
    Accepting,
    /// No room for new mail; what is queued goes on.
    Full,
    /// A write failed: nothing is written until it has been verified.
    Closed,
}

/// A path and the mailbox it sends as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Name.
    pub name: String,
    /// False: mail waits for it, but the configuration does not name it any more.
    pub configured: bool,
    /// Attempts under way.
    pub active: usize,
    /// Attempts allowed at once.
    pub connection_permits: usize,
    /// Messages allowed in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_minute: Option<u32>,
    /// Of them used.
    pub used_this_minute: u32,
    /// Connections open, idle ones included.
    pub open_connections: usize,
    /// Connections idle.
    pub idle_connections: usize,
    /// Messages queued, held ones not counted.
    pub queued: u64,
    /// When the first of them is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Timestamp>,
    /// Of them in memory.
    pub waiting: Waiting,
    /// A short rest that ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resting: Option<Resting>,
    /// A pause that lasts until its cause is cured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
}

/// Messages in memory, by line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Urgent.
    pub urgent: usize,
    /// Not yet tried.
    pub new: usize,
    /// Tried before.
    pub deferred: usize,
}

/// See [`Lane::resting`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    /// Until.
    pub until: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// See [`Lane::paused`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The error's own name: `5.7.139`, `AADSTS7000222`, `link`.
    pub code: String,
    /// What happened.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// Since.
    pub since: Timestamp,
    /// When one message is tried next.
    pub probe_at: Timestamp,
}
