//! A sum over a rolling window of time, exact to a tick.
//!
//! What is added at one instant counts until the window's length later. Entries are kept by the tick (a millisecond for a
//! window of a minute, a second for a day), each at its tick's end: the sum is never too small, and there are never more
//! entries than ticks.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// Ticks of a window, at most.
const TICKS: i64 = 86_400;
/// No window is longer than this many milliseconds (a thousand years), so that sums with instants stay in range.
const LONGEST: i64 = 1_000 * 365 * 86_400_000;

#[derive(Debug)]
pub(super) struct Window {
    /// In milliseconds, as all times here.
    length: i64,
    tick: i64,
    /// Oldest first.
    entries: VecDeque<(i64, u64)>,
    sum: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let length = i64::try_from(length.as_micros().div_ceil(1_000)).unwrap_or(LONGEST).clamp(1, LONGEST);
        Self { length, tick: (length + TICKS - 1) / TICKS, entries: VecDeque::new(), sum: 0 }
    }

    /// With fewer, longer ticks.
    pub(super) fn coarse(length: Duration, tick: Duration) -> Self {
        let window = Self::new(length);
        Self { tick: i64::try_from(tick.as_millis()).unwrap_or(LONGEST).max(window.tick), ..window }
    }

    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    pub(super) fn add(&mut self, at: Timestamp, amount: u64) {
        if amount == 0 {
            return;
        }
        let millisecond = at.as_millisecond() + i64::from(at.subsec_nanosecond() % 1_000_000 > 0);
        let at = millisecond.saturating_add(self.tick - 1).div_euclid(self.tick) * self.tick;
        self.sum = self.sum.saturating_add(amount);
        match self.entries.back_mut() {
            Some((last, known)) if *last == at => *known = known.saturating_add(amount),
            Some((last, _)) if *last > at => {
                let place = self.entries.partition_point(|(known, _)| *known < at);
                match self.entries.get_mut(place) {
                    Some((known, sum)) if *known == at => *sum = sum.saturating_add(amount),
                    _ => self.entries.insert(place, (at, amount)),
                }
            }
            _ => self.entries.push_back((at, amount)),
        }
    }

    /// Drops what no longer counts.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let gone = now.as_millisecond().saturating_sub(self.length);
        while let Some((_, amount)) = self.entries.pop_front_if(|(at, _)| *at <= gone) {
            self.sum = self.sum.saturating_sub(amount);
        }
    }

    /// When so much of what counts now counts no more; `None`: there is not so much.
    pub(super) fn loses(&self, amount: u64) -> Option<Timestamp> {
        let mut lost = 0_u64;
        let (at, _) = self.entries.iter().find(|(_, amount_then)| {
            lost = lost.saturating_add(*amount_then);
            lost >= amount
        })?;
        Timestamp::from_millisecond(at + self.length).ok()
    }

    /// The clock was set back: what was added so long ago still was.
    pub(super) fn set_back(&mut self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(LONGEST);
        self.entries.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(by));
    }

    /// When each amount counts no more, in milliseconds, the first first.
    pub(super) fn losses(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.entries.iter().map(|(at, amount)| (at + self.length, *amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

    #[test]
    fn what_is_added_counts_for_the_window_and_not_a_tick_less() {
        let mut minute = Window::new(Duration::from_secs(60));
        minute.add(START + Duration::from_micros(1_500), 1);
        minute.forget(START + Duration::from_millis(60_001));
        assert_eq!((minute.sum(), minute.loses(1)), (1, Some(START + Duration::from_millis(60_002))));
        minute.forget(START + Duration::from_millis(60_002));
        assert_eq!((minute.sum(), minute.loses(1)), (0, None));
    }

    #[test]
    fn a_day_keeps_no_more_entries_than_it_has_seconds() {
        let mut day = Window::new(Duration::from_secs(86_400));
        for n in 0..1_000_000_u64 {
            let at = START + Duration::from_millis(n * 200);
            day.forget(at);
            day.add(at, 1);
        }
        assert!(day.entries.len() <= 86_401, "{}", day.entries.len());
        assert!((432_000..=432_010).contains(&day.sum()), "{}", day.sum());
    }

    proptest! {
        #[test]
        fn the_sum_is_never_below_the_exact_one_and_above_it_for_no_more_than_a_tick(
            seconds in 1_u64..200_000, added in proptest::collection::vec((0_u64..400_000_000, 1_u64..5), 1..60), look: u32
        ) {
            let mut window = Window::new(Duration::from_secs(seconds));
            let tick = Duration::from_millis(seconds * 1_000 / 86_400 + 2);
            let now = START + Duration::from_millis(u64::from(look) % 600_000_000);
            let added: Vec<_> = added.into_iter().map(|(at, n)| (START + Duration::from_millis(at), n)).collect();
            for (at, amount) in &added {
                window.add(*at, *amount);
            }
            window.forget(now);
            let length = Duration::from_secs(seconds);
            let exact = |now: Timestamp| added.iter().filter(|(at, _)| *at + length > now).map(|(_, n)| n).sum::<u64>();
            prop_assert!(exact(now) <= window.sum() && window.sum() <= exact(now - tick));
        }
    }
}
