//! The state of the ways out, as the loop and the spool know it together.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use queue::{LaneDepth, LaneStatus, Scheduler};
use telemetry::Gauge;
use tokio::sync::oneshot;

use crate::context::{Context, Input};
use crate::{LaneReport, Report};

/// The spool has so long to say what waits; without it there are no forecasts.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for it; empty when the queue manager has stopped.
pub(crate) async fn ask(context: &Arc<Context>) -> Report {
    let depths = tokio::time::timeout(PATIENCE, context.spool.lanes()).await;
    let depths = depths.ok().and_then(Result::ok).unwrap_or_default();
    let (answer, answered) = oneshot::channel();
    context.tell(Input::Status(depths, answer));
    answered.await.unwrap_or_default()
}

/// The loop's answer.
pub(crate) fn report(context: &Context, scheduler: &Scheduler, depths: &[LaneDepth], now: Timestamp) -> Report {
    let lane = |status: LaneStatus| {
        let transport = context.transports.get(&status.name);
        let (connections_open, connections_idle) = transport.map_or((0, 0), |transport| transport.connections());
        let refused_senders = transport.map(|transport| transport.refused_senders(now)).unwrap_or_default();
        LaneReport { status, connections_open, connections_idle, refused_senders }
    };
    let status = scheduler.status(now);
    for budget in &status.budgets {
        context.metrics.set_gauge(Gauge::BudgetUsed, &budget.name.0, float(budget.used));
        context.metrics.set_gauge(Gauge::BudgetLimit, &budget.name.0, float(budget.limit));
    }
    Report {
        lanes: status.lanes.into_iter().map(lane).collect(),
        budgets: status.budgets,
        breakers: status.breakers,
        forecasts: scheduler.forecast(depths, now),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge; counts stay far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
