//! The ways out: lanes, with the budgets that they draw on and the breakers that stop them; which lane may take a message
//! now, and how much of it.
//!
//! In: the head of a pool's lines. Out: a lane and a grant, or when to look again, or that the message must make room.
//! Looking changes nothing; only `start` takes what was granted.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::breaker::Breaker;
use super::budget::Budget;
use super::lane::{Lane, UnderWay};
use super::pool::{Head, Pool};
use crate::{BreakerName, BudgetName, Class, Cost, Counted, LaneName, LaneSettings, MessageId, Plan, Scope};

#[derive(Debug, Default)]
pub(super) struct Ways {
    pub(super) lanes: Vec<Lane>,
    pub(super) budgets: Vec<Budget>,
    pub(super) breakers: Vec<Breaker>,
    /// The number of the next attempt.
    next_serial: u64,
}

/// What a pool can do now.
#[derive(Debug)]
pub(super) enum Chance {
    /// Start this.
    Start(Chosen),
    /// This message cannot go, but others behind it may: for want of that budget, by index.
    Postpone(Head, usize),
    /// Nothing, before then; `None`: without an input.
    Wait(Option<Timestamp>),
}

/// A message and the lane that takes it.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) lane: usize,
    pub(super) head: Head,
    /// It was the turn of its line, passing over that message.
    pub(super) turn: Option<Option<MessageId>>,
    pub(super) probe: bool,
    /// What it is told that it may spend.
    pub(super) grant: Cost,
    /// What is reserved for it.
    reserved: Cost,
}

/// Why a message cannot go in a lane.
enum Lack {
    Wait(Option<Timestamp>),
    Postpone(usize),
}

const UNLIMITED: Cost =
    Cost { messages: u32::MAX, recipients: u32::MAX, external: u32::MAX, external_under_provider_domain: u32::MAX };

impl Ways {
    /// All lanes of the plan, pool by pool.
    pub(super) fn new(plan: &Plan) -> Self {
        let budgets: Vec<_> = plan.budgets.iter().cloned().map(Budget::new).collect();
        let mut ways = Self { budgets, next_serial: 1, ..Self::default() };
        let known: HashMap<_, _> =
            plan.budgets.iter().enumerate().map(|(index, budget)| (&budget.name, index)).collect();
        let mut breakers = HashMap::new();
        for (pool, settings) in plan.pools.iter().enumerate() {
            for lane in &settings.lanes {
                ways.add_lane(lane, pool, &known, &mut breakers);
            }
        }
        ways.note_sharing();
        ways
    }

    fn add_lane(
        &mut self,
        settings: &LaneSettings,
        pool: usize,
        known: &HashMap<&BudgetName, usize>,
        breakers: &mut HashMap<BreakerName, usize>,
    ) {
        let index = self.lanes.len();
        let mut lane = Lane::new(settings.clone(), pool);
        lane.budgets = settings.budgets.iter().filter_map(|name| known.get(name).copied()).collect();
        let counts_messages =
            lane.budgets.iter().filter_map(|budget| self.budgets.get(*budget)).any(|b| b.counts() == Counted::Messages);
        if !counts_messages {
            lane.budgets.push(self.budgets.len());
            self.budgets.push(Budget::watching(&settings.name));
        }
        let mut names = settings.breakers.clone();
        if !names.iter().any(|name| name.scope == Scope::Path) {
            names.push(BreakerName { scope: Scope::Path, name: settings.name.0.clone() });
        }
        names.sort_by_key(|name| name.scope);
        for name in names {
            let at = *breakers.entry(name.clone()).or_insert_with(|| {
                self.breakers.push(Breaker::new(name));
                self.breakers.len() - 1
            });
            lane.breakers.push(at);
            if let Some(breaker) = self.breakers.get_mut(at) {
                breaker.lanes.push(index);
            }
        }
        self.lanes.push(lane);
    }

    /// Which budgets are shared by pools, and which tell the lanes of a pool apart.
    fn note_sharing(&mut self) {
        let users = |lanes: &[Lane], budget: usize| -> Vec<usize> {
            lanes.iter().filter(|lane| lane.budgets.contains(&budget)).map(|lane| lane.pool).collect()
        };
        let mut lanes_of_pool: HashMap<usize, usize> = HashMap::new();
        self.lanes.iter().for_each(|lane| *lanes_of_pool.entry(lane.pool).or_default() += 1);
        for (index, budget) in self.budgets.iter_mut().enumerate() {
            let pools = users(&self.lanes, index);
            budget.shared = pools.iter().any(|pool| Some(pool) != pools.first());
            for lane in self.lanes.iter_mut().filter(|lane| lane.budgets.contains(&index)) {
                let sharers = pools.iter().filter(|pool| **pool == lane.pool).count();
                if lanes_of_pool.get(&lane.pool) != Some(&sharers) {
                    lane.own_budgets.push(index);
                }
            }
        }
    }

