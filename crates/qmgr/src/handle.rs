//! The queue manager as seen by everybody else: arrivals, operators' words, status, events.

use std::sync::Arc;

use queue::{Intake, LaneName, Message, MessageId};
use tokio::sync::broadcast;

use crate::{Event, LaneReport, OperatorError};

/// Cheap to clone. Works from before `run` until after its end: then arrivals are given back to the spool.
#[derive(Clone)]
pub struct Handle {}

impl Handle {
    /// Stops it: it is not tried until released. If it is being tried right now, after that attempt.
    pub async fn hold(&self, id: MessageId, reason: String) -> Result<Message, OperatorError> {
        let _ = (id, reason);
        todo!()
    }
    /// Lets a held message go; it is due now.
    pub async fn release(&self, id: MessageId) -> Result<Message, OperatorError> {
        let _ = id;
        todo!()
    }
    /// Due now, and first among what waits, this once.
    pub async fn retry(&self, id: MessageId) -> Result<Message, OperatorError> {
        let _ = id;
        todo!()
    }
    /// Takes it out: all recipients still queued are removed.
    pub async fn remove(&self, id: MessageId) -> Result<Message, OperatorError> {
        let _ = id;
        todo!()
    }
    /// A resting or paused lane tries one message now.
    pub async fn probe(&self, lane: &LaneName) -> Result<(), OperatorError> {
        let _ = lane;
        todo!()
    }
    /// All lanes in order of name; empty when the queue manager has stopped.
    pub async fn status(&self) -> Vec<LaneReport> {
        todo!()
    }
    /// Events from now on. A receiver that falls 1,024 events behind misses some (`Lagged`).
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        todo!()
    }
}

impl Intake for Handle {
    fn arrived(&self, message: Message) {
        let _ = message;
        todo!()
    }
}
