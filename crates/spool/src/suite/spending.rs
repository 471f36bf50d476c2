//! The promises of the ledger, and of what is remembered.

use jiff::{SignedDuration, Timestamp};
use queue::{BudgetName, Filter, MessageId, Spend, Spool, SpoolError};

use super::histories::Random;
use super::{Backend, FixedClock, bounced, deferred, enqueue, handed_over, later};

const DAY: &str = "contoso/relay@contoso.com/recipients a day";
const MINUTE: &str = "contoso/relay@contoso.com/messages a minute";

fn at(milliseconds: i64) -> Timestamp {
    FixedClock::START + SignedDuration::from_millis(milliseconds)
}

/// So much of a budget, so many milliseconds after the start.
fn spend(budget: &str, milliseconds: i64, amount: u32) -> Spend {
    Spend { budget: BudgetName(budget.into()), at: at(milliseconds), amount }
}

/// An attempt that has spent this.
async fn attempt(spool: &dyn Spool, spent: Vec<Spend>) {
    let message = enqueue(spool, 1, 10).await;
    spool.record_spending(handed_over(message, 1), spent).await.unwrap();
}

async fn all(spool: &dyn Spool) -> Vec<Spend> {
    spool.ledger(Timestamp::MIN).await.unwrap()
}

fn sum(spent: &[Spend], budget: &str, since: Timestamp) -> u64 {
    let counts = spent.iter().filter(|spend| *spend.budget.0 == *budget && spend.at >= since);
    counts.map(|spend| u64::from(spend.amount)).sum()
}

pub async fn what_was_spent_survives_exactly_with_its_outcome(backend: &dyn Backend) {
    let mut spool = backend.open().await;
    let mut expected = Vec::new();
    for number in 0..40_u32 {
        let message = enqueue(&*spool, 2, 10).await;
        let id = message.id;
        let spent = vec![spend(DAY, i64::from(number) * 7, 2), spend(MINUTE, i64::from(number) * 7, 1)];
        expected.extend(spent.clone());
        let message = match number % 3 {
            0 => handed_over(message, 2),
            1 => deferred(handed_over(message, 1), later(60)),
            _ => bounced(message),
        };
        spool.record_spending(message.clone(), spent).await.unwrap();
        if number % 7 == 0 {
            drop(spool);
            spool = backend.open().await;
            assert_eq!(spool.find(id).await.unwrap(), message);
            let mut found = all(&*spool).await;
            found.sort_by(|one, other| (one.at, &other.budget).cmp(&(other.at, &one.budget)));
            expected.sort_by(|one, other| (one.at, &other.budget).cmp(&(other.at, &one.budget)));
            assert_eq!(found, expected, "after {number}");
        }
    }
}

pub async fn an_outcome_that_is_refused_has_spent_nothing(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = enqueue(&*spool, 2, 10).await;
    let mut lost = message.clone();
    lost.recipients.pop();
    let mut unknown = message.clone();
    unknown.id = MessageId::from_i64(7).unwrap();
    for refused in [lost, unknown] {
        assert!(spool.record_spending(refused, vec![spend(DAY, 0, 2)]).await.is_err());
    }
    assert_eq!(all(&*spool).await, []);
    spool.record_spending(handed_over(message, 2), vec![spend(DAY, 0, 2)]).await.unwrap();
    assert_eq!(all(&*spool).await, [spend(DAY, 0, 2)]);
}

pub async fn what_was_spent_outlives_its_message(backend: &dyn Backend) {
    let spool = backend.open().await;
    attempt(&*spool, vec![spend(DAY, 0, 500)]).await;
    assert_eq!(spool.prune_history(later(86_400)).await.unwrap(), 1);
    assert!(spool.history(&Filter::default(), None, 10).await.unwrap().messages.is_empty());
    drop(spool);
    assert_eq!(all(&*backend.open().await).await, [spend(DAY, 0, 500)]);
}

