//! Senders that a mailbox may not send as, as the far side has said: remembered over restarts, and not for ever.
//!
//! Exchange counts such refusals (`554 5.2.252`), and after too many of them it blocks the mailbox for everybody who sends
//! through it. So a pair of sender and mailbox is refused once, not twice: while nobody knows whether a pair works, one
//! message tries it and the others wait for what comes of it.
//!
//! In: what was refused, what was taken. Out: whether a sender is known to be refused. Never: more than [`PAIRS`] of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use queue::{LaneName, RefusedSender, Spool};
use serde::{Deserialize, Serialize};
use smtp::Mailbox;
use tokio::sync::OwnedMutexGuard;

/// How the keys begin under which refusals are remembered.
const REMEMBERED: &str = "transport/sender/";
/// Pairs known at once; the one that ends first makes room.
const PAIRS: usize = 10_000;
/// How long a first refusal holds; each that follows another holds twice as long …
const FIRST: Duration = Duration::from_secs(24 * 60 * 60);
/// … up to this.
const LONGEST: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// A pair that has worked is tried by several messages at once for so long.
const PROVEN: Duration = Duration::from_secs(60 * 60);

/// A lane, and an address that somebody wants to send as through it, in lower case.
type Pair = (LaneName, String);

/// See the head of this file. Shared by all lanes.
pub struct Refusals {
    spool: Option<Arc<dyn Spool>>,
    pairs: Mutex<HashMap<Pair, Known>>,
    turns: Mutex<HashMap<Pair, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Clone, Debug)]
enum Known {
    Refused(Refused),
    Works { until: Timestamp },
}

/// A refusal, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
    /// The configuration named the address as one of the mailbox's own.
    pub(crate) listed: bool,
    /// The far side's words.
    pub(crate) words: String,
    /// What they mean and what to do.
    pub(crate) remedy: String,
    lane: String,
    sender: String,
}

/// Those whose turn it is to try pairs of which nobody knows whether they work. Dropping it lets the next one try.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    _held: Vec<OwnedMutexGuard<()>>,
}

/// Who asks: a message that would go by this lane, as it is.
pub(crate) struct Asking<'a> {
    pub(crate) lane: &'a LaneName,
    pub(crate) now: Timestamp,
    /// An operator wanted it tried although it was refused before.
    pub(crate) insisted_at: Option<Timestamp>,
}

impl Refusals {
    /// Knows nothing, and forgets all at its end.
    pub fn forgetful() -> Self {
        Self { spool: None, pairs: Mutex::default(), turns: Mutex::default() }
    }

    /// With what the spool remembers.
    pub async fn open(spool: Arc<dyn Spool>) -> Result<Self, queue::SpoolError> {
        let mut pairs = HashMap::new();
        for (key, value) in spool.remembered(REMEMBERED).await? {
            match serde_json::from_str::<Refused>(&value) {
                Ok(refused) => {
                    let pair = (LaneName(refused.lane.as_str().into()), refused.sender.clone());
                    pairs.insert(pair, Known::Refused(refused));
                }
                Err(error) => {
                    tracing::warn!(key, %error, "what was remembered of a refused sender cannot be read: forgotten");
                    spool.remember(&key, None).await?;
                }
            }
        }
        Ok(Self { spool: Some(spool), pairs: Mutex::new(pairs), turns: Mutex::default() })
    }

    /// The refusal that stands against this sender. `listed`: the configuration says that the mailbox may send as it; what
    /// was refused before it said so is tried once more.
    pub(crate) fn refused(&self, asking: &Asking<'_>, sender: &Mailbox, listed: bool) -> Option<Refused> {
        let Some(Known::Refused(refused)) = self.pairs().get(&pair(asking.lane, sender)).cloned() else { return None };
        let holds = refused.until > asking.now
            && refused.listed == listed
            && asking.insisted_at.is_none_or(|insisted| insisted <= refused.at);
        holds.then_some(refused)
    }

