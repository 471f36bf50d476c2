//! The book in virtual time: every rule of what is told, and how often.

use jiff::SignedDuration;

use super::*;
use crate::notice::State;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn incident(about: &str) -> Incident {
    Incident {
        kind: IncidentKind::Breaker,
        about: about.to_owned(),
        severity: Severity::Warning,
        what: "it is broken".to_owned(),
        remedy: "mend it".to_owned(),
        code: None,
        lanes: Vec::new(),
    }
}

fn of_kind(kind: IncidentKind) -> Incident {
    Incident { kind, ..incident("a") }
}

/// What the channels get, by state.
fn told(said: &[Said]) -> Vec<State> {
    said.iter().filter(|said| said.told).map(|said| said.notice.state).collect()
}

/// The book after a restart at that second: what was stored, read back.
fn restarted(book: &mut Book, second: i64) -> Book {
    let stored = book.take_changes().into_iter().filter_map(|(_, entry)| entry);
    let stored = stored.map(|entry| serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap());
    let mut after = Book::default();
    after.recall(stored.collect(), at(second));
    after
}

#[test]
fn an_incident_is_told_once_when_it_opens_and_once_when_it_is_over() {
    let mut book = Book::default();
    assert_eq!(told(&book.open(incident("a"), 0, at(0))), [State::Open]);
    for second in 1..100 {
        assert_eq!(book.open(incident("a"), 0, at(second)), []);
    }
    let said = book.close(IncidentKind::Breaker, "a", "mended", at(720));
    assert_eq!(told(&said), [State::Closed]);
    assert_eq!(said[0].notice.headline(), "OVER after 12 min: it is broken (mended)");
    assert_eq!(book.close(IncidentKind::Breaker, "a", "", at(721)), []);
    assert_eq!(book.close(IncidentKind::Breaker, "never", "", at(721)), []);
}

#[test]
fn other_words_replace_the_old_ones_and_are_not_told() {
    let mut book = Book::default();
    book.open(incident("a"), 0, at(0));
    book.take_changes();
    assert_eq!(book.open(incident("a"), 0, at(1)), []);
    assert!(!book.is_changed());
    let other = Incident { what: "it is quite broken".to_owned(), ..incident("a") };
    assert_eq!(book.open(other, 0, at(2)), []);
    assert!(book.is_changed());
    let open = book.open_incidents();
    assert_eq!((open[0].what.as_str(), open[0].since), ("it is quite broken", at(0)));
}

#[test]
fn a_rise_is_told_once_and_a_fall_not_at_all() {
    let mut book = Book::default();
    let critical = || Incident { severity: Severity::Critical, ..incident("a") };
    book.open(incident("a"), 0, at(0));
    let said = book.open(critical(), 0, at(1));
    assert_eq!((told(&said), said[0].notice.severity), (vec![State::Open], Severity::Critical));
    assert_eq!(said[0].notice.since, at(0));
    assert_eq!(book.open(incident("a"), 0, at(2)), []);
    assert_eq!(book.open_incidents()[0].severity, "warning");
    assert_eq!(book.open(critical(), 0, at(3)), []);
    // Whoever hears only of critical ones heard of it, and hears that it is over.
    assert_eq!(book.close(IncidentKind::Breaker, "a", "", at(4))[0].notice.severity, Severity::Critical);
}

#[test]
fn each_higher_stage_is_told_once() {
    let mut book = Book::default();
    let stages = [1, 1, 2, 1, 2, 5, 4];
    let told: Vec<usize> = stages.iter().map(|stage| book.open(incident("a"), *stage, at(0)).len()).collect();
    assert_eq!(told, [1, 0, 1, 0, 0, 1, 0]);
    let mut book = restarted(&mut book, 10);
    assert_eq!(book.open(incident("a"), 5, at(11)), []);
    assert_eq!(book.open(incident("a"), 6, at(12)).len(), 1);
}

