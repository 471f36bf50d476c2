//! A spool that is only memory: with the trait's promises, and with any trouble that these allow.
//!
//! A crash loses the leases and whatever has not returned; what has returned is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use queue::{
    Body, BodyReader, BodyWriter, Class, Counters, Filter, FinishedBody, LaneDepth, LaneName, LastByte, Listing,
    Message, MessageId, NewMessage, RecipientState, Spend, Spool, SpoolError, SpoolHealth, SpoolState,
};

use crate::world::{Random, START};

pub(crate) struct MemorySpool {
    state: Mutex<State>,
    random: Random,
    /// Anything may be slow or fail.
    pub(crate) troubled: AtomicBool,
    /// Nothing can be written.
    pub(crate) closed: AtomicBool,
    /// No body can be had.
    pub(crate) bodiless: AtomicBool,
    /// The ledger cannot be read.
    pub(crate) mute: AtomicBool,
    /// It has no room for new mail.
    pub(crate) full: AtomicBool,
    /// Of which 100 are its reserve.
    pub(crate) free_bytes: AtomicU64,
    /// Times that a body was asked for.
    pub(crate) bodies: AtomicU64,
    /// Recipients that it claims to have accepted in addition.
    pub(crate) invented: AtomicU64,
}

#[derive(Default)]
struct State {
    queued: BTreeMap<MessageId, Message>,
    history: BTreeMap<MessageId, Message>,
    leases: BTreeSet<MessageId>,
    damaged: BTreeSet<MessageId>,
    /// The damage shows only when they are read.
    rotten: BTreeSet<MessageId>,
    last: Option<MessageId>,
    accepted: u64,
    spent: Vec<Spend>,
    /// With whether they were synced.
    journal: Vec<(LastByte, bool)>,
    /// What the journal held when the process ended.
    interrupted: Vec<LastByte>,
    remembered: BTreeMap<String, String>,
}

impl State {
    /// The message's entries in the journal are closed.
    fn close_entries(&mut self, id: MessageId) {
        self.journal.retain(|(entry, _)| entry.id != id);
    }
}

impl MemorySpool {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            random: Random::new(seed),
            troubled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            bodiless: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            full: AtomicBool::new(false),
            free_bytes: AtomicU64::new(1_000),
            bodies: AtomicU64::new(0),
            invented: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The process that had them is gone.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        state.leases.clear();
        let open: Vec<_> = state.journal.drain(..).map(|(entry, _)| entry).collect();
        state.interrupted.extend(open);
    }

    /// Entries of the journal that are open, and whether they were synced.
    pub(crate) fn journal(&self) -> Vec<(LastByte, bool)> {
        self.state().journal.clone()
    }

    pub(crate) fn spent(&self) -> Vec<Spend> {
        self.state().spent.clone()
    }

    pub(crate) fn is_remembered(&self, prefix: &str) -> Vec<(String, String)> {
        let state = self.state();
        let known = state.remembered.iter().filter(|(key, _)| key.starts_with(prefix));
        known.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn leased(&self) -> Vec<MessageId> {
        self.state().leases.iter().copied().collect()
    }

    pub(crate) fn damage(&self, id: MessageId) {
        self.state().damaged.insert(id);
    }

    pub(crate) fn rot(&self, id: MessageId) {
        self.state().rotten.insert(id);
    }

    /// As it stands, queued or settled.
    pub(crate) fn message(&self, id: MessageId) -> Message {
        let state = self.state();
        state.queued.get(&id).or(state.history.get(&id)).cloned().expect("a message that was accepted")
    }

    pub(crate) fn all(&self) -> Vec<Message> {
        let state = self.state();
        state.queued.values().chain(state.history.values()).cloned().collect()
    }

    pub(crate) fn queued(&self) -> usize {
        self.state().queued.len()
    }

    /// Takes its time, and may fail.
    async fn before(&self, writes: bool) -> Result<(), SpoolError> {
        if self.troubled.load(Ordering::Relaxed) {
            if !self.random.once_in(3) {
                tokio::time::sleep(Duration::from_millis(self.random.below(30))).await;
            }
            if self.random.once_in(12) {
                return Err(SpoolError::Failed("by chance".to_owned()));
            }
        }
        match writes && self.closed.load(Ordering::Relaxed) {
            true => Err(SpoolError::Closed("by the test".to_owned())),
            false => Ok(()),
        }
    }

    /// The thing is done, but nobody hears of it.
    async fn after(&self) -> Result<(), SpoolError> {
        if self.troubled.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(self.random.below(30))).await;
            if self.random.once_in(20) {
                return Err(SpoolError::Failed("after the effect, by chance".to_owned()));
            }
        }
        Ok(())
    }
}

struct Writer {
    id: MessageId,
    size: u64,
}

