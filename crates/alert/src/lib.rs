//! Incidents told to people: one notice when one opens, one when it is over, through every channel that wants it.
//!
//! In: incidents, as often as whoever finds them likes ([`telemetry::Incidents`]). Out: one log line and one notice a channel
//! for each opening and each end, also across restarts. Never: a notice lost because a channel was down for a while, a
//! secret in a notice, a wait for whoever reports.

mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telemetry::{Incident, IncidentKind, Incidents};
use tokio_util::sync::CancellationToken;

pub use settings::{Channel, ChannelSettings, Facility, Settings, SyslogTarget, WebhookFormat};

/// What survives a restart: which incidents are open and who has been told.
#[async_trait]
pub trait Memory: Send + Sync {
    /// Keeps a value, or forgets it (`None`). Durable when it returns.
    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), String>;
    /// All values under keys that begin so.
    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, String>;
}

/// How a notice leaves as mail.
#[async_trait]
pub trait Post: Send + Sync {
    /// Queued when it returns, in a lane that is none of `not_by` and not stopped. An error says why that cannot be.
    async fn mail(&self, mail: Mail) -> Result<(), String>;
}

/// A notice as mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// Plain text, lines separated by `\n`.
    pub text: String,
    /// The lane or pool that it should take, if one was named; otherwise whichever works.
    pub by: Option<String>,
    /// Lanes that are broken.
    pub not_by: Vec<String>,
}

/// An incident that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// `breaker`, `queue-age`, …
    pub kind: String,
    /// What it is about.
    pub about: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// What happened.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// The error's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Since.
    pub since: Timestamp,
}

/// What came of a test through one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// Name of the channel.
    pub channel: String,
    /// `None`: it went well; otherwise what went wrong, with a hint.
    pub error: Option<String>,
}

/// Where incidents are told. Cheap to clone; works from before [`Worker::run`] on.
#[derive(Clone, Debug)]
pub struct Desk {}

/// The task that tells.
#[derive(Debug)]
pub struct Worker {}

impl Desk {
    /// Nothing is sent until [`Worker::run`].
    pub fn new(
        settings: Settings,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> (Self, Worker) {
        let _ = (settings, now);
        todo!()
    }

    /// Incidents that are open, oldest first.
    pub fn open_incidents(&self) -> Vec<Open> {
        todo!()
    }

    /// Sends a test notice through one channel, or all of them, and waits for what comes of it.
    pub async fn test(&self, channel: Option<&str>) -> Vec<Tested> {
        let _ = channel;
        todo!()
    }
}

impl Incidents for Desk {
    fn open(&self, incident: Incident) {
        let _ = incident;
        todo!()
    }
    fn close(&self, kind: IncidentKind, about: &str, how: &str) {
        let _ = (kind, about, how);
        todo!()
    }
}

impl Worker {
    /// Until `stop`. First what was open before the restart is recalled; what is found again is not told again, what is
    /// not found again within the grace of a minute is told as over.
    pub async fn run(self, memory: Arc<dyn Memory>, post: Arc<dyn Post>, stop: CancellationToken) {
        let _ = (memory, post, stop);
        todo!()
    }
}
