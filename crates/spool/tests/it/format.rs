//! The stored format: a spool written by the first version must be read for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use queue::{Class, Filter, LaneName, Spool};
use spool::suite::{FixedClock, LANE, body_of, bounced, deferred, enqueue, handed_over, new_message, read};

use crate::promises::open;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// Writes `tests/fixtures/v1`: once, with the version that introduced the format.
#[tokio::test]
#[ignore = "makes the fixture; run it by name when there is a new format, in a new directory"]
async fn write_the_fixture() {
    let dir = fixture();
    std::fs::create_dir_all(&dir).unwrap();
    // The first two have rows, one of them after a restart; a third is settled; the others are in the segment only.
    let spool = open(dir.clone(), 1 << 20);
    let first = enqueue(&*spool, 2, 500).await;
    spool.record(deferred(handed_over(first, 1), FixedClock::START + SignedDuration::from_mins(5))).await.unwrap();
    let settled = enqueue(&*spool, 1, 300).await;
    spool.record(bounced(settled)).await.unwrap();
    spool.close().await.unwrap();
    drop(spool);
    // Without memory for bodies even a small one has its own file.
    let spool = open(dir.clone(), 0);
    let mut held = enqueue(&*spool, 1, 700).await;
    held.hold("no path for this sender".to_owned(), FixedClock::START);
    spool.record(held).await.unwrap();
    drop(spool);
    let spool = open(dir.clone(), 1 << 20);
    enqueue(&*spool, 3, 900).await;
    let writer = spool.body_writer(None).unwrap();
    let mut urgent = new_message(writer.id(), LANE, 1);
    urgent.urgent = true;
    spool.enqueue(urgent, writer.finish().await.unwrap()).await.unwrap();
    drop(spool);
    for name in ["reserve", "lock", "backup.lock"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_spool_of_format_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture(), dir.path());
    let spool: Arc<dyn Spool> = open(dir.path().to_owned(), 1 << 20);
    let messages = spool.list(&Filter::default(), None, 10).await.unwrap().messages;
    let sizes: Vec<_> = messages.iter().map(|message| message.size).collect();
    assert_eq!(sizes, [500, 700, 900, 0]);
    for message in &messages {
        assert_eq!(read(&*spool, message.id).await.unwrap(), body_of(usize::try_from(message.size).unwrap()));
    }
    assert_eq!(messages[1].hold.as_ref().unwrap().reason, "no path for this sender");
    let lane = LaneName(LANE.into());
    let due = spool.next_due(&lane, Class::Deferred).await.unwrap();
    assert_eq!(due, Some(FixedClock::START + SignedDuration::from_mins(5)));
    assert_eq!(spool.claim_due(&lane, Class::Urgent, FixedClock::START, 10).await.unwrap(), messages[3..]);
    let counters = spool.counters().await.unwrap();
    let found = (counters.accepted, counters.queued, counters.handed_over, counters.bounced, counters.messages);
    assert_eq!((found, counters.conserved(), counters.held), ((8, 6, 1, 1, 4), true, 1));
    assert_eq!(spool.history(&Filter::default(), None, 10).await.unwrap().messages.len(), 1);
    let recovery = spool.health().recovery;
    assert!(recovery[0].starts_with("2 accepted messages were taken over"), "{recovery:?}");
    drop(spool);
    let report = spool::tools::check(dir.path()).unwrap();
    assert!(report.is_sound() && report.format == 2, "{report}");
}
