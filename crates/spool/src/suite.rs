//! What any backend must do: each promise of `queue::Spool` as a function that panics when it is broken.
//!
//! A backend's tests call them all through `promises!`; `open` must give a spool on the same storage every time, where the
//! one before was dropped without `close`, as if its process had been killed.

#![expect(clippy::unwrap_used, reason = "part of tests: what cannot go on stops here")]

mod histories;
mod interruptions;
mod messages;
mod spending;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use queue::{Class, Filter, LaneName, Message, MessageId, Spool, SpoolError, SpoolState};

pub use histories::random_histories_match_a_model;
pub use interruptions::{
    a_transaction_for_very_many_recipients_is_known_in_full,
    a_transaction_under_way_is_known_after_a_kill_until_its_message_is_recorded,
    a_transaction_whose_end_was_recorded_does_not_come_back, after_close_nothing_is_journalled_or_remembered,
    hundreds_may_be_under_way_at_once, several_transactions_of_one_message_add_up,
};
pub use messages::{FixedClock, body_of, bounced, deferred, enqueue, enqueue_body, handed_over, new_message, read};
pub use spending::{
    a_sum_over_any_window_is_never_too_small_and_over_a_young_one_exact, an_outcome_that_is_refused_has_spent_nothing,
    no_more_than_64_kib_is_remembered_under_a_key,
    the_ledger_is_given_oldest_first_from_an_instant_on_and_pruned_before_one,
    what_is_remembered_survives_until_it_is_forgotten, what_was_spent_outlives_its_message,
    what_was_spent_survives_exactly_with_its_outcome,
};

/// Where the messages of the suite go.
pub const LANE: &str = "contoso/submission/relay@contoso.com";

/// A backend under test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// A spool on the storage of this backend. The one given out before is gone.
    async fn open(&self) -> Arc<dyn Spool>;
}

/// Calls a macro with the name of every promise.
#[macro_export]
macro_rules! promises {
    ($each:ident) => {
        $each! {
            bodies_of_every_size_are_read_back,
            an_unfinished_body_leaves_nothing_behind,
            a_body_belongs_to_one_message_of_one_spool,
            ids_grow_also_across_restarts,
            an_enqueued_message_is_leased_to_whoever_enqueued_it,
            claims_come_in_order_of_due_and_id,
            claims_leave_out_held_later_leased_and_other_lines,
            one_message_is_claimed_whatever_its_due_time_and_hold,
            a_deferred_message_stands_in_the_line_of_the_deferred,
            a_settled_message_goes_to_the_history_and_its_body_is_freed,
            an_outcome_for_nobody_or_with_a_recipient_lost_is_refused,
            an_outcome_may_be_recorded_without_a_pause_after_acceptance,
            next_due_looks_past_held_and_leased_messages,
            lists_are_filtered_and_paged,
            the_history_is_paged_from_the_newest_and_pruned,
            lanes_tell_how_much_waits,
            accepted_mail_survives_and_leases_do_not,
            outcomes_survive,
            a_caller_who_goes_away_leaves_no_lease,
            many_at_once_are_all_accepted_once,
            a_healthy_spool_says_so,
            after_close_nothing_is_accepted,
            what_was_spent_survives_exactly_with_its_outcome,
            an_outcome_that_is_refused_has_spent_nothing,
            what_was_spent_outlives_its_message,
            the_ledger_is_given_oldest_first_from_an_instant_on_and_pruned_before_one,
            a_sum_over_any_window_is_never_too_small_and_over_a_young_one_exact,
            what_is_remembered_survives_until_it_is_forgotten,
            no_more_than_64_kib_is_remembered_under_a_key,
            a_transaction_under_way_is_known_after_a_kill_until_its_message_is_recorded,
            a_transaction_whose_end_was_recorded_does_not_come_back,
            several_transactions_of_one_message_add_up,
            a_transaction_for_very_many_recipients_is_known_in_full,
            hundreds_may_be_under_way_at_once,
            after_close_nothing_is_journalled_or_remembered,
            random_histories_match_a_model,
        }
    };
}

fn lane() -> LaneName {
    LaneName(LANE.into())
}