#[test]
fn what_comes_back_soon_is_told_again() {
    let mut book = Book::default();
    book.open(incident("a"), 0, at(0));
    book.close(IncidentKind::Breaker, "a", "", at(10));
    let said = book.open(incident("a"), 0, at(20));
    assert_eq!((told(&said), said[0].notice.since), (vec![State::Open], at(20)));
}

/// Opens and closes every ten seconds, for so many changes; what is told.
fn flap(book: &mut Book, changes: i64) -> Vec<Said> {
    let change = |change| match change % 2 {
        0 => book.open(incident("a"), 0, at(change * 10)),
        _ => book.close(IncidentKind::Breaker, "a", "", at(change * 10)),
    };
    (0..changes).flat_map(change).filter(|said| said.told).collect()
}

#[test]
fn what_flaps_is_told_six_times_then_that_it_flaps_then_how_it_ended() {
    let mut book = Book::default();
    let said = flap(&mut book, 300);
    assert_eq!(said.len(), 7);
    assert_eq!(said[6].notice.state, State::Flapping);
    assert!(said[6].notice.headline().contains("7 times within an hour; it is open now"), "{:?}", said[6]);
    // The last change was an end, at second 2990.
    let stable = 2990 + 30 * MINUTE;
    assert_eq!(book.next_tick(), Some(at(stable)));
    assert_eq!(book.tick(at(stable - 1)), []);
    assert_eq!(told(&book.tick(at(stable))), [State::Closed]);
    assert_eq!(told(&book.open(incident("a"), 0, at(stable + 1))), [State::Open]);
}

#[test]
fn what_flaps_and_stays_open_is_told_as_open() {
    let mut book = Book::default();
    flap(&mut book, 9);
    let stable = 80 + 30 * MINUTE;
    assert_eq!(book.open(incident("a"), 0, at(stable - 1)), []);
    assert_eq!(told(&book.tick(at(stable))), [State::Open]);
    assert_eq!(book.next_tick(), None);
}

#[test]
fn the_silence_of_a_flapping_incident_survives_a_restart_and_ends_for_a_worse_one() {
    let mut book = Book::default();
    flap(&mut book, 9);
    let mut book = restarted(&mut book, 100);
    assert_eq!(told(&book.close(IncidentKind::Breaker, "a", "", at(110))), []);
    let critical = || Incident { severity: Severity::Critical, ..incident("a") };
    assert_eq!(told(&book.open(critical(), 0, at(120))), [State::Open]);
    assert_eq!(told(&book.close(IncidentKind::Breaker, "a", "", at(130))), []);
    assert_eq!(told(&book.open(critical(), 0, at(140))), []);
}

#[test]
fn every_change_of_a_flapping_incident_is_said_to_the_log() {
    let mut book = Book::default();
    flap(&mut book, 20);
    assert_eq!(book.open(incident("a"), 0, at(200)).len(), 1);
}

#[test]
fn slow_changes_never_count_as_flapping() {
    let mut book = Book::default();
    for change in 0..50 {
        assert_eq!(told(&book.open(incident("a"), 0, at(change * HOUR))), [State::Open]);
        assert_eq!(told(&book.close(IncidentKind::Breaker, "a", "", at(change * HOUR + 1800))), [State::Closed]);
    }
}

#[test]
fn what_is_found_again_after_a_restart_is_not_told_again() {
    let mut book = Book::default();
    book.open(incident("a"), 0, at(0));
    let mut book = restarted(&mut book, 100);
    assert_eq!(book.open_incidents()[0].since, at(0));
    assert_eq!(book.open(incident("a"), 0, at(130)), []);
    assert_eq!(book.next_tick(), None);
    let said = book.close(IncidentKind::Breaker, "a", "", at(7200));
    assert_eq!(said[0].notice.lasted(), SignedDuration::from_hours(2));
}

