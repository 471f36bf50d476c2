//! Senders that a mailbox may not send as, as the far side has said: remembered over restarts, and not for ever.
//!
//! Exchange counts such refusals (`554 5.2.252`), and after too many of them it blocks the mailbox for everybody who sends
//! through it. So a pair of sender and mailbox is refused once, not twice: while nobody knows whether a pair works, one
//! message tries it and the others wait for what comes of it.
//!
//! In: what was refused, what was taken. Out: whether a sender is known to be refused. Never: more than [`PAIRS`] of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use queue::{RefusedSender, Spool};
use serde::{Deserialize, Serialize};
use smtp::Mailbox;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

/// How the keys begin under which refusals are remembered.
const REMEMBERED: &str = "transport/sender/";
/// Refusals known at once, and pairs that work; those that end first make room.
const PAIRS: usize = 10_000;
/// How long a first refusal holds; each that follows another holds twice as long …
const FIRST: SignedDuration = SignedDuration::from_hours(24);
/// … up to this. So long after its end a refusal is still known, for the next one to follow it.
const LONGEST: SignedDuration = SignedDuration::from_hours(8 * 24);
/// A pair that has worked is tried by several messages at once for so long.
const PROVEN: SignedDuration = SignedDuration::from_hours(1);
/// So many refusals of a mailbox within an hour are enough: other senders of which nothing is known are not tried either.
const ENOUGH: usize = 5;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Whoever waits for what comes of another's try waits no longer than this, for it holds a permit of the lane.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// And then asks again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A mailbox, and an address that somebody wants to send as through it, both in lower case.
type Pair = (String, String);

/// See the head of this file. Shared by all lanes.
pub struct Refusals {
    spool: Option<Arc<dyn Spool>>,
    refused: Mutex<HashMap<Pair, Refused>>,
    /// Until when it need not be asked again whether they work.
    works: Mutex<HashMap<Pair, Timestamp>>,
    turns: Mutex<HashMap<Pair, Arc<tokio::sync::Mutex<()>>>>,
    /// What the spool could not take, to be stored when it can.
    unstored: Arc<Mutex<HashSet<Pair>>>,
}

/// A refusal, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    at: Timestamp,
    until: Timestamp,
    /// The configuration named the address as one of the mailbox's own.
    listed: bool,
    /// The far side's words.
    words: String,
    /// What they mean and what to do.
    remedy: String,
    mailbox: String,
    sender: String,
}

/// Those whose turn it is to try pairs of which nobody knows whether they work. Dropping it lets the next one try.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    _held: Vec<OwnedMutexGuard<()>>,
}

/// Who asks: a message that would go by a lane of this mailbox.
pub(crate) struct Asking<'a> {
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) now: Timestamp,
    /// An operator wanted it tried although it was refused before.
    pub(crate) insisted_at: Option<Timestamp>,
}

impl Refusals {
    /// Knows nothing, and forgets all at its end.
    pub fn forgetful() -> Self {
        Self {
            spool: None,
            refused: Mutex::default(),
            works: Mutex::default(),
            turns: Mutex::default(),
            unstored: Arc::default(),
        }
    }

    /// With what the spool remembers.
    pub async fn open(spool: Arc<dyn Spool>, now: Timestamp) -> Result<Self, queue::SpoolError> {
        let mut known = HashMap::new();
        for (key, value) in spool.remembered(REMEMBERED).await? {
            let read = serde_json::from_str::<Refused>(&value);
            if let Err(error) = &read {
                tracing::warn!(key, %error, "what was remembered of a refused sender cannot be read: forgotten");
            }
            match read {
                Ok(refused) if later(refused.until, LONGEST) > now => {
                    known.insert((refused.mailbox.clone(), refused.sender.clone()), refused);
                }
                _ => spool.remember(&key, None).await?,
            }
        }
        Ok(Self { spool: Some(spool), refused: Mutex::new(known), ..Self::forgetful() })
    }

    /// The refusal that stands against this sender: words and remedy. `listed`: the configuration says that the mailbox may
    /// send as it; what was refused before it said so is tried once more.
    pub(crate) fn refused(&self, asking: &Asking<'_>, sender: &Mailbox, listed: bool) -> Option<(String, String)> {
        if asking.mailbox.same_as(sender) {
            return None;
        }
        let pair = pair(asking.mailbox, sender);
        let known = lock(&self.refused);
        let holds = |refused: &&Refused| {
            refused.until > asking.now
                && refused.listed == listed
                && asking.insisted_at.is_none_or(|insisted| insisted <= refused.at)
        };
        if let Some(refused) = known.get(&pair).filter(holds) {
            return Some((refused.words.clone(), refused.remedy.clone()));
        }
        if asking.insisted_at.is_some() || known.contains_key(&pair) || self.works(&pair, asking.now) {
            return None;
        }
        enough(&known, &pair.0, asking.now)
    }