fn later(seconds: i64) -> Timestamp {
    FixedClock::START + SignedDuration::from_secs(seconds)
}

async fn claim_all(spool: &dyn Spool, class: Class) -> Vec<MessageId> {
    let claimed = spool.claim_due(&lane(), class, later(1000), 1000).await.unwrap();
    claimed.into_iter().map(|message| message.id).collect()
}

pub async fn bodies_of_every_size_are_read_back(backend: &dyn Backend) {
    let spool = backend.open().await;
    let mut stored = Vec::new();
    for size in [0, 1, 4095, 10_000, (1 << 20) - 1, 1 << 20, 3_000_001] {
        let body = body_of(size);
        let mut writer = spool.body_writer(None).unwrap();
        let id = writer.id();
        for piece in body.chunks(7919) {
            writer.write(piece).await.unwrap();
        }
        let finished = writer.finish().await.unwrap();
        let message = spool.enqueue(new_message(id, LANE, 1), finished).await.unwrap();
        assert_eq!((message.id, message.size), (id, size as u64));
        assert_eq!(read(&*spool, id).await.unwrap(), body, "{size} octets, just accepted");
        stored.push((id, body));
    }
    drop(spool);
    let spool = backend.open().await;
    for (id, body) in stored {
        assert_eq!(spool.body(id).await.unwrap().size(), body.len() as u64);
        assert_eq!(read(&*spool, id).await.unwrap(), body, "{} octets, after a restart", body.len());
    }
}

pub async fn an_unfinished_body_leaves_nothing_behind(backend: &dyn Backend) {
    let spool = backend.open().await;
    let before = spool.health().used_bytes;
    let mut writer = spool.body_writer(Some(3 << 20)).unwrap();
    writer.write(&body_of(2 << 20)).await.unwrap();
    drop(writer);
    let mut writer = spool.body_writer(None).unwrap();
    writer.write(&body_of(2 << 20)).await.unwrap();
    drop(writer.finish().await.unwrap());
    drop(spool);
    let spool = backend.open().await;
    assert!(spool.health().used_bytes <= before + (1 << 20));
    assert_eq!(spool.counters().await.unwrap().accepted, 0);
}

pub async fn a_body_belongs_to_one_message_of_one_spool(backend: &dyn Backend) {
    let spool = backend.open().await;
    let (one, two) = (spool.body_writer(None).unwrap(), spool.body_writer(None).unwrap());
    let other = two.id();
    let body = one.finish().await.unwrap();
    assert!(matches!(spool.enqueue(new_message(other, LANE, 1), body).await, Err(SpoolError::Failed(_))));
    let strange = Box::new(42_u8);
    assert!(matches!(spool.enqueue(new_message(other, LANE, 1), strange).await, Err(SpoolError::Failed(_))));
}

pub async fn ids_grow_also_across_restarts(backend: &dyn Backend) {
    let mut last = None;
    for _ in 0..3 {
        let spool = backend.open().await;
        for _ in 0..10 {
            let id = enqueue(&*spool, 1, 10).await.id;
            assert!(Some(id) > last);
            last = Some(id);
        }
    }
}

pub async fn an_enqueued_message_is_leased_to_whoever_enqueued_it(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = enqueue(&*spool, 1, 10).await;
    assert!(claim_all(&*spool, Class::New).await.is_empty());
    assert!(matches!(spool.claim(message.id).await, Err(SpoolError::Leased(id)) if id == message.id));
    spool.release(message.id);
    assert_eq!(claim_all(&*spool, Class::New).await, [message.id]);
    assert!(claim_all(&*spool, Class::New).await.is_empty(), "claimed is leased");
}

pub async fn claims_come_in_order_of_due_and_id(backend: &dyn Backend) {
    let spool = backend.open().await;
    let mut expected = Vec::new();
    for number in 0..40_i64 {
        let message = enqueue(&*spool, 1, 10).await;
        let message = deferred(message, later(number * 7 % 5));
        expected.push((message.due_at, message.id));
        spool.record(message).await.unwrap();
    }
    expected.sort_unstable();
    let mut found = Vec::new();
    loop {
        let page = spool.claim_due(&lane(), Class::Deferred, later(100), 7).await.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|message| (message.due_at, message.id)));
    }
    assert_eq!(found, expected);
}

