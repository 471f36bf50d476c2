//! Writes, syncs and commits that fail.

use std::io::ErrorKind;

use queue::{Spool, SpoolError, SpoolState};

use super::faults::Barrier;
use super::{Rig, accepting, all_whole, open, polled_once, put, queued_ids};
use crate::files::Point;
use crate::suite::{self, FixedClock, deferred, enqueue, handed_over};

fn sync(point: Point) -> bool {
    point == Point::SyncSegment
}
fn write(point: Point) -> bool {
    point == Point::WriteSegment
}
fn commit(point: Point) -> bool {
    point == Point::Commit
}
fn committed(point: Point) -> bool {
    matches!(point, Point::Committed { .. })
}
fn big(point: Point) -> bool {
    matches!(point, Point::WriteBig | Point::SyncBig)
}

#[tokio::test]
async fn a_failed_sync_closes_the_spool_until_it_has_been_verified_and_that_mail_never_comes_back() {
    let rig = Rig::new();
    let spool = rig.open();
    let kept = put(&spool, 5000).await;
    rig.faults.fail(sync, 2, ErrorKind::Other);
    let refused = suite::enqueue_body(&spool, 1, &suite::body_of(5000)).await;
    assert!(matches!(refused, Err(SpoolError::Closed(_))), "{refused:?}");
    accepting(&spool).await;
    let after = put(&spool, 5000).await;
    assert_eq!(queued_ids(&spool).await, [kept.id, after.id]);
    all_whole(&spool).await;
    drop(spool);
    let spool = rig.open();
    assert_eq!(queued_ids(&spool).await, [kept.id, after.id]);
    all_whole(&spool).await;
}

#[tokio::test]
async fn a_segment_with_a_failed_sync_is_never_synced_again() {
    let rig = Rig::new();
    let spool = rig.open();
    put(&spool, 10).await;
    rig.faults.fail(sync, 1, ErrorKind::Other);
    assert!(suite::enqueue_body(&spool, 1, b"x").await.is_err());
    rig.faults.seen();
    accepting(&spool).await;
    put(&spool, 10).await;
    let synced: Vec<_> =
        rig.faults.seen().into_iter().filter(|point| matches!(point, Point::SyncedSegment { .. })).collect();
    assert!(matches!(synced.as_slice(), [Point::SyncedSegment { segment: 2, .. }]), "{synced:?}");
}

#[tokio::test]
async fn mail_whose_record_was_written_whole_before_the_sync_failed_does_not_come_back() {
    for verified in [false, true] {
        let rig = Rig::new();
        let spool = rig.open();
        let kept = put(&spool, 100).await;
        // As if the file could not be cut: its content is put back before the next start.
        let segment = crate::segment::path(rig.path(), 1);
        let (path, saved) = (segment.clone(), std::sync::Arc::new(std::sync::Mutex::new(Vec::new())));
        let save = saved.clone();
        rig.faults.on(move |point| {
            let mut saved = save.lock().unwrap();
            if point == Point::SyncSegment && saved.is_empty() {
                *saved = std::fs::read(&path).unwrap();
            }
        });
        rig.faults.fail(sync, 1, ErrorKind::Other);
        assert!(suite::enqueue_body(&spool, 1, b"never accepted").await.is_err());
        // Whoever has been told so can rely on it at once.
        if verified {
            accepting(&spool).await;
        }
        drop(spool);
        let saved = saved.lock().unwrap().clone();
        assert!(saved.windows(14).any(|octets| octets == b"never accepted"));
        std::fs::write(&segment, saved).unwrap();
        let spool = rig.open();
        assert_eq!(queued_ids(&spool).await, [kept.id]);
    }
}

#[tokio::test]
async fn while_the_failure_cannot_be_noted_the_spool_stays_closed() {
    let rig = Rig::new();
    let spool = rig.open();
    let kept = put(&spool, 100).await;
    rig.faults.fail(sync, 1, ErrorKind::Other);
    rig.faults.fail(commit, usize::MAX, ErrorKind::Other);
    assert!(suite::enqueue_body(&spool, 1, b"never accepted").await.is_err());
    for _ in 0..20 {
        assert!(matches!(spool.health().state, SpoolState::Closed { .. }));
        assert!(spool.counters().await.is_err());
        assert!(matches!(spool.body_writer(None), Err(SpoolError::Closed(_))));
    }
    rig.faults.heal();
    accepting(&spool).await;
    assert_eq!(queued_ids(&spool).await, [kept.id]);
    drop(spool);
    assert_eq!(queued_ids(&rig.open()).await, [kept.id]);
}

