//! One attempt, in small steps: inquiry, expiry, body, transport, settle, reports, record.
//!
//! The lease is held from before the first step until the outcome is recorded. The lane hears of the end before the
//! recording, so that its connection is not kept waiting for a disk. What was spent is recorded with the outcome, in one
//! transaction.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use queue::{
    Attempt, AttemptReport, Body, BodyReader, Cost, LaneName, LaneVerdict, Message, MessageId, Outcome, Spend,
    SpoolError, Terms, expire_check, settle,
};

use crate::context::{Context, Due, Ended, Input, Serial};
use crate::inquiry::{self, Asked};
use crate::journal::Written;
use crate::ways::Way;
use crate::{record, report, stuck, tell};

/// The spool could not give the body: again after this.
const BODY_AGAIN: Duration = Duration::from_secs(10);
/// Transactions of one attempt, however much is granted: the others wait for their turn.
const TRANSACTIONS: usize = 16;

pub(crate) struct Steps {
    pub(crate) context: Arc<Context>,
    pub(crate) way: Arc<Way>,
    pub(crate) lane: LaneName,
    pub(crate) serial: Serial,
    pub(crate) grant: Cost,
}

impl Steps {
    pub(crate) async fn run(self, mut message: Box<Message>) {
        let told = message.story.len();
        let selected = self.way.select(&message, self.grant);
        let recipients = match inquiry::ask(&self, &mut message, selected).await {
            Asked::Send(recipients) => recipients,
            Asked::Wait => return self.put_aside(*message, told).await,
        };
        let now = self.context.clock.now();
        if let Some(expired) = expire_check(&message, &self.context.retry, now) {
            tell::expired(&self.context, &expired, now);
            return self.put_aside(expired, told).await;
        }
        match self.context.spool.body(message.id).await {
            Ok(body) => self.converse(message, &recipients, told, body).await,
            Err(error @ (SpoolError::Damaged { .. } | SpoolError::NotFound(_))) => {
                self.hold(&mut message, &error);
                self.put_aside(*message, told).await;
            }
            Err(error) => self.put_off(&message, &error).await,
        }
    }

    async fn converse(self, message: Box<Message>, recipients: &[u32], told: usize, body: BodyReader) {
        let damage = Arc::default();
        let body = Box::new(Watched { body, damage: Arc::clone(&damage) });
        let report = self.attempt(&message, recipients, body).await;
        let used = self.way.pool.used(&message, &report.results, report.messages);
        self.end(message.id, report.lane.clone(), used);
        let now = self.context.clock.now();
        let spent = self.way.spends(used, now);
        let random = spread(message.id, message.attempts);
        let terms = self.terms(&message, &report).await;
        let mut settled = settle(*message, &report, &terms, now, random);
        if let Some(notification) = tell::attempted(&self.context, &settled, &self.lane, told, &report, now)
            && let Err(error) = report::notify(&self.context, notification).await
        {
            tracing::warn!(id = %settled.id, %error, "the owner of this client could not be told that its mail waits");
        }
        if let Some(error) = damage.get().filter(|_| !settled.is_settled()) {
            self.hold(&mut settled, error);
        }
        self.keep(settled, told, spent, report.results.iter().any(|(_, outcome)| is_handed_over(outcome))).await;
    }

