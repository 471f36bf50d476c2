//! What the end of an attempt means for its lane: what was spent, which limits hold, which breakers open and close.

use std::time::Duration;

use jiff::Timestamp;

use super::adaptive::Evidence;
use super::lane::UnderWay;
use super::memory::Memory;
use super::ways::Ways;
use crate::{Change, Cost, Counted, Excess, LaneVerdict, MessageId, Pause, Scope, Throttle};

/// What a lane is told of with that only rests.
const REST_CODE: &str = "rest";

/// What followed.
#[derive(Debug, Default)]
pub(super) struct Consequences {
    pub(super) changes: Vec<Change>,
    /// What must survive a restart, or is over.
    pub(super) memories: Vec<Memory>,
    /// All pools whose lanes share a breaker with this one must be looked at.
    pub(super) breakers: bool,
}

impl Ways {
    /// An attempt ended. Nothing follows if there was none.
    pub(super) fn end(
        &mut self,
        lane: usize,
        id: MessageId,
        verdict: &LaneVerdict,
        used: Cost,
        now: Timestamp,
    ) -> Consequences {
        let mut then = Consequences::default();
        let Some(attempt) = self.lanes.get_mut(lane).and_then(|lane| lane.end(id)) else { return then };
        self.book(lane, &attempt, verdict, used, now, &mut then);
        match verdict {
            LaneVerdict::Healthy => self.went_well(lane, &attempt, used, now, &mut then),
            LaneVerdict::Neutral => self.undecided(lane, &attempt, None, now, &mut then),
            LaneVerdict::Rest { wait, reason } => {
                if attempt.probe {
                    self.probe_must_rest(lane, *wait, reason, now, &mut then);
                } else {
                    self.must_rest(lane, &attempt, *wait, reason, now, &mut then);
                }
            }
            LaneVerdict::Throttled(throttle) => {
                self.undecided(lane, &attempt, throttle.wait, now, &mut then);
                self.throttled(lane, &attempt, throttle, now, &mut then);
            }
            LaneVerdict::Paused(pause) => self.paused(lane, &attempt, pause, now, &mut then),
        }
        then
    }

    /// The reservation becomes what was spent.
    fn book(
        &mut self,
        lane: usize,
        attempt: &UnderWay,
        verdict: &LaneVerdict,
        used: Cost,
        now: Timestamp,
        then: &mut Consequences,
    ) {
        let Some(it) = self.lanes.get_mut(lane) else { return };
        if used.messages > 0 {
            it.took(now.duration_since(attempt.started_at).as_secs_f64().max(0.0));
        }
        let throttled = matches!(verdict, LaneVerdict::Throttled(_));
        for index in &it.budgets {
            let Some(budget) = self.budgets.get_mut(*index) else { continue };
            let counted = budget.counts();
            budget.give_back(attempt.reserved.of(counted));
            let refused = throttled && counted == Counted::Messages;
            if budget.spend(used.of(counted), refused, now, now) {
                then.memories.push(Memory::FirstUse(*index));
            }
        }
    }

    fn went_well(&mut self, lane: usize, attempt: &UnderWay, used: Cost, now: Timestamp, then: &mut Consequences) {
        let Some(it) = self.lanes.get_mut(lane) else { return };
        it.went_well(attempt.serial);
        let level = u64::try_from(it.under_way.len()).unwrap_or(u64::MAX).saturating_add(1);
        let evidence = Evidence { serial: attempt.serial, level, in_use: level, now };
        if it.connections.succeed(evidence, it.ceiling()).memorable {
            then.memories.push(Memory::Connections(lane));
        }
        for index in &it.budgets {
            let Some(budget) = self.budgets.get_mut(*index) else { continue };
            if used.of(budget.counts()) > 0 && budget.succeed(attempt.serial, now).memorable {
                then.memories.push(Memory::Limit(*index));
            }
        }
        for index in &it.breakers {
            let Some(breaker) = self.breakers.get_mut(*index) else { continue };
            breaker.worked = breaker.worked.max(attempt.serial);
            match &mut breaker.open {
                None => {}
                Some(_) if attempt.probe => {
                    if let Some(open_for) = breaker.close(now) {
                        then.changes.push(Change::Closed { breaker: breaker.name.clone(), open_for });
                        then.memories.push(Memory::Breaker(*index));
                    }
                    then.breakers = true;
                }
                // From before it opened: the next probe need not wait.
                Some(open) => {
                    open.probe_now(now);
                    then.breakers = true;
                }
            }
        }
    }

