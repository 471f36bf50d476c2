//! When segments and large bodies may go, and that they do.

use queue::{Spool, SpoolState};

use super::faults::Barrier;
use super::{Rig, all_whole, put, queued};
use crate::files::Point;
use crate::suite::{self, FixedClock, deferred, enqueue, handed_over};
use crate::{segment, store, tools};

/// Lets the committer go about its idle work until the condition holds.
async fn until(spool: &crate::Embedded, mut done: impl FnMut() -> bool) {
    while !done() {
        spool.look_for_room();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn with_a_slow_committer_no_segment_goes_whose_rows_have_not_arrived() {
    let rig = Rig::new();
    let spool = rig.open();
    let settled = enqueue(&spool, 1, 1000).await;
    let waits = enqueue(&spool, 1, 1000).await;
    let (gate, barrier) = Barrier::new();
    rig.faults.on(move |point| {
        if point == Point::Commit {
            barrier.pass();
        }
    });
    // The first outcome is held up in its commit while the appender goes through several segments.
    let outcome = spool.record(handed_over(settled, 1));
    let fill = async {
        for _ in 0..12 {
            suite::enqueue_body(&spool, 1, &suite::body_of(100_000)).await.unwrap();
        }
        assert!(segment::list(rig.path()).unwrap().len() > 3);
        drop(gate);
    };
    let (outcome, ()) = tokio::join!(outcome, fill);
    outcome.unwrap();
    assert!(segment::path(rig.path(), 1).exists(), "a message in it still lives");
    spool.release(waits.id);
    all_whole(&spool).await;
    drop(spool);
    let spool = rig.open();
    assert_eq!(queued(&spool).await.len(), 13);
    all_whole(&spool).await;
}

#[tokio::test]
async fn when_everything_is_settled_the_disk_is_given_back() {
    let rig = Rig::new();
    let spool = rig.open();
    let mut messages = Vec::new();
    for size in [100_000, 100_000, 100_000, 100_000, 2 << 20] {
        messages.push(enqueue(&spool, 1, size).await);
    }
    assert!(spool.health().used_bytes > 2 << 20);
    for message in messages {
        spool.record(handed_over(message, 1)).await.unwrap();
    }
    until(&spool, || segment::list(rig.path()).unwrap().is_empty()).await;
    assert_eq!(std::fs::read_dir(store::big_dir(rig.path())).unwrap().count(), 0);
    put(&spool, 1000).await;
    all_whole(&spool).await;
}

#[tokio::test]
async fn a_segment_with_little_left_in_it_is_emptied_and_deleted_and_nothing_is_lost() {
    let rig = Rig::new();
    let spool = rig.open();
    let mut held = Vec::new();
    for number in 0..40 {
        let message = enqueue(&spool, 1, 20_000).await;
        if number % 13 == 0 {
            let message = deferred(message, FixedClock::START);
            spool.record(message.clone()).await.unwrap();
            held.push(message);
        } else {
            spool.record(handed_over(message, 1)).await.unwrap();
        }
    }
    let leased = spool.claim(held[0].id).await.unwrap();
    let mut reading = spool.body(held[1].id).await.unwrap();
    until(&spool, || !segment::path(rig.path(), 1).exists() && !segment::path(rig.path(), 2).exists()).await;
    assert_eq!(queued(&spool).await, held);
    assert_eq!(reading.next().await.unwrap().unwrap(), suite::body_of(20_000), "who was reading goes on");
    assert_eq!(suite::read(&spool, leased.id).await.unwrap(), suite::body_of(20_000));
    all_whole(&spool).await;
    spool.close().await.unwrap();
    let report = tools::check(rig.path()).unwrap();
    assert!(report.is_sound(), "{report}");
    drop(spool);
    let spool = rig.open();
    assert_eq!(queued(&spool).await, held);
    all_whole(&spool).await;
}

#[tokio::test]
async fn the_old_place_of_a_moved_record_goes_only_when_its_new_one_is_durable() {
    let (rig, image) = (Rig::new(), tempfile::tempdir().unwrap());
    let spool = rig.open();
    let mut messages = Vec::new();
    for _ in 0..30 {
        messages.push(enqueue(&spool, 1, 20_000).await);
    }
    let held = messages.remove(3);
    spool.record(deferred(held.clone(), FixedClock::START)).await.unwrap();
    // Copies wait until all outcomes are in, so that the commit that moves them is one that need not be synced.
    let (gate, barrier) = Barrier::new();
    let (from, to) = (rig.path().to_owned(), image.path().to_owned());
    super::cut::copy_database(&from, &to);
    rig.faults.on(move |point| match point {
        Point::WriteSegment => barrier.pass(),
        Point::Committed { synced: true } => super::cut::copy_database(&from, &to),
        _ => {}
    });
    for message in messages {
        spool.record(handed_over(message, 1)).await.unwrap();
    }
    gate.send(()).unwrap();
    until(&spool, || !segment::path(rig.path(), 1).exists()).await;
    // The power goes: the database is as it was last synced, the files are as they are.
    super::damage::copy_bodies(rig.path(), image.path());
    let spool = super::open(image.path(), std::sync::Arc::default());
    assert_eq!(super::queued_ids(&spool).await, [held.id]);
    all_whole(&spool).await;
}

#[tokio::test]
async fn what_was_settled_and_then_forgotten_does_not_come_back_after_a_crash() {
    let rig = Rig::new();
    let spool = rig.open();
    let waits = enqueue(&spool, 1, 100).await;
    let settled = enqueue(&spool, 1, 100).await;
    spool.record(handed_over(settled, 1)).await.unwrap();
    assert_eq!(spool.prune_history(FixedClock::START + jiff::SignedDuration::from_hours(1)).await.unwrap(), 1);
    drop(spool);
    let spool = rig.open();
    assert_eq!(super::queued_ids(&spool).await, [waits.id]);
}

#[tokio::test]
async fn a_crash_between_copy_and_row_leaves_each_message_once() {
    let rig = Rig::new();
    let spool = rig.open();
    let mut held = Vec::new();
    for number in 0..30 {
        let message = enqueue(&spool, 1, 20_000).await;
        if number == 3 {
            spool.record(deferred(message.clone(), FixedClock::START)).await.unwrap();
            held.push(message.id);
        } else {
            spool.record(handed_over(message, 1)).await.unwrap();
        }
    }
    // Copies are written, but their rows are not: every commit fails from now on.
    rig.faults.seen();
    rig.faults.fail(|point| point == Point::Commit, usize::MAX, std::io::ErrorKind::StorageFull);
    until(&spool, || rig.faults.seen().iter().any(|point| matches!(point, Point::SyncedSegment { .. }))).await;
    drop(spool);
    rig.faults.heal();
    let spool = rig.open();
    assert_eq!(super::queued_ids(&spool).await, held);
    let counters = spool.counters().await.unwrap();
    assert_eq!((counters.accepted, counters.messages, counters.conserved()), (30, 1, true));
    all_whole(&spool).await;
}

#[tokio::test]
async fn while_a_backup_runs_nothing_is_deleted_and_afterwards_it_is() {
    let rig = Rig::new();
    let spool = rig.open();
    let backup = crate::sys::lock_file(&store::backup_lock_path(rig.path())).unwrap();
    backup.lock_shared().unwrap();
    let message = enqueue(&spool, 1, 2 << 20).await;
    spool.record(handed_over(message.clone(), 1)).await.unwrap();
    spool.counters().await.unwrap();
    assert!(store::big_path(rig.path(), message.id).exists());
    backup.unlock().unwrap();
    until(&spool, || !store::big_path(rig.path(), message.id).exists()).await;
}

#[tokio::test]
async fn a_backup_taken_under_load_can_be_started_from() {
    let rig = Rig::new();
    let spool = rig.open();
    let (mut kept, copies) = (Vec::new(), tempfile::tempdir().unwrap());
    for round in 0..3 {
        for number in 0..30 {
            let size = if number == 0 { 1_500_000 } else { 30_000 };
            let message = enqueue(&spool, 1, size).await;
            if number % 10 == 0 {
                spool.release(message.id);
                kept.push(message);
            } else {
                spool.record(handed_over(message, 1)).await.unwrap();
            }
        }
        let (from, to) = (rig.path().to_owned(), copies.path().join(round.to_string()));
        let copy = to.clone();
        let backup = tokio::task::spawn_blocking(move || tools::backup(&from, &copy).unwrap());
        let meanwhile = enqueue(&spool, 1, 1000).await;
        let report = backup.await.unwrap();
        assert!(report.linked + report.copied > 0, "{report}");
        let copy = super::open(&to, rig.faults.clone());
        let found = queued(&copy).await;
        assert!(kept.iter().all(|message| found.contains(message)), "{round}: {} of {}", found.len(), kept.len());
        all_whole(&copy).await;
        spool.record(handed_over(meanwhile, 1)).await.unwrap();
    }
    assert!(tools::backup(rig.path(), &copies.path().join("0")).is_err(), "what is there is not written over");
    assert_eq!(spool.health().state, SpoolState::Accepting);
}

#[tokio::test]
async fn pages_freed_by_pruning_are_given_back() {
    let rig = Rig::new();
    let spool = rig.open();
    for _ in 0..1500 {
        let message = enqueue(&spool, 1, 10).await;
        spool.record(handed_over(message, 1)).await.unwrap();
    }
    let pages = || {
        let (connection, _) = crate::tables::open_existing(rig.path()).unwrap();
        connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = pages();
    spool.prune_history(FixedClock::START + jiff::SignedDuration::from_hours(1)).await.unwrap();
    until(&spool, || pages() < before / 2).await;
}

#[tokio::test]
async fn the_history_keeps_the_newest_and_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let settings = crate::Settings { dir: dir.path().to_owned(), reserve: 1 << 20, memory: 4 << 20, history: 3 };
    let clock = std::sync::Arc::new(FixedClock::new());
    let spool = crate::Embedded::open(settings, clock, std::sync::Arc::default()).unwrap();
    let mut ids = Vec::new();
    for _ in 0..8 {
        let message = enqueue(&spool, 1, 100).await;
        ids.push(message.id);
        spool.record(handed_over(message, 1)).await.unwrap();
    }
    let kept = loop {
        spool.look_for_room();
        let kept = spool.history(&queue::Filter::default(), None, 100).await.unwrap().messages;
        if kept.len() <= 3 {
            break kept;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let kept: Vec<_> = kept.into_iter().map(|message| message.id).collect();
    assert_eq!(kept, [ids[7], ids[6], ids[5]]);
    assert_eq!(spool.counters().await.unwrap().handed_over, 8, "the counters go on");
}
