//! Who has guessed passwords too often and must wait, longer and longer.
//!
//! In: wrong logins, each by the address or the user that it counts against. Out: how long to wait. The table is bounded: over
//! its bound the one that was longest silent is forgotten.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait after a wrong password.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Guesses are forgotten after this.
pub(crate) const GUESSES_FORGOTTEN: Duration = Duration::from_secs(600);
/// Guessers whose guesses are counted.
pub(crate) const GUESSERS: usize = 4096;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct LockOut<K> {
    free: u32,
    guesses: Mutex<HashMap<K, Guesses>>,
}

#[derive(Debug)]
struct Guesses {
    wrong: u32,
    last: Instant,
}

impl<K: Clone + Eq + Hash> LockOut<K> {
    /// `free`: wrong passwords before the first wait.
    pub(crate) fn new(free: u32) -> Self {
        Self { free, guesses: Mutex::default() }
    }

    /// `None`: no need to wait.
    pub(crate) fn wait(&self, guesser: &K) -> Option<Duration> {
        let guesses = self.guesses();
        let guessed = guesses.get(guesser).filter(|guessed| guessed.wrong >= self.free)?;
        let doubled = Duration::from_secs(1 << (guessed.wrong - self.free).min(10)).min(LONGEST_WAIT);
        (guessed.last + doubled).checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    pub(crate) fn note(&self, guesser: K) {
        let now = Instant::now();
        let mut guesses = self.guesses();
        if guesses.len() >= GUESSERS && !guesses.contains_key(&guesser) {
            guesses.retain(|_, guessed| now.duration_since(guessed.last) < GUESSES_FORGOTTEN);
            if guesses.len() >= GUESSERS {
                let oldest = guesses.iter().min_by_key(|(_, guessed)| guessed.last).map(|(guesser, _)| guesser.clone());
                oldest.and_then(|guesser| guesses.remove(&guesser));
            }
        }
        let guessed = guesses.entry(guesser).or_insert(Guesses { wrong: 0, last: now });
        if now.duration_since(guessed.last) >= GUESSES_FORGOTTEN {
            guessed.wrong = 0;
        }
        guessed.wrong = guessed.wrong.saturating_add(1);
        guessed.last = now;
    }

    pub(crate) fn forgive(&self, guesser: &K) {
        self.guesses().remove(guesser);
    }

    fn guesses(&self) -> MutexGuard<'_, HashMap<K, Guesses>> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_doubles_up_to_a_minute_and_is_forgotten_after_ten() {
        let lock_out = LockOut::new(2);
        let mut waits = Vec::new();
        for _ in 0..10 {
            lock_out.note("guesser");
            let wait = lock_out.wait(&"guesser").unwrap_or_default();
            waits.push(wait.as_secs());
            tokio::time::advance(wait).await;
            assert_eq!(lock_out.wait(&"guesser"), None);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        tokio::time::advance(GUESSES_FORGOTTEN).await;
        lock_out.note("guesser");
        assert_eq!(lock_out.wait(&"guesser"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_whoever_guesses_now_stays_in_it() {
        let lock_out = LockOut::new(1);
        for guesser in 0..GUESSERS + 10 {
            lock_out.note(guesser);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(lock_out.guesses().len(), GUESSERS);
        assert!(!lock_out.guesses().contains_key(&9) && lock_out.guesses().contains_key(&(GUESSERS + 9)));
    }
}
