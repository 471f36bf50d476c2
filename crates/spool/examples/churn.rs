//! How fast mail goes through the spool: so many callers at once, each accepts a message, reads it back and records it as
//! handed over, with so many entries in the ledger, and one in the journal if that is wanted.
//!
//! `cargo run --release -p posthouse-spool --example churn -- [callers] [messages] [octets] [spends] [journal: 0, 1] [directory]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use nix::sys::resource::{UsageWho, getrusage};
use posthouse_spool::suite::{FixedClock, body_of, handed_over, new_message};
use posthouse_spool::{Embedded, Settings, suite};
use queue::{BudgetName, LastByte, Spend, Spool};
use tokio::time::Instant;

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()]
        .into_iter()
        .map(|time| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs()))
        .sum()
}

/// What each attempt leaves besides its outcome.
#[derive(Clone, Copy)]
struct Attempt {
    spends: usize,
    journal: bool,
    begun: Instant,
}

impl Attempt {
    fn spent(&self) -> Vec<Spend> {
        let milliseconds = i64::try_from(self.begun.elapsed().as_millis()).unwrap();
        let at = FixedClock::START + SignedDuration::from_millis(milliseconds);
        let budget = |number| BudgetName(format!("contoso/relay@contoso.com/budget {number}").into());
        (0..self.spends).map(|number| Spend { budget: budget(number), at, amount: 1 }).collect()
    }
}

async fn one(spool: &dyn Spool, body: &[u8], attempt: Attempt) -> Duration {
    let mut writer = spool.body_writer(Some(body.len() as u64)).unwrap();
    let id = writer.id();
    writer.write(body).await.unwrap();
    let body = writer.finish().await.unwrap();
    let begun = Instant::now();
    let message = spool.enqueue(new_message(id, suite::LANE, 1), body).await.unwrap();
    let acked = begun.elapsed();
    let mut reader = spool.body(id).await.unwrap();
    while reader.next().await.unwrap().is_some() {}
    if attempt.journal {
        let entry = LastByte { id, lane: message.lane.clone(), at: FixedClock::START, recipients: vec![0] };
        spool.journal(entry, false).await.unwrap();
    }
    spool.record_spending(handed_over(message, 1), attempt.spent()).await.unwrap();
    acked
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (callers, messages, octets) = (number(0, 64), number(1, 60_000), number(2, 10_240));
    let temporary = tempfile::tempdir().unwrap();
    let dir = arguments.get(5).map_or_else(|| temporary.path().join("spool"), PathBuf::from);
    let settings = Settings { dir: dir.clone(), reserve: 64 << 20, memory: 64 << 20, history: 100_000 };
    let spool: Arc<dyn Spool> =
        Arc::new(Embedded::open(settings, Arc::new(FixedClock::new()), Arc::default()).unwrap());
    let body: Arc<[u8]> = body_of(octets).into();
    let attempt = Attempt { spends: number(3, 0), journal: number(4, 0) > 0, begun: Instant::now() };
    let (begun, cpu_before) = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (spool, body) = (Arc::clone(&spool), Arc::clone(&body));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                for _ in 0..messages / callers {
                    latencies.push(one(&*spool, &body, attempt).await);
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let (took, used) = (begun.elapsed(), cpu() - cpu_before);
    latencies.sort_unstable();
    let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).unwrap();
    let count = latencies.len() as f64;
    let health = spool.health();
    println!(
        "{callers} callers, {count} messages of {octets} octets, {} spends, journal {}: {:.0} a second, {:.1} us CPU each, p50 {:.2} ms, p99 {:.2} ms, \
         {} octets on disk",
        attempt.spends,
        attempt.journal,
        count / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / count,
        at(0.5).as_secs_f64() * 1e3,
        at(0.99).as_secs_f64() * 1e3,
        health.used_bytes,
    );
    assert!(spool.counters().await.unwrap().conserved());
    spool.close().await.unwrap();
}
