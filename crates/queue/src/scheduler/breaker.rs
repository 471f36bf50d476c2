//! A breaker: something that several lanes need. Open, it stops them all, but for one probe at a time.
//!
//! In: what attempts say of it. Out: whether it is open, and when a probe is due. The trouble may be with the one message
//! that was the probe: the next one is another, if there is one.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rest::{GROWTH, LONGEST, SHORTEST};
use crate::retry::{later, sooner};
use crate::{BreakerName, MessageId, Pause};

/// After a probe that said nothing about it.
const UNDECIDED: Duration = Duration::from_secs(60);
/// What is open since before a restart is probed so soon after it.
const SOON: Duration = Duration::from_secs(1);

/// The lane of the last probe stands behind the others by this, if there are any.
const BEHIND: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Breaker {
    pub(super) name: BreakerName,
    /// Indices of the lanes that need it.
    pub(super) lanes: Vec<usize>,
    pub(super) open: Option<Box<Open>>,
    /// The latest attempt that went well and needs it.
    pub(super) worked: u64,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) pause: Pause,
    pub(super) since: Timestamp,
    pub(super) probe_at: Timestamp,
    /// The probe under way, or the one before.
    pub(super) last_probe: Option<MessageId>,
    /// Its lane.
    last_lane: Option<usize>,
    /// Wait before the probe.
    interval: Duration,
    probing: bool,
}

/// As it is remembered over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) name: BreakerName,
    pause: Pause,
    since: Timestamp,
    interval: Duration,
}

impl Breaker {
    pub(super) fn new(name: BreakerName) -> Self {
        Self { name, lanes: Vec::new(), open: None, worked: 0 }
    }

    /// Opens, or stays open for another trouble. `since`: when the trouble began, if it was not open before.
    pub(super) fn open(&mut self, pause: Pause, since: Timestamp, now: Timestamp) {
        let interval = pause.probe_after.max(SHORTEST);
        let before = self.open.as_ref();
        let since = before.map_or(since, |open| open.since);
        let last_probe = before.and_then(|open| open.last_probe);
        let last_lane = before.and_then(|open| open.last_lane);
        let probe_at = later(now, interval);
        self.open = Some(Box::new(Open { pause, since, probe_at, last_probe, last_lane, interval, probing: false }));
    }

    /// Closes. Returns how long it was open, if it was.
    pub(super) fn close(&mut self, now: Timestamp) -> Option<Duration> {
        let open = self.open.take()?;
        Some(Duration::try_from(now.duration_since(open.since)).unwrap_or_default())
    }

    pub(super) fn remembered(&self) -> Option<Remembered> {
        let open = self.open.as_ref()?;
        let Open { pause, since, interval, .. } = &**open;
        Some(Remembered { name: self.name.clone(), pause: pause.clone(), since: *since, interval: *interval })
    }

    /// It was open before a restart, and people know.
    pub(super) fn recall(&mut self, it: Remembered, now: Timestamp) {
        let interval = it.interval.clamp(SHORTEST, LONGEST.max(it.pause.probe_after));
        self.open = Some(Box::new(Open {
            pause: it.pause,
            since: it.since.min(now),
            probe_at: later(now, SOON),
            last_probe: None,
            last_lane: None,
            interval,
            probing: false,
        }));
    }

    pub(super) fn set_back(&mut self, by: Duration) {
        if let Some(open) = &mut self.open {
            open.since = sooner(open.since, by);
            open.probe_at = sooner(open.probe_at, by);
        }
    }
}

impl Open {
    /// When a probe may start in that lane; `None`: after the one that is under way. The lane of the last one lets others go
    /// before it: the trouble may be its own. `lane`: `None` if there are no others.
    pub(super) fn due_at(&self, lane: Option<usize>) -> Option<Timestamp> {
        let behind = if lane.is_some() && self.last_lane == lane { BEHIND } else { Duration::ZERO };
        (!self.probing).then(|| later(self.probe_at, behind))
    }

    pub(super) fn probe(&mut self, lane: usize, id: MessageId) {
        self.probing = true;
        self.last_probe = Some(id);
        self.last_lane = Some(lane);
    }

    /// The probe found other trouble, before it came to this.
    pub(super) fn probe_ended(&mut self) {
        self.probing = false;
    }

    /// The probe found the same trouble: longer from probe to probe.
    pub(super) fn again(&mut self, pause: &Pause, now: Timestamp) {
        let first = pause.probe_after.max(SHORTEST);
        self.interval = (self.interval * 2).min(first.saturating_mul(GROWTH)).min(LONGEST).max(first);
        self.probe_at = later(now, self.interval);
        self.pause = pause.clone();
    }

    /// The probe said nothing about it.
    pub(super) fn undecided(&mut self, wait: Option<Duration>, now: Timestamp) {
        let wait = wait.map_or(self.interval.min(UNDECIDED), |wait| wait.max(self.interval));
        self.probe_at = later(now, wait);
    }

    /// There is hope, or an operator asks.
    pub(super) fn probe_now(&mut self, now: Timestamp) {
        self.probe_at = self.probe_at.min(now);
    }
}
