//! The edge towards next hops.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{BodyReader, Counted, Message, Outcome, RemoteReply, Scope, SpoolError};

/// One attempt: hand this message to the next hop, for these recipients.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// The message; its bytes come from `body`.
    pub message: &'a Message,
    /// Indices into `message.recipients`, all queued, at least one.
    pub recipients: Vec<u32>,
    /// Transactions that it may take, at least 1; recipients that would need more are deferred without counting.
    pub transactions: usize,
    /// Told before the last byte of each transaction.
    pub journal: &'a dyn Journal,
}

/// Where it is noted that a transaction may be about to succeed, so that a crash leaves no doubt which ones were.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// The last byte of a transaction for these recipients (indices as in [`Attempt::recipients`]) goes as soon as this has
    /// returned. On an error it must not go: the transaction is given up, its recipients are deferred without counting.
    async fn last_byte(&self, recipients: &[u32]) -> Result<(), SpoolError>;
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// Each recipient of the attempt exactly once.
    pub results: Vec<(Vec<u32>, Outcome)>,
    /// What it says about the lane.
    pub lane: LaneVerdict,
    /// How many transactions reached MAIL: each uses up a message of the lane's budgets.
    pub messages: u32,
    /// How long it took, in milliseconds, connecting included.
    pub took_ms: u64,
    /// What happened on the way that is worth telling although the attempt went on: one line each, in order, few.
    pub notes: Vec<String>,
    /// The message must not be tried again before an operator has said so: the reason, with the remedy. Recipients that are
    /// settled by `results` stay so.
    pub hold: Option<String>,
}

/// What an attempt says about its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneVerdict {
    /// It works; whatever was wrong with the lane is over.
    Healthy,
    /// Nothing about the lane can be said from this.
    Neutral,
    /// A link fault, or a server that is not well: rest this long, then go on.
    Rest {
        /// At least so long.
        wait: Duration,
        /// Why, in one line.
        reason: String,
    },
    /// Too much, or too fast: slow down at once, and speed up again with care.
    Throttled(Throttle),
    /// The lane cannot work until somebody or something changes it: hold its mail, alert once, probe sparingly.
    Paused(Pause),
}

/// What was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Excess {
    /// Connections, or messages under way, at once.
    Connections,
    /// What the budgets of this kind count: the lane's shortest window of them is meant, unless it is used up by less.
    Of(Counted),
    /// The server did not say: connections and messages.
    Unknown,
}

/// A refusal for being too much or too fast. Nothing about the message is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Throttle {
    /// See there.
    pub what: Excess,
    /// The server asked for this much patience (`Retry-After`), or the kind of refusal demands it.
    pub wait: Option<Duration>,
    /// What happened, in one line, the remote's words included.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// The error's own name: `4.3.2`, `5.2.0`.
    pub code: String,
}

/// Why a breaker is open. The texts go to the log, the alert, `status` and the story.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pause {
    /// What does not work. A lane without a breaker of that scope opens the one of its path.
    pub scope: Scope,
    /// What happened, in one line, the remote's words included.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// The error's own name: `5.7.139`, `AADSTS7000222`, `link`.
    pub code: String,
    /// When the next probe (one message) is due at the earliest.
    pub probe_after: Duration,
}

/// A sender that the far side has refused to a lane. It is not tried as it is again before then.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RefusedSender {
    /// The address.
    pub sender: String,
    /// Until then.
    pub until: Timestamp,
    /// The far side's words, in one line.
    pub reason: String,
    /// The configuration said that the lane may send as it. Once it says otherwise, the sender is tried once more.
    pub listed: bool,
}

/// What a next hop says of a transaction whose end nobody saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// It cannot be asked.
    Unknown,
    /// It can be asked, but not now: again later, and no resending before.
    Later {
        /// Why.
        reason: String,
    },
    /// It has the message for these recipients.
    Arrived {
        /// Indices into the message's recipients.
        recipients: Vec<u32>,
        /// Its words, or what it showed.
        remote: RemoteReply,
    },
    /// It does not have it.
    NotArrived,
}

/// A next hop. One object a lane; it keeps its own connections and is called at most as often at once as the lane has permits.
#[async_trait]
pub trait Transport: Send + Sync {
    /// One attempt. Must end by itself (every wait inside has its limit), must not panic whatever the peer does, and may be
    /// dropped at any await point on shutdown, which counts as unconfirmed if the last byte had gone.
    async fn attempt(&self, attempt: Attempt<'_>, body: BodyReader, now: Timestamp) -> AttemptReport;
    /// Whether a message whose attempt ended unconfirmed has arrived, for these recipients. Asked before it is sent again.
    async fn inquire(&self, _message: &Message, _recipients: &[u32], _now: Timestamp) -> Inquiry {
        Inquiry::Unknown
    }
    /// Close idle connections that are too old; called every few seconds.
    async fn tend(&self) {}
    /// True once after a credential that had been refused was replaced: an attempt is worth it now. Noticed while [`Self::tend`]
    /// is called.
    fn credential_replaced(&self) -> bool {
        false
    }
    /// An operator wants it tried now: the next attempt asks anew also where a refusal is remembered.
    fn ask_anew(&self) {}
    /// The relay stops: attempts under way end at once, each with what is known of it. Those that do not are dropped soon
    /// after.
    fn abandon(&self) {}
    /// For `status`: senders that this lane is known not to be allowed to send as.
    fn refused_senders(&self, _now: Timestamp) -> Vec<RefusedSender> {
        Vec::new()
    }
    /// For `status`: connections open, connections idle.
    fn connections(&self) -> (usize, usize) {
        (0, 0)
    }
}
