//! What is known of a message: everything except its bytes. The spool stores it as one JSON document.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use message::{ContentFacts, HeaderFacts};
use serde::{Deserialize, Serialize};
use smtp::{BodyType, EnvelopeId, ForwardPath, Notify, OriginalRecipient, Ret, ReversePath};

use crate::{Happening, MessageId, RemoteReply, StoryEvent};

/// Name of a lane: a path and the mailbox it sends as, e.g. `contoso/submission/relay@contoso.com`, `contoso/on-premises`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaneName(pub Arc<str>);

/// Which of a lane's three lines a message stands in. Each has its share of the lane, so that none starves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Marked urgent by its header section or its client entry; also when deferred.
    Urgent,
    /// Not yet tried.
    New,
    /// Tried at least once.
    Deferred,
}

/// Where a message came from. Kept for the story, for the trace and for whoever must be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the client entry that let it in.
    pub client: Arc<str>,
    /// User that authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Address of the peer.
    pub peer: SocketAddr,
    /// Argument of EHLO or HELO.
    pub helo: String,
    /// `TLSv1.3 TLS13_AES_256_GCM_SHA384`, if encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Id of the SMTP session, as in the log.
    pub session: String,
}

/// A recipient and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Argument of RCPT TO.
    pub forward_path: ForwardPath,
    /// NOTIFY=
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// ORCPT=
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<OriginalRecipient>,
    /// The copy for its client's archive: handed over in a transaction of its own, and nobody is told what became of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archive: bool,
    /// See there.
    pub state: RecipientState,
}

/// The life of one recipient: `Queued`, then one of the others, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RecipientState {
    /// To be tried (again). `last`: what the last attempt came to.
    Queued {
        /// The reply or the trouble of the last attempt, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<String>,
        /// An earlier attempt ended unconfirmed: it may have arrived already.
        #[serde(default)]
        unconfirmed: bool,
    },
    /// The next hop took responsibility.
    HandedOver {
        /// Its words.
        remote: RemoteReply,
        /// When.
        at: Timestamp,
    },
    /// A final verdict.
    Bounced {
        /// Why, in words.
        reason: String,
        /// The verdict, if a next hop gave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteReply>,
        /// When.
        at: Timestamp,
    },
    /// Still not handed over when its time was up.
    Expired {
        /// The last trouble, in words.
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

impl RecipientState {
    /// `Queued` with nothing tried.
    pub fn fresh() -> Self {
        Self::Queued { last: None, unconfirmed: false }
    }
    /// Whether it is still to be tried.
    pub fn is_queued(&self) -> bool {
        matches!(self, Self::Queued { .. })
    }
    /// `Queued`, and no attempt has come to it: it goes before those that were tried in vain.
    pub fn is_untried(&self) -> bool {
        matches!(self, Self::Queued { last: None, .. })
    }
}

/// Why a message is not tried although it is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// In words, with the remedy.
    pub reason: String,
    /// Since.
    pub at: Timestamp,
}

/// What inbound hands to the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Made by the spool when the body was begun (it stands in the trace field).
    pub id: MessageId,
    /// When the end of data was received.
    pub accepted_at: Timestamp,
    /// See there.
    pub origin: Origin,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// BODY=
    pub body: BodyType,
    /// SMTPUTF8
    pub smtputf8: bool,
    /// RET=
    pub ret: Option<Ret>,
    /// ENVID=
    pub envid: Option<EnvelopeId>,
    /// At least one, all fresh.
    pub recipients: Vec<Recipient>,
    /// See there.
    pub header: HeaderFacts,
    /// See there.
    pub content: ContentFacts,
    /// From the header section and the client entry.
    pub urgent: bool,
    /// Where it will go.
    pub lane: LaneName,
    /// Held from the start (no path for this sender), with the reason.
    pub hold: Option<String>,
    /// See [`Message::report_to`].
    pub report_to: Option<ForwardPath>,
    /// See [`Message::report_of`].
    pub report_of: Option<MessageId>,
}

