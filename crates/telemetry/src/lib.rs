//! What can be seen from outside: log set-up, metrics, and incidents. Any crate that does I/O may use it.
//!
//! In: what happened, as numbers and short labels. Out: log lines on stderr, and a page of OpenMetrics text. Never: a word
//! of a message's content, a secret, a network.

mod bounded;
mod incident;
mod logs;
mod metrics;

pub use incident::{Incident, IncidentKind, Incidents, Recorded, Severity, Told};
pub use logs::{LogFormat, init_logs};
pub use metrics::{Gauge, Metrics};
