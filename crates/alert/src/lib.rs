//! Incidents told to people: one notice when one opens, one when it is over, through every channel that wants it.
//!
//! In: incidents, as often as whoever finds them likes ([`telemetry::Incidents`]). Out: one log line and one notice a channel
//! for each opening and each end, also across restarts. Never: a notice lost because a channel was down for a while, a
//! secret in a notice, a wait for whoever reports.

mod book;
mod channel;
mod deliver;
mod desk;
mod entry;
mod notice;
mod settings;
mod waiting;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telemetry::{Incident, IncidentKind, Incidents, Severity};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::desk::{Line, Shared};
use crate::notice::{Bulletin, Notice, State};

pub use settings::{Channel, ChannelSettings, Facility, Server, Settings, SyslogTarget, WebhookFormat};

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

/// Where incidents are told. Cheap to clone; works from before [`Worker::run`] on: what is said before is kept, and told then.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

/// The task that tells.
pub struct Worker {
    shared: Arc<Shared>,
}

/// Longer than every channel's own limit, but for a command that is given more.
const TEST_LIMIT: Duration = Duration::from_secs(90);

impl Desk {
    /// Nothing is sent until [`Worker::run`].
    pub fn new(settings: Settings, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> (Self, Worker) {
        let shared = Arc::new(Shared::new(settings, now));
        (Self { shared: Arc::clone(&shared) }, Worker { shared })
    }

    /// Incidents that are open, oldest first.
    pub fn open_incidents(&self) -> Vec<Open> {
        self.shared.open_incidents()
    }

    /// Sends a test notice through one channel, or all of them, and waits for what comes of it. Through each at the same
    /// time, past what waits there; a channel that works is tried at once with what waits.
    pub async fn test(&self, channel: Option<&str>) -> Vec<Tested> {
        let lines = self.shared.lines.iter().enumerate();
        let lines = lines.filter(|(_, line)| channel.is_none_or(|name| line.name == name));
        let tests: Vec<_> = lines.map(|(index, line)| (line, tokio::spawn(self.clone().test_one(index)))).collect();
        if let (Some(channel), true) = (channel, tests.is_empty()) {
            return vec![self.unknown(channel)];
        }
        let mut tested = Vec::new();
        for (line, test) in tests {
            let error = test.await.unwrap_or_else(|_| Some("the test failed; the log says more".to_owned()));
            tested.push(Tested { channel: line.name.clone(), error });
        }
        tested
    }

    async fn test_one(self, index: usize) -> Option<String> {
        let line = self.shared.lines.get(index)?;
        let bulletin = self.test_bulletin(line);
        match timeout(TEST_LIMIT, line.sender.send(&bulletin)).await {
            Ok(Ok(())) => {
                line.works.notify_waiters();
                None
            }
            Ok(Err(failure)) => Some(format!("{}\n  hint: {}", failure.what, failure.hint)),
            Err(_) => Some(format!("nothing came of it within {} s", TEST_LIMIT.as_secs())),
        }
    }

    fn test_bulletin(&self, line: &Line) -> Bulletin {
        let now = (self.shared.now)();
        let notice = Notice {
            state: State::Test,
            kind: IncidentKind::Test,
            about: format!("alert channel {}", line.name),
            severity: Severity::Warning,
            what: format!("this is a test of the alert channel {}; nothing is wrong", line.name),
            remedy: String::new(),
            code: None,
            lanes: Vec::new(),
            since: now,
            until: None,
            how: String::new(),
            at: now,
        };
        Bulletin { host: self.shared.host.clone(), notices: vec![notice], dropped: 0 }
    }

    fn unknown(&self, channel: &str) -> Tested {
        let names: Vec<&str> = self.shared.lines.iter().map(|line| line.name.as_str()).collect();
        let hint = match names.as_slice() {
            [] => "the configuration has no [[alert]] entries".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        let error = Some(format!("there is no such alert channel\n  hint: {hint}"));
        Tested { channel: channel.to_owned(), error }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Incidents for Desk {
    fn open(&self, incident: Incident) {
        self.shared.open(incident, 0);
    }
    fn open_stage(&self, incident: Incident, stage: u32) {
        self.shared.open(incident, stage);
    }
    fn close(&self, kind: IncidentKind, about: &str, how: &str) {
        self.shared.close(kind, about, how);
    }
}

impl Worker {
    /// Until `stop`. First what was open before the restart is recalled; what is found again is not told again. What a look
    /// every minute would find (queue, budgets, bounces, disk, conservation) and does not find again within 90 seconds is told
    /// as over; what only an attempt, a token or a fault finds (breakers, messages, expiry, clock, faults) stays open until
    /// somebody closes it, or nobody has found it for a day.
    pub async fn run(self, memory: Arc<dyn Memory>, post: Arc<dyn Post>, stop: CancellationToken) {
        worker::run(self.shared, memory, post, stop).await;
    }
}

#[cfg(test)]
mod tests;
