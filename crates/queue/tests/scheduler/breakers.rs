//! Rests and breakers.

use super::*;

fn closed(path: &str, seconds: u64) -> Change {
    Change::Closed { breaker: breaker(Scope::Path, path), open_for: Duration::from_secs(seconds) }
}

#[test]
fn a_paused_lane_starts_one_probe_when_due_and_waits_longer_each_time() {
    let mut it = scheduler(100, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    assert!(!it.poll_start(START).unwrap().probe);
    let change = it.end("a", &pause("5.7.139", 60), false, START);
    assert!(matches!(&change[..], [Change::Opened { .. }]), "{change:?}");
    let mut now = START;
    for minutes in [1, 2, 4, 8, 16, 16, 16] {
        let due = now + Duration::from_secs(60 * minutes);
        assert_eq!(it.next_wakeup(now), Some(due));
        assert_eq!(it.poll_start(due - Duration::from_millis(1)), None);
        assert!(it.poll_start(due).unwrap().probe);
        assert_eq!(it.poll_start(due), None, "one probe at a time");
        now = due;
        assert_eq!(it.end("a", &pause("5.7.139", 60), false, now), [], "told once");
    }
    assert_eq!(it.status(now).breakers[0].since, START);
    it.probe_now(&name("a"), now);
    assert!(it.poll_start(now).unwrap().probe);
    let change = it.end("a", &LaneVerdict::Healthy, true, now);
    assert_eq!(change, [closed("a", 63 * 60)]);
    assert_eq!(std::iter::from_fn(|| it.poll_start(now)).count(), 3);
    assert_eq!(it.status(now).breakers, []);
}

/// Probes while everything fails; each goes back to the spool and is fetched again, the oldest first.
fn probes(it: &mut Driver, classes: &HashMap<MessageId, Class>, count: usize) -> Vec<MessageId> {
    let (mut store, mut now, mut probed) = (Store::default(), START, Vec::new());
    while probed.len() < count {
        while let Some(refill) = it.poll_refill(now) {
            let (ids, next) = store.claim(&refill, now);
            it.handle_claimed(&refill, &ids, next, now);
        }
        let Some(start) = it.poll_start(now) else {
            now = it.next_wakeup(now).expect("stuck");
            continue;
        };
        if start.probe {
            probed.push(start.id);
        }
        it.end(&start.lane.to_string(), &pause("x", 60), true, now);
        store.put(&start.lane, classes[&start.id], START, start.id);
        it.handle_due_at(&start.lane, classes[&start.id], START);
    }
    probed
}

#[test]
fn a_message_that_failed_as_a_probe_goes_behind_the_others_of_its_lane() {
    let in_lines = |lines: &[(Class, std::ops::Range<usize>)]| {
        let mut it = scheduler(100, vec![lane("a", 1, None)]);
        let mut classes = HashMap::new();
        for (class, ids) in lines {
            fill(&mut it, "a", *class, ids.clone());
            classes.extend(ids.clone().map(|n| (id(n), *class)));
        }
        probes(&mut it, &classes, 6)
    };
    assert_eq!(in_lines(&[(Class::New, 0..3)]), [1, 2, 0, 1, 2, 0].map(id));
    // Its line has the larger share, and nobody else in it.
    let with_urgent = in_lines(&[(Class::Urgent, 0..1), (Class::Deferred, 1..3)]);
    assert!(with_urgent.windows(2).all(|two| two[0] != two[1]), "{with_urgent:?}");
    assert!((0..3).all(|n| with_urgent.contains(&id(n))), "{with_urgent:?}");
    assert_eq!(in_lines(&[(Class::New, 0..1)]), [0; 6].map(id), "alone it is probed all the same");
}

#[test]
fn a_pause_never_waits_longer_than_half_an_hour_unless_it_says_so() {
    let mut it = scheduler(100, vec![lane("a", 1, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    it.poll_start(START).unwrap();
    it.end("a", &pause("x", 600), false, START);
    let mut now = START;
    for minutes in [10, 20, 30, 30] {
        now += Duration::from_secs(60 * minutes);
        assert_eq!(it.next_wakeup(now - Duration::from_secs(1)), Some(now));
        it.poll_start(now).unwrap();
        it.end("a", &pause("x", 600), false, now);
    }
    it.probe_now(&name("a"), now);
    it.poll_start(now).unwrap();
    let other = it.end("a", &pause("y", 7_200), false, now);
    assert!(matches!(&other[..], [Change::Opened { pause, .. }] if pause.code == "y"), "another remedy is told");
    assert_eq!(it.next_wakeup(now), Some(now + Duration::from_secs(7_200)));
}

#[test]
fn attempts_from_before_a_pause_neither_double_it_nor_end_it() {
    let mut it = scheduler(100, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    while it.poll_start(START).is_some() {}
    assert_eq!(it.end("a", &pause("x", 60), false, START).len(), 1);
    assert_eq!(it.end("a", &pause("x", 60), false, at(5)), []);
    assert_eq!(it.poll_start(at(60_000)), None, "one of the old ones is still under way");
    assert_eq!(it.end("a", &LaneVerdict::Healthy, true, at(61_000)), []);
    assert!(it.poll_start(at(61_000)).unwrap().probe);
}

#[test]
fn a_resting_lane_goes_on_with_one_attempt_at_a_time_until_one_goes_well() {
    let mut it = scheduler(100, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    while it.poll_start(START).is_some() {}
    for _ in 0..3 {
        assert_eq!(it.end("a", &rest(10), true, START), []);
    }
    assert_eq!(it.status(START).lanes[0].resting_until, Some(at(10_000)), "three at once are one rest");
    assert_eq!(it.next_wakeup(START), Some(at(10_000)));
    let count = |it: &mut Driver, now| std::iter::from_fn(|| it.poll_start(now)).count();
    assert_eq!(count(&mut it, at(9_999)), 0);
    assert_eq!(count(&mut it, at(10_000)), 1);
    it.end("a", &rest(10), true, at(10_000));
    assert_eq!(it.next_wakeup(at(10_000)), Some(at(30_000)), "twice as long");
    assert_eq!(count(&mut it, at(30_000)), 1);
    it.end("a", &LaneVerdict::Neutral, true, at(30_000));
    assert_eq!(count(&mut it, at(30_000)), 1);
    it.end("a", &LaneVerdict::Healthy, true, at(30_000));
    assert_eq!(count(&mut it, at(30_000)), 3);
}

#[test]
fn a_lane_that_does_nothing_but_rest_is_told_of_once_and_so_is_its_recovery() {
    let mut it = scheduler(100, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    let (mut now, mut told) = (START, Vec::new());
    for _ in 0..10 {
        now = it.next_wakeup(now).unwrap();
        it.poll_start(now).unwrap();
        for change in it.end("a", &rest(10), false, now) {
            told.push((now.duration_since(START).as_secs(), change));
        }
    }
    let [(after, Change::Opened { pause, .. })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*after, pause.code.as_str(), pause.reason.as_str()), (310, "rest", "the link broke"));
    now = it.next_wakeup(now).unwrap();
    assert!(it.poll_start(now).unwrap().probe);
    let change = it.end("a", &LaneVerdict::Healthy, true, now);
    assert_eq!(change, [closed("a", now.duration_since(START).as_secs() as u64)]);
    it.poll_start(now).unwrap();
    assert_eq!(it.end("a", &rest(10), false, now), [], "a hiccup");
    now = it.next_wakeup(now).unwrap();
    it.poll_start(now).unwrap();
    assert_eq!(it.end("a", &LaneVerdict::Healthy, true, now), []);
}

#[test]
fn after_a_rest_a_message_that_broke_the_link_goes_behind_the_others() {
    let mut it = scheduler(100, vec![lane("a", 1, None)]);
    fill(&mut it, "a", Class::Urgent, 0..1);
    fill(&mut it, "a", Class::Deferred, 1..3);
    let (mut now, mut order) = (START, Vec::new());
    for _ in 0..9 {
        now = it.next_wakeup(now).unwrap();
        let start = it.poll_start(now).unwrap();
        it.end("a", &rest(10), false, now);
        let class = if start.id == id(0) { Class::Urgent } else { Class::Deferred };
        assert!(it.handle_arrival(&name("a"), class, start.id, cost(1, 0)));
        order.push(start.id);
    }
    assert!(order[1..].windows(2).all(|two| two[0] != two[1]), "known from the second time on: {order:?}");
}

fn opened(changes: &[Change]) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Opened { breaker, pause, lanes } => format!("open {breaker} {} {}", pause.code, lanes.len()),
        Change::Closed { breaker, .. } => format!("closed {breaker}"),
        Change::Slowed { what, .. } => what.clone(),
    };
    changes.iter().map(name).collect()
}

/// Three lanes with a mailbox each; a and b share a path and a credential, all share the tenant.
fn three_lanes() -> Driver {
    let lane = |text: &str, path: &str| {
        let needs = [
            breaker(Scope::Mailbox, text),
            breaker(Scope::Tenant, "contoso"),
            breaker(Scope::Credential, path),
            breaker(Scope::Path, path),
        ];
        needing(&needs, bare(text, 2))
    };
    let mut it = Driver::new(100, plan(Vec::new(), vec![lane("a", "x"), lane("b", "x"), lane("c", "y")]));
    for (place, lane) in ["a", "b", "c"].into_iter().enumerate() {
        fill(&mut it, lane, Class::New, 100 * place..100 * place + 100);
    }
    it
}

#[test]
fn an_open_breaker_stops_all_lanes_that_need_it_with_one_probe_for_all() {
    let mut it = three_lanes();
    assert_eq!(it.start_all(START).len(), 6);
    assert_eq!(opened(&it.end("a", &pause_of(Scope::Credential, "s", 60), false, START)), ["open credential x s 2"]);
    let told = ["a", "b", "b", "c", "c"]
        .map(|lane| opened(&it.end(lane, &pause_of(Scope::Credential, "s", 60), false, at(1))));
    assert_eq!(told.concat(), ["open credential y s 1"], "each once");
    let open: Vec<_> = it.status(at(1)).lanes.iter().map(|lane| lane.open.len()).collect();
    assert_eq!(open, [1, 1, 1]);
    assert_eq!(it.start_all(at(59_999)).len(), 0);
    let probes = it.start_all(at(60_001));
    assert_eq!(
        probes.iter().map(|start| (start.lane.to_string(), start.probe)).collect::<Vec<_>>(),
        [("a".to_owned(), true), ("c".to_owned(), true)]
    );
    assert_eq!(it.next_wakeup(at(60_001)), None, "b waits for the probe of a");
    assert_eq!(opened(&it.end("a", &pause_of(Scope::Credential, "s", 60), false, at(61_000))), [""; 0]);
    assert_eq!(it.next_wakeup(at(61_000)), Some(at(181_000)));
    let next = it.poll_start(at(181_000)).unwrap();
    assert_eq!((next.lane, next.probe), (name("b"), true), "lanes take turns");
    assert_eq!(opened(&it.end("b", &LaneVerdict::Healthy, true, at(182_000))), ["closed credential x"]);
    assert_eq!(it.start_all(at(182_000)).len(), 4);
}

#[test]
fn a_refusal_of_the_mailbox_stops_that_mailbox_only() {
    let mut it = three_lanes();
    it.start_all(START);
    let full = pause_of(Scope::Mailbox, "5.2.2", 60);
    assert_eq!(opened(&it.end("a", &full, false, START)), ["open mailbox a 5.2.2 1"]);
    it.end("b", &LaneVerdict::Healthy, true, START);
    assert_eq!(it.poll_start(START).unwrap().lane, name("b"));
}

#[test]
fn a_probe_that_gets_further_closes_what_it_got_past() {
    let mut it = three_lanes();
    it.start_all(START);
    it.end("a", &pause_of(Scope::Path, "link", 60), false, START);
    it.end("b", &pause_of(Scope::Tenant, "blocked", 30), false, START);
    (0..2).for_each(|_| drop(it.end("c", &LaneVerdict::Neutral, false, START)));
    it.end("a", &LaneVerdict::Neutral, false, START);
    it.end("b", &LaneVerdict::Neutral, false, START);
    let probe = it.poll_start(at(30_000)).unwrap();
    assert_eq!(probe.lane, name("c"), "a and b wait for their path as well");
    assert_eq!(opened(&it.end("c", &pause_of(Scope::Tenant, "blocked", 30), false, at(30_000))), [""; 0]);
    assert_eq!(it.next_wakeup(at(30_000)), Some(at(90_000)));
    let lanes: Vec<_> = it.start_all(at(90_000)).iter().map(|start| start.lane.to_string()).collect();
    assert_eq!(lanes, ["a"], "one probe of the tenant, whoever's turn it is");
    let changes = it.end("a", &pause_of(Scope::Mailbox, "5.2.2", 60), false, at(91_000));
    assert_eq!(opened(&changes), ["closed path x", "closed tenant contoso", "open mailbox a 5.2.2 1"]);
    assert_eq!(it.start_all(at(91_000)).len(), 4, "b and c go on");
}

#[test]
fn other_trouble_on_the_way_to_an_open_breaker_is_told_and_both_must_be_over() {
    let mut it = three_lanes();
    it.start_all(START);
    it.end("c", &pause_of(Scope::Mailbox, "full", 60), false, START);
    it.end("c", &LaneVerdict::Neutral, false, START);
    assert!(it.poll_start(at(60_000)).unwrap().probe);
    let changes = it.end("c", &pause_of(Scope::Path, "dns", 600), false, at(60_000));
    assert_eq!(opened(&changes), ["open path y dns 1"]);
    assert_eq!(it.next_wakeup(at(60_000)), Some(at(660_000)), "not before the path is due");
    assert!(it.poll_start(at(660_000)).unwrap().probe);
    let changes = it.end("c", &LaneVerdict::Healthy, true, at(660_000));
    assert_eq!(opened(&changes), ["closed path y", "closed mailbox c"]);
}

#[test]
fn a_lane_that_names_no_breaker_has_one_for_its_path() {
    let mut it = scheduler(10, vec![lane("a", 1, None)]);
    fill(&mut it, "a", Class::New, 0..3);
    it.poll_start(START).unwrap();
    assert_eq!(opened(&it.end("a", &pause_of(Scope::Mailbox, "m", 60), false, START)), ["open path a m 1"]);
}

#[test]
fn what_began_after_a_fault_and_goes_well_ends_the_rest() {
    let mut it = scheduler(10, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..10);
    it.start_all(START);
    it.end_of("a", id(1), &rest(60), Cost::default(), at(10));
    it.end_of("a", id(0), &LaneVerdict::Healthy, cost(1, 0), at(20));
    assert_eq!(it.start_all(at(20)).len(), 0, "the first began before the one that failed");
    it.end_of("a", id(2), &LaneVerdict::Healthy, cost(1, 0), at(30));
    assert_eq!(it.start_all(at(30)).len(), 3);
    // The other way round: what failed had hung for long, and others had gone well since.
    it.end_of("a", id(4), &LaneVerdict::Healthy, cost(1, 0), at(40));
    it.end_of("a", id(3), &rest(60), Cost::default(), at(50));
    assert_eq!(it.next_wakeup(at(50)), Some(at(1_050)), "a breath");
}

#[test]
fn endless_rests_open_what_no_other_lane_has_used_well_meanwhile() {
    let mut it = three_lanes();
    let (mut now, mut told) = (START, Vec::new());
    while told.is_empty() && now < START + HOUR {
        for start in it.start_all(now) {
            let lane = start.lane.to_string();
            let verdict = if lane == "a" { rest(10) } else { LaneVerdict::Healthy };
            told.extend(it.end_of(&lane, start.id, &verdict, cost(1, 0), now));
            assert!(it.handle_arrival(&start.lane, Class::New, start.id, cost(1, 0)));
        }
        now += Duration::from_secs(1);
    }
    assert_eq!(opened(&told), ["open mailbox a rest 1"]);
}

#[test]
fn an_operator_names_a_lane_a_pool_or_a_breaker() {
    for (named, probed) in [("a", "a"), ("credential x", "a b"), ("x", "a b"), ("contoso", "a b c"), ("z", "")] {
        let mut it = three_lanes();
        it.start_all(START);
        for lane in ["a", "a", "b", "b", "c", "c"] {
            it.end(lane, &pause_of(Scope::Mailbox, "full", 600), false, START);
        }
        assert_eq!(it.probe_now(&name(named), at(1)), !probed.is_empty());
        let probes: Vec<_> = it.start_all(at(1)).iter().map(|start| start.lane.to_string()).collect();
        assert_eq!(probes.join(" "), probed, "{named}");
    }
}