    async fn terms(&self, message: &Message, report: &AttemptReport) -> Terms<'_> {
        let unconfirmed = report.results.iter().find(|(_, outcome)| matches!(outcome, Outcome::Unconfirmed { .. }));
        let policy = match unconfirmed {
            Some((indices, _)) => inquiry::policy(&self.context, &self.way, message, indices).await,
            None => self.way.unconfirmed,
        };
        Terms { lane: &self.lane, retry: &self.context.retry, unconfirmed: policy }
    }

    /// Whatever happens inside comes out as a report.
    async fn attempt(&self, message: &Message, recipients: &[u32], body: BodyReader) -> AttemptReport {
        let now = self.context.clock.now();
        let journal = Written::new(&self.context, message.id, &self.lane, self.way.unconfirmed);
        let transactions = self.transactions();
        let attempt = Attempt { message, recipients: recipients.to_vec(), transactions, journal: &journal };
        let attempt = AssertUnwindSafe(self.way.transport.attempt(attempt, body, now)).catch_unwind();
        let cause = tokio::select! {
            biased;
            report = attempt => match report {
                Ok(report) => return report,
                Err(_) => {
                    tell::panicked(&self.context, message, &self.lane);
                    "the attempt broke off by a fault in the relay"
                }
            },
            () = self.context.abandon.cancelled() => "the relay stopped before the attempt was over",
        };
        let took = self.context.clock.now().duration_since(now);
        let (results, sent) = journal.broke_off(recipients, cause);
        // One more may have got as far as MAIL.
        let messages = sent.saturating_add(1).min(u32::try_from(transactions).unwrap_or(u32::MAX));
        let took_ms = u64::try_from(took.as_millis()).unwrap_or_default();
        AttemptReport { results, lane: LaneVerdict::Neutral, messages, took_ms, notes: Vec::new(), hold: None }
    }

    fn transactions(&self) -> usize {
        usize::try_from(self.grant.messages).unwrap_or(TRANSACTIONS).clamp(1, TRANSACTIONS)
    }

    /// Without its bytes it can never go; only an operator can tell what they should be.
    fn hold(&self, message: &mut Message, error: &SpoolError) {
        tell::damaged(&self.context, message, &self.lane, error);
        message.hold(format!("{error}; hint: run `posthouse spool check`"), self.context.clock.now());
    }

    /// The spool is in trouble; nothing happened to the message. The lease is kept for a while: given back at once, it would
    /// be claimed again at once.
    async fn put_off(&self, message: &Message, error: &SpoolError) {
        let (id, lane) = (message.id, &self.lane);
        tracing::warn!(%id, %lane, %error, "the bytes of this message could not be read now; it is tried again");
        self.end(message.id, LaneVerdict::Neutral, Cost::default());
        tokio::select! {
            () = tokio::time::sleep(BODY_AGAIN) => {}
            () = self.context.stopping.cancelled() => {}
        }
        self.context.spool.release(message.id);
        self.context.tell(Input::Done(message.id, self.serial, Due::of(message)));
    }

    /// Nothing was sent, but the message is another now.
    async fn put_aside(&self, message: Message, told: usize) {
        self.end(message.id, LaneVerdict::Neutral, Cost::default());
        self.keep(message, told, Vec::new(), false).await;
    }

    /// Reports and records the new state. `told`: events of its story that were known before; `through`: some of it was
    /// handed over.
    async fn keep(&self, mut message: Message, told: usize, spent: Vec<Spend>, through: bool) {
        report::tell(&self.context, &mut message, told, self.context.clock.now()).await;
        stuck::review(&self.context, &message, through.then_some(&self.lane));
        let (id, due) = (message.id, Due::of(&message));
        let news = tell::news(&self.context, &message, told);
        let due = match record::keep(&self.context, message, spent).await {
            true => due,
            false => due.map(|due| Due { at: self.context.clock.now() + BODY_AGAIN, ..due }),
        };
        news.into_iter().for_each(|event| self.context.publish(|| event));
        self.context.tell(Input::Done(id, self.serial, due));
    }

    fn end(&self, id: MessageId, verdict: LaneVerdict, used: Cost) {
        let (lane, serial) = (self.lane.clone(), self.serial);
        self.context.tell(Input::Ended(Ended { id, serial, lane, verdict, used }));
    }
}

fn is_handed_over(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::HandedOver { .. })
}

/// A body that remembers its damage: an attempt cannot say what it met on its way.
struct Watched {
    body: BodyReader,
    damage: Arc<OnceLock<SpoolError>>,
}

#[async_trait]
impl Body for Watched {
    fn size(&self) -> u64 {
        self.body.size()
    }

    fn rewind(&mut self) {
        self.body.rewind();
    }

    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        let piece = self.body.next().await;
        if let Err(error @ SpoolError::Damaged { .. }) = &piece {
            // Set once: the first trouble is the one that counts.
            let _ = self.damage.set(error.clone());
        }
        piece
    }
}

/// Spreads retries: the same for the same attempt of a message, and otherwise any number.
fn spread(id: MessageId, attempts: u32) -> u32 {
    let mut mixed = id.to_i64().unsigned_abs() ^ u64::from(attempts).rotate_left(40);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from(mixed >> 32).unwrap_or_default()
}
