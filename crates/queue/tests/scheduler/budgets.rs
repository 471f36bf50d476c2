//! Budgets: what is reserved, granted, spent, kept for urgent mail, and who waits for whom.

use posthouse_queue::{Postpone, Spend, WarmUp};

use super::*;

const DAILY: &str = "a/recipients a day";
const EXTERNAL: &str = "contoso/external recipients a day";

fn daily(limit: u64, reserve: u64) -> Driver {
    let budget = BudgetSettings { reserve, ..budget(DAILY, Counted::Recipients, DAY, limit) };
    Driver::new(100, plan(vec![budget], vec![drawing_on(&[DAILY], bare("a", 10))]))
}

fn used(it: &Driver, now: Timestamp) -> u64 {
    it.status(now).budgets[0].used
}

#[test]
fn an_attempt_reserves_its_grant_from_the_start_and_books_what_it_used_at_its_end() {
    let mut it = daily(100, 0);
    fill_with(&mut it, "a", Class::New, 0..3, cost(60, 0));
    let grants: Vec<_> = it.start_all(START).iter().map(|start| start.grant.recipients).collect();
    assert_eq!(grants, [60, 40], "a part of the second, nothing of the third");
    assert_eq!((used(&it, START), it.next_wakeup(START)), (100, None));
    it.end_of("a", id(0), &LaneVerdict::Healthy, cost(25, 0), at(1_000));
    assert_eq!(it.poll_start(at(1_000)).unwrap().grant.recipients, 35);
    it.end_of("a", id(1), &LaneVerdict::Neutral, Cost::default(), at(2_000));
    it.end_of("a", id(2), &LaneVerdict::Healthy, cost(35, 0), at(3_000));
    assert_eq!(used(&it, at(3_000)), 60);
    let gone = [1_000, 3_000].map(|spent| at(spent) + DAY);
    assert_eq!(used(&it, gone[0] - Duration::from_millis(1)), 60);
    assert_eq!([used(&it, gone[0]), used(&it, gone[1])], [35, 0]);
}

#[test]
fn the_grant_of_the_attempt_that_ended_is_given_back_and_no_other() {
    let mut it = daily(100, 0);
    fill_with(&mut it, "a", Class::New, 0..1, cost(90, 0));
    fill_with(&mut it, "a", Class::New, 1..3, cost(5, 0));
    assert_eq!(it.start_all(START).len(), 3);
    it.end_of("a", id(1), &LaneVerdict::Healthy, cost(5, 0), START);
    it.end_of("a", id(7), &LaneVerdict::Healthy, cost(5, 0), START);
    assert_eq!(used(&it, START), 100, "nobody knows of a seventh");
}

#[test]
fn a_message_larger_than_the_whole_limit_goes_in_parts() {
    let mut it = daily(100, 10);
    fill_with(&mut it, "a", Class::New, 0..1, cost(250, 0));
    assert_eq!(it.poll_start(START).unwrap().grant.recipients, 90);
}

#[test]
fn a_large_message_does_not_go_in_crumbs_and_small_ones_do_not_pass_it() {
    let mut it = daily(1_000, 0);
    let spent = |amount, millisecond| Spend { budget: budget_name(DAILY), at: at(millisecond), amount };
    it.handle_ledger(&[spent(988, 0), spent(7, 5_000)], at(10_000));
    fill_with(&mut it, "a", Class::New, 0..1, cost(50, 0));
    fill_with(&mut it, "a", Class::Deferred, 1..9, cost(1, 0));
    assert_eq!(it.poll_start(at(10_000)), None, "5 are free, a hundredth is 10");
    let free_at = at(0) + DAY;
    assert_eq!(it.next_wakeup(at(10_000)), Some(free_at));
    assert_eq!(it.poll_start(free_at).unwrap().grant.recipients, 50);
}

#[test]
fn the_reserve_is_for_urgent_mail_which_passes_the_others() {
    let mut it = daily(10, 3);
    fill(&mut it, "a", Class::New, 0..20);
    assert_eq!(it.start_all(START).len(), 7);
    fill(&mut it, "a", Class::Urgent, 20..30);
    let passed: Vec<_> = it.start_all(START).iter().map(|start| start.id).collect();
    assert_eq!(passed, [20, 21, 22].map(id));
    let status = &it.status(START).budgets[0];
    assert_eq!((status.used, status.limit, status.reserve), (10, 10, 3));
}

