//! The scheduler as the queue manager drives it: permits, turns, windows, rests and pauses, in time that is only a number.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests panic like tests")]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use posthouse_queue::{
    Class, LaneChange, LaneName, LaneSettings, LaneVerdict, MessageId, Pause, Refill, Scheduler, SchedulerSettings,
};
use proptest::prelude::*;

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn at(milliseconds: u64) -> Timestamp {
    START + Duration::from_millis(milliseconds)
}

fn id(n: usize) -> MessageId {
    MessageId::from_i64(n as i64).unwrap()
}

fn name(text: &str) -> LaneName {
    LaneName(text.into())
}

fn lane(text: &str, connections: usize, messages_per_minute: Option<u32>) -> LaneSettings {
    LaneSettings { name: name(text), connections, messages_per_minute }
}

fn scheduler(window: usize, lanes: Vec<LaneSettings>) -> Scheduler {
    Scheduler::new(SchedulerSettings { window }, lanes)
}

fn pause(code: &str, seconds: u64) -> LaneVerdict {
    LaneVerdict::Paused(Pause {
        reason: "refused".to_owned(),
        remedy: "renew".to_owned(),
        code: code.to_owned(),
        probe_after: Duration::from_secs(seconds),
    })
}

fn rest(seconds: u64) -> LaneVerdict {
    LaneVerdict::Rest { wait: Duration::from_secs(seconds), reason: "throttled".to_owned() }
}

fn fill(scheduler: &mut Scheduler, lane: &str, class: Class, ids: std::ops::Range<usize>) {
    for n in ids {
        assert!(scheduler.handle_arrival(&name(lane), class, id(n)));
    }
}

#[test]
fn a_lane_starts_as_many_attempts_as_it_has_connections() {
    let mut it = scheduler(10, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..5);
    let started: Vec<_> = std::iter::from_fn(|| it.poll_start(START)).map(|start| start.id).collect();
    assert_eq!(started, [id(0), id(1), id(2)]);
    assert_eq!(it.next_wakeup(START), None);
    assert_eq!(it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, at(1)), None);
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
            it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, now);
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
    it.handle_ended(&name("a"), &LaneVerdict::Neutral, false, at(10));
    assert!(it.poll_start(at(10)).is_some());
    it.handle_ended(&name("a"), &LaneVerdict::Neutral, true, at(20));
    assert_eq!(it.poll_start(at(20)), None);
    assert_eq!(it.status(at(20))[0].used_this_minute, 1);
    assert_eq!(it.next_wakeup(at(20)), Some(at(60_020)));
    assert_eq!(it.poll_start(at(60_019)), None);
    assert!(it.poll_start(at(60_020)).is_some());
}

