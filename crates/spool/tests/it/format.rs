//! The stored format: a spool written by any version must be read for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use queue::{BudgetName, Class, Filter, LaneName, LastByte, Message, Spend, Spool};
use spool::suite::{FixedClock, LANE, body_of, bounced, deferred, enqueue, handed_over, new_message, read};

use crate::promises::open;

/// Format of this version.
const NEWEST: i64 = 2;

fn fixture(format: i64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{format}"))
}

fn spent() -> Spend {
    let at = FixedClock::START + SignedDuration::from_millis(1500);
    Spend { budget: BudgetName("contoso/relay@contoso.com/recipients a day".into()), at, amount: 3 }
}

fn last_byte(message: &Message) -> LastByte {
    LastByte { id: message.id, lane: LaneName(LANE.into()), at: FixedClock::START, recipients: vec![0, 2] }
}

/// Writes the fixture of the newest format: once, with the version that introduces it.
#[tokio::test]
#[ignore = "makes the fixture; run it by name when there is a new format, in a new directory"]
async fn write_the_fixture() {
    let dir = fixture(NEWEST);
    assert!(!dir.exists(), "a fixture is for ever");
    std::fs::create_dir_all(&dir).unwrap();
    // The first two have rows, one of them after a restart; a third is settled; the others are in the segment only.
    let spool = open(dir.clone(), 1 << 20);
    let first = enqueue(&*spool, 2, 500).await;
    spool.journal(last_byte(&first), false).await.unwrap();
    let first = deferred(handed_over(first, 1), FixedClock::START + SignedDuration::from_mins(5));
    spool.record_spending(first, vec![spent()]).await.unwrap();
    let settled = enqueue(&*spool, 1, 300).await;
    spool.record(bounced(settled)).await.unwrap();
    spool.remember("limit/contoso", Some("12")).await.unwrap();
    spool.close().await.unwrap();
    drop(spool);
    // Without memory for bodies even a small one has its own file.
    let spool = open(dir.clone(), 0);
    let mut held = enqueue(&*spool, 1, 700).await;
    held.hold("no path for this sender".to_owned(), FixedClock::START);
    spool.record(held).await.unwrap();
    drop(spool);
    let spool = open(dir.clone(), 1 << 20);
    let under_way = enqueue(&*spool, 3, 900).await;
    let writer = spool.body_writer(None).unwrap();
    let mut urgent = new_message(writer.id(), LANE, 1);
    urgent.urgent = true;
    let urgent = spool.enqueue(urgent, writer.finish().await.unwrap()).await.unwrap();
    spool.journal(last_byte(&urgent), false).await.unwrap();
    spool.release(urgent.id);
    spool.journal(last_byte(&under_way), false).await.unwrap();
    drop(spool);
    for name in ["reserve", "lock", "backup.lock"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    // The blocks that are kept for it are empty.
    let journal = std::fs::OpenOptions::new().write(true).open(dir.join("attempts.journal")).unwrap();
    journal.set_len(2 * 4096).unwrap();
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

/// What the fixtures of all formats have.
async fn is_read(format: i64) -> (tempfile::TempDir, Arc<dyn Spool>, Vec<Message>) {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture(format), dir.path());
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
    (dir, spool, messages)
}

/// Ledger and journal work in it, and it is sound.
async fn is_of_the_newest_format(dir: &Path, spool: Arc<dyn Spool>, message: &Message) {
    let message = spool.claim(message.id).await.unwrap();
    spool.journal(last_byte(&message), true).await.unwrap();
    let before = spool.ledger(Timestamp::MIN).await.unwrap().len();
    spool.record_spending(handed_over(message, 3), vec![Spend { amount: 1, ..spent() }]).await.unwrap();
    spool.remember("limit/contoso", None).await.unwrap();
    drop(spool);
    let spool = open(dir.to_owned(), 1 << 20);
    assert_eq!(spool.interrupted().await.unwrap(), []);
    let ledger = spool.ledger(Timestamp::MIN).await.unwrap();
    assert_eq!((ledger.len(), ledger[0].amount), (1, if before == 0 { 1 } else { 4 }));
    assert_eq!(spool.remembered("").await.unwrap(), []);
    drop(spool);
    let report = spool::tools::check(dir).unwrap();
    assert!(report.is_sound() && report.format == NEWEST, "{report}");
}

#[tokio::test]
async fn a_spool_of_format_1_is_read_and_becomes_one_of_the_newest() {
    let (dir, spool, messages) = is_read(1).await;
    assert_eq!(spool.ledger(Timestamp::MIN).await.unwrap(), []);
    assert_eq!(spool.interrupted().await.unwrap(), []);
    is_of_the_newest_format(dir.path(), spool, &messages[2]).await;
}

#[tokio::test]
async fn a_spool_of_format_1_is_checked_and_backed_up_before_it_becomes_a_newer_one() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(&fixture(1), dir.path());
    let report = spool::tools::check(dir.path()).unwrap();
    assert!(report.is_sound() && report.format == 1 && report.waiting == 2, "{report}");
    spool::tools::backup(dir.path(), to.path()).unwrap();
    assert!(spool::tools::check(to.path()).unwrap().is_sound());
}

#[tokio::test]
async fn a_spool_of_format_2_is_read() {
    let (dir, spool, messages) = is_read(2).await;
    assert_eq!(spool.ledger(Timestamp::MIN).await.unwrap(), [spent()]);
    assert_eq!(spool.interrupted().await.unwrap(), [last_byte(&messages[2])]);
    assert_eq!(spool.remembered("limit/").await.unwrap(), [("limit/contoso".to_owned(), "12".to_owned())]);
    is_of_the_newest_format(dir.path(), spool, &messages[2]).await;
}
