//! The loop: the only place that decides. It owns the scheduler, the messages that wait in its windows, and the list of
//! those that a task has right now.
//!
//! In: inputs from tasks and handles, the time. Out: tasks. Never waits for a spool, a transport or a lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use queue::{Change, Class, Cost, LaneVerdict, Message, MessageId, Refill, Scheduler, SpoolError, Start};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Due, Ended, Input, Serial};
use crate::words::Word;
use crate::{Event, LaneReport, OperatorError, Report, attempt, fetch, housekeeping, reroute, tell, words};

/// Inputs taken at once.
const BATCH: usize = 256;
/// Attempts that have ended and whose outcome is not yet recorded; above this nothing starts, so that a crash leaves few
/// possible duplicates.
const UNRECORDED: usize = 512;
/// The spool could not be asked: again after this.
const FETCH_AGAIN: Duration = Duration::from_secs(5);
/// After the grace period: attempts may say themselves what they came to.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// After the grace period, for recording what was dropped.
const AFTER_GRACE: Duration = Duration::from_secs(5);
/// The calendar is looked at so often, whatever it said of the next time: a timer does not notice that a clock was set
/// forward, or that the machine was asleep.
const LOOK_UP: Duration = Duration::from_secs(60);

pub(crate) struct Manager {
    pub(crate) context: Arc<Context>,
    pub(crate) scheduler: Scheduler,
    pub(crate) inputs: mpsc::UnboundedReceiver<Input>,
    pub(crate) grace: Duration,
    pub(crate) history: Duration,
    /// Messages in the scheduler's windows, leased.
    pub(crate) waiting: HashMap<MessageId, Box<Message>>,
    /// Messages that a task has.
    pub(crate) busy: HashMap<MessageId, Busy>,
    pub(crate) serial: Serial,
    /// Attempts that have ended and are not yet recorded.
    pub(crate) recording: usize,
}

/// A task has the message; what operators want of it waits.
pub(crate) struct Busy {
    serial: Serial,
    words: Vec<Word>,
    /// The attempt has ended; its outcome is being recorded.
    ended: bool,
}