#[async_trait]
impl BodyWriter for Writer {
    fn id(&self) -> MessageId {
        self.id
    }
    async fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        self.size += piece.len() as u64;
        Ok(())
    }
    async fn finish(self: Box<Self>) -> Result<FinishedBody, SpoolError> {
        Ok(Box::new(self.size))
    }
}

struct Reader {
    first: Result<Option<Bytes>, SpoolError>,
    given: bool,
}

#[async_trait]
impl Body for Reader {
    fn size(&self) -> u64 {
        3
    }
    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if std::mem::replace(&mut self.given, true) { Ok(None) } else { self.first.clone() }
    }
    fn rewind(&mut self) {
        self.given = false;
    }
}

fn wanted(filter: &Filter, message: &Message) -> bool {
    filter.lane.as_ref().is_none_or(|lane| *lane == message.lane)
        && filter.held.is_none_or(|held| held == message.hold.is_some())
        && filter.older_than.is_none_or(|before| message.accepted_at < before)
}

fn page<'a>(messages: impl Iterator<Item = &'a Message>, filter: &Filter, max: usize) -> Listing {
    let mut messages: Vec<_> = messages.filter(|message| wanted(filter, message)).take(max + 1).cloned().collect();
    let more = messages.len() > max;
    messages.truncate(max);
    Listing { next: messages.last().map(|message| message.id).filter(|_| more), messages }
}

#[async_trait]
impl Spool for MemorySpool {
    fn body_writer(&self, _expected: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError> {
        let mut state = self.state();
        let id = MessageId::next(state.last, START, 0);
        state.last = Some(id);
        Ok(Box::new(Writer { id, size: 0 }))
    }

    async fn enqueue(&self, message: NewMessage, body: FinishedBody) -> Result<Message, SpoolError> {
        self.before(true).await?;
        let message = Message::accepted(message, *body.downcast::<u64>().unwrap());
        let mut state = self.state();
        state.accepted += message.recipients.len() as u64;
        state.leases.insert(message.id);
        state.queued.insert(message.id, message.clone());
        Ok(message)
    }

    async fn claim_due(
        &self,
        lane: &LaneName,
        class: Class,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<Message>, SpoolError> {
        self.before(false).await?;
        let claimed = {
            let mut state = self.state();
            let mut due: Vec<_> = state
                .queued
                .values()
                .filter(|m| m.lane == *lane && m.class() == class && m.due_at <= now && m.hold.is_none())
                .filter(|m| !state.leases.contains(&m.id))
                .cloned()
                .collect();
            due.sort_by_key(|message| (message.due_at, message.id));
            due.truncate(max);
            state.leases.extend(due.iter().map(|message| message.id));
            due
        };
        if self.troubled.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(self.random.below(30))).await;
        }
        Ok(claimed)
    }

    async fn claim(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.before(false).await?;
        let mut state = self.state();
        let message = state.queued.get(&id).cloned().ok_or(SpoolError::NotFound(id))?;
        if !state.leases.insert(id) {
            return Err(SpoolError::Leased(id));
        }
        Ok(message)
    }

    async fn record_spending(&self, message: Message, spent: Vec<Spend>) -> Result<(), SpoolError> {
        self.before(true).await?;
        {
            let mut state = self.state();
            if !state.queued.contains_key(&message.id) {
                return Err(SpoolError::NotFound(message.id));
            }
            assert!(state.leases.contains(&message.id), "{} is recorded without a lease", message.id);
            if message.is_settled() {
                state.queued.remove(&message.id);
                state.history.insert(message.id, message.clone());
            } else {
                state.queued.insert(message.id, message.clone());
            }
            state.spent.extend(spent);
            state.close_entries(message.id);
            state.interrupted.retain(|entry| entry.id != message.id);
        }
        self.after().await?;
        self.state().leases.remove(&message.id);
        Ok(())
    }

    async fn ledger(&self, since: Timestamp) -> Result<Vec<Spend>, SpoolError> {
        self.before(false).await?;
        if self.mute.load(Ordering::Relaxed) {
            return Err(SpoolError::Failed("the table is locked".to_owned()));
        }
        let mut spent: Vec<_> = self.state().spent.iter().filter(|spend| spend.at >= since).cloned().collect();
        spent.sort_by_key(|spend| spend.at);
        Ok(spent)
    }

    async fn prune_ledger(&self, before: Timestamp) -> Result<(), SpoolError> {
        self.state().spent.retain(|spend| spend.at >= before);
        Ok(())
    }