pub async fn claims_leave_out_held_later_leased_and_other_lines(backend: &dyn Backend) {
    let spool = backend.open().await;
    let due = enqueue(&*spool, 1, 10).await;
    let mut held = enqueue(&*spool, 1, 10).await;
    held.hold("an operator wants it".to_owned(), later(0));
    spool.record(held).await.unwrap();
    let mut elsewhere = enqueue(&*spool, 1, 10).await;
    elsewhere.lane = LaneName("contoso/on-premises".into());
    spool.record(elsewhere).await.unwrap();
    let mut urgent = enqueue(&*spool, 1, 10).await;
    urgent.urgent = true;
    spool.record(urgent).await.unwrap();
    let mut future = enqueue(&*spool, 1, 10).await;
    future.due_at = later(2000);
    spool.record(future).await.unwrap();
    let _leased = enqueue(&*spool, 1, 10).await;
    spool.release(due.id);
    assert_eq!(claim_all(&*spool, Class::New).await, [due.id]);
    assert_eq!(claim_all(&*spool, Class::Urgent).await.len(), 1);
    assert!(claim_all(&*spool, Class::Deferred).await.is_empty());
}

pub async fn one_message_is_claimed_whatever_its_due_time_and_hold(backend: &dyn Backend) {
    let spool = backend.open().await;
    let mut message = enqueue(&*spool, 1, 10).await;
    message.due_at = later(9999);
    message.hold("an operator wants it".to_owned(), later(0));
    let id = message.id;
    spool.record(message.clone()).await.unwrap();
    assert_eq!(spool.claim(id).await.unwrap(), message);
    assert!(matches!(spool.claim(id).await, Err(SpoolError::Leased(_))));
    let unknown = MessageId::from_i64(7).unwrap();
    assert!(matches!(spool.claim(unknown).await, Err(SpoolError::NotFound(id)) if id == unknown));
}

pub async fn a_deferred_message_stands_in_the_line_of_the_deferred(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = deferred(enqueue(&*spool, 2, 10).await, later(60));
    spool.record(message.clone()).await.unwrap();
    assert!(spool.claim_due(&lane(), Class::Deferred, later(59), 10).await.unwrap().is_empty());
    assert_eq!(spool.next_due(&lane(), Class::Deferred).await.unwrap(), Some(later(60)));
    assert_eq!(spool.next_due(&lane(), Class::New).await.unwrap(), None);
    assert_eq!(spool.claim_due(&lane(), Class::Deferred, later(60), 10).await.unwrap(), std::slice::from_ref(&message));
    assert_eq!(spool.find(message.id).await.unwrap(), message);
    assert_eq!(read(&*spool, message.id).await.unwrap(), body_of(10));
}

pub async fn a_settled_message_goes_to_the_history_and_its_body_is_freed(backend: &dyn Backend) {
    let spool = backend.open().await;
    for (size, pause) in [(10, false), (2 << 20, false), (10, true), (2 << 20, true)] {
        let message = enqueue(&*spool, 2, size).await;
        if pause {
            spool.counters().await.unwrap();
        }
        let message = handed_over(message, 2);
        let id = message.id;
        spool.record(message.clone()).await.unwrap();
        assert_eq!(spool.find(id).await.unwrap(), message);
        assert!(matches!(spool.body(id).await, Err(SpoolError::NotFound(_))));
        assert!(matches!(spool.claim(id).await, Err(SpoolError::NotFound(_))));
        assert_eq!(spool.history(&Filter::default(), None, 1).await.unwrap().messages, [message]);
    }
    assert!(spool.list(&Filter::default(), None, 10).await.unwrap().messages.is_empty());
    let counters = spool.counters().await.unwrap();
    assert_eq!((counters.accepted, counters.handed_over, counters.queued, counters.messages), (8, 8, 0, 0));
    assert!(counters.conserved());
}

