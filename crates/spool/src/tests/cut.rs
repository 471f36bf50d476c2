//! Power cuts: what had not been synced is cut off or garbled, what had been is there. Nothing acknowledged may be missing,
//! nothing settled may be back.
//!
//! The database is taken as it was at its last synced commit, the segments as they are when the power goes, with their
//! unsynced ends mangled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use queue::{Filter, MessageId, Spool};

use super::attempts::{last_byte, spent};
use super::faults::Faults;
use crate::files::Point;
use crate::suite::{self, FixedClock, deferred, handed_over};
use crate::sync::lock;
use crate::{Embedded, journal};

const ROUNDS: u64 = 12;
const TASKS: usize = 8;

/// What stable storage holds.
#[derive(Debug, Default)]
struct Durable {
    segments: BTreeMap<u64, u64>,
    off: bool,
}

/// What the world was told; it must hold.
#[derive(Clone, Debug, Default)]
struct Told {
    accepted: BTreeSet<MessageId>,
    settled: BTreeSet<MessageId>,
    /// Deferred, with an outcome that was recorded.
    deferred: BTreeSet<MessageId>,
    /// Synced in the journal, and perhaps recorded since.
    under_way: BTreeSet<MessageId>,
    /// Recipients, of what was recorded.
    spent: u64,
    refused: BTreeSet<MessageId>,
}

/// What the world has asked for; it may hold.
#[derive(Debug, Default)]
struct Asked {
    settling: BTreeSet<MessageId>,
    recording: BTreeSet<MessageId>,
    /// Recipients, of what was about to be recorded.
    spending: u64,
}