#[test]
fn a_new_address_is_warmed_up_step_by_step_from_its_first_use_also_over_a_restart() {
    let warm_up = Some(WarmUp { step: DAY, limits: vec![2, 4] });
    let settings = BudgetSettings { warm_up, ..budget("a/messages a day", Counted::Messages, DAY, 10) };
    let plan = plan(vec![settings], vec![drawing_on(&["a/messages a day"], bare("a", 20))]);
    let mut it = Driver::new(100, plan.clone());
    fill(&mut it, "a", Class::New, 0..30);
    let limit = |it: &Driver, now| (it.status(now).budgets[0].limit, it.status(now).budgets[0].ceiling);
    assert_eq!(limit(&it, START + 9 * DAY), (2, 2), "it begins with the first use");
    let first = START + 9 * DAY;
    assert_eq!(it.start_all(first).len(), 2);
    it.end("a", &LaneVerdict::Healthy, true, first + HOUR);
    it.end("a", &LaneVerdict::Healthy, true, first + 2 * HOUR);
    let first = first + HOUR;
    assert_eq!(it.next_wakeup(first + HOUR), Some(first + DAY), "two more on the second day");
    let remembered = it.remembered();
    assert_eq!(remembered.keys().collect::<Vec<_>>(), ["scheduler/first-use/a/messages a day"]);
    let mut again = Driver::new(100, plan);
    remembered.iter().for_each(|(key, value)| again.handle_remembered(key, value, first + DAY));
    assert_eq!([0, 1, 2].map(|day| limit(&again, first + DAY + day * DAY).0), [4, 10, 10]);
    assert_eq!(again.poll_remember(), None);
}

fn with_external(limit: u64) -> Driver {
    let budgets = vec![budget(DAILY, Counted::Recipients, DAY, 1_000), budget(EXTERNAL, Counted::External, DAY, limit)];
    Driver::new(100, plan(budgets, vec![drawing_on(&[DAILY, EXTERNAL], bare("a", 10))]))
}

#[test]
fn when_external_recipients_are_used_up_internal_ones_go_on_and_the_others_make_room() {
    let mut it = with_external(5);
    fill_with(&mut it, "a", Class::New, 0..1, cost(4, 4));
    fill_with(&mut it, "a", Class::New, 1..2, cost(6, 3));
    fill_with(&mut it, "a", Class::New, 2..3, cost(2, 2));
    fill_with(&mut it, "a", Class::New, 3..4, cost(9, 1));
    fill_with(&mut it, "a", Class::New, 4..5, cost(1, 0));
    let mut started = Vec::new();
    while let Some(start) = it.poll_start(START) {
        let external = start.grant.external.min(9);
        started.push((start.id, start.grant.recipients, external));
        it.end_of("a", start.id, &LaneVerdict::Healthy, cost(1, external.min(4)), START);
    }
    assert_eq!(started, [(id(0), 4, 4), (id(1), 6, 1), (id(3), 9, 0), (id(4), 1, 9)]);
    let postponed = it.poll_postponed(START).unwrap();
    assert_eq!((postponed.id, postponed.until, &*postponed.budget.0), (id(2), START + DAY, EXTERNAL));
    assert_eq!(it.poll_postponed(START), None);
    assert_eq!(it.status(START).lanes[0].waiting, [0; 3]);
}

#[test]
fn postponed_mail_comes_back_when_there_is_room_for_each_and_not_all_at_once() {
    let mut it = with_external(10);
    let spent = |hour: u64| Spend { budget: budget_name(EXTERNAL), at: START + HOUR * hour as u32, amount: 2 };
    it.handle_ledger(&[0, 1, 2, 3, 4].map(spent), START + 5 * HOUR);
    fill_with(&mut it, "a", Class::New, 0..12, cost(1, 1));
    assert_eq!(it.poll_start(START + 5 * HOUR), None);
    assert_eq!(it.next_wakeup(START + 5 * HOUR), Some(START + 5 * HOUR));
    let postponed = std::iter::from_fn(|| it.poll_postponed(START + 5 * HOUR));
    let hours = postponed.map(|Postpone { until, .. }| until.duration_since(START).as_hours());
    assert_eq!(hours.collect::<Vec<_>>(), [24, 24, 25, 25, 26, 26, 27, 27, 28, 28, 48, 48]);
}

