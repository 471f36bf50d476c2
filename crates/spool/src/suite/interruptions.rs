//! The promises of the journal.

use jiff::SignedDuration;
use queue::{Class, LaneName, LastByte, Message, MessageId, Spool, SpoolError};

use super::{Backend, FixedClock, LANE, deferred, enqueue, handed_over, later};

/// The last byte of a transaction for these recipients is about to go.
fn last_byte(message: &Message, recipients: &[u32]) -> LastByte {
    let at = FixedClock::START + SignedDuration::from_millis(1234);
    LastByte { id: message.id, lane: LaneName(LANE.into()), at, recipients: recipients.to_vec() }
}

async fn under_way(spool: &dyn Spool, recipients: usize) -> (Message, LastByte) {
    let message = enqueue(spool, recipients, 10).await;
    let entry = last_byte(&message, &(0..u32::try_from(recipients).unwrap()).collect::<Vec<_>>());
    spool.journal(entry.clone(), false).await.unwrap();
    (message, entry)
}

pub async fn a_transaction_under_way_is_known_after_a_kill_until_its_message_is_recorded(backend: &dyn Backend) {
    let spool = backend.open().await;
    let (one, first) = under_way(&*spool, 2).await;
    let two = enqueue(&*spool, 3, 10).await;
    let second = last_byte(&two, &[0, 2]);
    spool.journal(second.clone(), true).await.unwrap();
    assert_eq!(spool.interrupted().await.unwrap(), [], "nothing was at the start");
    drop(spool);
    let both = [first, second.clone()];
    for _ in 0..2 {
        let spool = backend.open().await;
        assert_eq!(spool.interrupted().await.unwrap(), both);
        spool.claim(one.id).await.unwrap();
        spool.journal(last_byte(&one, &[1]), false).await.unwrap();
        spool.release(one.id);
        assert_eq!(spool.interrupted().await.unwrap(), both, "given back it is as it was");
    }
    let spool = backend.open().await;
    let message = spool.claim(one.id).await.unwrap();
    spool.record(deferred(message, later(60))).await.unwrap();
    assert_eq!(spool.interrupted().await.unwrap(), std::slice::from_ref(&second));
    drop(spool);
    let spool = backend.open().await;
    assert_eq!(spool.interrupted().await.unwrap(), [second]);
    let message = spool.claim(two.id).await.unwrap();
    spool.record(handed_over(message, 3)).await.unwrap();
    assert_eq!(spool.interrupted().await.unwrap(), []);
    drop(spool);
    assert_eq!(backend.open().await.interrupted().await.unwrap(), []);
}

pub async fn a_transaction_whose_end_was_recorded_does_not_come_back(backend: &dyn Backend) {
    let spool = backend.open().await;
    let mut released = Vec::new();
    for _ in 0..3 {
        released.push(under_way(&*spool, 2).await.0.id);
    }
    for round in 0..30_usize {
        let (message, _) = under_way(&*spool, 2).await;
        match round % 5 {
            0 => spool.record(handed_over(message, 2)).await.unwrap(),
            1 => spool.record(deferred(handed_over(message, 1), later(60))).await.unwrap(),
            // Nothing in it has changed.
            2 => spool.record(message).await.unwrap(),
            3 => spool.release(message.id),
            _ => {
                spool.counters().await.unwrap();
                spool.record(deferred(message, later(60))).await.unwrap();
            }
        }
    }
    released.into_iter().for_each(|id| spool.release(id));
    drop(spool);
    let spool = backend.open().await;
    assert_eq!(spool.interrupted().await.unwrap(), []);
    // The same messages again, in the places of the old entries.
    let again = spool.claim_due(&LaneName(LANE.into()), Class::Deferred, later(60), 3).await.unwrap();
    for message in &again {
        spool.journal(last_byte(message, &[1]), false).await.unwrap();
    }
    drop(spool);
    let found: Vec<_> = backend.open().await.interrupted().await.unwrap().into_iter().map(|entry| entry.id).collect();
    let mut expected: Vec<MessageId> = again.iter().map(|message| message.id).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

pub async fn several_transactions_of_one_message_add_up(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = enqueue(&*spool, 3, 10).await;
    let entries: Vec<_> = (0..3).map(|index| last_byte(&message, &[index])).collect();
    for entry in &entries {
        spool.journal(entry.clone(), false).await.unwrap();
    }
    drop(spool);
    let spool = backend.open().await;
    let mut named: Vec<_> = spool.interrupted().await.unwrap().into_iter().flat_map(|entry| entry.recipients).collect();
    named.sort_unstable();
    assert_eq!(named, [0, 1, 2]);
    let message = spool.claim(message.id).await.unwrap();
    spool.record(deferred(message, later(60))).await.unwrap();
    assert_eq!(spool.interrupted().await.unwrap(), []);
}

pub async fn a_transaction_for_very_many_recipients_is_known_in_full(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = enqueue(&*spool, 3000, 10).await;
    let all: Vec<u32> = (0..3000).filter(|index| index % 7 != 3).collect();
    spool.journal(last_byte(&message, &all), false).await.unwrap();
    drop(spool);
    let mut named: Vec<_> =
        backend.open().await.interrupted().await.unwrap().into_iter().flat_map(|entry| entry.recipients).collect();
    named.sort_unstable();
    assert_eq!(named, all);
}

pub async fn hundreds_may_be_under_way_at_once(backend: &dyn Backend) {
    let spool = backend.open().await;
    let (mut messages, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let (message, entry) = under_way(&*spool, 1).await;
        messages.push(message);
        expected.push(entry);
    }
    for message in messages.into_iter().step_by(2) {
        spool.record(handed_over(message, 1)).await.unwrap();
    }
    drop(spool);
    let expected: Vec<_> = expected.into_iter().skip(1).step_by(2).collect();
    assert_eq!(backend.open().await.interrupted().await.unwrap(), expected);
}

pub async fn after_close_nothing_is_journalled_or_remembered(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = enqueue(&*spool, 1, 10).await;
    spool.close().await.unwrap();
    assert!(spool.journal(last_byte(&message, &[0]), true).await.is_err());
    assert!(matches!(spool.remember("key", Some("value")).await, Err(SpoolError::Closed(_))));
    assert!(matches!(spool.ledger(FixedClock::START).await, Err(SpoolError::Closed(_))));
    drop(spool);
    assert_eq!(backend.open().await.interrupted().await.unwrap(), []);
}
