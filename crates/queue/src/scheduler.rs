//! Which message starts next, in which lane, and how much of it. Holds ids and what messages cost, never a message; the
//! spool is the truth.
//!
//! A pool has three lines (urgent, new, deferred), each a bounded window onto the spool: what does not fit stays there and is
//! fetched (`Refill`) when the line runs low. Free lanes take from the lines in turn by weight (urgent 4, new 3, deferred 1;
//! a line that is empty lends its turns), so that none starves.
//!
//! A lane may start an attempt when it has a connection free, does not rest, nothing that it needs is open, and every budget
//! that it draws on bears the message, or a part of it worth sending. What is granted is reserved from the start of the
//! attempt; what was used counts from its end until a window later. So the remote, wherever in between it counts, never sees
//! more than the limit in any window.
//!
//! In: arrivals, what was claimed, ends of attempts, operators' words, `now`. Out: what to start, to fetch, to postpone and
//! to remember, when to look again, what changed. Never: a clock, a message, a word of Microsoft's.

mod adaptive;
mod agenda;
mod breaker;
mod budget;
mod ended;
mod forecast;
mod lane;
mod line;
mod memory;
mod pool;
mod rest;
mod status;
mod traffic;
mod ways;
mod window;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use self::agenda::Agenda;
use self::line::Line;
use self::memory::{Memories, Memory};
use self::pool::{Head, Pool};
use self::ways::{Chance, Ways};

pub use self::status::{BreakerStatus, BudgetStatus, Change, Forecast, LaneStatus, Status};
use crate::retry::later;
use crate::{BudgetName, Class, Cost, LaneDepth, LaneName, LaneVerdict, MessageId, Plan, Spend};

/// For all pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Messages in memory for each line of a pool. Default 1,000.
    pub window: usize,
}

/// Start this attempt now: what it may spend is reserved.
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
    /// Which pool.
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
    pool_indices: HashMap<LaneName, usize>,
    lane_indices: HashMap<LaneName, usize>,
    budget_indices: HashMap<BudgetName, usize>,
    pools: Vec<Pool>,
    ways: Ways,
    /// Pools that may start an attempt, by index.
    starts: Agenda,
    /// Lines that must be looked at for a fetch, by index of the pool × 3 + that of the class.
    fetches: Agenda,
    postponed: VecDeque<Postpone>,
    memories: Memories,
    /// The time as last heard.
    now: Timestamp,
}

const CLASSES: [Class; 3] = [Class::Urgent, Class::New, Class::Deferred];

impl Scheduler {
    /// How the keys begin that the scheduler remembers things under.
    pub const REMEMBERED: &'static str = "scheduler/";

    /// No mail yet.
    pub fn new(settings: SchedulerSettings, plan: Plan) -> Self {
        let ways = Ways::new(&plan);
        let lanes_of = |pool: usize| {
            let lanes = ways.lanes.iter().enumerate().filter(|(_, lane)| lane.pool == pool);
            lanes.map(|(lane, _)| lane).collect()
        };
        let names = plan.pools.iter().map(|pool| pool.name.clone()).enumerate();
        let pools: Vec<_> = names.map(|(index, name)| Pool::new(name, lanes_of(index))).collect();
        Self {
            window: settings.window.max(1),
            pool_indices: pools.iter().enumerate().map(|(index, pool)| (pool.name.clone(), index)).collect(),
            lane_indices: ways.lanes.iter().enumerate().map(|(index, l)| (l.settings.name.clone(), index)).collect(),
            budget_indices: ways.budgets.iter().enumerate().map(|(index, b)| (b.name().clone(), index)).collect(),
            starts: Agenda::new(pools.len()),
            fetches: Agenda::new(pools.len() * CLASSES.len()),
            pools,
            ways,
            postponed: VecDeque::new(),
            memories: Memories::default(),
            now: Timestamp::MIN,
        }
    }

    /// Whether a pool of that name is configured.
    pub fn knows(&self, pool: &LaneName) -> bool {
        self.pool_indices.contains_key(pool)
    }

    /// A message just accepted (leased to us). False: its line's window is full or unfetched mail stands before it; give the
    /// lease back before the next `poll_refill`, it will be fetched in its turn.
    #[must_use]
    pub fn handle_arrival(&mut self, pool: &LaneName, class: Class, id: MessageId, cost: Cost) -> bool {
        let (window, now) = (self.window, self.now);
        let Some(index) = self.pool_indices.get(pool).copied() else { return false };
        let Some(it) = self.pools.get_mut(index) else { return false };
        it.traffic.arrive(&cost, now);
        let taken = it.line_mut(class).arrive(id, cost, window);
        self.review_starts(index);
        self.review_fetches(index, class);
        taken
    }

    /// Answer to a `Refill`, in the spool's order. `messages`: as claimed; fewer than `refill.max` means that the line has no
    /// more due now, and `next_due` says when to look again.
    pub fn handle_claimed(
        &mut self,
        refill: &Refill,
        messages: &[(MessageId, Cost)],
        next_due: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.hear(now);
        let all = messages.len() < refill.max;
        self.with_line(&refill.lane, refill.class, |line, now| line.fetched(messages, all, next_due, now));
    }

