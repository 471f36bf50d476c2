//! Ledger and journal when something goes wrong.

use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use jiff::Timestamp;
use queue::{BudgetName, LaneName, LastByte, Message, Spend, Spool, SpoolError, SpoolState};

use super::faults::Barrier;
use super::{Rig, polled_once};
use crate::files::Point;
use crate::suite::{FixedClock, LANE, deferred, enqueue, handed_over};
use crate::{journal, tools};

fn commit(point: Point) -> bool {
    point == Point::Commit
}
fn committed(point: Point) -> bool {
    matches!(point, Point::Committed { .. })
}
fn write(point: Point) -> bool {
    point == Point::WriteJournal
}
fn sync(point: Point) -> bool {
    point == Point::SyncJournal
}
fn allocate(point: Point) -> bool {
    point == Point::AllocateJournal
}

pub(super) fn spent(amount: u32) -> Vec<Spend> {
    ["recipients a day", "messages a minute"]
        .map(|name| Spend { budget: BudgetName(name.into()), at: FixedClock::START, amount })
        .to_vec()
}

pub(super) fn last_byte(message: &Message) -> LastByte {
    LastByte { id: message.id, lane: LaneName(LANE.into()), at: FixedClock::START, recipients: vec![0] }
}

async fn sums(spool: &dyn Spool) -> Vec<u32> {
    spool.ledger(Timestamp::MIN).await.unwrap().into_iter().map(|spend| spend.amount).collect()
}

#[tokio::test]
async fn an_outcome_whose_commit_was_taken_for_a_failure_is_booked_once() {
    for (at, times) in [(commit as fn(Point) -> bool, 1), (commit, 2), (committed, 1), (committed, 2), (committed, 3)] {
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            for settles in [false, true] {
                let rig = Rig::new();
                let spool = rig.open();
                let message = enqueue(&spool, 2, 100).await;
                let message = if settles { handed_over(message, 2) } else { deferred(message, FixedClock::START) };
                rig.faults.fail(at, times, kind);
                let recorded = spool.record_spending(message.clone(), spent(2)).await;
                assert_eq!(recorded.is_ok(), times == 1, "{recorded:?}");
                if recorded.is_err() {
                    // Whoever has an error tries again.
                    let mut again = Ok(());
                    for _ in 0..5 {
                        again = spool.record_spending(message.clone(), spent(2)).await;
                        if again.is_ok() {
                            break;
                        }
                    }
                    again.unwrap();
                }
                rig.faults.heal();
                assert_eq!(sums(&spool).await, [2, 2], "{times} times {kind:?}");
                drop(spool);
                assert_eq!(sums(&rig.open()).await, [2, 2]);
            }
        }
    }
}

#[tokio::test]
async fn what_an_outcome_spent_that_could_not_be_recorded_is_not_in_the_ledger() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 1, 100).await;
    rig.faults.fail(commit, 2, ErrorKind::Other);
    assert!(spool.record_spending(handed_over(message.clone(), 1), spent(1)).await.is_err());
    rig.faults.heal();
    assert_eq!(sums(&spool).await, Vec::<u32>::new());
    // Another attempt has come to something else.
    spool.record_spending(deferred(message, FixedClock::START), spent(3)).await.unwrap();
    assert_eq!(sums(&spool).await, [3, 3]);
}

#[tokio::test]
async fn an_attempt_after_one_whose_record_only_seemed_to_fail_is_booked_too() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 1, 100).await;
    rig.faults.fail(committed, 2, ErrorKind::StorageFull);
    assert!(spool.record_spending(deferred(message.clone(), FixedClock::START), spent(1)).await.is_err());
    rig.faults.heal();
    spool.record_spending(handed_over(message, 1), spent(2)).await.unwrap();
    assert_eq!(sums(&spool).await, [3, 3]);
}

