//! When the mail that waits will have gone, and which budget ends before.
//!
//! The drain is played through in steps of time, for all pools together since they may share budgets: what counts in the
//! windows now and when it will count no more, how fast the lanes were of late, and how large the messages are. A window
//! much longer than a step is kept entry by entry; a shorter one is a rate.
//!
//! Twice: once with the mail that waits, for when it has gone; once with as much mail coming as of late, for a day, for which
//! budget ends.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::Forecast;
use super::budget::Budget;
use super::pool::Pool;
use super::traffic::Sums;
use super::ways::Ways;
use crate::retry::later;
use crate::{BudgetName, Class, Counted, LaneDepth};

/// Budgets with a shorter window end all the time; nobody needs to know.
const TOLD: Duration = Duration::from_secs(3_600);
/// How far the budgets are looked at, if mail comes as of late.
const AHEAD: f64 = 24.0 * 3_600.0;
/// No drain is looked at for longer.
const HORIZON: f64 = 60.0 * 24.0 * 3_600.0;
/// Steps times lanes, at most: this bounds the time that it takes.
const WORK: usize = 200_000;
const FEWEST_STEPS: usize = 400;
const MOST_STEPS: usize = 8_000;
/// A window is kept entry by entry if it is so many steps long.
const STEPS_OF_WINDOW: f64 = 10.0;

/// One run. Times are seconds from its start.
struct Run {
    pools: Vec<PoolRun>,
    lanes: Vec<LaneRun>,
    budgets: Vec<BudgetRun>,
    step: f64,
}

struct PoolRun {
    /// Its place among the pools of the scheduler.
    index: usize,
    lanes: Vec<usize>,
    backlog: f64,
    /// Messages a second that come.
    arrivals: f64,
    /// Nothing is due before.
    from: f64,
    size: Size,
    gone_at: Option<f64>,
    short: Option<(usize, f64)>,
}

struct LaneRun {
    /// Messages in a second.
    speed: f64,
    from: f64,
    budgets: Vec<usize>,
}

struct BudgetRun {
    /// Its place among the budgets of the scheduler.
    index: usize,
    counted: Counted,
    limit: f64,
    window: f64,
    used: f64,
    /// When how much counts no more.
    losses: VecDeque<(f64, f64)>,
    /// It is shorter than a few steps: only this much goes in one.
    rate: Option<f64>,
    left_in_step: f64,
    from: f64,
    told: bool,
}

/// What the mean message costs.
#[derive(Clone, Copy)]
struct Size {
    recipients: f64,
    external: f64,
    external_under_provider_domain: f64,
}

/// Of all pools that have mail waiting, or a budget that ends.
pub(super) fn forecast(pools: &[Pool], ways: &Ways, waiting: &[LaneDepth], now: Timestamp) -> Vec<Forecast> {
    let depths: HashMap<_, _> = waiting.iter().map(|depth| (&depth.lane, depth)).collect();
    let mut drain = Run::new(pools, ways, &depths, false, now);
    drain.play(HORIZON, true);
    let mut coming = Run::new(pools, ways, &depths, true, now);
    coming.play(AHEAD, false);
    let mut ends: HashMap<usize, (usize, f64)> = HashMap::new();
    for pool in drain.pools.iter().chain(&coming.pools) {
        if let Some((budget, at)) = pool.short {
            let known = ends.entry(pool.index).or_insert((budget, at));
            *known = if known.1 <= at { *known } else { (budget, at) };
        }
    }
    let name = |budget: usize| ways.budgets.get(budget).map(|budget| budget.name().clone());
    let mut forecasts = Vec::new();
    for (index, pool) in pools.iter().enumerate() {
        let messages = depths.get(&pool.name).map_or(0, |depth| depth.messages);
        let short: Option<(BudgetName, Timestamp)> =
            ends.get(&index).and_then(|(budget, at)| Some((name(*budget)?, after(now, *at))));
        if messages == 0 && short.is_none() {
            continue;
        }
        let run = drain.pools.iter().find(|run| run.index == index);
        let drained_at = if messages == 0 { Some(now) } else { run.and_then(|r| r.gone_at).map(|at| after(now, at)) };
        forecasts.push(Forecast { pool: pool.name.clone(), messages, drained_at, short });
    }
    forecasts
}

