//! What a lane sent in the minute before the start, so that a restart does not send a minute's messages twice over.
//!
//! Looks at the newest messages of the lane in the history and at its oldest in the queue, a page each: more than a minute
//! allows. What was under way when the program ended leaves no trace; it is at most as many as the lane has connections.

use std::time::Duration;

use jiff::Timestamp;
use queue::{Filter, Happening, LaneName, Listing};

use crate::context::Context;

const MINUTE: Duration = Duration::from_secs(60);
const PAGE: usize = 500;
/// The start does not wait longer for an answer; all lanes are asked at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// When its attempts of the last minute ended. Empty if the spool does not say.
pub(crate) async fn sent_lately(context: &Context, lane: &LaneName) -> Vec<Timestamp> {
    let filter = Filter { lane: Some(lane.clone()), ..Filter::default() };
    let pages = async {
        let settled = context.spool.history(&filter, None, PAGE).await.ok();
        let queued = context.spool.list(&filter, None, PAGE).await.ok();
        [settled, queued]
    };
    let pages = tokio::time::timeout(PATIENCE, pages).await.unwrap_or_default();
    let now = context.clock.now();
    let since = now.checked_sub(MINUTE).unwrap_or(Timestamp::MIN);
    pages.iter().flatten().flat_map(|page| attempts(page, lane)).filter(|at| *at > since && *at <= now).collect()
}

fn attempts(page: &Listing, lane: &LaneName) -> impl Iterator<Item = Timestamp> {
    let events = page.messages.iter().flat_map(|message| &message.story);
    events.filter(move |event| matches!(&event.what, Happening::Attempted { lane: at, .. } if at == lane)).map(|e| e.at)
}