#[test]
fn messages_sent_before_a_restart_count_for_their_minute() {
    let mut it = scheduler(10, vec![lane("a", 3, Some(2))]);
    it.handle_recalled(&name("a"), at(5_000), at(10_000));
    it.handle_recalled(&name("a"), at(1_000), at(10_000));
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
    assert_eq!(it.status(START)[0].waiting, [960, 970, 990]);
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
fn a_paused_lane_starts_one_probe_when_due_and_waits_longer_each_time() {
    let mut it = scheduler(100, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    assert!(!it.poll_start(START).unwrap().probe);
    let change = it.handle_ended(&name("a"), &pause("5.7.139", 60), false, START);
    assert!(matches!(change, Some(LaneChange::Paused(_))), "{change:?}");
    let mut now = START;
    for minutes in [1, 2, 4, 8, 16, 16, 16] {
        let due = now + Duration::from_secs(60 * minutes);
        assert_eq!(it.next_wakeup(now), Some(due));
        assert_eq!(it.poll_start(due - Duration::from_millis(1)), None);
        assert!(it.poll_start(due).unwrap().probe);
        assert_eq!(it.poll_start(due), None, "one probe at a time");
        now = due;
        assert_eq!(it.handle_ended(&name("a"), &pause("5.7.139", 60), false, now), None, "told once");
    }
    assert_eq!(it.status(now)[0].paused.as_ref().unwrap().1, START);
    it.probe_now(&name("a"), now);
    assert!(it.poll_start(now).unwrap().probe);
    let change = it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, now);
    assert_eq!(change, Some(LaneChange::Recovered(Duration::from_secs(63 * 60))));
    assert_eq!(std::iter::from_fn(|| it.poll_start(now)).count(), 3);
    assert_eq!(it.status(now)[0].paused, None);
}

/// Probes while everything fails; each goes back to the spool and is fetched again, the oldest first.
fn probes(it: &mut Scheduler, classes: &HashMap<MessageId, Class>, count: usize) -> Vec<MessageId> {
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
        it.handle_ended(&start.lane, &pause("x", 60), true, now);
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
    it.handle_ended(&name("a"), &pause("x", 600), false, START);
    let mut now = START;
    for minutes in [10, 20, 30, 30] {
        now += Duration::from_secs(60 * minutes);
        assert_eq!(it.next_wakeup(now - Duration::from_secs(1)), Some(now));
        it.poll_start(now).unwrap();
        it.handle_ended(&name("a"), &pause("x", 600), false, now);
    }
    it.probe_now(&name("a"), now);
    it.poll_start(now).unwrap();
    let other = it.handle_ended(&name("a"), &pause("y", 7_200), false, now);
    assert!(matches!(other, Some(LaneChange::Paused(pause)) if pause.code == "y"), "another remedy is told");
    assert_eq!(it.next_wakeup(now), Some(now + Duration::from_secs(7_200)));
}

#[test]
fn attempts_from_before_a_pause_neither_double_it_nor_end_it() {
    let mut it = scheduler(100, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    while it.poll_start(START).is_some() {}
    assert!(it.handle_ended(&name("a"), &pause("x", 60), false, START).is_some());
    assert_eq!(it.handle_ended(&name("a"), &pause("x", 60), false, at(5)), None);
    assert_eq!(it.poll_start(at(60_000)), None, "one of the old ones is still under way");
    assert_eq!(it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, at(61_000)), None);
    assert!(it.poll_start(at(61_000)).unwrap().probe);
}

#[test]
fn a_resting_lane_goes_on_with_one_attempt_at_a_time_until_one_goes_well() {
    let mut it = scheduler(100, vec![lane("a", 3, None)]);
    fill(&mut it, "a", Class::New, 0..100);
    while it.poll_start(START).is_some() {}
    for _ in 0..3 {
        assert_eq!(it.handle_ended(&name("a"), &rest(10), true, START), None);
    }
    assert_eq!(it.status(START)[0].resting_until, Some(at(10_000)), "three at once are one rest");
    assert_eq!(it.next_wakeup(START), Some(at(10_000)));
    let count = |it: &mut Scheduler, now| std::iter::from_fn(|| it.poll_start(now)).count();
    assert_eq!(count(&mut it, at(9_999)), 0);
    assert_eq!(count(&mut it, at(10_000)), 1);
    it.handle_ended(&name("a"), &rest(10), true, at(10_000));
    assert_eq!(it.next_wakeup(at(10_000)), Some(at(30_000)), "twice as long");
    assert_eq!(count(&mut it, at(30_000)), 1);
    it.handle_ended(&name("a"), &LaneVerdict::Neutral, true, at(30_000));
    assert_eq!(count(&mut it, at(30_000)), 1);
    it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, at(30_000));
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
        if let Some(change) = it.handle_ended(&name("a"), &rest(10), false, now) {
            told.push((now.duration_since(START).as_secs(), change));
        }
    }
    let [(after, LaneChange::Paused(pause))] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*after, pause.code.as_str(), pause.reason.as_str()), (310, "rest", "throttled"));
    now = it.next_wakeup(now).unwrap();
    assert!(!it.poll_start(now).unwrap().probe);
    let change = it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, now);
    assert_eq!(change, Some(LaneChange::Recovered(Duration::try_from(now.duration_since(START)).unwrap())));
    it.poll_start(now).unwrap();
    assert_eq!(it.handle_ended(&name("a"), &rest(10), false, now), None, "a hiccup");
    now = it.next_wakeup(now).unwrap();
    it.poll_start(now).unwrap();
    assert_eq!(it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, now), None);
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
        it.handle_ended(&name("a"), &rest(10), false, now);
        let class = if start.id == id(0) { Class::Urgent } else { Class::Deferred };
        assert!(it.handle_arrival(&name("a"), class, start.id));
        order.push(start.id);
    }
    assert!(order[1..].windows(2).all(|two| two[0] != two[1]), "known from the second time on: {order:?}");
}

