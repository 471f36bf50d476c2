//! What a million waiting messages cost: `fill`, `reopen` and `drain`, each in a process of its own so that its memory can
//! be seen.
//!
//! `cargo run --release -p posthouse-spool --example backlog -- fill|reopen|drain <directory> [messages] [octets]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use posthouse_spool::suite::{FixedClock, LANE, body_of, handed_over, new_message};
use posthouse_spool::{Embedded, Settings};
use queue::{Class, LaneName, Spool};
use tokio::time::Instant;

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().replace('\t', " ");
    format!("{}, {}", line("VmRSS"), line("VmHWM"))
}

async fn fill(spool: Arc<dyn Spool>, messages: usize, octets: usize) {
    const TASKS: usize = 64;
    let body: Arc<[u8]> = body_of(octets).into();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (spool, body) = (Arc::clone(&spool), Arc::clone(&body));
            tokio::spawn(async move {
                for _ in 0..messages / TASKS {
                    let mut writer = spool.body_writer(Some(body.len() as u64)).unwrap();
                    let id = writer.id();
                    writer.write(&body).await.unwrap();
                    let body = writer.finish().await.unwrap();
                    spool.enqueue(new_message(id, LANE, 1), body).await.unwrap();
                    spool.release(id);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn drain(spool: Arc<dyn Spool>) {
    loop {
        let now = FixedClock::START + SignedDuration::from_hours(1);
        let messages = spool.claim_due(&LaneName(LANE.into()), Class::New, now, 512).await.unwrap();
        if messages.is_empty() {
            return;
        }
        let records: Vec<_> = messages
            .into_iter()
            .map(|message| {
                let spool = Arc::clone(&spool);
                tokio::spawn(async move { spool.record(handed_over(message, 1)).await.unwrap() })
            })
            .collect();
        for record in records {
            record.await.unwrap();
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let dir = PathBuf::from(arguments.get(1).unwrap());
    let (messages, octets) = (number(2, 1_000_000), number(3, 4096));
    let begun = Instant::now();
    let settings = Settings { dir, reserve: 64 << 20, memory: 64 << 20, history: 100_000 };
    let spool: Arc<dyn Spool> =
        Arc::new(Embedded::open(settings, Arc::new(FixedClock::new()), Arc::default()).unwrap());
    println!("open after {:.3} s; {}", begun.elapsed().as_secs_f64(), resident());
    let now = FixedClock::START + SignedDuration::from_hours(1);
    match arguments.first().unwrap().as_str() {
        "fill" => fill(Arc::clone(&spool), messages, octets).await,
        "drain" => drain(Arc::clone(&spool)).await,
        _ => {
            let first = spool.claim_due(&LaneName(LANE.into()), Class::New, now, 1000).await.unwrap();
            println!("the first {} that are due after {:.3} s", first.len(), begun.elapsed().as_secs_f64());
        }
    }
    println!("done after {:.1} s; {}", begun.elapsed().as_secs_f64(), resident());
    let asked = Instant::now();
    println!("{:?} in {:.3} s", spool.counters().await.unwrap(), asked.elapsed().as_secs_f64());
    let asked = Instant::now();
    println!("{:?} in {:.3} s", spool.lanes().await.unwrap(), asked.elapsed().as_secs_f64());
    println!("{} MB on disk; {}", spool.health().used_bytes >> 20, resident());
    if arguments.first().unwrap() == "drain" {
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        println!("{} MB on disk 10 s later", spool.health().used_bytes >> 20);
        let pruned = spool.prune_history(now).await.unwrap();
        println!("{pruned} rows of history pruned; {} MB on disk", spool.health().used_bytes >> 20);
        for seconds in [10, 60] {
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            println!("{} MB on disk {seconds} s later; {}", spool.health().used_bytes >> 20, resident());
        }
    }
    // No `close`: the next start has to recover.
}
