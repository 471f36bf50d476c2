//! A spool in memory that can be told to fail, an intake that remembers, a clock that stands still.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use queue::{
    BodyReader, BodyWriter, Class, Clock, Counters, Filter, FinishedBody, Intake, LaneDepth, LaneName, LastByte,
    Listing, Message, MessageId, NewMessage, Spend, Spool, SpoolError, SpoolHealth, SpoolState,
};
use tokio::sync::Semaphore;

/// The end of time as far as these tests go.
#[derive(Debug)]
pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        "2026-11-20T22:32:07Z".parse().unwrap()
    }
}

/// Who hears of arrivals.
#[derive(Default)]
pub(crate) struct Arrivals(Mutex<Vec<Message>>);

impl Arrivals {
    pub(crate) fn ids(&self) -> Vec<MessageId> {
        self.0.lock().unwrap().iter().map(|message| message.id).collect()
    }
}

impl Intake for Arrivals {
    fn arrived(&self, message: Message) {
        self.0.lock().unwrap().push(message);
    }
}

/// What is to go wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// At `body_writer`.
    pub(crate) begin: Option<SpoolError>,
    /// At a write past so many octets.
    pub(crate) write_after: Option<(usize, SpoolError)>,
    /// At `enqueue`.
    pub(crate) enqueue: Option<SpoolError>,
}

/// What is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) message: Message,
    pub(crate) bytes: Vec<u8>,
}

/// See the head of this file.
pub(crate) struct MemorySpool {
    stored: Mutex<Vec<Stored>>,
    faults: Arc<Mutex<Faults>>,
    ids: AtomicU32,
    /// Bodies begun and neither stored nor dropped.
    open_bodies: Arc<AtomicUsize>,
    /// `enqueue` waits for one of these.
    pub(crate) permits: Semaphore,
    /// Messages that have come to `enqueue`.
    pub(crate) enqueuing: AtomicUsize,
}

impl Default for MemorySpool {
    fn default() -> Self {
        Self {
            stored: Mutex::default(),
            faults: Arc::default(),
            ids: AtomicU32::new(1),
            open_bodies: Arc::default(),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            enqueuing: AtomicUsize::new(0),
        }
    }
}

impl MemorySpool {
    pub(crate) fn stored(&self) -> Vec<Stored> {
        self.stored.lock().unwrap().clone()
    }

    pub(crate) fn fail(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    pub(crate) fn open_bodies(&self) -> usize {
        self.open_bodies.load(Ordering::SeqCst)
    }
}

struct OpenBody(Arc<AtomicUsize>);

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Writer {
    id: MessageId,
    bytes: Vec<u8>,
    faults: Arc<Mutex<Faults>>,
    open: OpenBody,
}

#[async_trait]
impl BodyWriter for Writer {
    fn id(&self) -> MessageId {
        self.id
    }

    async fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        self.bytes.extend_from_slice(piece);
        match &self.faults.lock().unwrap().write_after {
            Some((octets, error)) if self.bytes.len() > *octets => Err(error.clone()),
            _ => Ok(()),
        }
    }

    async fn finish(self: Box<Self>) -> Result<FinishedBody, SpoolError> {
        Ok(Box::new((self.bytes, self.open)))
    }
}

fn not_here<T>() -> Result<T, SpoolError> {
    Err(SpoolError::Failed("not in this fake".to_owned()))
}

#[async_trait]
impl Spool for MemorySpool {
    fn body_writer(&self, _: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError> {
        if let Some(error) = &self.faults.lock().unwrap().begin {
            return Err(error.clone());
        }
        let id = MessageId::next(None, StoppedClock.now(), self.ids.fetch_add(1, Ordering::SeqCst));
        self.open_bodies.fetch_add(1, Ordering::SeqCst);
        let open = OpenBody(self.open_bodies.clone());
        Ok(Box::new(Writer { id, bytes: Vec::new(), faults: self.faults.clone(), open }))
    }

    async fn enqueue(&self, message: NewMessage, body: FinishedBody) -> Result<Message, SpoolError> {
        self.enqueuing.fetch_add(1, Ordering::SeqCst);
        let _permit = self.permits.acquire().await.unwrap();
        if let Some(error) = &self.faults.lock().unwrap().enqueue {
            return Err(error.clone());
        }
        let (bytes, _open) = *body.downcast::<(Vec<u8>, OpenBody)>().unwrap();
        let message = Message::accepted(message, bytes.len() as u64);
        self.stored.lock().unwrap().push(Stored { message: message.clone(), bytes });
        Ok(message)
    }

    async fn claim_due(&self, _: &LaneName, _: Class, _: Timestamp, _: usize) -> Result<Vec<Message>, SpoolError> {
        not_here()
    }

    async fn claim(&self, _: MessageId) -> Result<Message, SpoolError> {
        not_here()
    }

    async fn record_spending(&self, _: Message, _: Vec<Spend>) -> Result<(), SpoolError> {
        not_here()
    }

    async fn ledger(&self, _: Timestamp) -> Result<Vec<Spend>, SpoolError> {
        not_here()
    }

    async fn prune_ledger(&self, _: Timestamp) -> Result<(), SpoolError> {
        not_here()
    }

    async fn journal(&self, _: LastByte, _: bool) -> Result<(), SpoolError> {
        not_here()
    }

    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError> {
        not_here()
    }

    async fn remember(&self, _: &str, _: Option<&str>) -> Result<(), SpoolError> {
        not_here()
    }

    async fn remembered(&self, _: &str) -> Result<Vec<(String, String)>, SpoolError> {
        not_here()
    }

    fn release(&self, _: MessageId) {}

    async fn next_due(&self, _: &LaneName, _: Class) -> Result<Option<Timestamp>, SpoolError> {
        not_here()
    }

    async fn body(&self, _: MessageId) -> Result<BodyReader, SpoolError> {
        not_here()
    }

    async fn find(&self, _: MessageId) -> Result<Message, SpoolError> {
        not_here()
    }

    async fn list(&self, _: &Filter, _: Option<MessageId>, _: usize) -> Result<Listing, SpoolError> {
        not_here()
    }

    async fn history(&self, _: &Filter, _: Option<MessageId>, _: usize) -> Result<Listing, SpoolError> {
        not_here()
    }

    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        not_here()
    }

    async fn counters(&self) -> Result<Counters, SpoolError> {
        not_here()
    }

    fn health(&self) -> SpoolHealth {
        let state = match &self.faults.lock().unwrap().begin {
            Some(SpoolError::Full(reason)) => SpoolState::Full { reason: reason.clone() },
            Some(error) => SpoolState::Closed { reason: error.to_string() },
            None => SpoolState::Accepting,
        };
        SpoolHealth { state, free_bytes: 0, reserve_bytes: 0, used_bytes: 0, recovery: Vec::new() }
    }

    async fn prune_history(&self, _: Timestamp) -> Result<u64, SpoolError> {
        not_here()
    }

    async fn close(&self) -> Result<(), SpoolError> {
        Ok(())
    }
}
