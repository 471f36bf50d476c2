//! How the relay is: status, readiness, liveness. Nothing here is remembered; every answer is asked for anew.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::{Counters, Lane, Listener, Paused, Resting, SpoolHealth, SpoolState, Status, Waiting};
use jiff::Timestamp;
use qmgr::{LaneReport, OperatorError};
use queue::{LaneDepth, LaneName, LaneStatus};

use crate::State;
use crate::refusal::No;

/// An answer of the queue manager that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);

impl State {
    /// The whole of it.
    pub(crate) async fn status(&self) -> Result<Status, No> {
        let now = self.clock.now();
        let not_ready = self.not_ready().await;
        let counters = self.spool.counters().await?;
        let depths = self.spool.lanes().await?;
        let reports = self.lane_reports().await;
        Ok(Status {
            version: self.version.clone(),
            hostname: self.hostname.clone(),
            started_at: self.started_at,
            uptime_seconds: seconds_between(self.started_at, now),
            ready: not_ready.is_empty(),
            not_ready,
            listeners: self.listeners.iter().map(|(name, at)| Listener { name: name.clone(), address: *at }).collect(),
            counters: counted(counters),
            spool: spool(&self.spool.health()),
            lanes: lanes(reports, depths),
        })
    }

    /// What keeps the relay from taking mail and working on it, a line each.
    pub(crate) async fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.listening.load(Ordering::Acquire) {
            reasons.push("the listeners take no connections".to_owned());
        }
        match self.spool.health().state {
            queue::SpoolState::Accepting => {}
            queue::SpoolState::Full { reason } => reasons.push(format!("the spool is full: {reason}")),
            queue::SpoolState::Closed { reason } => reasons.push(format!("the spool is closed to writes: {reason}")),
        }
        if !self.queue_manager_answers().await {
            reasons.push("the queue manager does not answer".to_owned());
        }
        reasons
    }

    /// Whether its loop turns: asked for a lane that cannot exist, it must say so.
    pub(crate) async fn queue_manager_answers(&self) -> bool {
        let nowhere = LaneName("".into());
        let answer = tokio::time::timeout(PATIENCE, self.queue.probe(&nowhere)).await;
        matches!(answer, Ok(Err(OperatorError::NoLane(_))))
    }

    /// Empty if the queue manager does not answer.
    pub(crate) async fn lane_reports(&self) -> Vec<LaneReport> {
        tokio::time::timeout(PATIENCE, self.queue.status()).await.unwrap_or_default()
    }
}

/// Zero if they are the wrong way round.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

fn counted(counters: queue::Counters) -> Counters {
    Counters {
        accepted: counters.accepted,
        queued: counters.queued,
        handed_over: counters.handed_over,
        bounced: counters.bounced,
        expired: counters.expired,
        removed: counters.removed,
        conserved: counters.conserved(),
        messages: counters.messages,
        held: counters.held,
        oldest_at: counters.oldest,
    }
}

fn spool(health: &queue::SpoolHealth) -> SpoolHealth {
    let (state, reason) = match &health.state {
        queue::SpoolState::Accepting => (SpoolState::Accepting, None),
        queue::SpoolState::Full { reason } => (SpoolState::Full, Some(reason.clone())),
        queue::SpoolState::Closed { reason } => (SpoolState::Closed, Some(reason.clone())),
    };
    let (free_bytes, used_bytes, recovery) = (health.free_bytes, health.used_bytes, health.recovery.clone());
    SpoolHealth { state, reason, free_bytes, used_bytes, recovery }
}

/// What the queue manager says of each lane, joined with how much waits on disk; then lanes that only the disk knows.
fn lanes(reports: Vec<LaneReport>, mut depths: Vec<LaneDepth>) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = reports
        .into_iter()
        .map(|report| {
            let depth =
                depths.iter().position(|depth| depth.lane == report.status.name).map(|at| depths.swap_remove(at));
            configured(report, depth)
        })
        .collect();
    lanes.extend(depths.into_iter().map(left_over));
    lanes.sort_by(|a, b| a.name.cmp(&b.name));
    lanes
}

fn configured(report: LaneReport, depth: Option<LaneDepth>) -> Lane {
    let LaneReport { status, connections_open, connections_idle } = report;
    let LaneStatus { name, active, connections, messages_per_minute, used_this_minute, waiting, .. } = status;
    let [urgent, new, deferred] = waiting;
    Lane {
        name: name.to_string(),
        configured: true,
        active,
        connection_permits: connections,
        messages_per_minute,
        used_this_minute,
        open_connections: connections_open,
        idle_connections: connections_idle,
        queued: depth.as_ref().map_or(0, |depth| depth.messages),
        next_due_at: depth.and_then(|depth| depth.next_due_at),
        waiting: Waiting { urgent, new, deferred },
        resting: status.resting_until.map(|until| Resting { until, reason: status.resting_reason }),
        paused: status.paused.map(|(pause, since, probe_at)| paused(&pause, since, probe_at)),
    }
}

/// As the API says it.
pub(crate) fn paused(pause: &queue::Pause, since: Timestamp, probe_at: Timestamp) -> Paused {
    let (code, reason, remedy) = (pause.code.clone(), pause.reason.clone(), pause.remedy.clone());
    Paused { code, reason, remedy, since, probe_at }
}

fn left_over(depth: LaneDepth) -> Lane {
    Lane {
        name: depth.lane.to_string(),
        configured: false,
        active: 0,
        connection_permits: 0,
        messages_per_minute: None,
        used_this_minute: 0,
        open_connections: 0,
        idle_connections: 0,
        queued: depth.messages,
        next_due_at: depth.next_due_at,
        waiting: Waiting::default(),
        resting: None,
        paused: None,
    }
}