impl Run {
    fn new(
        pools: &[Pool],
        ways: &Ways,
        depths: &HashMap<&crate::LaneName, &LaneDepth>,
        coming: bool,
        now: Timestamp,
    ) -> Self {
        let mut run = Self { pools: Vec::new(), lanes: Vec::new(), budgets: Vec::new(), step: 1.0 };
        let mut known = HashMap::new();
        for (index, pool) in pools.iter().enumerate() {
            let depth = depths.get(&pool.name);
            let arrivals = if coming { pool.traffic.arrivals_per_second(now) } else { 0.0 };
            if depth.is_none_or(|depth| depth.messages == 0) && arrivals == 0.0 {
                continue;
            }
            let mut lanes = Vec::new();
            for lane in &pool.lanes {
                if let Some(lane) = run.add_lane(ways, *lane, &mut known, now) {
                    lanes.push(lane);
                }
            }
            let from = depth.and_then(|depth| depth.next_due_at).map_or(0.0, |at| until(now, at));
            let backlog = depth.map_or(0.0, |depth| depth.messages as f64);
            let size = Size::of(pool);
            run.pools.push(PoolRun { index, lanes, backlog, arrivals, from, size, gone_at: None, short: None });
        }
        run
    }

    /// `None`: nothing goes out there, or nobody can say how fast.
    fn add_lane(
        &mut self,
        ways: &Ways,
        index: usize,
        known: &mut HashMap<usize, usize>,
        now: Timestamp,
    ) -> Option<usize> {
        let lane = ways.lanes.get(index)?;
        // How long a link stays broken, nobody knows; a wait that the remote asked for ends.
        if lane.rest.is_some() || ways.breakers_of(index).any(|breaker| breaker.open.is_some()) {
            return None;
        }
        let drawn_on = lane.budgets.iter().filter_map(|index| Some((*index, ways.budgets.get(*index)?)));
        let awake: Vec<_> = drawn_on.filter(|(_, budget)| !budget.is_asleep()).collect();
        let speed = lane.mean_seconds.map(|mean| lane.permitted() as f64 / mean.max(0.001));
        if speed.is_none() && !awake.iter().any(|(_, budget)| budget.counts() == Counted::Messages) {
            return None;
        }
        let mut budgets = Vec::new();
        for (index, budget) in awake {
            budgets.push(*known.entry(index).or_insert_with(|| {
                self.budgets.push(BudgetRun::new(index, budget, now));
                self.budgets.len() - 1
            }));
        }
        let from = lane.resting(now).map_or(0.0, |(at, _)| until(now, at));
        self.lanes.push(LaneRun { speed: speed.unwrap_or(f64::INFINITY), from, budgets });
        Some(self.lanes.len() - 1)
    }

    /// `drain`: until nothing waits; else to the horizon.
    fn play(&mut self, horizon: f64, drain: bool) {
        let steps = (WORK / self.lanes.len().max(1)).clamp(FEWEST_STEPS, MOST_STEPS);
        let length = if drain { self.estimate().min(horizon) } else { horizon };
        // The estimate may be short by a window or two.
        let planned = if drain { steps / 4 } else { steps.min(MOST_STEPS / 8) };
        self.step = (length / planned.max(1) as f64).max(1.0);
        let step = self.step;
        self.budgets.iter_mut().for_each(|budget| budget.begin(step));
        for n in 0..steps {
            let at = n as f64 * self.step;
            if at > horizon || (drain && self.pools.iter().all(|pool| pool.gone_at.is_some() || pool.lanes.is_empty()))
            {
                return;
            }
            self.budgets.iter_mut().for_each(|budget| budget.turn(at, step));
            for place in 0..self.pools.len() {
                self.drain_pool(place, at);
            }
        }
    }

    fn drain_pool(&mut self, place: usize, at: f64) {
        let Some(pool) = self.pools.get_mut(place) else { return };
        pool.backlog += pool.arrivals * self.step;
        if at + self.step <= pool.from || pool.backlog <= 0.0 {
            return;
        }
        let mut blocked = None;
        for lane in &pool.lanes {
            let Some(lane) = self.lanes.get(*lane).filter(|lane| lane.from < at + self.step) else { continue };
            let mut go = pool.backlog.min(lane.speed * self.step);
            for index in &lane.budgets {
                let Some(budget) = self.budgets.get(*index) else { continue };
                let cost = pool.size.counted(budget.counted);
                let bearable = if cost > 0.0 { budget.free(at) / cost } else { f64::INFINITY };
                if bearable < go {
                    go = bearable.max(0.0);
                    blocked = if budget.told { Some(budget.index) } else { blocked };
                }
            }
            for index in &lane.budgets {
                let Some(budget) = self.budgets.get_mut(*index) else { continue };
                budget.spend(go * pool.size.counted(budget.counted), at);
            }
            pool.backlog -= go;
        }
        if pool.backlog < 0.5 && pool.arrivals == 0.0 && pool.gone_at.is_none() {
            pool.gone_at = Some(at);
            pool.backlog = 0.0;
        } else if let Some(budget) = blocked.filter(|_| pool.backlog >= 0.5 && pool.short.is_none()) {
            pool.short = Some((budget, at));
        }
    }

