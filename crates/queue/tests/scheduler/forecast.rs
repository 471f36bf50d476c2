//! What is said of the future is what then happens.

use posthouse_queue::{Forecast, LaneDepth};

use super::*;

const PER_MINUTE: &str = "a/messages a minute";
const PER_DAY: &str = "a/recipients a day";

fn lane_with(per_minute: u64, per_day: u64) -> Plan {
    let lane = drawing_on(&[PER_MINUTE, PER_DAY], bare("a", 3));
    let day = budget(PER_DAY, Counted::Recipients, DAY, per_day);
    plan(vec![budget(PER_MINUTE, Counted::Messages, MINUTE, per_minute), day], vec![lane])
}

fn waiting(lane: &str, messages: u64) -> LaneDepth {
    LaneDepth { lane: name(lane), messages, next_due_at: None }
}

/// Sends for so long, each attempt for a second; mail is always there. Returns when how many had gone.
fn send(it: &mut Driver, from: Timestamp, until: Timestamp, recipients: u32) -> Vec<Timestamp> {
    let (mut now, mut gone, mut made) = (from, Vec::new(), from.as_millisecond() as usize);
    let mut ends: VecDeque<(Timestamp, MessageId)> = VecDeque::new();
    while now < until {
        while it.status(now).lanes[0].waiting[1] < 5 {
            made += 1;
            assert!(it.it.handle_arrival(&name("a"), Class::New, id(made), cost(recipients, 0)));
        }
        while let Some(start) = it.poll_start(now) {
            ends.push_back((now + Duration::from_secs(1), start.id));
        }
        now = ends.front().map(|(at, _)| *at).into_iter().chain(it.next_wakeup(now)).min().unwrap();
        while let Some((_, id)) = ends.pop_front_if(|(at, _)| *at <= now) {
            it.end_of("a", id, &LaneVerdict::Healthy, cost(recipients, 0), now);
            gone.push(now);
        }
    }
    gone
}

fn seconds_apart(one: Timestamp, other: Timestamp) -> i64 {
    one.duration_since(other).as_secs().abs()
}

fn the(it: &Driver, messages: u64, now: Timestamp) -> Forecast {
    let forecasts = it.forecast(&[waiting("a", messages)], now);
    assert_eq!(forecasts.len(), 1);
    forecasts.into_iter().next().unwrap()
}

#[test]
fn what_waits_at_a_limit_a_minute_is_drained_when_it_is_said() {
    for messages in [1, 25, 312, 5_000] {
        let mut it = Driver::new(100, lane_with(30, 1_000_000));
        send(&mut it, START, START + 5 * MINUTE, 1);
        let now = START + 5 * MINUTE;
        let said = the(&it, messages, now);
        assert_eq!((said.messages, &said.short), (messages, &None));
        let gone = send(&mut it, now, now + 4 * HOUR, 1);
        let last = gone[messages as usize + 2];
        let off = seconds_apart(said.drained_at.unwrap(), last);
        assert!(off <= 60.max(messages as i64 / 30), "{messages}: said {:?}, was {last}", said.drained_at);
    }
}

#[test]
fn a_daily_budget_that_ends_is_told_with_the_time_and_so_is_the_end_of_the_wait() {
    let mut it = Driver::new(100, lane_with(30, 2_000));
    send(&mut it, START, START + HOUR / 2, 2);
    let now = START + HOUR / 2;
    assert!((1_700..=1_860).contains(&it.status(now).budgets[1].used));
    let said = the(&it, 500, now);
    let (budget, ends_at) = said.short.unwrap();
    assert_eq!(budget, budget_name(PER_DAY));
    let gone = send(&mut it, now, now + DAY, 2);
    let pause = gone.windows(2).find(|two| two[1].duration_since(two[0]).as_secs() > 600).unwrap();
    assert!(seconds_apart(ends_at, pause[0]) <= 120, "said {ends_at}, was {}", pause[0]);
    let off = seconds_apart(said.drained_at.unwrap(), gone[499]);
    assert!(off <= 300, "said {:?}, was {}", said.drained_at, gone[499]);
}

