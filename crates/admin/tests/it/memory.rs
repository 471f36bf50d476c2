//! A spool in memory, as far as these tests need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use queue::{
    Body, BodyReader, BodyWriter, Class, Clock, Counters, Filter, FinishedBody, LaneDepth, LaneName, LastByte, Listing,
    Message, MessageId, NewMessage, Spend, Spool, SpoolError, SpoolHealth, SpoolState,
};

/// Stands still.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }
}

#[derive(Default)]
pub(crate) struct Memory {
    inside: Mutex<Inside>,
}

struct Inside {
    messages: BTreeMap<MessageId, Message>,
    leased: BTreeSet<MessageId>,
    state: SpoolState,
}

impl Default for Inside {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), leased: BTreeSet::new(), state: SpoolState::Accepting }
    }
}

impl Memory {
    pub(crate) fn put(&self, message: Message) {
        self.inside().messages.insert(message.id, message);
    }
    pub(crate) fn set_state(&self, state: SpoolState) {
        self.inside().state = state;
    }
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `raw` gives.
pub(crate) const BYTES: &[u8] = b"Subject: a test\r\n\r\nHello\r\n";

struct Whole(Option<Bytes>);

#[async_trait]
impl Body for Whole {
    fn size(&self) -> u64 {
        BYTES.len() as u64
    }
    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        Ok(self.0.take())
    }
    fn rewind(&mut self) {
        self.0 = Some(Bytes::from_static(BYTES));
    }
}

impl Inside {
    fn lease(&mut self, id: MessageId) -> Result<Message, SpoolError> {
        let message = self.messages.get(&id).filter(|message| !message.is_settled()).ok_or(SpoolError::NotFound(id))?;
        if !self.leased.insert(id) {
            return Err(SpoolError::Leased(id));
        }
        Ok(message.clone())
    }
    fn waiting(&self, lane: &LaneName, class: Class) -> impl Iterator<Item = &Message> {
        self.messages.values().filter(move |m| {
            !m.is_settled() && m.lane == *lane && m.class() == class && m.hold.is_none() && !self.leased.contains(&m.id)
        })
    }
}

fn matches(filter: &Filter, message: &Message) -> bool {
    filter.lane.as_ref().is_none_or(|lane| *lane == message.lane)
        && filter.held.is_none_or(|held| held == message.hold.is_some())
        && filter.sender.as_ref().is_none_or(|sender| message.reverse_path.to_string().contains(sender.as_str()))
}

#[async_trait]
impl Spool for Memory {
    fn body_writer(&self, _: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError> {
        Err(SpoolError::Failed("not here".to_owned()))
    }
    async fn enqueue(&self, _: NewMessage, _: FinishedBody) -> Result<Message, SpoolError> {
        Err(SpoolError::Failed("not here".to_owned()))
    }
    async fn claim_due(
        &self,
        lane: &LaneName,
        class: Class,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<Message>, SpoolError> {
        let mut inside = self.inside();
        let due: Vec<_> = inside.waiting(lane, class).filter(|m| m.due_at <= now).map(|m| m.id).take(max).collect();
        due.into_iter().map(|id| inside.lease(id)).collect()
    }
    async fn claim(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.inside().lease(id)
    }
    async fn record_spending(&self, message: Message, _: Vec<Spend>) -> Result<(), SpoolError> {
        let mut inside = self.inside();
        inside.leased.remove(&message.id);
        inside.messages.insert(message.id, message);
        Ok(())
    }
    async fn ledger(&self, _: Timestamp) -> Result<Vec<Spend>, SpoolError> {
        Ok(Vec::new())
    }
    async fn prune_ledger(&self, _: Timestamp) -> Result<(), SpoolError> {
        Ok(())
    }
    async fn journal(&self, _: LastByte, _: bool) -> Result<(), SpoolError> {
        Ok(())
    }
    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError> {
        Ok(Vec::new())
    }
    async fn remember(&self, _: &str, _: Option<&str>) -> Result<(), SpoolError> {
        Ok(())
    }
    async fn remembered(&self, _: &str) -> Result<Vec<(String, String)>, SpoolError> {
        Ok(Vec::new())
    }
    fn release(&self, id: MessageId) {
        self.inside().leased.remove(&id);
    }
    async fn next_due(&self, lane: &LaneName, class: Class) -> Result<Option<Timestamp>, SpoolError> {
        Ok(self.inside().waiting(lane, class).map(|m| m.due_at).min())
    }
    async fn body(&self, id: MessageId) -> Result<BodyReader, SpoolError> {
        self.find(id).await.map(|_| Box::new(Whole(Some(Bytes::from_static(BYTES)))) as BodyReader)
    }
    async fn find(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.inside().messages.get(&id).cloned().ok_or(SpoolError::NotFound(id))
    }
    async fn list(&self, filter: &Filter, after: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        let inside = self.inside();
        let queued = inside.messages.values().filter(|m| !m.is_settled() && matches(filter, m));
        let mut messages: Vec<_> = queued.filter(|m| after.is_none_or(|after| m.id > after)).cloned().collect();
        let more = messages.len() > max;
        messages.truncate(max);
        let next = messages.last().filter(|_| more).map(|m| m.id);
        Ok(Listing { messages, next })
    }
    async fn history(&self, filter: &Filter, before: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        let inside = self.inside();
        let settled = inside.messages.values().rev().filter(|m| m.is_settled() && matches(filter, m));
        let messages = settled.filter(|m| before.is_none_or(|before| m.id < before)).take(max).cloned().collect();
        Ok(Listing { messages, next: None })
    }
    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        let inside = self.inside();
        let mut depths: BTreeMap<LaneName, LaneDepth> = BTreeMap::new();
        for message in inside.messages.values().filter(|m| !m.is_settled() && m.hold.is_none()) {
            let empty = LaneDepth { lane: message.lane.clone(), messages: 0, next_due_at: None };
            let depth = depths.entry(message.lane.clone()).or_insert(empty);
            depth.messages += 1;
            depth.next_due_at = Some(depth.next_due_at.map_or(message.due_at, |due| due.min(message.due_at)));
        }
        Ok(depths.into_values().collect())
    }
    async fn counters(&self) -> Result<Counters, SpoolError> {
        let inside = self.inside();
        let mut counters = Counters::default();
        for message in inside.messages.values() {
            let queued = message.recipients.iter().filter(|r| r.state.is_queued()).count() as u64;
            counters.accepted += message.recipients.len() as u64;
            counters.queued += queued;
            counters.handed_over += message.recipients.len() as u64 - queued;
            counters.messages += u64::from(!message.is_settled());
            counters.held += u64::from(message.hold.is_some());
        }
        counters.oldest = inside.messages.values().filter(|m| !m.is_settled()).map(|m| m.accepted_at).min();
        Ok(counters)
    }
    fn health(&self) -> SpoolHealth {
        let state = self.inside().state.clone();
        SpoolHealth { state, free_bytes: 1 << 30, reserve_bytes: 0, used_bytes: 4096, recovery: Vec::new() }
    }
    async fn prune_history(&self, _: Timestamp) -> Result<u64, SpoolError> {
        Ok(0)
    }
    async fn close(&self) -> Result<(), SpoolError> {
        Ok(())
    }
}
