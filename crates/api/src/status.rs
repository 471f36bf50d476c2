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
    /// In order of pool and name; also lanes that are not configured any more but still have mail.
    pub lanes: Vec<Lane>,
    /// In order of name.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// Those that are open.
    #[serde(default)]
    pub breakers: Vec<Breaker>,
    /// One for each pool with mail that waits.
    #[serde(default)]
    pub forecasts: Vec<Forecast>,
    /// Trouble that somebody must know of, oldest first.
    #[serde(default)]
    pub incidents: Vec<Incident>,
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
    /// The pool whose queue it serves: lanes of one pool share theirs. Its own name if it is alone.
    #[serde(default)]
    pub pool: String,
    /// False: mail waits for it, but the configuration does not name it any more.
    pub configured: bool,
    /// Attempts under way.
    pub active: usize,
    /// Attempts allowed at once now: refusals bring it down, success brings it back.
    pub connection_permits: usize,
    /// Attempts allowed at once as configured.
    #[serde(default)]
    pub connection_ceiling: usize,
    /// Messages allowed in any 60 seconds, by the budget of that length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_minute: Option<u64>,
    /// Of them used.
    pub used_this_minute: u64,
    /// What it draws on, by name.
    #[serde(default)]
    pub budgets: Vec<String>,
    /// Connections open, idle ones included.
    pub open_connections: usize,
    /// Connections idle.
    pub idle_connections: usize,
    /// Messages queued for its pool, held ones not counted.
    pub queued: u64,
    /// When the first of them is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due_at: Option<Timestamp>,
    /// Of them in memory.
    pub waiting: Waiting,
    /// A short rest that ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resting: Option<Resting>,
    /// A pause that lasts until its cause is cured: the first of [`Status::breakers`] that stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// Senders that it may not send as, as the far side has said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_senders: Vec<RefusedSender>,
}

/// A sender that the far side has refused: it goes as the mailbox, or is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSender {
    /// The address.
    pub sender: String,
    /// It is not tried as it is again before then.
    pub until: Timestamp,
    /// The far side's words.
    pub reason: String,
    /// The configuration said that the path may send as it. Once it says otherwise, the sender is tried once more.
    #[serde(default)]
    pub listed: bool,
}

/// A count in a rolling window, and its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// `contoso/relay@contoso.com/recipients a day`
    pub name: String,
    /// `messages`, `recipients`, `external` or `external-under-provider-domain`.
    pub counts: String,
    /// The window's length.
    pub window_seconds: u64,
    /// In force now.
    pub limit: u64,
    /// As configured; refusals may have brought `limit` below it.
    pub ceiling: u64,
    /// No refusal brings `limit` below this.
    pub floor: u64,
    /// The last so many are for urgent mail.
    pub reserve: u64,
    /// Spent in the window that ends now; what is under way counts.
    pub used: u64,
    /// If nothing is left: when there is some again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_at: Option<Timestamp>,
    /// Why `limit` is below `ceiling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<Learnt>,
}

/// A refusal that taught a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// Its words.
    pub reason: String,
    /// When it came.
    pub at: Timestamp,
}

/// Something that lanes need and that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// `path`, `credential`, `tenant` or `mailbox`.
    pub scope: String,
    /// Which one.
    pub name: String,
    /// Lanes whose mail waits for it.
    pub lanes: Vec<String>,
    /// Why, and what to do.
    #[serde(flatten)]
    pub pause: Paused,
}

/// How long the mail of a pool will take, if nothing more comes and nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Which.
    pub pool: String,
    /// Messages that wait.
    pub messages: u64,
    /// When the last of them is handed over; absent: it cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_at: Option<Timestamp>,
    /// A budget that ends before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<Short>,
}

/// A budget that ends before the queue does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Short {
    /// Which.
    pub budget: String,
    /// When.
    pub at: Timestamp,
}

/// Trouble that somebody must know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// `breaker`, `queue-age`, `expiry`, …
    pub kind: String,
    /// What it is about.
    pub about: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// What happened.
    pub what: String,
    /// What to do; empty if nothing need be done.
    pub remedy: String,
    /// The error's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Since.
    pub since: Timestamp,
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
