//! The scheduler as the queue manager drives it: turns, budgets, refusals, rests, breakers, restarts, in time that is only a
//! number.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests panic like tests")]

mod adaptive;
mod breakers;
mod budgets;
mod far_side;
mod forecast;
mod histories;
mod pools;
mod restarts;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use jiff::Timestamp;
use posthouse_queue::{
    BreakerName, BudgetName, BudgetSettings, Change, Class, Cost, Counted, Excess, LaneName, LaneSettings, LaneVerdict,
    MessageId, Pause, Plan, PoolSettings, Refill, Scheduler, SchedulerSettings, Scope, Start, Throttle, Unconfirmed,
};

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn at(milliseconds: u64) -> Timestamp {
    START + Duration::from_millis(milliseconds)
}

fn id(n: usize) -> MessageId {
    MessageId::from_i64(n as i64).unwrap()
}

fn name(text: &str) -> LaneName {
    LaneName(text.into())
}

fn budget_name(text: &str) -> BudgetName {
    BudgetName(text.into())
}

fn breaker(scope: Scope, text: &str) -> BreakerName {
    BreakerName { scope, name: text.into() }
}

/// So many recipients, of them so many external.
fn cost(recipients: u32, external: u32) -> Cost {
    Cost { messages: 1, recipients, external, external_under_provider_domain: 0 }
}

fn budget(text: &str, counts: Counted, window: Duration, limit: u64) -> BudgetSettings {
    BudgetSettings { name: budget_name(text), counts, window, limit, reserve: 0, warm_up: None }
}

/// A lane without budgets and breakers.
fn bare(text: &str, connections: usize) -> LaneSettings {
    LaneSettings {
        name: name(text),
        connections,
        budgets: Vec::new(),
        breakers: Vec::new(),
        unconfirmed: Unconfirmed::Resend,
        null_reverse_path: false,
        mailbox: None,
    }
}

fn drawing_on(budgets: &[&str], lane: LaneSettings) -> LaneSettings {
    LaneSettings { budgets: budgets.iter().map(|text| budget_name(text)).collect(), ..lane }
}

fn needing(breakers: &[BreakerName], lane: LaneSettings) -> LaneSettings {
    LaneSettings { breakers: breakers.to_vec(), ..lane }
}

fn pool(text: &str, lanes: Vec<LaneSettings>) -> PoolSettings {
    PoolSettings {
        name: name(text),
        lanes,
        tenant: "contoso".into(),
        internal_domains: ["contoso.com".to_owned()].into(),
        provider_domain: None,
    }
}

/// Pools of one lane each, which have its name.
fn plan(budgets: Vec<BudgetSettings>, lanes: Vec<LaneSettings>) -> Plan {
    let pools = lanes.into_iter().map(|lane| pool(&lane.name.to_string(), vec![lane])).collect();
    Plan { budgets, pools }
}

/// A lane alone in its pool, with its messages a minute.
fn lane(text: &str, connections: usize, messages_per_minute: Option<u64>) -> (LaneSettings, Option<BudgetSettings>) {
    let per_minute = format!("{text}/messages a minute");
    match messages_per_minute {
        None => (bare(text, connections), None),
        Some(limit) => {
            let lane = drawing_on(&[&per_minute], bare(text, connections));
            (lane, Some(budget(&per_minute, Counted::Messages, MINUTE, limit)))
        }
    }
}

fn scheduler(window: usize, lanes: Vec<(LaneSettings, Option<BudgetSettings>)>) -> Driver {
    let (lanes, budgets): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
    Driver::new(window, plan(budgets.into_iter().flatten().collect(), lanes))
}

fn pause_of(scope: Scope, code: &str, seconds: u64) -> LaneVerdict {
    LaneVerdict::Paused(Pause {
        scope,
        reason: "refused".to_owned(),
        remedy: "renew".to_owned(),
        code: code.to_owned(),
        probe_after: Duration::from_secs(seconds),
    })
}

fn pause(code: &str, seconds: u64) -> LaneVerdict {
    pause_of(Scope::Path, code, seconds)
}

fn rest(seconds: u64) -> LaneVerdict {
    LaneVerdict::Rest { wait: Duration::from_secs(seconds), reason: "the link broke".to_owned() }
}

