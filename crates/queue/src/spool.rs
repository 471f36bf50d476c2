//! The edge towards storage.
//!
//! Promises: what `enqueue` and `record` returned `Ok` for survives a kill and a power cut; an `Err` from `enqueue` means
//! that the message will never be tried (nothing of it comes back after a restart), an `Err` from `record` that the old
//! state stands and the message may be tried again.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Class, LaneName, Message, MessageId, NewMessage, Spend};

/// A body on its way in. Dropped unfinished, it leaves nothing behind.
#[async_trait]
pub trait BodyWriter: Send {
    /// The id that the message will have.
    fn id(&self) -> MessageId;
    /// The next piece. Memory stays bounded; `Full` as soon as it cannot be kept.
    async fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError>;
    /// The body is whole. For a large body it is on stable storage now, for a small one it will be with `enqueue`.
    async fn finish(self: Box<Self>) -> Result<FinishedBody, SpoolError>;
}

/// Made by a spool's own writer, taken back by the same spool.
pub type FinishedBody = Box<dyn std::any::Any + Send>;

/// A body on its way out, in pieces of at most 64 KiB (a message below 1 MiB may come as one piece).
#[async_trait]
pub trait Body: Send {
    /// Octets in all.
    fn size(&self) -> u64;
    /// The next piece; `None` at the end. The checksum is verified before the last piece is given: a damaged body gives
    /// `Damaged` before its end.
    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError>;
    /// Back to the first byte, wherever it was: a body may be needed twice (to be hashed before it is sent, or for another
    /// transaction). What was once read can be read again, or fails.
    fn rewind(&mut self);
}

/// See [`Body`].
pub type BodyReader = Box<dyn Body>;

/// Why the spool did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// Not enough room for new mail; settling goes on. To clients: 452 4.3.1.
    #[error("the spool is full: {0}")]
    Full(String),
    /// A write or a sync failed; the spool is closed to writes until it has been verified. To clients: 451 4.3.0.
    #[error("the spool is closed to writes: {0}")]
    Closed(String),
    /// No such message.
    #[error("no message {0}")]
    NotFound(MessageId),
    /// Somebody else has it (it is being tried right now).
    #[error("message {0} is being tried right now")]
    Leased(MessageId),
    /// The bytes are not those that were stored.
    #[error("message {id} is damaged on disk: {what}")]
    Damaged {
        /// Which.
        id: MessageId,
        /// How.
        what: String,
    },
    /// Anything else.
    #[error("the spool failed: {0}")]
    Failed(String),
}

/// Which messages an operator means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Only messages in this lane.
    pub lane: Option<LaneName>,
    /// Only held (true) or not held (false) ones.
    pub held: Option<bool>,
    /// Part of the reverse-path, without regard to case.
    pub sender: Option<String>,
    /// Part of any forward-path, without regard to case.
    pub recipient: Option<String>,
    /// Name of the client entry.
    pub client: Option<String>,
    /// Accepted before.
    pub older_than: Option<Timestamp>,
}

/// A page of messages, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// At most as many as asked for.
    pub messages: Vec<Message>,
    /// Give this to the next call; `None` when there are no more.
    pub next: Option<MessageId>,
}

/// Recipients since the spool was made; the conservation promise is `accepted == queued + the others`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Taken in.
    pub accepted: u64,
    /// Queued now (counted, not derived).
    pub queued: u64,
    /// Handed over.
    pub handed_over: u64,
    /// Bounced.
    pub bounced: u64,
    /// Expired.
    pub expired: u64,
    /// Removed by an operator.
    pub removed: u64,
    /// Messages queued now.
    pub messages: u64,
    /// Of them held.
    pub held: u64,
    /// When the oldest message queued now was accepted.
    pub oldest: Option<Timestamp>,
}

impl Counters {
    /// Whether every recipient is accounted for.
    pub fn conserved(&self) -> bool {
        self.accepted == self.queued + self.handed_over + self.bounced + self.expired + self.removed
    }
}

/// An entry of the journal: the last byte of a transaction may be on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastByte {
    /// Of which message.
    pub id: MessageId,
    /// In which lane (not pool).
    pub lane: LaneName,
    /// Since when.
    pub at: Timestamp,
    /// Indices into its recipients.
    pub recipients: Vec<u32>,
}

/// How much waits in a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneDepth {
    /// Which.
    pub lane: LaneName,
    /// Messages, held ones not counted.
    pub messages: u64,
    /// When the first of them is due.
    pub next_due_at: Option<Timestamp>,
}

