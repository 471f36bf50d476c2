//! Which message starts next. Holds ids and permits, never a message; the spool is the truth.
//!
//! A lane has permits (connections, messages a minute) and three lines (urgent, new, deferred), each a bounded window onto
//! the spool: what does not fit stays there and is fetched (`Refill`) when the line runs low. A free permit goes to the
//! lines in turn by weight (urgent 4, new 3, deferred 1; a line that is empty lends its turns), so that none starves.
//!
//! Messages a minute: a rolling window. A permit counts from its start until 60 s after its attempt ended, so that the
//! remote, wherever in between it counts, never sees more than the limit in any 60 s. Attempts that never reached MAIL give
//! their permit back at once.

mod agenda;
mod health;
mod lane;
mod line;
mod permits;
mod status;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use self::agenda::Agenda;
use self::lane::Lane;
use self::line::Line;

pub use self::status::{BreakerStatus, BudgetStatus, Change, Forecast, LaneStatus, Status};
use crate::{BreakerName, BudgetName, Class, Cost, LaneDepth, LaneName, LaneVerdict, MessageId, Plan, Spend};

/// For all lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Messages in memory for each line of a lane. Default 1,000.
    pub window: usize,
}

/// Start this attempt now: the permits are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whose queue it stood in.
    pub pool: LaneName,
    /// Where it goes.
    pub lane: LaneName,
    /// What.
    pub id: MessageId,
    /// Something that the lane needs is open, and this one message is the probe.
    pub probe: bool,
    /// How much may be spent: at most so many transactions, and recipients of these kinds. Covers at least one recipient;
    /// the first ones that fit are taken, the others stay queued.
    pub grant: Cost,
}

/// The message waits for a budget that only some mail draws on (external recipients): it must make room for other mail.
/// Its due time is to be set to `until` in the spool; it has been taken out of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postpone {
    /// Whose queue it stood in.
    pub pool: LaneName,
    /// What.
    pub id: MessageId,
    /// When the budget can bear it.
    pub until: Timestamp,
    /// Which.
    pub budget: BudgetName,
}

/// Claim up to `max` due messages of this line from the spool and give them to `handle_claimed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refill {
    /// Which lane.
    pub lane: LaneName,
    /// Which line.
    pub class: Class,
    /// At most.
    pub max: usize,
}

/// See the head of this file. Every method that needs the time is given it.
#[derive(Debug)]
pub struct Scheduler {
    window: usize,
    indices: HashMap<LaneName, usize>,
    lanes: Vec<Lane>,
    /// Lanes that may start an attempt, by index.
    starts: Agenda,
    /// Lines that must be looked at for a fetch, by index of the lane × 3 + that of the class.
    fetches: Agenda,
    /// The time as last heard.
    now: Timestamp,
}

const CLASSES: [Class; 3] = [Class::Urgent, Class::New, Class::Deferred];

impl Scheduler {
    /// How the keys begin that the scheduler remembers things under.
    pub const REMEMBERED: &'static str = "scheduler/";

    /// No mail yet.
    pub fn new(settings: SchedulerSettings, plan: Plan) -> Self {
        let lanes: Vec<_> = plan.pools.iter().filter_map(|pool| pool.lanes.first().cloned()).collect();
        let indices = lanes.iter().enumerate().map(|(index, lane)| (lane.name.clone(), index)).collect();
        Self {
            window: settings.window.max(1),
            indices,
            starts: Agenda::new(lanes.len()),
            fetches: Agenda::new(lanes.len() * CLASSES.len()),
            lanes: lanes.into_iter().map(|lane| Lane::new(lane, &plan)).collect(),
            now: Timestamp::MIN,
        }
    }

    /// Whether a pool of that name is configured.
    pub fn knows(&self, lane: &LaneName) -> bool {
        self.indices.contains_key(lane)
    }

    /// A message just accepted (leased to us). False: its line's window is full or unfetched mail stands before it; give the
    /// lease back before the next `poll_refill`, it will be fetched in its turn.
    #[must_use]
    pub fn handle_arrival(&mut self, lane: &LaneName, class: Class, id: MessageId, _cost: Cost) -> bool {
        let window = self.window;
        self.with_line(lane, class, |line, _| line.arrive(id, window)).unwrap_or(false)
    }

