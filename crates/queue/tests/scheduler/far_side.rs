//! A far side with limits of its own, and a relay that sends to it, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// What it enforces. It counts what it takes at some instant of the attempt.
pub(crate) struct FarSide {
    pub(crate) messages_per_minute: Option<usize>,
    pub(crate) recipients_per_day: Option<u64>,
    pub(crate) connections: Option<usize>,
    /// Of 100,000 messages it refuses so many for no reason.
    pub(crate) at_random: u64,
    /// What it refuses counts as well.
    pub(crate) counts_refused: bool,
    /// `None`: it does not say what was too much.
    pub(crate) says: bool,
    pub(crate) taken: VecDeque<(Timestamp, u64)>,
    pub(crate) taken_today: u64,
    pub(crate) minute: VecDeque<Timestamp>,
    pub(crate) open: usize,
}

impl Default for FarSide {
    fn default() -> Self {
        Self {
            messages_per_minute: None,
            recipients_per_day: None,
            connections: None,
            at_random: 0,
            counts_refused: false,
            says: true,
            taken: VecDeque::new(),
            taken_today: 0,
            minute: VecDeque::new(),
            open: 0,
        }
    }
}

impl FarSide {
    /// Takes a message, or says what was too much.
    fn judge(&mut self, recipients: u64, dice: u64, now: Timestamp) -> Option<Excess> {
        while self.minute.pop_front_if(|at| *at + MINUTE <= now).is_some() {}
        while let Some((_, amount)) = self.taken.pop_front_if(|(at, _)| *at + DAY <= now) {
            self.taken_today -= amount;
        }
        let excess = if self.connections.is_some_and(|most| self.open > most) {
            Some(Excess::Connections)
        } else if self.messages_per_minute.is_some_and(|most| self.minute.len() >= most) || dice < self.at_random {
            Some(Excess::Of(Counted::Messages))
        } else if self.recipients_per_day.is_some_and(|most| self.taken_today + recipients > most) {
            Some(Excess::Of(Counted::Recipients))
        } else {
            None
        };
        if excess.is_none() || self.counts_refused {
            self.minute.push_back(now);
        }
        if excess.is_none() {
            self.taken.push_back((now, recipients));
            self.taken_today += recipients;
        }
        excess.map(|excess| if self.says { excess } else { Excess::Unknown })
    }
}

/// How much mail there is.
#[derive(Clone, Copy)]
pub(crate) enum Demand {
    /// Always more than can go.
    Endless,
    /// So many messages at once, at such intervals.
    Bursts(usize, Duration),
}

enum Event {
    Judged(Start),
    Ended(Start, Option<Excess>),
    Burst,
}

/// What happened since `counts` was last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) taken: usize,
    pub(crate) refused: usize,
    pub(crate) recipients: u64,
}

impl Counts {
    /// Refusals in ten thousand attempts.
    pub(crate) fn refused_of_10_000(&self) -> usize {
        10_000 * self.refused / (self.taken + self.refused).max(1)
    }
}

/// A relay with one lane called `a`, and what it sends to.
pub(crate) struct Simulation {
    pub(crate) driver: Driver,
    pub(crate) far_side: FarSide,
    pub(crate) now: Timestamp,
    pub(crate) recipients: u32,
    /// An attempt takes from and to so many milliseconds.
    pub(crate) takes: (u64, u64),
    demand: Demand,
    counts: Counts,
    events: BinaryHeap<Reverse<(Timestamp, usize)>>,
    pending: HashMap<usize, Event>,
    made: usize,
    waiting: usize,
    dice: Box<dyn FnMut(u64) -> u64>,
}

impl Simulation {
    pub(crate) fn new(plan: Plan, far_side: FarSide, demand: Demand, seed: u64) -> Self {
        let mut it = Self {
            driver: Driver::new(1_000, plan),
            far_side,
            now: START,
            recipients: 1,
            takes: (100, 700),
            demand,
            counts: Counts::default(),
            events: BinaryHeap::new(),
            pending: HashMap::new(),
            made: 0,
            waiting: 0,
            dice: Box::new(dice(seed)),
        };
        it.plan_event(START, Event::Burst);
        it
    }

    /// Goes on for so long, and says what happened.
    pub(crate) fn run(&mut self, length: Duration) -> Counts {
        let end = self.now + length;
        loop {
            self.start_all();
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            let next = event.into_iter().chain(self.driver.next_wakeup(self.now)).min().unwrap_or(end);
            assert!(next > self.now || event == Some(self.now), "polled dry");
            if next >= end {
                self.now = end;
                return std::mem::take(&mut self.counts);
            }
            self.now = next;
            while let Some(Reverse((_, key))) = self.events.peek().filter(|event| event.0.0 <= self.now).copied() {
                self.events.pop();
                let event = self.pending.remove(&key).unwrap();
                self.happen(event);
            }
        }
    }

    pub(crate) fn limit(&self, budget: &str) -> u64 {
        let budgets = self.driver.status(self.now).budgets;
        budgets.iter().find(|status| status.name == budget_name(budget)).unwrap().limit
    }

    fn start_all(&mut self) {
        if let Demand::Endless = self.demand {
            self.arrive(20_usize.saturating_sub(self.waiting));
        }
        while let Some(start) = self.driver.poll_start(self.now) {
            self.far_side.open += 1;
            self.waiting -= 1;
            let (from, to) = self.takes;
            let takes = from + (self.dice)(to - from);
            let judged = self.now + Duration::from_millis((self.dice)(takes));
            let ended = self.now + Duration::from_millis(takes);
            self.plan_event(judged, Event::Judged(Start { ..start.clone() }));
            // The verdict is known by then.
            self.plan_event(ended, Event::Ended(start, None));
        }
    }

    fn plan_event(&mut self, at: Timestamp, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, self.made)));
        self.pending.insert(self.made, event);
    }

    fn arrive(&mut self, count: usize) {
        for _ in 0..count {
            self.made += 1;
            self.waiting += 1;
            let new = self.driver.handle_arrival(&name("a"), Class::New, id(self.made), cost(self.recipients, 0));
            assert!(new, "the window is large enough");
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Burst => {
                if let Demand::Bursts(count, every) = self.demand {
                    self.arrive(count.min(1_000 - self.waiting));
                    self.plan_event(self.now + every, Event::Burst);
                }
            }
            Event::Judged(start) => {
                let dice = (self.dice)(100_000);
                let recipients = u64::from(start.grant.recipients.min(self.recipients));
                let excess = self.far_side.judge(recipients, dice, self.now);
                let ended = self.pending.values_mut().find_map(|event| match event {
                    Event::Ended(other, verdict) if other.id == start.id => Some(verdict),
                    _ => None,
                });
                *ended.unwrap() = excess;
            }
            Event::Ended(start, excess) => self.end(&start, excess),
        }
    }

    fn end(&mut self, start: &Start, excess: Option<Excess>) {
        self.far_side.open -= 1;
        let recipients = start.grant.recipients.min(self.recipients);
        let (verdict, used) = match excess {
            None => {
                self.counts.taken += 1;
                self.counts.recipients += u64::from(recipients);
                (LaneVerdict::Healthy, cost(recipients, 0))
            }
            Some(excess) => {
                self.counts.refused += 1;
                (throttled(excess, None), cost(0, 0))
            }
        };
        self.driver.end_of("a", start.id, &verdict, used, self.now);
    }
}
