//! The ways out as the API tells of them: lanes, budgets, breakers, forecasts; and incidents.

use std::time::Duration;

use api::{Breaker, Budget, Forecast, Incident, Lane, Learnt, Paused, RefusedSender, Resting, Short, Waiting};
use jiff::Timestamp;
use qmgr::{LaneReport, Report};
use queue::{BreakerName, BreakerStatus, BudgetStatus, Counted, LaneDepth, LaneName, Pause};

const MINUTE: Duration = Duration::from_secs(60);

/// What the queue manager says of each lane, joined with how much waits on disk for its pool; then those that only the disk
/// knows.
pub(crate) fn lanes(report: &Report, depths: Vec<LaneDepth>) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = report
        .lanes
        .iter()
        .map(|lane| configured(lane, report, depths.iter().find(|depth| depth.lane == lane.status.pool)))
        .collect();
    let known = |depth: &LaneDepth| report.lanes.iter().any(|lane| lane.status.pool == depth.lane);
    lanes.extend(depths.iter().filter(|depth| !known(depth)).map(left_over));
    lanes.sort_by(|one, other| (&one.pool, &one.name).cmp(&(&other.pool, &other.name)));
    lanes
}

fn configured(lane: &LaneReport, report: &Report, depth: Option<&LaneDepth>) -> Lane {
    let LaneReport { status, connections_open, connections_idle, refused_senders } = lane;
    let [urgent, new, deferred] = status.waiting;
    let minute = minute(lane, report);
    Lane {
        name: status.name.to_string(),
        pool: status.pool.to_string(),
        configured: true,
        active: status.active,
        connection_permits: status.connections,
        connection_ceiling: status.connections_ceiling,
        messages_per_minute: minute.map(|budget| budget.limit),
        used_this_minute: minute.map_or(0, |budget| budget.used),
        budgets: status.budgets.iter().map(ToString::to_string).collect(),
        open_connections: *connections_open,
        idle_connections: *connections_idle,
        queued: depth.map_or(0, |depth| depth.messages),
        next_due_at: depth.and_then(|depth| depth.next_due_at),
        waiting: Waiting { urgent, new, deferred },
        resting: status.resting_until.map(|until| Resting { until, reason: status.resting_reason.clone() }),
        paused: report
            .breakers
            .iter()
            .find(|breaker| status.open.contains(&breaker.name))
            .map(|breaker| paused(&breaker.pause, breaker.since, breaker.probe_at)),
        refused_senders: refused_senders.iter().map(refused).collect(),
    }
}

fn refused(refused: &queue::RefusedSender) -> RefusedSender {
    let queue::RefusedSender { sender, until, reason, listed } = refused.clone();
    RefusedSender { sender, until, reason, listed }
}

/// The budget of messages in any 60 seconds that a lane draws on.
pub(crate) fn minute<'a>(lane: &LaneReport, report: &'a Report) -> Option<&'a BudgetStatus> {
    let own = |budget: &&BudgetStatus| lane.status.budgets.contains(&budget.name);
    report.budgets.iter().filter(own).find(|budget| budget.counts == Counted::Messages && budget.window == MINUTE)
}

fn left_over(depth: &LaneDepth) -> Lane {
    Lane {
        name: depth.lane.to_string(),
        pool: depth.lane.to_string(),
        configured: false,
        active: 0,
        connection_permits: 0,
        connection_ceiling: 0,
        messages_per_minute: None,
        used_this_minute: 0,
        budgets: Vec::new(),
        open_connections: 0,
        idle_connections: 0,
        queued: depth.messages,
        next_due_at: depth.next_due_at,
        waiting: Waiting::default(),
        resting: None,
        paused: None,
        refused_senders: Vec::new(),
    }
}

pub(crate) fn budget(budget: BudgetStatus) -> Budget {
    Budget {
        name: budget.name.to_string(),
        counts: counted(budget.counts).to_owned(),
        window_seconds: budget.window.as_secs(),
        limit: budget.limit,
        ceiling: budget.ceiling,
        floor: budget.floor,
        reserve: budget.reserve,
        used: budget.used,
        free_at: budget.free_at,
        learnt: budget.learnt.map(|(reason, at)| Learnt { reason, at }),
    }
}

fn counted(counted: Counted) -> &'static str {
    match counted {
        Counted::Messages => "messages",
        Counted::Recipients => "recipients",
        Counted::External => "external",
        Counted::ExternalUnderProviderDomain => "external-under-provider-domain",
    }
}

pub(crate) fn open_breaker(open: &BreakerStatus) -> Breaker {
    breaker(&open.name, &open.lanes, &open.pause, open.since, open.probe_at)
}

pub(crate) fn breaker(
    breaker: &BreakerName,
    lanes: &[LaneName],
    pause: &Pause,
    since: Timestamp,
    probe_at: Timestamp,
) -> Breaker {
    Breaker {
        scope: breaker.scope.to_string(),
        name: breaker.name.to_string(),
        lanes: lanes.iter().map(ToString::to_string).collect(),
        pause: paused(pause, since, probe_at),
    }
}

fn paused(pause: &Pause, since: Timestamp, probe_at: Timestamp) -> Paused {
    let (code, reason, remedy) = (pause.code.clone(), pause.reason.clone(), pause.remedy.clone());
    Paused { code, reason, remedy, since, probe_at }
}

pub(crate) fn forecast(forecast: queue::Forecast) -> Forecast {
    Forecast {
        pool: forecast.pool.to_string(),
        messages: forecast.messages,
        drained_at: forecast.drained_at,
        short: forecast.short.map(|(budget, at)| Short { budget: budget.to_string(), at }),
    }
}

pub(crate) fn incident(open: alert::Open) -> Incident {
    let alert::Open { kind, about, severity, what, remedy, code, since } = open;
    Incident { kind, about, severity, what, remedy, code, since }
}

pub(crate) fn tested(tested: alert::Tested) -> api::Tested {
    let alert::Tested { channel, error } = tested;
    api::Tested { channel, error }
}