    /// The claim failed (spool closed): ask again after a while.
    pub fn handle_claim_failed(&mut self, refill: &Refill, retry_at: Timestamp) {
        self.with_line(&refill.lane, refill.class, |line, _| line.fetch_failed(retry_at));
    }

    /// A message was recorded as deferred until then, or released: the line must be looked at then.
    pub fn handle_due_at(&mut self, pool: &LaneName, class: Class, due_at: Timestamp) {
        self.with_line(pool, class, |line, now| line.due(due_at, now));
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
        self.hear(now);
        let Some(index) = self.lane_indices.get(lane).copied() else { return Vec::new() };
        let then = self.ways.end(index, id, verdict, used, now);
        then.memories.into_iter().for_each(|memory| self.memories.note(memory));
        self.review_after(index, then.breakers);
        then.changes
    }

    /// What the ledger knows of the time before the start, at most as old as the longest window; before anything else.
    pub fn handle_ledger(&mut self, spent: &[Spend], now: Timestamp) {
        self.hear(now);
        for Spend { budget, at, amount } in spent {
            let Some(index) = self.budget_indices.get(budget).copied() else { continue };
            if self.ways.budgets.get_mut(index).is_some_and(|budget| budget.spend(*amount, false, *at, now)) {
                self.memories.note(Memory::FirstUse(index));
            }
        }
        self.review_all();
    }

    /// What `poll_remember` gave before a restart; before anything else. What cannot be read is dropped.
    pub fn handle_remembered(&mut self, key: &str, value: &str, now: Timestamp) {
        self.hear(now);
        if !self.ways.recall(key, value, now) {
            self.memories.note(Memory::Stale(key.to_owned()));
        }
        self.review_all();
    }

    /// What must survive a restart (limits learnt, open breakers, first uses), or is over (`None`): under keys that begin
    /// with [`Scheduler::REMEMBERED`]. Given once for each change.
    pub fn poll_remember(&mut self) -> Option<(String, Option<String>)> {
        self.memories.poll(&self.ways)
    }

    /// The next message that must make room, if any. Known after `poll_start`.
    pub fn poll_postponed(&mut self, now: Timestamp) -> Option<Postpone> {
        self.hear(now);
        self.postponed.pop_front()
    }

    /// When the mail that waits will have gone. `waiting`: what the spool says of its depth.
    pub fn forecast(&self, waiting: &[LaneDepth], now: Timestamp) -> Vec<Forecast> {
        forecast::forecast(&self.pools, &self.ways, waiting, now)
    }

    /// A message that stands in a line is taken away (hold, remove). False: it was not there.
    pub fn remove(&mut self, pool: &LaneName, id: MessageId) -> bool {
        CLASSES.into_iter().any(|class| self.with_line(pool, class, |line, _| line.remove(id)).unwrap_or(false))
    }

    /// An operator wants it probed now: the lane, all lanes of the pool, or all that the breaker of that name stops. Rest and
    /// pause are over for one message each. `name`: that of a lane, a pool or a breaker (`mailbox relay@contoso.com`, or
    /// without the first word). False: nothing is called that.
    pub fn probe_now(&mut self, name: &LaneName, now: Timestamp) -> bool {
        self.hear(now);
        let mut lanes: Vec<usize> = self.lane_indices.get(name).copied().into_iter().collect();
        if let Some(pool) = self.pool_indices.get(name).and_then(|index| self.pools.get(*index)) {
            lanes.extend(&pool.lanes);
        }
        let called = |breaker: &&breaker::Breaker| breaker.name.name == name.0 || *breaker.name.to_string() == *name.0;
        self.ways.breakers.iter().filter(called).for_each(|breaker| lanes.extend(&breaker.lanes));
        for lane in &lanes {
            self.ways.probe_now(*lane, now);
            self.review_after(*lane, true);
        }
        !lanes.is_empty()
    }

    /// The next attempt to start, if any. Pools take turns.
    pub fn poll_start(&mut self, now: Timestamp) -> Option<Start> {
        self.hear(now);
        while let Some(index) = self.starts.take(now) {
            let started = self.start(index, now);
            self.review(index);
            if started.is_some() {
                return started;
            }
        }
        None
    }

    /// The next line to fetch, if any. Each is given once until it is answered.
    pub fn poll_refill(&mut self, now: Timestamp) -> Option<Refill> {
        self.hear(now);
        while let Some(key) = self.fetches.take(now) {
            let (index, class) = (key / CLASSES.len(), *CLASSES.get(key % CLASSES.len())?);
            let Some(pool) = self.pools.get_mut(index) else { continue };
            let max = pool.line_mut(class).ask(self.window, now);
            let lane = pool.name.clone();
            self.review_fetches(index, class);
            if let Some(max) = max {
                return Some(Refill { lane, class, max });
            }
        }
        None
    }

