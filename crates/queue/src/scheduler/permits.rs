//! A lane's permits: attempts at once, and messages in any 60 seconds.
//!
//! A message's permit counts from the start of its attempt until 60 seconds after the end: wherever in between the remote
//! counts it, the remote never sees more than the limit in any 60 seconds.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::retry::{later, sooner};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Permits {
    per_minute: Option<usize>,
    /// Attempts under way.
    active: usize,
    /// When those attempts ended whose permit still counts, oldest first; empty without a limit.
    ended: VecDeque<Timestamp>,
}

impl Permits {
    pub(super) fn new(per_minute: Option<u32>) -> Self {
        let per_minute = per_minute.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX).max(1));
        Self { per_minute, active: 0, ended: VecDeque::new() }
    }

    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// When an attempt may start beside the others, of which there may be `at_once` in all. `None`: when one ends.
    pub(super) fn free_at(&self, at_once: usize) -> Option<Timestamp> {
        if self.active >= at_once {
            return None;
        }
        let over = match self.per_minute {
            Some(limit) => (self.active + self.ended.len() + 1).saturating_sub(limit),
            None => 0,
        };
        match over {
            0 => Some(Timestamp::MIN),
            over => self.ended.get(over - 1).map(|ended_at| later(*ended_at, MINUTE)),
        }
    }

    pub(super) fn start(&mut self) {
        self.active += 1;
    }

    /// `counts`: whether the message's permit was used up.
    pub(super) fn end(&mut self, counts: bool, now: Timestamp) {
        self.active = self.active.saturating_sub(1);
        if counts && self.per_minute.is_some() {
            self.ended.push_back(now);
        }
    }

    /// An attempt of a former run of the program ended then.
    pub(super) fn recall(&mut self, ended_at: Timestamp) {
        if self.per_minute.is_some() {
            let place = self.ended.partition_point(|known| *known <= ended_at);
            self.ended.insert(place, ended_at);
        }
    }

    /// Drops what no longer counts.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while self.ended.front().is_some_and(|ended_at| later(*ended_at, MINUTE) <= now) {
            self.ended.pop_front();
        }
    }

    /// The clock was set back: what ended so long ago still did.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.ended.iter_mut().for_each(|ended_at| *ended_at = sooner(*ended_at, by));
    }

    /// Permits taken, attempts under way included.
    pub(super) fn used(&self, now: Timestamp) -> u32 {
        let recent = self.ended.iter().rev().take_while(|ended_at| later(**ended_at, MINUTE) > now).count();
        u32::try_from(self.active + recent).unwrap_or(u32::MAX)
    }
}
