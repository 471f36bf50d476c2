//! The embedded spool under a clock that jumps: while one of its threads is asked, the clock stands.
//!
//! Tokio moves a paused clock on as soon as every task waits. A task that waits for a thread of the spool would let it jump;
//! asked from a thread of tokio's own pool, it does not.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use queue::{
    BodyReader, BodyWriter, Class, Counters, Filter, FinishedBody, LaneDepth, LaneName, LastByte, Listing, Message,
    MessageId, NewMessage, Spend, Spool, SpoolError, SpoolHealth, SpoolState,
};
use tokio::runtime::Handle;

pub(crate) struct StandingStill(Mutex<Option<Arc<spool::Embedded>>>);

impl StandingStill {
    pub(crate) fn new(spool: spool::Embedded) -> Self {
        Self(Mutex::new(Some(Arc::new(spool))))
    }

    /// As a killed process: what is asked from now on is not done.
    pub(crate) fn kill(&self) {
        self.0.lock().unwrap().take();
    }

    fn alive(&self) -> Result<Arc<spool::Embedded>, SpoolError> {
        self.0.lock().unwrap().clone().ok_or_else(|| SpoolError::Closed("killed".to_owned()))
    }

    async fn ask<T, F>(&self, ask: impl FnOnce(Arc<spool::Embedded>) -> F + Send + 'static) -> Result<T, SpoolError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, SpoolError>>,
    {
        let spool = self.alive()?;
        tokio::task::spawn_blocking(move || Handle::current().block_on(ask(spool))).await.unwrap()
    }
}

#[async_trait]
impl Spool for StandingStill {
    fn body_writer(&self, expected: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError> {
        self.alive()?.body_writer(expected)
    }
    async fn enqueue(&self, message: NewMessage, body: FinishedBody) -> Result<Message, SpoolError> {
        self.ask(move |spool| async move { spool.enqueue(message, body).await }).await
    }
    async fn claim_due(
        &self,
        lane: &LaneName,
        class: Class,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<Message>, SpoolError> {
        let lane = lane.clone();
        self.ask(move |spool| async move { spool.claim_due(&lane, class, now, max).await }).await
    }
    async fn claim(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.ask(move |spool| async move { spool.claim(id).await }).await
    }
    async fn record_spending(&self, message: Message, spent: Vec<Spend>) -> Result<(), SpoolError> {
        self.ask(move |spool| async move { spool.record_spending(message, spent).await }).await
    }
    async fn ledger(&self, since: Timestamp) -> Result<Vec<Spend>, SpoolError> {
        self.ask(move |spool| async move { spool.ledger(since).await }).await
    }
    async fn prune_ledger(&self, before: Timestamp) -> Result<(), SpoolError> {
        self.ask(move |spool| async move { spool.prune_ledger(before).await }).await
    }
    async fn journal(&self, entry: LastByte, synced: bool) -> Result<(), SpoolError> {
        self.ask(move |spool| async move { spool.journal(entry, synced).await }).await
    }
    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError> {
        self.ask(move |spool| async move { spool.interrupted().await }).await
    }
    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), SpoolError> {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.ask(move |spool| async move { spool.remember(&key, value.as_deref()).await }).await
    }
    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, SpoolError> {
        let prefix = prefix.to_owned();
        self.ask(move |spool| async move { spool.remembered(&prefix).await }).await
    }
    fn release(&self, id: MessageId) {
        if let Ok(spool) = self.alive() {
            spool.release(id);
        }
    }
    async fn next_due(&self, lane: &LaneName, class: Class) -> Result<Option<Timestamp>, SpoolError> {
        let lane = lane.clone();
        self.ask(move |spool| async move { spool.next_due(&lane, class).await }).await
    }
    async fn body(&self, id: MessageId) -> Result<BodyReader, SpoolError> {
        self.ask(move |spool| async move { spool.body(id).await }).await
    }
    async fn find(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.ask(move |spool| async move { spool.find(id).await }).await
    }
    async fn list(&self, filter: &Filter, after: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        let filter = filter.clone();
        self.ask(move |spool| async move { spool.list(&filter, after, max).await }).await
    }
    async fn history(&self, filter: &Filter, before: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        let filter = filter.clone();
        self.ask(move |spool| async move { spool.history(&filter, before, max).await }).await
    }
    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        self.ask(move |spool| async move { spool.lanes().await }).await
    }
    async fn counters(&self) -> Result<Counters, SpoolError> {
        self.ask(move |spool| async move { spool.counters().await }).await
    }
    fn health(&self) -> SpoolHealth {
        match self.alive() {
            Ok(spool) => spool.health(),
            Err(error) => SpoolHealth {
                state: SpoolState::Closed { reason: error.to_string() },
                free_bytes: 0,
                reserve_bytes: 0,
                used_bytes: 0,
                recovery: Vec::new(),
            },
        }
    }
    async fn prune_history(&self, before: Timestamp) -> Result<u64, SpoolError> {
        self.ask(move |spool| async move { spool.prune_history(before).await }).await
    }
    async fn close(&self) -> Result<(), SpoolError> {
        self.ask(move |spool| async move { spool.close().await }).await
    }
}
