//! Answers that are kept for a while, so that neither a log nor a person asks the DNS the same thing over and over.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer is good for.
pub(crate) const KEPT: Duration = Duration::from_secs(10 * 60);
/// The same, when the DNS made trouble.
pub(crate) const TROUBLE_KEPT: Duration = Duration::from_secs(5 * 60);
/// Answers of one kind; beyond it the one that would go first goes.
const ENTRIES: usize = 1_000;

/// Question and answer.
#[derive(Debug)]
pub(crate) struct Cache<Q, A>(Mutex<HashMap<Q, (Instant, Arc<A>)>>);

impl<Q, A> Default for Cache<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Hash + Eq + Clone, A> Cache<Q, A> {
    pub(crate) fn look(&self, question: &Q) -> Option<Arc<A>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, answer) = entries.get(question)?;
        (*until > Instant::now()).then(|| Arc::clone(answer))
    }

    pub(crate) fn keep(&self, question: &Q, answer: A, time: Duration) -> Arc<A> {
        let answer = Arc::new(answer);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if entries.len() >= ENTRIES {
            entries.retain(|_, (until, _)| *until > now);
        }
        if entries.len() >= ENTRIES
            && let Some(first) = entries.iter().min_by_key(|(_, (until, _))| *until).map(|(q, _)| q.clone())
        {
            entries.remove(&first);
        }
        entries.insert(question.clone(), (now + time, Arc::clone(&answer)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_its_time_and_no_longer() {
        let cache = Cache::default();
        cache.keep(&1, "one", TROUBLE_KEPT);
        tokio::time::advance(TROUBLE_KEPT - Duration::from_secs(1)).await;
        assert_eq!(cache.look(&1).as_deref(), Some(&"one"));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(cache.look(&1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_the_oldest_goes() {
        let cache = Cache::default();
        for n in 0..=ENTRIES {
            cache.keep(&n, n, KEPT);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(cache.0.lock().unwrap().len(), ENTRIES);
        assert_eq!((cache.look(&0), cache.look(&ENTRIES).as_deref()), (None, Some(&ENTRIES)));
    }
}
