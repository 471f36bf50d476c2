//! kill -9 at random moments under load: every acknowledged message arrives; duplicates are counted.
//!
//! A few rounds in CI; `POSTHOUSE_CRASH_ROUNDS=50` is the nightly form.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::sink::Sink;
use crate::harness::smtp::Session;
use crate::harness::{Relay, smart_host};

const SENDERS: usize = 8;
/// Attempts at once at a smart host: what a kill can catch between the next hop's 250 and its record.
const CONNECTIONS: usize = 20;

#[test]
fn nothing_acknowledged_is_lost_however_often_the_relay_is_killed() {
    let rounds = rounds();
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..rounds {
        let relay = Relay::start(&config);
        let stop = Arc::new(AtomicBool::new(false));
        let senders = load(&relay, round, &stop, &acknowledged);
        std::thread::sleep(Duration::from_millis(moment(round)));
        relay.kill();
        stop.store(true, Ordering::SeqCst);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
    let relay = Relay::start(&config);
    let counters = relay.drained();
    assert_eq!(counters["conserved"], true, "{counters}");

    let mut arrived: HashMap<String, usize> = HashMap::new();
    for taken in sink.taken() {
        *arrived.entry(taken.subject().to_owned()).or_default() += 1;
    }
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|subject| !arrived.contains_key(*subject)).collect();
    let duplicates: usize = arrived.values().map(|count| count - 1).sum();
    println!("{rounds} kills, {} acknowledged, {} lost, {duplicates} duplicates", acknowledged.len(), lost.len());
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() >= rounds, "the load came through");
    // More would mean that outcomes are recorded too late: in flight at a kill are the connections and one group of records.
    assert!(duplicates <= rounds * CONNECTIONS * 4, "{duplicates} duplicates in {rounds} rounds");
}

#[expect(clippy::disallowed_methods, reason = "the nightly form asks for more rounds")]
fn rounds() -> usize {
    std::env::var("POSTHOUSE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4)
}

/// Between 30 and 900 ms, another one each round.
fn moment(round: usize) -> u64 {
    30 + (round as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % 870
}

fn load(
    relay: &Relay,
    round: usize,
    stop: &Arc<AtomicBool>,
    acknowledged: &Arc<Mutex<Vec<String>>>,
) -> Vec<std::thread::JoinHandle<()>> {
    let next = Arc::new(AtomicUsize::new(0));
    let address = relay.address(0);
    (0..SENDERS)
        .map(|_| {
            let (stop, acknowledged, next) = (Arc::clone(stop), Arc::clone(acknowledged), Arc::clone(&next));
            std::thread::spawn(move || {
                let _ = std::panic::catch_unwind(|| {
                    let mut session = Session::open(address);
                    while !stop.load(Ordering::SeqCst) {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        let subject = format!("round {round} message {n}");
                        let content = format!("Subject: {subject}\r\n\r\n{}", "x".repeat(n * 37 % 9_000));
                        if !session.mail("a@contoso.test", &["b@example.test"], &content).starts_with("250 ") {
                            return;
                        }
                        acknowledged.lock().unwrap().push(subject);
                    }
                });
            })
        })
        .collect()
}