#[test]
fn what_is_looked_for_and_not_found_again_is_over_and_what_only_an_event_finds_is_not() {
    use IncidentKind as Kind;
    let looked_for = [Kind::QueueAge, Kind::QueueLength, Kind::Budget, Kind::Bounces, Kind::Disk, Kind::Conservation];
    for kind in Kind::ALL {
        let mut book = Book::default();
        book.open(of_kind(kind), 0, at(0));
        let mut book = restarted(&mut book, 1000);
        assert_eq!(book.tick(at(1089)), [], "{kind}");
        let said = book.tick(at(1090));
        assert_eq!(said.len(), usize::from(looked_for.contains(&kind)), "{kind}");
        assert_eq!(book.tick(at(1000 + 24 * HOUR)).len(), 1 - said.len(), "{kind}");
        assert_eq!(book.open_incidents(), [], "{kind}");
    }
}

#[test]
fn a_restart_every_hour_does_not_keep_an_incident_alive_that_nobody_finds() {
    let mut book = Book::default();
    book.open(of_kind(IncidentKind::Fault), 0, at(0));
    for hour in 1..=24 {
        book = restarted(&mut book, hour * HOUR);
        assert_eq!(book.tick(at(hour * HOUR + 1)), []);
    }
    assert_eq!(book.tick(at(25 * HOUR)).len(), 1);
}

#[test]
fn what_is_over_and_does_not_flap_is_forgotten_after_an_hour() {
    let mut book = Book::default();
    book.open(incident("a"), 0, at(0));
    book.close(IncidentKind::Breaker, "a", "", at(10));
    book.take_changes();
    assert_eq!(book.next_tick(), Some(at(10 + HOUR)));
    assert_eq!(book.tick(at(10 + HOUR)), []);
    assert_eq!(book.take_changes(), [((IncidentKind::Breaker, "a".to_owned()), None)]);
    assert_eq!(book.next_tick(), None);
}

#[test]
fn ten_thousand_openings_are_a_thousand_incidents_and_one_that_says_so() {
    let mut book = Book::default();
    let open = |book: &mut Book, number: usize| book.open(incident(&number.to_string()), 0, at(0)).len();
    let said: usize = (0..10_000).map(|number| open(&mut book, number)).sum();
    assert_eq!((said, book.open_incidents().len(), book.entries.len()), (1001, 1001, 1001));
    assert!(book.open_incidents().iter().any(|open| open.what.starts_with("more than 1000 incidents")));
    let close =
        |book: &mut Book, number: usize| book.close(IncidentKind::Breaker, &number.to_string(), "", at(1)).len();
    let said: usize = (0..1000).map(|number| close(&mut book, number)).sum();
    assert_eq!((said, book.open_incidents().len()), (1001, 0));
    assert_eq!(open(&mut book, 5000), 1);
}

#[test]
fn ten_thousand_that_come_and_go_are_not_all_remembered() {
    let mut book = Book::default();
    for number in 0..10_000 {
        book.open(incident(&number.to_string()), 0, at(number));
        book.close(IncidentKind::Breaker, &number.to_string(), "", at(number));
    }
    assert!(book.entries.len() <= MOST_KEPT, "{}", book.entries.len());
    // The last ones are still known.
    book.open(incident("9999"), 0, at(10_000));
    assert_eq!(book.open, 1);
}

#[test]
fn every_text_is_bounded() {
    let long = "x\n".repeat(5000);
    let incident = Incident {
        about: long.clone(),
        what: long.clone(),
        remedy: long.clone(),
        code: Some(long.clone()),
        lanes: vec![long.clone(); 500],
        ..incident("")
    };
    let mut book = Book::default();
    let notice = book.open(incident, 0, at(0)).remove(0).notice;
    assert!(serde_json::to_string(&notice).unwrap().len() < 15_000);
    assert!(!notice.what.contains('\n'));
    assert_eq!(book.close(IncidentKind::Breaker, &long, &long, at(1)).len(), 1);
}
