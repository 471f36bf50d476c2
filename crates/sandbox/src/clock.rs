//! The sandbox's time: real time plus an offset that only grows.
//!
//! Limits, the life of tokens and secrets, and idle time-outs follow it, so that a test sees a day go by at once. What
//! arrives stamped by the other side (the validity of a client assertion) is judged by [`Clock::real`].

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

/// Shared by everything in one sandbox; nothing of it is global.
#[derive(Debug)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
    offset: watch::Sender<Duration>,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the sandbox asks what time it is")]
    pub(crate) fn start() -> Self {
        let started_at = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { started_at, started: Instant::now(), offset: watch::Sender::new(Duration::ZERO) }
    }

    /// Time without the offset.
    pub fn real(&self) -> Timestamp {
        later(self.started_at, self.started.elapsed())
    }

    /// Time with the offset: what the sandbox goes by.
    pub fn now(&self) -> Timestamp {
        later(self.real(), self.offset())
    }

    /// How far ahead of real time the clock is.
    pub fn offset(&self) -> Duration {
        *self.offset.borrow()
    }

    /// Moves the clock forward; whoever waits for a time that has now come is woken.
    pub fn advance(&self, by: Duration) {
        self.offset.send_modify(|offset| *offset = offset.saturating_add(by));
    }

    /// Returns when `until` has come, by waiting or by [`Clock::advance`].
    pub(crate) async fn sleep_until(&self, until: Timestamp) {
        let mut offset = self.offset.subscribe();
        loop {
            offset.borrow_and_update();
            let Ok(left) = Duration::try_from(until.duration_since(self.now())) else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = offset.changed() => {}
            }
        }
    }
}

/// `at` plus `by`, kept within what a timestamp can hold.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn advancing_moves_now_and_not_real() {
        let clock = Clock::start();
        let (now, real) = (clock.now(), clock.real());
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(clock.now().duration_since(now), SignedDuration::from_hours(24));
        assert_eq!(clock.real(), real);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_wakes_when_the_clock_is_advanced_past_its_time() {
        let clock = std::sync::Arc::new(Clock::start());
        let began = Instant::now();
        let until = later(clock.now(), Duration::from_secs(3600));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(until).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3601));
        sleeper.await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_is_not_woken_too_early_by_a_small_step() {
        let clock = std::sync::Arc::new(Clock::start());
        let began = Instant::now();
        let until = later(clock.now(), Duration::from_secs(60));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(until).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(20));
        sleeper.await.unwrap();
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(40) && waited < Duration::from_secs(41), "{waited:?}");
    }
}
