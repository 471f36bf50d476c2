//! What was sent before a start counts after it, however the process ended; and nothing is sent before that is known.

use std::sync::atomic::Ordering;
use std::time::Duration;

use telemetry::{IncidentKind, Told};

use crate::relay::{Permits, Relay, life, minute};
use crate::remote::{Act, World};
use crate::world::{START, seconds, wait};

const TEN: [Permits; 1] = [("alpha", 3, Some(10))];

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_restart_counts_for_its_minute() {
    let world = World::new(1);
    let relay = Relay::start(&world, &TEN);
    for _ in 0..15 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(5).await;
    relay.stop().await;
    world.next_life();
    let relay = Relay::start_with(&world, START + seconds(10), &TEN, |_| {});
    wait(40).await;
    assert_eq!(world.ledger().order.len(), 10);
    wait(20).await;
    assert_eq!(world.ledger().order.len(), 15);
    relay.stop().await;
}

#[test]
fn what_was_under_way_in_a_crash_counts_too() {
    let world = World::new(1);
    life(async {
        let relay = Relay::start(&world, &TEN);
        relay.remotes["alpha"].does((0..7).map(|_| Act::Take).chain([Act::Hang, Act::Silent, Act::Silent]));
        for _ in 0..20 {
            relay.accept("alpha", 1, false).await.unwrap();
        }
        wait(5).await;
        assert_eq!(world.ledger().order.len(), 10);
    });
    world.spool.crash();
    world.next_life();
    life(async {
        let relay = Relay::start_with(&world, START + seconds(10), &TEN, |_| {});
        wait(30).await;
        assert_eq!(world.ledger().order.len(), 10, "two may have got as far as MAIL, and one hung: all count");
        wait(90).await;
        assert!(relay.drained_within(seconds(120)).await);
        relay.stop().await;
    });
}

#[test]
fn what_was_under_way_in_a_crash_still_counts_after_another_end_of_any_kind() {
    let world = World::new(1);
    life(async {
        let relay = Relay::start(&world, &TEN);
        relay.remotes["alpha"].does((0..7).map(|_| Act::Take).chain([Act::Silent, Act::Silent, Act::Silent]));
        for _ in 0..20 {
            relay.accept("alpha", 1, false).await.unwrap();
        }
        wait(5).await;
        assert_eq!(world.ledger().order.len(), 10);
    });
    world.spool.crash();
    world.next_life();
    life(async {
        let relay = Relay::start_with(&world, START + seconds(10), &TEN, |_| {});
        wait(5).await;
        relay.stop().await;
    });
    world.next_life();
    life(async {
        let relay = Relay::start_with(&world, START + seconds(20), &TEN, |_| {});
        wait(30).await;
        assert_eq!(world.ledger().order.len(), 10, "three may have got as far as MAIL");
        wait(90).await;
        assert!(relay.drained_within(seconds(120)).await);
        relay.stop().await;
    });
    assert!(world.spool.is_remembered("qmgr/under-way").len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_entered_once_with_the_time_of_its_end() {
    let relay = Relay::start(&World::new(1), &TEN);
    relay.remotes["alpha"].does([Act::Take, Act::Unreachable, Act::PutOff]);
    let taken = relay.accept("alpha", 2, false).await.unwrap();
    wait(1).await;
    let spent = relay.world.spool.spent();
    let [spend] = &spent[..] else { panic!("{spent:?}") };
    assert_eq!((&spend.budget, spend.amount), (&minute("alpha"), 1));
    assert_eq!(spend.at, relay.message(taken).story.last().unwrap().at);
    let put_off = relay.accept("alpha", 1, false).await.unwrap();
    wait(10).await;
    let spent = relay.world.spool.spent();
    assert_eq!(spent.len(), 2, "without a link nothing is spent: {spent:?}");
    assert_eq!(spent[1].at, relay.message(put_off).story.last().unwrap().at);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_spool_has_said_what_was_sent_before() {
    let world = World::new(1);
    world.spool.mute.store(true, Ordering::Relaxed);
    let relay = Relay::start(&world, &TEN);
    let id = relay.accept("alpha", 1, false).await.unwrap();
    let urged = tokio::spawn({
        let handle = relay.handle.clone();
        async move { handle.retry(id).await }
    });
    wait(600).await;
    assert_eq!(world.ledger().order, []);
    assert!(!urged.is_finished());
    let told = relay.incidents.take();
    assert!(matches!(&told[0], Told::Open(incident) if incident.kind == IncidentKind::Fault), "{told:?}");
    world.spool.mute.store(false, Ordering::Relaxed);
    assert!(relay.drained_within(seconds(31)).await);
    urged.await.unwrap().unwrap();
    let told = relay.incidents.take();
    assert!(matches!(told.last(), Some(Told::Close(IncidentKind::Fault, _))), "{told:?}");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_stopped_before_it_could_begin_gives_everything_back() {
    let world = World::new(1);
    world.spool.mute.store(true, Ordering::Relaxed);
    let relay = Relay::start(&world, &TEN);
    relay.accept("alpha", 1, false).await.unwrap();
    let answer = tokio::spawn({
        let (handle, id) = (relay.handle.clone(), world.spool.all()[0].id);
        async move { handle.hold(id, String::new()).await }
    });
    wait(5).await;
    let began = tokio::time::Instant::now();
    relay.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(answer.await.unwrap().is_err());
}
