//! How callers hand work to the two threads: an inbox that is emptied at one go, with as few wake-ups as possible.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A panic elsewhere does not make the value behind a lock unusable: every critical section here leaves it consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unbounded by itself; its callers wait for their answer, so it holds at most one item for each of them.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    waiting: bool,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Finish,
    Abandon,
}

/// What a wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Items,
    Nothing,
    /// No more will come.
    Over,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { items: Vec::new(), waiting: false, end: End::Open }), changed: Condvar::new() }
    }

    /// Hands over one item and wakes the thread. Gives it back when nobody will take it any more.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = lock(&self.state);
        if state.end != End::Open {
            return Err(item);
        }
        state.items.push(item);
        self.wake(state);
        Ok(())
    }

    /// Hands over items that nobody waits for: the thread is woken only when so many are there.
    pub(crate) fn push_quietly(&self, items: impl Iterator<Item = T>, enough: usize) {
        let mut state = lock(&self.state);
        if state.end != End::Abandon {
            state.items.extend(items);
            if state.items.len() >= enough {
                self.wake(state);
            }
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        if std::mem::take(&mut state.waiting) {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// All that is there, in order, after waiting at most so long for the first.
    pub(crate) fn take(&self, into: &mut Vec<T>, wait: Duration) -> Taken {
        let mut state = lock(&self.state);
        let mut waited = false;
        loop {
            if state.end == End::Abandon {
                state.items.clear();
                return Taken::Over;
            }
            if !state.items.is_empty() {
                into.append(&mut state.items);
                return Taken::Items;
            }
            if state.end == End::Finish {
                return Taken::Over;
            }
            if waited {
                return Taken::Nothing;
            }
            state.waiting = true;
            let (back, time) = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = back;
            waited = time.timed_out() || std::mem::replace(&mut state.waiting, false);
        }
    }

    /// Nothing more is taken in; what is there is still done.
    pub(crate) fn finish(&self) {
        self.end(End::Finish);
    }

    /// Nothing more is taken in, and what is there is dropped.
    pub(crate) fn abandon(&self) {
        self.end(End::Abandon);
    }

    fn end(&self, end: End) {
        let mut state = lock(&self.state);
        state.end = end;
        self.wake(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_AT_ALL: Duration = Duration::ZERO;

    #[test]
    fn items_come_out_in_order_and_at_one_go() {
        let inbox = Inbox::new();
        inbox.push(1).unwrap();
        inbox.push_quietly([2, 3].into_iter(), 10);
        let mut out = Vec::new();
        assert_eq!(inbox.take(&mut out, NOT_AT_ALL), Taken::Items);
        assert_eq!(out, [1, 2, 3]);
        assert_eq!(inbox.take(&mut out, NOT_AT_ALL), Taken::Nothing);
    }

    #[test]
    fn after_finish_what_is_there_is_done_and_nothing_more_taken_in() {
        let inbox = Inbox::new();
        inbox.push(1).unwrap();
        inbox.finish();
        assert_eq!(inbox.push(2), Err(2));
        let mut out = Vec::new();
        assert_eq!(inbox.take(&mut out, NOT_AT_ALL), Taken::Items);
        assert_eq!(inbox.take(&mut out, NOT_AT_ALL), Taken::Over);
    }

    #[test]
    fn after_abandon_what_is_there_is_dropped() {
        let inbox = Inbox::new();
        inbox.push(1).unwrap();
        inbox.abandon();
        assert_eq!(inbox.take(&mut Vec::new(), NOT_AT_ALL), Taken::Over);
    }

    #[test]
    fn a_waiting_thread_is_woken_by_one_item() {
        let inbox = Inbox::new();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| {
                let mut out = Vec::new();
                while inbox.take(&mut out, Duration::from_secs(60)) == Taken::Items {}
                out
            });
            inbox.push(7).unwrap();
            inbox.finish();
            assert_eq!(taker.join().unwrap(), [7]);
        });
    }
}