#[test]
fn the_window_is_bounded_and_what_does_not_fit_is_fetched_when_the_line_runs_low() {
    let mut it = scheduler(4, vec![lane("a", 1, None)]);
    fill(&mut it, "a", Class::New, 0..4);
    assert!(!it.handle_arrival(&name("a"), Class::New, id(4)));
    assert_eq!(it.poll_refill(START), None, "not low yet");
    for n in 0..2 {
        assert_eq!(it.poll_start(START).unwrap().id, id(n));
        it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, START);
    }
    assert!(!it.handle_arrival(&name("a"), Class::New, id(5)), "4 stands before it");
    let refill = Refill { lane: name("a"), class: Class::New, max: 2 };
    assert_eq!(it.poll_refill(START), Some(refill.clone()));
    assert_eq!(it.poll_refill(START), None, "asked once");
    assert!(!it.handle_arrival(&name("a"), Class::New, id(6)));
    it.handle_claimed(&refill, &[id(4)], None, START);
    let again = it.poll_refill(START);
    assert_eq!(again, None, "three wait, the window is more than half full");
    assert_eq!(it.poll_start(START).unwrap().id, id(2));
    let refill = it.poll_refill(START).expect("6 came while the fetch was under way");
    it.handle_claimed(&refill, &[id(6)], Some(at(1_000)), START);
    assert!(it.handle_arrival(&name("a"), Class::New, id(7)), "all fetched");
    it.handle_ended(&name("a"), &LaneVerdict::Healthy, true, START);
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
    assert!(!it.handle_arrival(&name("b"), Class::New, id(1)));
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
        it.handle_ended(&start.lane, &verdict, true, START + hours);
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

/// The spool as far as the scheduler can tell: what is due when, what is leased.
#[derive(Default)]
struct Store {
    waiting: BTreeMap<(LaneName, Class), BTreeSet<(Timestamp, MessageId)>>,
}

impl Store {
    fn put(&mut self, lane: &LaneName, class: Class, due: Timestamp, id: MessageId) {
        assert!(self.waiting.entry((lane.clone(), class)).or_default().insert((due, id)));
    }

    fn claim(&mut self, refill: &Refill, now: Timestamp) -> (Vec<MessageId>, Option<Timestamp>) {
        let line = self.waiting.entry((refill.lane.clone(), refill.class)).or_default();
        let due: Vec<_> = line.iter().take_while(|(due, _)| *due <= now).take(refill.max).copied().collect();
        due.iter().for_each(|entry| assert!(line.remove(entry)));
        (due.into_iter().map(|(_, id)| id).collect(), line.first().map(|(due, _)| *due))
    }
}

