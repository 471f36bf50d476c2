//! Limits that the far side has and does not tell: hours and days of it.

use super::far_side::{Counts, Demand, FarSide, Simulation};
use super::*;

const PER_MINUTE: &str = "a/messages a minute";
const PER_DAY: &str = "a/recipients a day";

fn thirty_a_minute() -> Plan {
    let lane = drawing_on(&[PER_MINUTE, PER_DAY], bare("a", 3));
    let day = budget(PER_DAY, Counted::Recipients, DAY, 1_000_000);
    plan(vec![budget(PER_MINUTE, Counted::Messages, MINUTE, 30), day], vec![lane])
}

fn per_minute(most: usize) -> FarSide {
    FarSide { messages_per_minute: Some(most), ..FarSide::default() }
}

#[test]
fn at_the_true_limit_nothing_is_refused_and_nothing_is_wasted() {
    let mut it = Simulation::new(thirty_a_minute(), per_minute(30), Demand::Endless, 1);
    let Counts { taken, refused, .. } = it.run(24 * HOUR);
    assert_eq!(refused, 0);
    assert!(taken >= 98 * 30 * 60 * 24 / 100, "{taken}");
}

/// The far side's limit is halved, and after half a day it is as it was.
fn halved_and_restored(takes: (u64, u64), demand: Demand, counts_refused: bool, says: bool, seed: u64) {
    let far_side = FarSide { counts_refused, says, ..per_minute(30) };
    let mut it = Simulation::new(thirty_a_minute(), far_side, demand, seed);
    it.takes = takes;
    let before = it.run(2 * HOUR);
    assert_eq!(before.refused, 0);
    it.far_side.messages_per_minute = Some(15);
    let settling = it.run(HOUR);
    let what = format!("{takes:?} {counts_refused} {says} {seed}");
    assert!(settling.refused_of_10_000() < 200, "{what}: {settling:?}");
    let mut all = settling;
    for hour in 1..12 {
        let limit = it.limit(PER_MINUTE);
        assert!((14..=16).contains(&limit), "{what}: {limit} in hour {hour}");
        let hour = it.run(HOUR);
        (all.taken, all.refused) = (all.taken + hour.taken, all.refused + hour.refused);
        if matches!(demand, Demand::Endless) {
            assert!(hour.taken >= 13 * 60, "{what}: {hour:?}");
        }
    }
    assert!(all.refused_of_10_000() < 100, "{what}: {all:?}");
    it.far_side.messages_per_minute = Some(30);
    it.run(26 * HOUR);
    assert!(it.limit(PER_MINUTE) >= 29, "{what}: {}", it.limit(PER_MINUTE));
    let after = it.run(2 * HOUR);
    assert!(after.refused_of_10_000() < 50, "{what}: {after:?}");
    if matches!(demand, Demand::Endless) {
        assert!(after.taken >= 28 * 120, "{what}: {after:?}");
    }
}

#[test]
fn a_limit_halved_at_the_far_side_is_found_with_few_refusals_and_left_behind_when_it_is_gone() {
    for seed in 1..3 {
        for takes in [(100, 700), (2_000, 6_000), (5, 50)] {
            halved_and_restored(takes, Demand::Endless, seed % 2 == 0, seed % 3 != 0, seed);
        }
    }
}

#[test]
fn a_limit_just_below_the_configured_one_is_learnt_for_good() {
    for most in [24, 27, 29] {
        let mut it = Simulation::new(thirty_a_minute(), per_minute(most), Demand::Endless, 7);
        let all = it.run(12 * HOUR);
        assert!(all.refused_of_10_000() < 50, "{most}: {all:?}");
        assert!(all.taken >= 94 * most * 60 * 12 / 100, "{most}: {all:?}");
    }
}

#[test]
fn bursts_find_a_halved_limit_as_well() {
    for seed in 1..3 {
        for counts_refused in [false, true] {
            let bursts = Demand::Bursts(150, Duration::from_secs(15 * 60));
            halved_and_restored((100, 700), bursts, counts_refused, true, seed);
        }
    }
}

#[test]
fn a_limit_on_connections_is_found_and_kept() {
    let lane = bare("a", 8);
    let far_side = FarSide { connections: Some(3), ..FarSide::default() };
    let mut it = Simulation::new(plan(Vec::new(), vec![lane]), far_side, Demand::Endless, 5);
    it.takes = (2_000, 8_000);
    let first = it.run(HOUR);
    let later = it.run(6 * HOUR);
    assert!(first.refused < 20, "{first:?}");
    assert!(later.refused <= 12, "{later:?}");
    assert_eq!(it.driver.status(it.now).lanes[0].connections, 3);
    assert_eq!(it.driver.status(it.now).lanes[0].connections_ceiling, 8);
    it.far_side.connections = None;
    it.run(25 * HOUR);
    assert_eq!(it.driver.status(it.now).lanes[0].connections, 8);
}

#[test]
fn a_daily_limit_that_is_halved_is_learnt_and_the_wait_comes_from_the_ledger() {
    let lane = drawing_on(&[PER_MINUTE, PER_DAY], bare("a", 3));
    let budgets =
        vec![budget(PER_MINUTE, Counted::Messages, MINUTE, 30), budget(PER_DAY, Counted::Recipients, DAY, 10_000)];
    let far_side = FarSide { recipients_per_day: Some(10_000), ..FarSide::default() };
    let mut it = Simulation::new(plan(budgets, vec![lane]), far_side, Demand::Endless, 9);
    it.recipients = 5;
    assert_eq!(it.run(2 * DAY).refused, 0);
    it.far_side.recipients_per_day = Some(5_000);
    let mut all = Counts::default();
    for _ in 0..14 {
        let day = it.run(DAY);
        (all.taken, all.refused) = (all.taken + day.taken, all.refused + day.refused);
    }
    assert!(all.refused_of_10_000() < 100, "{all:?}");
    let limit = it.limit(PER_DAY);
    assert!((4_500..=5_500).contains(&limit), "{limit}");
    assert!(all.taken >= 13 * 1_000 * 85 / 100, "{all:?}");
    it.far_side.recipients_per_day = None;
    it.run(40 * DAY);
    assert_eq!(it.limit(PER_DAY), 10_000);
}

