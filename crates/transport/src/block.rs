//! A mailbox that Microsoft has blocked: each block that follows another is waited out longer.
//!
//! In: verdicts. Out: the same, with a longer wait before the next probe. Nobody knows how long such a block lasts, and each
//! try may prolong it. Known to this process alone: after a restart it begins anew.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use queue::{LaneVerdict, Scope};
use tokio::time::Instant;

use crate::classify::PROBE_BLOCKED;

/// Not longer, so that mail does not wait for most of a day after the block is gone.
const LONGEST: Duration = Duration::from_secs(4 * 60 * 60);

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Block(Mutex<Option<Blocked>>);

#[derive(Debug)]
struct Blocked {
    wait: Duration,
    until: Instant,
}

impl Block {
    /// What an attempt says of the lane.
    pub(crate) fn heed(&self, verdict: &mut LaneVerdict) {
        let mut blocked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict {
            LaneVerdict::Healthy => *blocked = None,
            LaneVerdict::Paused(pause) if pause.scope == Scope::Mailbox && pause.probe_after == PROBE_BLOCKED => {
                let now = Instant::now();
                let wait = match &*blocked {
                    None => PROBE_BLOCKED,
                    // Attempts that were under way together met the same block.
                    Some(blocked) if now < blocked.until => blocked.wait,
                    Some(blocked) => (blocked.wait * 2).min(LONGEST),
                };
                pause.probe_after = wait;
                if blocked.as_ref().is_none_or(|blocked| blocked.until <= now) {
                    *blocked = Some(Blocked { wait, until: now + wait });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use queue::Pause;

    use super::*;

    fn heeded(block: &Block, scope: Scope, probe_after: Duration) -> u64 {
        let (reason, remedy, code) = (String::new(), String::new(), "5.2.252".to_owned());
        let mut verdict = LaneVerdict::Paused(Pause { scope, reason, remedy, code, probe_after });
        block.heed(&mut verdict);
        let LaneVerdict::Paused(pause) = verdict else { unreachable!() };
        pause.probe_after.as_secs() / 60
    }

    #[tokio::test(start_paused = true)]
    async fn each_block_after_another_is_waited_out_longer() {
        let block = Block::default();
        for minutes in [30, 60, 120, 240, 240] {
            for _ in 0..2 {
                assert_eq!(heeded(&block, Scope::Mailbox, PROBE_BLOCKED), minutes);
            }
            tokio::time::advance(Duration::from_secs(minutes * 60)).await;
        }
        block.heed(&mut LaneVerdict::Neutral);
        assert_eq!(heeded(&block, Scope::Mailbox, PROBE_BLOCKED), 240);
        block.heed(&mut LaneVerdict::Healthy);
        assert_eq!(heeded(&block, Scope::Mailbox, PROBE_BLOCKED), 30);
        assert_eq!(heeded(&block, Scope::Mailbox, Duration::from_secs(300)), 5, "another trouble");
        assert_eq!(heeded(&block, Scope::Tenant, PROBE_BLOCKED), 30);
    }
}
