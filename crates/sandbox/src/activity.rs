//! What a mailbox has been doing: its sessions, its rate, its recipients of the day, its refusals in a row.
//!
//! All times come in as values. Memory is bounded: the windows hold one entry per tick, not per message.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::clock::later;
use crate::tenant::{Limits, RateExcess};

/// Counts what happened within a window that moves along.
#[derive(Debug)]
pub(crate) struct Rolling {
    window_ms: i64,
    tick_ms: i64,
    ticks: VecDeque<(i64, u64)>,
    sum: u64,
    most: u64,
}

impl Rolling {
    /// Exact to a tick.
    pub(crate) fn new(window: Duration, tick: Duration) -> Self {
        let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            window_ms: milliseconds(window),
            tick_ms: milliseconds(tick).max(1),
            ticks: VecDeque::new(),
            sum: 0,
            most: 0,
        }
    }

    pub(crate) fn add(&mut self, count: u64, now: Timestamp) {
        let now = self.tick(now);
        self.forget(now);
        match self.ticks.back_mut() {
            Some((tick, so_far)) if *tick >= now => *so_far += count,
            _ => self.ticks.push_back((now, count)),
        }
        self.sum += count;
        self.most = self.most.max(self.sum);
    }

    /// Within the window that ends now.
    pub(crate) fn sum(&mut self, now: Timestamp) -> u64 {
        let now = self.tick(now);
        self.forget(now);
        self.sum
    }

    /// The most that was ever within one window.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    pub(crate) fn reset_most(&mut self) {
        self.most = self.sum;
    }

    fn tick(&self, at: Timestamp) -> i64 {
        at.as_millisecond().div_euclid(self.tick_ms)
    }

    fn forget(&mut self, now: i64) {
        while let Some(&(tick, count)) = self.ticks.front()
            && (now - tick).saturating_mul(self.tick_ms) >= self.window_ms
        {
            self.sum -= count;
            self.ticks.pop_front();
        }
    }
}

/// A kind of failure that, in a row, gets a mailbox blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failing {
    /// 5.2.251
    MailboxFull,
    /// 5.2.252
    SendAsDenied,
}

/// When a message's reply is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Now,
    At(Timestamp),
    Refused,
}

/// Of one mailbox.
#[derive(Debug)]
pub(crate) struct Activity {
    sessions: u64,
    most_sessions: u64,
    submissions: u64,
    most_submissions: u64,
    accepted: u64,
    delayed: u64,
    minute: Rolling,
    slots: VecDeque<Timestamp>,
    day: Rolling,
    in_a_row: Option<(Failing, u32)>,
    blocked: Option<(Failing, Timestamp)>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            sessions: 0,
            most_sessions: 0,
            submissions: 0,
            most_submissions: 0,
            accepted: 0,
            delayed: 0,
            minute: Rolling::new(Duration::from_secs(60), Duration::from_millis(1)),
            slots: VecDeque::new(),
            day: Rolling::new(Duration::from_secs(86_400), Duration::from_secs(1)),
            in_a_row: None,
            blocked: None,
        }
    }
}

/// Of one mailbox, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MailboxStatistics {
    /// Messages taken.
    pub accepted: u64,
    /// Of these, messages whose reply had to wait for the rate.
    pub delayed: u64,
    /// Signed-in sessions now.
    pub sessions: u64,
    /// Most at a time.
    pub most_sessions: u64,
    /// Most messages under way at a time.
    pub most_submissions: u64,
    /// Most messages that came within any 60 seconds.
    pub most_messages_in_a_minute: u64,
    /// Recipients within the last 24 hours.
    pub recipients_today: u64,
    /// Most recipients within any 24 hours.
    pub most_recipients_in_a_day: u64,
    /// What it is blocked for now.
    pub blocked: Option<Failing>,
}

impl Activity {
    pub(crate) fn open_session(&mut self) {
        self.sessions += 1;
        self.most_sessions = self.most_sessions.max(self.sessions);
    }

