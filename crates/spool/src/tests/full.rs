//! A full disk: new mail is refused, outcomes are recorded.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;

use queue::{Spool, SpoolError, SpoolState};

use super::faults::Barrier;
use super::{Rig, all_whole, polled_once, queued_ids};
use crate::files::Point;
use crate::suite::{self, enqueue, handed_over};

fn write(point: Point) -> bool {
    point == Point::WriteSegment
}
fn create(point: Point) -> bool {
    point == Point::CreateSegment
}
fn commit(point: Point) -> bool {
    point == Point::Commit
}
fn allocate(point: Point) -> bool {
    point == Point::Allocate
}

#[tokio::test]
async fn mail_is_refused_before_the_reserve_is_touched_and_taken_again_when_there_is_room() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 1, 1000).await;
    rig.faults.free.store(4096, Ordering::Relaxed);
    spool.look_for_room();
    let refused = spool.body_writer(Some(2 << 20)).map(drop);
    assert!(matches!(refused, Err(SpoolError::Full(_))), "{refused:?}");
    assert!(spool.body_writer(Some(1000)).is_ok(), "a small one still fits beside the reserve");
    rig.faults.free.store(1, Ordering::Relaxed);
    spool.look_for_room();
    assert!(spool.body_writer(Some(1000)).is_err());
    spool.record(handed_over(message, 1)).await.unwrap();
    rig.faults.free.store(100 << 20, Ordering::Relaxed);
    spool.look_for_room();
    assert_eq!(spool.health().state, SpoolState::Accepting);
    enqueue(&spool, 1, 1000).await;
}

#[tokio::test]
async fn a_full_disk_refuses_the_large_of_a_group_and_takes_the_small() {
    let rig = Rig::new();
    let spool = rig.open();
    enqueue(&spool, 1, 10).await;
    // The appender is held up in a sync, so that the next two are one group.
    let (gate, barrier) = Barrier::new();
    rig.faults.on(move |point| {
        if point == Point::SyncSegment {
            barrier.pass();
        }
    });
    let (large, small) = (suite::body_of(90_000), suite::body_of(10));
    rig.faults.seen();
    let mut first = Box::pin(suite::enqueue_body(&spool, 1, b"first"));
    assert!(polled_once(&mut first).await.is_none());
    while !rig.faults.seen().contains(&Point::SyncSegment) {
        tokio::task::yield_now().await;
    }
    let both = async { tokio::join!(suite::enqueue_body(&spool, 1, &large), suite::enqueue_body(&spool, 1, &small)) };
    let mut group = Box::pin(both);
    assert!(polled_once(&mut group).await.is_none());
    rig.faults.fail(write, 2, ErrorKind::StorageFull);
    gate.send(()).unwrap();
    assert!(first.await.is_ok());
    let (large, small) = group.await;
    assert!(matches!(large, Err(SpoolError::Full(_))), "{large:?}");
    assert!(small.is_ok(), "{small:?}");
    let ids = queued_ids(&spool).await;
    drop(spool);
    let spool = rig.open();
    assert_eq!((ids.len(), queued_ids(&spool).await), (3, ids));
}

#[tokio::test]
async fn without_room_for_a_segment_all_of_a_group_are_refused_and_nothing_breaks() {
    let rig = Rig::new();
    let spool = rig.open();
    rig.faults.fail(create, 5, ErrorKind::StorageFull);
    assert!(matches!(suite::enqueue_body(&spool, 1, b"x").await, Err(SpoolError::Full(_))));
    assert!(matches!(spool.health().state, SpoolState::Full { .. }));
    rig.faults.heal();
    spool.look_for_room();
    enqueue(&spool, 1, 10).await;
    all_whole(&spool).await;
}

#[tokio::test]
async fn the_reserve_is_given_up_for_an_outcome_and_taken_back_before_new_mail() {
    let rig = Rig::new();
    let spool = rig.open();
    let reserve = rig.path().join("reserve");
    let message = enqueue(&spool, 1, 10).await;
    assert!(reserve.exists());
    rig.faults.fail(commit, 1, ErrorKind::StorageFull);
    rig.faults.fail(allocate, usize::MAX, ErrorKind::StorageFull);
    spool.record(handed_over(message, 1)).await.unwrap();
    assert!(!reserve.exists());
    assert!(matches!(spool.health().state, SpoolState::Full { .. }));
    assert!(matches!(spool.body_writer(None), Err(SpoolError::Full(_))));
    spool.look_for_room();
    assert!(!reserve.exists() && spool.body_writer(None).is_err(), "not yet");
    rig.faults.heal();
    spool.look_for_room();
    assert!(reserve.exists());
    assert_eq!(spool.health().state, SpoolState::Accepting);
}

#[tokio::test]
async fn an_outcome_that_finds_no_room_at_all_is_refused_and_may_be_recorded_later() {
    let rig = Rig::new();
    let spool = rig.open();
    let message = enqueue(&spool, 1, 10).await;
    rig.faults.fail(commit, 2, ErrorKind::StorageFull);
    assert!(matches!(spool.record(handed_over(message.clone(), 1)).await, Err(SpoolError::Full(_))));
    spool.record(handed_over(message, 1)).await.unwrap();
    let counters = spool.counters().await.unwrap();
    assert_eq!((counters.accepted, counters.handed_over), (1, 1));
}