pub async fn an_outcome_for_nobody_or_with_a_recipient_lost_is_refused(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = enqueue(&*spool, 2, 10).await;
    let mut lost = message.clone();
    lost.recipients.pop();
    assert!(matches!(spool.record(lost).await, Err(SpoolError::Failed(_))));
    let mut unknown = message.clone();
    unknown.id = MessageId::from_i64(7).unwrap();
    assert!(matches!(spool.record(unknown).await, Err(SpoolError::NotFound(_))));
    assert_eq!(spool.find(message.id).await.unwrap(), message, "the old state stands");
    assert!(matches!(spool.claim(message.id).await, Err(SpoolError::Leased(_))), "and the lease with it");
    spool.record(handed_over(message, 2)).await.unwrap();
    assert!(spool.counters().await.unwrap().conserved());
}

pub async fn an_outcome_may_be_recorded_without_a_pause_after_acceptance(backend: &dyn Backend) {
    let spool = backend.open().await;
    for number in 0..50 {
        let message = enqueue(&*spool, 1, 10).await;
        let message = if number % 2 == 0 { handed_over(message, 1) } else { deferred(message, later(5)) };
        spool.record(message).await.unwrap();
    }
    drop(spool);
    let spool = backend.open().await;
    let counters = spool.counters().await.unwrap();
    assert_eq!((counters.accepted, counters.queued, counters.handed_over), (50, 25, 25));
}

pub async fn next_due_looks_past_held_and_leased_messages(backend: &dyn Backend) {
    let spool = backend.open().await;
    assert_eq!(spool.next_due(&lane(), Class::New).await.unwrap(), None);
    let mut messages = Vec::new();
    for seconds in [10, 20, 30] {
        let mut message = enqueue(&*spool, 1, 10).await;
        message.due_at = later(seconds);
        spool.record(message.clone()).await.unwrap();
        messages.push(message);
    }
    assert_eq!(spool.next_due(&lane(), Class::New).await.unwrap(), Some(later(10)));
    let mut first = spool.claim(messages.first().unwrap().id).await.unwrap();
    assert_eq!(spool.next_due(&lane(), Class::New).await.unwrap(), Some(later(20)), "the first is leased");
    first.hold("an operator wants it".to_owned(), later(0));
    spool.record(first).await.unwrap();
    assert_eq!(spool.next_due(&lane(), Class::New).await.unwrap(), Some(later(20)), "the first is held");
    let second = spool.claim(messages.get(1).unwrap().id).await.unwrap();
    assert_eq!(spool.next_due(&lane(), Class::New).await.unwrap(), Some(later(30)));
    spool.release(second.id);
    assert_eq!(spool.next_due(&lane(), Class::New).await.unwrap(), Some(later(20)));
}

pub async fn lists_are_filtered_and_paged(backend: &dyn Backend) {
    let spool = backend.open().await;
    let mut ids = Vec::new();
    for number in 0..25_u32 {
        let writer = spool.body_writer(None).unwrap();
        let mut new = new_message(writer.id(), if number % 5 == 0 { "other" } else { LANE }, 1);
        new.reverse_path =
            format!("<{}@contoso.com>", if number == 7 { "Printer_7" } else { "someone" }).parse().unwrap();
        new.hold = (number == 9).then(|| "no path".to_owned());
        new.accepted_at = later(i64::from(number));
        new.origin.client = if number == 11 { "scanner" } else { "printers" }.into();
        ids.push(spool.enqueue(new, writer.finish().await.unwrap()).await.unwrap().id);
    }
    let found = |listing: queue::Listing| listing.messages.into_iter().map(|message| message.id).collect::<Vec<_>>();
    let page = spool.list(&Filter::default(), None, 10).await.unwrap();
    let (next, mut all) = (page.next, found(page));
    assert_eq!(next, all.last().copied());
    let page = spool.list(&Filter::default(), next, 15).await.unwrap();
    assert_eq!(page.next, None, "exactly all were given");
    all.extend(found(page));
    assert_eq!(all, ids);
    let at = |index: usize| vec![*ids.get(index).unwrap()];
    let only = async |filter: Filter| found(spool.list(&filter, None, 1000).await.unwrap());
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(only(Filter { sender: text("PRINTER_7@"), ..Filter::default() }).await, at(7));
    assert_eq!(only(Filter { sender: text("printerx7@"), ..Filter::default() }).await, []);
    assert_eq!(only(Filter { held: Some(true), ..Filter::default() }).await, at(9));
    assert_eq!(only(Filter { client: text("scanner"), ..Filter::default() }).await, at(11));
    assert_eq!(only(Filter { older_than: Some(later(1)), ..Filter::default() }).await, at(0));
    assert_eq!(only(Filter { lane: Some(LaneName("other".into())), ..Filter::default() }).await.len(), 5);
    assert_eq!(only(Filter { recipient: text("nobody"), ..Filter::default() }).await, []);
    assert_eq!(only(Filter { recipient: text("recipient0@"), held: Some(false), ..Filter::default() }).await.len(), 24);
}

