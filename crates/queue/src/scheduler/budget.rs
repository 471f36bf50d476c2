//! A budget at work: what was spent in its window, what attempts under way may still spend, and how much may be granted.
//!
//! The limit in force is the least of what is configured, what the warm-up allows today and what refusals taught. Attempts
//! reserve their grant when they start and book what they really used when they end; it counts until a window later.
//! Wherever in between the far side counts, it never sees more than the limit.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::adaptive::{Adaptive, Evidence, Growth, Learnt, Manner};
use super::window::Window;
use crate::retry::{later, sooner};
use crate::{BudgetName, BudgetSettings, BudgetStatus, Class, Counted, LaneName};

/// Ticks of a window that only watches.
const WATCH_TICK: Duration = Duration::from_secs(1);
/// In a lane without a limit no lower rate is taken for one, in messages a minute.
const WATCHED_AT_LEAST: u64 = 30;
/// A limit in doubt that would stop mail for long is tried out now and then by one message: a part of the window, between
/// these, and longer with each refusal.
const TRIAL_PARTS: u32 = 96;
const SHORTEST_TRIAL: Duration = Duration::from_secs(1);
const LONGEST_TRIAL: Duration = Duration::from_secs(15 * 60);
/// Windows longer than this are tried out; the others open soon enough.
const TRIED_OUT: Duration = Duration::from_secs(10 * 60);
/// Mail that must wait for attempts under way, and not for the window, is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// While the limit is in doubt, postponed mail is looked at again after this, at the latest.
const DOUBTED: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct Budget {
    settings: BudgetSettings,
    /// It stands for no setting: it counts the messages of a lane that has no limit, and is one only after refusals.
    watching: bool,
    window: Window,
    /// What was spent on messages that were refused as too much: no evidence of how much is allowed.
    refused: Window,
    /// What attempts under way may still spend.
    reserved: u64,
    first_use: Option<Timestamp>,
    adaptive: Adaptive,
    /// The server asked for patience: nothing before.
    hold_until: Option<Timestamp>,
    /// One message may go then although the limit, which is in doubt, forbids it.
    trial_at: Option<Timestamp>,
    /// What was promised to postponed mail, by the time of it.
    promised: VecDeque<(Timestamp, u64)>,
    /// Several pools draw on it.
    pub(super) shared: bool,
    /// Pools that wait for it, to be looked at when it changes. Only if it is shared.
    waiters: Vec<usize>,
}

