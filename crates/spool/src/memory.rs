//! How much of all sessions' bodies is in memory, and its limit; and how many are being received.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The budget. Cheap to share.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    used: Arc<AtomicU64>,
    limit: u64,
}

impl Memory {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: Arc::new(AtomicU64::new(0)), limit }
    }

    /// A claim of nothing, to be enlarged.
    pub(crate) fn claim(&self) -> Claim {
        Claim { memory: self.clone(), octets: 0 }
    }

    fn take(&self, octets: u64) -> bool {
        let limit = self.limit;
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(octets).filter(|sum| *sum <= limit)
            })
            .is_ok()
    }
}

/// How many bodies are being received right now: the appender waits a moment for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receiving(Arc<AtomicUsize>);

impl Receiving {
    /// One more, until what comes back is dropped.
    pub(crate) fn one(&self) -> UnderWay {
        self.0.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.0))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that is being received.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    memory: Memory,
    octets: u64,
}

impl Claim {
    /// False if the budget does not allow so many octets in all.
    pub(crate) fn enlarge(&mut self, octets: usize) -> bool {
        let more = (octets as u64).saturating_sub(self.octets);
        let granted = self.memory.take(more);
        if granted {
            self.octets += more;
        }
        granted
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_for_all_claims_together_and_a_dropped_one_gives_its_share_back() {
        let memory = Memory::new(100);
        let (mut one, mut two) = (memory.claim(), memory.claim());
        assert!(one.enlarge(60) && !two.enlarge(41) && two.enlarge(40));
        assert!(one.enlarge(10), "smaller than what it has: nothing to do");
        drop(one);
        assert!(two.enlarge(100) && !two.enlarge(101));
    }
}