    /// Waits until nobody else tries any of these senders, if it is not known that they work. Whoever has the turn asks
    /// [`Self::refused`] again.
    pub(crate) async fn turn(&self, asking: &Asking<'_>, senders: &[Mailbox]) -> Turn {
        let mut unproven: Vec<Pair> =
            senders.iter().map(|sender| pair(asking.lane, sender)).filter(|pair| !self.works(pair, asking.now)).collect();
        // In the same order for all, so that no two wait for each other.
        unproven.sort();
        unproven.dedup();
        let mut held = Vec::with_capacity(unproven.len());
        for pair in unproven {
            let turn = Arc::clone(self.turns().entry(pair).or_default());
            held.push(turn.lock_owned().await);
        }
        self.turns().retain(|_, turn| Arc::strong_count(turn) > 1);
        Turn { _held: held }
    }

    /// The mailbox may not send as this.
    pub(crate) async fn note_refused(
        &self,
        asking: &Asking<'_>,
        sender: &Mailbox,
        listed: bool,
        (words, remedy): (&str, &str),
    ) {
        let pair = pair(asking.lane, sender);
        let before = match self.pairs().get(&pair) {
            Some(Known::Refused(refused)) => Duration::try_from(refused.until.duration_since(refused.at)).ok(),
            _ => None,
        };
        let lasts = before.map_or(FIRST, |before| (before * 2).min(LONGEST));
        let refused = Refused {
            at: asking.now,
            until: asking.now.checked_add(lasts).unwrap_or(Timestamp::MAX),
            listed,
            words: words.to_owned(),
            remedy: remedy.to_owned(),
            lane: asking.lane.to_string(),
            sender: pair.1.clone(),
        };
        let value = serde_json::to_string(&refused).ok();
        let forgotten = self.insert(pair.clone(), Known::Refused(refused));
        for pair in forgotten {
            self.remember(&pair, None).await;
        }
        self.remember(&pair, value.as_deref()).await;
    }

    /// Mail of these senders was taken.
    pub(crate) async fn note_taken(&self, asking: &Asking<'_>, senders: &[Mailbox]) {
        let until = asking.now.checked_add(PROVEN).unwrap_or(Timestamp::MAX);
        for sender in senders {
            let pair = pair(asking.lane, sender);
            let before = self.pairs().get(&pair).cloned();
            match before {
                Some(Known::Works { until }) if until > asking.now => continue,
                Some(Known::Refused(_)) => self.remember(&pair, None).await,
                _ => {}
            }
            for pair in self.insert(pair, Known::Works { until }) {
                self.remember(&pair, None).await;
            }
        }
    }

    /// All that stand against senders of a lane.
    pub(crate) fn of_lane(&self, lane: &LaneName, now: Timestamp) -> Vec<RefusedSender> {
        let mut senders: Vec<_> = self
            .pairs()
            .iter()
            .filter(|((of, _), _)| of == lane)
            .filter_map(|((_, sender), known)| match known {
                Known::Refused(refused) if refused.until > now => Some(RefusedSender {
                    sender: sender.clone(),
                    until: refused.until,
                    reason: refused.words.clone(),
                }),
                _ => None,
            })
            .collect();
        senders.sort_by(|one, other| one.sender.cmp(&other.sender));
        senders
    }

    fn works(&self, pair: &Pair, now: Timestamp) -> bool {
        matches!(self.pairs().get(pair), Some(Known::Works { until }) if *until > now)
    }

    /// Gives back refusals that had to make room.
    fn insert(&self, pair: Pair, known: Known) -> Vec<Pair> {
        let mut pairs = self.pairs();
        pairs.insert(pair, known);
        if pairs.len() <= PAIRS {
            return Vec::new();
        }
        let first = pairs.iter().min_by_key(|(_, known)| known.until()).map(|(pair, _)| pair.clone());
        let gone = first.and_then(|first| pairs.remove_entry(&first));
        gone.into_iter().filter(|(_, known)| matches!(known, Known::Refused(_))).map(|(pair, _)| pair).collect()
    }

