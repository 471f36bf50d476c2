//! One lane: the attempts under way in it, how many there may be, whether it rests, and what it draws on and needs.

use std::time::Duration;

use jiff::Timestamp;

use super::adaptive::{Adaptive, Manner};
use super::rest::{Rest, grown};
use crate::retry::{later, sooner};
use crate::{Cost, LaneSettings, MessageId};

/// How the number of connections is learnt: it is in full use at once, but a few successes prove little.
const CONNECTIONS: Manner = Manner { window: Duration::from_secs(60), patience: 10, halves: true, guessed: false };
/// A throttle without a wait of its own holds the lane for this long; longer each time in a row, up to 16 times.
const BREATH: Duration = Duration::from_secs(1);
/// Weight of the last attempt in the mean duration.
const LAST: f64 = 0.1;

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) settings: LaneSettings,
    /// Index of its pool.
    pub(super) pool: usize,
    /// Indices of what it draws on.
    pub(super) budgets: Vec<usize>,
    /// Of them those that not all lanes of its pool draw on.
    pub(super) own_budgets: Vec<usize>,
    /// Indices of what it needs, in the order of need.
    pub(super) breakers: Vec<usize>,
    pub(super) under_way: Vec<UnderWay>,
    pub(super) connections: Adaptive,
    pub(super) rest: Option<Rest>,
    /// After a throttle: nothing before, and why.
    pub(super) hold: Option<(Timestamp, String)>,
    /// The latest attempt that went well.
    pub(super) last_healthy: u64,
    /// How long an attempt takes, in seconds. `None`: none has come as far as MAIL.
    pub(super) mean_seconds: Option<f64>,
    /// Throttles since an attempt last went well.
    throttles: u32,
    /// Attempts with a lower number started before the last of them.
    throttled_from: u64,
}

/// An attempt.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) id: MessageId,
    /// Attempts are numbered in the order of their start.
    pub(super) serial: u64,
    pub(super) started_at: Timestamp,
    pub(super) reserved: Cost,
    pub(super) probe: bool,
}

impl Lane {
    pub(super) fn new(settings: LaneSettings, pool: usize) -> Self {
        Self {
            settings: LaneSettings { connections: settings.connections.max(1), ..settings },
            pool,
            budgets: Vec::new(),
            own_budgets: Vec::new(),
            breakers: Vec::new(),
            under_way: Vec::new(),
            connections: Adaptive::new(CONNECTIONS),
            rest: None,
            hold: None,
            last_healthy: 0,
            mean_seconds: None,
            throttles: 0,
            throttled_from: 0,
        }
    }

    /// Attempts at once, as configured.
    pub(super) fn ceiling(&self) -> u64 {
        u64::try_from(self.settings.connections).unwrap_or(u64::MAX)
    }

    /// Attempts at once, as refusals have left it.
    pub(super) fn permitted(&self) -> usize {
        let learnt = self.connections.limit().and_then(|limit| usize::try_from(limit).ok());
        learnt.map_or(self.settings.connections, |learnt| learnt.clamp(1, self.settings.connections))
    }

    /// From when the next attempt may start, as far as the lane itself goes; `None`: not before one ends.
    pub(super) fn ready_at(&self) -> Option<Timestamp> {
        let at_once = if self.rest.is_some() { 1 } else { self.permitted() };
        if self.under_way.len() >= at_once {
            return None;
        }
        let rest = self.rest.as_ref().map_or(Timestamp::MIN, |rest| rest.until);
        Some(self.hold.as_ref().map_or(rest, |(until, _)| rest.max(*until)))
    }

    pub(super) fn start(&mut self, attempt: UnderWay) {
        if let Some(rest) = &mut self.rest {
            rest.last = Some(attempt.id);
        }
        self.under_way.push(attempt);
    }

    pub(super) fn end(&mut self, id: MessageId) -> Option<UnderWay> {
        let place = self.under_way.iter().position(|attempt| attempt.id == id)?;
        Some(self.under_way.swap_remove(place))
    }

    /// An attempt came as far as MAIL.
    pub(super) fn took(&mut self, seconds: f64) {
        self.mean_seconds = Some(self.mean_seconds.map_or(seconds, |mean| mean + LAST * (seconds - mean)));
    }

    /// An attempt went well.
    pub(super) fn went_well(&mut self, serial: u64) {
        self.last_healthy = self.last_healthy.max(serial);
        self.throttles = 0;
        self.rest = self.rest.take().filter(|rest| !rest.is_ended_by(serial));
    }

    /// An attempt met a link fault, or a server that is not well. Returns the wait if the lane does nothing but rest.
    pub(super) fn must_rest(&mut self, serial: u64, wait: Duration, reason: &str, now: Timestamp) -> Option<Duration> {
        match &mut self.rest {
            Some(rest) => rest.again(wait, reason, serial, now),
            // What began later went well meanwhile: it was that connection's fault alone.
            None if self.last_healthy > serial => {
                self.breathe(Duration::ZERO, reason, now);
                None
            }
            None => {
                self.rest = Some(Rest::new(wait, reason, serial, now));
                None
            }
        }
    }

    /// Too much at once, or the server does not say of what: a breath, or as long as it asks; longer each time in a row,
    /// where the attempt had started after the last one.
    pub(super) fn throttled(&mut self, serial: u64, next: u64, asked: Duration, reason: &str, now: Timestamp) {
        if serial >= self.throttled_from {
            self.throttles = self.throttles.saturating_add(1);
            self.throttled_from = next;
        }
        self.breathe(asked.max(grown(BREATH, self.throttles)), reason, now);
    }

    /// Nothing before then.
    pub(super) fn breathe(&mut self, wait: Duration, reason: &str, now: Timestamp) {
        let until = later(now, wait.max(BREATH));
        if self.hold.as_ref().is_none_or(|(known, _)| *known < until) {
            self.hold = Some((until, reason.to_owned()));
        }
    }

    /// An operator's word: what was waited for is over.
    pub(super) fn go_on(&mut self, now: Timestamp) {
        self.hold = None;
        if let Some(rest) = &mut self.rest {
            rest.until = rest.until.min(now);
        }
    }

    /// Until when it starts nothing of itself, and why.
    pub(super) fn resting(&self, now: Timestamp) -> Option<(Timestamp, &str)> {
        let rest = self.rest.as_ref().map(|rest| (rest.until, rest.reason.as_str()));
        let hold = self.hold.as_ref().map(|(until, reason)| (*until, reason.as_str()));
        rest.into_iter().chain(hold).filter(|(until, _)| *until > now).max_by_key(|(until, _)| *until)
    }

    /// The clock was set back: waits are as long as they were.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.connections.set_back(by);
        self.under_way.iter_mut().for_each(|attempt| attempt.started_at = sooner(attempt.started_at, by));
        if let Some(rest) = &mut self.rest {
            rest.set_back(by);
        }
        if let Some((until, _)) = &mut self.hold {
            *until = sooner(*until, by);
        }
    }
}