pub async fn the_history_is_paged_from_the_newest_and_pruned(backend: &dyn Backend) {
    let spool = backend.open().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        let message = enqueue(&*spool, 1, 10).await;
        ids.insert(0, message.id);
        spool.record(handed_over(message, 1)).await.unwrap();
    }
    let first = spool.history(&Filter::default(), None, 5).await.unwrap();
    let second = spool.history(&Filter::default(), first.next, 100).await.unwrap();
    let found: Vec<_> = first.messages.iter().chain(&second.messages).map(|message| message.id).collect();
    assert_eq!((found, second.next), (ids, None));
    assert_eq!(spool.prune_history(FixedClock::START).await.unwrap(), 0);
    assert_eq!(spool.prune_history(later(86_400)).await.unwrap(), 12);
    assert!(spool.history(&Filter::default(), None, 5).await.unwrap().messages.is_empty());
    let counters = spool.counters().await.unwrap();
    assert_eq!((counters.accepted, counters.handed_over), (12, 12), "counters are for ever");
}

pub async fn lanes_tell_how_much_waits(backend: &dyn Backend) {
    let spool = backend.open().await;
    assert!(spool.lanes().await.unwrap().is_empty());
    for (name, due, held) in [("b", 30, false), ("a", 20, false), ("a", 10, false), ("a", 5, true), ("c", 1, true)] {
        let mut message = enqueue(&*spool, 1, 10).await;
        message.lane = LaneName(name.into());
        message.due_at = later(due);
        if held {
            message.hold("an operator wants it".to_owned(), later(0));
        }
        spool.record(message).await.unwrap();
    }
    let found: Vec<_> =
        spool.lanes().await.unwrap().into_iter().map(|l| (l.lane.0.to_string(), l.messages, l.next_due_at)).collect();
    let row = |name: &str, messages, due: Option<i64>| (name.to_owned(), messages, due.map(later));
    assert_eq!(found, [row("a", 2, Some(10)), row("b", 1, Some(30)), row("c", 0, None)]);
}

pub async fn accepted_mail_survives_and_leases_do_not(backend: &dyn Backend) {
    let spool = backend.open().await;
    let mut messages = Vec::new();
    for size in [10, 10_000, 2 << 20, 10] {
        messages.push(enqueue(&*spool, 2, size).await);
    }
    drop(spool);
    let spool = backend.open().await;
    let mut found = spool.claim_due(&lane(), Class::New, later(1000), 100).await.unwrap();
    found.sort_by_key(|message| message.id);
    assert_eq!(found, messages);
    for message in &messages {
        assert_eq!(read(&*spool, message.id).await.unwrap(), body_of(usize::try_from(message.size).unwrap()));
    }
    assert_eq!(spool.counters().await.unwrap().accepted, 8);
    spool.close().await.unwrap();
    drop(spool);
    let spool = backend.open().await;
    assert_eq!(claim_all(&*spool, Class::New).await.len(), 4);
    assert_eq!(spool.health().recovery, Vec::<String>::new(), "it was closed in good order");
}

