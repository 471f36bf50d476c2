//! Marks messages that have waited so long that their senders should know, also those that nobody tries: behind an open
//! breaker, or a budget that is used up.
//!
//! In: queued messages in the order of their ids, which is that of their acceptance. Out: a mark for each that is late, given
//! through the loop, which may have the message. Never: the same message looked at twice by one run, or all of them at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use queue::{Filter, Message, MessageId, SpoolError};
use tokio::sync::oneshot;

use crate::context::{Context, Input};
use crate::words::{Wish, Word};

/// Looked for so often.
const ROUND: Duration = Duration::from_secs(60);
const PAGE: usize = 200;
/// Between two pages.
const BREATH: Duration = Duration::from_millis(50);
/// Marks under way at once.
const AT_ONCE: usize = 32;

pub(crate) async fn run(context: Arc<Context>) {
    let rounds = async {
        let mut looked_at = None;
        loop {
            if let Err(error) = round(&context, &mut looked_at).await {
                tracing::debug!(%error, "the queue could not be searched for delayed mail");
            }
            tokio::time::sleep(ROUND).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = context.stopping.cancelled() => {}
    }
}

/// From where the last round stopped to the first message that is not late.
async fn round(context: &Context, looked_at: &mut Option<MessageId>) -> Result<(), SpoolError> {
    // Most rounds find nothing: one message tells.
    let mut max = 1;
    loop {
        let page = context.spool.list(&Filter::default(), *looked_at, max).await?;
        let now = context.clock.now();
        let late = |message: &Message| now >= context.retry.warns_at(message.accepted_at);
        let count = page.messages.len();
        let all: Vec<Message> = page.messages.into_iter().take_while(late).collect();
        let wanted: Vec<_> =
            all.iter().filter(|message| !message.warned && message.hold.is_none()).map(|m| m.id).collect();
        let marks = stream::iter(wanted).map(|id| mark(context, id)).buffer_unordered(AT_ONCE);
        marks.collect::<Vec<()>>().await;
        *looked_at = all.last().map(|message| message.id).or(*looked_at);
        if all.len() < count || page.next.is_none() {
            return Ok(());
        }
        max = PAGE;
        tokio::time::sleep(BREATH).await;
    }
}

/// Whoever has the message is waited for. If it cannot be marked now, its next attempt does it.
async fn mark(context: &Context, id: MessageId) {
    let (answer, answered) = oneshot::channel();
    context.tell(Input::Word(Word::new(id, Wish::Warn, answer)));
    if let Ok(Err(error)) = answered.await {
        tracing::debug!(%id, %error, "not marked as delayed");
    }
}
