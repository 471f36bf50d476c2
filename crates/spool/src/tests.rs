//! The spool with faults: what fails, when, and what must hold afterwards.

mod attempts;
mod cut;
mod damage;
mod failures;
mod faults;
mod full;
mod segments;

use std::path::Path;
use std::sync::Arc;

use queue::{Class, LaneName, Message, MessageId, Spool, SpoolState};
use telemetry::Metrics;

use crate::suite::{self, FixedClock, LANE};
use crate::{Embedded, Settings};
use faults::Faults;

/// A directory, and a say in what goes wrong in it.
struct Rig {
    dir: tempfile::TempDir,
    faults: Arc<Faults>,
}

impl Rig {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), faults: Arc::new(Faults::default()) }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Embedded {
        open(self.path(), Arc::clone(&self.faults))
    }
}

fn open(dir: &Path, faults: Arc<Faults>) -> Embedded {
    let settings = Settings { dir: dir.to_owned(), reserve: 1 << 20, memory: 4 << 20, history: 1000 };
    Embedded::open_with(settings, Arc::new(FixedClock::new()), Arc::new(Metrics::default()), faults).unwrap()
}

/// Everything queued, oldest first.
async fn queued(spool: &Embedded) -> Vec<Message> {
    spool.list(&queue::Filter::default(), None, 1000).await.unwrap().messages
}

async fn queued_ids(spool: &Embedded) -> Vec<MessageId> {
    queued(spool).await.into_iter().map(|message| message.id).collect()
}

/// All queued messages can be claimed and their bodies are what was put in.
async fn all_whole(spool: &Embedded) {
    for message in queued(spool).await {
        let body = suite::read(spool, message.id).await.unwrap();
        assert!(body == suite::body_of(usize::try_from(message.size).unwrap()), "{}", message.id);
    }
    assert!(spool.counters().await.unwrap().conserved());
}

/// Waits until it takes mail again.
async fn accepting(spool: &Embedded) {
    while spool.health().state != SpoolState::Accepting {
        let _ = spool.next_due(&LaneName(LANE.into()), Class::New).await;
        tokio::task::yield_now().await;
    }
}

/// Accepts a message and gives its lease back.
async fn put(spool: &Embedded, size: usize) -> Message {
    let message = suite::enqueue(spool, 1, size).await;
    spool.release(message.id);
    message
}

/// Starts something without waiting for its end.
async fn polled_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! { biased; done = future => Some(done), () = std::future::ready(()) => None }
}
