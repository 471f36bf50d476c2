//! A family of counters that a peer cannot make grow without end: labels come partly from what remotes say.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Counts by label; once there are [`LIMIT`] label sets, what is new is counted under its `rest`.
#[derive(Debug)]
pub(crate) struct Bounded<L: Clone + Hash + Eq> {
    pub(crate) family: Family<L, Counter>,
    label_sets: AtomicUsize,
}

/// Label sets of one metric. Ordinary relays have tens; a scrape of a thousand is still small.
pub(crate) const LIMIT: usize = 1_000;

impl<L: Clone + Hash + Eq> Default for Bounded<L> {
    fn default() -> Self {
        Self { family: Family::default(), label_sets: AtomicUsize::new(0) }
    }
}

impl<L: Clone + Hash + Eq> Bounded<L> {
    /// One more of `labels`.
    pub(crate) fn inc(&self, labels: L, rest: impl FnOnce(L) -> L) {
        if let Some(counter) = self.family.get(&labels) {
            counter.inc();
            return;
        }
        // Two that come at once with the same new labels count twice: the limit is then reached a little early.
        let labels = if self.label_sets.fetch_add(1, Ordering::Relaxed) < LIMIT { labels } else { rest(labels) };
        self.family.get_or_create(&labels).inc();
    }
}
