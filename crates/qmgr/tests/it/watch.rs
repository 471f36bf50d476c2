//! What opens and closes by the minute's look at the whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use queue::{BudgetName, BudgetSettings, Counted};
use telemetry::{IncidentKind, Severity, Told};

use crate::relay::{Permits, Relay};
use crate::remote::{Act, World};
use crate::world::{START, seconds, wait};

const ONE: [Permits; 1] = [("alpha", 1, None)];
const FAST: [Permits; 1] = [("alpha", 20, None)];

/// What was told of that kind since the last time: `open` and `close`, repeats left out.
fn told(relay: &Relay, kind: IncidentKind) -> Vec<&'static str> {
    let mut told: Vec<_> = relay
        .incidents
        .take()
        .iter()
        .filter_map(|told| match told {
            Told::Open(incident) if incident.kind == kind => Some("open"),
            Told::Close(known, _) if *known == kind => Some("close"),
            _ => None,
        })
        .collect();
    told.dedup();
    told
}

fn refuse_until(relay: &Relay, seconds_from_start: Option<u64>) {
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = seconds_from_start.map(|n| START + seconds(n));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_too_old_opens_and_closes() {
    let relay = Relay::start(&World::new(1), &ONE);
    refuse_until(&relay, Some(99_999));
    let id = relay.accept("alpha", 1, false).await.unwrap();
    wait(3_590).await;
    assert_eq!(told(&relay, IncidentKind::QueueAge), [""; 0]);
    wait(80).await;
    assert_eq!(told(&relay, IncidentKind::QueueAge), ["open"]);
    relay.handle.hold(id, "held mail is somebody's decision".to_owned()).await.unwrap();
    wait(61).await;
    assert_eq!(told(&relay, IncidentKind::QueueAge), ["close"]);
    wait(3_600).await;
    assert_eq!(told(&relay, IncidentKind::QueueAge), [""; 0]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_too_long_closes_well_below_where_it_opens() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, |settings| settings.watch.queue_length = 10);
    refuse_until(&relay, Some(99_999));
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(relay.accept("alpha", 1, false).await.unwrap());
    }
    wait(61).await;
    assert_eq!(told(&relay, IncidentKind::QueueLength), [""; 0], "ten are not more than ten");
    ids.push(relay.accept("alpha", 1, false).await.unwrap());
    wait(61).await;
    let all = relay.incidents.take();
    let Some(Told::Open(incident)) =
        all.iter().find(|t| matches!(t, Told::Open(i) if i.kind == IncidentKind::QueueLength))
    else {
        panic!("{all:#?}")
    };
    assert_eq!(
        (incident.what.as_str(), incident.severity),
        ("11 messages wait, 11 of them in `alpha`", Severity::Warning)
    );
    for id in &ids[..2] {
        relay.handle.remove(*id).await.unwrap();
    }
    wait(61).await;
    assert_eq!(told(&relay, IncidentKind::QueueLength), ["open"], "nine are still near");
    relay.handle.remove(ids[2]).await.unwrap();
    wait(61).await;
    assert_eq!(told(&relay, IncidentKind::QueueLength), ["close"]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bounces_above_the_rate_open_and_close_when_an_hour_has_fewer() {
    let relay = Relay::start(&World::new(1), &FAST);
    let pass = async |acts: Vec<Act>| {
        let count = acts.len();
        relay.remotes["alpha"].does(acts);
        for _ in 0..count {
            relay.accept("alpha", 1, false).await.unwrap();
        }
    };
    wait(1).await;
    pass(vec![Act::Refuse; 15]).await;
    wait(120).await;
    assert_eq!(told(&relay, IncidentKind::Bounces), [""; 0], "fifteen say nothing");
    pass([vec![Act::Take; 80], vec![Act::Refuse; 5]].concat()).await;
    wait(120).await;
    assert_eq!(told(&relay, IncidentKind::Bounces), ["open"], "twenty of a hundred");
    wait(3_700).await;
    assert_eq!(told(&relay, IncidentKind::Bounces), ["open", "close"], "they are an hour ago");
    pass([vec![Act::Take; 95], vec![Act::Refuse; 5]].concat()).await;
    wait(120).await;
    assert_eq!(told(&relay, IncidentKind::Bounces), [""; 0], "five of a hundred");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_and_unaccounted_recipients_open_and_close() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.accept("alpha", 2, false).await.unwrap();
    wait(61).await;
    relay.world.spool.full.store(true, Ordering::Relaxed);
    relay.world.spool.invented.store(3, Ordering::Relaxed);
    wait(61).await;
    let all = relay.incidents.take();
    for (kind, words) in [(IncidentKind::Disk, "12 octets are free"), (IncidentKind::Conservation, "3 recipients")] {
        let found = all.iter().find_map(|told| match told {
            Told::Open(incident) if incident.kind == kind => Some(incident),
            _ => None,
        });
        let incident = found.unwrap_or_else(|| panic!("no {kind} in {all:#?}"));
        assert!(incident.what.contains(words) && incident.severity == Severity::Critical, "{incident:?}");
    }
    relay.world.spool.full.store(false, Ordering::Relaxed);
    relay.world.spool.invented.store(0, Ordering::Relaxed);
    wait(61).await;
    let all = relay.incidents.take();
    let mut closed: Vec<_> =
        all.iter().filter_map(|t| if let Told::Close(kind, _) = t { Some(kind.name()) } else { None }).collect();
    closed.sort_unstable();
    assert_eq!(closed, ["conservation", "disk"]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_that_comes_near_the_reserve_is_told_before_mail_is_refused() {
    let relay = Relay::start(&World::new(1), &ONE);
    let look = async |free: u64, full: bool| {
        relay.world.spool.free_bytes.store(free, Ordering::Relaxed);
        relay.world.spool.full.store(full, Ordering::Relaxed);
        wait(61).await;
        let told = relay.incidents.take().into_iter().filter_map(|told| match told {
            Told::Open(incident) if incident.kind == IncidentKind::Disk => Some(format!("{:?}", incident.severity)),
            Told::Close(IncidentKind::Disk, _) => Some("close".to_owned()),
            _ => None,
        });
        let mut told: Vec<_> = told.collect();
        told.dedup();
        told.join(" ")
    };
    for (free, full, told) in [
        (200, false, ""),
        (199, false, "Warning"),
        (240, false, "Warning"),
        (90, true, "Critical"),
        (150, false, "Warning"),
        (250, false, "close"),
        (240, false, ""),
    ] {
        assert_eq!(look(free, full).await, told, "{free} {full}");
    }
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_ends_before_the_queue_does_is_told_of() {
    let name = BudgetName("alpha/recipients a day".into());
    let relay = Relay::start_with(&World::new(1), START, &[("alpha", 3, Some(30))], |settings| {
        let lane = &mut settings.plan.pools[0].lanes[0];
        lane.budgets.push(name.clone());
        settings.plan.budgets.push(BudgetSettings {
            name: name.clone(),
            counts: Counted::Recipients,
            window: seconds(86_400),
            limit: 100,
            reserve: 0,
            warm_up: None,
        });
    });
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(relay.accept("alpha", 1, false).await.unwrap());
    }
    wait(90).await;
    let all = relay.incidents.take();
    let Some(Told::Open(incident)) = all.iter().find(|t| matches!(t, Told::Open(i) if i.kind == IncidentKind::Budget))
    else {
        panic!("{all:#?} {:#?}", relay.handle.status().await)
    };
    assert_eq!(incident.about, "alpha/recipients a day", "a budget of a minute is no news");
    assert!(incident.what.contains("messages wait in `alpha`"), "{}", incident.what);
    assert_eq!(incident.lanes, ["alpha"]);
    let handle = Arc::new(relay.handle.clone());
    for id in ids.drain(80..) {
        drop(handle.remove(id).await);
    }
    wait(125).await;
    assert_eq!(told(&relay, IncidentKind::Budget).last(), Some(&"close"));
    relay.stop().await;
}
