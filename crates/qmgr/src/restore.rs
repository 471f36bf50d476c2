//! What was known before the start: what was spent, what is remembered, which transactions a crash has cut off.
//!
//! In: the spool's ledger, memory and journal. Out: all of it for the scheduler; messages whose last byte may have gone are
//! marked as unconfirmed, and booked as spent. Never: a start on an empty ledger because the spool did not answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use queue::{Cost, LastByte, Message, MessageId, Outcome, Scheduler, Spend, SpoolError, Unconfirmed};
use telemetry::{Incident, IncidentKind, Severity};

use crate::context::{Context, Input, Restored};
use crate::{inquiry, stuck, tell};

/// The spool must answer within this.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Somebody has the message: again after this, so many times.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const ASK_TIMES: u32 = 100;
/// Marks under way at once.
const AT_ONCE: usize = 64;
/// There while the relay runs: found at a start, the last run did not end in good order.
const RUNNING: &str = "qmgr/running";
/// When runs that broke off were followed by a start, and how many of them: what was under way then counts from then on, also
/// after further ends.
const UNDER_WAY: &str = "qmgr/under-way";
/// Such starts remembered one by one; of more, the oldest are taken together at the latest instant among them.
const STARTS: usize = 500;
const ABOUT: &str = "what was sent before the start";

pub(crate) async fn run(context: Arc<Context>) {
    tokio::select! {
        restored = restore(&context) => context.tell(Input::Restored(restored)),
        () = context.stopping.cancelled() => {}
    }
}

/// The run ends in good order: everything that was spent stands in the ledger.
pub(crate) async fn ended(context: &Context) {
    if let Err(error) = context.spool.remember(RUNNING, None).await {
        tracing::debug!(%error, "the end of this run could not be noted");
    }
}

async fn restore(context: &Context) -> Restored {
    let mut spent = match context.ways.longest() {
        Some(longest) => {
            let since = context.clock.now().checked_sub(longest).unwrap_or(Timestamp::MIN);
            insist(context, || context.spool.ledger(since)).await
        }
        None => Vec::new(),
    };
    let remembered = insist(context, || context.spool.remembered(Scheduler::REMEMBERED)).await;
    let entries = insist(context, || context.spool.interrupted()).await;
    spent.extend(mark_all(context, entries).await);
    let stuck = insist(context, || context.spool.remembered(stuck::REMEMBERED)).await;
    stuck::recall(context, stuck).await;
    let running = insist(context, || context.spool.remembered(RUNNING)).await;
    let now = context.clock.now();
    spent.extend(under_way(context, !running.is_empty(), now).await);
    let text = now.to_string();
    insist(context, || context.spool.remember(RUNNING, Some(&text))).await;
    // Heard in their order.
    spent.sort_by_key(|spend| spend.at);
    Restored { spent, remembered }
}

