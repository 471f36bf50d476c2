//! What the queue manager does, one behaviour each.

use std::sync::atomic::Ordering;
use std::time::Duration;

use posthouse_qmgr::{Event, OperatorError, Report};
use queue::{Clock, Happening, Intake, MessageId, RecipientState, RetryPolicy, Spool, SpoolError};

use telemetry::{IncidentKind, Told};

use crate::relay::{Permits, Relay, routes};
use crate::remote::{Act, World};
use crate::world::{START, handed_over, happenings, lane, seconds, wait};

const ONE: [Permits; 1] = [("alpha", 1, None)];
const FREE: [Permits; 2] = [("alpha", 3, None), ("beta", 3, None)];

#[tokio::test(start_paused = true)]
async fn mail_is_handed_over_and_the_story_is_told_to_listeners() {
    let relay = Relay::start(&World::new(1), &FREE);
    let mut events = relay.handle.events();
    let id = relay.accept("alpha", 2, false).await.unwrap();
    assert!(relay.drained_within(seconds(5)).await);
    assert!(handed_over(&relay.message(id)));
    assert_eq!(happenings(&relay.message(id)), ["accepted", "attempted"]);
    let Event::Message(first) = (*events.recv().await.unwrap()).clone() else { panic!("not a message") };
    assert_eq!((first.id, first.what.what, first.message_settled), (id, Happening::Accepted, false));
    let Event::Message(second) = (*events.recv().await.unwrap()).clone() else { panic!("not a message") };
    assert!(matches!(second.what.what, Happening::Attempted { .. }) && second.message_settled);
    assert_eq!((second.recipients.len(), second.lane), (2, lane("alpha")));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deferred_mail_is_tried_again_by_the_schedule_and_recipients_apart() {
    let relay = Relay::start(&World::new(1), &ONE);
    // The second takes the report of what bounced.
    relay.remotes["alpha"].does([Act::Mixed, Act::Take, Act::PutOff]);
    let id = relay.accept("alpha", 6, false).await.unwrap();
    wait(1).await;
    let first = relay.message(id);
    assert!(!first.is_settled() && first.attempts == 1);
    assert!(first.due_at.duration_since(relay.clock.now()).as_secs() <= 60);
    wait(61).await;
    assert_eq!(relay.message(id).attempts, 2);
    assert!(relay.drained_within(seconds(360)).await);
    let order = relay.world.ledger().order.clone();
    assert_eq!(order.iter().filter(|tried| **tried == id).count(), 3, "{order:?}");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn when_the_clock_is_set_forward_mail_that_became_due_by_it_goes_within_a_minute() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, |settings| {
        settings.retry = RetryPolicy { intervals: vec![seconds(4 * 3_600)], ..RetryPolicy::default() };
    });
    relay.remotes["alpha"].does([Act::PutOff]);
    relay.accept("alpha", 1, false).await.unwrap();
    wait(5).await;
    relay.clock.set_forward(seconds(5 * 3_600));
    assert!(relay.drained_within(seconds(61)).await);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_lane_keeps_its_mail_alerts_once_probes_and_goes_on() {
    let relay = Relay::start(&World::new(1), &FREE);
    let mut events = relay.handle.events();
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = Some(START + seconds(10 * 86_400));
    for _ in 0..20 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(5 * 86_400).await;
    let status = relay.handle.status().await;
    let [open] = &status.breakers[..] else { panic!("{:?}", status.breakers) };
    assert_eq!((open.pause.code.as_str(), &open.lanes[..]), ("5.7.139", &[lane("alpha")][..]));
    assert!(relay.world.spool.all().iter().all(|message| message.attempts == 0 && !message.is_settled()));
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = None;
    relay.handle.probe(&lane("alpha")).await.unwrap();
    assert!(relay.drained_within(seconds(5)).await, "five days are past its life, but it was our trouble");
    assert!(relay.world.spool.all().iter().all(handed_over));
    let mut about_lane = Vec::new();
    while let Ok(event) = events.try_recv() {
        match &*event {
            Event::BreakerOpened { .. } => about_lane.push("opened"),
            Event::BreakerClosed { .. } => about_lane.push("closed"),
            Event::Message(_) => {}
        }
    }
    assert_eq!(about_lane, ["opened", "closed"]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_replaced_is_tried_within_seconds_and_whoever_retries_asks_anew() {
    let relay = Relay::start(&World::new(1), &FREE);
    let remote = &relay.remotes["alpha"];
    *remote.refuses_until.lock().unwrap() = Some(START + seconds(10 * 86_400));
    relay.accept("alpha", 1, false).await.unwrap();
    wait(86_400).await;
    assert_eq!(relay.handle.status().await.breakers.len(), 1);
    relay.handle.probe(&lane("alpha")).await.unwrap();
    assert_eq!(remote.asked_anew.load(Ordering::Relaxed), 1, "by the operator");
    wait(10).await;
    *remote.refuses_until.lock().unwrap() = None;
    remote.replaced.store(true, Ordering::Relaxed);
    assert!(relay.drained_within(seconds(10)).await);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_sender_is_refused_waits_alone_and_is_told_of_once() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::SetAside("at 8"), Act::Take, Act::SetAside("at 9"), Act::Take]);
    let refused = relay.accept("alpha", 1, false).await.unwrap();
    let other = relay.accept("alpha", 1, false).await.unwrap();
    wait(2).await;
    assert!(handed_over(&relay.message(other)), "the lane goes on");
    assert_eq!(relay.handle.status().await.breakers, []);
    let message = relay.message(refused);
    assert_eq!((message.attempts, happenings(&message)), (0, vec!["accepted", "waiting"]));
    assert!((1_797..=1_800).contains(&message.due_at.duration_since(relay.clock.now()).as_secs()), "{message:?}");
    wait(3_600).await;
    assert!(handed_over(&relay.message(refused)), "twice half an hour later");
    let told = relay.incidents.take();
    let [Told::Open(incident), Told::Close(IncidentKind::Message, about)] = &told[..] else { panic!("{told:#?}") };
    assert_eq!(
        (&incident.about, incident.kind, incident.code.as_deref()),
        (about, IncidentKind::Message, Some("554 5.2.252"))
    );
    assert_eq!(incident.remedy, "No right to send as this sender. Grant it.");
    for part in [refused.to_string().as_str(), "<printer@alpha.example>", "at 8", "client `printers`", "`alpha`"] {
        assert!(incident.what.contains(part), "{part} is not in {}", incident.what);
    }
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn thirty_a_minute_are_made_and_never_passed() {
    let relay = Relay::start(&World::new(1), &[("alpha", 3, Some(30))]);
    for _ in 0..2_000 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(60).await;
    let before = relay.world.ledger().order.len();
    wait(3_600).await;
    let sent = relay.world.ledger().order.len() - before;
    assert!((1_764..=1_800).contains(&sent), "{sent} in an hour: 98 to 100 in a hundred of 1,800");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fresh_mail_does_not_wait_behind_a_thousand_deferred() {
    let world = World::new(1);
    let relay = Relay::start(&world, &[("alpha", 100, None)]);
    relay.remotes["alpha"].does((0..1_000).map(|_| Act::PutOff));
    for _ in 0..1_000 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(30).await;
    relay.stop().await;
    world.next_life();
    world.ledger().order.clear();
    let relay = Relay::start_with(&world, START + seconds(600), &ONE, |settings| settings.window = 50);
    wait(2).await;
    for urgent in [false, true] {
        let id = relay.accept("alpha", 1, urgent).await.unwrap();
        let before = world.ledger().order.len();
        wait(1).await;
        let place = world.ledger().order.iter().skip(before).position(|tried| *tried == id);
        assert!(place.is_some_and(|place| place <= 2), "{place:?} after {before}");
    }
    assert!(world.spool.queued() > 500);
    assert!(relay.drained_within(seconds(120)).await);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_window_stays_in_the_spool_and_comes_in_its_turn() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, |settings| settings.window = 4);
    wait(1).await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(relay.accept("alpha", 1, false).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(relay.world.spool.leased().len() <= 5, "{:?}", relay.world.spool.leased());
    assert!(relay.drained_within(seconds(60)).await);
    assert_eq!(relay.world.ledger().order, ids, "in order of arrival");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_known_outcome_is_kept_until_the_spool_takes_it_and_nothing_starts_meanwhile() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::TakeAfter(seconds(1))]);
    let first = relay.accept("alpha", 1, false).await.unwrap();
    let second = relay.accept("alpha", 1, false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    relay.world.spool.closed.store(true, Ordering::Relaxed);
    wait(600).await;
    assert_eq!(relay.world.ledger().order, [first]);
    let told = relay.incidents.take();
    assert!(matches!(&told[..], [Told::Open(incident)] if incident.kind == IncidentKind::Fault), "{told:?}");
    assert!(!relay.message(first).is_settled());
    relay.world.spool.closed.store(false, Ordering::Relaxed);
    assert!(relay.drained_within(seconds(40)).await);
    assert_eq!(relay.world.ledger().order, [first, second]);
    let told = relay.incidents.take();
    assert!(matches!(&told[..], [Told::Close(IncidentKind::Fault, _)]), "{told:?}");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_damaged_is_held_and_the_others_go_on() {
    let relay = Relay::start(&World::new(1), &ONE);
    let id = relay.spooled("alpha", 1, false).await.unwrap();
    relay.world.spool.damage(id.id);
    relay.handle.arrived(id.clone());
    let other = relay.accept("alpha", 1, false).await.unwrap();
    wait(5).await;
    assert!(relay.message(id.id).hold.unwrap().reason.contains("posthouse spool check"));
    assert!(handed_over(&relay.message(other)));
    let told = relay.incidents.take();
    assert!(matches!(&told[..], [Told::Open(incident)] if incident.kind == IncidentKind::Message), "{told:?}");
    relay.handle.remove(id.id).await.unwrap();
    let told = relay.incidents.take();
    assert!(matches!(&told[..], [Told::Close(IncidentKind::Message, _)]), "{told:?}");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_damage_shows_when_it_is_read_is_held_too() {
    let relay = Relay::start(&World::new(1), &ONE);
    let id = relay.spooled("alpha", 1, false).await.unwrap();
    relay.world.spool.rot(id.id);
    relay.handle.arrived(id.clone());
    wait(5).await;
    let message = relay.message(id.id);
    assert!(message.hold.unwrap().reason.contains("its checksum is wrong"));
    assert!(message.recipients[0].state.is_queued());
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_gives_no_bodies_is_not_asked_at_machine_speed() {
    let relay = Relay::start_with(&World::new(1), START, &[("alpha", 3, None)], |settings| settings.window = 4);
    relay.world.spool.bodiless.store(true, Ordering::Relaxed);
    for _ in 0..50 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(60).await;
    let asked = relay.world.spool.bodies.load(Ordering::Relaxed);
    assert!((50..=50 * 7).contains(&asked), "{asked} times in a minute, for fifty messages");
    relay.world.spool.bodiless.store(false, Ordering::Relaxed);
    assert!(relay.drained_within(seconds(20)).await);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_held_from_the_start_is_not_tried_until_released() {
    let relay = Relay::start(&World::new(1), &ONE);
    let mut message = relay.spooled("alpha", 1, false).await.unwrap();
    message.hold("for a reason".to_owned(), relay.clock.now());
    relay.world.spool.record(message.clone()).await.unwrap();
    let message = relay.world.spool.claim(message.id).await.unwrap();
    let id = message.id;
    relay.handle.arrived(message);
    wait(3_600).await;
    assert_eq!(relay.world.spool.leased(), []);
    assert!(matches!(relay.handle.retry(id).await, Err(OperatorError::Held { .. })));
    relay.handle.release(id).await.unwrap();
    assert!(relay.drained_within(seconds(1)).await);
    assert_eq!(happenings(&relay.message(id)), ["accepted", "held", "released", "attempted"]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn operators_words_reach_messages_in_the_window_and_in_the_spool() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, |settings| settings.window = 2);
    wait(1).await;
    relay.remotes["alpha"].does([Act::TakeAfter(seconds(100))]);
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(relay.accept("alpha", 1, false).await.unwrap());
    }
    wait(1).await;
    for id in [ids[1], ids[6]] {
        assert!(relay.handle.hold(id, "by the test".to_owned()).await.unwrap().hold.is_some());
    }
    for id in [ids[2], ids[5]] {
        assert!(relay.handle.remove(id).await.unwrap().is_settled());
    }
    relay.handle.retry(ids[7]).await.unwrap();
    wait(150).await;
    assert_eq!(relay.world.ledger().order, [ids[0], ids[7], ids[3], ids[4]]);
    relay.handle.release(ids[6]).await.unwrap();
    relay.handle.release(ids[1]).await.unwrap();
    assert!(relay.drained_within(seconds(1)).await);
    assert!(matches!(relay.handle.remove(ids[0]).await, Err(OperatorError::Settled(_))));
    let nobody = MessageId::from_i64(7).unwrap();
    assert!(matches!(relay.handle.hold(nobody, String::new()).await, Err(OperatorError::NotFound(_))));
    assert!(matches!(relay.handle.probe(&lane("nowhere")).await, Err(OperatorError::NoLane(_))));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_word_on_a_message_being_tried_is_followed_after_the_attempt() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::TakeAfter(seconds(60)), Act::Break(false)]);
    let (taken, broken) =
        (relay.accept("alpha", 1, false).await.unwrap(), relay.accept("alpha", 1, false).await.unwrap());
    wait(1).await;
    let too_late = tokio::spawn({
        let handle = relay.handle.clone();
        async move { handle.remove(taken).await }
    });
    wait(50).await;
    assert!(!too_late.is_finished());
    wait(10).await;
    assert!(matches!(too_late.await.unwrap(), Err(OperatorError::Settled(_))));
    assert!(handed_over(&relay.message(taken)));
    let removed = relay.handle.remove(broken).await.unwrap();
    assert_eq!(happenings(&removed), ["accepted", "attempted", "removed"]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_not_stored_is_refused_and_the_message_goes_on() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::TakeAfter(seconds(10))]);
    relay.accept("alpha", 1, false).await.unwrap();
    let id = relay.accept("alpha", 1, false).await.unwrap();
    wait(1).await;
    relay.world.spool.closed.store(true, Ordering::Relaxed);
    let refused = relay.handle.remove(id).await;
    assert!(matches!(refused, Err(OperatorError::Spool(SpoolError::Closed(_)))), "{refused:?}");
    relay.world.spool.closed.store(false, Ordering::Relaxed);
    assert!(relay.drained_within(seconds(20)).await);
    assert!(handed_over(&relay.message(id)));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_of_a_lane_that_is_gone_moves_to_another_or_is_held_and_goes_on_when_there_is_a_path_again() {
    let world = World::new(1);
    let relay = Relay::start(&world, &FREE);
    *relay.remotes["beta"].refuses_until.lock().unwrap() = Some(START + seconds(9_999));
    let id = relay.accept("beta", 1, false).await.unwrap();
    wait(1).await;
    relay.stop().await;

    world.next_life();
    let relay = Relay::start_with(&world, START + seconds(60), &ONE, |_| {});
    let late = relay.accept("beta", 1, false).await.unwrap();
    wait(1).await;
    for id in [id, late] {
        let reason = relay.message(id).hold.unwrap().reason;
        assert!(reason.starts_with("no path is configured for <printer@beta.example>"), "{reason}");
        assert!(matches!(relay.handle.release(id).await, Err(OperatorError::NoPath { .. })));
    }
    relay.stop().await;

    world.next_life();
    let relay = Relay::start_with(&world, START + seconds(120), &ONE, |settings| {
        settings.routes = routes(&[("beta", "alpha")]);
    });
    assert!(relay.drained_within(seconds(1)).await);
    assert_eq!(relay.message(id).lane, lane("alpha"));
    assert_eq!(happenings(&relay.message(late)), ["accepted", "held", "moved", "released", "attempted"]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_has_become_one_of_a_pool_goes_on_there_and_the_pool_shares_its_mail() {
    let world = World::new(1);
    let relay = Relay::start(&world, &FREE);
    *relay.remotes["beta"].refuses_until.lock().unwrap() = Some(START + seconds(9_999));
    let before = relay.accept("beta", 1, false).await.unwrap();
    wait(1).await;
    relay.stop().await;

    world.next_life();
    let lanes = [("alpha", 1, None), ("beta", 1, None)];
    let relay = Relay::start_with(&world, START + seconds(60), &lanes, |settings| {
        let beta = settings.plan.pools.pop().unwrap();
        settings.plan.pools[0].lanes.extend(beta.lanes);
        settings.plan.pools[0].name = lane("team");
    });
    for remote in relay.remotes.values() {
        remote.does((0..5).map(|_| Act::TakeAfter(seconds(10))));
    }
    assert!(relay.drained_within(seconds(90)).await);
    assert_eq!(relay.message(before).lane, lane("team"));
    let began = tokio::time::Instant::now();
    for _ in 0..8 {
        relay.accept("team", 1, false).await.unwrap();
    }
    assert!(relay.drained_within(seconds(60)).await);
    assert!(began.elapsed() < seconds(50), "two lanes take eight messages of ten seconds in {:?}", began.elapsed());
    relay.handle.probe(&lane("team")).await.unwrap();
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn on_stop_attempts_may_finish_within_the_grace_period_and_arrivals_go_back_to_the_spool() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::TakeAfter(seconds(20))]);
    let (first, second) =
        (relay.accept("alpha", 1, false).await.unwrap(), relay.accept("alpha", 1, false).await.unwrap());
    wait(1).await;
    let (world, handle) = (relay.world.clone(), relay.handle.clone());
    relay.stop().await;
    assert!(handed_over(&world.spool.message(first)));
    assert!(!world.spool.message(second).is_settled());
    let claimed = world.spool.claim(second).await.unwrap();
    handle.arrived(claimed);
    assert_eq!(world.spool.leased(), []);
    assert!(matches!(handle.hold(second, String::new()).await, Err(OperatorError::Stopped)));
    assert_eq!(handle.status().await, Report::default());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_outlasts_the_grace_period_is_recorded_as_unconfirmed() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::TakeAfter(seconds(999))]);
    let id = relay.accept("alpha", 1, false).await.unwrap();
    wait(1).await;
    let (world, began) = (relay.world.clone(), tokio::time::Instant::now());
    relay.stop().await;
    assert!(began.elapsed() <= seconds(40), "{:?}", began.elapsed());
    let state = &world.spool.message(id).recipients[0].state;
    assert!(matches!(state, RecipientState::Queued { unconfirmed: true, .. }), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_had_sent_nothing_is_not_unconfirmed_by_a_stop() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::Silent]);
    let id = relay.accept("alpha", 1, false).await.unwrap();
    wait(1).await;
    let (world, began) = (relay.world.clone(), tokio::time::Instant::now());
    relay.stop().await;
    assert!(began.elapsed() <= seconds(32), "{:?}", began.elapsed());
    let state = &world.spool.message(id).recipients[0].state;
    assert!(matches!(state, RecipientState::Queued { unconfirmed: false, .. }), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_transport_costs_one_attempt_and_nothing_else() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::Panic(false), Act::PanicEarly]);
    let sent = relay.accept("alpha", 1, false).await.unwrap();
    let unsent = relay.accept("alpha", 1, false).await.unwrap();
    wait(1).await;
    let unconfirmed =
        |id| matches!(relay.message(id).recipients[0].state, RecipientState::Queued { unconfirmed: true, .. });
    assert!(unconfirmed(sent), "the last byte had gone");
    assert!(!unconfirmed(unsent), "nothing had gone");
    assert_eq!((relay.message(sent).attempts, relay.message(unsent).attempts), (1, 0));
    assert!(relay.drained_within(seconds(61)).await);
    let told = relay.incidents.take();
    let opened = told.iter().filter(|told| matches!(told, Told::Open(i) if i.about == "attempts in alpha")).count();
    assert_eq!((opened, told.last()), (2, Some(&Told::Close(IncidentKind::Fault, "attempts in alpha".to_owned()))));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_that_waits_in_the_spool_is_sent_after_a_start() {
    let world = World::new(1);
    let mut ids = Vec::new();
    {
        let relay = Relay::start_with(&world, START, &FREE, |_| {});
        for _ in 0..10 {
            ids.push(relay.spooled("beta", 1, false).await.unwrap().id);
        }
        world.spool.crash();
        relay.stop().await;
    }
    let relay = Relay::start_with(&world, START + seconds(5), &FREE, |_| {});
    assert!(relay.drained_within(seconds(2)).await);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn recipients_that_are_not_accounted_for_are_seen_within_a_minute() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.accept("alpha", 2, false).await.unwrap();
    wait(61).await;
    let gap = |relay: &Relay| {
        let page = relay.metrics.render();
        let line = page.lines().find(|line| line.contains("conservation_gap") && !line.starts_with('#')).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(gap(&relay), 0.0);
    relay.world.spool.invented.store(3, Ordering::Relaxed);
    wait(61).await;
    assert_eq!(gap(&relay), 3.0);
    relay.stop().await;
}