    pub(super) fn lane_name(&self, lane: usize) -> Option<LaneName> {
        self.lanes.get(lane).map(|lane| lane.settings.name.clone())
    }

    pub(super) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// The breakers of a lane, in the order of need.
    pub(super) fn breakers_of(&self, lane: usize) -> impl Iterator<Item = &Breaker> {
        let indices = self.lanes.get(lane).map_or(&[][..], |lane| &lane.breakers);
        indices.iter().filter_map(|index| self.breakers.get(*index))
    }

    /// Pools with lanes that share a breaker with that one.
    pub(super) fn sharers(&self, lane: usize) -> Vec<usize> {
        let lanes = self.breakers_of(lane).flat_map(|breaker| &breaker.lanes);
        lanes.filter_map(|lane| self.lanes.get(*lane)).map(|lane| lane.pool).collect()
    }

    /// An operator's word: nothing is waited for any more, for one message.
    pub(super) fn probe_now(&mut self, lane: usize, now: Timestamp) {
        let Some(it) = self.lanes.get_mut(lane) else { return };
        it.go_on(now);
        for index in &it.breakers {
            if let Some(open) = self.breakers.get_mut(*index).and_then(|breaker| breaker.open.as_mut()) {
                open.probe_now(now);
            }
        }
    }

    /// The clock was set back: waits are as long as they were.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.lanes.iter_mut().for_each(|lane| lane.set_back(by));
        self.budgets.iter_mut().for_each(|budget| budget.set_back(by));
        self.breakers.iter_mut().for_each(|breaker| breaker.set_back(by));
    }

    /// What the pool can do now. Its index is for budgets that it must wait for.
    pub(super) fn chance(&mut self, pool: &Pool, index: usize, now: Timestamp) -> Chance {
        if pool.is_empty() {
            return Chance::Wait(None);
        }
        let mut best: Option<Chosen> = None;
        let mut postpone = None;
        let mut wait = None;
        for lane in &pool.lanes {
            let Some((from, probe)) = self.ready_at(*lane) else { continue };
            if from > now {
                wait = earlier(wait, Some(from));
                continue;
            }
            match self.look(pool, index, *lane, probe, now) {
                Chance::Start(chosen) => {
                    if best.as_ref().is_none_or(|best| self.is_better(&chosen, best, now)) {
                        best = Some(chosen);
                    }
                }
                Chance::Postpone(head, budget) => postpone = postpone.or(Some((head, budget))),
                Chance::Wait(until) => wait = earlier(wait, until),
            }
        }
        match (best, postpone) {
            (Some(best), _) => Chance::Start(best),
            (None, Some((head, budget))) => Chance::Postpone(head, budget),
            (None, None) => Chance::Wait(wait),
        }
    }

    /// From when a lane may take a message, whatever it costs, and whether it would be a probe.
    fn ready_at(&self, lane: usize) -> Option<(Timestamp, bool)> {
        let it = self.lanes.get(lane)?;
        let mut from = it.ready_at()?;
        let mut probe = false;
        for breaker in it.breakers.iter().filter_map(|breaker| self.breakers.get(*breaker)) {
            let Some(open) = &breaker.open else { continue };
            probe = true;
            let alone = breaker.lanes.len() == 1;
            from = from.max(if alone { open.due_at(None)? } else { open.due_at(Some(lane))? });
        }
        // Before a probe starts, the attempts from before have ended.
        (!probe || it.under_way.is_empty()).then_some((from, probe))
    }

    fn look(&mut self, pool: &Pool, index: usize, lane: usize, probe: bool, now: Timestamp) -> Chance {
        let failed = self.failed(lane);
        let (head, except) = match pool.next(failed) {
            Some(head) => (head, failed),
            None => match pool.next(None) {
                Some(head) => (head, None),
                None => return Chance::Wait(None),
            },
        };
        let lack = match self.afford(lane, index, &head, now) {
            Ok((grant, reserved)) => {
                return Chance::Start(Chosen { lane, head, turn: Some(except), probe, grant, reserved });
            }
            Err(lack) => lack,
        };
        // Urgent mail passes what waits for a part of the budget that only urgent mail may use. Nothing else passes, so that
        // small messages do not eat what a large one waits for.
        let urgent = if head.class == Class::Urgent { None } else { pool.head(Class::Urgent, except) };
        match (lack, urgent) {
            (Lack::Wait(at), Some(urgent)) => match self.afford(lane, index, &urgent, now) {
                Ok((grant, reserved)) => {
                    Chance::Start(Chosen { lane, head: urgent, turn: None, probe, grant, reserved })
                }
                Err(Lack::Wait(urgent_at)) => Chance::Wait(earlier(at, urgent_at)),
                Err(Lack::Postpone(budget)) => Chance::Postpone(urgent, budget),
            },
            (Lack::Wait(at), None) => Chance::Wait(at),
            (Lack::Postpone(budget), _) => Chance::Postpone(head, budget),
        }
    }

    /// The message that failed as the last probe, or alone after a rest: another one goes before it.
    fn failed(&self, lane: usize) -> Option<MessageId> {
        let probed = self.breakers_of(lane).find_map(|breaker| breaker.open.as_ref()?.last_probe);
        probed.or_else(|| self.lanes.get(lane)?.rest.as_ref()?.last)
    }

    /// How much of a message can go in the lane: the grant, and what is reserved for it.
    fn afford(&mut self, lane: usize, pool: usize, head: &Head, now: Timestamp) -> Result<(Cost, Cost), Lack> {
        let Some(it) = self.lanes.get(lane) else { return Err(Lack::Wait(None)) };
        let cost = head.cost;
        let (mut grant, mut wait, mut short) = (UNLIMITED, None, None);
        for index in &it.budgets {
            let Some(budget) = self.budgets.get_mut(*index) else { continue };
            let counted = budget.counts();
            let wanted = if counted == Counted::Messages { cost.messages.max(1) } else { cost.of(counted) };
            if wanted == 0 {
                continue;
            }
            let asleep = budget.is_asleep();
            match (budget.offer(wanted, head.class, now), counted) {
                (Ok(_), Counted::Messages) if asleep => {}
                (Ok(offered), _) => lower(&mut grant, counted, offered),
                (Err(_), Counted::External | Counted::ExternalUnderProviderDomain) => {
                    lower(&mut grant, counted, 0);
                    short = Some(*index);
                }
                (Err(at), Counted::Messages | Counted::Recipients) => {
                    budget.wait_for(pool);
                    wait = Some(wait.map_or(at, |known: Option<Timestamp>| Some(known?.max(at?))));
                }
            }
        }
        if let Some(at) = wait {
            return Err(Lack::Wait(at));
        }
        let external = match cost.external_under_provider_domain {
            0 => cost.external.min(grant.external),
            _ => cost.external.min(grant.external).min(grant.external_under_provider_domain),
        };
        let internal = cost.recipients.saturating_sub(cost.external);
        if external < cost.external {
            (grant.external, grant.external_under_provider_domain) = (external, external);
        }
        match short {
            Some(budget) if external + internal == 0 => Err(Lack::Postpone(budget)),
            _ => Ok((grant, reservation(&cost, &grant, internal, external))),
        }
    }

    /// Probes first; then whoever has most left of what is scarcest; then whoever has least to do.
    fn is_better(&self, one: &Chosen, other: &Chosen, now: Timestamp) -> bool {
        if one.probe != other.probe {
            return one.probe;
        }
        let left = |chosen: &Chosen| {
            let budgets = self.lanes.get(chosen.lane).map_or(&[][..], |lane| &lane.own_budgets);
            let shares = budgets.iter().filter_map(|budget| self.budgets.get(*budget)).map(|b| b.share_left(now));
            shares.fold(1.0, f64::min)
        };
        let busy = |chosen: &Chosen| self.lanes.get(chosen.lane).map_or(0, |lane| lane.under_way.len());
        match left(one).total_cmp(&left(other)) {
            std::cmp::Ordering::Equal => busy(one) < busy(other),
            order => order.is_gt(),
        }
    }

    /// Takes what was granted.
    pub(super) fn start(&mut self, chosen: &Chosen, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(chosen.lane) else { return };
        for index in &lane.budgets {
            if let Some(budget) = self.budgets.get_mut(*index) {
                budget.reserve(chosen.reserved.of(budget.counts()), now);
            }
        }
        if chosen.probe {
            for index in &lane.breakers {
                if let Some(open) = self.breakers.get_mut(*index).and_then(|breaker| breaker.open.as_mut()) {
                    open.probe(chosen.lane, chosen.head.id);
                }
            }
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let (id, reserved, probe) = (chosen.head.id, chosen.reserved, chosen.probe);
        lane.start(UnderWay { id, serial, started_at: now, reserved, probe });
    }
}

fn lower(grant: &mut Cost, counted: Counted, offered: u32) {
    let part = match counted {
        Counted::Messages => &mut grant.messages,
        Counted::Recipients => &mut grant.recipients,
        Counted::External => &mut grant.external,
        Counted::ExternalUnderProviderDomain => &mut grant.external_under_provider_domain,
    };
    *part = offered.min(*part);
}

/// The most that a message can spend of what it is granted.
fn reservation(cost: &Cost, grant: &Cost, internal: u32, external: u32) -> Cost {
    let recipients = grant.recipients.min(internal.saturating_add(external));
    let external = external.min(recipients);
    let external_under_provider_domain = if cost.external_under_provider_domain == 0 { 0 } else { external };
    let messages = cost.messages.min(grant.messages).max(1);
    Cost { messages, recipients, external, external_under_provider_domain }
}

pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
