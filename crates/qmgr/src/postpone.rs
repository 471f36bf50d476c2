//! A message that waits for a budget makes room: its due time is set to when the budget can bear it, and it goes back to the
//! spool.
//!
//! In: the message, leased, and until when. Out: the same with its new due time, recorded. Never: an attempt used up.

use std::sync::Arc;

use queue::{Message, Postpone};

use crate::context::{Context, Due, Input, Serial};
use crate::{record, tell};

pub(crate) async fn run(context: Arc<Context>, message: Box<Message>, postpone: Postpone, serial: Serial) {
    let (id, told, now) = (message.id, message.story.len(), context.clock.now());
    let message = queue::postponed(*message, &postpone, now);
    context.metrics.postponed(&postpone.budget.0);
    tracing::debug!(%id, budget = %postpone.budget, until = %postpone.until, "waits for a budget");
    let (due, news) = (Due::of(&message), tell::news(&context, &message, told));
    let stored = record::keep(&context, message, Vec::new()).await;
    news.into_iter().filter(|_| stored).for_each(|event| context.publish(|| event));
    context.tell(Input::Done(id, serial, due));
}
