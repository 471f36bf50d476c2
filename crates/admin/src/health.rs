//! How the relay is: status, readiness, liveness. Nothing here is remembered; every answer is asked for anew.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::{Counters, Listener, SpoolHealth, SpoolState, Status};
use jiff::Timestamp;
use qmgr::{OperatorError, Report};
use queue::LaneName;

use crate::State;
use crate::refusal::No;
use crate::ways;

/// An answer of the queue manager that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);

impl State {
    /// The whole of it.
    pub(crate) async fn status(&self) -> Result<Status, No> {
        let now = self.clock.now();
        let not_ready = self.not_ready().await;
        let counters = self.spool.counters().await?;
        let depths = self.spool.lanes().await?;
        let report = self.report().await;
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
            lanes: ways::lanes(&report, depths),
            budgets: report.budgets.into_iter().map(ways::budget).collect(),
            breakers: report.breakers.iter().map(ways::open_breaker).collect(),
            forecasts: report.forecasts.into_iter().map(ways::forecast).collect(),
            incidents: self.alerts.open_incidents().into_iter().map(ways::incident).collect(),
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
    pub(crate) async fn report(&self) -> Report {
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
