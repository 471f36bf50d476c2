//! A limit that refusals bring down and success lets grow again.
//!
//! What is known of the far side's limit is a bracket: `safe` is thought to be good (at first what is configured), `refused`
//! is known to be too much. A refusal cuts what is in force, at once, to a bit below what was in use. A first refusal may be
//! chance: success brings the limit back to `safe` within moments. If it is refused again on that way, the lesson is
//! learnt: `safe` is now what worked. From there on it grows slowly, a step for two windows of full use, up to what was
//! refused, and goes above that with one careful probe, in intervals that double with every probe refused. A probe that
//! goes well moves the bracket up, and the growth goes on.
//!
//! In: refusals and successes, each with how much was in use. Out: the limit in force. One refusal is one lesson: attempts
//! that were under way at the cut teach nothing more.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::retry::{later, sooner};

/// Between probes above what was refused, at first.
const FIRST_PROBE: Duration = Duration::from_secs(30 * 60);
/// And at most; or so many windows.
const LAST_PROBE: Duration = Duration::from_secs(24 * 3_600);
const LONG_WINDOWS: u32 = 4;
/// So many windows without a refusal: what was cut for one refusal is restored although it was not in use, …
const QUIET_WINDOWS: u32 = 10;
/// … but after no longer than this.
const QUIET_LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// A lesson so old that was never asked for again is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Steps from nothing to the ceiling.
const STEPS: u64 = 50;
/// The floor is this part of the ceiling.
const FLOOR: u64 = 20;

/// What kind of limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// How long it takes until a limit has been in full use.
    pub(super) window: Duration,
    /// Successes for one step on the way back.
    pub(super) patience: u32,
    /// A refusal halves it whatever was in use (connections); else it becomes a bit less than what was in use.
    pub(super) halves: bool,
    /// There is no limit but those that refusals teach: what was in use at the first one is known to be too much.
    pub(super) guessed: bool,
}

#[derive(Debug)]
pub(super) struct Adaptive {
    manner: Manner,
    learnt: Option<Box<Learnt>>,
    /// Attempts with a lower serial number started before the last cut.
    fresh_from: u64,
    /// Refusals since the last success.
    refusals: u32,
}

/// What refusals taught. Remembered over restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Learnt {
    /// In force.
    limit: u64,
    /// Success brings it back to this within moments.
    safe: u64,
    /// The least that is known to be too much.
    refused: Option<u64>,
    /// What was in force before the first refusal.
    origin: u64,
    /// The last refusal.
    reason: String,
    at: Timestamp,
    /// Above `safe`, not before.
    raise_at: Timestamp,
    /// From one probe above `refused` to the next.
    interval: Duration,
    /// `safe` has been in full use for a window since the last refusal.
    #[serde(default)]
    settled: bool,
    /// When `limit` was last set above `safe`, or came back to it.
    #[serde(skip, default = "never")]
    raised_at: Timestamp,
    /// The most that was in use at a success since the last cut.
    #[serde(skip)]
    worked: u64,
    /// Successes since the last step.
    #[serde(skip)]
    successes: u32,
}

fn never() -> Timestamp {
    Timestamp::MIN
}

/// An attempt as evidence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// The attempt's serial number.
    pub(super) serial: u64,
    /// How much of the limit was used up and had been taken well. For a refusal: without what was refused.
    pub(super) level: u64,
    /// The same, and what is under way.
    pub(super) in_use: u64,
    pub(super) now: Timestamp,
}

/// What a success changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) raised: bool,
    /// Something that must survive a restart.
    pub(super) memorable: bool,
}

impl Adaptive {
    pub(super) fn new(manner: Manner) -> Self {
        Self { manner, learnt: None, fresh_from: 0, refusals: 0 }
    }

    /// What refusals have left of it; `None`: nothing was ever refused, or it is forgotten.
    pub(super) fn limit(&self) -> Option<u64> {
        self.learnt.as_ref().map(|learnt| learnt.limit)
    }

    /// What was in force before the first refusal.
    pub(super) fn origin(&self) -> Option<u64> {
        self.learnt.as_ref().map(|learnt| learnt.origin)
    }

