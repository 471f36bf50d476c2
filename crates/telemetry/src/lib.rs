//! What can be seen from outside: log set-up and metrics. Any crate that does I/O may use it.

mod logs;
mod metrics;

pub use logs::{LogFormat, init_logs};
pub use metrics::{Gauge, Metrics};
