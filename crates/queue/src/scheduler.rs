//! Which message starts next. Holds ids and permits, never a message; the spool is the truth.
//!
//! A lane has permits (connections, messages a minute) and three lines (urgent, new, deferred), each a bounded window onto
//! the spool: what does not fit stays there and is fetched (`Refill`) when the line runs low. A free permit goes to the
//! lines in turn by weight (urgent 4, new 3, deferred 1; a line that is empty lends its turns), so that none starves.
//!
//! Messages a minute: a rolling window. A permit counts from its start until 60 s after its attempt ended, so that the
//! remote, wherever in between it counts, never sees more than the limit in any 60 s. Attempts that never reached MAIL give
//! their permit back at once.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Class, LaneName, LaneVerdict, MessageId, Pause};

/// Permits of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Which.
    pub name: LaneName,
    /// Attempts at once.
    pub connections: usize,
    /// Messages in any 60 seconds; `None`: no limit.
    pub messages_per_minute: Option<u32>,
}

/// For all lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Messages in memory for each line of a lane. Default 1,000.
    pub window: usize,
}

/// Start this attempt now: the permits are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Where.
    pub lane: LaneName,
    /// What.
    pub id: MessageId,
    /// The lane is paused and this one message is its probe.
    pub probe: bool,
}

/// Claim up to `max` due messages of this line from the spool and give them to `handle_claimed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refill {
    /// Which lane.
    pub lane: LaneName,
    /// Which line.
    pub class: Class,
    /// At most.
    pub max: usize,
}

/// For `status` and metrics.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LaneStatus {
    /// Which.
    pub name: LaneName,
    /// Attempts under way.
    pub active: usize,
    /// Attempts at once allowed.
    pub connections: usize,
    /// Messages a minute allowed.
    pub messages_per_minute: Option<u32>,
    /// Of them used in the last 60 seconds.
    pub used_this_minute: u32,
    /// Ids waiting in memory: urgent, new, deferred.
    pub waiting: [usize; 3],
    /// Rests until.
    pub resting_until: Option<Timestamp>,
    /// Why it rests.
    pub resting_reason: Option<String>,
    /// Paused, why, since, and when it is probed next.
    pub paused: Option<(Pause, Timestamp, Timestamp)>,
}

/// See the head of this file. Every method that needs the time is given it.
#[derive(Debug)]
pub struct Scheduler {
    _settings: SchedulerSettings,
}

impl Scheduler {
    /// No mail yet.
    pub fn new(settings: SchedulerSettings, lanes: Vec<LaneSettings>) -> Self {
        let _ = lanes;
        Self { _settings: settings }
    }
    /// Whether a lane of that name is configured.
    pub fn knows(&self, lane: &LaneName) -> bool {
        let _ = lane;
        todo!()
    }
    /// A message just accepted (leased to us). False: its line's window is full or unfetched mail stands before it; give the
    /// lease back, it will be fetched in its turn.
    #[must_use]
    pub fn handle_arrival(&mut self, lane: &LaneName, class: Class, id: MessageId) -> bool {
        let _ = (lane, class, id);
        todo!()
    }
    /// Answer to a `Refill`, in the spool's order. `asked`: its `max`; fewer means that the line has no more due now, and
    /// `next_due` says when to look again.
    pub fn handle_claimed(&mut self, refill: &Refill, ids: &[MessageId], next_due: Option<Timestamp>, now: Timestamp) {
        let _ = (refill, ids, next_due, now);
        todo!()
    }
    /// The claim failed (spool closed): ask again after a while.
    pub fn handle_claim_failed(&mut self, refill: &Refill, retry_at: Timestamp) {
        let _ = (refill, retry_at);
        todo!()
    }
    /// A message was recorded as deferred until then, or released: the line must be looked at then.
    pub fn handle_due_at(&mut self, lane: &LaneName, class: Class, due_at: Timestamp) {
        let _ = (lane, class, due_at);
        todo!()
    }
    /// An attempt ended. `reached_mail`: whether a message's permit was used up.
    /// Returns what changed for the lane, for logs and alerts.
    pub fn handle_ended(
        &mut self,
        lane: &LaneName,
        verdict: &LaneVerdict,
        reached_mail: bool,
        now: Timestamp,
    ) -> Option<LaneChange> {
        let _ = (lane, verdict, reached_mail, now);
        todo!()
    }
    /// A message that stands in a line is taken away (hold, remove). False: it was not there.
    pub fn remove(&mut self, lane: &LaneName, id: MessageId) -> bool {
        let _ = (lane, id);
        todo!()
    }
    /// An operator wants the lane probed now: rest and pause are over for one message.
    pub fn probe_now(&mut self, lane: &LaneName, now: Timestamp) {
        let _ = (lane, now);
        todo!()
    }
    /// The next attempt to start, if any.
    pub fn poll_start(&mut self, now: Timestamp) -> Option<Start> {
        let _ = now;
        todo!()
    }
    /// The next line to fetch, if any. Each is given once until it is answered.
    pub fn poll_refill(&mut self, now: Timestamp) -> Option<Refill> {
        let _ = now;
        todo!()
    }
    /// When `poll_start` or `poll_refill` may have something without any input; `None`: never.
    pub fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        let _ = now;
        todo!()
    }
    /// See there, all lanes in order of name.
    pub fn status(&self, now: Timestamp) -> Vec<LaneStatus> {
        let _ = now;
        todo!()
    }
    /// Ids waiting in memory, to give back their leases on shutdown.
    pub fn drain(&mut self) -> Vec<MessageId> {
        todo!()
    }
}

/// A lane went from working to paused, or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneChange {
    /// One alert is due.
    Paused(Pause),
    /// One recovery notice is due; it was paused so long.
    Recovered(Duration),
}
