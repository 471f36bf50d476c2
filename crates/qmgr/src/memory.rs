//! Small things that must survive a restart, on their way to the spool.
//!
//! In: keys and values, at any speed. Out: the spool remembers the last value of each key, in the order in which the keys
//! changed, however often it refuses at first. Never: a wait for whoever notes something.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::context::Context;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Memory {
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Default)]
struct Pending {
    /// Keys in the order in which they changed, each once.
    order: VecDeque<String>,
    values: HashMap<String, Option<String>>,
    /// Nothing comes any more.
    closed: bool,
}

impl Memory {
    /// To be remembered, or forgotten (`None`), soon.
    pub(crate) fn note(&self, key: String, value: Option<String>) {
        let mut pending = self.pending();
        if pending.values.insert(key.clone(), value).is_none() {
            pending.order.push_back(key);
        }
        drop(pending);
        self.changed.notify_one();
    }

    /// Nothing comes any more: what is still to be stored is tried once more.
    pub(crate) fn close(&self) {
        self.pending().closed = true;
        self.changed.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.pending().closed
    }

    fn take(&self) -> Option<(String, Option<String>)> {
        let mut pending = self.pending();
        let key = pending.order.pop_front()?;
        let value = pending.values.remove(&key)?;
        Some((key, value))
    }

    /// It could not be stored: first in line again, unless there is a later value.
    fn put_back(&self, key: String, value: Option<String>) {
        let mut pending = self.pending();
        if !pending.values.contains_key(&key) {
            pending.order.push_front(key.clone());
            pending.values.insert(key, value);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until `close`.
pub(crate) async fn run(context: &Context) {
    let memory = &context.memory;
    let mut wait = FIRST_WAIT;
    loop {
        let Some((key, value)) = memory.take() else {
            if memory.is_closed() {
                return;
            }
            memory.changed.notified().await;
            continue;
        };
        let closed = memory.is_closed();
        match context.spool.remember(&key, value.as_deref()).await {
            Ok(()) => wait = FIRST_WAIT,
            Err(error) if closed => {
                tracing::warn!(key, %error, "not stored before the relay stopped; an older value will be found");
            }
            Err(error) => {
                tracing::debug!(key, %error, "not stored yet");
                memory.put_back(key, value);
                rest(memory, wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// For so long, or until it is closed.
async fn rest(memory: &Memory, wait: Duration) {
    let closed = async {
        while !memory.is_closed() {
            memory.changed.notified().await;
        }
    };
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = closed => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_is_stored_once_in_the_order_of_the_first_change() {
        let memory = Memory::default();
        for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            memory.note(key.to_owned(), Some(value.to_owned()));
        }
        let taken = memory.take().unwrap();
        assert_eq!(taken, ("a".to_owned(), Some("3".to_owned())));
        memory.note("a".to_owned(), None);
        memory.put_back(taken.0, taken.1);
        assert_eq!(memory.take(), Some(("b".to_owned(), Some("2".to_owned()))));
        assert_eq!(memory.take(), Some(("a".to_owned(), None)), "a value that is older does not come back");
        assert_eq!(memory.take(), None);
    }
}
