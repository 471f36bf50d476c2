//! One attempt, in small steps: expiry, body, transport, settle, record, report.
//!
//! The lease is held from before the first step until the outcome is recorded. The lane hears of the end before the
//! recording, so that its connection is not kept waiting for a disk.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use queue::{
    Attempt, AttemptReport, Body, BodyReader, Cost, Journal, LaneName, LaneVerdict, Message, MessageId, Outcome, SpoolError,
    Terms, Transport, Unconfirmed, expire_check, settle,
};

use crate::context::{Context, Due, Ended, Input, Serial};
use crate::{record, tell};

/// The spool could not give the body: again after this.
const BODY_AGAIN: Duration = Duration::from_secs(10);

pub(crate) struct Steps {
    pub(crate) context: Arc<Context>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) lane: LaneName,
    pub(crate) serial: Serial,
}

impl Steps {
    pub(crate) async fn run(self, mut message: Box<Message>) {
        let now = self.context.clock.now();
        if let Some(expired) = expire_check(&message, &self.context.retry, now) {
            self.end(message.id, LaneVerdict::Neutral, Cost::default());
            tell::expired(&self.context, &expired, now);
            return self.keep(expired, message.story.len()).await;
        }
        match self.context.spool.body(message.id).await {
            Ok(body) => self.converse(message, body).await,
            Err(error @ (SpoolError::Damaged { .. } | SpoolError::NotFound(_))) => {
                self.end(message.id, LaneVerdict::Neutral, Cost::default());
                let told = message.story.len();
                self.hold(&mut message, &error);
                self.keep(*message, told).await;
            }
            Err(error) => self.put_off(&message, &error).await,
        }
    }

    async fn converse(self, message: Box<Message>, body: BodyReader) {
        let damage = Arc::default();
        let body = Box::new(Watched { body, damage: Arc::clone(&damage) });
        let report = self.attempt(&message, body).await;
        let used = self.context.plan.lane(&self.lane).map(|(pool, _)| pool.used(&message, &report.results, report.messages));
        self.end(message.id, report.lane.clone(), used.unwrap_or_default());
        let now = self.context.clock.now();
        let (told, random) = (message.story.len(), spread(message.id, message.attempts));
        let mut settled = settle(*message, &report, &self.terms(), now, random);
        tell::attempted(&self.context, &settled, told, &report, now);
        if let Some(error) = damage.get().filter(|_| !settled.is_settled()) {
            self.hold(&mut settled, error);
        }
        self.keep(settled, told).await;
    }

    fn terms(&self) -> Terms<'_> {
        let unconfirmed = self.context.plan.lane(&self.lane).map_or(Unconfirmed::Resend, |(_, lane)| lane.unconfirmed);
        Terms { lane: &self.lane, retry: &self.context.retry, unconfirmed }
    }

    /// Whatever happens inside comes out as a report.
    async fn attempt(&self, message: &Message, body: BodyReader) -> AttemptReport {
        let queued = message.recipients.iter().zip(0_u32..).filter(|(recipient, _)| recipient.state.is_queued());
        let recipients: Vec<u32> = queued.map(|(_, index)| index).collect();
        let now = self.context.clock.now();
        let attempt = Attempt { message, recipients: recipients.clone(), transactions: 16, journal: &Unwritten };
        let attempt = AssertUnwindSafe(self.transport.attempt(attempt, body, now)).catch_unwind();
        let cause = tokio::select! {
            biased;
            report = attempt => match report {
                Ok(report) => return report,
                Err(_) => {
                    tracing::error!(
                        alert = true,
                        id = %message.id,
                        lane = %self.lane,
                        "the transport failed on this message by a fault of its own (a panic); it is tried again; \
                         hint: please report this line and those before it"
                    );
                    "the attempt broke off by a fault in the relay"
                }
            },
            () = self.context.abandon.cancelled() => "the relay stopped before the attempt was over",
        };
        let took = self.context.clock.now().duration_since(now);
        AttemptReport {
            results: vec![(recipients, Outcome::Unconfirmed { cause: cause.to_owned() })],
            lane: LaneVerdict::Neutral,
            messages: 1,
            took_ms: u64::try_from(took.as_millis()).unwrap_or_default(),
            notes: Vec::new(),
        }
    }

    /// Without its bytes it can never go; only an operator can tell what they should be.
    fn hold(&self, message: &mut Message, error: &SpoolError) {
        tracing::error!(
            alert = true,
            id = %message.id,
            lane = %self.lane,
            %error,
            "the bytes of this message cannot be read; it is held; hint: `posthouse spool check` says what is damaged, \
             `posthouse remove` gives it up"
        );
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

    /// Records the new state; `told`: events of its story that were known before.
    async fn keep(&self, message: Message, told: usize) {
        let (id, due) = (message.id, Due::of(&message));
        let news = tell::news(&self.context, &message, told);
        let due = match record::keep(&self.context, message).await {
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

#[derive(Debug)]
struct Unwritten;

#[async_trait]
impl Journal for Unwritten {
    async fn last_byte(&self, _recipients: &[u32]) -> Result<(), SpoolError> {
        Ok(())
    }
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
