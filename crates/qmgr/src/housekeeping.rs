//! What is due by the clock alone: idle connections, the conservation of recipients, the history.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Gauge;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::context::Context;

const TEND: Duration = Duration::from_secs(5);
const COUNT: Duration = Duration::from_secs(60);
const PRUNE: Duration = Duration::from_secs(3_600);

pub(crate) async fn run(context: Arc<Context>, history: Duration) {
    let rounds = async {
        let mut ticks = interval(TEND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut count_at, mut prune_at) = (Instant::now(), Instant::now());
        let mut gap = 0;
        loop {
            let now = ticks.tick().await;
            for transport in context.transports.values() {
                transport.tend().await;
            }
            if now >= count_at {
                count_at = now + COUNT;
                gap = count(&context, gap).await;
            }
            if now >= prune_at {
                prune_at = now + PRUNE;
                prune(&context, history).await;
            }
        }
    };
    tokio::select! {
        () = rounds => {}
        () = context.stopping.cancelled() => {}
    }
}

/// Every recipient must be accounted for. Returns the gap; the same gap is told once.
async fn count(context: &Context, before: i128) -> i128 {
    let Ok(counters) = context.spool.counters().await else { return before };
    let settled = [counters.handed_over, counters.bounced, counters.expired, counters.removed];
    let known: i128 = settled.into_iter().chain([counters.queued]).map(i128::from).sum();
    let gap = i128::from(counters.accepted) - known;
    #[expect(clippy::cast_precision_loss, reason = "a gauge; any gap is small or a disaster either way")]
    context.metrics.set_gauge(Gauge::ConservationGap, "", gap as f64);
    if gap != before && !counters.conserved() {
        tracing::error!(
            alert = true,
            gap,
            accepted = counters.accepted,
            queued = counters.queued,
            "recipients are not accounted for: accepted is not queued + handed over + bounced + expired + removed; \
             hint: run `posthouse spool check`"
        );
    }
    gap
}

async fn prune(context: &Context, history: Duration) {
    let Ok(before) = context.clock.now().checked_sub(history) else { return };
    match context.spool.prune_history(before).await {
        Ok(0) => {}
        Ok(messages) => tracing::info!(messages, "old messages deleted from the history"),
        Err(error) => tracing::warn!(%error, "the history could not be shortened"),
    }
}