    /// Nothing can be said of what the lane needs.
    fn undecided(
        &mut self,
        lane: usize,
        attempt: &UnderWay,
        wait: Option<Duration>,
        now: Timestamp,
        then: &mut Consequences,
    ) {
        if !attempt.probe {
            return;
        }
        then.breakers = true;
        let Some(it) = self.lanes.get(lane) else { return };
        for index in &it.breakers {
            if let Some(open) = self.breakers.get_mut(*index).and_then(|breaker| breaker.open.as_mut()) {
                open.probe_ended();
                open.undecided(wait, now);
            }
        }
    }

    fn probe_must_rest(&mut self, lane: usize, wait: Duration, reason: &str, now: Timestamp, then: &mut Consequences) {
        then.breakers = true;
        let Some(it) = self.lanes.get(lane) else { return };
        for index in &it.breakers {
            let Some(breaker) = self.breakers.get_mut(*index) else { continue };
            let scope = breaker.name.scope;
            let Some(open) = breaker.open.as_mut() else { continue };
            open.probe_ended();
            if open.pause.code == REST_CODE {
                open.again(&endless_rest(scope, reason, wait), now);
                then.memories.push(Memory::Breaker(*index));
            } else {
                open.undecided(Some(wait), now);
            }
        }
    }

    fn must_rest(
        &mut self,
        lane: usize,
        attempt: &UnderWay,
        wait: Duration,
        reason: &str,
        now: Timestamp,
        then: &mut Consequences,
    ) {
        let Some(it) = self.lanes.get_mut(lane) else { return };
        let stopped = it.breakers.iter().filter_map(|index| self.breakers.get(*index)).any(|b| b.open.is_some());
        let Some(endless) = it.must_rest(attempt.serial, wait, reason, now) else { return };
        let Some(rest) = &it.rest else { return };
        let (first, since) = (rest.first_fault, rest.since);
        // What another lane has used well since cannot be what is wrong.
        let mut suspects = it.breakers.iter().copied();
        let suspect = suspects.find(|index| self.breakers.get(*index).is_some_and(|b| b.worked < first));
        if let Some(index) = suspect.filter(|_| !stopped) {
            it.rest = None;
            let scope = self.breakers.get(index).map_or(Scope::Path, |breaker| breaker.name.scope);
            self.open(index, endless_rest(scope, reason, endless), since, now, then);
        }
    }

    fn paused(&mut self, lane: usize, attempt: &UnderWay, pause: &Pause, now: Timestamp, then: &mut Consequences) {
        let Some(it) = self.lanes.get_mut(lane) else { return };
        it.rest = None;
        let of_scope = |scope: Scope| {
            it.breakers.iter().copied().find(|index| self.breakers.get(*index).is_some_and(|b| b.name.scope == scope))
        };
        let Some(target) = of_scope(pause.scope).or_else(|| of_scope(Scope::Path)) else { return };
        if attempt.probe {
            then.breakers = true;
            for index in it.breakers.clone() {
                let Some(breaker) = self.breakers.get_mut(index) else { continue };
                if let Some(open) = &mut breaker.open {
                    open.probe_ended();
                }
                // The probe got past it.
                if index != target
                    && breaker.name.scope < pause.scope
                    && let Some(open_for) = breaker.close(now)
                {
                    then.changes.push(Change::Closed { breaker: breaker.name.clone(), open_for });
                    then.memories.push(Memory::Breaker(index));
                }
            }
        }
        match self.breakers.get_mut(target).and_then(|breaker| breaker.open.as_mut()) {
            // From before it opened: known.
            Some(_) if !attempt.probe => {}
            Some(open) if open.pause.code == pause.code => {
                open.again(pause, now);
                then.memories.push(Memory::Breaker(target));
            }
            _ => self.open(target, pause.clone(), now, now, then),
        }
    }

