//! Fetches what is due of one line from the spool.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use queue::{Message, Refill, SpoolError};

use crate::context::{Context, Input};

/// The spool did not say when there is more: look again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(context: Arc<Context>, refill: Refill, now: Timestamp) {
    let answer = claim(&context, &refill, now).await;
    context.tell(Input::Claimed(refill, answer));
}

async fn claim(
    context: &Context,
    refill: &Refill,
    now: Timestamp,
) -> Result<(Vec<Message>, Option<Timestamp>), SpoolError> {
    let messages = context.spool.claim_due(&refill.lane, refill.class, now, refill.max).await?;
    let next_due_at = if messages.len() < refill.max {
        let asked = context.spool.next_due(&refill.lane, refill.class).await;
        asked.unwrap_or_else(|_| Some(now + LOOK_AGAIN))
    } else {
        None
    };
    Ok((messages, next_due_at))
}