impl Manager {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.begin();
        let stopped = stop.cancelled();
        tokio::pin!(stopped);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.advance();
            let wake_up = self.wake_up();
            tokio::select! {
                biased;
                () = &mut stopped => break,
                _ = self.inputs.recv_many(&mut batch, BATCH) => {}
                () = at(wake_up) => {}
            }
            let now = self.context.clock.now();
            batch.drain(..).for_each(|input| self.handle(input, now));
        }
        self.stop().await;
    }

    /// Every line may have mail in the spool; lanes that are no longer configured are seen to.
    fn begin(&mut self) {
        let now = self.context.clock.now();
        let lanes: Vec<_> = self.context.plan.pools.iter().map(|pool| &pool.name).cloned().collect();
        for lane in lanes {
            for class in [Class::Urgent, Class::New, Class::Deferred] {
                self.scheduler.handle_due_at(&lane, class, now);
            }
        }
        self.context.tasks.spawn(reroute::run(Arc::clone(&self.context)));
        self.context.tasks.spawn(housekeeping::run(Arc::clone(&self.context), self.history));
    }

    /// Starts what may start, fetches what may be fetched.
    fn advance(&mut self) {
        let now = self.context.clock.now();
        while self.may_start()
            && let Some(start) = self.scheduler.poll_start(now)
        {
            self.start(start, now);
        }
        while let Some(refill) = self.scheduler.poll_refill(now) {
            self.context.tasks.spawn(fetch::run(Arc::clone(&self.context), refill, now));
        }
    }

    /// Not while outcomes wait to be recorded: each would be a duplicate after a crash.
    fn may_start(&self) -> bool {
        self.recording < UNRECORDED && self.context.unstored.load(Ordering::Relaxed) == 0
    }

    /// When to look again without an input. While nothing may start, an input will come: the end of the recording.
    fn wake_up(&self) -> Option<Instant> {
        let now = self.context.clock.now();
        let at = self.scheduler.next_wakeup(now).filter(|_| self.may_start())?;
        // Timers count milliseconds; a moment too late is better than a moment too early.
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default().min(LOOK_UP);
        Instant::now().checked_add(wait + Duration::from_millis(1))
    }

    fn start(&mut self, start: Start, now: Timestamp) {
        let transport = self.context.transports.get(&start.lane).map(Arc::clone);
        let (Some(message), Some(transport)) = (self.waiting.remove(&start.id), transport) else {
            // Cannot be: the windows and `waiting` hold the same ids, the scheduler and `lanes` the same lanes.
            tracing::error!(
                alert = true,
                id = %start.id,
                lane = %start.lane,
                "a message to be tried was not at hand; it is tried later"
            );
            self.context.spool.release(start.id);
            self.scheduler.handle_ended(&start.lane, &LaneVerdict::Neutral, Cost::default(), now);
            return;
        };
        if start.probe {
            tracing::info!(lane = %start.lane, id = %start.id, "probing the paused lane with one message");
        }
        let serial = self.occupy(start.id);
        let steps = attempt::Steps { context: Arc::clone(&self.context), transport, lane: start.lane, serial };
        self.context.tasks.spawn(steps.run(message));
    }

    /// A task gets the message.
    fn occupy(&mut self, id: MessageId) -> Serial {
        let words = self.vacate(id, None);
        self.serial += 1;
        self.busy.insert(id, Busy { serial: self.serial, words, ended: false });
        self.serial
    }

    fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Arrived(message) => self.handle_arrived(message),
            Input::Urged(message) => self.handle_urged(message),
            Input::Word(word) => self.handle_word(word),
            Input::Claimed(refill, answer) => self.handle_claimed(&refill, answer, now),
            Input::Ended(ended) => self.handle_ended(&ended, now),
            Input::Done(id, serial, due) => self.handle_done(id, serial, due),
            Input::Due(due) => self.scheduler.handle_due_at(&due.lane, due.class, due.at),
            Input::Probe(lane, answer) => {
                let known = self.scheduler.knows(&lane);
                self.scheduler.probe_now(&lane, now);
                drop(answer.send(if known { Ok(()) } else { Err(OperatorError::NoLane(lane)) }));
            }
            Input::Status(answer) => drop(answer.send(self.status(now))),
        }
    }

    fn handle_arrived(&mut self, message: Box<Message>) {
        message.story.iter().for_each(|event| tell::publish(&self.context, &message, event));
        if message.hold.is_some() {
            self.context.spool.release(message.id);
        } else if !self.scheduler.knows(&message.lane) {
            self.context.tasks.spawn(reroute::one(Arc::clone(&self.context), message));
        } else {
            let class = message.class();
            self.admit(message, class);
        }
    }

    /// Into the window of its line if there is room, back to the spool otherwise.
    fn admit(&mut self, message: Box<Message>, class: Class) -> bool {
        let taken = self.scheduler.handle_arrival(&message.lane, class, message.id, self.context.plan.pool(&message.lane).map(|pool| pool.cost(&message)).unwrap_or_default());
        if taken {
            self.waiting.insert(message.id, message);
        } else {
            self.context.spool.release(message.id);
        }
        taken
    }

    fn handle_urged(&mut self, message: Box<Message>) {
        let due = Due::of(&message);
        if !self.admit(message, Class::Urgent)
            && let Some(due) = due
        {
            self.scheduler.handle_due_at(&due.lane, due.class, due.at);
        }
    }

    fn handle_claimed(
        &mut self,
        refill: &Refill,
        answer: Result<(Vec<Message>, Option<Timestamp>), SpoolError>,
        now: Timestamp,
    ) {
        let (messages, next_due_at) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(lane = %refill.lane, %error, "the spool could not be asked for mail that is due");
                self.scheduler.handle_claim_failed(refill, now + FETCH_AGAIN);
                return;
            }
        };
        let pool = self.context.plan.pool(&refill.lane);
        let cost = |message: &Message| pool.map(|pool| pool.cost(message)).unwrap_or_default();
        let ids: Vec<_> = messages.iter().map(|message| (message.id, cost(message))).collect();
        self.waiting.extend(messages.into_iter().map(|message| (message.id, Box::new(message))));
        self.scheduler.handle_claimed(refill, &ids, next_due_at, now);
    }

    fn handle_ended(&mut self, ended: &Ended, now: Timestamp) {
        let changes = self.scheduler.handle_ended(&ended.lane, &ended.verdict, ended.used, now);
        changes.into_iter().for_each(|change| self.tell_change(change, now));
        if let Some(busy) = self.busy.get_mut(&ended.id).filter(|busy| busy.serial == ended.serial) {
            busy.ended = true;
            self.recording += 1;
        }
    }

    fn handle_done(&mut self, id: MessageId, serial: Serial, due: Option<Due>) {
        if let Some(due) = due {
            self.scheduler.handle_due_at(&due.lane, due.class, due.at);
        }
        let words = self.vacate(id, Some(serial));
        words.into_iter().for_each(|word| self.handle_word(word));
    }

    /// No task has the message any more (if it was that one). What operators want of it comes out.
    fn vacate(&mut self, id: MessageId, serial: Option<Serial>) -> Vec<Word> {
        let matches = |busy: &Busy| serial.is_none_or(|serial| serial == busy.serial);
        if !self.busy.get(&id).is_some_and(matches) {
            return Vec::new();
        }
        let Some(busy) = self.busy.remove(&id) else { return Vec::new() };
        self.recording -= usize::from(busy.ended);
        busy.words
    }

    fn handle_word(&mut self, word: Word) {
        if let Some(busy) = self.busy.get_mut(&word.id) {
            busy.words.push(word);
            return;
        }
        let message = self.waiting.remove(&word.id);
        if let Some(message) = &message {
            self.scheduler.remove(&message.lane, message.id);
        }
        let serial = self.occupy(word.id);
        self.context.tasks.spawn(words::follow(Arc::clone(&self.context), word, message, serial));
    }

    fn tell_change(&self, change: Change, now: Timestamp) {
        match change {
            Change::Opened { breaker, pause, lanes } => {
                tell::opened(&breaker, &pause);
                self.context.publish(|| Event::BreakerOpened { breaker, lanes, pause, at: now });
            }
            Change::Closed { breaker, open_for } => {
                tell::closed(&breaker, open_for);
                self.context.publish(|| Event::BreakerClosed { breaker, open_for, at: now });
            }
            Change::Slowed { lane, what, reason } => tracing::warn!(%lane, what, reason, "slowed down"),
        }
    }

    fn status(&self, now: Timestamp) -> Report {
        let report = |status: queue::LaneStatus| {
            let transport = self.context.transports.get(&status.name);
            let (connections_open, connections_idle) = transport.map_or((0, 0), |transport| transport.connections());
            LaneReport { status, connections_open, connections_idle }
        };
        let status = self.scheduler.status(now);
        let lanes = status.lanes.into_iter().map(report).collect();
        Report { lanes, budgets: status.budgets, breakers: status.breakers, forecasts: Vec::new() }
    }

    /// No new starts; what is under way may finish, then it is dropped; all leases go back.
    async fn stop(mut self) {
        self.context.stopping.cancel();
        let waiting = self.scheduler.drain();
        waiting.into_iter().for_each(|id| self.context.spool.release(id));
        self.waiting.clear();
        let deadline = Instant::now() + self.grace;
        self.finish_until(deadline).await;
        if !self.busy.is_empty() {
            tracing::warn!(messages = self.busy.len(), "attempts still under way after the grace period are dropped");
        }
        self.context.transports.values().for_each(|transport| transport.abandon());
        self.finish_until(deadline + LAST_WORDS).await;
        self.context.abandon.cancel();
        self.finish_until(deadline + AFTER_GRACE).await;
        self.inputs.close();
        while let Ok(input) = self.inputs.try_recv() {
            self.context.give_back(input);
        }
        self.context.tasks.close();
        let _ = tokio::time::timeout(AFTER_GRACE, self.context.tasks.wait()).await;
    }

    async fn finish_until(&mut self, deadline: Instant) {
        let mut batch = Vec::with_capacity(BATCH);
        while !self.busy.is_empty() {
            tokio::select! {
                biased;
                _ = self.inputs.recv_many(&mut batch, BATCH) => {}
                () = sleep_until(deadline) => return,
            }
            let now = self.context.clock.now();
            for input in batch.drain(..) {
                match input {
                    Input::Ended(..) | Input::Status(_) => self.handle(input, now),
                    Input::Done(id, serial, _) => {
                        let words = self.vacate(id, Some(serial));
                        words.into_iter().for_each(|word| word.answer(Err(OperatorError::Stopped)));
                    }
                    other => self.context.give_back(other),
                }
            }
        }
    }
}

async fn at(wake_up: Option<Instant>) {
    match wake_up {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