#[tokio::test]
async fn what_many_spend_at_once_is_added_up() {
    let rig = Rig::new();
    let spool = Arc::new(rig.open());
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move {
                let message = enqueue(&*spool, 1, 10).await;
                spool.record_spending(handed_over(message, 1), spent(3)).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(sums(&*spool).await, [600, 600]);
}

#[tokio::test]
async fn the_journal_has_room_of_its_own_on_the_disk() {
    let rig = Rig::new();
    let _spool = rig.open();
    let found = journal::path(rig.path()).metadata().unwrap();
    assert!(found.len() > 0 && found.blocks() * 512 >= found.len(), "{found:?}");
}

#[tokio::test]
async fn the_reserve_is_given_up_for_an_entry_that_finds_no_room() {
    let rig = Rig::new();
    let spool = rig.open();
    let (one, two) = (enqueue(&spool, 1, 10).await, enqueue(&spool, 1, 10).await);
    rig.faults.fail(write, 1, ErrorKind::StorageFull);
    rig.faults.fail(|point| point == Point::Allocate, usize::MAX, ErrorKind::StorageFull);
    // The entry's own write fails, and then the wiping of what it may have left goes through.
    spool.journal(last_byte(&one), false).await.unwrap();
    assert!(!rig.path().join("reserve").exists());
    assert!(matches!(spool.health().state, SpoolState::Full { .. }));
    rig.faults.fail(write, usize::MAX, ErrorKind::StorageFull);
    assert!(matches!(spool.journal(last_byte(&two), false).await, Err(SpoolError::Full(_))));
    rig.faults.heal();
    drop(spool);
    assert_eq!(rig.open().interrupted().await.unwrap(), [last_byte(&one)]);
}

#[tokio::test]
async fn a_spool_on_a_full_disk_opens_without_a_journal_and_makes_it_for_the_first_entry() {
    let rig = Rig::new();
    rig.faults.fail(allocate, 1, ErrorKind::StorageFull);
    let spool = rig.open();
    assert!(!journal::path(rig.path()).exists());
    let message = enqueue(&spool, 1, 10).await;
    spool.journal(last_byte(&message), true).await.unwrap();
    drop(spool);
    assert_eq!(rig.open().interrupted().await.unwrap(), [last_byte(&message)]);
}

#[tokio::test]
async fn an_entry_that_cannot_be_written_or_synced_is_an_error_and_closes_nothing() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 1, 10).await;
    for at in [write as fn(Point) -> bool, sync] {
        rig.faults.fail(at, 1, ErrorKind::Other);
        assert!(matches!(spool.journal(last_byte(&message), true).await, Err(SpoolError::Failed(_))));
        assert_eq!(spool.health().state, SpoolState::Accepting);
        spool.journal(last_byte(&message), true).await.unwrap();
    }
    spool.record(handed_over(message, 1)).await.unwrap();
    drop(spool);
    assert_eq!(rig.open().interrupted().await.unwrap(), []);
}

#[tokio::test]
async fn one_sync_serves_all_entries_that_wait_and_fails_all_that_it_may_have_lost() {
    for fails in [false, true] {
        let rig = Rig::new();
        let spool = Arc::new(rig.open());
        let mut messages = Vec::new();
        for _ in 0..10 {
            messages.push(enqueue(&*spool, 1, 10).await);
        }
        let (gate, barrier) = Barrier::new();
        rig.faults.on(move |point| {
            if point == Point::SyncJournal {
                barrier.pass();
            }
        });
        rig.faults.seen();
        let mut tasks = Vec::new();
        for message in &messages {
            let (spool, entry) = (Arc::clone(&spool), last_byte(message));
            tasks.push(tokio::spawn(async move { spool.journal(entry, true).await }));
        }
        let mut seen = Vec::new();
        while seen.iter().filter(|point| **point == Point::WriteJournal).count() < messages.len()
            || !seen.contains(&Point::SyncJournal)
        {
            tokio::task::yield_now().await;
            seen.extend(rig.faults.seen());
        }
        if fails {
            rig.faults.fail(sync, 1, ErrorKind::Other);
        }
        gate.send(()).unwrap();
        let mut good = 0;
        for task in tasks {
            good += usize::from(task.await.unwrap().is_ok());
        }
        seen.extend(rig.faults.seen());
        let syncs = seen.iter().filter(|point| **point == Point::SyncJournal).count();
        assert!((1..=2).contains(&syncs));
        assert_eq!(good, if fails { 0 } else { messages.len() });
    }
}

#[tokio::test]
async fn an_entry_cut_off_by_a_crash_is_named_once_and_means_nothing() {
    let rig = Rig::new();
    let spool = rig.open();
    let (one, two) = (enqueue(&spool, 1, 10).await, enqueue(&spool, 1, 10).await);
    spool.journal(last_byte(&one), false).await.unwrap();
    // Neither the entry nor its wiping.
    rig.faults.fail_after(write, 1, ErrorKind::Other, 50);
    rig.faults.fail(write, 1, ErrorKind::Other);
    assert!(spool.journal(last_byte(&two), false).await.is_err());
    rig.faults.heal();
    drop(spool);
    assert!(tools::check(rig.path()).unwrap().is_sound(), "normal after a crash");
    for times in 0..2 {
        let spool = rig.open();
        assert_eq!(spool.interrupted().await.unwrap(), [last_byte(&one)]);
        let recovery = spool.health().recovery;
        let named = recovery.iter().filter(|line| line.contains("attempts.journal, offset 4096")).count();
        assert_eq!(named, 1 - times, "{recovery:?}");
        assert!(!recovery.iter().any(|line| line.contains("DAMAGE")), "{recovery:?}");
        assert!(recovery.iter().any(|line| line.starts_with("1 transactions were under way")), "{recovery:?}");
    }
}

#[tokio::test]
async fn an_entry_damaged_while_nobody_wrote_is_damage_and_costs_no_other() {
    let rig = Rig::new();
    let spool = rig.open();
    let mut messages = Vec::new();
    for _ in 0..3 {
        let message = enqueue(&spool, 1, 10).await;
        spool.journal(last_byte(&message), false).await.unwrap();
        messages.push(message);
    }
    spool.close().await.unwrap();
    drop(spool);
    let file = std::fs::OpenOptions::new().write(true).open(journal::path(rig.path())).unwrap();
    file.write_all_at(b"x", journal::SLOT + 40).unwrap();
    let report = tools::check(rig.path()).unwrap();
    assert_eq!((report.under_way, report.problems.len()), (2, 1), "{report}");
    let spool = rig.open();
    let recovery = spool.health().recovery;
    assert!(recovery.iter().any(|line| line.starts_with("DAMAGE: attempts.journal, offset 4096")), "{recovery:?}");
    assert_eq!(spool.interrupted().await.unwrap(), [last_byte(&messages[0]), last_byte(&messages[2])]);
}

