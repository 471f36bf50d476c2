//! Messages whose lane is no longer configured: another lane takes them over, or they are held with the reason. What was
//! held for want of a path goes on as soon as there is one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use queue::{Filter, Happening, Hold, LaneName, Message, MessageId, SpoolError, StoryEvent};

use crate::context::{Context, Due, Input};
use crate::tell;

/// Beginning of the reason of such a hold.
const NO_PATH: &str = "no path is configured for ";
const PAGE: usize = 500;
/// Records under way at once: the spool stores them together.
const AT_ONCE: usize = 64;
const AGAIN: Duration = Duration::from_secs(60);

/// All of them; again every minute until that has gone through.
pub(crate) async fn run(context: Arc<Context>) {
    while let Err(error) = all(&context).await {
        tracing::warn!(
            %error,
            "messages of lanes that are no longer configured could not all be moved; trying again in a minute"
        );
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = context.stopping.cancelled() => return,
        }
    }
}

async fn all(context: &Context) -> Result<(), SpoolError> {
    for depth in context.spool.lanes().await? {
        if context.ways.pool(&depth.lane).is_none() {
            pages(context, Filter { lane: Some(depth.lane), held: Some(false), ..Filter::default() }).await?;
        }
    }
    pages(context, Filter { held: Some(true), ..Filter::default() }).await
}

async fn pages(context: &Context, filter: Filter) -> Result<(), SpoolError> {
    let mut after = None;
    loop {
        let page = context.spool.list(&filter, after, PAGE).await?;
        let wanted: Vec<_> = page.messages.iter().filter(|message| concerns(context, message)).map(|m| m.id).collect();
        let mut moves = stream::iter(wanted).map(|id| claimed(context, id)).buffer_unordered(AT_ONCE);
        // To the end, also after an error: whoever is dropped half-way keeps a lease.
        let mut result = Ok(());
        while let Some(moved) = moves.next().await {
            result = result.and(moved);
        }
        result?;
        after = page.next;
        if after.is_none() || context.stopping.is_cancelled() {
            return Ok(());
        }
    }
}

/// Its lane is gone, and if it is held, then for want of a path and not by an operator.
fn concerns(context: &Context, message: &Message) -> bool {
    context.ways.pool(&message.lane).is_none()
        && match &message.hold {
            None => true,
            Some(hold) => ours(message, hold) && route(context, message).is_ok(),
        }
}

fn ours(message: &Message, hold: &Hold) -> bool {
    hold.reason.starts_with(NO_PATH) || hold.at == message.accepted_at
}

async fn claimed(context: &Context, id: MessageId) -> Result<(), SpoolError> {
    match context.spool.claim(id).await {
        Ok(message) => settle(context, message).await,
        // Somebody else sees to it.
        Err(SpoolError::Leased(_) | SpoolError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// One that has just arrived, leased. If it cannot be stored, it is found again with all others.
pub(crate) async fn one(context: Arc<Context>, message: Box<Message>) {
    if settle(&context, *message).await.is_err() {
        run(context).await;
    }
}

async fn settle(context: &Context, mut message: Message) -> Result<(), SpoolError> {
    let (id, told, now) = (message.id, message.story.len(), context.clock.now());
    match relocate(context, &mut message, now) {
        Ok(()) => {
            if message.hold.as_ref().is_some_and(|hold| ours(&message, hold)) {
                message.hold = None;
                message.note(StoryEvent { at: now, what: Happening::Released });
            }
            tracing::info!(%id, lane = %message.lane, "moved to this lane; its former one is no longer configured");
        }
        Err(reason) => {
            tracing::warn!(%id, lane = %message.lane, reason, "held");
            message.hold(reason, now);
        }
    }
    let (due, news) = (Due::of(&message), tell::news(context, &message, told));
    context.spool.record(message).await.inspect_err(|_| context.spool.release(id))?;
    news.into_iter().for_each(|event| context.publish(|| event));
    if let Some(due) = due {
        context.tell(Input::Due(due));
    }
    Ok(())
}

/// To the lane that the configuration has for it now; if there is none, it stays as it is, and the reason comes out.
pub(crate) fn relocate(context: &Context, message: &mut Message, now: Timestamp) -> Result<(), String> {
    let lane = route(context, message)?;
    message.lane = lane.clone();
    message.note(StoryEvent { at: now, what: Happening::Moved { lane } });
    Ok(())
}

/// A lane that has become one of a pool goes on there; otherwise the sender decides.
fn route(context: &Context, message: &Message) -> Result<LaneName, String> {
    if let Some(way) = context.ways.lane(&message.lane) {
        return Ok(way.pool.name.clone());
    }
    let lane = context.routes.lane(&message.reverse_path).filter(|lane| context.ways.pool(lane).is_some());
    lane.cloned().ok_or_else(|| {
        format!(
            "{NO_PATH}{}; its former lane `{}` is gone; hint: add the sender's domain to a tenant that has a path, \
             then restart",
            message.reverse_path, message.lane
        )
    })
}
