//! When a deferred message is tried again.
//!
//! In: attempts so far, what the remote asked for, `now`. Out: the next attempt, or expiry.
//! Invariant: never earlier than the remote asked, never later than expiry (one last attempt is made then).
//! RFC 5321 §4.5.4.1 gives the intervals we start from.

use std::time::Duration;

/// `[queue]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first, second, … attempt; the last repeats. Never empty, none zero.
    pub intervals: Vec<Duration>,
    /// Spread of an interval in per cent: it becomes interval ± this share, by `random`. Default 10.
    pub jitter_percent: u8,
    /// Life of a message. Default 3 days.
    pub expire: Duration,
    /// Age at which a delay is noted (and warned about). Default 4 hours.
    pub warn: Duration,
}
