//! Operators' words for many messages: found page by page, carried out by the queue manager, many at a time so that the
//! spool can store them together.

use std::str::FromStr;

use api::{Done, Failure, Order, Selection, Word};
use futures_util::{StreamExt, stream};
use queue::{Filter, MessageId};

use crate::State;
use crate::convert;
use crate::refusal::No;

/// Words under way at once.
const AT_ONCE: usize = 64;
/// Messages of a page.
const PAGE: usize = 500;
/// Ids in one order.
const MOST_IDS: usize = 1_000;
/// Failures told one by one.
const MOST_FAILURES: usize = 100;

impl State {
    /// Carries out an order. What was done stays done when the client goes away in the middle.
    pub(crate) async fn carry_out(&self, word: Word, order: Order) -> Result<Done, No> {
        let reason = order.reason.unwrap_or_else(|| "held by an operator".to_owned());
        let mut done = Done::default();
        match order.messages {
            Selection::Ids(ids) => {
                let ids = parsed(&ids)?;
                self.carry_out_for(word, &ids, &reason, &mut done).await;
            }
            Selection::Filter(filter) if filter.is_empty() => {
                let hint = "give a condition, or say that all messages are meant";
                return Err(No::bad_request("a filter without a condition would match every message", Some(hint)));
            }
            Selection::Filter(filter) => {
                self.carry_out_where(word, convert::filter(filter), &reason, &mut done).await?
            }
            Selection::All => self.carry_out_where(word, Filter::default(), &reason, &mut done).await?,
        }
        tracing::info!(
            word = word.as_str(),
            matched = done.matched,
            done = done.done,
            "an operator's order is carried out"
        );
        Ok(done)
    }

    async fn carry_out_where(&self, word: Word, filter: Filter, reason: &str, done: &mut Done) -> Result<(), No> {
        let filter = meant(word, filter);
        let mut after = None;
        loop {
            let listing = self.spool.list(&filter, after, PAGE).await?;
            let ids: Vec<MessageId> = listing.messages.iter().map(|message| message.id).collect();
            self.carry_out_for(word, &ids, reason, done).await;
            match listing.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn carry_out_for(&self, word: Word, ids: &[MessageId], reason: &str, done: &mut Done) {
        let mut results =
            stream::iter(ids.iter().copied()).map(|id| self.say(word, id, reason)).buffer_unordered(AT_ONCE);
        while let Some(result) = results.next().await {
            done.matched += 1;
            match result {
                Ok(()) => done.done += 1,
                Err(failure) if done.failures.len() < MOST_FAILURES => done.failures.push(failure),
                Err(_) => {}
            }
        }
    }

    async fn say(&self, word: Word, id: MessageId, reason: &str) -> Result<(), Failure> {
        let said = match word {
            Word::Hold => self.queue.hold(id, reason.to_owned()).await,
            Word::Release => self.queue.release(id).await,
            Word::Retry => self.queue.retry(id).await,
            Word::Remove => self.queue.remove(id).await,
        };
        said.map(drop).map_err(|error| Failure { id: id.to_string(), error: error.to_string() })
    }
}

/// A filter that says nothing about holds means those for which the word makes sense.
fn meant(word: Word, filter: Filter) -> Filter {
    let held = match word {
        Word::Hold | Word::Retry => Some(false),
        Word::Release => Some(true),
        Word::Remove => None,
    };
    Filter { held: filter.held.or(held), ..filter }
}

fn parsed(ids: &[String]) -> Result<Vec<MessageId>, No> {
    if ids.len() > MOST_IDS {
        return Err(No::bad_request(format!("an order names at most {MOST_IDS} messages"), Some("use a filter")));
    }
    ids.iter().map(|id| message_id(id)).collect()
}

/// An id that somebody typed.
pub(crate) fn message_id(text: &str) -> Result<MessageId, No> {
    MessageId::from_str(text).map_err(|error| No::bad_request(error.to_string(), None))
}