    pub(crate) fn close_session(&mut self) {
        self.sessions = self.sessions.saturating_sub(1);
    }

    /// True if this one is within the limit.
    pub(crate) fn open_submission(&mut self, limits: &Limits) -> bool {
        self.submissions += 1;
        self.most_submissions = self.most_submissions.max(self.submissions);
        let counted = if limits.count_idle_sessions { self.sessions } else { self.submissions };
        limits.concurrent_submissions == 0 || counted <= u64::from(limits.concurrent_submissions)
    }

    pub(crate) fn close_submission(&mut self) {
        self.submissions = self.submissions.saturating_sub(1);
    }

    /// Whether the day has room for so many more recipients.
    pub(crate) fn has_room(&mut self, recipients: u64, limits: &Limits, now: Timestamp) -> bool {
        limits.recipients_per_day == 0 || self.day.sum(now) + recipients <= limits.recipients_per_day
    }

    /// A message has come whole: when may it be answered?
    pub(crate) fn pace(&mut self, limits: &Limits, now: Timestamp) -> Pace {
        self.minute.add(1, now);
        let Ok(rate) = usize::try_from(limits.messages_per_minute) else { return Pace::Now };
        if rate == 0 {
            return Pace::Now;
        }
        while self.slots.front().is_some_and(|slot| now.duration_since(*slot) >= SignedDuration::from_secs(60)) {
            self.slots.pop_front();
        }
        let free = self.slots.len().checked_sub(rate).and_then(|index| self.slots.get(index));
        let slot = free.map_or(now, |slot| later(*slot, Duration::from_secs(60)).max(now));
        if slot > now && limits.rate_excess == RateExcess::Refuse {
            return Pace::Refused;
        }
        self.slots.push_back(slot);
        if slot > now { Pace::At(slot) } else { Pace::Now }
    }

    /// A message was taken.
    pub(crate) fn accepted(&mut self, recipients: u64, delayed: bool, now: Timestamp) {
        self.accepted += 1;
        self.delayed += u64::from(delayed);
        self.day.add(recipients, now);
        self.in_a_row = None;
    }

    /// A message was refused for a reason that counts.
    pub(crate) fn failed(&mut self, kind: Failing, limits: &Limits, now: Timestamp) {
        let count = match self.in_a_row {
            Some((before, count)) if before == kind => count + 1,
            _ => 1,
        };
        self.in_a_row = Some((kind, count));
        if limits.refusals_until_block > 0 && count >= limits.refusals_until_block {
            let minutes = u64::from(limits.block_minutes);
            self.blocked = Some((kind, later(now, Duration::from_secs(minutes * 60))));
            self.in_a_row = None;
        }
    }

    /// What the mailbox is blocked for, if it is.
    pub(crate) fn blocked(&mut self, now: Timestamp) -> Option<Failing> {
        self.blocked = self.blocked.filter(|(_, until)| *until > now);
        self.blocked.map(|(kind, _)| kind)
    }

    pub(crate) fn statistics(&mut self, now: Timestamp) -> MailboxStatistics {
        MailboxStatistics {
            accepted: self.accepted,
            delayed: self.delayed,
            sessions: self.sessions,
            most_sessions: self.most_sessions,
            most_submissions: self.most_submissions,
            most_messages_in_a_minute: self.minute.most(),
            recipients_today: self.day.sum(now),
            most_recipients_in_a_day: self.day.most(),
            blocked: self.blocked(now),
        }
    }