#[test]
fn refusals_by_chance_slow_nothing_down_for_long() {
    for seed in 1..4 {
        let far_side = FarSide { at_random: 100, ..per_minute(30) };
        let mut it = Simulation::new(thirty_a_minute(), far_side, Demand::Endless, seed);
        let Counts { taken, refused, .. } = it.run(2 * DAY);
        assert!(taken >= 95 * 2 * 24 * 60 * 30 / 100, "{seed}: {taken} {refused}");
    }
}

#[test]
fn a_lane_without_a_limit_learns_one_from_its_rate_and_forgets_it_when_it_is_gone() {
    let learnt = "a/messages a minute (learnt)";
    let far_side = FarSide { messages_per_minute: Some(120), ..FarSide::default() };
    let mut it = Simulation::new(plan(Vec::new(), vec![bare("a", 5)]), far_side, Demand::Endless, 3);
    it.takes = (500, 2_500);
    let first = it.run(HOUR);
    assert!(first.taken >= 95 * 120 * 60 / 100, "{first:?}");
    let later = it.run(5 * HOUR);
    assert!(later.refused_of_10_000() < 100 && later.taken >= 95 * 5 * 120 * 60 / 100, "{later:?}");
    let status = it.driver.status(it.now);
    assert!((108..=132).contains(&it.limit(learnt)), "{status:?}");
    assert_eq!(status.lanes[0].budgets, [budget_name(learnt)]);
    assert_eq!(status.budgets[0].learnt.as_ref().unwrap().0, "432 too much");
    it.far_side.messages_per_minute = None;
    it.run(26 * HOUR);
    assert_eq!(it.driver.status(it.now).budgets, []);
    assert!(it.run(HOUR).taken > 10_000, "as fast as it can");
}

#[test]
fn refusals_for_an_unknown_reason_cut_connections_and_messages_once_and_wait_as_long_as_asked() {
    let mut it = scheduler(100, vec![lane("a", 4, Some(30))]);
    fill(&mut it, "a", Class::New, 0..40);
    for n in 0..12 {
        it.poll_start(at(n)).unwrap();
        it.end("a", &LaneVerdict::Healthy, true, at(n));
    }
    assert_eq!(it.start_all(at(20)).len(), 4);
    let changes = it.end("a", &throttled(Excess::Unknown, Some(10)), true, at(1_000));
    let told: Vec<_> =
        changes.iter().map(|change| if let Change::Slowed { what, .. } = change { what } else { "" }).collect();
    assert_eq!(told, ["connections 4 → 2", "a/messages a minute 30 → 15"]);
    assert_eq!(it.end("a", &throttled(Excess::Unknown, Some(10)), true, at(1_500)), [], "one lesson");
    let status = it.status(at(1_500));
    assert_eq!((status.lanes[0].connections, status.lanes[0].connections_ceiling), (2, 4));
    let budget = &status.budgets[0];
    assert_eq!((budget.limit, budget.ceiling, budget.floor), (15, 30, 1));
    assert_eq!(budget.learnt, Some(("432 too much".to_owned(), at(1_000))));
    assert_eq!(status.lanes[0].resting_until, Some(at(11_500)));
    it.end("a", &LaneVerdict::Healthy, true, at(1_600));
    it.end("a", &LaneVerdict::Healthy, true, at(1_600));
    assert_eq!(it.status(at(1_600)).lanes[0].connections, 2, "attempts from before the cut prove nothing");
    assert_eq!(it.poll_start(at(11_499)), None);
    assert_eq!(it.next_wakeup(at(11_499)), Some(at(11_500)));
    assert_eq!(it.poll_start(at(11_500)), None);
    assert_eq!(it.next_wakeup(at(11_500)), Some(at(60_000 + 1)), "16 were spent, 15 is the limit: when two are gone");
}

#[test]
fn a_refusal_is_blamed_on_the_shortest_window_that_is_not_clearly_fine() {
    let names = ["minute", "hour", "day"];
    let lane = drawing_on(&names, bare("a", 1));
    let windows = [(MINUTE, 100), (HOUR, 20), (DAY, 30)];
    let budgets = names.iter().zip(windows).map(|(name, (window, n))| budget(name, Counted::Messages, window, n));
    let mut it = Driver::new(100, plan(budgets.collect(), vec![lane]));
    fill(&mut it, "a", Class::New, 0..12);
    for n in 0..10 {
        it.poll_start(at(n)).unwrap();
        it.end("a", &LaneVerdict::Healthy, true, at(n));
    }
    it.poll_start(at(100)).unwrap();
    it.end("a", &throttled(Excess::Of(Counted::Messages), None), true, at(100));
    let learnt: Vec<_> = it.status(at(100)).budgets.into_iter().map(|b| (b.name.to_string(), b.limit)).collect();
    assert_eq!(learnt, [("day".to_owned(), 30), ("hour".to_owned(), 10), ("minute".to_owned(), 100)]);
}
