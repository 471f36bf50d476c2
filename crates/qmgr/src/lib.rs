//! The queue manager: joins queue, spool, transports and clock.
//!
//! In: arrivals, operators' words, the time. Out: attempts, what they came to (recorded in the spool), events, log lines,
//! alerts. One task owns the scheduler and decides; attempts, claims and operators' words run as tasks of their own and
//! report back to it, so that nothing slow ever holds up a decision.
//!
//! Never: a message lost or tried twice at once. A lease of the spool stands for every message that is held in memory
//! here; an outcome that is known is kept and recorded again until the spool takes it, and never obtained a second time.
//!
//! Not yet here: delivery status notifications. A message that bounces or expires is recorded with its reason, logged as
//! a warning and published as an [`Event`]; nobody writes to its sender.

mod event;
mod handle;

use std::sync::Arc;
use std::time::Duration;

use queue::{Clock, LaneSettings, RetryPolicy, Routes, Spool, Transport};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

pub use event::{Event, LaneReport, MessageEvent, OperatorError};
pub use handle::Handle;

/// What the queue manager is told.
pub struct Settings {
    /// See there.
    pub retry: RetryPolicy,
    /// Messages in memory for each line of a lane. Default 1,000.
    pub window: usize,
    /// Every lane with its transport.
    pub lanes: Vec<(LaneSettings, Arc<dyn Transport>)>,
    /// For messages whose lane is no longer configured.
    pub routes: Routes,
    /// On shutdown attempts under way may finish within this. Default 30 seconds.
    pub grace: Duration,
    /// How long settled messages stay in the history. Default 30 days.
    pub history: Duration,
}

/// See the head of this file.
pub struct QueueManager {}

impl QueueManager {
    /// Nothing happens until `run`; what arrives before is kept.
    pub fn new(
        settings: Settings,
        spool: Arc<dyn Spool>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> (Self, Handle) {
        let _ = (settings, spool, clock, metrics);
        todo!()
    }

    /// Until `stop`; then no attempt starts any more, those under way may finish within the grace period, and every lease
    /// is given back. Returns within the grace period and ten seconds.
    pub async fn run(self, stop: CancellationToken) {
        let _ = stop;
        todo!()
    }
}
