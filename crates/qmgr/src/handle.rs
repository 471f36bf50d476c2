//! The queue manager as seen by everybody else: arrivals, operators' words, status, events.

use std::sync::Arc;

use queue::{Intake, LaneName, Message, MessageId};
use tokio::sync::{broadcast, oneshot};

use crate::context::{Context, Input};
use crate::words::{Wish, Word};
use crate::{Event, Notification, NotifyError, OperatorError, Report, report, status};

/// Cheap to clone. Works from before `run` until after its end: then arrivals are given back to the spool.
#[derive(Clone)]
pub struct Handle {
    pub(crate) context: Arc<Context>,
}

impl Handle {
    /// Stops it: it is not tried until released. If it is being tried right now, after that attempt.
    pub async fn hold(&self, id: MessageId, reason: String) -> Result<Message, OperatorError> {
        self.word(id, Wish::Hold { reason }).await
    }
    /// Lets a held message go; it is due now.
    pub async fn release(&self, id: MessageId) -> Result<Message, OperatorError> {
        self.word(id, Wish::Release).await
    }
    /// Due now, and first among what waits, this once.
    pub async fn retry(&self, id: MessageId) -> Result<Message, OperatorError> {
        self.word(id, Wish::Retry).await
    }
    /// Takes it out: all recipients still queued are removed.
    pub async fn remove(&self, id: MessageId) -> Result<Message, OperatorError> {
        self.word(id, Wish::Remove).await
    }
    /// A lane that rests, or is stopped, tries one message now: it, all lanes of a pool of that name, or all that a breaker of
    /// that name stops.
    pub async fn probe(&self, lane: &LaneName) -> Result<(), OperatorError> {
        let (answer, answered) = oneshot::channel();
        self.context.tell(Input::Probe(lane.clone(), answer));
        answered.await.unwrap_or(Err(OperatorError::Stopped))
    }
    /// The ways out; empty when the queue manager has stopped.
    pub async fn status(&self) -> Report {
        status::ask(&self.context).await
    }
    /// Queues a notification of our own (an alert): from the mailbox of the lane that carries it, or with the null reverse-path
    /// where that lane does. Durable when it returns.
    pub async fn notify(&self, notification: Notification) -> Result<MessageId, NotifyError> {
        report::notify(&self.context, notification).await
    }
    /// Events from now on. A receiver that falls 1,024 events behind misses some (`Lagged`).
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.context.events.subscribe()
    }

    async fn word(&self, id: MessageId, wish: Wish) -> Result<Message, OperatorError> {
        let (answer, answered) = oneshot::channel();
        self.context.tell(Input::Word(Word::new(id, wish, answer)));
        answered.await.unwrap_or(Err(OperatorError::Stopped))
    }
}

impl Intake for Handle {
    fn arrived(&self, message: Message) {
        self.context.tell(Input::Arrived(Box::new(message)));
    }
}
