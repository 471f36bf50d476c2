//! Turns of lines and pools, windows onto the spool, budgets of one lane.

use posthouse_queue::Spend;

use super::*;

#[test]
fn a_lane_starts_as_many_attempts_as_it_has_connections() {
    let mut it = scheduler(10, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..5);
    let started: Vec<_> = std::iter::from_fn(|| it.poll_start(START)).map(|start| start.id).collect();
    assert_eq!(started, [id(0), id(1), id(2)]);
    assert_eq!(it.next_wakeup(START), None);
    assert_eq!(it.end("a", &LaneVerdict::Healthy, true, at(1)), []);
    assert_eq!(it.next_wakeup(at(1)), Some(at(1)));
    assert_eq!(it.poll_start(at(1)).unwrap().id, id(3));
    assert_eq!(it.poll_start(at(1)), None);
}

#[test]
fn at_thirty_a_minute_the_drain_makes_the_limit_and_the_remote_never_sees_more() {
    let mut it = scheduler(1_000, vec![lane("a", 3, Some(30))]);
    fill(&mut it, "a", Class::New, 0..700);
    let mut now = START;
    let mut under_way: VecDeque<Timestamp> = VecDeque::new();
    let mut seen: Vec<Timestamp> = Vec::new();
    let mut noise = 7_u64;
    while now < at(20 * 60_000) {
        while it.poll_start(now).is_some() {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let took = Duration::from_millis(100 + (noise >> 33) % 600);
            // The remote counts it anywhere between start and end.
            seen.push(now + took.mul_f64((noise >> 40) as f64 % 100.0 / 100.0));
            under_way.push_back(now + took);
            under_way.make_contiguous().sort();
        }
        let next = it.next_wakeup(now).into_iter().chain(under_way.front().copied()).min().unwrap();
        assert!(next > now);
        now = next;
        while under_way.front().is_some_and(|end| *end <= now) {
            under_way.pop_front();
            it.end("a", &LaneVerdict::Healthy, true, now);
        }
    }
    seen.sort();
    for window in seen.windows(31) {
        assert!(window[30].duration_since(window[0]).as_millis() >= 60_000, "31 within 60 s");
    }
    let in_twenty_minutes = seen.iter().filter(|seen| **seen < at(20 * 60_000)).count();
    assert!((588..=630).contains(&in_twenty_minutes), "{in_twenty_minutes} of 600");
}

#[test]
fn an_attempt_that_did_not_reach_mail_gives_its_permit_back_at_once() {
    let mut it = scheduler(10, vec![lane("a", 1, Some(1))]);
    fill(&mut it, "a", Class::New, 0..3);
    assert!(it.poll_start(START).is_some());
    it.end("a", &LaneVerdict::Neutral, false, at(10));
    assert!(it.poll_start(at(10)).is_some());
    it.end("a", &LaneVerdict::Neutral, true, at(20));
    assert_eq!(it.poll_start(at(20)), None);
    assert_eq!(it.status(at(20)).budgets[0].used, 1);
    assert_eq!(it.next_wakeup(at(20)), Some(at(60_020)));
    assert_eq!(it.poll_start(at(60_019)), None);
    assert!(it.poll_start(at(60_020)).is_some());
}

#[test]
fn messages_sent_before_a_restart_count_for_their_minute() {
    let mut it = scheduler(10, vec![lane("a", 3, Some(2))]);
    let spent = [1_000, 5_000].map(|millisecond| Spend {
        budget: budget_name("a/messages a minute"),
        at: at(millisecond),
        amount: 1,
    });
    it.handle_ledger(&spent, at(10_000));
    fill(&mut it, "a", Class::New, 0..3);
    assert_eq!(it.poll_start(at(10_000)), None);
    assert_eq!(it.next_wakeup(at(10_000)), Some(at(61_000)));
    assert_eq!(std::iter::from_fn(|| it.poll_start(at(61_000))).count(), 1);
}

#[test]
fn full_lines_share_a_lane_four_to_three_to_one() {
    let mut it = scheduler(1_000, vec![lane("a", 80, None)]);
    fill(&mut it, "a", Class::Deferred, 0..1_000);
    fill(&mut it, "a", Class::New, 1_000..2_000);
    fill(&mut it, "a", Class::Urgent, 2_000..3_000);
    while it.poll_start(START).is_some() {}
    assert_eq!(it.status(START).lanes[0].waiting, [960, 970, 990]);
}

#[test]
fn an_empty_line_lends_its_turns_and_a_fresh_message_waits_for_one_turn_only() {
    let mut it = scheduler(2_000, vec![lane("a", 1_000, None)]);
    fill(&mut it, "a", Class::Deferred, 0..1_500);
    for _ in 0..500 {
        assert!(it.poll_start(START).is_some());
    }
    for n in 2_000..2_020 {
        fill(&mut it, "a", Class::New, n..n + 1);
        let next_two = [it.poll_start(START).unwrap().id, it.poll_start(START).unwrap().id];
        assert!(next_two.contains(&id(n)), "{n}: {next_two:?}");
    }
}