    /// A refusal that could not be stored is known until the relay ends; the spool has said what is wrong with it.
    async fn remember(&self, (lane, sender): &Pair, value: Option<&str>) {
        let Some(spool) = &self.spool else { return };
        if let Err(error) = spool.remember(&format!("{REMEMBERED}{lane}/{sender}"), value).await {
            tracing::warn!(%lane, sender, %error, "that this sender was refused could not be remembered for the next start");
        }
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<Pair, Known>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<Pair, Arc<tokio::sync::Mutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn until(&self) -> Timestamp {
        match self {
            Self::Refused(refused) => refused.until,
            Self::Works { until } => *until,
        }
    }
}

fn pair(lane: &LaneName, sender: &Mailbox) -> Pair {
    (lane.clone(), sender.as_str().to_ascii_lowercase())
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusals").field("pairs", &self.pairs().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        text.parse().unwrap()
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    fn asking(lane: &LaneName, hours: i64) -> Asking<'_> {
        Asking { lane, now: at(hours), insisted_at: None }
    }

    #[tokio::test]
    async fn a_refusal_holds_for_a_day_then_for_two_and_ends_when_mail_is_taken() {
        let (refusals, lane, sender) = (Refusals::forgetful(), LaneName("a/b".into()), mailbox("Printer@contoso.test"));
        let refused = |hours| refusals.refused(&asking(&lane, hours), &mailbox("printer@CONTOSO.test"), false).is_some();
        assert!(!refused(0));
        refusals.note_refused(&asking(&lane, 0), &sender, false, ("554 5.2.252", "grant it")).await;
        assert!(refused(23) && !refused(24));
        refusals.note_refused(&asking(&lane, 24), &sender, false, ("554 5.2.252", "grant it")).await;
        assert!(refused(24 + 47) && !refused(24 + 48));
        assert!(refusals.refused(&asking(&LaneName("c/d".into()), 25), &sender, false).is_none(), "another lane");
        refusals.note_taken(&asking(&lane, 30), std::slice::from_ref(&sender)).await;
        assert!(!refused(30));
    }

    #[tokio::test]
    async fn what_was_refused_before_it_was_listed_or_insisted_upon_is_tried_once_more() {
        let (refusals, lane, sender) = (Refusals::forgetful(), LaneName("a/b".into()), mailbox("printer@contoso.test"));
        refusals.note_refused(&asking(&lane, 1), &sender, false, ("", "")).await;
        assert!(refusals.refused(&asking(&lane, 2), &sender, true).is_none(), "listed since");
        let insists = |hours| Asking { insisted_at: Some(at(hours)), ..asking(&lane, 5) };
        assert!(refusals.refused(&insists(2), &sender, false).is_none());
        refusals.note_refused(&insists(2), &sender, false, ("", "")).await;
        assert!(refusals.refused(&insists(2), &sender, false).is_some(), "refused again since");
    }

    #[tokio::test]
    async fn while_nobody_knows_one_message_tries_and_the_others_wait() {
        let (refusals, lane) = (Refusals::forgetful(), LaneName("a/b".into()));
        let (one, two) = (mailbox("one@contoso.test"), mailbox("two@contoso.test"));
        let asking = asking(&lane, 0);
        let first = refusals.turn(&asking, &[one.clone(), two.clone()]).await;
        let both = [two.clone(), one.clone()];
        let mut second = Box::pin(refusals.turn(&asking, &both));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(refusals.turn(&asking, &[mailbox("three@contoso.test")]).await);
        drop(first);
        let second = second.await;
        refusals.note_taken(&asking, &[one.clone(), two.clone()]).await;
        drop(refusals.turn(&asking, &[one, two]).await);
        drop(second);
    }
}
