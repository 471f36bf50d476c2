//! How many recipients a server takes at once: learnt from its refusals, and tried again with more, rarely.
//!
//! In: what was refused, what was taken. Out: the most for the next transaction. The limit doubles by one try an hour, so
//! that a server's bad day is not for ever, and its refusals stay rare. Known to this process alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// From one try of more to the next.
const TRY_MORE: Duration = Duration::from_secs(60 * 60);

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Learnt(Mutex<Option<Limit>>);

#[derive(Debug)]
struct Limit {
    most: usize,
    try_more_at: Instant,
}

impl Limit {
    fn new(most: usize) -> Self {
        Self { most: most.max(1), try_more_at: Instant::now() + TRY_MORE }
    }
}

impl Learnt {
    /// For a transaction that would like to have so many.
    pub(crate) fn most(&self, wanted: usize) -> usize {
        match self.limit().as_mut() {
            None => usize::MAX,
            Some(limit) if wanted > limit.most && limit.try_more_at <= Instant::now() => {
                limit.try_more_at = Instant::now() + TRY_MORE;
                limit.most.saturating_mul(2)
            }
            Some(limit) => limit.most,
        }
    }

    /// All together were too many; so many may do.
    pub(crate) fn refused(&self, perhaps: usize) {
        let mut limit = self.limit();
        let known = limit.as_ref().map_or(usize::MAX, |limit| limit.most);
        *limit = Some(Limit::new(perhaps.min(known)));
    }

    /// So many were taken, and no more.
    pub(crate) fn full(&self, taken: usize) {
        *self.limit() = Some(Limit::new(taken));
    }

    /// So many were taken at once. With `most`, which are never exceeded, there is nothing more to learn.
    pub(crate) fn taken(&self, recipients: usize, most: usize) {
        let mut limit = self.limit();
        match limit.as_mut() {
            Some(_) if recipients >= most => *limit = None,
            Some(limit) => limit.most = limit.most.max(recipients),
            None => {}
        }
    }

    fn limit(&self) -> MutexGuard<'_, Option<Limit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_limit_doubles_by_one_try_an_hour_until_all_fit() {
        let learnt = Learnt::default();
        assert_eq!(learnt.most(500), usize::MAX);
        learnt.refused(250);
        learnt.refused(125);
        learnt.refused(200);
        assert_eq!(learnt.most(500), 125, "a guess from an attempt that began earlier does not raise it");
        tokio::time::advance(TRY_MORE).await;
        assert_eq!(learnt.most(125), 125, "nobody wants more");
        assert_eq!((learnt.most(500), learnt.most(500)), (250, 125), "one try");
        learnt.refused(125);
        tokio::time::advance(TRY_MORE).await;
        assert_eq!(learnt.most(500), 250);
        learnt.taken(250, 500);
        assert_eq!(learnt.most(500), 250);
        tokio::time::advance(TRY_MORE).await;
        assert_eq!(learnt.most(500), 500);
        learnt.taken(500, 500);
        assert_eq!(learnt.most(500), usize::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_took_before_it_was_full_is_its_limit() {
        let learnt = Learnt::default();
        learnt.refused(2);
        learnt.full(100);
        assert_eq!(learnt.most(500), 100);
        learnt.full(0);
        assert_eq!(learnt.most(500), 1);
    }
}