#[test]
fn lanes_take_turns() {
    let mut it = scheduler(100, vec![lane("a", 50, None), lane("b", 50, None), lane("c", 50, None)]);
    for lane in ["a", "b", "c"] {
        let from = lane.as_bytes()[0] as usize * 1_000;
        fill(&mut it, lane, Class::New, from..from + 50);
    }
    let order: String = std::iter::from_fn(|| it.poll_start(START)).map(|start| start.lane.to_string()).collect();
    assert_eq!(order, "abc".repeat(50));
}

#[test]
fn the_window_is_bounded_and_what_does_not_fit_is_fetched_when_the_line_runs_low() {
    let mut it = scheduler(4, vec![lane("a", 1, None)]);
    fill(&mut it, "a", Class::New, 0..4);
    assert!(!it.handle_arrival(&name("a"), Class::New, id(4), cost(1, 0)));
    assert_eq!(it.poll_refill(START), None, "not low yet");
    for n in 0..2 {
        assert_eq!(it.poll_start(START).unwrap().id, id(n));
        it.end("a", &LaneVerdict::Healthy, true, START);
    }
    assert!(!it.handle_arrival(&name("a"), Class::New, id(5), cost(1, 0)), "4 stands before it");
    let refill = Refill { lane: name("a"), class: Class::New, max: 2 };
    assert_eq!(it.poll_refill(START), Some(refill.clone()));
    assert_eq!(it.poll_refill(START), None, "asked once");
    assert!(!it.handle_arrival(&name("a"), Class::New, id(6), cost(1, 0)));
    it.handle_claimed(&refill, &[(id(4), cost(1, 0))], None, START);
    let again = it.poll_refill(START);
    assert_eq!(again, None, "three wait, the window is more than half full");
    assert_eq!(it.poll_start(START).unwrap().id, id(2));
    let refill = it.poll_refill(START).expect("6 came while the fetch was under way");
    it.handle_claimed(&refill, &[(id(6), cost(1, 0))], Some(at(1_000)), START);
    assert!(it.handle_arrival(&name("a"), Class::New, id(7), cost(1, 0)), "all fetched");
    it.end("a", &LaneVerdict::Healthy, true, START);
    assert_eq!([it.poll_start(START).unwrap().id, it.drain()[0]], [id(3), id(4)]);
}

#[test]
fn a_failed_fetch_is_asked_again_later() {
    let mut it = scheduler(4, vec![lane("a", 1, None)]);
    it.handle_due_at(&name("a"), Class::Deferred, at(500));
    assert_eq!(it.next_wakeup(START), Some(at(500)));
    assert_eq!(it.poll_refill(at(499)), None);
    let refill = it.poll_refill(at(500)).unwrap();
    it.handle_claim_failed(&refill, at(5_000));
    assert_eq!(it.poll_refill(at(4_999)), None);
    assert_eq!(it.next_wakeup(at(4_999)), Some(at(5_000)));
    assert!(it.poll_refill(at(5_000)).is_some());
}

#[test]
fn unknown_lanes_are_refused_and_removed_messages_do_not_start() {
    let mut it = scheduler(4, vec![lane("a", 1, None)]);
    assert!(!it.knows(&name("b")));
    assert!(!it.handle_arrival(&name("b"), Class::New, id(1), cost(1, 0)));
    fill(&mut it, "a", Class::Urgent, 1..2);
    assert!(it.remove(&name("a"), id(1)));
    assert!(!it.remove(&name("a"), id(1)));
    assert_eq!(it.poll_start(START), None);
}

#[test]
fn a_clock_that_is_set_back_prolongs_no_wait() {
    let mut it = scheduler(10, vec![lane("a", 1, Some(1)), lane("b", 1, None)]);
    fill(&mut it, "a", Class::New, 0..2);
    fill(&mut it, "b", Class::New, 2..4);
    let hours = Duration::from_secs(3 * 3_600);
    while let Some(start) = it.poll_start(START + hours) {
        let verdict = if start.lane == name("b") { rest(60) } else { LaneVerdict::Healthy };
        it.end(&start.lane.to_string(), &verdict, true, START + hours);
    }
    assert_eq!(it.poll_start(START), None);
    assert_eq!(it.next_wakeup(START), Some(at(60_000)));
    assert_eq!(std::iter::from_fn(|| it.poll_start(at(60_000))).count(), 2);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_line_from_its_mail() {
    let mut it = scheduler(10, vec![lane("a", 1, None), lane("b", 1, None)]);
    let later = START + Duration::from_secs(3 * 3_600);
    it.handle_due_at(&name("a"), Class::New, START);
    let refill = it.poll_refill(later).unwrap();
    it.handle_claim_failed(&refill, later + Duration::from_secs(5));
    it.handle_due_at(&name("b"), Class::New, later + Duration::from_secs(9));
    assert_eq!(it.poll_refill(later), None);
    assert_eq!(it.poll_refill(START).map(|refill| refill.lane), Some(name("b")), "when is it due by this clock?");
    assert_eq!(it.poll_refill(START), None);
    assert_eq!(it.next_wakeup(START), Some(at(5_000)));
    assert_eq!(it.poll_refill(at(5_000)), Some(refill));
}
