//! A lane that rests after a link fault, or because a server is not well: for a while nothing, then one attempt at a time
//! until one goes well. Each rest in a row is longer.
//!
//! A fault may be one connection's alone: an attempt that began after the one that failed and went well ends the rest.

use std::time::Duration;

use jiff::Timestamp;

use crate::MessageId;
use crate::retry::{later, sooner};

/// Neither a rest nor the wait for a probe is shorter.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// Neither grows beyond this by repetition.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Neither grows beyond so many times its first length.
pub(super) const GROWTH: u32 = 16;
/// Rests for so long without an attempt that went well are no hiccup: somebody must know.
const TOLD_AFTER: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct Rest {
    pub(super) until: Timestamp,
    pub(super) reason: String,
    /// The first attempt that failed.
    pub(super) first_fault: u64,
    /// The last attempt that was started after a rest.
    pub(super) last: Option<MessageId>,
    /// Rests since the lane last worked, this one included.
    count: u32,
    /// When the first of them began.
    pub(super) since: Timestamp,
    /// The latest attempt that failed: what began after it and went well ends the rest.
    fault: u64,
}

impl Rest {
    pub(super) fn new(wait: Duration, reason: &str, fault: u64, now: Timestamp) -> Self {
        let until = later(now, wait.max(SHORTEST));
        Self { until, reason: reason.to_owned(), first_fault: fault, last: None, count: 1, since: now, fault }
    }

    /// Another attempt failed. Returns the wait if there is no end of it.
    pub(super) fn again(&mut self, wait: Duration, reason: &str, fault: u64, now: Timestamp) -> Option<Duration> {
        if now >= self.until {
            self.count = self.count.saturating_add(1);
        }
        let wait = grown(wait.max(SHORTEST), self.count);
        self.until = self.until.max(later(now, wait));
        self.fault = self.fault.max(fault);
        reason.clone_into(&mut self.reason);
        (now >= later(self.since, TOLD_AFTER)).then_some(wait)
    }

    /// Whether an attempt that went well ends it.
    pub(super) fn is_ended_by(&self, serial: u64) -> bool {
        serial > self.fault
    }

    pub(super) fn set_back(&mut self, by: Duration) {
        self.since = sooner(self.since, by);
        self.until = sooner(self.until, by);
    }
}

/// The n-th wait in a row: doubled each time, within bounds, never shorter than asked for.
pub(super) fn grown(wait: Duration, count: u32) -> Duration {
    let factor = 1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(GROWTH).clamp(1, GROWTH);
    wait.saturating_mul(factor).min(LONGEST).max(wait)
}