/// A limit was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Budget {
    pub(super) fn new(settings: BudgetSettings) -> Self {
        let window = Window::new(settings.window);
        let refused = Window::new(settings.window);
        let manner = Manner { window: settings.window, patience: 1, halves: false, guessed: false };
        let settings = BudgetSettings { limit: settings.limit.max(1), ..settings };
        Self {
            settings,
            watching: false,
            window,
            refused,
            reserved: 0,
            first_use: None,
            adaptive: Adaptive::new(manner),
            hold_until: None,
            trial_at: None,
            promised: VecDeque::new(),
            shared: false,
            waiters: Vec::new(),
        }
    }

    /// For a lane without a limit on messages.
    pub(super) fn watching(lane: &LaneName) -> Self {
        let window = Duration::from_secs(60);
        let settings = BudgetSettings {
            name: BudgetName(format!("{lane}/messages a minute (learnt)").into()),
            counts: Counted::Messages,
            window,
            limit: u64::MAX,
            reserve: 0,
            warm_up: None,
        };
        let coarse = || Window::coarse(window, WATCH_TICK);
        let adaptive = Adaptive::new(Manner { window, patience: 1, halves: false, guessed: true });
        Self { watching: true, window: coarse(), refused: coarse(), adaptive, ..Self::new(settings) }
    }

    pub(super) fn settings(&self) -> &BudgetSettings {
        &self.settings
    }

    pub(super) fn name(&self) -> &BudgetName {
        &self.settings.name
    }

    pub(super) fn counts(&self) -> Counted {
        self.settings.counts
    }

    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// It limits nothing.
    pub(super) fn is_asleep(&self) -> bool {
        self.watching && self.adaptive.limit().is_none()
    }

    /// How much may be granted of what is wanted. `Err`: nothing useful, before then; `None`: before an attempt ends.
    pub(super) fn offer(&mut self, wanted: u32, class: Class, now: Timestamp) -> Result<u32, Option<Timestamp>> {
        if self.is_asleep() {
            return Ok(wanted);
        }
        self.window.forget(now);
        let limit = self.limit(now);
        let needed = self.needed(wanted, class, limit);
        let free = self.bearable(class, limit).saturating_sub(self.used());
        let held = self.hold_until.is_some_and(|until| until > now);
        if free >= needed && !held {
            return Ok(wanted.min(u32::try_from(free).unwrap_or(u32::MAX)));
        }
        if self.trial_at.is_some_and(|at| at <= now) && self.reserved == 0 && !held {
            return Ok(u32::try_from(needed).unwrap_or(wanted));
        }
        Err(self.free_at(needed, class, now).map(|at| at.max(later(now, Duration::from_millis(1)))))
    }

    /// The share of the limit that is left, for comparison.
    pub(super) fn share_left(&self, now: Timestamp) -> f64 {
        if self.is_asleep() {
            return 1.0;
        }
        let limit = self.limit(now);
        limit.saturating_sub(self.used()) as f64 / limit as f64
    }

    pub(super) fn reserve(&mut self, amount: u32, now: Timestamp) {
        let amount = u64::from(amount);
        if amount > 0 && self.trial_at.is_some_and(|at| at <= now) && self.used() + amount > self.limit(now) {
            self.trial_at = None;
        }
        self.reserved += amount;
    }

    pub(super) fn give_back(&mut self, amount: u32) {
        self.reserved = self.reserved.saturating_sub(u64::from(amount));
    }

    /// Spent then. `refused`: on something that was too much. Returns whether it was the first time of a warm-up.
    pub(super) fn spend(&mut self, amount: u32, refused: bool, at: Timestamp, now: Timestamp) -> bool {
        self.window.forget(now);
        self.refused.forget(now);
        let at = at.min(now);
        self.window.add(at, u64::from(amount));
        if refused {
            self.refused.add(at, u64::from(amount));
        }
        let first = amount > 0 && self.settings.warm_up.is_some() && self.first_use.is_none_or(|known| known > at);
        if first {
            self.first_use = Some(at);
        }
        first
    }

    /// An attempt that drew on it was refused for it. Returns the cut if there was one, unless the attempt is from before
    /// the last cut.
    pub(super) fn refuse(
        &mut self,
        (serial, next_serial): (u64, u64),
        wait: Option<Duration>,
        reason: &str,
        now: Timestamp,
    ) -> Option<Cut> {
        if let Some(wait) = wait {
            self.hold(later(now, wait));
        }
        let evidence = self.evidence(serial, now);
        let from = match self.is_asleep() {
            true => (evidence.level + 1).max(WATCHED_AT_LEAST),
            false => self.limit(now),
        };
        let ceiling = if self.is_asleep() { beyond(from) } else { self.ceiling(now) };
        let to = self.adaptive.refuse(evidence, from, ceiling, next_serial, reason)?;
        self.wait_after_refusal(to, wait.unwrap_or_default(), now);
        Some(Cut { from, to })
    }

    /// An attempt that drew on it was taken.
    pub(super) fn succeed(&mut self, serial: u64, now: Timestamp) -> Growth {
        let evidence = self.evidence(serial, now);
        let growth = self.adaptive.succeed(evidence, self.ceiling(now));
        if self.adaptive.refusals() == 0 {
            self.hold_until = self.hold_until.filter(|until| *until > now);
            self.trial_at = self.trial_at.filter(|_| self.adaptive.is_in_doubt());
        }
        growth
    }

    /// Whether it is so little used that a refusal cannot be due to it.
    pub(super) fn is_clearly_fine(&self, now: Timestamp) -> bool {
        self.used() < self.limit(now) / 4
    }

    /// When postponed mail may have what it wants: in turn with what was promised before.
    pub(super) fn promise(&mut self, wanted: u32, class: Class, now: Timestamp) -> Timestamp {
        while self.promised.pop_front_if(|(at, _)| *at <= now).is_some() {}
        let ahead: u64 = if class == Class::Urgent { 0 } else { self.promised.iter().map(|(_, amount)| amount).sum() };
        let limit = self.limit(now);
        let bearable = self.bearable(class, limit);
        let total = ahead + self.needed(wanted, class, limit);
        let (rounds, rest) = ((total - 1) / bearable, (total - 1) % bearable + 1);
        let first = self.free_at(rest, class, now).unwrap_or_else(|| later(now, LOOK_AGAIN));
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        let mut until = later(first, self.settings.window.saturating_mul(rounds));
        if self.adaptive.limit().is_some() {
            until = until.min(later(now, DOUBTED));
        }
        let until = until.max(later(now, Duration::from_secs(1)));
        let place = self.promised.partition_point(|(at, _)| *at < until);
        match self.promised.get_mut(place) {
            Some((at, amount)) if *at == until => *amount += u64::from(wanted),
            _ => self.promised.insert(place, (until, u64::from(wanted))),
        }
        until
    }

    pub(super) fn wait_for(&mut self, pool: usize) {
        if self.shared && !self.waiters.contains(&pool) {
            self.waiters.push(pool);
        }
    }

    /// Pools that waited for it and must be looked at.
    pub(super) fn take_waiters(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.waiters)
    }

    /// As configured, in a warm-up the step's.
    pub(super) fn ceiling(&self, now: Timestamp) -> u64 {
        if self.watching {
            return self.adaptive.origin().map_or(u64::MAX, beyond);
        }
        self.step(now).map_or(self.settings.limit, |(limit, _)| limit)
    }

    /// In force.
    pub(super) fn limit(&self, now: Timestamp) -> u64 {
        let ceiling = self.ceiling(now);
        self.adaptive.limit().map_or(ceiling, |learnt| learnt.min(ceiling))
    }

    /// What of a limit a message of that class may use.
    pub(super) fn bearable(&self, class: Class, limit: u64) -> u64 {
        limit - if class == Class::Urgent { 0 } else { self.reserve_of(limit) }
    }

    pub(super) fn hold_until(&self) -> Option<Timestamp> {
        self.hold_until
    }

    pub(super) fn status(&self, now: Timestamp) -> BudgetStatus {
        let limit = self.limit(now);
        let used = self.used_at(now);
        let full = used >= self.bearable(Class::New, limit) || self.hold_until.is_some_and(|until| until > now);
        BudgetStatus {
            name: self.settings.name.clone(),
            counts: self.settings.counts,
            window: self.settings.window,
            limit,
            ceiling: self.ceiling(now),
            floor: Adaptive::floor(self.ceiling(now)),
            reserve: self.reserve_of(limit),
            used,
            free_at: if full { self.free_at(1, Class::New, now) } else { None },
            learnt: self.adaptive.lesson().map(|(reason, at)| (reason.to_owned(), at)),
        }
    }

    pub(super) fn memory(&self) -> Option<&Learnt> {
        self.adaptive.memory()
    }

    pub(super) fn recall(&mut self, learnt: Learnt, now: Timestamp) -> bool {
        let ceiling = if self.watching { u64::MAX } else { self.ceiling(now) };
        self.adaptive.recall(learnt, ceiling, now)
    }

    pub(super) fn first_use(&self) -> Option<Timestamp> {
        self.first_use
    }

    /// False: there is no warm-up.
    pub(super) fn recall_first_use(&mut self, at: Timestamp, now: Timestamp) -> bool {
        let warming = self.settings.warm_up.is_some();
        if warming {
            self.first_use = Some(self.first_use.map_or(at, |known| known.min(at)).min(now));
        }
        warming
    }

    /// The clock was set back: what was spent so long ago still was, and waits are as long as they were.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.window.set_back(by);
        self.refused.set_back(by);
        self.adaptive.set_back(by);
        for at in [&mut self.hold_until, &mut self.trial_at, &mut self.first_use].into_iter().flatten() {
            *at = sooner(*at, by);
        }
        self.promised.iter_mut().for_each(|(at, _)| *at = sooner(*at, by));
    }

    fn used(&self) -> u64 {
        self.window.sum() + self.reserved
    }

    /// The same, without having forgotten what no longer counts.
    fn used_at(&self, now: Timestamp) -> u64 {
        let now = now.as_millisecond();
        let over: u64 = self.window.losses().take_while(|(at, _)| *at <= now).map(|(_, amount)| amount).sum();
        self.used() - over
    }

    fn evidence(&self, serial: u64, now: Timestamp) -> Evidence {
        let level = self.window.sum().saturating_sub(self.refused.sum());
        Evidence { serial, level, in_use: level + self.reserved, now }
    }

    /// The least that is worth starting a message for: it goes in parts of a hundredth of the limit, not in crumbs.
    fn needed(&self, wanted: u32, class: Class, limit: u64) -> u64 {
        u64::from(wanted).min(limit.div_ceil(100)).clamp(1, self.bearable(class, limit).max(1))
    }

    fn reserve_of(&self, limit: u64) -> u64 {
        let reserve = u128::from(self.settings.reserve) * u128::from(limit) / u128::from(self.settings.limit);
        u64::try_from(reserve).unwrap_or(u64::MAX).min(limit.saturating_sub(1))
    }

    /// When so much can be granted; `None`: not before an attempt has ended.
    fn free_at(&self, needed: u64, class: Class, now: Timestamp) -> Option<Timestamp> {
        let opens = self.opens_at(needed, class, now);
        let trial = self.trial_at.filter(|_| self.reserved == 0);
        let at = opens.into_iter().chain(trial).min()?;
        Some(self.hold_until.map_or(at, |until| until.max(at)))
    }

    /// The same by the ledger alone; each step of a warm-up lets more through.
    fn opens_at(&self, needed: u64, class: Class, now: Timestamp) -> Option<Timestamp> {
        let mut from = now;
        loop {
            let over = (self.used() + needed).saturating_sub(self.bearable(class, self.limit(from)));
            let opens = if over == 0 { Some(from) } else { self.window.loses(over).map(|at| at.max(from)) };
            match self.step(from).map(|(_, ends_at)| ends_at) {
                Some(step) if step < Timestamp::MAX && opens.is_none_or(|at| at > step) => from = step,
                _ => return opens,
            }
        }
    }

    /// The step of the warm-up: its limit, and when it ends. `None`: it is over, or there is none.
    fn step(&self, now: Timestamp) -> Option<(u64, Timestamp)> {
        let warm_up = self.settings.warm_up.as_ref()?;
        let first =
            |limits: &[u64]| limits.first().map(|limit| ((*limit).clamp(1, self.settings.limit), Timestamp::MAX));
        let Some(begun_at) = self.first_use else { return first(&warm_up.limits) };
        let step = warm_up.step.max(Duration::from_secs(1));
        let since = Duration::try_from(now.duration_since(begun_at)).unwrap_or_default();
        let place = u32::try_from(since.as_millis() / step.as_millis()).ok()?;
        let limit = warm_up.limits.get(usize::try_from(place).ok()?)?;
        Some(((*limit).clamp(1, self.settings.limit), later(begun_at, step.saturating_mul(place + 1))))
    }

    fn hold(&mut self, until: Timestamp) {
        self.hold_until = Some(self.hold_until.map_or(until, |known| known.max(until)));
    }

    /// If the new limit stops mail, the ledger says for how long; a limit in doubt is tried out before, where that would be
    /// long. If it does not (more is spent at the far side than we know of), time must do.
    fn wait_after_refusal(&mut self, limit: u64, asked: Duration, now: Timestamp) {
        let window = self.settings.window;
        let first = (window / TRIAL_PARTS).clamp(SHORTEST_TRIAL, LONGEST_TRIAL);
        let factor = 1_u32.checked_shl(self.adaptive.refusals().saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = first.saturating_mul(factor).min(first.max(window / 4)).max(asked);
        self.trial_at = None;
        if self.window.sum() < limit {
            self.hold(later(now, wait));
        } else if window > TRIED_OUT && self.adaptive.is_in_doubt() {
            self.trial_at = Some(later(now, wait));
        }
    }
}

/// So much more than what was once refused has worked: the limit is gone.
fn beyond(refused: u64) -> u64 {
    refused.saturating_add(refused / 2)
}
