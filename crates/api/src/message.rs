//! A message and its story.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What to list: all conditions that are given must hold. Paging: give [`Page::next`] as `from` to the next request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Only this lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Only held ones, or only those that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
    /// Part of the reverse-path, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Part of a forward-path, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Name of the client entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Accepted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<Timestamp>,
    /// Where the last page ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Messages a page, 1 to 1,000; default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// At most as many as asked for.
    pub messages: Vec<Summary>,
    /// For the next request; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A message as a line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// 13 letters and digits.
    pub id: String,
    /// 250 was said then.
    pub accepted_at: Timestamp,
    /// Name of the client entry that let it in.
    pub client: String,
    /// MAIL FROM with its angle brackets; `<>` for the null reverse-path.
    pub reverse_path: String,
    /// In the order of RCPT TO.
    pub recipients: Vec<Recipient>,
    /// Octets in the spool.
    pub size: u64,
    /// `Subject`, as it stands in the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `Message-ID`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Urgent by its header section or its client.
    pub urgent: bool,
    /// Where it goes.
    pub lane: String,
    /// Attempts that counted.
    pub attempts: u32,
    /// Next attempt not before; absent when nothing is left to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// An operator's or the planner's stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// See [`Summary::held`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Why, with the remedy.
    pub reason: String,
    /// Since.
    pub at: Timestamp,
}

/// A recipient and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// RCPT TO with its angle brackets.
    pub forward_path: String,
    /// See there.
    #[serde(flatten)]
    pub state: RecipientState,
}

/// The life of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RecipientState {
    /// To be tried (again).
    Queued {
        /// What the last attempt came to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<String>,
        /// An earlier attempt ended unconfirmed: it may have arrived already.
        #[serde(default)]
        unconfirmed: bool,
    },
    /// The next hop took responsibility. It does not mean delivered.
    HandedOver {
        /// Its words.
        remote: Remote,
        /// When.
        at: Timestamp,
    },
    /// A final verdict.
    Bounced {
        /// Why.
        reason: String,
        /// If a next hop said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<Remote>,
        /// When.
        at: Timestamp,
    },
    /// Its time was up.
    Expired {
        /// The last trouble.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Taken out by an operator.
    Removed {
        /// When.
        at: Timestamp,
    },
}

/// What a next hop said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Who.
    pub host: String,
    /// Reply code.
    pub code: u16,
    /// Enhanced status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Text, its lines joined with a blank.
    pub text: String,
    /// Its own id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
}

/// All that is known of a message except its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// As in a list.
    #[serde(flatten)]
    pub summary: Summary,
    /// Whether nothing is left to try: it is in the history and its bytes are gone.
    pub settled: bool,
    /// User that authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Address of the client.
    pub peer: SocketAddr,
    /// Argument of EHLO or HELO.
    pub helo: String,
    /// TLS version and cipher suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Id of the SMTP session, as in the log.
    pub session: String,
    /// `From`, as it stands in the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// ENVID=
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<String>,
    /// What happened, oldest first.
    pub story: Vec<StoryEvent>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// See [`StoryEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Step {
    /// 250 was said; the message is on stable storage.
    Accepted,
    /// One attempt is over.
    Attempted {
        /// Where.
        lane: String,
        /// How long it took.
        took_ms: u64,
        /// What came of it.
        outcomes: Vec<Outcome>,
        /// What happened on the way and is worth telling although the attempt went on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// It cannot go for now, by trouble of the lane or until somebody acts; this does not count as an attempt.
    Waiting {
        /// Why.
        reason: String,
        /// What it means and what to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// As of an attempt.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// It waits for a budget; nothing was tried.
    Postponed {
        /// Which budget, and what is left of it.
        reason: String,
        /// Until then.
        until: Timestamp,
    },
    /// The relay ended while the last byte may have been on its way for these recipients.
    Interrupted {
        /// Forward-paths.
        recipients: Vec<String>,
    },
    /// The next hop was asked whether it had arrived.
    Inquired {
        /// What it said.
        answer: String,
    },
    /// Somebody was told of what became of it.
    Reported {
        /// Who.
        to: String,
        /// Of what: `failed`, `delayed`, `relayed`, `delivered`, `expanded`.
        action: String,
        /// Id of the message that tells it; absent where it goes into a digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Older than the warning time.
    Delayed,
    /// Its time was up.
    Expired,
    /// Stopped.
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
    /// Another lane is responsible now.
    Moved {
        /// Which.
        lane: String,
    },
    /// Found in the spool at start although its index had lost it.
    Rescued,
    /// Left out to keep the story short.
    Omitted {
        /// So many events.
        events: u32,
    },
}

/// What one attempt came to, for these recipients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `handed-over`, `deferred`, `bounced` or `unconfirmed`.
    pub outcome: String,
    /// Forward-paths.
    pub recipients: Vec<String>,
    /// What happened, in one line; absent when handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it means and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// If a next hop said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
}
