//! The story of a message: what happened, when, in the order it happened. Stored with it, printed by `message` and `demo`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{LaneName, Outcome};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// See [`StoryEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// 250 was said; the message is on stable storage.
    Accepted,
    /// One attempt is over.
    Attempted {
        /// Where.
        lane: LaneName,
        /// How many milliseconds it took.
        took_ms: u64,
        /// What came of it: each outcome with the indices of the recipients (in the order of RCPT TO) that it holds for.
        results: Vec<(Vec<u32>, Outcome)>,
        /// See [`AttemptReport::notes`](crate::AttemptReport::notes).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// An attempt was not counted: trouble of the lane, or one that somebody must end (repeats of the same trouble are
    /// merged).
    Waiting {
        /// Why.
        reason: String,
        /// What it means and what to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// As of an attempt; of the first one, where repeats are merged.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// It waits for a budget: nothing was tried.
    Postponed {
        /// Which budget, what is left of it, when there is more.
        reason: String,
        /// Until then.
        until: Timestamp,
    },
    /// The relay ended (a crash, a power cut) while the last byte may have been on its way for these recipients: each is
    /// unconfirmed.
    Interrupted {
        /// Indices, in the order of RCPT TO.
        recipients: Vec<u32>,
    },
    /// The next hop was asked whether an unconfirmed message had arrived.
    Inquired {
        /// What it said.
        answer: String,
    },
    /// Somebody was told of what became of it.
    Reported {
        /// Who.
        to: String,
        /// What of: `failed`, `delayed`, `relayed`, `delivered`, `expanded`, as in RFC 3464.
        action: String,
        /// The message that tells it; absent where it goes into a digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<crate::MessageId>,
    },
    /// Older than the warning time.
    Delayed,
    /// Its time was up.
    Expired,
    /// Stopped, by an operator or for want of a path.
    Held {
        /// Why.
        reason: String,
    },
    /// Let go.
    Released,
    /// An operator wanted it tried now.
    RetryRequested,
    /// Taken out by an operator.
    Removed,
    /// Another lane is responsible now (configuration changed).
    Moved {
        /// The new one.
        lane: LaneName,
    },
    /// Found at start in the segments although the database had lost it.
    Rescued,
    /// A middle part of the story was left out to keep it short.
    Omitted {
        /// How many events.
        events: u32,
    },
}
