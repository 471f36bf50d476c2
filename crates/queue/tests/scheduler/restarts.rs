//! What outlives a restart.

use super::*;

fn plan_of_two() -> Plan {
    let lane = |text: &str| {
        let needs = [breaker(Scope::Path, "x"), breaker(Scope::Mailbox, text)];
        drawing_on(&["minute"], needing(&needs, bare(text, 4)))
    };
    plan(vec![budget("minute", Counted::Messages, MINUTE, 30)], vec![lane("a"), lane("b")])
}

fn restarted(remembered: &BTreeMap<String, String>, plan: Plan, now: Timestamp) -> Driver {
    let mut it = Driver::new(100, plan);
    remembered.iter().for_each(|(key, value)| it.handle_remembered(key, value, now));
    it
}

#[test]
fn an_open_breaker_stays_open_is_probed_soon_and_told_of_only_when_it_closes() {
    let mut it = Driver::new(100, plan_of_two());
    fill(&mut it, "a", Class::New, 0..9);
    it.poll_start(START).unwrap();
    it.end("a", &pause("5.7.139", 600), false, START);
    let remembered = it.remembered();
    assert_eq!(remembered.keys().collect::<Vec<_>>(), ["scheduler/breaker/path x"]);

    let now = START + 2 * HOUR;
    let mut it = restarted(&remembered, plan_of_two(), now);
    fill(&mut it, "a", Class::New, 0..9);
    fill(&mut it, "b", Class::New, 10..19);
    let status = it.status(now).breakers;
    assert_eq!((status.len(), status[0].since, status[0].lanes.len()), (1, START, 2));
    assert_eq!(it.poll_start(now), None);
    let soon = it.next_wakeup(now).unwrap();
    assert!(soon <= now + Duration::from_secs(5));
    let probes = it.start_all(soon);
    assert_eq!(probes.iter().map(|start| start.probe).collect::<Vec<_>>(), [true]);
    let lane = probes[0].lane.to_string();
    assert_eq!(it.end(&lane, &pause("5.7.139", 600), false, soon), [], "people know");
    assert_eq!(it.next_wakeup(soon), Some(soon + 20 * MINUTE), "it goes on where it was");
    it.write_down(&mut remembered.clone());
    let lane = it.poll_start(soon + 20 * MINUTE).unwrap().lane.to_string();
    let changes = it.end(&lane, &LaneVerdict::Healthy, true, soon + 20 * MINUTE);
    let Change::Closed { open_for, .. } = &changes[0] else { panic!("{changes:?}") };
    assert!(*open_for > 2 * HOUR);
    assert_eq!(it.poll_remember(), Some(("scheduler/breaker/path x".to_owned(), None)));
}

#[test]
fn limits_that_were_learnt_hold_after_a_restart() {
    let mut it = Driver::new(100, plan_of_two());
    fill(&mut it, "a", Class::New, 0..30);
    assert_eq!(it.start_all(START).len(), 4);
    it.end("a", &throttled(Excess::Unknown, None), true, START);
    let (connections, limit) = (it.status(START).lanes[0].connections, it.status(START).budgets[0].clone());
    assert_eq!((connections, limit.limit), (2, 15));
    let remembered = it.remembered();
    let it = restarted(&remembered, plan_of_two(), START + HOUR);
    let status = it.status(START + HOUR);
    assert_eq!((status.lanes[0].connections, status.lanes[1].connections), (2, 4));
    assert_eq!((status.budgets[0].limit, &status.budgets[0].learnt), (15, &limit.learnt));
}

#[test]
fn what_cannot_be_read_or_belongs_to_nothing_is_forgotten() {
    let stale: BTreeMap<String, String> = [
        ("scheduler/limit/minute", "{}"),
        ("scheduler/limit/gone", r#"{"limit":1}"#),
        ("scheduler/breaker/path x", "open"),
        ("scheduler/first-use/minute", "\"2027-01-15T08:00:00Z\""),
        ("scheduler/connections/a", "\u{0}"),
        ("scheduler/tea/at-five", "true"),
        ("scheduler/", ""),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let mut it = restarted(&stale, plan_of_two(), START);
    let forgotten: Vec<_> = std::iter::from_fn(|| it.poll_remember()).collect();
    assert_eq!(forgotten, stale.keys().map(|key| (key.clone(), None)).collect::<Vec<_>>());
    assert_eq!(it.status(START).breakers, []);
}

#[test]
fn a_limit_above_which_the_configuration_has_gone_down_is_forgotten() {
    let mut it = Driver::new(100, plan_of_two());
    fill(&mut it, "a", Class::New, 0..30);
    it.poll_start(START).unwrap();
    it.end("a", &throttled(Excess::Of(Counted::Messages), None), true, START);
    let mut plan = plan_of_two();
    plan.budgets[0].limit = 10;
    let mut it = restarted(&it.remembered(), plan, START);
    assert_eq!((it.status(START).budgets[0].limit, it.status(START).budgets[0].learnt.clone()), (10, None));
    assert_eq!(it.poll_remember(), Some(("scheduler/limit/minute".to_owned(), None)));
}

#[test]
fn a_change_is_given_once_and_many_changes_of_one_thing_are_one() {
    let mut it = Driver::new(100, plan_of_two());
    fill(&mut it, "a", Class::New, 0..30);
    it.poll_start(START).unwrap();
    it.end("a", &pause("x", 60), false, START);
    let mut now = START;
    for _ in 0..5 {
        now = it.next_wakeup(now).unwrap();
        it.poll_start(now).unwrap();
        it.end("a", &pause("x", 60), false, now);
    }
    assert_eq!(it.remembered().len(), 1);
    assert_eq!(it.poll_remember(), None);
}