    async fn journal(&self, entry: LastByte, synced: bool) -> Result<(), SpoolError> {
        self.before(true).await?;
        assert!(self.state().leases.contains(&entry.id), "{} is journalled without a lease", entry.id);
        self.state().journal.push((entry, synced));
        self.after().await
    }

    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError> {
        self.before(false).await?;
        Ok(self.state().interrupted.clone())
    }

    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), SpoolError> {
        self.before(true).await?;
        match value {
            Some(value) => self.state().remembered.insert(key.to_owned(), value.to_owned()),
            None => self.state().remembered.remove(key),
        };
        self.after().await
    }

    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, SpoolError> {
        self.before(false).await?;
        Ok(self.is_remembered(prefix))
    }

    fn release(&self, id: MessageId) {
        let mut state = self.state();
        state.leases.remove(&id);
        state.close_entries(id);
    }

    async fn next_due(&self, lane: &LaneName, class: Class) -> Result<Option<Timestamp>, SpoolError> {
        self.before(false).await?;
        let state = self.state();
        let waiting = state.queued.values().filter(|m| m.lane == *lane && m.class() == class && m.hold.is_none());
        Ok(waiting.filter(|m| !state.leases.contains(&m.id)).map(|message| message.due_at).min())
    }

    async fn body(&self, id: MessageId) -> Result<BodyReader, SpoolError> {
        self.bodies.fetch_add(1, Ordering::Relaxed);
        self.before(false).await?;
        if self.bodiless.load(Ordering::Relaxed) {
            return Err(SpoolError::Failed("too many open files".to_owned()));
        }
        let state = self.state();
        if state.rotten.contains(&id) {
            return Ok(Box::new(Reader {
                first: Err(SpoolError::Damaged { id, what: "its checksum is wrong".to_owned() }),
                given: false,
            }));
        }
        if state.damaged.contains(&id) {
            return Err(SpoolError::Damaged { id, what: "a wrong checksum".to_owned() });
        }
        match state.queued.contains_key(&id) {
            true => Ok(Box::new(Reader { first: Ok(Some(Bytes::from_static(b"a\r\n"))), given: false })),
            false => Err(SpoolError::NotFound(id)),
        }
    }

    async fn find(&self, id: MessageId) -> Result<Message, SpoolError> {
        let state = self.state();
        state.queued.get(&id).or(state.history.get(&id)).cloned().ok_or(SpoolError::NotFound(id))
    }

    async fn list(&self, filter: &Filter, after: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        self.before(false).await?;
        let state = self.state();
        let after = state.queued.values().filter(|message| after.is_none_or(|after| message.id > after));
        Ok(page(after, filter, max))
    }

    async fn history(&self, filter: &Filter, before: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        let state = self.state();
        let before = state.history.values().rev().filter(|message| before.is_none_or(|before| message.id < before));
        Ok(page(before, filter, max))
    }

    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        self.before(false).await?;
        let state = self.state();
        let mut depths: BTreeMap<LaneName, LaneDepth> = BTreeMap::new();
        for message in state.queued.values().filter(|message| message.hold.is_none()) {
            let lane = message.lane.clone();
            let depth = depths.entry(lane.clone()).or_insert(LaneDepth { lane, messages: 0, next_due_at: None });
            depth.messages += 1;
            let due_at = Some(message.due_at);
            depth.next_due_at = depth.next_due_at.min(due_at).or(due_at);
        }
        Ok(depths.into_values().collect())
    }

    async fn counters(&self) -> Result<Counters, SpoolError> {
        let state = self.state();
        let accepted = state.accepted + self.invented.load(Ordering::Relaxed);
        let mut counters = Counters { accepted, ..Counters::default() };
        for recipient in state.queued.values().chain(state.history.values()).flat_map(|message| &message.recipients) {
            match recipient.state {
                RecipientState::Queued { .. } => counters.queued += 1,
                RecipientState::HandedOver { .. } => counters.handed_over += 1,
                RecipientState::Bounced { .. } => counters.bounced += 1,
                RecipientState::Expired { .. } => counters.expired += 1,
                RecipientState::Removed { .. } => counters.removed += 1,
            }
        }
        counters.messages = state.queued.len() as u64;
        counters.held = state.queued.values().filter(|message| message.hold.is_some()).count() as u64;
        counters.oldest = state.queued.values().map(|message| message.accepted_at).min();
        Ok(counters)
    }

    fn health(&self) -> SpoolHealth {
        let state = match self.full.load(Ordering::Relaxed) {
            true => SpoolState::Full { reason: "12 octets are free".to_owned() },
            false => SpoolState::Accepting,
        };
        let free_bytes = self.free_bytes.load(Ordering::Relaxed);
        SpoolHealth { state, free_bytes, reserve_bytes: 100, used_bytes: 0, recovery: Vec::new() }
    }

    async fn prune_history(&self, _before: Timestamp) -> Result<u64, SpoolError> {
        Ok(0)
    }

    async fn close(&self) -> Result<(), SpoolError> {
        Ok(())
    }
}
