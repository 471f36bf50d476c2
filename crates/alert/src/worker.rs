//! The worker: recalls what was before the restart, runs the channels, stores what changes, and looks at the clock.
//!
//! What is owed is stored before what is open: a crash in between makes a second notice, never none.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::deliver::deliver;
use crate::desk::{Changes, Shared};
use crate::entry::Entry;
use crate::waiting::Waiting;
use crate::{Memory, Post};

const OPEN: &str = "alert/open/";
const OWED: &str = "alert/owed/";
/// Words that change without a notice, and what could not be stored, are stored this much later.
const LATER: Duration = Duration::from_secs(30);

/// Until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, memory: Arc<dyn Memory>, post: Arc<dyn Post>, stop: CancellationToken) {
    // Set once: a second worker of the same desk changes nothing.
    let _ = shared.post.set(post);
    recall(&shared, &*memory).await;
    let mut channels = JoinSet::new();
    for index in 0..shared.lines.len() {
        channels.spawn(deliver(Arc::clone(&shared), index, stop.clone()));
    }
    let mut stored = true;
    while !stop.is_cancelled() {
        stored = store(&shared, &*memory, stored).await;
        let wait = wait(&shared);
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.changed.notified(), if stored => {}
            () = sleep(wait) => {}
        }
        shared.tick();
    }
    while let Some(ended) = channels.join_next().await {
        if ended.is_err() {
            error!("an alert channel has failed; what it owes is told after the next start");
        }
    }
    store(&shared, &*memory, stored).await;
}

/// Until the next look at the clock.
fn wait(shared: &Shared) -> Duration {
    let due = shared.next_tick().map(|due| due.duration_since((shared.now)()));
    let due = due.map(|due| Duration::try_from(due).unwrap_or_default());
    let later = shared.is_changed().then_some(LATER);
    // A wall clock may jump: it is looked at now and then.
    let soonest = due.into_iter().chain(later).min().unwrap_or(LATER * 10);
    soonest.clamp(Duration::from_millis(100), LATER * 10)
}

async fn recall(shared: &Shared, memory: &dyn Memory) {
    let (mut entries, mut owed) = (Vec::new(), Vec::new());
    for (key, value) in remembered(memory, OPEN).await {
        match serde_json::from_str::<Entry>(&value) {
            Ok(entry) => entries.push(entry),
            Err(error) => forget(memory, &key, &error.to_string()).await,
        }
    }
    for (key, value) in remembered(memory, OWED).await {
        let channel = key.strip_prefix(OWED).unwrap_or_default();
        let index = shared.lines.iter().position(|line| line.name == channel);
        match (index, serde_json::from_str::<Waiting>(&value)) {
            (Some(index), Ok(waiting)) => owed.push((index, waiting)),
            (None, _) => forget(memory, &key, "there is no such channel any more").await,
            (_, Err(error)) => forget(memory, &key, &error.to_string()).await,
        }
    }
    if !entries.is_empty() {
        info!(incidents = entries.len(), "incidents from before the restart are recalled");
    }
    shared.recall(entries, owed);
}

async fn remembered(memory: &dyn Memory, prefix: &str) -> Vec<(String, String)> {
    memory.remembered(prefix).await.unwrap_or_else(|reason| {
        warn!("what was told before the restart cannot be read, so it may be told again: {reason}");
        Vec::new()
    })
}

async fn forget(memory: &dyn Memory, key: &str, why: &str) {
    warn!(key, "an alert from before the restart is forgotten: {why}");
    let _ = memory.remember(key, None).await;
}

/// Returns whether it could be stored. `before`: what the last time returned; the log is told of a change.
async fn store(shared: &Shared, memory: &dyn Memory, before: bool) -> bool {
    let mut changes = shared.take_changes();
    let result = store_all(shared, memory, &mut changes).await;
    if let Err(reason) = &result {
        shared.not_stored(changes);
        if before {
            warn!("alerts cannot be remembered, so they may be told again after a restart: {reason}");
        }
    }
    result.is_ok()
}

/// Takes out of `changes` what is stored.
async fn store_all(shared: &Shared, memory: &dyn Memory, changes: &mut Changes) -> Result<(), String> {
    while let Some((index, owed)) = changes.owed.last() {
        if let Some(line) = shared.lines.get(*index) {
            let value = owed.as_ref().and_then(|owed| serde_json::to_string(owed).ok());
            memory.remember(&format!("{OWED}{}", line.name), value.as_deref()).await?;
        }
        changes.owed.pop();
    }
    while let Some(((kind, about), entry)) = changes.entries.last() {
        let value = entry.as_ref().and_then(|entry| serde_json::to_string(entry).ok());
        memory.remember(&format!("{OPEN}{kind}/{about}"), value.as_deref()).await?;
        changes.entries.pop();
    }
    Ok(())
}