    /// Starts the counters anew; limits and open sessions stay as they are.
    pub(crate) fn reset_statistics(&mut self) {
        self.accepted = 0;
        self.delayed = 0;
        self.most_sessions = self.sessions;
        self.most_submissions = self.submissions;
        self.minute.reset_most();
        self.day.reset_most();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn a_rolling_window_forgets_to_the_tick() {
        let mut window = Rolling::new(Duration::from_secs(60), Duration::from_millis(1));
        window.add(2, at(0));
        window.add(3, at(30));
        assert_eq!(window.sum(at(59)), 5);
        assert_eq!(window.sum(at(60)), 3);
        assert_eq!(window.sum(at(90)), 0);
        assert_eq!(window.most(), 5);
    }

    #[test]
    fn a_clock_that_goes_back_harms_nothing() {
        let mut window = Rolling::new(Duration::from_secs(60), Duration::from_millis(1));
        window.add(1, at(10));
        window.add(1, at(0));
        assert_eq!(window.sum(at(0)), 2);
        assert_eq!(window.sum(at(71)), 0);
    }

    #[test]
    fn the_thirty_first_message_waits_until_the_first_is_a_minute_old() {
        let (mut activity, limits) = (Activity::default(), Limits::default());
        for second in 0..30 {
            assert_eq!(activity.pace(&limits, at(second)), Pace::Now);
        }
        assert_eq!(activity.pace(&limits, at(30)), Pace::At(at(60)));
        assert_eq!(activity.pace(&limits, at(30)), Pace::At(at(61)));
        assert_eq!(activity.pace(&limits, at(62)), Pace::Now);
        assert_eq!(activity.statistics(at(62)).most_messages_in_a_minute, 32);
    }

    #[test]
    fn a_whole_minute_over_the_rate_is_carried_over_into_the_next() {
        let (mut activity, limits) = (Activity::default(), Limits { messages_per_minute: 2, ..Limits::default() });
        let paces: Vec<Pace> = (0..6).map(|_| activity.pace(&limits, at(0))).collect();
        assert_eq!(
            paces,
            [Pace::Now, Pace::Now, Pace::At(at(60)), Pace::At(at(60)), Pace::At(at(120)), Pace::At(at(120))]
        );
    }

    #[test]
    fn the_rate_can_refuse_and_a_refused_message_takes_no_room() {
        let limits = Limits { messages_per_minute: 1, rate_excess: RateExcess::Refuse, ..Limits::default() };
        let mut activity = Activity::default();
        assert_eq!(activity.pace(&limits, at(0)), Pace::Now);
        assert_eq!(activity.pace(&limits, at(59)), Pace::Refused);
        assert_eq!(activity.pace(&limits, at(60)), Pace::Now);
    }

    #[test]
    fn recipients_of_the_day_come_back_after_24_hours() {
        let limits = Limits { recipients_per_day: 10, ..Limits::default() };
        let mut activity = Activity::default();
        assert!(activity.has_room(10, &limits, at(0)));
        activity.accepted(10, false, at(0));
        assert!(!activity.has_room(1, &limits, at(86_399)));
        assert!(activity.has_room(10, &limits, at(86_400)));
    }

    #[test]
    fn only_failures_of_one_kind_in_a_row_block_and_the_block_ends() {
        let limits = Limits { refusals_until_block: 2, block_minutes: 30, ..Limits::default() };
        let mut activity = Activity::default();
        activity.failed(Failing::SendAsDenied, &limits, at(0));
        activity.accepted(1, false, at(1));
        activity.failed(Failing::SendAsDenied, &limits, at(2));
        activity.failed(Failing::MailboxFull, &limits, at(3));
        assert_eq!(activity.blocked(at(4)), None);
        activity.failed(Failing::MailboxFull, &limits, at(5));
        assert_eq!(activity.blocked(at(6)), Some(Failing::MailboxFull));
        assert_eq!(activity.blocked(at(5 + 1800)), None);
    }

    #[test]
    fn the_fourth_submission_is_over_the_limit() {
        let (mut activity, limits) = (Activity::default(), Limits::default());
        let within: Vec<bool> = (0..4).map(|_| activity.open_submission(&limits)).collect();
        assert_eq!(within, [true, true, true, false]);
        activity.close_submission();
        activity.close_submission();
        assert!(activity.open_submission(&limits));
        assert_eq!(activity.statistics(at(0)).most_submissions, 4);
    }
}