#[tokio::test]
async fn a_write_that_fails_half_way_leaves_nothing_and_harms_nobody() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let rig = Rig::new();
        let spool = rig.open();
        let kept = put(&spool, 5000).await;
        rig.faults.fail_after(write, 2, kind, 3000);
        let refused = suite::enqueue_body(&spool, 1, &suite::body_of(5000)).await;
        let expected =
            matches!((kind, &refused), (ErrorKind::Other, Err(SpoolError::Closed(_))) | (_, Err(SpoolError::Full(_))));
        assert!(expected, "{refused:?}");
        rig.faults.heal();
        spool_with_room(&spool).await;
        let after = put(&spool, 5000).await;
        drop(spool);
        let spool = rig.open();
        assert_eq!(queued_ids(&spool).await, [kept.id, after.id]);
        assert_eq!(spool.health().recovery.len(), 1, "{:?}", spool.health().recovery);
        all_whole(&spool).await;
    }
}

/// Looks at once whether there is room again, instead of within the second.
async fn spool_with_room(spool: &crate::Embedded) {
    while spool.health().state != SpoolState::Accepting {
        spool.look_for_room();
        let _ = spool.counters().await;
    }
}

#[tokio::test]
async fn a_large_body_that_cannot_be_written_or_synced_is_refused_and_leaves_nothing() {
    let rig = Rig::new();
    let spool = rig.open();
    for (kind, times) in [(ErrorKind::StorageFull, 1), (ErrorKind::Other, 1)] {
        rig.faults.fail(big, times, kind);
        assert!(suite::enqueue_body(&spool, 1, &suite::body_of(2 << 20)).await.is_err());
        rig.faults.heal();
        spool_with_room(&spool).await;
        assert_eq!(std::fs::read_dir(crate::store::big_dir(rig.path())).unwrap().count(), 0);
    }
    put(&spool, 2 << 20).await;
    all_whole(&spool).await;
}

#[tokio::test]
async fn want_of_a_descriptor_refuses_one_message_and_closes_nothing() {
    let rig = Rig::new();
    let spool = rig.open();
    let create = |point| point == Point::CreateBig;
    for (at, kind) in [(create as fn(Point) -> bool, ErrorKind::Other), (big, ErrorKind::OutOfMemory)] {
        rig.faults.fail(at, 1, kind);
        let refused = suite::enqueue_body(&spool, 1, &suite::body_of(2 << 20)).await;
        assert!(matches!(refused, Err(SpoolError::Failed(_))), "{kind:?}: {refused:?}");
        assert_eq!(spool.health().state, SpoolState::Accepting);
    }
    rig.faults.fail(|point| point == Point::CreateSegment, 1, ErrorKind::OutOfMemory);
    let refused = suite::enqueue_body(&spool, 1, b"small").await;
    assert!(matches!(refused, Err(SpoolError::Failed(_))), "{refused:?}");
    assert_eq!(spool.health().state, SpoolState::Accepting);
    put(&spool, 2 << 20).await;
    put(&spool, 10).await;
    all_whole(&spool).await;
    assert_eq!(std::fs::read_dir(crate::store::big_dir(rig.path())).unwrap().count(), 1);
}

#[tokio::test]
async fn an_outcome_is_recorded_although_the_first_commit_fails() {
    for at in [commit, committed] {
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            let rig = Rig::new();
            let spool = rig.open();
            let early = enqueue(&spool, 2, 100).await;
            spool.counters().await.unwrap();
            let late = enqueue(&spool, 3, 100).await;
            let waits = enqueue(&spool, 1, 100).await;
            for message in [early, late] {
                rig.faults.fail(at, 1, kind);
                spool.record(handed_over(message, 2)).await.unwrap();
            }
            let counters = spool.counters().await.unwrap();
            assert_eq!((counters.accepted, counters.queued, counters.handed_over, counters.messages), (6, 2, 4, 2));
            spool_with_room(&spool).await;
            drop(spool);
            let spool = rig.open();
            let counters = spool.counters().await.unwrap();
            assert_eq!((counters.accepted, counters.queued, counters.handed_over, counters.messages), (6, 2, 4, 2));
            assert!(queued_ids(&spool).await.contains(&waits.id));
            assert!(crate::tools::check(rig.path()).unwrap().is_sound());
        }
    }
}

