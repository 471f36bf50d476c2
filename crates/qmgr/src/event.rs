//! What others are told: events as they happen, the state of the lanes, and why an operator's word could not be followed.

use std::time::Duration;

use jiff::Timestamp;
use queue::{
    BreakerName, BreakerStatus, BudgetStatus, Forecast, LaneName, LaneStatus, MessageId, Pause, RefusedSender,
    SpoolError, StoryEvent,
};
use serde::Serialize;
use smtp::{ForwardPath, ReversePath};

/// Something happened. Built only if somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// To a message: one more event of its story.
    Message(MessageEvent),
    /// Something that lanes need does not work until somebody or something changes it.
    BreakerOpened {
        /// Which.
        breaker: BreakerName,
        /// What it stops.
        lanes: Vec<LaneName>,
        /// Why, and what to do.
        pause: Pause,
        /// Since.
        at: Timestamp,
    },
    /// It works again.
    BreakerClosed {
        /// Which.
        breaker: BreakerName,
        /// It was open so long.
        open_for: Duration,
        /// When.
        at: Timestamp,
    },
}

/// One event of a message's story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageEvent {
    /// Which.
    pub id: MessageId,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// In the order of RCPT TO; the indices in `what` point into it.
    pub recipients: Vec<ForwardPath>,
    /// What happened.
    pub what: StoryEvent,
    /// No recipient is queued any more.
    pub message_settled: bool,
    /// Where it goes, or went.
    pub lane: LaneName,
}

/// The state of the ways out, for `status` and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In order of name.
    pub lanes: Vec<LaneReport>,
    /// In order of name.
    pub budgets: Vec<BudgetStatus>,
    /// Those that are open.
    pub breakers: Vec<BreakerStatus>,
    /// One for each pool with mail that waits.
    pub forecasts: Vec<Forecast>,
}

/// A lane, for `status` and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// Permits, what waits, rest.
    #[serde(flatten)]
    pub status: LaneStatus,
    /// Connections open.
    pub connections_open: usize,
    /// Of them idle.
    pub connections_idle: usize,
    /// Senders that it may not send as, as the far side has said.
    pub refused_senders: Vec<RefusedSender>,
}

/// Why an operator's word could not be followed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OperatorError {
    /// Neither queued nor in the history.
    #[error("there is no message {0}, neither queued nor in the history")]
    NotFound(MessageId),
    /// In the history: nothing of it is queued any more.
    #[error("message {0} is settled: no recipient of it is queued any more")]
    Settled(MessageId),
    /// `retry` of a held message.
    #[error("message {id} is held ({reason}); release it first")]
    Held {
        /// Which.
        id: MessageId,
        /// Why it is held.
        reason: String,
    },
    /// `release` of a message that has no way to go.
    #[error("message {id} stays held: {reason}")]
    NoPath {
        /// Which.
        id: MessageId,
        /// What is missing, and what to do.
        reason: String,
    },
    /// Neither a lane nor a pool nor a breaker of that name is configured.
    #[error("no path, pool or breaker is called `{0}`; `posthouse status` lists them")]
    NoLane(LaneName),
    /// Somebody else has had the message for too long.
    #[error("message {0} is in use; try again in a moment")]
    Busy(MessageId),
    /// The spool did not take the change; the message is as it was.
    #[error("the change was not stored: {0}")]
    Spool(SpoolError),
    /// The queue manager has stopped.
    #[error("the relay is stopping")]
    Stopped,
}