#[tokio::test]
async fn without_its_journal_a_spool_opens_and_later_entries_count() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 1, 10).await;
    for _ in 0..5 {
        spool.journal(last_byte(&message), false).await.unwrap();
    }
    spool.record(deferred(message.clone(), FixedClock::START)).await.unwrap();
    drop(spool);
    std::fs::remove_file(journal::path(rig.path())).unwrap();
    let spool = rig.open();
    let message = spool.claim(message.id).await.unwrap();
    spool.journal(last_byte(&message), false).await.unwrap();
    drop(spool);
    assert_eq!(rig.open().interrupted().await.unwrap(), [last_byte(&message)]);
}

#[tokio::test]
async fn a_backup_has_ledger_journal_and_what_is_remembered() {
    let rig = Rig::new();
    let spool = rig.open();
    let (one, two) = (enqueue(&spool, 1, 10).await, enqueue(&spool, 1, 10).await);
    spool.remember("limit", Some("20")).await.unwrap();
    for message in [&one, &two] {
        spool.journal(last_byte(message), false).await.unwrap();
    }
    spool.record_spending(deferred(one, FixedClock::START), spent(5)).await.unwrap();
    spool.counters().await.unwrap();
    let to = tempfile::tempdir().unwrap();
    tools::backup(rig.path(), to.path()).unwrap();
    let report = tools::check(to.path()).unwrap();
    assert_eq!((report.spent, report.remembered, report.under_way, report.is_sound()), (2, 1, 1, true), "{report}");
    let copy = super::open(to.path(), Arc::default());
    assert_eq!(copy.interrupted().await.unwrap(), [last_byte(&two)]);
    assert_eq!(sums(&copy).await, [5, 5]);
    assert_eq!(copy.remembered("").await.unwrap(), [("limit".to_owned(), "20".to_owned())]);
}

#[tokio::test]
async fn rescue_keeps_ledger_and_what_is_remembered_and_the_journal_goes_on() {
    let rig = Rig::new();
    let spool = rig.open();
    for number in 0..200 {
        let message = enqueue(&spool, 1, 300).await;
        let at = FixedClock::START + jiff::SignedDuration::from_millis(number);
        let spend = Spend { budget: BudgetName("recipients a day".into()), at, amount: 2 };
        spool.record_spending(handed_over(message, 1), vec![spend]).await.unwrap();
        spool.remember(&format!("limit {number}"), Some("20")).await.unwrap();
    }
    let (done, open) = (enqueue(&spool, 1, 10).await, enqueue(&spool, 1, 10).await);
    for message in [&done, &open] {
        spool.journal(last_byte(message), false).await.unwrap();
    }
    spool.record(deferred(done, FixedClock::START)).await.unwrap();
    spool.close().await.unwrap();
    drop(spool);
    // A page of the history.
    let database = rig.path().join("spool.db");
    let octets = std::fs::read(&database).unwrap();
    let page = octets
        .chunks(4096)
        .position(|page| page.windows(11).filter(|found| *found == b"handed-over").count() > 2)
        .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&database).unwrap();
    file.write_all_at(&[0xA5; 4096], page as u64 * 4096).unwrap();
    let report = tools::rescue(rig.path()).unwrap();
    assert_eq!((report.needed, report.spent, report.remembered, report.losses.len()), (true, 200, 200, 0), "{report}");
    let spool = rig.open();
    assert_eq!(sums(&spool).await, [2; 200]);
    assert_eq!(spool.remembered("limit ").await.unwrap().len(), 200);
    assert_eq!(spool.interrupted().await.unwrap(), [last_byte(&open)]);
    let message = spool.claim(open.id).await.unwrap();
    spool.record(deferred(message.clone(), FixedClock::START)).await.unwrap();
    let message = spool.claim(message.id).await.unwrap();
    spool.journal(last_byte(&message), false).await.unwrap();
    drop(spool);
    assert_eq!(rig.open().interrupted().await.unwrap(), [last_byte(&message)]);
}

#[tokio::test]
async fn the_end_of_a_message_that_was_given_back_during_its_attempt_cannot_be_mistaken() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 1, 10).await;
    spool.journal(last_byte(&message), false).await.unwrap();
    // Its outcome cannot be recorded, and nobody tries again: the attempt's end is not known.
    rig.faults.fail(commit, usize::MAX, ErrorKind::Other);
    let mut recording = Box::pin(spool.record(handed_over(message.clone(), 1)));
    assert!(polled_once(&mut recording).await.is_none());
    drop(recording);
    let _ = spool.counters().await;
    rig.faults.heal();
    drop(spool);
    assert_eq!(rig.open().interrupted().await.unwrap(), [last_byte(&message)]);
}