pub async fn the_ledger_is_given_oldest_first_from_an_instant_on_and_pruned_before_one(backend: &dyn Backend) {
    let spool = backend.open().await;
    for milliseconds in [3000, 1000, 2000, 4000] {
        attempt(&*spool, vec![spend(DAY, milliseconds, 1), spend(MINUTE, milliseconds, 1)]).await;
    }
    let instants = |spent: Vec<Spend>| spent.into_iter().map(|spend| spend.at).collect::<Vec<_>>();
    assert_eq!(instants(all(&*spool).await), [1000, 1000, 2000, 2000, 3000, 3000, 4000, 4000].map(at));
    assert_eq!(instants(spool.ledger(at(3000)).await.unwrap()), [3000, 3000, 4000, 4000].map(at));
    assert_eq!(spool.ledger(at(4001)).await.unwrap(), []);
    spool.prune_ledger(at(2000)).await.unwrap();
    assert_eq!(instants(all(&*spool).await), [2000, 2000, 3000, 3000, 4000, 4000].map(at));
    drop(spool);
    let spool = backend.open().await;
    spool.prune_ledger(at(4001)).await.unwrap();
    assert_eq!(all(&*spool).await, []);
}

pub async fn a_sum_over_any_window_is_never_too_small_and_over_a_young_one_exact(backend: &dyn Backend) {
    let mut spool = backend.open().await;
    let (mut random, mut truth) = (Random(7), Vec::new());
    let hour = 3_600_000;
    for round in 0..4 {
        let mut spent = Vec::new();
        for _ in 0..150 {
            // Old ones, close together, and young ones; some with a part of a millisecond.
            let old = random.below(2) == 0;
            let milliseconds =
                if old { -3 * hour + random.below(20_000).cast_signed() } else { random.below(60_000).cast_signed() };
            let budget = if random.below(3) == 0 { MINUTE } else { DAY };
            let mut one = spend(budget, milliseconds, 1 + u32::try_from(random.below(5)).unwrap());
            one.at += SignedDuration::from_micros(random.below(2).cast_signed() * 300);
            spent.push(one);
        }
        truth.extend(spent.clone());
        for some in spent.chunks(50) {
            attempt(&*spool, some.to_vec()).await;
        }
        if round % 2 == 1 {
            spool.prune_ledger(at(-24 * hour)).await.unwrap();
            drop(spool);
            spool = backend.open().await;
        }
        let found = all(&*spool).await;
        for budget in [DAY, MINUTE] {
            assert_eq!(sum(&found, budget, Timestamp::MIN), sum(&truth, budget, Timestamp::MIN), "nothing twice");
            for _ in 0..200 {
                let part = SignedDuration::from_micros(150);
                let old = at(-3 * hour + random.below(20_000).cast_signed()) + part;
                assert!(sum(&found, budget, old) >= sum(&truth, budget, old), "round {round}, since {old}");
                let young = at(random.below(60_000).cast_signed()) + part;
                let least = sum(&truth, budget, young);
                let most = sum(&truth, budget, young - SignedDuration::from_millis(1));
                assert!((least..=most).contains(&sum(&found, budget, young)), "round {round}, since {young}");
            }
        }
    }
}

pub async fn what_is_remembered_survives_until_it_is_forgotten(backend: &dyn Backend) {
    let spool = backend.open().await;
    for (key, value) in
        [("limit/b", "1"), ("limit/a", "2"), ("other", "3"), ("limit", "4"), ("limit/ü", "5"), ("limit0", "6")]
    {
        spool.remember(key, Some(value)).await.unwrap();
    }
    spool.remember("limit/a", Some("20")).await.unwrap();
    spool.remember("limit/b", None).await.unwrap();
    spool.remember("never there", None).await.unwrap();
    drop(spool);
    let spool = backend.open().await;
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(spool.remembered("limit/").await.unwrap(), pairs(&[("limit/a", "20"), ("limit/ü", "5")]));
    assert_eq!(spool.remembered("x").await.unwrap(), []);
    let all = [("limit", "4"), ("limit/a", "20"), ("limit/ü", "5"), ("limit0", "6"), ("other", "3")];
    assert_eq!(spool.remembered("").await.unwrap(), pairs(&all));
}

pub async fn no_more_than_64_kib_is_remembered_under_a_key(backend: &dyn Backend) {
    let spool = backend.open().await;
    let most = "x".repeat(64 * 1024);
    spool.remember("most", Some(&most)).await.unwrap();
    assert_eq!(spool.remembered("most").await.unwrap(), [("most".to_owned(), most.clone())]);
    let refused = spool.remember("more", Some(&(most + "x"))).await;
    assert!(matches!(&refused, Err(SpoolError::Failed(why)) if why.contains("65537")), "{refused:?}");
    assert_eq!(spool.remembered("more").await.unwrap(), []);
}