    fn open(&mut self, index: usize, pause: Pause, since: Timestamp, now: Timestamp, then: &mut Consequences) {
        let Some(breaker) = self.breakers.get_mut(index) else { return };
        breaker.open(pause.clone(), since, now);
        let lanes = breaker.lanes.clone();
        let breaker = breaker.name.clone();
        let lanes = lanes.into_iter().filter_map(|lane| self.lane_name(lane)).collect();
        then.changes.push(Change::Opened { breaker, pause, lanes });
        then.memories.push(Memory::Breaker(index));
        then.breakers = true;
    }

    fn throttled(
        &mut self,
        lane: usize,
        attempt: &UnderWay,
        throttle: &Throttle,
        now: Timestamp,
        then: &mut Consequences,
    ) {
        let asked = throttle.wait.unwrap_or_default();
        let budget = match throttle.what {
            Excess::Connections => None,
            Excess::Of(counted) => self.blamed(lane, counted, now),
            Excess::Unknown => self.blamed(lane, Counted::Messages, now),
        };
        let serials = (attempt.serial, self.next_serial());
        let Some(it) = self.lanes.get_mut(lane) else { return };
        if matches!(throttle.what, Excess::Connections | Excess::Unknown) || budget.is_none() {
            it.throttled(attempt.serial, serials.1, asked, &throttle.reason, now);
        }
        if matches!(throttle.what, Excess::Connections | Excess::Unknown) {
            self.fewer_connections(lane, attempt, throttle, now, then);
        }
        let Some(index) = budget else { return };
        let Some(cut) =
            self.budgets.get_mut(index).and_then(|b| b.refuse(serials, throttle.wait, &throttle.reason, now))
        else {
            return;
        };
        then.memories.push(Memory::Limit(index));
        let name = self.budgets.get(index).map(|budget| budget.name().to_string()).unwrap_or_default();
        self.tell_slower(lane, &name, cut.from, cut.to, throttle, then);
    }

    fn fewer_connections(
        &mut self,
        lane: usize,
        attempt: &UnderWay,
        throttle: &Throttle,
        now: Timestamp,
        then: &mut Consequences,
    ) {
        let next_serial = self.next_serial();
        let Some(it) = self.lanes.get_mut(lane) else { return };
        let others = u64::try_from(it.under_way.len()).unwrap_or(u64::MAX);
        let from = u64::try_from(it.permitted()).unwrap_or(u64::MAX);
        let evidence = Evidence { serial: attempt.serial, level: others, in_use: others, now };
        let ceiling = it.ceiling();
        let Some(to) = it.connections.refuse(evidence, from, ceiling, next_serial, &throttle.reason) else { return };
        then.memories.push(Memory::Connections(lane));
        self.tell_slower(lane, "connections", from, to, throttle, then);
    }

    fn tell_slower(&self, lane: usize, what: &str, from: u64, to: u64, throttle: &Throttle, then: &mut Consequences) {
        if let Some(lane) = self.lane_name(lane).filter(|_| to < from) {
            let what = format!("{what} {from} → {to}");
            then.changes.push(Change::Slowed { lane, what, reason: throttle.reason.clone() });
        }
    }

    /// The budget that a refusal is due to: of those of its kind the shortest that is not clearly fine, or else the one that
    /// is used most.
    fn blamed(&self, lane: usize, counted: Counted, now: Timestamp) -> Option<usize> {
        let budgets = &self.lanes.get(lane)?.budgets;
        let of_kind = budgets.iter().copied().filter_map(|index| Some((index, self.budgets.get(index)?)));
        let mut of_kind: Vec<_> = of_kind.filter(|(_, budget)| budget.counts() == counted).collect();
        of_kind.sort_by_key(|(_, budget)| budget.settings().window);
        let likely = of_kind.iter().find(|(_, budget)| !budget.is_clearly_fine(now));
        let most = || of_kind.iter().min_by(|a, b| a.1.share_left(now).total_cmp(&b.1.share_left(now)));
        likely.or_else(most).map(|(index, _)| *index)
    }
}

/// How a lane that does nothing but rest is told of.
fn endless_rest(scope: Scope, reason: &str, wait: Duration) -> Pause {
    Pause {
        scope,
        reason: reason.to_owned(),
        remedy:
            "look whether this machine reaches the next hop (name, network, firewall) and whether that is well; it is \
                 tried again every few minutes"
                .to_owned(),
        code: REST_CODE.to_owned(),
        probe_after: wait,
    }
}