    /// The refusal that taught it.
    pub(super) fn lesson(&self) -> Option<(&str, Timestamp)> {
        self.learnt.as_ref().map(|learnt| (learnt.reason.as_str(), learnt.at))
    }

    /// Refusals since the last success.
    pub(super) fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Whether it is not yet clear what the limit is.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.learnt.as_ref().is_some_and(|learnt| learnt.limit < learnt.safe)
    }

    pub(super) fn floor(ceiling: u64) -> u64 {
        (ceiling / FLOOR).max(1)
    }

    /// Too much. `in_force`: the limit as it held. `next_serial`: that of the next attempt. Returns the new limit, unless
    /// the attempt had started before the last cut.
    pub(super) fn refuse(
        &mut self,
        evidence: Evidence,
        in_force: u64,
        ceiling: u64,
        next_serial: u64,
        reason: &str,
    ) -> Option<u64> {
        if evidence.serial < self.fresh_from {
            return None;
        }
        self.fresh_from = next_serial;
        self.refusals = self.refusals.saturating_add(1);
        let floor = Self::floor(ceiling);
        let cut = self.cut(evidence.level, in_force, floor);
        let manner = self.manner;
        let learnt = self.learnt.get_or_insert_with(|| Box::new(Learnt::nothing(in_force, &manner)));
        learnt.refuse(evidence, cut, floor, step(ceiling), &manner);
        reason.clone_into(&mut learnt.reason);
        Some(learnt.limit)
    }

    /// It was taken.
    pub(super) fn succeed(&mut self, evidence: Evidence, ceiling: u64) -> Growth {
        if evidence.serial < self.fresh_from {
            return Growth::default();
        }
        self.refusals = 0;
        let Some(learnt) = &mut self.learnt else { return Growth::default() };
        let before = learnt.limit;
        let memorable = learnt.succeed(evidence, ceiling, step(ceiling), &self.manner);
        let growth = Growth { raised: learnt.limit > before, memorable };
        if !learnt.is_of_use(ceiling, &self.manner, evidence.now) {
            self.learnt = None;
            return Growth { raised: true, memorable: true };
        }
        growth
    }

    /// As it is remembered; `None`: nothing learnt.
    pub(super) fn memory(&self) -> Option<&Learnt> {
        self.learnt.as_deref()
    }

    /// What was learnt before a restart, if it still says anything.
    pub(super) fn recall(&mut self, mut learnt: Learnt, ceiling: u64, now: Timestamp) -> bool {
        let floor = Self::floor(ceiling);
        learnt.safe = learnt.safe.max(floor);
        learnt.limit = learnt.limit.clamp(floor, learnt.safe);
        learnt.at = learnt.at.min(now);
        learnt.raise_at = learnt.raise_at.min(later(now, self.manner.longest_interval()));
        let of_use = learnt.limit < ceiling && learnt.is_of_use(ceiling, &self.manner, now);
        self.learnt = of_use.then(|| Box::new(learnt));
        of_use
    }

    /// The clock was set back: waits are as long as they were.
    pub(super) fn set_back(&mut self, by: Duration) {
        if let Some(learnt) = &mut self.learnt {
            for at in [&mut learnt.at, &mut learnt.raise_at, &mut learnt.raised_at] {
                *at = sooner(*at, by);
            }
        }
    }

    /// A bit below what was in use, between the half and 95 % of what was in force.
    fn cut(&self, level: u64, in_force: u64, floor: u64) -> u64 {
        let half = in_force / 2;
        let most = percent(in_force, 95).min(in_force.saturating_sub(1));
        let wanted = if self.manner.halves { level.saturating_add(1).min(in_force) / 2 } else { percent(level, 95) };
        let least = if self.manner.halves { 1 } else { half };
        wanted.min(most).max(least).max(floor)
    }
}

impl Manner {
    fn longest_interval(&self) -> Duration {
        LAST_PROBE.max(self.window.saturating_mul(LONG_WINDOWS))
    }
}

impl Learnt {
    fn nothing(in_force: u64, manner: &Manner) -> Self {
        Self {
            limit: in_force,
            safe: in_force,
            refused: manner.guessed.then_some(in_force + 1),
            origin: in_force,
            reason: String::new(),
            at: never(),
            raise_at: never(),
            interval: FIRST_PROBE.max(manner.window),
            settled: true,
            raised_at: never(),
            worked: 0,
            successes: 0,
        }
    }

