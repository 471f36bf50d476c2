//! Operators' words: hold, release, retry, remove; and the mark of a delay, which comes the same way. The message is taken (from the window, or from the spool), changed,
//! recorded, given back.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use queue::{Happening, Message, MessageId, RecipientState, SpoolError, StoryEvent};
use tokio::sync::oneshot;

use crate::context::{Context, Due, Input, Serial};
use crate::{OperatorError, report, reroute, stuck, tell};

/// Somebody has the message (it is just arriving, or being fetched): ask again after this, so many times.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const ASK_TIMES: u32 = 100;

/// What an operator wants of a message.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Hold {
        reason: String,
    },
    Release,
    Retry,
    Remove,
    /// Not an operator's: it has waited so long that its sender should know.
    Warn,
}

/// A wish on its way.
pub(crate) struct Word {
    pub(crate) id: MessageId,
    wish: Wish,
    asked: u32,
    answer: oneshot::Sender<Result<Message, OperatorError>>,
}

impl Word {
    pub(crate) fn new(id: MessageId, wish: Wish, answer: oneshot::Sender<Result<Message, OperatorError>>) -> Self {
        Self { id, wish, asked: 0, answer }
    }

    /// Whoever asked may have gone.
    pub(crate) fn answer(self, result: Result<Message, OperatorError>) {
        let _ = self.answer.send(result);
    }
}

/// Follows a word. `message`: taken from a window, with its lease.
pub(crate) async fn follow(context: Arc<Context>, mut word: Word, message: Option<Box<Message>>, serial: Serial) {
    let taken = match message {
        Some(message) => Ok(*message),
        None => context.spool.claim(word.id).await,
    };
    match taken {
        Ok(message) => {
            let (answer, due) = change(&context, &word.wish, message).await;
            context.tell(Input::Done(word.id, serial, due));
            word.answer(answer);
        }
        Err(SpoolError::Leased(_)) if word.asked < ASK_TIMES => {
            context.tell(Input::Done(word.id, serial, None));
            tokio::time::sleep(ASK_AGAIN).await;
            word.asked += 1;
            context.tell(Input::Word(word));
        }
        Err(error) => {
            context.tell(Input::Done(word.id, serial, None));
            let error = why(&context, word.id, error).await;
            word.answer(Err(error));
        }
    }
}

/// Changes and records it. Out: the answer, and where the message stands now.
async fn change(context: &Context, wish: &Wish, message: Message) -> (Result<Message, OperatorError>, Option<Due>) {
    let (id, told, before, now) = (message.id, message.story.len(), Due::of(&message), context.clock.now());
    let mut changed = match apply(context, wish, message, now) {
        Ok(changed) => changed,
        Err(error) => {
            context.spool.release(id);
            return (Err(error), before);
        }
    };
    if matches!(wish, Wish::Warn) {
        if changed.story.len() == told {
            context.spool.release(id);
            return (Ok(changed), before);
        }
        report::tell(context, &mut changed, told, now).await;
    }
    if let Err(error) = context.spool.record(changed.clone()).await {
        context.spool.release(id);
        return (Err(OperatorError::Spool(error)), before);
    }
    stuck::review(context, &changed, None);
    tell::word(context, wish, &changed);
    tell::news(context, &changed, told).into_iter().for_each(|event| context.publish(|| event));
    if matches!(wish, Wish::Retry)
        && let Ok(message) = context.spool.claim(id).await
    {
        context.tell(Input::Urged(Box::new(message)));
        return (Ok(changed), None);
    }
    let due = Due::of(&changed);
    (Ok(changed), due)
}

fn apply(context: &Context, wish: &Wish, mut message: Message, now: Timestamp) -> Result<Message, OperatorError> {
    match wish {
        Wish::Hold { reason } => message.hold(reason.clone(), now),
        Wish::Release => {
            if context.ways.pool(&message.lane).is_none() {
                reroute::relocate(context, &mut message, now)
                    .map_err(|reason| OperatorError::NoPath { id: message.id, reason })?;
            }
            if message.hold.take().is_some() {
                message.note(StoryEvent { at: now, what: Happening::Released });
                message.due_at = now;
            }
        }
        Wish::Retry => {
            if let Some(hold) = message.hold {
                return Err(OperatorError::Held { id: message.id, reason: hold.reason });
            }
            message.note(StoryEvent { at: now, what: Happening::RetryRequested });
            message.due_at = now;
        }
        Wish::Remove => {
            for recipient in message.recipients.iter_mut().filter(|recipient| recipient.state.is_queued()) {
                recipient.state = RecipientState::Removed { at: now };
            }
            message.note(StoryEvent { at: now, what: Happening::Removed });
        }
        Wish::Warn => {
            let late = now >= context.retry.warns_at(message.accepted_at);
            if late && !message.warned && !message.is_settled() && message.hold.is_none() {
                message.warned = true;
                message.note(StoryEvent { at: now, what: Happening::Delayed });
            }
        }
    }
    Ok(message)
}

/// Why a message could not be claimed, in the operator's terms.
async fn why(context: &Context, id: MessageId, error: SpoolError) -> OperatorError {
    match error {
        SpoolError::Leased(_) => OperatorError::Busy(id),
        SpoolError::NotFound(_) => match context.spool.find(id).await {
            Ok(_) => OperatorError::Settled(id),
            Err(_) => OperatorError::NotFound(id),
        },
        other => OperatorError::Spool(other),
    }
}
