//! What is due by the clock alone: idle connections, credentials that were replaced, the history, the ledger.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::context::{Context, Input};

const TEND: Duration = Duration::from_secs(5);
const PRUNE: Duration = Duration::from_secs(3_600);

pub(crate) async fn run(context: Arc<Context>, history: Duration) {
    let rounds = async {
        let mut ticks = interval(TEND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut prune_at = Instant::now();
        loop {
            let now = ticks.tick().await;
            for (lane, transport) in &context.transports {
                transport.tend().await;
                if transport.credential_replaced() {
                    // Nobody waits for the answer.
                    context.tell(Input::Probe(lane.clone(), oneshot::channel().0));
                }
            }
            if now >= prune_at {
                prune_at = now + PRUNE;
                prune(&context, history).await;
                prune_ledger(&context).await;
            }
        }
    };
    tokio::select! {
        () = rounds => {}
        () = context.stopping.cancelled() => {}
    }
}

async fn prune(context: &Context, history: Duration) {
    let Ok(before) = context.clock.now().checked_sub(history) else { return };
    match context.spool.prune_history(before).await {
        Ok(0) => {}
        Ok(messages) => tracing::info!(messages, "old messages deleted from the history"),
        Err(error) => tracing::warn!(%error, "the history could not be shortened"),
    }
}

/// What no window reaches any more. An hour is added, so that a clock set back by less takes nothing away.
async fn prune_ledger(context: &Context) {
    let Some(longest) = context.ways.longest() else { return };
    let Ok(before) = context.clock.now().checked_sub(longest + PRUNE) else { return };
    if let Err(error) = context.spool.prune_ledger(before).await {
        tracing::warn!(%error, "the ledger could not be shortened");
    }
}
