//! Trouble is told once, and its end is told once.

use std::time::Duration;

use queue::{Clock, LaneName};
use telemetry::{Incident, IncidentKind, Told};

use crate::log::Log;
use crate::relay::{Permits, Relay};
use crate::remote::{Act, World};
use crate::world::{START, handed_over, lane, seconds, wait};

const ONE: [Permits; 1] = [("alpha", 1, None)];
const BREAKER: &str = "credential alpha";

fn opened(told: &[Told], kind: IncidentKind) -> Vec<&Incident> {
    let opened = told.iter().filter_map(|told| match told {
        Told::Open(incident) if incident.kind == kind => Some(incident),
        _ => None,
    });
    opened.collect()
}

fn closed(told: &[Told], kind: IncidentKind) -> Vec<&str> {
    let closed = told.iter().filter_map(|told| match told {
        Told::Close(known, about) if *known == kind => Some(about.as_str()),
        _ => None,
    });
    closed.collect()
}

#[tokio::test(start_paused = true)]
async fn a_breaker_is_one_incident_over_many_failures() {
    let (log, _guard) = Log::start();
    let relay = Relay::start(&World::new(1), &[("alpha", 3, None)]);
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = Some(START + seconds(7_200));
    for _ in 0..30 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(7_000).await;
    let attempts = relay.world.ledger().order.len();
    assert!(attempts > 3, "{attempts} probes");
    let told = relay.incidents.take();
    let [incident] = opened(&told, IncidentKind::Breaker)[..] else { panic!("{told:#?}") };
    assert_eq!((incident.about.as_str(), incident.code.as_deref()), (BREAKER, Some("5.7.139")));
    assert_eq!((incident.remedy.as_str(), &incident.lanes[..]), ("renew the secret", &["alpha".to_owned()][..]));
    assert!(incident.what.contains("535 5.7.139 no"), "{}", incident.what);
    assert!(relay.drained_within(seconds(3_600)).await);
    assert_eq!(closed(&relay.incidents.take(), IncidentKind::Breaker), [BREAKER]);
    let alerts: Vec<_> = log.lines().into_iter().filter(|line| line.contains("alert=true")).collect();
    assert_eq!(alerts, Vec::<String>::new(), "whoever takes incidents logs the alert");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_breaker_stays_open_over_a_restart_and_no_mail_is_spent_to_find_out() {
    let world = World::new(1);
    let relay = Relay::start(&world, &ONE);
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = Some(START + seconds(86_400));
    for _ in 0..5 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(3_600).await;
    relay.stop().await;
    let before = world.ledger().order.len();
    world.next_life();
    let relay = Relay::start_with(&world, START + seconds(3_610), &ONE, |_| {});
    tokio::time::sleep(Duration::from_millis(100)).await;
    let status = relay.handle.status().await;
    let [open] = &status.breakers[..] else { panic!("{status:?}") };
    assert_eq!((open.name.to_string().as_str(), open.since), (BREAKER, START + Duration::from_millis(20)));
    assert!(world.ledger().order.len() <= before + 1);
    assert_eq!(opened(&relay.incidents.take(), IncidentKind::Breaker).len(), 1, "it is found again");
    assert!(relay.metrics.render().contains("posthouse_breaker_open{breaker=\"credential alpha\"} 1.0"));
    for name in ["alpha", BREAKER] {
        relay.handle.probe(&LaneName(name.into())).await.unwrap();
    }
    assert!(relay.drained_within(seconds(5)).await);
    assert_eq!(closed(&relay.incidents.take(), IncidentKind::Breaker), [BREAKER]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_that_is_refused_although_the_lane_works_is_one_incident_a_sender() {
    let world = World::new(1);
    let relay = Relay::start(&world, &ONE);
    relay.remotes["alpha"].does((0..5).map(|_| Act::SetAside("no right")));
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(relay.accept("alpha", 1, false).await.unwrap());
    }
    wait(5).await;
    let told = relay.incidents.take();
    let abouts: Vec<_> = opened(&told, IncidentKind::Message).iter().map(|incident| incident.about.clone()).collect();
    assert_eq!(abouts, vec!["mail from <printer@alpha.example> in alpha: 554 5.2.252"; 5], "one key");
    for id in &ids[1..] {
        relay.handle.remove(*id).await.unwrap();
    }
    assert_eq!(relay.incidents.take(), [], "one still waits");
    relay.stop().await;

    world.next_life();
    let relay = Relay::start_with(&world, START + seconds(60), &ONE, |_| {});
    wait(1).await;
    assert_eq!(opened(&relay.incidents.take(), IncidentKind::Message).len(), 1, "it is found again after a restart");
    relay.handle.remove(ids[0]).await.unwrap();
    assert_eq!(closed(&relay.incidents.take(), IncidentKind::Message), [abouts[0].as_str()]);
    wait(5).await;
    assert_eq!(world.spool.is_remembered("qmgr/stuck/"), []);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn such_an_incident_is_over_when_mail_of_that_sender_goes_through() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::SetAside("no right")]);
    let refused = relay.accept("alpha", 1, false).await.unwrap();
    wait(5).await;
    let next = relay.accept("alpha", 1, false).await.unwrap();
    wait(5).await;
    assert!(handed_over(&relay.message(next)) && !handed_over(&relay.message(refused)));
    let told = relay.incidents.take();
    assert_eq!((opened(&told, IncidentKind::Message).len(), closed(&told, IncidentKind::Message).len()), (1, 1));
    assert!(relay.message(refused).due_at > relay.clock.now());
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_called_what_an_operator_wants_probed() {
    let relay = Relay::start(&World::new(1), &ONE);
    wait(1).await;
    assert!(relay.handle.probe(&lane("nowhere")).await.is_err());
    assert!(relay.handle.probe(&lane("path alpha")).await.is_ok());
    relay.stop().await;
}
