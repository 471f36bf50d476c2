//! What budgets do to a queue: recipients that do not fit wait, and nothing waits behind them that fits.

use std::time::Duration;

use posthouse_qmgr::Settings;
use queue::{BudgetName, BudgetSettings, Clock, Counted, Intake, NewMessage};

use crate::relay::{Permits, Relay};
use crate::remote::{Act, World};
use crate::world::{START, handed_over, happenings, lane, seconds, wait};

const ONE: [Permits; 1] = [("alpha", 1, None)];
const DAY: Duration = Duration::from_secs(86_400);

/// At most so many of these a day.
fn daily(counts: Counted, limit: u64) -> impl FnOnce(&mut Settings) {
    move |settings| {
        let name = BudgetName("alpha/a day".into());
        settings.plan.pools[0].lanes[0].budgets.push(name.clone());
        settings.plan.budgets.push(BudgetSettings { name, counts, window: DAY, limit, reserve: 0, warm_up: None });
    }
}

#[tokio::test(start_paused = true)]
async fn external_mail_that_waits_for_its_budget_lets_internal_mail_pass() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, daily(Counted::External, 2));
    let outside = |n: usize| format!("someone{n}@example.net");
    let mut waiting = Vec::new();
    for n in 0..50 {
        waiting.push(relay.accept_for("alpha", &[&outside(n)]).await);
    }
    wait(60).await;
    let inside = relay.accept_for("alpha", &["someone@ALPHA.example"]).await;
    wait(60).await;
    assert!(handed_over(&relay.message(inside)), "{:?}", relay.message(inside));
    let sent = waiting.iter().filter(|id| handed_over(&relay.message(**id))).count();
    assert_eq!(sent, 2);
    let last = relay.message(waiting[49]);
    assert_eq!((happenings(&last), last.attempts), (vec!["accepted", "postponed"], 0));
    assert!(last.due_at.duration_since(relay.clock.now()).as_secs() > 80_000, "{}", last.due_at);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_message_the_recipients_go_that_fit() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, daily(Counted::External, 2));
    let to = ["a@example.net", "b@example.net", "in@alpha.example", "c@example.net"];
    let id = relay.accept_for("alpha", &to).await;
    wait(120).await;
    let message = relay.message(id);
    let queued: Vec<_> = message.recipients.iter().map(|recipient| recipient.state.is_queued()).collect();
    assert_eq!(queued, [false, false, false, true], "{message:#?}");
    wait(86_400).await;
    assert!(handed_over(&relay.message(id)), "{:#?}", relay.message(id));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn external_mail_under_the_providers_own_domain_has_a_budget_of_its_own() {
    let change = |settings: &mut Settings| {
        settings.plan.pools[0].provider_domain = Some("lent.example".into());
        daily(Counted::ExternalUnderProviderDomain, 1)(settings);
    };
    let relay = Relay::start_with(&World::new(1), START, &ONE, change);
    let mut ids = Vec::new();
    for sender in ["<a@tenant.lent.example>", "<b@LENT.example>", "<c@notlent.example>"] {
        let from = |message: &mut NewMessage| message.reverse_path = sender.parse().unwrap();
        let message = relay.spooled_as("alpha", 2, false, from).await.unwrap();
        ids.push(message.id);
        relay.handle.arrived(message);
    }
    wait(120).await;
    let left = |id| relay.message(id).recipients.iter().filter(|recipient| recipient.state.is_queued()).count();
    assert_eq!(ids.into_iter().map(left).collect::<Vec<_>>(), [1, 2, 0]);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_day_never_sees_more_recipients_than_it_may_and_all_it_may() {
    let relay = Relay::start_with(&World::new(1), START, &[("alpha", 3, None)], daily(Counted::Recipients, 10));
    for _ in 0..15 {
        relay.accept("alpha", 2, false).await.unwrap();
    }
    wait(3_600).await;
    assert_eq!(relay.world.ledger().taken.len(), 10);
    wait(82_000).await;
    assert_eq!(relay.world.ledger().taken.len(), 10);
    wait(1_000).await;
    assert_eq!(relay.world.ledger().taken.len(), 20);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn status_shows_budgets_and_when_the_queue_will_have_gone() {
    let relay = Relay::start_with(&World::new(1), START, &[("alpha", 3, Some(30))], daily(Counted::Recipients, 10_000));
    for _ in 0..120 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(30).await;
    let report = relay.handle.status().await;
    let used: Vec<_> = report.budgets.iter().map(|budget| (&*budget.name.0, budget.used, budget.limit)).collect();
    assert_eq!(used, [("alpha/a day", 30, 10_000), ("alpha/messages a minute", 30, 30)]);
    let [forecast] = &report.forecasts[..] else { panic!("{:?}", report.forecasts) };
    assert_eq!((&forecast.pool, forecast.messages), (&lane("alpha"), 90));
    let left = forecast.drained_at.unwrap().duration_since(relay.clock.now()).as_secs();
    assert!((100..=240).contains(&left), "{left} seconds for 90 at 30 a minute");
    let page = relay.metrics.render();
    assert!(page.contains("posthouse_budget_used{budget=\"alpha/a day\"} 30.0"), "{page}");
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_refusals_have_taught_survives_a_restart() {
    let world = World::new(1);
    let lanes = [("alpha", 3, None)];
    let relay = Relay::start(&world, &lanes);
    relay.remotes["alpha"].does([Act::Throttle(seconds(1)), Act::Throttle(seconds(1)), Act::Throttle(seconds(1))]);
    for _ in 0..3 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(900)).await;
    let learnt = relay.handle.status().await.lanes[0].status.connections;
    assert!(learnt < 3, "{learnt}");
    relay.stop().await;
    world.next_life();
    let relay = Relay::start_with(&world, START + seconds(2), &lanes, |_| {});
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(relay.handle.status().await.lanes[0].status.connections, learnt);
    assert!(relay.drained_within(seconds(600)).await);
    relay.stop().await;
}
