//! One line of a pool: a bounded window onto the messages of one class in the spool, with what each costs.
//!
//! `messages` are leased and wait here. What did not fit, or becomes due, stands in the spool behind them; once there is such
//! mail, arrivals stand behind it too, until a fetch has found the end of it.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::retry::sooner;
use crate::{Cost, MessageId};

#[derive(Debug, Default)]
pub(super) struct Line {
    messages: VecDeque<(MessageId, Cost)>,
    /// Mail that is due stands in the spool.
    unfetched: bool,
    /// When mail in the spool becomes due.
    next_due_at: Option<Timestamp>,
    /// A fetch is under way.
    asked: bool,
    /// The line has been told of more mail since it asked: the answer may not hold it.
    changed: bool,
    /// After a failed fetch: not before.
    retry_at: Option<Timestamp>,
    /// Turns that it is behind (or ahead), in the choice between the lines.
    pub(super) credit: i32,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes a message in, unless it must stay in the spool.
    pub(super) fn arrive(&mut self, id: MessageId, cost: Cost, window: usize) -> bool {
        let taken = !self.unfetched && !self.asked && self.messages.len() < window;
        if taken {
            self.messages.push_back((id, cost));
        } else {
            self.more_unfetched();
        }
        taken
    }

    /// Mail becomes due in the spool.
    pub(super) fn due(&mut self, due_at: Timestamp, now: Timestamp) {
        if due_at <= now {
            self.more_unfetched();
        } else {
            self.next_due_at = earlier(self.next_due_at, Some(due_at));
        }
    }

    fn more_unfetched(&mut self) {
        self.unfetched = true;
        self.changed = true;
    }

    /// When somebody must look whether to fetch.
    pub(super) fn look_at(&self, window: usize) -> Option<Timestamp> {
        if self.asked {
            return None;
        }
        match self.unfetched {
            true if self.messages.len() > window / 2 => None,
            true => self.retry_at.or(Some(Timestamp::MIN)),
            false => self.next_due_at,
        }
    }

    /// How many to fetch, if now is the time. The answer is waited for.
    pub(super) fn ask(&mut self, window: usize, now: Timestamp) -> Option<usize> {
        if self.next_due_at.is_some_and(|due_at| due_at <= now) {
            self.next_due_at = None;
            self.more_unfetched();
        }
        let room = window.saturating_sub(self.messages.len());
        if room == 0 || self.look_at(window).is_none_or(|at| at > now) {
            return None;
        }
        self.asked = true;
        self.changed = false;
        self.next_due_at = None;
        Some(room)
    }

    /// The answer: what was fetched, whether that was all there is, and when there is more.
    pub(super) fn fetched(
        &mut self,
        messages: &[(MessageId, Cost)],
        all: bool,
        next_due_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.asked = false;
        self.retry_at = None;
        self.messages.extend(messages);
        self.unfetched = !all || self.changed;
        if let Some(due_at) = next_due_at {
            self.due(due_at, now);
        }
    }

    pub(super) fn fetch_failed(&mut self, retry_at: Timestamp) {
        self.asked = false;
        self.unfetched = true;
        self.retry_at = Some(retry_at);
    }

    /// The clock was set back: waits are as long as they were, and what the spool says of later is asked anew.
    pub(super) fn set_back(&mut self, by: Duration, now: Timestamp) {
        self.retry_at = self.retry_at.map(|at| sooner(at, by));
        self.next_due_at = self.next_due_at.map(|at| at.min(now));
    }

    /// The first that is not that one, and its place.
    pub(super) fn first(&self, except: Option<MessageId>) -> Option<(usize, MessageId, Cost)> {
        let mut places = self.messages.iter().enumerate();
        places.find(|(_, (id, _))| Some(*id) != except).map(|(place, (id, cost))| (place, *id, *cost))
    }

    pub(super) fn take(&mut self, place: usize) -> Option<MessageId> {
        self.messages.remove(place).map(|(id, _)| id)
    }

    pub(super) fn remove(&mut self, id: MessageId) -> bool {
        let place = self.messages.iter().position(|(known, _)| *known == id);
        place.and_then(|place| self.messages.remove(place)).is_some()
    }

    /// All ids; their mail stands in the spool from now on.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = MessageId> + '_ {
        self.unfetched |= !self.messages.is_empty();
        self.messages.drain(..).map(|(id, _)| id)
    }

    pub(super) fn costs(&self) -> impl Iterator<Item = &Cost> {
        self.messages.iter().map(|(_, cost)| cost)
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