#[test]
fn a_sender_under_the_provider_s_domain_has_a_budget_of_its_own() {
    let budgets = vec![
        budget(EXTERNAL, Counted::External, DAY, 100),
        budget("lent", Counted::ExternalUnderProviderDomain, DAY, 3),
    ];
    let mut it = Driver::new(100, plan(budgets, vec![drawing_on(&[EXTERNAL, "lent"], bare("a", 10))]));
    let lent = Cost { external_under_provider_domain: 5, ..cost(5, 5) };
    fill_with(&mut it, "a", Class::New, 0..1, lent);
    fill_with(&mut it, "a", Class::New, 1..2, cost(5, 5));
    let grants: Vec<_> = it.start_all(START).iter().map(|start| start.grant.external).collect();
    assert_eq!(grants, [3, 5]);
    let used: Vec<_> = it.status(START).budgets.iter().map(|budget| budget.used).collect();
    assert_eq!(used, [8, 3]);
}

#[test]
fn a_pool_that_waits_for_a_shared_budget_goes_on_when_another_gives_something_back() {
    let lanes = ["a", "b"].map(|text| drawing_on(&["shared"], bare(text, 5)));
    let budgets = vec![budget("shared", Counted::Recipients, DAY, 10)];
    let mut it = Driver::new(100, plan(budgets, lanes.to_vec()));
    fill_with(&mut it, "a", Class::New, 0..1, cost(10, 0));
    assert_eq!(it.start_all(START).len(), 1);
    fill_with(&mut it, "b", Class::New, 1..2, cost(1, 0));
    assert_eq!((it.poll_start(START), it.next_wakeup(START)), (None, None));
    it.end_of("a", id(0), &LaneVerdict::Healthy, cost(4, 0), at(5));
    assert_eq!(it.next_wakeup(at(5)), Some(at(5)));
    assert_eq!(it.poll_start(at(5)).unwrap().lane, name("b"));
}

#[test]
fn a_clock_that_is_set_back_neither_frees_a_budget_nor_keeps_it_longer() {
    let mut it = daily(2, 0);
    fill(&mut it, "a", Class::New, 0..4);
    let late = START + 30 * HOUR;
    assert_eq!(it.start_all(late).len(), 2);
    it.end("a", &LaneVerdict::Healthy, true, late);
    it.end("a", &LaneVerdict::Healthy, true, late);
    assert_eq!(it.poll_start(START), None);
    assert_eq!(it.next_wakeup(START), Some(START + DAY));
    assert_eq!(it.start_all(START + DAY).len(), 2);
}

#[test]
fn a_message_is_one_of_a_budget_of_messages_however_many_transactions_others_may_take() {
    let mut it = scheduler(10, vec![lane("a", 1, Some(30)), lane("b", 1, None)]);
    fill(&mut it, "a", Class::New, 0..1);
    fill(&mut it, "b", Class::New, 1..2);
    let grants: Vec<_> = it.start_all(START).iter().map(|start| start.grant.messages).collect();
    assert_eq!(grants, [1, u32::MAX]);
    it.end_of("a", id(0), &LaneVerdict::Healthy, Cost { messages: 3, ..cost(1, 0) }, START);
    assert_eq!(used(&it, START), 3, "what was used counts, whatever was granted");
}

#[test]
fn a_message_that_needs_two_transactions_is_granted_both_where_there_is_room_and_else_one() {
    let mut it = scheduler(10, vec![lane("a", 5, Some(3))]);
    fill_with(&mut it, "a", Class::New, 0..3, Cost { messages: 2, ..cost(2, 0) });
    let grants: Vec<_> = it.start_all(START).iter().map(|start| start.grant.messages).collect();
    assert_eq!(grants, [2, 1]);
    assert_eq!(used(&it, START), 3, "both are reserved");
    it.end_of("a", id(0), &LaneVerdict::Healthy, Cost { messages: 1, ..cost(1, 0) }, at(5));
    assert_eq!(
        it.start_all(at(5)).first().map(|start| start.grant.messages),
        Some(1),
        "what was not used is given back"
    );
}
