//! Whether a lane works: well, resting after a throttle or a link fault, or paused until somebody changes something.
//!
//! In: what attempts say about the lane. Out: from when an attempt may start, how many at once, and what to tell people.
//! A resting lane goes on with one attempt at a time until one goes well; a paused lane starts one probe when it is due,
//! and nothing else. The trouble may be with the one message that was the probe, or the first after a rest: the next one is
//! another, if there is one. A lane that rests again and again without ever working is told of as a pause is, once.

use std::time::Duration;

use jiff::Timestamp;

use crate::retry::{later, sooner};
use crate::{LaneVerdict, MessageId, Pause};

/// Neither a rest nor the wait for a probe is shorter.
const SHORTEST: Duration = Duration::from_secs(1);
/// Neither grows beyond this by repetition.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Neither grows beyond so many times its first length.
const GROWTH: u32 = 16;
/// Rests for so long without an attempt that went well are no hiccup: somebody must know.
const TOLD_AFTER: Duration = Duration::from_secs(5 * 60);
/// What a lane is told of with that only rests.
const REST_CODE: &str = "rest";
/// After a probe that said nothing about the lane.
const UNDECIDED: Duration = Duration::from_secs(60);

pub(super) enum LaneChange {
    Paused(Pause),
    Recovered(Duration),
}

#[derive(Debug, Default)]
pub(super) enum Health {
    #[default]
    Well,
    Resting(Rest),
    Paused(Box<Paused>),
}

#[derive(Debug)]
pub(super) struct Rest {
    pub(super) until: Timestamp,
    pub(super) reason: String,
    /// Rests since the lane last worked, this one included.
    count: u32,
    /// When the first of them began.
    since: Timestamp,
    /// People know of it.
    told: bool,
    /// The last attempt that was started in place of all others.
    last: Option<MessageId>,
}

#[derive(Debug)]
pub(super) struct Paused {
    pub(super) pause: Pause,
    pub(super) since: Timestamp,
    pub(super) probe_at: Timestamp,
    /// Wait before the probe.
    interval: Duration,
    /// The attempt under way is the probe. Before it starts, all attempts from before the pause have ended.
    probing: bool,
    /// The probe under way, or the one before.
    last_probe: Option<MessageId>,
}

impl Health {
    /// From when an attempt may start, and how many at once.
    pub(super) fn allows(&self, connections: usize) -> (Timestamp, usize) {
        match self {
            Self::Well => (Timestamp::MIN, connections),
            Self::Resting(rest) => (rest.until, 1),
            Self::Paused(paused) => (paused.probe_at, 1),
        }
    }

    /// The message that failed as a probe, or alone after a rest: another one goes before it.
    pub(super) fn last_probe(&self) -> Option<MessageId> {
        match self {
            Self::Well => None,
            Self::Resting(rest) => rest.last,
            Self::Paused(paused) => paused.last_probe,
        }
    }

    /// An attempt starts. Returns whether it is a probe.
    pub(super) fn start(&mut self, id: MessageId) -> bool {
        match self {
            Self::Paused(paused) => {
                paused.probing = true;
                paused.last_probe = Some(id);
                true
            }
            Self::Resting(rest) => {
                rest.last = Some(id);
                false
            }
            Self::Well => false,
        }
    }

    /// An attempt ended.
    pub(super) fn learn(&mut self, verdict: &LaneVerdict, now: Timestamp) -> Option<LaneChange> {
        match self {
            Self::Well => self.learn_while_well(verdict, now),
            Self::Resting(_) => self.learn_while_resting(verdict, now),
            Self::Paused(paused) if paused.probing => self.learn_from_probe(verdict, now),
            // An attempt from before the pause: if it went well, the next probe need not wait.
            Self::Paused(paused) => {
                if *verdict == LaneVerdict::Healthy {
                    paused.probe_at = paused.probe_at.min(now);
                }
                None
            }
        }
    }

    /// An operator's word: what was waited for is over.
    pub(super) fn probe_now(&mut self, now: Timestamp) {
        match self {
            Self::Well => {}
            Self::Resting(rest) => rest.until = rest.until.min(now),
            Self::Paused(paused) => paused.probe_at = paused.probe_at.min(now),
        }
    }

    /// The clock was set back: waits are as long as they were.
    pub(super) fn set_back(&mut self, by: Duration) {
        match self {
            Self::Well => {}
            Self::Resting(rest) => {
                rest.since = sooner(rest.since, by);
                rest.until = sooner(rest.until, by);
            }
            Self::Paused(paused) => {
                paused.since = sooner(paused.since, by);
                paused.probe_at = sooner(paused.probe_at, by);
            }
        }
    }