pub async fn outcomes_survive(backend: &dyn Backend) {
    let spool = backend.open().await;
    let settled = handed_over(enqueue(&*spool, 2, 10).await, 2);
    let partly = deferred(handed_over(enqueue(&*spool, 3, 10).await, 1), later(60));
    let failed = bounced(enqueue(&*spool, 1, 10).await);
    for message in [&settled, &partly, &failed] {
        spool.record(message.clone()).await.unwrap();
    }
    drop(spool);
    let spool = backend.open().await;
    for message in [&settled, &partly, &failed] {
        assert_eq!(spool.find(message.id).await.unwrap(), *message);
    }
    let counters = spool.counters().await.unwrap();
    let parts = (counters.accepted, counters.queued, counters.handed_over, counters.bounced, counters.messages);
    assert_eq!(parts, (6, 2, 3, 1, 1));
    assert!(counters.conserved() && counters.oldest == Some(partly.accepted_at));
}

pub async fn a_caller_who_goes_away_leaves_no_lease(backend: &dyn Backend) {
    let spool = backend.open().await;
    let writer = spool.body_writer(None).unwrap();
    let id = writer.id();
    let new = new_message(id, LANE, 1);
    let body = writer.finish().await.unwrap();
    if polled_once(spool.enqueue(new, body)).await.is_some() {
        spool.release(id);
    }
    while claim_all(&*spool, Class::New).await != [id] {
        tokio::task::yield_now().await;
    }
    spool.release(id);
    if polled_once(spool.claim_due(&lane(), Class::New, later(1000), 10)).await.is_some() {
        spool.release(id);
    }
    while claim_all(&*spool, Class::New).await != [id] {
        tokio::task::yield_now().await;
    }
}

/// Starts something and goes away, unless it is done at once.
async fn polled_once<T>(going: impl Future<Output = T>) -> Option<T> {
    tokio::select! { biased; done = going => Some(done), () = std::future::ready(()) => None }
}

pub async fn many_at_once_are_all_accepted_once(backend: &dyn Backend) {
    let spool = backend.open().await;
    let runtime = tokio::runtime::Handle::current();
    let threads: Vec<_> = (0..200)
        .map(|_| {
            let (spool, runtime) = (Arc::clone(&spool), runtime.clone());
            std::thread::spawn(move || {
                runtime.block_on(async {
                    let mut ids = Vec::new();
                    for _ in 0..5 {
                        ids.push(enqueue(&*spool, 1, 3000).await.id);
                    }
                    ids
                })
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for thread in threads {
        let mine = tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        ids.extend(mine);
    }
    assert_eq!(ids.len(), 1000);
    drop(spool);
    let spool = backend.open().await;
    let found: HashSet<_> = claim_all(&*spool, Class::New).await.into_iter().collect();
    assert_eq!(found, ids);
    let counters = spool.counters().await.unwrap();
    assert_eq!((counters.accepted, counters.queued, counters.messages), (1000, 1000, 1000));
}

pub async fn a_healthy_spool_says_so(backend: &dyn Backend) {
    let spool = backend.open().await;
    let health = spool.health();
    assert_eq!((health.state, health.recovery), (SpoolState::Accepting, Vec::new()));
    assert!(health.free_bytes > 0);
    let before = health.used_bytes;
    let _kept: Message = enqueue(&*spool, 1, 3 << 20).await;
    assert!(spool.health().used_bytes >= before + (3 << 20));
}

pub async fn after_close_nothing_is_accepted(backend: &dyn Backend) {
    let spool = backend.open().await;
    let message = enqueue(&*spool, 1, 10).await;
    let writer = spool.body_writer(None).unwrap();
    spool.close().await.unwrap();
    assert!(matches!(spool.body_writer(None), Err(SpoolError::Closed(_))));
    let new = new_message(writer.id(), LANE, 1);
    let body = writer.finish().await.unwrap();
    assert!(matches!(spool.enqueue(new, body).await, Err(SpoolError::Closed(_))));
    assert!(matches!(spool.record(handed_over(message, 1)).await, Err(SpoolError::Closed(_))));
    assert!(matches!(spool.counters().await, Err(SpoolError::Closed(_))));
    assert!(matches!(spool.health().state, SpoolState::Closed { .. }));
}
