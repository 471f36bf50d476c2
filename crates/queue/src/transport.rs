//! The edge towards next hops.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{BodyReader, Message, Outcome};

/// One attempt: hand this message to the next hop, for these recipients.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// The message; its bytes come from `body`.
    pub message: &'a Message,
    /// Indices into `message.recipients`, all queued, at least one.
    pub recipients: Vec<u32>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// Each recipient of the attempt exactly once.
    pub results: Vec<(Vec<u32>, Outcome)>,
    /// What it says about the lane.
    pub lane: LaneVerdict,
    /// Whether MAIL was sent, so that a permit of the lane's messages a minute is used up.
    pub reached_mail: bool,
    /// How long it took, in milliseconds, connecting included.
    pub took_ms: u64,
    /// What happened on the way that is worth telling although the attempt went on: one line each, in order, few.
    pub notes: Vec<String>,
}

/// What an attempt says about its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneVerdict {
    /// It works; whatever was wrong with the lane is over.
    Healthy,
    /// Nothing about the lane can be said from this.
    Neutral,
    /// Throttled, or a link fault: rest this long, then go on.
    Rest {
        /// At least so long.
        wait: Duration,
        /// Why, in one line.
        reason: String,
    },
    /// The lane cannot work until somebody or something changes it: hold its mail, alert once, probe sparingly.
    Paused(Pause),
}

/// Why a lane is paused. The texts go to the log, the alert, `status` and the story.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pause {
    /// What happened, in one line, the remote's words included.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// The error's own name: `5.7.139`, `AADSTS7000222`, `link`.
    pub code: String,
    /// When the next probe (one message) is due at the earliest.
    pub probe_after: Duration,
}

/// A next hop. One object a lane; it keeps its own connections and is called at most as often at once as the lane has permits.
#[async_trait]
pub trait Transport: Send + Sync {
    /// One attempt. Must end by itself (every wait inside has its limit), must not panic whatever the peer does, and may be
    /// dropped at any await point on shutdown, which counts as unconfirmed if the last byte had gone.
    async fn attempt(&self, attempt: Attempt<'_>, body: BodyReader, now: Timestamp) -> AttemptReport;
    /// Close idle connections that are too old; called every few seconds.
    async fn tend(&self) {}
    /// The relay stops: attempts under way end at once, each with what is known of it. Those that do not are dropped soon
    /// after.
    fn abandon(&self) {}
    /// For `status`: connections open, connections idle.
    fn connections(&self) -> (usize, usize) {
        (0, 0)
    }
}