    /// Answer to a `Refill`, in the spool's order. `ids`: as claimed; fewer than `refill.max` means that the line has no more
    /// due now, and `next_due` says when to look again.
    pub fn handle_claimed(
        &mut self,
        refill: &Refill,
        messages: &[(MessageId, Cost)],
        next_due: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.hear(now);
        let ids: Vec<_> = messages.iter().map(|(id, _)| *id).collect();
        let ids = &ids;
        let all = ids.len() < refill.max;
        self.with_line(&refill.lane, refill.class, |line, now| line.fetched(ids, all, next_due, now));
    }

    /// The claim failed (spool closed): ask again after a while.
    pub fn handle_claim_failed(&mut self, refill: &Refill, retry_at: Timestamp) {
        self.with_line(&refill.lane, refill.class, |line, _| line.fetch_failed(retry_at));
    }

    /// A message was recorded as deferred until then, or released: the line must be looked at then.
    pub fn handle_due_at(&mut self, lane: &LaneName, class: Class, due_at: Timestamp) {
        self.with_line(lane, class, |line, now| line.due(due_at, now));
    }

    /// The attempt with that message ended. `used`: what it has spent, at the time `now`; the rest of its grant is given back.
    /// Returns what changed, for logs and alerts.
    pub fn handle_attempt_ended(
        &mut self,
        lane: &LaneName,
        id: MessageId,
        verdict: &LaneVerdict,
        used: Cost,
        now: Timestamp,
    ) -> Vec<Change> {
        let _ = id;
        #[expect(deprecated, reason = "until everybody says which attempt it was")]
        self.handle_ended(lane, verdict, used, now)
    }

