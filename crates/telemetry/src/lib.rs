//! What can be seen from outside: log set-up and metrics. Any crate that does I/O may use it.
//!
//! In: what happened, as numbers and short labels. Out: log lines on stderr, and a page of OpenMetrics text. Never: a word
//! of a message's content, a secret, a network.

mod bounded;
mod logs;
mod metrics;

pub use logs::{LogFormat, init_logs};
pub use metrics::{Gauge, Metrics};
