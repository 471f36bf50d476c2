//! The loop: the only place that decides. It owns the scheduler, the messages that wait in its windows, and the list of
//! those that a task has right now.
//!
//! In: inputs from tasks and handles, the time. Out: tasks. Never waits for a spool, a transport or a lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use queue::{
    BreakerName, Change, Class, Cost, LaneName, LaneVerdict, Message, MessageId, Postpone, Refill, Scheduler,
    SpoolError, Start,
};
use telemetry::{Gauge, Incident, IncidentKind, Severity};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Due, Ended, Input, Restored, Serial};
use crate::words::Word;
use crate::{
    Event, OperatorError, WatchSettings, attempt, delays, fetch, housekeeping, memory, postpone, report, reroute,
    restore, status, tell, watch, words,
};

/// Inputs taken at once.
const BATCH: usize = 256;
/// Attempts that have ended and whose outcome is not yet recorded; above this nothing starts, so that a crash leaves few
/// possible duplicates.
const UNRECORDED: usize = 512;
/// Messages that are being put off until their budget can bear them, at once.
const POSTPONED: usize = 64;
/// The spool could not be asked: again after this.
const FETCH_AGAIN: Duration = Duration::from_secs(5);
/// After the grace period: attempts may say themselves what they came to.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// After the grace period, for recording what was dropped.
const AFTER_GRACE: Duration = Duration::from_secs(5);
/// After all attempts, for what is still being stored.
const LAST_TASKS: Duration = Duration::from_secs(4);
/// The calendar is looked at so often, whatever it said of the next time: a timer does not notice that a clock was set
/// forward, or that the machine was asleep.
const LOOK_UP: Duration = Duration::from_secs(60);

pub(crate) struct Manager {
    pub(crate) context: Arc<Context>,
    pub(crate) scheduler: Scheduler,
    pub(crate) inputs: mpsc::UnboundedReceiver<Input>,
    pub(crate) grace: Duration,
    pub(crate) history: Duration,
    pub(crate) watch: WatchSettings,
    /// What was known before the start has been heard: things may start.
    pub(crate) ready: bool,
    /// Operators' words from before that.
    pub(crate) early: Vec<Word>,
    /// Messages in the scheduler's windows, leased.
    pub(crate) waiting: HashMap<MessageId, Box<Message>>,
    /// Messages that a task has.
    pub(crate) busy: HashMap<MessageId, Busy>,
    pub(crate) serial: Serial,
    /// Attempts that have ended and are not yet recorded.
    pub(crate) recording: usize,
    /// Messages that are being put off.
    pub(crate) postponing: usize,
}

/// A task has the message; what operators want of it waits.
pub(crate) struct Busy {
    serial: Serial,
    words: Vec<Word>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is being tried, or an operator's word is being followed.
    UnderWay,
    /// The attempt has ended; its outcome is being recorded.
    Recording,
    /// It makes room for others.
    Postponing,
}

impl Manager {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.context.tasks.spawn(restore::run(Arc::clone(&self.context)));
        let context = Arc::clone(&self.context);
        self.context.tasks.spawn(async move { memory::run(&context).await });
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

    /// What was known before the start is heard first; then every line may have mail in the spool, and everything else
    /// begins.
    fn begin(&mut self, restored: &Restored, now: Timestamp) {
        self.scheduler.handle_ledger(&restored.spent, now);
        for (key, value) in &restored.remembered {
            self.scheduler.handle_remembered(key, value, now);
        }
        for breaker in self.scheduler.status(now).breakers {
            self.note_breaker(&breaker.name, Some(breaker.lanes.clone()));
            tell::opened(&self.context, &breaker.name, &breaker.pause, &breaker.lanes);
        }
        for pool in &self.context.plan.pools {
            for class in [Class::Urgent, Class::New, Class::Deferred] {
                self.scheduler.handle_due_at(&pool.name, class, now);
            }
        }
        let context = || Arc::clone(&self.context);
        self.context.tasks.spawn(reroute::run(context()));
        self.context.tasks.spawn(housekeeping::run(context(), self.history));
        self.context.tasks.spawn(watch::run(context(), self.watch.clone()));
        self.context.tasks.spawn(delays::run(context()));
        self.context.tasks.spawn(report::run(context()));
        self.ready = true;
        std::mem::take(&mut self.early).into_iter().for_each(|word| self.handle_word(word));
    }