    /// When `poll_start`, `poll_refill` or `poll_postponed` may have something without any input; `None`: never.
    pub fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        let postponed = self.postponed.front().map(|_| now);
        postponed.into_iter().chain(self.starts.earliest(now)).chain(self.fetches.earliest(now)).min()
    }

    /// See there.
    pub fn status(&self, now: Timestamp) -> Status {
        self.ways.status(&self.pools, now)
    }

    /// Ids waiting in memory, to give back their leases on shutdown.
    pub fn drain(&mut self) -> Vec<MessageId> {
        let mut ids: Vec<_> = self.postponed.drain(..).map(|postponed| postponed.id).collect();
        ids.extend(self.pools.iter_mut().flat_map(Pool::lines_mut).flat_map(Line::drain));
        self.review_all();
        ids
    }

    /// Starts what the pool can start now, or takes out what must make room.
    fn start(&mut self, index: usize, now: Timestamp) -> Option<Start> {
        let pool = self.pools.get_mut(index)?;
        match self.ways.chance(pool, index, now) {
            Chance::Start(chosen) => {
                self.ways.start(&chosen, now);
                match chosen.turn {
                    Some(except) => pool.take_in_turn(&chosen.head, except),
                    None => pool.take(&chosen.head),
                }
                let lane = self.ways.lane_name(chosen.lane)?;
                let (id, probe, grant) = (chosen.head.id, chosen.probe, chosen.grant);
                Some(Start { pool: pool.name.clone(), lane, id, probe, grant })
            }
            Chance::Postpone(head, budget) => {
                self.postpone(index, &head, budget, now);
                None
            }
            Chance::Wait(_) => None,
        }
    }

    fn postpone(&mut self, index: usize, head: &Head, budget: usize, now: Timestamp) {
        let (Some(pool), Some(budget)) = (self.pools.get_mut(index), self.ways.budgets.get_mut(budget)) else { return };
        pool.take(head);
        let until = budget.promise(head.cost.of(budget.counts()), head.class, now);
        let (pool, budget) = (pool.name.clone(), budget.name().clone());
        self.postponed.push_back(Postpone { pool, id: head.id, until, budget });
    }

    /// Takes note of the time. If the clock was set back, waits keep their length.
    fn hear(&mut self, now: Timestamp) {
        let by = Duration::try_from(self.now.duration_since(now)).unwrap_or_default();
        self.now = now;
        if by < Duration::from_secs(1) {
            return;
        }
        self.ways.set_back(by);
        self.pools.iter_mut().for_each(|pool| pool.set_back(by, now));
        self.review_all();
    }

    /// Changes a line and sees to what follows from it. `None`: no such pool.
    fn with_line<T>(
        &mut self,
        pool: &LaneName,
        class: Class,
        change: impl FnOnce(&mut Line, Timestamp) -> T,
    ) -> Option<T> {
        let index = *self.pool_indices.get(pool)?;
        let result = change(self.pools.get_mut(index)?.line_mut(class), self.now);
        self.review_starts(index);
        self.review_fetches(index, class);
        Some(result)
    }

    fn review_all(&mut self) {
        (0..self.pools.len()).for_each(|index| self.review(index));
    }

    fn review(&mut self, index: usize) {
        self.review_starts(index);
        CLASSES.into_iter().for_each(|class| self.review_fetches(index, class));
    }

    /// Something changed in that lane: its pool may start something, and those that waited for a budget of it; those that
    /// share a breaker with it too.
    fn review_after(&mut self, lane: usize, breakers: bool) {
        let Some(it) = self.ways.lanes.get(lane) else { return };
        let (pool, budgets) = (it.pool, it.budgets.len());
        self.review_starts(pool);
        for place in 0..budgets {
            let index = self.ways.lanes.get(lane).and_then(|it| it.budgets.get(place)).copied();
            let budget = index.and_then(|index| self.ways.budgets.get_mut(index));
            let waiters = budget.map(budget::Budget::take_waiters).unwrap_or_default();
            waiters.into_iter().for_each(|waiter| self.review_starts(waiter));
        }
        if breakers {
            let mut pools = self.ways.sharers(lane);
            pools.dedup();
            pools.into_iter().for_each(|pool| self.review_starts(pool));
        }
    }

    fn review_starts(&mut self, index: usize) {
        let now = self.now;
        let Some(pool) = self.pools.get(index) else { return };
        let at = match self.ways.chance(pool, index, now) {
            Chance::Start(_) | Chance::Postpone(..) => Some(now),
            // A moment too late is better than turning round and round.
            Chance::Wait(at) => at.map(|at| at.max(later(now, Duration::from_millis(1)))),
        };
        self.starts.set(index, at, now);
    }

    fn review_fetches(&mut self, index: usize, class: Class) {
        let at = self.pools.get(index).and_then(|pool| pool.line(class).look_at(self.window));
        self.fetches.set(index * CLASSES.len() + class as usize, at, self.now);
    }
}
