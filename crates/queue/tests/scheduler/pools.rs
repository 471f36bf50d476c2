//! Several lanes that share one queue.

use posthouse_queue::Spend;

use super::*;

fn day_of(lane: &str) -> String {
    format!("{lane}/recipients a day")
}

/// Lanes with a limit a day each, in the pool `p`.
fn shared_by(lanes: &[(&str, usize, u64)]) -> Driver {
    let budgets = lanes.iter().map(|(lane, _, limit)| budget(&day_of(lane), Counted::Recipients, DAY, *limit));
    let settings = lanes.iter().map(|(lane, connections, _)| drawing_on(&[&day_of(lane)], bare(lane, *connections)));
    Driver::new(1_000, Plan { budgets: budgets.collect(), pools: vec![pool("p", settings.collect())] })
}

fn lanes(starts: &[Start]) -> String {
    starts.iter().map(|start| start.lane.to_string()).collect()
}

#[test]
fn the_lane_with_most_left_of_its_budget_takes_the_next_message() {
    let mut it = shared_by(&[("a", 100, 1_000), ("b", 100, 1_000)]);
    let spent = Spend { budget: budget_name(&day_of("a")), at: START, amount: 20 };
    it.handle_ledger(&[spent], START);
    fill(&mut it, "p", Class::New, 0..60);
    let starts = it.start_all(START);
    assert_eq!(lanes(&starts[..20]), "b".repeat(20), "until both have as much left");
    assert_eq!(lanes(&starts[20..]).matches('a').count(), 20, "then in turn");
    assert!(starts.iter().all(|start| start.pool == name("p")));
}

#[test]
fn lanes_without_budgets_share_by_what_is_under_way() {
    let plan = Plan { budgets: Vec::new(), pools: vec![pool("p", vec![bare("a", 3), bare("b", 3)])] };
    let mut it = Driver::new(100, plan);
    fill(&mut it, "p", Class::New, 0..20);
    let mut order = lanes(&it.start_all(START));
    assert_eq!(order.len(), 6);
    it.end("a", &LaneVerdict::Healthy, true, START);
    order.push_str(&lanes(&it.start_all(START)));
    assert_eq!(order, "abababa");
}

#[test]
fn a_lane_that_is_used_up_or_does_not_work_leaves_the_mail_to_the_others() {
    let mut it = shared_by(&[("a", 5, 3), ("b", 5, 1_000)]);
    fill(&mut it, "p", Class::New, 0..50);
    let mut sent = String::new();
    for minute in 0..10 {
        let now = START + minute * MINUTE;
        for start in it.start_all(now) {
            sent.push_str(&start.lane.to_string());
            it.end_of(&start.lane.to_string(), start.id, &LaneVerdict::Healthy, cost(1, 0), now);
        }
    }
    assert_eq!((sent.len(), sent.matches('a').count()), (50, 3));

    let mut it = shared_by(&[("a", 5, 1_000), ("b", 5, 1_000)]);
    fill(&mut it, "p", Class::New, 0..50);
    it.start_all(START);
    it.end("a", &pause("x", 60), false, START);
    assert_eq!(lanes(&it.start_all(START)), "", "b is busy");
    it.end("b", &LaneVerdict::Healthy, true, START);
    assert_eq!(lanes(&it.start_all(START)), "b");
    (0..4).for_each(|_| drop(it.end("a", &LaneVerdict::Neutral, true, START)));
    it.end("b", &LaneVerdict::Healthy, true, at(60_000));
    let probe = it.poll_start(at(60_000)).unwrap();
    assert_eq!((probe.lane, probe.probe), (name("a"), true), "a probe that is due goes first");
}

#[test]
fn the_pool_is_what_mail_and_refills_are_about_and_lanes_are_shown_with_it() {
    let mut it = shared_by(&[("a", 1, 10), ("b", 2, 10)]);
    assert!(it.knows(&name("p")) && !it.knows(&name("a")));
    it.handle_due_at(&name("p"), Class::Deferred, START);
    assert_eq!(it.poll_refill(START).unwrap().lane, name("p"));
    fill(&mut it, "p", Class::New, 0..7);
    assert_eq!(it.start_all(START).len(), 3);
    let status = it.status(START).lanes;
    let shown: Vec<_> =
        status.iter().map(|lane| (&*lane.name.0, &*lane.pool.0, lane.active, lane.waiting[1])).collect();
    assert_eq!(shown, [("a", "p", 1, 4), ("b", "p", 2, 4)]);
}