#[test]
fn a_budget_that_ends_at_the_present_rate_is_told_although_nothing_waits() {
    let mut it = Driver::new(10_000, lane_with(30, 1_000));
    let mut now = START;
    for n in 0..60 {
        it.poll_refill(now);
        fill_with(&mut it, "a", Class::New, 10 * n..10 * n + 10, cost(1, 0));
        while it.poll_start(now).is_some() {
            it.end("a", &LaneVerdict::Healthy, true, now);
        }
        now += MINUTE;
    }
    let forecasts = it.forecast(&[], now);
    let [Forecast { messages: 0, drained_at, short: Some((budget, ends_at)), .. }] = &forecasts[..] else {
        panic!("{forecasts:?}")
    };
    assert_eq!((*drained_at, budget), (Some(now), &budget_name(PER_DAY)));
    assert!(seconds_apart(*ends_at, now + 40 * MINUTE) < 5 * 60, "{ends_at}");
    assert_eq!(it.forecast(&[], now + 3 * HOUR), [], "the mail has ceased");
}

#[test]
fn where_nothing_goes_or_nobody_knows_how_fast_nothing_is_promised() {
    let mut it = scheduler(10, vec![lane("a", 1, None), lane("b", 1, Some(30))]);
    let drained = |it: &Driver, now| it.forecast(&[waiting("a", 5), waiting("b", 0)], now)[0].drained_at;
    assert_eq!(drained(&it, START), None, "never sent");
    fill(&mut it, "a", Class::New, 0..3);
    it.poll_start(START).unwrap();
    it.end("a", &LaneVerdict::Healthy, true, at(2_000));
    let done = drained(&it, at(2_000)).unwrap();
    assert!(seconds_apart(done, at(12_000)) <= 2, "{done}");
    it.poll_start(at(2_000)).unwrap();
    it.end("a", &pause("x", 60), false, at(3_000));
    assert_eq!(drained(&it, at(3_000)), None, "open");
    let later = LaneDepth { next_due_at: Some(at(600_000)), ..waiting("b", 1) };
    let done = it.forecast(&[later], at(3_000))[0].drained_at.unwrap();
    assert!(seconds_apart(done, at(600_000)) <= 2, "{done}");
}

#[test]
fn while_a_link_is_broken_nothing_is_promised_and_after_a_wait_that_was_asked_for_it_is() {
    let drained = |it: &Driver, now| it.forecast(&[waiting("a", 5)], now)[0].drained_at;
    let ended_with = |verdict: LaneVerdict| {
        let mut it = scheduler(10, vec![lane("a", 1, Some(30))]);
        fill(&mut it, "a", Class::New, 0..3);
        it.poll_start(START).unwrap();
        it.end("a", &LaneVerdict::Healthy, true, at(1_000));
        it.poll_start(at(1_000)).unwrap();
        it.end("a", &verdict, false, at(2_000));
        it
    };
    let mut it = ended_with(rest(60));
    assert_eq!(drained(&it, at(3_000)), None, "resting");
    assert_eq!(drained(&it, at(90_000)), None, "the next attempt may fail, too");
    it.poll_start(at(90_000)).unwrap();
    it.end("a", &LaneVerdict::Healthy, true, at(91_000));
    assert!(drained(&it, at(91_000)).is_some(), "over");
    let it = ended_with(throttled(Excess::Connections, Some(60)));
    assert!(drained(&it, at(3_000)).unwrap() >= at(62_000), "a wait has an end");
}

#[test]
fn pools_that_share_a_budget_are_looked_at_together_and_quickly() {
    let lanes: Vec<_> = (0..300).map(|n| drawing_on(&["shared"], bare(&format!("lane {n}"), 3))).collect();
    let mut it = Driver::new(10, plan(vec![budget("shared", Counted::Recipients, DAY, 3_000)], lanes));
    for n in 0..300 {
        fill(&mut it, &format!("lane {n}"), Class::New, n..n + 1);
    }
    for start in it.start_all(START) {
        it.end_of(&start.lane.to_string(), start.id, &LaneVerdict::Healthy, cost(1, 0), START + MINUTE);
    }
    let depths: Vec<_> = (0..300).map(|n| waiting(&format!("lane {n}"), 20)).collect();
    let forecasts = it.forecast(&depths, START + MINUTE);
    assert_eq!(forecasts.len(), 300);
    assert!(forecasts.iter().all(|forecast| forecast.short.is_some()), "6,000 wait, 2,700 may go");
    let drained = forecasts.iter().filter_map(|forecast| forecast.drained_at).max().unwrap();
    assert!(drained > START + 2 * DAY && drained < START + 3 * DAY, "{drained}");
}