/// Whether the spool takes mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum SpoolState {
    /// Yes.
    Accepting,
    /// No room for new mail; settling goes on.
    Full {
        /// In words.
        reason: String,
    },
    /// Closed to writes until verified.
    Closed {
        /// In words.
        reason: String,
    },
}

/// For `status`, `/readyz` and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolHealth {
    /// See there.
    pub state: SpoolState,
    /// Octets free on its file system.
    pub free_bytes: u64,
    /// Octets of them that new mail may not use up; 0: not known.
    #[serde(default)]
    pub reserve_bytes: u64,
    /// Octets that it takes up.
    pub used_bytes: u64,
    /// What recovery found at start: one line each, empty after a clean stop.
    pub recovery: Vec<String>,
}

/// Where accepted mail survives.
#[async_trait]
pub trait Spool: Send + Sync {
    /// Begins a body. `expected`: its size if declared, so that a full disk is known at MAIL or DATA.
    fn body_writer(&self, expected: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError>;
    /// Durable when it returns. The message comes back leased to the caller.
    async fn enqueue(&self, message: NewMessage, body: FinishedBody) -> Result<Message, SpoolError>;
    /// Messages of a lane and class that are due and neither held nor leased, in order of (due, id), at most `max`; leased
    /// to the caller until `record` or `release`.
    async fn claim_due(
        &self,
        lane: &LaneName,
        class: Class,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<Message>, SpoolError>;
    /// Claims one message, whatever its due time and hold; `Leased` if it is being tried.
    async fn claim(&self, id: MessageId) -> Result<Message, SpoolError>;
    /// The new state of a leased message, durable when it returns; the lease ends. A settled one goes to the history and
    /// its body is freed.
    async fn record(&self, message: Message) -> Result<(), SpoolError> {
        self.record_spending(message, Vec::new()).await
    }
    /// The same; with it, in one transaction, what the attempt has spent goes into the ledger, and its entry in the journal
    /// is closed.
    async fn record_spending(&self, message: Message, spent: Vec<Spend>) -> Result<(), SpoolError>;
    /// The ledger: what was spent since then, oldest first, by budget. Amounts of one budget may have been added up, at the
    /// latest instant among them, so that a sum over any window that ends later is never too small; instants are kept to
    /// the millisecond.
    async fn ledger(&self, since: Timestamp) -> Result<Vec<Spend>, SpoolError>;
    /// Forgets what was spent before then; called now and then.
    async fn prune_ledger(&self, before: Timestamp) -> Result<(), SpoolError>;
    /// The last byte of a transaction is about to go. Survives a kill when it returns; with `synced` also a power cut. Its
    /// entry is closed by the next `record`, `record_spending` or `release` of the message.
    async fn journal(&self, entry: LastByte, synced: bool) -> Result<(), SpoolError>;
    /// What the journal held at the start: transactions whose end nobody saw. Given until their messages are recorded.
    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError>;
    /// A small thing to remember (at most 64 KiB), or to forget (`None`). Durable when it returns.
    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), SpoolError>;
    /// What is remembered under keys that begin so, in order of key.
    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, SpoolError>;
    /// Gives a lease back, the state unchanged.
    fn release(&self, id: MessageId);
    /// The earliest due time of messages of a lane and class that are neither held nor leased.
    async fn next_due(&self, lane: &LaneName, class: Class) -> Result<Option<Timestamp>, SpoolError>;
    /// The bytes.
    async fn body(&self, id: MessageId) -> Result<BodyReader, SpoolError>;
    /// A message, queued or in the history.
    async fn find(&self, id: MessageId) -> Result<Message, SpoolError>;
    /// Queued messages, oldest first, `after` that id, at most `max` (1..=1000).
    async fn list(&self, filter: &Filter, after: Option<MessageId>, max: usize) -> Result<Listing, SpoolError>;
    /// Settled messages still in the history, newest first, before that id.
    async fn history(&self, filter: &Filter, before: Option<MessageId>, max: usize) -> Result<Listing, SpoolError>;
    /// All lanes that have queued messages.
    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError>;
    /// See there.
    async fn counters(&self) -> Result<Counters, SpoolError>;
    /// See there.
    fn health(&self) -> SpoolHealth;
    /// Deletes history older than this; called now and then.
    async fn prune_history(&self, before: Timestamp) -> Result<u64, SpoolError>;
    /// Writes out what is pending and closes the files; nothing works afterwards.
    async fn close(&self) -> Result<(), SpoolError>;
}