    /// Starts what may start, puts off what must wait, fetches what may be fetched.
    fn advance(&mut self) {
        if self.ready {
            let now = self.context.clock.now();
            self.start_all(now);
            while self.postpone_all(now) {
                self.start_all(now);
            }
            while let Some(refill) = self.scheduler.poll_refill(now) {
                self.context.tasks.spawn(fetch::run(Arc::clone(&self.context), refill, now));
            }
        }
        self.remember();
    }

    fn start_all(&mut self, now: Timestamp) {
        while self.may_start()
            && let Some(start) = self.scheduler.poll_start(now)
        {
            self.start(start, now);
        }
    }

    /// Whether there was any.
    fn postpone_all(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while self.postponing < POSTPONED
            && let Some(postpone) = self.scheduler.poll_postponed(now)
        {
            self.postpone(postpone);
            any = true;
        }
        any
    }

    fn remember(&mut self) {
        while let Some((key, value)) = self.scheduler.poll_remember() {
            self.context.memory.note(key, value);
        }
    }

    /// Not while outcomes wait to be recorded: each would be a duplicate after a crash.
    fn may_start(&self) -> bool {
        self.recording < UNRECORDED && self.context.unstored.load(Ordering::Relaxed) == 0
    }

    /// When to look again without an input. While nothing may start, an input will come: what was known before the start,
    /// or the end of the recording.
    fn wake_up(&self) -> Option<Instant> {
        let now = self.context.clock.now();
        let at = self.scheduler.next_wakeup(now).filter(|_| self.ready && self.may_start())?;
        // Timers count milliseconds; a moment too late is better than a moment too early.
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default().min(LOOK_UP);
        Instant::now().checked_add(wait + Duration::from_millis(1))
    }

    fn start(&mut self, start: Start, now: Timestamp) {
        let way = self.context.ways.lane(&start.lane).map(Arc::clone);
        let (Some(message), Some(way)) = (self.waiting.remove(&start.id), way) else {
            self.missing(&start, now);
            return;
        };
        if start.probe {
            tracing::info!(lane = %start.lane, id = %start.id, "probing with one message what has stopped the lane");
        }
        let serial = self.occupy(start.id);
        let context = Arc::clone(&self.context);
        let steps = attempt::Steps { context, way, lane: start.lane, serial, grant: start.grant };
        self.context.tasks.spawn(steps.run(message));
    }

    /// Cannot be: the windows and `waiting` hold the same ids, the scheduler and the plan the same lanes.
    fn missing(&mut self, start: &Start, now: Timestamp) {
        tracing::error!(id = %start.id, lane = %start.lane, "a message to be tried was not at hand; it is tried later");
        self.context.incidents.open(Incident {
            kind: IncidentKind::Fault,
            about: "the queue".to_owned(),
            severity: Severity::Warning,
            what: format!(
                "message {} was to be tried in `{}` and was not at hand; it is tried later",
                start.id, start.lane
            ),
            remedy: "please report the lines of the log before this one".to_owned(),
            code: None,
            lanes: Vec::new(),
        });
        self.context.spool.release(start.id);
        self.scheduler.handle_attempt_ended(&start.lane, start.id, &LaneVerdict::Neutral, Cost::default(), now);
    }

    fn postpone(&mut self, postpone: Postpone) {
        let Some(message) = self.waiting.remove(&postpone.id) else { return };
        let serial = self.occupy(postpone.id);
        self.enter(postpone.id, serial, Stage::Postponing);
        self.context.tasks.spawn(postpone::run(Arc::clone(&self.context), message, postpone, serial));
    }

    /// A task gets the message.
    fn occupy(&mut self, id: MessageId) -> Serial {
        let words = self.vacate(id, None);
        self.serial += 1;
        self.busy.insert(id, Busy { serial: self.serial, words, stage: Stage::UnderWay });
        self.serial
    }

    /// The task of that serial has come to another stage.
    fn enter(&mut self, id: MessageId, serial: Serial, stage: Stage) {
        if let Some(busy) = self.busy.get_mut(&id).filter(|busy| busy.serial == serial) {
            busy.stage = stage;
            self.recording += usize::from(stage == Stage::Recording);
            self.postponing += usize::from(stage == Stage::Postponing);
        }
    }

    fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Restored(restored) => self.begin(&restored, now),
            Input::Arrived(message) => self.handle_arrived(message),
            Input::Urged(message) => self.handle_urged(message),
            Input::Word(word) => self.handle_word(word),
            Input::Claimed(refill, answer) => self.handle_claimed(&refill, answer, now),
            Input::Ended(ended) => self.handle_ended(&ended, now),
            Input::Done(id, serial, due) => self.handle_done(id, serial, due),
            Input::Due(due) => self.scheduler.handle_due_at(&due.lane, due.class, due.at),
            Input::Probe(name, answer) => {
                self.context.transports.values().for_each(|transport| transport.ask_anew());
                let known = self.scheduler.probe_now(&name, now);
                drop(answer.send(if known { Ok(()) } else { Err(OperatorError::NoLane(name)) }));
            }
            Input::Status(depths, answer) => {
                drop(answer.send(status::report(&self.context, &self.scheduler, &depths, now)));
            }
        }
    }

    fn handle_arrived(&mut self, message: Box<Message>) {
        message.story.iter().for_each(|event| tell::publish(&self.context, &message, event));
        if message.hold.is_some() || !self.ready {
            // Once things may start, all that waits is fetched.
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
        let cost = self.context.ways.pool(&message.lane).map(|pool| pool.cost(&message)).unwrap_or_default();
        let taken = self.scheduler.handle_arrival(&message.lane, class, message.id, cost);
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
        let pool = self.context.ways.pool(&refill.lane);
        let cost = |message: &Message| pool.map(|pool| pool.cost(message)).unwrap_or_default();
        let ids: Vec<_> = messages.iter().map(|message| (message.id, cost(message))).collect();
        self.waiting.extend(messages.into_iter().map(|message| (message.id, Box::new(message))));
        self.scheduler.handle_claimed(refill, &ids, next_due_at, now);
    }

    /// What was spent counts from now: the ledger has the end of the attempt, which is a moment before, and a time that lies
    /// before others already heard would look like a clock set back.
    fn handle_ended(&mut self, ended: &Ended, now: Timestamp) {
        let Ended { id, serial, lane, verdict, used } = ended;
        if let LaneVerdict::Throttled(_) = verdict {
            self.context.metrics.throttled(&lane.0);
        }
        let changes = self.scheduler.handle_attempt_ended(lane, *id, verdict, *used, now);
        changes.into_iter().for_each(|change| self.tell_change(change, now));
        self.enter(*id, *serial, Stage::Recording);
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
        self.recording -= usize::from(busy.stage == Stage::Recording);
        self.postponing -= usize::from(busy.stage == Stage::Postponing);
        busy.words
    }

    fn handle_word(&mut self, word: Word) {
        if !self.ready {
            self.early.push(word);
            return;
        }
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
                self.note_breaker(&breaker, Some(lanes.clone()));
                tell::opened(&self.context, &breaker, &pause, &lanes);
                self.context.publish(|| Event::BreakerOpened { breaker, lanes, pause, at: now });
            }
            Change::Closed { breaker, open_for } => {
                self.note_breaker(&breaker, None);
                tell::closed(&self.context, &breaker, open_for);
                self.context.publish(|| Event::BreakerClosed { breaker, open_for, at: now });
            }
            Change::Slowed { lane, what, reason } => tracing::warn!(%lane, what, reason, "slowed down"),
        }
    }

    fn note_breaker(&self, name: &BreakerName, stops: Option<Vec<LaneName>>) {
        let open = if stops.is_some() { 1.0 } else { 0.0 };
        self.context.metrics.set_gauge(Gauge::BreakerOpen, &name.to_string(), open);
        self.context.note_breaker(name, stops);
    }

    /// No new starts; what is under way may finish, then it is dropped; all leases go back.
    async fn stop(mut self) {
        self.context.stopping.cancel();
        self.early.drain(..).for_each(|word| word.answer(Err(OperatorError::Stopped)));
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
        let in_good_order = self.ready && self.busy.is_empty();
        self.inputs.close();
        while let Ok(input) = self.inputs.try_recv() {
            self.context.give_back(input);
        }
        self.remember();
        self.context.memory.close();
        self.context.tasks.close();
        let _ = tokio::time::timeout(LAST_TASKS, self.context.tasks.wait()).await;
        if in_good_order && !self.context.unfinished.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout(LAST_WORDS, restore::ended(&self.context)).await;
        }
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
                    Input::Ended(..) | Input::Status(..) => self.handle(input, now),
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