    /// The turn to try these senders, if it is not known that they work. `Err`: somebody else tries one of them; nothing is known
    /// yet of what came of it, ask again in another attempt after so long.
    pub(crate) async fn turn(&self, asking: &Asking<'_>, senders: &[Mailbox]) -> Result<Turn, Duration> {
        let mut unproven: Vec<Pair> = senders.iter().map(|sender| pair(asking.mailbox, sender)).collect();
        unproven.retain(|pair| !self.works(pair, asking.now));
        unproven.sort();
        unproven.dedup();
        let mut held = Vec::with_capacity(unproven.len());
        for pair in &unproven {
            let turn = Arc::clone(lock(&self.turns).entry(pair.clone()).or_default());
            match Arc::clone(&turn).try_lock_owned() {
                Ok(guard) => held.push(guard),
                Err(_) => {
                    held.clear();
                    let waited = timeout(LONGEST_WAIT, turn.lock_owned()).await.is_ok();
                    self.forget_turns();
                    return match waited {
                        true if unproven.iter().all(|pair| self.works(pair, asking.now)) => Ok(Turn::default()),
                        true => Err(Duration::ZERO),
                        false => Err(ASK_AGAIN),
                    };
                }
            }
        }
        self.forget_turns();
        Ok(Turn { _held: held })
    }

    /// The mailbox may not send as this. Known at once; what is returned ends when it is stored, and goes on also if nobody waits
    /// for it.
    pub(crate) fn note_refused(
        &self,
        asking: &Asking<'_>,
        sender: &Mailbox,
        listed: bool,
        (words, remedy): (&str, &str),
    ) -> impl Future<Output = ()> + Send + use<> {
        let pair = pair(asking.mailbox, sender);
        lock(&self.works).remove(&pair);
        let mut known = lock(&self.refused);
        let before = known.get(&pair).map(|refused| refused.until.duration_since(refused.at));
        let lasts = before.map_or(FIRST, |before| (before * 2).min(LONGEST));
        // Also where the clock was set back: what an operator insisted upon has been tried now.
        let at = asking.insisted_at.map_or(asking.now, |insisted| insisted.max(asking.now));
        let refused = Refused {
            at,
            until: later(at, lasts),
            listed,
            words: words.to_owned(),
            remedy: remedy.to_owned(),
            mailbox: pair.0.clone(),
            sender: pair.1.clone(),
        };
        let value = serde_json::to_string(&refused).ok();
        known.insert(pair.clone(), refused);
        let gone = (known.len() > PAIRS).then(|| known.iter().filter(|(other, _)| **other != pair));
        let gone =
            gone.and_then(|others| others.min_by_key(|(_, refused)| refused.until).map(|(pair, _)| pair.clone()));
        gone.iter().for_each(|pair| drop(known.remove(pair)));
        let changes = std::iter::once((pair, value)).chain(gone.map(|pair| (pair, None)));
        self.store(changes.collect())
    }

    /// Mail of these senders was taken.
    pub(crate) async fn note_taken(&self, asking: &Asking<'_>, senders: &[Mailbox]) {
        let mut cured = Vec::new();
        for sender in senders {
            let pair = pair(asking.mailbox, sender);
            if self.works(&pair, asking.now) {
                continue;
            }
            if lock(&self.refused).remove(&pair).is_some() {
                cured.push((pair.clone(), None));
            }
            let mut works = lock(&self.works);
            if works.len() >= PAIRS {
                works.retain(|_, until| *until > asking.now);
            }
            if works.len() < PAIRS {
                works.insert(pair, later(asking.now, PROVEN));
            }
        }
        if !cured.is_empty() {
            self.store(cured).await;
        }
    }

    /// All that stand against senders of a mailbox.
    pub(crate) fn of_mailbox(&self, mailbox: &Mailbox, now: Timestamp) -> Vec<RefusedSender> {
        let mailbox = mailbox.as_str().to_ascii_lowercase();
        let known = lock(&self.refused);
        let standing = known.values().filter(|refused| refused.mailbox == mailbox && refused.until > now);
        let mut senders: Vec<_> = standing
            .map(|refused| RefusedSender {
                sender: refused.sender.clone(),
                until: refused.until,
                reason: refused.words.clone(),
                listed: refused.listed,
            })
            .collect();
        senders.sort_by(|one, other| one.sender.cmp(&other.sender));
        senders
    }

