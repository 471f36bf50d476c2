//! A spool that remembers small things, or cannot, and does nothing else.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use queue::{
    BodyReader, BodyWriter, Class, Counters, Filter, FinishedBody, LaneDepth, LaneName, LastByte, Listing, Message,
    MessageId, NewMessage, Spend, Spool, SpoolError, SpoolHealth,
};

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) full: AtomicBool,
    pub(crate) remembered: Mutex<BTreeMap<String, String>>,
}

const NOT_HERE: &str = "nobody asks for this";

#[async_trait]
impl Spool for Memory {
    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), SpoolError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(SpoolError::Full("not an octet is free".to_owned()));
        }
        let mut remembered = self.remembered.lock().unwrap();
        match value {
            Some(value) => remembered.insert(key.to_owned(), value.to_owned()),
            None => remembered.remove(key),
        };
        Ok(())
    }
    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, SpoolError> {
        let remembered = self.remembered.lock().unwrap();
        let fits = remembered.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(fits.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
    fn body_writer(&self, _: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn enqueue(&self, _: NewMessage, _: FinishedBody) -> Result<Message, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn claim_due(&self, _: &LaneName, _: Class, _: Timestamp, _: usize) -> Result<Vec<Message>, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn claim(&self, _: MessageId) -> Result<Message, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn record_spending(&self, _: Message, _: Vec<Spend>) -> Result<(), SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn ledger(&self, _: Timestamp) -> Result<Vec<Spend>, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn prune_ledger(&self, _: Timestamp) -> Result<(), SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn journal(&self, _: LastByte, _: bool) -> Result<(), SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    fn release(&self, _: MessageId) {
        unreachable!("{NOT_HERE}")
    }
    async fn next_due(&self, _: &LaneName, _: Class) -> Result<Option<Timestamp>, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn body(&self, _: MessageId) -> Result<BodyReader, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn find(&self, _: MessageId) -> Result<Message, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn list(&self, _: &Filter, _: Option<MessageId>, _: usize) -> Result<Listing, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn history(&self, _: &Filter, _: Option<MessageId>, _: usize) -> Result<Listing, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn counters(&self) -> Result<Counters, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    fn health(&self) -> SpoolHealth {
        unreachable!("{NOT_HERE}")
    }
    async fn prune_history(&self, _: Timestamp) -> Result<u64, SpoolError> {
        unreachable!("{NOT_HERE}")
    }
    async fn close(&self) -> Result<(), SpoolError> {
        unreachable!("{NOT_HERE}")
    }
}
