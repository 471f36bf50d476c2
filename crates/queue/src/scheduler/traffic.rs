//! How much mail comes to a pool, of what size, and how long an attempt takes: for the forecast.

use std::time::Duration;

use jiff::Timestamp;

use crate::Cost;
use crate::retry::{later, sooner};

/// Arrivals are counted by this, …
const SPAN: Duration = Duration::from_secs(5 * 60);
/// … for so many of them.
const SPANS: usize = 12;
/// Messages that the mean size is taken of, about.
const REMEMBERED: u64 = 1_024;

/// Sums over messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) messages: u64,
    pub(super) recipients: u64,
    pub(super) external: u64,
    pub(super) external_under_provider_domain: u64,
}

#[derive(Debug)]
pub(super) struct Traffic {
    sizes: Sums,
    /// The last one is the present span.
    arrivals: [u64; SPANS],
    span_began_at: Timestamp,
    /// Counting began then.
    since: Option<Timestamp>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { sizes: Sums::default(), arrivals: [0; SPANS], span_began_at: Timestamp::MIN, since: None }
    }
}

impl Sums {
    pub(super) fn add(&mut self, cost: &Cost) {
        self.messages += 1;
        self.recipients += u64::from(cost.recipients);
        self.external += u64::from(cost.external);
        self.external_under_provider_domain += u64::from(cost.external_under_provider_domain);
    }

    fn halve(&mut self) {
        for sum in
            [&mut self.messages, &mut self.recipients, &mut self.external, &mut self.external_under_provider_domain]
        {
            *sum /= 2;
        }
    }
}

impl Traffic {
    /// A message has just been accepted.
    pub(super) fn arrive(&mut self, cost: &Cost, now: Timestamp) {
        self.sizes.add(cost);
        if self.sizes.messages >= 2 * REMEMBERED {
            self.sizes.halve();
        }
        self.turn(now);
        if let Some(present) = self.arrivals.last_mut() {
            *present += 1;
        }
    }

    pub(super) fn sizes(&self) -> Sums {
        self.sizes
    }

    /// Messages accepted a second, of late.
    pub(super) fn arrivals_per_second(&self, now: Timestamp) -> f64 {
        let Some(since) = self.since else { return 0.0 };
        let age = seconds(self.span_began_at, now);
        let whole = SPAN.as_secs_f64();
        // Spans that have gone by since the last arrival count as empty ones.
        let gone = (age / whole) as usize;
        let messages: u64 = self.arrivals.iter().skip(gone).sum();
        let covered = (whole * (SPANS - 1) as f64 + age % whole).min(seconds(since, now)).max(60.0);
        messages as f64 / covered
    }

    pub(super) fn set_back(&mut self, by: Duration) {
        self.span_began_at = sooner(self.span_began_at, by);
        self.since = self.since.map(|since| sooner(since, by));
    }

    /// Begins new spans as time goes on.
    fn turn(&mut self, now: Timestamp) {
        if now == Timestamp::MIN {
            return;
        }
        if self.since.is_none() {
            (self.since, self.span_began_at) = (Some(now), now);
        }
        let mut turned = 0;
        while now >= later(self.span_began_at, SPAN) {
            if turned == SPANS {
                self.span_began_at = now;
                return;
            }
            self.arrivals.rotate_left(1);
            if let Some(present) = self.arrivals.last_mut() {
                *present = 0;
            }
            self.span_began_at = later(self.span_began_at, SPAN);
            turned += 1;
        }
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

    #[test]
    fn the_rate_is_that_of_the_last_hour_and_ends_with_the_mail() {
        let mut traffic = Traffic::default();
        let at = |second: u64| START + Duration::from_secs(second);
        for minute in 0..180_u64 {
            let cost = Cost { messages: 1, recipients: 3, ..Cost::default() };
            (0..6).for_each(|n| traffic.arrive(&cost, at(60 * minute + 10 * n)));
        }
        let rate = traffic.arrivals_per_second(at(180 * 60));
        assert!((0.095..0.105).contains(&rate), "{rate}");
        assert!((1_024..2_048).contains(&traffic.sizes().messages));
        assert_eq!(traffic.sizes().recipients, 3 * traffic.sizes().messages);
        let half_an_hour_later = traffic.arrivals_per_second(at(210 * 60));
        assert!((0.04..0.06).contains(&half_an_hour_later), "{half_an_hour_later}");
        assert_eq!(traffic.arrivals_per_second(at(250 * 60)), 0.0);
    }

    #[test]
    fn the_first_minutes_are_not_taken_for_an_hour() {
        let mut traffic = Traffic::default();
        for second in 0..120 {
            traffic.arrive(&Cost::default(), START + Duration::from_secs(second));
        }
        let rate = traffic.arrivals_per_second(START + Duration::from_secs(120));
        assert!((0.95..1.05).contains(&rate), "{rate}");
    }
}