fn throttled(what: Excess, wait: Option<u64>) -> LaneVerdict {
    LaneVerdict::Throttled(Throttle {
        what,
        wait: wait.map(Duration::from_secs),
        reason: "432 too much".to_owned(),
        remedy: "less".to_owned(),
        code: "4.3.2".to_owned(),
    })
}

fn fill(scheduler: &mut Driver, lane: &str, class: Class, ids: std::ops::Range<usize>) {
    fill_with(scheduler, lane, class, ids, cost(1, 0));
}

fn fill_with(scheduler: &mut Driver, lane: &str, class: Class, ids: std::ops::Range<usize>, cost: Cost) {
    for n in ids {
        assert!(scheduler.handle_arrival(&name(lane), class, id(n), cost));
    }
}

/// The scheduler, and the attempts that it has started.
struct Driver {
    it: Scheduler,
    under_way: HashMap<LaneName, VecDeque<Start>>,
}

impl Driver {
    fn new(window: usize, plan: Plan) -> Self {
        Self { it: Scheduler::new(SchedulerSettings { window }, plan), under_way: HashMap::new() }
    }

    fn poll_start(&mut self, now: Timestamp) -> Option<Start> {
        let start = self.it.poll_start(now)?;
        self.under_way.entry(start.lane.clone()).or_default().push_back(start.clone());
        Some(start)
    }

    /// Starts all that may start, and says in which lanes.
    fn start_all(&mut self, now: Timestamp) -> Vec<Start> {
        std::iter::from_fn(|| self.poll_start(now)).collect()
    }

    /// The oldest attempt of the lane ends. If it reached MAIL, it has used up all of its message.
    fn end(&mut self, lane: &str, verdict: &LaneVerdict, reached_mail: bool, now: Timestamp) -> Vec<Change> {
        let used = if reached_mail { cost(1, 0) } else { Cost::default() };
        let id = self.under_way.get(&name(lane)).and_then(|starts| starts.front()).map(|start| start.id);
        self.end_of(lane, id.expect("nothing under way"), verdict, used, now)
    }

    fn end_of(&mut self, lane: &str, id: MessageId, verdict: &LaneVerdict, used: Cost, now: Timestamp) -> Vec<Change> {
        self.under_way.get_mut(&name(lane)).unwrap().retain(|start| start.id != id);
        self.it.handle_attempt_ended(&name(lane), id, verdict, used, now)
    }

    fn remembered(&mut self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        self.write_down(&mut all);
        all
    }

    fn write_down(&mut self, all: &mut BTreeMap<String, String>) {
        while let Some((key, value)) = self.it.poll_remember() {
            match value {
                Some(value) => all.insert(key, value),
                None => all.remove(&key),
            };
        }
    }
}

impl Deref for Driver {
    type Target = Scheduler;
    fn deref(&self) -> &Scheduler {
        &self.it
    }
}

impl DerefMut for Driver {
    fn deref_mut(&mut self) -> &mut Scheduler {
        &mut self.it
    }
}

/// The spool as far as the scheduler can tell: what is due when, what is leased.
#[derive(Default)]
struct Store {
    waiting: BTreeMap<(LaneName, Class), BTreeSet<(Timestamp, MessageId)>>,
    costs: HashMap<MessageId, Cost>,
}

impl Store {
    fn put(&mut self, lane: &LaneName, class: Class, due: Timestamp, id: MessageId) {
        assert!(self.waiting.entry((lane.clone(), class)).or_default().insert((due, id)));
    }

    fn claim(&mut self, refill: &Refill, now: Timestamp) -> (Vec<(MessageId, Cost)>, Option<Timestamp>) {
        let line = self.waiting.entry((refill.lane.clone(), refill.class)).or_default();
        let due: Vec<_> = line.iter().take_while(|(due, _)| *due <= now).take(refill.max).copied().collect();
        due.iter().for_each(|entry| assert!(line.remove(entry)));
        let costs = &self.costs;
        let cost = |id| (id, costs.get(&id).copied().unwrap_or(cost(1, 0)));
        (due.into_iter().map(|(_, id)| cost(id)).collect(), line.first().map(|(due, _)| *due))
    }
}

/// A number below that, the next of a row that the seed determines.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}