#[tokio::test]
async fn a_roll_back_leaves_counters_segments_and_leases_as_they_were() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 2, 100).await;
    let free = put(&spool, 100).await;
    rig.faults.fail(commit, 2, ErrorKind::Other);
    let refused = spool.record(deferred(handed_over(message.clone(), 1), FixedClock::START)).await;
    assert!(matches!(refused, Err(SpoolError::Closed(_))), "{refused:?}");
    rig.faults.heal();
    assert_eq!(spool.find(message.id).await.unwrap(), message, "the old state stands");
    assert!(matches!(spool.claim(message.id).await, Err(SpoolError::Leased(_))), "and so does the lease");
    rig.faults.fail(commit, 2, ErrorKind::Other);
    assert!(spool.claim(free.id).await.is_err());
    rig.faults.heal();
    assert_eq!(spool.claim(free.id).await.unwrap(), free, "a claim that failed holds nothing");
    let counters = spool.counters().await.unwrap();
    assert_eq!((counters.accepted, counters.handed_over, counters.messages), (3, 0, 2));
    spool.record(handed_over(message, 2)).await.unwrap();
    assert!(spool.counters().await.unwrap().conserved());
    spool.close().await.unwrap();
    let report = crate::tools::check(rig.path()).unwrap();
    assert!(report.is_sound(), "{report}");
}

#[tokio::test]
async fn one_outcome_that_cannot_be_recorded_takes_no_other_with_it() {
    let rig = Rig::new();
    let spool = rig.open();
    let (one, two) = (enqueue(&spool, 1, 10).await, enqueue(&spool, 1, 10).await);
    let mut lost = one.clone();
    lost.recipients.clear();
    let (first, second) = tokio::join!(spool.record(lost), spool.record(handed_over(two, 1)));
    assert!(matches!(first, Err(SpoolError::Failed(_))) && second.is_ok());
    // A whole group whose transaction fails: each is tried by itself, and the first of them fails again.
    let (two, three) = (enqueue(&spool, 1, 10).await, enqueue(&spool, 1, 10).await);
    // Nothing is left to be committed but what comes from here on.
    spool.prune_history(jiff::Timestamp::MIN).await.unwrap();
    let (gate, barrier) = Barrier::new();
    let through = std::sync::atomic::AtomicBool::new(true);
    let faults = std::sync::Arc::downgrade(&rig.faults);
    // The commit of a question is held up and then let through; those of the group after it, and of its first, are not.
    rig.faults.on(move |point| match point {
        Point::Commit => barrier.pass(),
        Point::Committed { .. } if through.swap(false, std::sync::atomic::Ordering::Relaxed) => {
            faults.upgrade().unwrap().fail(commit, 2, ErrorKind::StorageFull);
        }
        _ => {}
    });
    let wait = spool.counters();
    tokio::pin!(wait);
    rig.faults.seen();
    assert!(polled_once(&mut wait).await.is_none());
    while !rig.faults.seen().contains(&Point::Commit) {
        tokio::task::yield_now().await;
    }
    let records = async {
        let settled = [one, two, three].map(|message| handed_over(message, 1));
        let [one, two, three] = settled.map(|message| spool.record(message));
        tokio::join!(one, two, three)
    };
    tokio::pin!(records);
    assert!(polled_once(&mut records).await.is_none());
    gate.send(()).unwrap();
    wait.await.unwrap();
    let (one, two, three) = records.await;
    let failed = [one, two, three].into_iter().filter(|result| matches!(result, Err(SpoolError::Full(_)))).count();
    assert_eq!(failed, 1);
    assert_eq!(spool.counters().await.unwrap().handed_over, 3);
}

#[tokio::test]
async fn two_spools_never_share_a_directory() {
    let rig = Rig::new();
    let spool = rig.open();
    let settings = crate::Settings { dir: rig.path().to_owned(), reserve: 0, memory: 0, history: 1000 };
    let clock = std::sync::Arc::new(FixedClock::new());
    let second = crate::Embedded::open(settings, clock, std::sync::Arc::default());
    assert!(matches!(second, Err(crate::OpenError::InUse { .. })));
    drop(spool);
    open(rig.path(), rig.faults.clone());
}