    fn works(&self, pair: &Pair, now: Timestamp) -> bool {
        lock(&self.works).get(pair).is_some_and(|until| *until > now)
    }

    fn forget_turns(&self) {
        lock(&self.turns).retain(|_, turn| Arc::strong_count(turn) > 1);
    }

    /// What could not be stored before; asked at each attempt, so that it is stored as soon as the spool works again.
    pub(crate) async fn store_again(&self) {
        let unstored = std::mem::take(&mut *lock(&self.unstored));
        if unstored.is_empty() {
            return;
        }
        let written =
            |pair: &Pair| lock(&self.refused).get(pair).and_then(|refused| serde_json::to_string(refused).ok());
        let changes = unstored.into_iter().map(|pair| (pair.clone(), written(&pair))).collect();
        self.store(changes).await;
    }

    /// What cannot be stored now is known all the same, and stored later; the spool has said what is wrong with it.
    fn store(&self, changes: Vec<(Pair, Option<String>)>) -> impl Future<Output = ()> + Send + use<> {
        let task = self.spool.clone().map(|spool| {
            let unstored = Arc::clone(&self.unstored);
            tokio::spawn(async move {
                for (pair, value) in changes {
                    let (mailbox, sender) = &pair;
                    let key = format!("{REMEMBERED}{mailbox}/{sender}");
                    let Err(error) = spool.remember(&key, value.as_deref()).await else { continue };
                    tracing::warn!(mailbox, sender, %error, "whether this sender is refused could not be remembered for the next start; the next attempt tries again");
                    let mut unstored = lock(&unstored);
                    if unstored.len() < PAIRS {
                        unstored.insert(pair);
                    }
                }
            })
        });
        async move {
            if let Some(task) = task {
                // A panic in there has been told of.
                let _ = task.await;
            }
        }
    }
}

/// So many other senders were refused of late that one more is not tried.
fn enough(known: &HashMap<Pair, Refused>, mailbox: &str, now: Timestamp) -> Option<(String, String)> {
    let of_late = |refused: &&Refused| refused.mailbox == mailbox && later(refused.at, HOUR) > now && refused.at <= now;
    let recent: Vec<_> = known.values().filter(of_late).collect();
    let last = recent.iter().max_by_key(|refused| refused.at).filter(|_| recent.len() >= ENOUGH)?;
    let words = format!("{} other senders were refused within the hour, so this one was not tried", recent.len());
    Some((words, last.remedy.clone()))
}