    /// The same, where it is not known which attempt of the lane it was.
    #[deprecated(
        note = "say which: `handle_attempt_ended` takes the message's id, so that the right grant is given back"
    )]
    pub fn handle_ended(&mut self, lane: &LaneName, verdict: &LaneVerdict, used: Cost, now: Timestamp) -> Vec<Change> {
        self.hear(now);
        let Some(index) = self.indices.get(lane).copied() else { return Vec::new() };
        let change = self.lanes.get_mut(index).and_then(|lane| lane.end(verdict, used.messages > 0, now));
        self.review_starts(index);
        change.into_iter().collect()
    }

    /// What the ledger knows of the time before the start, at most as old as the longest window; before anything else.
    pub fn handle_ledger(&mut self, spent: &[Spend], now: Timestamp) {
        self.hear(now);
        let _ = spent;
    }

    /// What `poll_remember` gave before a restart; before anything else. What cannot be read is dropped.
    pub fn handle_remembered(&mut self, key: &str, value: &str, now: Timestamp) {
        self.hear(now);
        let _ = (key, value);
    }

    /// What must survive a restart (limits learnt, open breakers, first uses), or is over (`None`): under keys that begin
    /// with [`Scheduler::REMEMBERED`]. Given once for each change.
    pub fn poll_remember(&mut self) -> Option<(String, Option<String>)> {
        None
    }

    /// The next message that must make room, if any.
    pub fn poll_postponed(&mut self, now: Timestamp) -> Option<Postpone> {
        self.hear(now);
        None
    }

    /// When the mail that waits will have gone. `waiting`: what the spool says of its depth.
    pub fn forecast(&self, waiting: &[LaneDepth], now: Timestamp) -> Vec<Forecast> {
        let _ = (waiting, now);
        Vec::new()
    }

    /// A message that stands in a line is taken away (hold, remove). False: it was not there.
    pub fn remove(&mut self, lane: &LaneName, id: MessageId) -> bool {
        CLASSES.into_iter().any(|class| self.with_line(lane, class, |line, _| line.remove(id)).unwrap_or(false))
    }

    /// An operator wants it probed now: the lane, all lanes of the pool, or all that the breaker of that name stops. Rest and
    /// pause are over for one message each. `lane`: its name, or that of a pool or breaker (`mailbox relay@contoso.com`, or
    /// without the first word). False: nothing is called that.
    pub fn probe_now(&mut self, lane: &LaneName, now: Timestamp) -> bool {
        self.hear(now);
        let Some(index) = self.indices.get(lane).copied() else { return false };
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.health.probe_now(now);
        }
        self.review_starts(index);
        true
    }

    /// The next attempt to start, if any. Lanes take turns.
    pub fn poll_start(&mut self, now: Timestamp) -> Option<Start> {
        self.hear(now);
        while let Some(index) = self.starts.take(now) {
            let Some(lane) = self.lanes.get_mut(index) else { continue };
            let started = lane.start(now);
            let name = lane.settings().name.clone();
            self.review(index);
            if let Some((id, probe)) = started {
                return Some(Start {
                    pool: name.clone(),
                    lane: name,
                    id,
                    probe,
                    grant: Cost {
                        messages: 1,
                        recipients: u32::MAX,
                        external: u32::MAX,
                        external_under_provider_domain: u32::MAX,
                    },
                });
            }
        }
        None
    }

    /// The next line to fetch, if any. Each is given once until it is answered.
    pub fn poll_refill(&mut self, now: Timestamp) -> Option<Refill> {
        self.hear(now);
        while let Some(key) = self.fetches.take(now) {
            let (index, class) = (key / CLASSES.len(), *CLASSES.get(key % CLASSES.len())?);
            let Some(lane) = self.lanes.get_mut(index) else { continue };
            let max = lane.line_mut(class).ask(self.window, now);
            let name = lane.settings().name.clone();
            self.review_fetches(index, class);
            if let Some(max) = max {
                return Some(Refill { lane: name, class, max });
            }
        }
        None
    }

    /// When `poll_start` or `poll_refill` may have something without any input; `None`: never.
    pub fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        self.starts.earliest(now).into_iter().chain(self.fetches.earliest(now)).min()
    }

    /// See there.
    pub fn status(&self, now: Timestamp) -> Status {
        let mut lanes: Vec<_> = self.lanes.iter().map(|lane| lane.status(now)).collect();
        lanes.sort_by(|one, other| one.name.cmp(&other.name));
        Status { lanes, budgets: Vec::new(), breakers: Vec::new() }
    }

    /// Ids waiting in memory, to give back their leases on shutdown.
    pub fn drain(&mut self) -> Vec<MessageId> {
        let ids = self.lanes.iter_mut().flat_map(Lane::lines_mut).flat_map(Line::drain).collect();
        for index in 0..self.lanes.len() {
            self.review(index);
        }
        ids
    }

    /// Takes note of the time. If the clock was set back, waits keep their length.
    fn hear(&mut self, now: Timestamp) {
        let by = Duration::try_from(self.now.duration_since(now)).unwrap_or_default();
        self.now = now;
        if by < Duration::from_secs(1) {
            return;
        }
        for index in 0..self.lanes.len() {
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.set_back(by, now);
            }
            self.review(index);
        }
    }

    /// Changes a line and sees to what follows from it. `None`: no such lane.
    fn with_line<T>(
        &mut self,
        lane: &LaneName,
        class: Class,
        change: impl FnOnce(&mut Line, Timestamp) -> T,
    ) -> Option<T> {
        let index = *self.indices.get(lane)?;
        let result = change(self.lanes.get_mut(index)?.line_mut(class), self.now);
        self.review_starts(index);
        self.review_fetches(index, class);
        Some(result)
    }

    fn review(&mut self, index: usize) {
        self.review_starts(index);
        CLASSES.into_iter().for_each(|class| self.review_fetches(index, class));
    }

    fn review_starts(&mut self, index: usize) {
        let at = self.lanes.get(index).and_then(Lane::start_at);
        self.starts.set(index, at, self.now);
    }

    fn review_fetches(&mut self, index: usize, class: Class) {
        let at = self.lanes.get(index).and_then(|lane| lane.line(class).look_at(self.window));
        self.fetches.set(index * CLASSES.len() + class as usize, at, self.now);
    }
}