    /// How long it may take, roughly: as long as the slowest pool, or the budget with most to bear.
    fn estimate(&self) -> f64 {
        let mut longest: f64 = 60.0;
        let mut wanted = vec![0.0; self.budgets.len()];
        for pool in &self.pools {
            let lanes = || pool.lanes.iter().filter_map(|lane| self.lanes.get(*lane));
            let speed: f64 = lanes().map(|lane| lane.speed).sum();
            longest = longest.max(pool.from + pool.backlog / speed.max(0.001));
            let part = pool.backlog / pool.lanes.len().max(1) as f64;
            for index in lanes().flat_map(|lane| &lane.budgets) {
                if let (Some(wanted), Some(budget)) = (wanted.get_mut(*index), self.budgets.get(*index)) {
                    *wanted += part * pool.size.counted(budget.counted);
                }
            }
        }
        for (wanted, budget) in wanted.into_iter().zip(&self.budgets) {
            if wanted > budget.limit - budget.used {
                longest = longest.max(budget.from + wanted / budget.limit * budget.window + budget.window);
            }
        }
        longest
    }
}

impl BudgetRun {
    fn new(index: usize, budget: &Budget, now: Timestamp) -> Self {
        let start = now.as_millisecond();
        let losses = budget.window().losses().filter(|(at, _)| *at > start);
        let losses: VecDeque<_> = losses.map(|(at, n)| ((at - start) as f64 / 1_000.0, n as f64)).collect();
        Self {
            index,
            counted: budget.counts(),
            limit: budget.bearable(Class::New, budget.limit(now)) as f64,
            window: budget.settings().window.as_secs_f64(),
            used: losses.iter().map(|(_, amount)| amount).sum(),
            losses,
            rate: None,
            left_in_step: 0.0,
            from: budget.hold_until().map_or(0.0, |at| until(now, at)),
            told: budget.settings().window >= TOLD,
        }
    }

    fn begin(&mut self, step: f64) {
        if self.window < STEPS_OF_WINDOW * step {
            self.rate = Some(self.limit / self.window);
            self.left_in_step = (self.limit - self.used).max(0.0);
        }
    }

    fn turn(&mut self, at: f64, step: f64) {
        while let Some((_, amount)) = self.losses.pop_front_if(|(lost_at, _)| *lost_at <= at) {
            self.used -= amount;
        }
        // What a slow drain leaves of one step is there in the next.
        self.left_in_step = self.rate.map_or(0.0, |rate| (self.left_in_step + rate * step).min(self.limit));
    }

    fn free(&self, at: f64) -> f64 {
        if self.from > at {
            return 0.0;
        }
        match self.rate {
            Some(_) => self.left_in_step,
            None => (self.limit - self.used).floor().max(0.0),
        }
    }

    fn spend(&mut self, amount: f64, at: f64) {
        if self.rate.is_some() {
            self.left_in_step -= amount;
            return;
        }
        self.used += amount;
        if amount > 0.0 {
            self.losses.push_back((at + self.window, amount));
        }
    }
}

impl Size {
    /// From what came of late, and from what stands in the lines.
    fn of(pool: &Pool) -> Self {
        let mut sums: Sums = pool.traffic.sizes();
        if sums.messages == 0 {
            pool.costs().for_each(|cost| sums.add(cost));
        }
        let messages = sums.messages.max(1) as f64;
        Self {
            recipients: (sums.recipients as f64 / messages).max(1.0),
            external: sums.external as f64 / messages,
            external_under_provider_domain: sums.external_under_provider_domain as f64 / messages,
        }
    }

    fn counted(&self, counted: Counted) -> f64 {
        match counted {
            Counted::Messages => 1.0,
            Counted::Recipients => self.recipients,
            Counted::External => self.external,
            Counted::ExternalUnderProviderDomain => self.external_under_provider_domain,
        }
    }
}

fn until(now: Timestamp, at: Timestamp) -> f64 {
    at.duration_since(now).as_secs_f64().max(0.0)
}

fn after(now: Timestamp, seconds: f64) -> Timestamp {
    later(now, Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