    fn refuse(&mut self, evidence: Evidence, cut: u64, floor: u64, step: u64, manner: &Manner) {
        let Evidence { level, now, .. } = evidence;
        if self.limit > self.safe && level >= self.safe {
            // The probe above what is safe.
            self.refused = Some(level.min(self.limit).max(self.safe) + 1);
            self.limit = self.safe;
            self.interval = self.interval.saturating_mul(2).min(manner.longest_interval());
        } else if !self.settled && self.worked > 0 {
            // On the way back: so much worked, more did not. Just after it: a bit too much.
            let back = self.limit >= self.safe;
            let least = if back { self.safe - step.max(self.safe / 10).min(self.safe) } else { self.limit / 2 };
            self.safe = self.worked.min(level).max(least).min(self.safe.saturating_sub(1)).max(floor);
            self.refused = Some(level.max(self.safe) + 1);
            self.limit = self.safe;
        } else if self.limit < self.safe {
            // Nothing has worked since the last cut.
            self.safe = self.safe.min(level.max(self.limit)).max(floor);
            self.refused = Some(level.max(self.safe) + 1);
            self.limit = (self.limit / 2).max(floor).min(self.safe);
        } else {
            self.limit = cut.min(self.safe);
            self.settled = false;
        }
        self.at = now;
        self.worked = 0;
        self.successes = 0;
        self.raise_at = self.next_raise(step, manner, now);
    }

    /// Returns whether something changed that must survive a restart.
    fn succeed(&mut self, evidence: Evidence, ceiling: u64, step: u64, manner: &Manner) -> bool {
        let Evidence { level, in_use, now, .. } = evidence;
        self.worked = self.worked.max(level);
        let slack = self.limit / STEPS;
        let full = in_use + slack >= self.limit;
        if !self.settled && now >= later(self.at, manner.window.saturating_mul(QUIET_WINDOWS).min(QUIET_LONGEST)) {
            self.limit = self.safe;
            self.settled = true;
            return true;
        }
        if self.limit < self.safe {
            if full {
                self.successes += 1;
                if self.successes >= manner.patience {
                    self.successes = 0;
                    self.limit = (self.limit.max(level) + step).min(self.safe);
                    self.raised_at = now;
                }
            }
            return self.limit == self.safe;
        }
        if !self.settled {
            self.settled = level + slack >= self.limit && now >= later(self.raised_at, manner.window);
            return self.settled;
        }
        if self.limit > self.safe {
            let held = level + slack >= self.limit && now >= later(self.raised_at, manner.window);
            if held {
                self.safe = self.limit;
                if self.refused.is_some_and(|refused| refused <= self.safe) {
                    self.refused = None;
                    self.interval = FIRST_PROBE.max(manner.window);
                }
                self.raise_at = self.next_raise(step, manner, now);
            }
            return held;
        }
        if full && now >= self.raise_at {
            self.limit = (self.safe + step).min(ceiling.max(self.safe));
            self.raised_at = now;
        }
        false
    }

    /// From `safe` upwards: soon, unless the next step is one that was refused.
    fn next_raise(&self, step: u64, manner: &Manner, now: Timestamp) -> Timestamp {
        match self.refused {
            Some(refused) if self.safe + step >= refused => later(now, self.interval),
            _ => later(now, manner.window),
        }
    }

    /// Whether there is anything in it that the ceiling does not say.
    fn is_of_use(&self, ceiling: u64, manner: &Manner, now: Timestamp) -> bool {
        let back = self.settled && self.limit >= self.safe && self.refused.is_none();
        let forgotten = now >= later(self.at, FORGOTTEN.max(manner.window.saturating_mul(2 * LONG_WINDOWS)));
        let grown = self.settled && self.safe >= ceiling && self.limit >= ceiling;
        let chance = back && self.safe >= self.origin;
        !(forgotten || grown || chance)
    }
}

fn step(ceiling: u64) -> u64 {
    (ceiling / STEPS).max(1)
}

fn percent(of: u64, percent: u64) -> u64 {
    of / 100 * percent + of % 100 * percent / 100
}
