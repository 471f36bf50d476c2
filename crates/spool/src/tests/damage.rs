//! What a start finds after damage, and what the tools make of it.

use std::os::unix::fs::FileExt;
use std::path::Path;

use queue::{Spool, SpoolError};

use super::{Rig, all_whole, put, queued, queued_ids};
use crate::suite::{self, FixedClock, deferred, enqueue, handed_over};
use crate::{OpenError, segment, store, tools};

fn garble(path: &Path, at: u64, octets: usize) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xA5; octets], at).unwrap();
}

fn append(path: &Path, octets: &[u8]) {
    let length = path.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(octets, length).unwrap();
}

/// A crash: the rows that had not been written are not. Gives the place of each message's body.
fn without_rows(rig: &Rig) {
    for name in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        let _ = std::fs::remove_file(rig.path().join(name));
    }
    drop(crate::tables::Tables::open(rig.path()).unwrap());
}

#[tokio::test]
async fn a_write_that_was_cut_off_is_named_and_is_no_damage() {
    let rig = Rig::new();
    let spool = rig.open();
    let kept = put(&spool, 1000).await;
    drop(spool);
    let path = segment::path(rig.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    append(&path, &whole[32..500]);
    let spool = rig.open();
    let recovery = spool.health().recovery;
    assert_eq!(queued_ids(&spool).await, [kept.id]);
    assert!(
        recovery.iter().any(|line| line.contains("the last 468 octets are a write that was cut off")),
        "{recovery:?}"
    );
    assert!(!recovery.iter().any(|line| line.contains("DAMAGE")), "{recovery:?}");
}

#[tokio::test]
async fn damage_before_a_later_write_is_named_as_damage_and_costs_only_the_record_hit() {
    let rig = Rig::new();
    let spool = rig.open();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(put(&spool, 1000).await.id);
    }
    spool.counters().await.unwrap();
    let at = spool.location(ids[1]).unwrap();
    drop(spool);
    without_rows(&rig);
    garble(&segment::path(rig.path(), 1), at.place.offset + 10, 8);
    let spool = rig.open();
    let recovery = spool.health().recovery;
    let expected = format!("DAMAGE: segment 1, offset {}: {} octets cannot be read", at.place.offset, at.octets);
    assert!(recovery.contains(&expected), "{recovery:?}");
    ids.remove(1);
    assert_eq!(queued_ids(&spool).await, ids);
    all_whole(&spool).await;
}

#[tokio::test]
async fn a_damaged_body_is_named_at_start_and_refused_when_read() {
    let rig = Rig::new();
    let spool = rig.open();
    let (small, large) = (put(&spool, 5000).await, put(&spool, 2 << 20).await);
    spool.counters().await.unwrap();
    let at = spool.location(small.id).unwrap();
    drop(spool);
    garble(&segment::path(rig.path(), 1), at.body_at + 100, 3);
    garble(&store::big_path(rig.path(), large.id), 1_000_000, 3);
    let spool = rig.open();
    let recovery = spool.health().recovery;
    assert!(
        recovery.iter().any(|line| line.contains("DAMAGE") && line.contains(&small.id.to_string())),
        "{recovery:?}"
    );
    let mut pieces = 0;
    let mut body = spool.body(large.id).await.unwrap();
    let damaged = loop {
        match body.next().await {
            Ok(Some(piece)) => pieces += piece.len(),
            Ok(None) => panic!("its end was given"),
            Err(error) => break error,
        }
    };
    assert!(matches!(damaged, SpoolError::Damaged { id, .. } if id == large.id) && pieces < 2 << 20);
    assert!(matches!(suite::read(&spool, small.id).await, Err(SpoolError::Damaged { .. })));
    drop(body);
    std::fs::remove_file(store::big_path(rig.path(), large.id)).unwrap();
    assert!(matches!(suite::read(&spool, large.id).await, Err(SpoolError::Damaged { .. })));
    let report = tools::check(rig.path()).unwrap();
    assert_eq!((report.problems.len(), report.running), (2, true), "{report}");
}

#[tokio::test]
async fn a_record_inside_a_mail_is_not_taken_for_one_of_ours() {
    let rig = Rig::new();
    let spool = rig.open();
    put(&spool, 100).await;
    drop(spool);
    let forged = std::fs::read(segment::path(rig.path(), 1)).unwrap()[32..].to_vec();
    let rig = Rig::new();
    let spool = rig.open();
    let first = suite::enqueue_body(&spool, 1, &forged).await.unwrap();
    let second = put(&spool, 10).await;
    let at = spool.location(first.id).unwrap();
    drop(spool);
    without_rows(&rig);
    garble(&segment::path(rig.path(), 1), at.place.offset, 4);
    let spool = rig.open();
    assert_eq!(queued_ids(&spool).await, [second.id]);
}

#[tokio::test]
async fn a_damaged_log_of_the_database_loses_no_mail() {
    let rig = Rig::new();
    let spool = rig.open();
    let mut ids = Vec::new();
    for number in 0..200 {
        let message = enqueue(&spool, 1, 500).await;
        ids.push(message.id);
        if number % 3 == 0 {
            spool.record(deferred(message, FixedClock::START)).await.unwrap();
        }
    }
    spool.counters().await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_spool(rig.path(), copy.path());
    drop(spool);
    let log = copy.path().join("spool.db-wal");
    garble(&log, log.metadata().unwrap().len() / 3, 512);
    let spool = super::open(copy.path(), rig.faults.clone());
    assert_eq!(queued_ids(&spool).await, ids);
    all_whole(&spool).await;
}

