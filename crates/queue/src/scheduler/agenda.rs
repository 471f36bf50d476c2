//! Who wants attention, and when: keys whose instant has come, in turn, and timers for the others.
//!
//! A key stands in turn at most once and has at most one timer; whoever takes a key sets it again. Nothing is ever
//! searched: a key that no longer wants attention keeps its place in turn and is passed over.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;

/// Keys are indices, from 0.
#[derive(Debug)]
pub(super) struct Agenda {
    turn: VecDeque<usize>,
    /// Keys in turn that still want attention.
    wanted: usize,
    timers: BTreeSet<(Timestamp, usize)>,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    in_turn: bool,
    wanted: bool,
    timer: Option<Timestamp>,
}

impl Agenda {
    pub(super) fn new(keys: usize) -> Self {
        Self { turn: VecDeque::new(), wanted: 0, timers: BTreeSet::new(), slots: vec![Slot::default(); keys] }
    }

    /// Attention is wanted at that instant; at once if it has come; not at all if `None`.
    pub(super) fn set(&mut self, key: usize, at: Option<Timestamp>, now: Timestamp) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let timer = at.filter(|at| *at > now);
        if slot.timer != timer {
            if let Some(old) = slot.timer {
                self.timers.remove(&(old, key));
            }
            if let Some(new) = timer {
                self.timers.insert((new, key));
            }
            slot.timer = timer;
        }
        let wanted = at.is_some() && timer.is_none();
        self.wanted = self.wanted + usize::from(wanted) - usize::from(slot.wanted);
        slot.wanted = wanted;
        if wanted && !slot.in_turn {
            slot.in_turn = true;
            self.turn.push_back(key);
        }
    }

    /// The next key in turn; it wants nothing until it is set again.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<usize> {
        while let Some((at, key)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.set(key, Some(at), now);
        }
        while let Some(key) = self.turn.pop_front() {
            let Some(slot) = self.slots.get_mut(key) else { continue };
            slot.in_turn = false;
            if std::mem::take(&mut slot.wanted) {
                self.wanted -= 1;
                return Some(key);
            }
        }
        None
    }

    /// When `take` has something.
    pub(super) fn earliest(&self, now: Timestamp) -> Option<Timestamp> {
        if self.wanted == 0 { self.timers.first().map(|(at, _)| *at) } else { Some(now) }
    }
}
