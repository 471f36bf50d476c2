//! The queue manager: joins queue, spool, transports and clock.
//!
//! In: arrivals, operators' words, the time. Out: attempts, what they came to (recorded in the spool), events, log lines,
//! alerts. One task owns the scheduler and decides; attempts, claims and operators' words run as tasks of their own and
//! report back to it, so that nothing slow ever holds up a decision.
//!
//! Never: a message lost or tried twice at once; a start on an empty ledger. A lease of the spool stands for every message
//! that is held in memory here; an outcome that is known is kept and recorded again until the spool takes it, and never
//! obtained a second time; nothing is sent before the spool has said what was sent before the start.

mod attempt;
mod context;
mod delays;
mod event;
mod fetch;
mod handle;
mod housekeeping;
mod inquiry;
mod journal;
mod manager;
mod memory;
mod postpone;
mod record;
mod report;
mod reroute;
mod restore;
mod status;
mod stuck;
mod tell;
mod watch;
mod ways;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::{Clock, LaneName, Plan, RetryPolicy, Routes, Scheduler, SchedulerSettings, Spool, Transport};
use telemetry::{Incidents, Metrics};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::manager::Manager;
use crate::memory::Memory;
use crate::stuck::Stuck;
use crate::ways::Ways;

pub use event::{Event, LaneReport, MessageEvent, OperatorError, Report};
pub use handle::Handle;
pub use report::{Notification, NotifyError};

/// What the queue manager is told.
pub struct Settings {
    /// See there.
    pub retry: RetryPolicy,
    /// Messages in memory for each line of a lane. Default 1,000.
    pub window: usize,
    /// Pools, lanes, budgets and breakers.
    pub plan: Plan,
    /// One for every lane of the plan.
    pub transports: BTreeMap<LaneName, Arc<dyn Transport>>,
    /// For messages whose lane is no longer configured.
    pub routes: Routes,
    /// On shutdown attempts under way may finish within this. Default 30 seconds.
    pub grace: Duration,
    /// How long settled messages stay in the history. Default 30 days.
    pub history: Duration,
    /// Who is told of trouble.
    pub incidents: Arc<dyn Incidents>,
    /// See there.
    pub reports: ReportSettings,
    /// See there.
    pub watch: WatchSettings,
}

/// From when on something is an incident.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// The oldest message that is not held is older. Default 1 hour.
    pub queue_age: Duration,
    /// More messages wait. Default 10,000.
    pub queue_length: u64,
    /// More recipients in a hundred bounced or expired, of those settled within the last hour, if those are at least 20.
    /// Default 10.
    pub bounce_percent: u8,
    /// A budget will end before the queue does, within this. Default 24 hours.
    pub budget_ahead: Duration,
}

/// How senders, and owners of devices, are told what became of their mail.
#[derive(Clone, Debug)]
pub struct ReportSettings {
    /// Our name, in `Reporting-MTA` and in ids.
    pub hostname: String,
    /// At most so many single reports to an owner for one cause within `digest`, and ten times as many to one reader in all;
    /// what comes after goes into a digest. A sender's reports are counted only where they come from a mailbox. Default 3.
    pub singles: u32,
    /// A digest leaves so long after its first entry. Default 15 minutes.
    pub digest: Duration,
    /// Octets of the original above which only its header section is returned, whatever RET says. Default 1 MiB.
    pub full_limit: u64,
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
        let context = Arc::new(Context {
            spool,
            clock,
            metrics,
            retry: settings.retry,
            routes: settings.routes,
            ways: Ways::new(&settings.plan, &settings.transports),
            plan: settings.plan.clone(),
            transports: settings.transports,
            incidents: settings.incidents,
            reports: settings.reports,
            digests: tokio::sync::Mutex::default(),
            inputs: sender,
            events: broadcast::channel(EVENTS).0,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            abandon: CancellationToken::new(),
            unstored: AtomicUsize::new(0),
            unfinished: AtomicBool::new(false),
            memory: Memory::default(),
            stuck: Stuck::default(),
            own_settled: AtomicU64::new(0),
            own_lost: AtomicU64::new(0),
            stopped: Mutex::default(),
        });
        let manager = Manager {
            context: Arc::clone(&context),
            scheduler: Scheduler::new(SchedulerSettings { window: settings.window }, settings.plan),
            inputs,
            grace: settings.grace,
            history: settings.history,
            watch: settings.watch,
            ready: false,
            early: Vec::new(),
            waiting: HashMap::new(),
            busy: HashMap::new(),
            serial: 0,
            recording: 0,
            postponing: 0,
        };
        (Self { manager }, Handle { context })
    }

    /// Until `stop`; then no attempt starts any more, those under way may finish within the grace period, and every lease
    /// is given back. Returns within the grace period and ten seconds.
    pub async fn run(self, stop: CancellationToken) {
        self.manager.run(stop).await;
    }
}