fn copy_spool(from: &Path, to: &Path) {
    copy_bodies(from, to);
    super::cut::copy_database(from, to);
}

pub(super) fn copy_bodies(from: &Path, to: &Path) {
    for dir in ["seg", "big"] {
        std::fs::create_dir_all(to.join(dir)).unwrap();
        for entry in std::fs::read_dir(from.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, to.join(dir).join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_missing_database_is_an_error_and_rescue_builds_it_anew() {
    let rig = Rig::new();
    let spool = rig.open();
    let (small, large) = (put(&spool, 500).await, put(&spool, 2 << 20).await);
    let mut refused = enqueue(&spool, 1, 10).await;
    rig.faults.fail(|point| point == crate::files::Point::SyncSegment, 1, std::io::ErrorKind::Other);
    assert!(suite::enqueue_body(&spool, 1, b"never accepted").await.is_err());
    super::accepting(&spool).await;
    refused.attempts = 1;
    spool.record(refused.clone()).await.unwrap();
    drop(spool);
    std::fs::remove_file(rig.path().join("spool.db")).unwrap();
    let settings = crate::Settings { dir: rig.path().to_owned(), reserve: 0, memory: 0, history: 1000 };
    let clock = std::sync::Arc::new(FixedClock::new());
    let opened = crate::Embedded::open(settings, clock, std::sync::Arc::default());
    assert!(matches!(opened, Err(OpenError::DatabaseMissing { .. })));
    let report = tools::rescue(rig.path()).unwrap();
    assert_eq!((report.needed, report.messages, report.losses.len()), (true, 3, 0), "{report}");
    let spool = rig.open();
    assert_eq!(queued_ids(&spool).await, [small.id, large.id, refused.id]);
    assert!(queued(&spool).await[0].story.iter().any(|event| event.what == queue::Happening::Rescued));
    all_whole(&spool).await;
    assert!(matches!(tools::rescue(rig.path()), Err(tools::ToolError::Open(OpenError::InUse { .. }))));
}

#[tokio::test]
async fn rescue_keeps_what_a_damaged_database_still_knows() {
    let rig = Rig::new();
    let spool = rig.open();
    let mut waits = Vec::new();
    for number in 0..300 {
        let message = enqueue(&spool, 1, 300).await;
        if number % 3 == 0 {
            let message = deferred(message, FixedClock::START);
            spool.record(message.clone()).await.unwrap();
            waits.push(message);
        } else {
            spool.record(handed_over(message, 1)).await.unwrap();
        }
    }
    spool.close().await.unwrap();
    drop(spool);
    assert!(!tools::rescue(rig.path()).unwrap().needed);
    let database = rig.path().join("spool.db");
    garble(&database, database.metadata().unwrap().len() / 2 / 4096 * 4096, 4096);
    assert!(!tools::check(rig.path()).unwrap().is_sound());
    let report = tools::rescue(rig.path()).unwrap();
    assert!(report.needed && report.losses.is_empty() && report.history > 100, "{report}");
    assert!(report.kept.as_ref().unwrap().exists());
    let spool = rig.open();
    let found = queued(&spool).await;
    assert!(waits.iter().all(|message| found.iter().any(|other| other.id == message.id)));
    all_whole(&spool).await;
    spool.close().await.unwrap();
    let report = tools::check(rig.path()).unwrap();
    assert!(report.is_sound(), "{report}");
}

#[tokio::test]
async fn a_format_of_the_future_and_a_foreign_database_are_refused_in_words() {
    let rig = Rig::new();
    drop(rig.open());
    let change =
        |sql: &str| rusqlite::Connection::open(rig.path().join("spool.db")).unwrap().execute_batch(sql).unwrap();
    let refusal = || {
        let settings = crate::Settings { dir: rig.path().to_owned(), reserve: 0, memory: 0, history: 1000 };
        let clock = std::sync::Arc::new(FixedClock::new());
        crate::Embedded::open(settings, clock, std::sync::Arc::default()).unwrap_err()
    };
    change("PRAGMA user_version=99");
    let newer = refusal();
    assert!(matches!(newer, OpenError::Newer { found: 99, known: 2, .. }), "{newer}");
    change("PRAGMA application_id=7");
    assert!(matches!(refusal(), OpenError::Foreign { .. }));
}

#[tokio::test]
async fn large_bodies_that_belong_to_nobody_are_removed_and_named() {
    let rig = Rig::new();
    let spool = rig.open();
    let kept = put(&spool, 2 << 20).await;
    drop(spool);
    let orphan = queue::MessageId::from_i64(kept.id.to_i64() + 1).unwrap();
    std::fs::write(store::big_path(rig.path(), orphan), b"x").unwrap();
    std::fs::write(store::big_dir(rig.path()).join("0123456789ABC.tmp"), b"x").unwrap();
    let spool = rig.open();
    assert_eq!(std::fs::read_dir(store::big_dir(rig.path())).unwrap().count(), 1);
    let recovery = spool.health().recovery;
    assert!(recovery.iter().filter(|line| line.contains("removed")).count() == 2, "{recovery:?}");
    all_whole(&spool).await;
}