fn pair(mailbox: &Mailbox, sender: &Mailbox) -> Pair {
    (mailbox.as_str().to_ascii_lowercase(), sender.as_str().to_ascii_lowercase())
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusals").field("refused", &lock(&self.refused).len()).finish_non_exhaustive()
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

    fn asking(mailbox: &Mailbox, hours: i64) -> Asking<'_> {
        Asking { mailbox, now: at(hours), insisted_at: None }
    }

    #[tokio::test]
    async fn a_refusal_holds_for_a_day_then_for_two_and_ends_when_mail_is_taken() {
        let (refusals, relay, sender) =
            (Refusals::forgetful(), mailbox("relay@contoso.test"), mailbox("Printer@contoso.test"));
        let refused =
            |hours| refusals.refused(&asking(&relay, hours), &mailbox("printer@CONTOSO.test"), false).is_some();
        assert!(!refused(0));
        refusals.note_refused(&asking(&relay, 0), &sender, false, ("554 5.2.252", "grant it")).await;
        assert!(refused(23) && !refused(24));
        refusals.note_refused(&asking(&relay, 24), &sender, false, ("554 5.2.252", "grant it")).await;
        assert!(refused(24 + 47) && !refused(24 + 48));
        let other = mailbox("other@contoso.test");
        assert!(refusals.refused(&asking(&other, 25), &sender, false).is_none(), "another mailbox");
        refusals.note_taken(&asking(&relay, 30), std::slice::from_ref(&sender)).await;
        assert!(!refused(30));
    }

    #[tokio::test]
    async fn what_a_full_disk_could_not_take_is_stored_by_a_later_attempt() {
        let (relay, sender) = (mailbox("relay@contoso.test"), mailbox("printer@contoso.test"));
        let spool = Arc::new(crate::tests::spool::Memory::default());
        let refusals = Refusals::open(Arc::clone(&spool) as Arc<dyn Spool>, at(0)).await.unwrap();
        spool.full.store(true, std::sync::atomic::Ordering::SeqCst);
        refusals.note_refused(&asking(&relay, 0), &sender, false, ("554 5.2.252", "grant it")).await;
        refusals.store_again().await;
        assert!(spool.remembered("").await.unwrap().is_empty());
        spool.full.store(false, std::sync::atomic::Ordering::SeqCst);
        refusals.store_again().await;
        let restarted = Refusals::open(spool as Arc<dyn Spool>, at(1)).await.unwrap();
        assert!(restarted.refused(&asking(&relay, 1), &sender, false).is_some());
    }

    #[tokio::test]
    async fn what_was_refused_before_it_was_listed_or_insisted_upon_is_tried_once_more() {
        let (refusals, relay, sender) =
            (Refusals::forgetful(), mailbox("relay@contoso.test"), mailbox("printer@contoso.test"));
        refusals.note_refused(&asking(&relay, 1), &sender, false, ("", "")).await;
        assert!(refusals.refused(&asking(&relay, 2), &sender, true).is_none(), "listed since");
        let insists = |hours, now| Asking { insisted_at: Some(at(hours)), ..asking(&relay, now) };
        assert!(refusals.refused(&insists(2, 5), &sender, false).is_none());
        refusals.note_refused(&insists(2, 5), &sender, false, ("", "")).await;
        assert!(refusals.refused(&insists(2, 5), &sender, false).is_some(), "refused again since");
        // The clock was set back between the operator's word and the refusal.
        refusals.note_refused(&insists(9, 6), &sender, false, ("", "")).await;
        assert!(refusals.refused(&insists(9, 6), &sender, false).is_some());
    }

    #[tokio::test]
    async fn after_some_refusals_no_further_unknown_sender_is_tried_for_an_hour() {
        let (refusals, relay) = (Refusals::forgetful(), mailbox("relay@contoso.test"));
        let known = mailbox("known@contoso.test");
        refusals.note_taken(&asking(&relay, 0), std::slice::from_ref(&known)).await;
        let unknown = |hours| refusals.refused(&asking(&relay, hours), &mailbox("new@contoso.test"), true);
        for printer in 0..ENOUGH {
            assert!(unknown(0).is_none());
            let sender = mailbox(&format!("printer-{printer}@contoso.test"));
            refusals.note_refused(&asking(&relay, 0), &sender, true, ("554 5.2.252", "grant it")).await;
        }
        assert!(unknown(0).is_some_and(|(words, remedy)| words.contains('5') && remedy == "grant it"));
        assert!(refusals.refused(&asking(&relay, 0), &known, true).is_none());
        assert!(refusals.refused(&asking(&relay, 0), &relay, true).is_none());
        assert!(unknown(1).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_knows_one_message_tries_and_the_others_hear_what_came_of_it() {
        let (refusals, relay) = (Refusals::forgetful(), mailbox("relay@contoso.test"));
        let both = [mailbox("one@contoso.test"), mailbox("two@contoso.test")];
        let asking = asking(&relay, 0);
        let first = refusals.turn(&asking, &both).await.unwrap();
        let mut second = Box::pin(refusals.turn(&asking, &both[1..]));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(refusals.turn(&asking, &[mailbox("three@contoso.test")]).await.unwrap());
        refusals.note_taken(&asking, &both).await;
        drop(first);
        let (second, third) = (second.await.unwrap(), refusals.turn(&asking, &both).await.unwrap());
        assert!(second._held.is_empty() && third._held.is_empty(), "what works is tried by all at once");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_long_and_a_try_without_a_verdict_is_followed_by_another_attempt() {
        let (refusals, relay, sender) =
            (Refusals::forgetful(), mailbox("relay@contoso.test"), [mailbox("one@contoso.test")]);
        let asking = asking(&relay, 0);
        let first = refusals.turn(&asking, &sender).await.unwrap();
        assert_eq!(refusals.turn(&asking, &sender).await.unwrap_err(), ASK_AGAIN);
        let mut second = Box::pin(refusals.turn(&asking, &sender));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await.unwrap_err(), Duration::ZERO);
        assert!(refusals.turn(&asking, &sender).await.is_ok());
        assert!(
            lock(&refusals.turns).is_empty() || Arc::strong_count(lock(&refusals.turns).values().next().unwrap()) == 1
        );
    }
}
