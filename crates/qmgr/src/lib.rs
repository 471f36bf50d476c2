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

mod attempt;
mod context;
mod event;
mod fetch;
mod handle;
mod housekeeping;
mod manager;
mod recall;
mod record;
mod reroute;
mod tell;
mod words;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use queue::{Clock, LaneSettings, RetryPolicy, Routes, Scheduler, SchedulerSettings, Spool, Transport};
use telemetry::Metrics;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::manager::Manager;

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

/// Events that a listener may fall behind.
const EVENTS: usize = 1_024;

/// See the head of this file.
pub struct QueueManager {
    manager: Manager,
}

impl QueueManager {
    /// Nothing happens until `run`; what arrives before is kept.
    pub fn new(
        settings: Settings,
        spool: Arc<dyn Spool>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> (Self, Handle) {
        let (sender, inputs) = mpsc::unbounded_channel();
        let limited = settings.lanes.iter().filter(|(lane, _)| lane.messages_per_minute.is_some());
        let limited = limited.map(|(lane, _)| lane.name.clone()).collect();
        let permits = settings.lanes.iter().map(|(lane, _)| lane.clone()).collect();
        let context = Arc::new(Context {
            spool,
            clock,
            metrics,
            retry: settings.retry,
            routes: settings.routes,
            lanes: settings.lanes.into_iter().map(|(lane, transport)| (lane.name, transport)).collect(),
            inputs: sender,
            events: broadcast::channel(EVENTS).0,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            abandon: CancellationToken::new(),
            unstored: AtomicUsize::new(0),
        });
        let manager = Manager {
            context: Arc::clone(&context),
            scheduler: Scheduler::new(SchedulerSettings { window: settings.window }, permits),
            inputs,
            grace: settings.grace,
            history: settings.history,
            limited,
            waiting: HashMap::new(),
            busy: HashMap::new(),
            serial: 0,
            recording: 0,
        };
        (Self { manager }, Handle { context })
    }

    /// Until `stop`; then no attempt starts any more, those under way may finish within the grace period, and every lease
    /// is given back. Returns within the grace period and ten seconds.
    pub async fn run(self, stop: CancellationToken) {
        self.manager.run(stop).await;
    }
}
