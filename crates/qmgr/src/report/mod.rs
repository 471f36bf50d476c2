//! Who is told of what became of a message, and by which way. Not yet here: everything but the types.

use std::sync::Arc;

use jiff::Timestamp;
use queue::{LaneName, Message, MessageId};
use smtp::ForwardPath;

use crate::context::Context;

/// Mail of our own to an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Whom.
    pub to: Vec<ForwardPath>,
    /// One line, any language.
    pub subject: String,
    /// Plain text, lines separated by `\n`.
    pub text: String,
    /// The lane or pool that it should take; `None`: whichever works, those with the recipients' tenant first.
    pub by: Option<LaneName>,
    /// Lanes that it must not take: they are broken.
    pub not_by: Vec<LaneName>,
}

/// Why a notification could not be queued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotifyError {
    /// No lane is left.
    #[error("no path that works can carry it: {0}")]
    NoPath(String),
    /// The spool did not take it.
    #[error("the spool did not take it: {0}")]
    Spool(queue::SpoolError),
}

/// Called before a message's new state is recorded. `told`: events of its story that were there before; what came after
/// them, and the states of the recipients, say who must hear what. Reports are queued, and noted in the message, when it
/// returns.
#[expect(clippy::unused_async, reason = "reports are composed and queued here")]
pub(crate) async fn tell(context: &Context, message: &mut Message, told: usize, now: Timestamp) {
    let _ = (context, message, told, now);
}

/// What is due by the clock alone: digests. Until the relay stops.
#[expect(clippy::unused_async, reason = "digests are sent here")]
pub(crate) async fn run(context: Arc<Context>) {
    let _ = context;
}

/// See [`crate::Handle::notify`].
#[expect(clippy::unused_async, reason = "the notification is queued here")]
pub(crate) async fn notify(context: &Context, notification: Notification) -> Result<MessageId, NotifyError> {
    let _ = (context, notification);
    Err(NotifyError::NoPath("nothing is sent yet".to_owned()))
}