    fn learn_while_well(&mut self, verdict: &LaneVerdict, now: Timestamp) -> Option<LaneChange> {
        match verdict {
            LaneVerdict::Healthy | LaneVerdict::Neutral | LaneVerdict::Throttled(_) => None,
            LaneVerdict::Rest { wait, reason } => {
                let until = later(now, (*wait).max(SHORTEST));
                let reason = reason.clone();
                *self = Self::Resting(Rest { until, reason, count: 1, since: now, told: false, last: None });
                None
            }
            LaneVerdict::Paused(pause) => Some(self.pause(pause, now, now)),
        }
    }

    fn learn_while_resting(&mut self, verdict: &LaneVerdict, now: Timestamp) -> Option<LaneChange> {
        let Self::Resting(rest) = self else { return None };
        match verdict {
            // While it rests, this is an attempt from before: it proves nothing.
            LaneVerdict::Healthy if now >= rest.until => {
                let told = rest.told.then(|| LaneChange::Recovered(elapsed(rest.since, now)));
                *self = Self::Well;
                told
            }
            LaneVerdict::Healthy | LaneVerdict::Neutral | LaneVerdict::Throttled(_) => None,
            LaneVerdict::Rest { wait, reason } => {
                if now >= rest.until {
                    rest.count = rest.count.saturating_add(1);
                }
                let wait = grown((*wait).max(SHORTEST), rest.count);
                rest.until = rest.until.max(later(now, wait));
                rest.reason.clone_from(reason);
                let tell = !rest.told && elapsed(rest.since, now) >= TOLD_AFTER;
                rest.told |= tell;
                tell.then(|| LaneChange::Paused(endless_rest(reason, wait)))
            }
            LaneVerdict::Paused(pause) => {
                let since = if rest.told { rest.since } else { now };
                Some(self.pause(pause, since, now))
            }
        }
    }

    fn learn_from_probe(&mut self, verdict: &LaneVerdict, now: Timestamp) -> Option<LaneChange> {
        let Self::Paused(paused) = self else { return None };
        paused.probing = false;
        match verdict {
            LaneVerdict::Healthy => {
                let paused_for = elapsed(paused.since, now);
                *self = Self::Well;
                Some(LaneChange::Recovered(paused_for))
            }
            LaneVerdict::Neutral | LaneVerdict::Throttled(_) => {
                paused.probe_at = later(now, paused.interval.min(UNDECIDED));
                None
            }
            LaneVerdict::Rest { wait, .. } => {
                paused.probe_at = later(now, paused.interval.max(*wait));
                None
            }
            LaneVerdict::Paused(pause) if pause.code == paused.pause.code => {
                let first = pause.probe_after.max(SHORTEST);
                paused.interval = (paused.interval * 2).min(first * GROWTH).min(LONGEST).max(first);
                paused.probe_at = later(now, paused.interval);
                paused.pause = pause.clone();
                None
            }
            // Other trouble needs another remedy.
            LaneVerdict::Paused(pause) => {
                let since = paused.since;
                Some(self.pause(pause, since, now))
            }
        }
    }

    fn pause(&mut self, pause: &Pause, since: Timestamp, now: Timestamp) -> LaneChange {
        let interval = pause.probe_after.max(SHORTEST);
        let probe_at = later(now, interval);
        let last_probe = self.last_probe();
        let pause = pause.clone();
        let told = LaneChange::Paused(pause.clone());
        *self = Self::Paused(Box::new(Paused { pause, since, probe_at, interval, probing: false, last_probe }));
        told
    }
}

/// How a lane that does nothing but rest is told of.
fn endless_rest(reason: &str, wait: Duration) -> Pause {
    Pause {
        scope: crate::Scope::Path,
        reason: reason.to_owned(),
        remedy:
            "look whether this machine reaches the next hop (name, network, firewall) and whether that is well; it is \
                 tried again every few minutes"
                .to_owned(),
        code: REST_CODE.to_owned(),
        probe_after: wait,
    }
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// The n-th rest in a row: doubled each time, within bounds, never shorter than asked for.
fn grown(wait: Duration, count: u32) -> Duration {
    let factor = 1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(GROWTH).clamp(1, GROWTH);
    wait.saturating_mul(factor).min(LONGEST).max(wait)
}