fn number(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_moment_loses_nothing_acknowledged_and_brings_nothing_settled_back() {
    for round in 0..ROUNDS {
        one_round(round).await;
    }
}

async fn one_round(round: u64) {
    let mut seed = round;
    let (dir, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let durable = Arc::new(Mutex::new(Durable::default()));
    let faults = Arc::new(Faults::default());
    let spool = Arc::new(super::open(dir.path(), faults.clone()));
    // What opening wrote was synced.
    copy_database(dir.path(), image.path());
    copy_journal(dir.path(), image.path());
    observe(&faults, &durable, dir.path().to_owned(), image.path().to_owned());
    if round % 3 == 2 {
        let times = 1 + usize::try_from(number(&mut seed, 2)).unwrap();
        faults.fail(|point| point == Point::SyncSegment, times, std::io::ErrorKind::Other);
    }
    let (told, asked) = (Arc::new(Mutex::new(Told::default())), Arc::new(Mutex::new(Asked::default())));
    let enough = usize::try_from(20 + number(&mut seed, 200)).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(load(spool.clone(), told.clone(), asked.clone(), seed ^ task as u64, enough)))
        .collect();
    while lock(&told).accepted.len() < enough && !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    // The power goes between the two: what the world had heard before, and what it had asked for until then.
    let told = lock(&told).clone();
    lock(&durable).off = true;
    let asked = std::mem::take(&mut *lock(&asked));
    cut(&lock(&durable), dir.path(), image.path(), &mut seed);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    for task in tasks {
        let _ = task.await;
    }
    drop(spool);
    verify(image.path(), &told, &asked, round).await;
}

fn observe(faults: &Faults, durable: &Arc<Mutex<Durable>>, dir: PathBuf, image: PathBuf) {
    let durable = Arc::clone(durable);
    faults.on(move |point| {
        let mut durable = lock(&durable);
        match point {
            Point::SyncedSegment { segment, end } if !durable.off => {
                durable.segments.insert(segment, end);
            }
            Point::Committed { synced: true } if !durable.off => {
                copy_database(&dir, &image);
            }
            Point::SyncedJournal if !durable.off => copy_journal(&dir, &image),
            _ => {}
        }
    });
}

pub(super) fn copy_database(dir: &Path, image: &Path) {
    for name in ["spool.db", "spool.db-wal"] {
        std::fs::copy(dir.join(name), image.join(name)).unwrap();
    }
}

fn copy_journal(dir: &Path, image: &Path) {
    std::fs::copy(journal::path(dir), journal::path(image)).unwrap();
}

/// Of what was not synced some is there, some is not, and some is mangled.
fn mangle_journal(dir: &Path, image: &Path, seed: &mut u64) {
    const SECTOR: usize = 512;
    let (now, path) = (std::fs::read(journal::path(dir)).unwrap(), journal::path(image));
    let mut durable = std::fs::read(&path).unwrap();
    durable.resize(now.len(), 0);
    for (durable, now) in durable.chunks_mut(SECTOR).zip(now.chunks(SECTOR)) {
        match number(seed, 4) {
            _ if durable == now => {}
            0 => durable.fill(0xA5),
            1 => durable.copy_from_slice(now),
            _ => {}
        }
    }
    std::fs::write(path, durable).unwrap();
}

async fn load(spool: Arc<Embedded>, told: Arc<Mutex<Told>>, asked: Arc<Mutex<Asked>>, mut seed: u64, enough: usize) {
    for _ in 0..enough {
        let size =
            if number(&mut seed, 30) == 0 { 1_100_000 } else { usize::try_from(number(&mut seed, 30_000)).unwrap() };
        let Ok(mut writer) = spool.body_writer(None) else {
            tokio::task::yield_now().await;
            continue;
        };
        let id = writer.id();
        writer.write(&suite::body_of(size)).await.unwrap();
        let Ok(body) = writer.finish().await else { continue };
        let Ok(message) = spool.enqueue(suite::new_message(id, suite::LANE, 2), body).await else {
            lock(&told).refused.insert(id);
            continue;
        };
        lock(&told).accepted.insert(id);
        if number(&mut seed, 2) == 0 {
            let synced = number(&mut seed, 2) == 0;
            if spool.journal(last_byte(&message), synced).await.is_ok() && synced {
                lock(&told).under_way.insert(id);
            }
        }
        let message = match number(&mut seed, 4) {
            0 => continue,
            1 => deferred(handed_over(message, 1), FixedClock::START),
            _ => handed_over(message, 2),
        };
        let settles = message.is_settled();
        {
            let mut asked = lock(&asked);
            if settles {
                asked.settling.insert(id);
            }
            asked.recording.insert(id);
            asked.spending += 2;
        }
        if spool.record_spending(message, spent(2)).await.is_ok() {
            let mut told = lock(&told);
            told.spent += 2;
            if settles {
                told.settled.insert(id)
            } else {
                told.deferred.insert(id)
            };
        }
    }
}

/// What the disk has when the power is back.
fn cut(durable: &Durable, dir: &Path, image: &Path, seed: &mut u64) {
    mangle_journal(dir, image, seed);
    for name in ["seg", "big"] {
        std::fs::create_dir_all(image.join(name)).unwrap();
        for entry in std::fs::read_dir(dir.join(name)).unwrap() {
            let path = entry.unwrap().path();
            // Some are being deleted right now, by a commit that the image already has.
            let Ok(mut octets) = std::fs::read(&path) else { continue };
            if name == "seg" {
                let segment: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
                let synced = usize::try_from(durable.segments.get(&segment).copied().unwrap_or(0)).unwrap();
                mangle(&mut octets, synced, seed);
            }
            std::fs::write(image.join(name).join(path.file_name().unwrap()), octets).unwrap();
        }
    }
}

fn mangle(octets: &mut Vec<u8>, synced: usize, seed: &mut u64) {
    let unsynced = octets.len().saturating_sub(synced) as u64;
    if unsynced == 0 {
        return;
    }
    octets.truncate(synced + usize::try_from(number(seed, unsynced + 1)).unwrap());
    for _ in 0..number(seed, 4) {
        let length = octets.len().saturating_sub(synced) as u64;
        if length > 0 {
            let at = synced + usize::try_from(number(seed, length)).unwrap();
            let end = (at + usize::try_from(number(seed, 5000)).unwrap()).min(octets.len());
            octets[at..end].fill(0);
        }
    }
}

async fn verify(image: &Path, told: &Told, asked: &Asked, round: u64) {
    let spool = super::open(image, Arc::default());
    let recovery = spool.health().recovery;
    assert!(!recovery.iter().any(|line| line.contains("DAMAGE")), "round {round}: {recovery:?}");
    let queued: BTreeSet<_> = super::queued_ids(&spool).await.into_iter().collect();
    let settled: BTreeSet<_> =
        spool.history(&Filter::default(), None, 1000).await.unwrap().messages.into_iter().map(|m| m.id).collect();
    for id in &told.accepted {
        assert!(queued.contains(id) || asked.settling.contains(id), "round {round}: {id} is lost");
        assert!(queued.contains(id) != settled.contains(id), "round {round}: {id} is neither or both");
    }
    for id in &told.settled {
        assert!(settled.contains(id), "round {round}: {id} is back");
    }
    for id in &told.refused {
        assert!(!queued.contains(id) && !settled.contains(id), "round {round}: {id} was refused and is here");
    }
    let interrupted: BTreeSet<_> = spool.interrupted().await.unwrap().into_iter().map(|entry| entry.id).collect();
    for id in told.under_way.difference(&asked.recording) {
        assert!(interrupted.contains(id), "round {round}: that {id} was under way is not known");
    }
    for id in told.settled.union(&told.deferred) {
        assert!(!interrupted.contains(id), "round {round}: {id} was recorded");
    }
    assert!(interrupted.is_subset(&queued), "round {round}");
    let ledger = spool.ledger(jiff::Timestamp::MIN).await.unwrap();
    for budget in spent(1).into_iter().map(|spend| spend.budget) {
        let of_it = ledger.iter().filter(|spend| spend.budget == budget);
        let sum: u64 = of_it.map(|spend| u64::from(spend.amount)).sum();
        assert!(
            (told.spent..=asked.spending).contains(&sum),
            "round {round}: {sum} of {} to {}",
            told.spent,
            asked.spending
        );
    }
    super::all_whole(&spool).await;
    spool.close().await.unwrap();
    let report = crate::tools::check(image).unwrap();
    assert!(report.is_sound(), "round {round}: {report}");
}