/// One history: mail arrives, attempts end after a while with any verdict, fetches are answered late or fail. At all times
/// the permits hold; in the end everything has been started as often as it was due.
fn history(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let settings = [lane("a", 2, Some(5)), lane("b", 3, None), lane("c", 1, Some(1))];
    let window = 1 + random(6) as usize;
    let mut it = scheduler(window, settings.to_vec());
    let mut store = Store::default();
    let mut attempts: Vec<(Timestamp, LaneName, MessageId, Class)> = Vec::new();
    let mut fetches: Vec<(Timestamp, Refill, Vec<MessageId>, Option<Timestamp>)> = Vec::new();
    let mut classes: HashMap<MessageId, (LaneName, Class)> = HashMap::new();
    let mut counted: HashMap<LaneName, Vec<Timestamp>> = HashMap::new();
    let (mut done, mut now, mut made) = (0, START, 0);
    while done < 60 {
        if made < 60 && random(3) == 0 {
            let (lane, id) = (settings[random(3) as usize].name.clone(), id(made));
            let class = [Class::Urgent, Class::New, Class::Deferred][random(3) as usize];
            made += 1;
            classes.insert(id, (lane.clone(), class));
            let later = now + Duration::from_millis(random(30_000));
            match random(2) {
                0 if it.handle_arrival(&lane, class, id) => {}
                0 => store.put(&lane, class, now, id),
                _ => {
                    store.put(&lane, class, later, id);
                    it.handle_due_at(&lane, class, later);
                }
            }
        }
        while let Some(start) = it.poll_start(now) {
            let (lane, class) = classes[&start.id].clone();
            assert_eq!(lane, start.lane);
            assert!(!attempts.iter().any(|(_, _, id, _)| *id == start.id), "started twice at once");
            attempts.push((now + Duration::from_millis(random(4_000)), lane, start.id, class));
        }
        while let Some(refill) = it.poll_refill(now) {
            let (ids, next) = store.claim(&refill, now);
            fetches.push((now + Duration::from_millis(random(50)), refill, ids, next));
        }
        for status in it.status(now) {
            assert!(status.active <= status.connections);
            assert!(status.waiting.iter().all(|waiting| *waiting <= window));
            let recent = counted.entry(status.name.clone()).or_default();
            recent.retain(|end| *end + Duration::from_secs(60) > now);
            if let Some(limit) = status.messages_per_minute {
                assert!(recent.len() + status.active <= limit as usize, "{status:?}");
            }
        }
        let wakeup = it.next_wakeup(now);
        assert!(wakeup.is_none_or(|at| at > now), "polled dry");
        let ends = attempts.iter().map(|attempt| attempt.0).chain(fetches.iter().map(|fetch| fetch.0));
        let next_input = if made < 60 { Some(now + Duration::from_millis(random(2_000))) } else { None };
        let next = ends.chain(wakeup).chain(next_input).min().expect("stuck");
        if let Some(wakeup) = wakeup.filter(|wakeup| *wakeup > now + Duration::from_millis(1)) {
            let before = next.min(wakeup - Duration::from_millis(1));
            assert_eq!(it.poll_start(before), None, "before its wake-up");
            assert_eq!(it.poll_refill(before), None, "before its wake-up");
        }
        now = next.max(now);
        for (_, refill, ids, next) in fetches.extract_if(.., |fetch| fetch.0 <= now) {
            if ids.is_empty() && random(4) == 0 {
                it.handle_claim_failed(&refill, now + Duration::from_secs(1));
            } else {
                it.handle_claimed(&refill, &ids, next, now);
            }
        }
        for (_, lane, id, class) in attempts.extract_if(.., |attempt| attempt.0 <= now).collect::<Vec<_>>() {
            let reached_mail = random(4) != 0;
            let verdict = match random(12) {
                0 => rest(random(20)),
                1 => pause("x", random(90)),
                2..5 => LaneVerdict::Neutral,
                _ => LaneVerdict::Healthy,
            };
            it.handle_ended(&lane, &verdict, reached_mail, now);
            if reached_mail {
                counted.entry(lane.clone()).or_default().push(now);
            }
            if random(4) == 0 {
                let due = now + Duration::from_millis(random(60_000));
                store.put(&lane, class, due, id);
                it.handle_due_at(&lane, class, due);
            } else {
                done += 1;
            }
        }
    }
    assert!(it.drain().is_empty());
    assert!(store.waiting.values().all(BTreeSet::is_empty));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_stuck_lost_or_started_twice_and_permits_hold_in_any_history(seed: u64) {
        history(seed);
    }
}
