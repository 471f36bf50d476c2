//! Gauges are read when somebody asks for the page, and set just before it is written.

use queue::{Counters, SpoolState};
use telemetry::Gauge;

use crate::State;
use crate::health::seconds_between;
use crate::ways;

impl State {
    /// The page of metrics. What cannot be read keeps its last value; that it could not shows in the spool's own gauge.
    pub(crate) async fn metrics_page(&self) -> String {
        self.set_spool_gauges();
        match self.spool.counters().await {
            Ok(counters) => self.set_queue_gauges(&counters),
            Err(error) => tracing::warn!(%error, "the queue's counters could not be read for the metrics"),
        }
        match self.spool.lanes().await {
            Ok(depths) => {
                let due = depths.iter().filter_map(|depth| depth.next_due_at).min();
                self.set(Gauge::QueueLagSeconds, due.map_or(0, |due| seconds_between(due, self.clock.now())));
            }
            Err(error) => tracing::warn!(%error, "the queue's lag could not be read for the metrics"),
        }
        self.set_lane_gauges().await;
        self.metrics.render()
    }

    fn set(&self, gauge: Gauge, value: u64) {
        self.metrics.set_gauge(gauge, "", float(value));
    }

    fn set_spool_gauges(&self) {
        let health = self.spool.health();
        self.set(Gauge::SpoolFree, health.free_bytes);
        self.set(Gauge::SpoolUsed, health.used_bytes);
        self.set(Gauge::SpoolAccepting, u64::from(health.state == SpoolState::Accepting));
    }

    fn set_queue_gauges(&self, counters: &Counters) {
        self.set(Gauge::QueueMessages, counters.messages);
        self.set(Gauge::QueueRecipients, counters.queued);
        self.set(Gauge::QueueHeld, counters.held);
        self.set(
            Gauge::QueueOldestSeconds,
            counters.oldest.map_or(0, |oldest| seconds_between(oldest, self.clock.now())),
        );
        let settled = counters.handed_over + counters.bounced + counters.expired + counters.removed;
        self.metrics.set_gauge(Gauge::ConservationGap, "", float(counters.accepted) - float(counters.queued + settled));
    }

    async fn set_lane_gauges(&self) {
        let report = self.report().await;
        for lane in &report.lanes {
            let set = |gauge, value: u64| self.metrics.set_gauge(gauge, &lane.status.name.0, float(value));
            set(Gauge::LaneActive, lane.status.active as u64);
            set(Gauge::LaneConnections, lane.status.connections as u64);
            set(Gauge::LanePaused, u64::from(!lane.status.open.is_empty()));
            set(Gauge::LaneMinuteUsed, ways::minute(lane, &report).map_or(0, |budget| budget.used));
        }
    }
}

/// Exact up to 2^53.
fn float(value: u64) -> f64 {
    value as f64
}
