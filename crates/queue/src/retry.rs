//! When a deferred message is tried again.
//!
//! In: attempts so far, what the remote asked for, `now`. Out: the next attempt, or expiry.
//! Invariant: never earlier than the remote asked, never later than expiry (one last attempt is made then).
//! RFC 5321 §4.5.4.1 gives the intervals we start from.

use std::time::Duration;

use jiff::Timestamp;

/// `[queue]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first, second, … attempt; the last repeats. Never empty, none zero.
    pub intervals: Vec<Duration>,
    /// Spread of an interval in per cent: it becomes interval ± this share, by `random`; the first one only less, so that
    /// "within a minute" stays true. Default 10.
    pub jitter_percent: u8,
    /// Life of a message. Default 3 days.
    pub expire: Duration,
    /// Age at which a delay is noted (and warned about). Default 4 hours.
    pub warn: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            intervals: [1, 5, 15, 30, 60, 120, 240].map(minutes).to_vec(),
            jitter_percent: 10,
            expire: minutes(3 * 24 * 60),
            warn: minutes(4 * 60),
        }
    }
}

impl RetryPolicy {
    /// When to try again after `attempts` counted attempts, the last of which ended `now`. `None`: the message's time is up.
    /// Where the remote asks for more patience than the message has life, the last attempt is made at the end of its life.
    pub fn next(
        &self,
        attempts: u32,
        now: Timestamp,
        accepted_at: Timestamp,
        not_before: Option<Timestamp>,
        random: u32,
    ) -> Option<Timestamp> {
        let expires_at = self.expires_at(accepted_at);
        if now >= expires_at {
            return None;
        }
        let scheduled = later(now, self.interval(attempts, random));
        Some(not_before.map_or(scheduled, |asked| asked.max(scheduled)).min(expires_at))
    }

    /// The end of a message's life: no attempt is scheduled for later than this.
    pub fn expires_at(&self, accepted_at: Timestamp) -> Timestamp {
        later(accepted_at, self.expire)
    }

    /// When a message that is still queued counts as delayed.
    pub fn warns_at(&self, accepted_at: Timestamp) -> Timestamp {
        later(accepted_at, self.warn)
    }

    /// The wait after that many attempts, spread.
    fn interval(&self, attempts: u32, random: u32) -> Duration {
        let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let base = self.intervals.get(place).or(self.intervals.last()).copied().unwrap_or(Duration::from_secs(60));
        let share = f64::from(random) / f64::from(u32::MAX) * 2.0 - 1.0;
        let share = if place == 0 { -share.abs() } else { share };
        base.mul_f64(1.0 + share * f64::from(self.jitter_percent.min(100)) / 100.0)
    }
}

/// That much later, as far as time goes.
pub(crate) fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// That much sooner, as far as time goes.
pub(crate) fn sooner(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_sub(wait).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACCEPTED: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn seconds(n: u64) -> Timestamp {
        later(ACCEPTED, Duration::from_secs(n))
    }

    #[test]
    fn the_intervals_grow_and_the_last_repeats() {
        let policy = RetryPolicy { jitter_percent: 0, ..RetryPolicy::default() };
        let minutes: Vec<i64> = [1, 2, 3, 4, 5, 6, 7, 8, 100]
            .into_iter()
            .map(|attempts| {
                policy.next(attempts, ACCEPTED, ACCEPTED, None, 7).unwrap().duration_since(ACCEPTED).as_mins()
            })
            .collect();
        assert_eq!(minutes, [1, 5, 15, 30, 60, 120, 240, 240, 240]);
    }

    #[test]
    fn the_remote_is_given_the_time_it_asks_for_but_not_past_the_end_of_life() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.next(1, ACCEPTED, ACCEPTED, Some(seconds(600)), 0), Some(seconds(600)));
        let for_ever = Some(Timestamp::MAX);
        assert_eq!(policy.next(1, ACCEPTED, ACCEPTED, for_ever, 0), Some(policy.expires_at(ACCEPTED)));
    }

    #[test]
    fn after_the_end_of_life_there_is_no_next_attempt() {
        let policy = RetryPolicy::default();
        let end = policy.expires_at(ACCEPTED);
        assert_eq!(policy.next(9, end, ACCEPTED, None, 0), None);
        assert_eq!(policy.next(9, seconds(3 * 86_400 - 1), ACCEPTED, None, 0), Some(end));
    }

    proptest! {
        #[test]
        fn an_attempt_lies_within_the_spread_of_its_interval_and_never_past_expiry(
            attempts in 1_u32..20, age in 0_u64..400_000, random: u32
        ) {
            let policy = RetryPolicy::default();
            let now = seconds(age);
            let base = policy.intervals[(attempts as usize - 1).min(6)].as_secs_f64();
            match policy.next(attempts, now, ACCEPTED, None, random) {
                None => prop_assert!(age >= 3 * 86_400),
                Some(next) => {
                    let wait = next.duration_since(now).as_secs_f64();
                    prop_assert!(next > now && next <= policy.expires_at(ACCEPTED));
                    prop_assert!(wait >= base * 0.899 || next == policy.expires_at(ACCEPTED));
                    let most = if attempts == 1 { base } else { base * 1.101 };
                    prop_assert!(wait <= most);
                }
            }
        }
    }
}