/// Until the spool answers. Nothing is sent before.
async fn insist<T, F>(context: &Context, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, SpoolError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        let error = match tokio::time::timeout(PATIENCE, ask()).await {
            Ok(Ok(answer)) => {
                if wait > FIRST_WAIT {
                    context.incidents.close(IncidentKind::Fault, ABOUT, "the spool has answered");
                }
                return answer;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} seconds", PATIENCE.as_secs()),
        };
        tracing::warn!(error, "nothing is sent yet: the spool does not say what was sent before the start");
        context.incidents.open(Incident {
            kind: IncidentKind::Fault,
            about: ABOUT.to_owned(),
            severity: Severity::Critical,
            what: format!("nothing is sent: the spool does not say what was sent before the start: {error}"),
            remedy: "see to the disk, then look at `posthouse status`; it is asked again and again".to_owned(),
            code: None,
            lanes: Vec::new(),
        });
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Transactions that had got as far as MAIL when a run broke off are in no journal: there were no more than attempts at once.
/// Remembered before this run is noted, so that the next end, of whatever kind, takes nothing away.
async fn under_way(context: &Context, broke_off: bool, now: Timestamp) -> Vec<Spend> {
    let Some(longest) = context.ways.longest() else { return Vec::new() };
    let since = now.checked_sub(longest).unwrap_or(Timestamp::MIN);
    let known = insist(context, || context.spool.remembered(UNDER_WAY)).await;
    let was = known.into_iter().next().map(|(_, value)| value);
    let mut starts: Vec<(Timestamp, u32)> =
        was.as_deref().and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default();
    starts.retain(|(at, _)| *at >= since);
    starts.extend(broke_off.then_some((now, 1)));
    take_together(&mut starts);
    let value = if starts.is_empty() { None } else { serde_json::to_string(&starts).ok() };
    if value != was {
        insist(context, || context.spool.remember(UNDER_WAY, value.as_deref())).await;
    }
    starts.iter().flat_map(|(at, count)| at_once(context, *count, *at)).collect()
}

fn take_together(starts: &mut Vec<(Timestamp, u32)>) {
    starts.sort_unstable();
    let surplus = starts.len().saturating_sub(STARTS);
    let taken = starts.drain(..surplus).fold(0_u32, |sum, (_, count)| sum.saturating_add(count));
    if let Some((_, count)) = starts.first_mut() {
        *count = count.saturating_add(taken);
    }
}

/// What every lane may have had under way, so many times.
fn at_once(context: &Context, times: u32, at: Timestamp) -> Vec<Spend> {
    let messages = |connections| u32::try_from(connections).unwrap_or(u32::MAX).saturating_mul(times);
    let cost = |connections| Cost { messages: messages(connections), ..Cost::default() };
    context.ways.lanes().flat_map(|way| way.spends(cost(way.connections), at)).collect()
}

async fn mark_all(context: &Context, entries: Vec<LastByte>) -> Vec<Spend> {
    let mut by_message: BTreeMap<MessageId, Vec<LastByte>> = BTreeMap::new();
    for entry in entries {
        by_message.entry(entry.id).or_default().push(entry);
    }
    let marks = stream::iter(by_message).map(|(id, entries)| mark(context, id, entries)).buffer_unordered(AT_ONCE);
    marks.collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// Marks one message, whatever the spool says at first. Out: what was spent.
async fn mark(context: &Context, id: MessageId, entries: Vec<LastByte>) -> Vec<Spend> {
    let found = insist(context, || async {
        match claim(context, id).await {
            Ok(message) => Ok(Found::Queued(message)),
            // An operator was faster, or it was recorded after all.
            Err(SpoolError::NotFound(_)) => match context.spool.find(id).await {
                Ok(message) => Ok(Found::Settled(message)),
                Err(SpoolError::NotFound(_) | SpoolError::Damaged { .. }) => Ok(Found::Nowhere),
                Err(error) => Err(error),
            },
            Err(SpoolError::Damaged { .. }) => Ok(Found::Nowhere),
            Err(error) => Err(error),
        }
    });
    let found = found.await;
    let now = context.clock.now();
    match found {
        Found::Queued(message) => {
            let spent = spends(context, Some(&message), &entries, now);
            let mut lease = Lease { context, id, held: true };
            insist(context, || record(context, message.clone(), &entries, spent.clone())).await;
            lease.held = false;
            spent
        }
        Found::Settled(message) => spends(context, Some(&message), &entries, now),
        Found::Nowhere => spends(context, None, &entries, now),
    }
}

enum Found {
    Queued(Message),
    Settled(Message),
    /// Nobody can say who its recipients are.
    Nowhere,
}

/// Given back if the relay stops before the mark is recorded; the spool keeps what its start has found.
struct Lease<'a> {
    context: &'a Context,
    id: MessageId,
    held: bool,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.held {
            self.context.spool.release(self.id);
        }
    }
}

async fn claim(context: &Context, id: MessageId) -> Result<Message, SpoolError> {
    for _ in 0..ASK_TIMES {
        match context.spool.claim(id).await {
            Err(SpoolError::Leased(_)) => tokio::time::sleep(ASK_AGAIN).await,
            answer => return answer,
        }
    }
    context.spool.claim(id).await
}

async fn record(
    context: &Context,
    message: Message,
    entries: &[LastByte],
    spent: Vec<Spend>,
) -> Result<(), SpoolError> {
    let (id, told) = (message.id, message.story.len());
    let (mut marked, now) = (message, context.clock.now());
    for entry in entries {
        let policy = match context.ways.lane(&entry.lane) {
            Some(way) => inquiry::policy(context, way, &marked, &entry.recipients).await,
            None => Unconfirmed::Resend,
        };
        marked = queue::interrupted(marked, entry, policy, now);
    }
    let news = tell::news(context, &marked, told);
    match context.spool.record_spending(marked, spent).await {
        Ok(()) | Err(SpoolError::NotFound(_) | SpoolError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    entries.iter().for_each(|entry| tell::interrupted(context, id, &entry.lane, entry.recipients.len()));
    news.into_iter().for_each(|event| context.publish(|| event));
    Ok(())
}

/// Each entry is a transaction that the next hop may have taken, at a time that nobody knows: it counts from now. Recipients
/// that are not known any more are taken for external ones.
fn spends(context: &Context, message: Option<&Message>, entries: &[LastByte], now: Timestamp) -> Vec<Spend> {
    let spent = |entry: &LastByte| {
        let way = context.ways.lane(&entry.lane)?;
        let used = match message {
            Some(message) => {
                let taken = vec![(entry.recipients.clone(), Outcome::Unconfirmed { cause: String::new() })];
                way.pool.used(message, &taken, 1)
            }
            None => {
                let all = u32::try_from(entry.recipients.len()).unwrap_or(u32::MAX);
                Cost { messages: 1, recipients: all, external: all, external_under_provider_domain: all }
            }
        };
        Some(way.spends(used, now))
    };
    entries.iter().filter_map(spent).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_without_number_are_taken_together_and_none_is_forgotten_or_made_older() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut starts: Vec<_> = (0..2_000).map(|second| (at(second), 1)).collect();
        take_together(&mut starts);
        assert_eq!((starts.len(), starts[0]), (STARTS, (at(1_500), 1_501)));
        assert_eq!(starts.iter().map(|(_, count)| count).sum::<u32>(), 2_000);
        let mut few = vec![(at(2), 1), (at(1), 1)];
        take_together(&mut few);
        assert_eq!(few, [(at(1), 1), (at(2), 1)]);
    }
}