/// A message in the spool, without its bytes. While somebody holds one that the spool handed out by `enqueue` or
/// `claim_due`, nobody else gets it (a lease); `record` and `release` give it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// See there.
    pub id: MessageId,
    /// 250 was said then.
    pub accepted_at: Timestamp,
    /// See there.
    pub origin: Origin,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// BODY=
    #[serde(default)]
    pub body: BodyType,
    /// SMTPUTF8
    #[serde(default)]
    pub smtputf8: bool,
    /// RET=
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<Ret>,
    /// ENVID=
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<EnvelopeId>,
    /// Octets in the spool, our trace field included.
    pub size: u64,
    /// See there.
    pub header: HeaderFacts,
    /// See there.
    pub content: ContentFacts,
    /// In the order of RCPT TO.
    pub recipients: Vec<Recipient>,
    /// Urgent by its header section or its client.
    pub urgent: bool,
    /// Where it goes next.
    pub lane: LaneName,
    /// Attempts so far that count towards the retry schedule.
    pub attempts: u32,
    /// Next attempt not before.
    pub due_at: Timestamp,
    /// Operator's or planner's stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The delay warning has been given.
    #[serde(default)]
    pub warned: bool,
    /// Who is told of bounces and delays in place of the reverse-path: the client's owner, where the device itself reads
    /// no mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_to: Option<ForwardPath>,
    /// It is our own notification about that message (or an alert, which names itself): nobody is ever notified about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_of: Option<MessageId>,
    /// What happened, oldest first; at most [`Message::STORY_LIMIT`] events, the middle is left out first.
    pub story: Vec<StoryEvent>,
}

impl Message {
    /// Events kept of one message.
    pub const STORY_LIMIT: usize = 100;

    /// As it stands right after acceptance: due at once, its story begun.
    pub fn accepted(new: NewMessage, size: u64) -> Self {
        let mut message = Self {
            id: new.id,
            accepted_at: new.accepted_at,
            origin: new.origin,
            reverse_path: new.reverse_path,
            body: new.body,
            smtputf8: new.smtputf8,
            ret: new.ret,
            envid: new.envid,
            size,
            header: new.header,
            content: new.content,
            recipients: new.recipients,
            urgent: new.urgent,
            lane: new.lane,
            attempts: 0,
            due_at: new.accepted_at,
            hold: None,
            warned: false,
            report_to: new.report_to,
            report_of: new.report_of,
            story: Vec::with_capacity(2),
        };
        message.note(StoryEvent { at: new.accepted_at, what: Happening::Accepted });
        if let Some(reason) = new.hold {
            message.hold(reason, new.accepted_at);
        }
        message
    }
    /// See [`Class`].
    pub fn class(&self) -> Class {
        match self.attempts {
            _ if self.urgent => Class::Urgent,
            0 => Class::New,
            _ => Class::Deferred,
        }
    }
    /// True when no recipient is queued any more: the spool moves it to the history and frees its body.
    pub fn is_settled(&self) -> bool {
        !self.recipients.iter().any(|r| r.state.is_queued())
    }
    /// Adds to the story, within its limit.
    pub fn note(&mut self, event: StoryEvent) {
        self.story.push(event);
        if self.story.len() > Self::STORY_LIMIT {
            self.shorten_story();
        }
    }

    /// Stops it, and says so in the story.
    pub fn hold(&mut self, reason: String, at: Timestamp) {
        self.note(StoryEvent { at, what: Happening::Held { reason: reason.clone() } });
        self.hold = Some(Hold { reason, at });
    }

    /// Leaves out the oldest event after the first [`STORY_HEAD`] ones, and counts it.
    fn shorten_story(&mut self) {
        let omitted = self.story.remove(STORY_HEAD);
        match self.story.get_mut(STORY_HEAD) {
            // Two of a kind meet: what was left out before, and the next one to go.
            Some(next) if let Happening::Omitted { events } = omitted.what => {
                *next = StoryEvent { at: omitted.at, what: Happening::Omitted { events: events.saturating_add(1) } };
            }
            Some(next) => *next = StoryEvent { at: omitted.at, what: Happening::Omitted { events: 2 } },
            None => {}
        }
    }
}

/// Events kept from the start of a story that has become too long; the others are its end.
const STORY_HEAD: usize = 10;

impl std::fmt::Display for LaneName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
