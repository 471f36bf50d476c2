//! Keeps what an attempt came to until the spool has taken it. The lease stays all the while, so that the message is not
//! tried again for an outcome that is known.

use std::sync::atomic::Ordering;
use std::time::Duration;

use queue::{Message, Spend, SpoolError};
use telemetry::{Incident, IncidentKind, Severity};

use crate::context::Context;
use crate::stuck::{self, Cause};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What the incident is about.
const ABOUT: &str = "recording of outcomes";

/// Returns whether it was stored, with what was spent. If not (the spool has no such message, or the relay stops), the old
/// state stands.
pub(crate) async fn keep(context: &Context, message: Message, spent: Vec<Spend>) -> bool {
    let id = message.id;
    match context.spool.record_spending(message.clone(), spent.clone()).await {
        Ok(()) => true,
        Err(error) if passes(&error) => {
            let mut refused = Refused::new(context, &error);
            refused.stored = insist(context, message, spent).await;
            refused.stored
        }
        Err(error) => {
            lost(context, &message, &error);
            context.spool.release(id);
            false
        }
    }
}

async fn insist(context: &Context, message: Message, spent: Vec<Spend>) -> bool {
    let id = message.id;
    let mut wait = FIRST_WAIT;
    loop {
        let last = tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = context.abandon.cancelled() => true,
        };
        let error = match context.spool.record_spending(message.clone(), spent.clone()).await {
            Ok(()) => return true,
            // The try that seemed to fail had been stored after all.
            Err(SpoolError::NotFound(_)) => {
                context.spool.release(id);
                return true;
            }
            Err(error) => error,
        };
        if !passes(&error) {
            lost(context, &message, &error);
            context.spool.release(id);
            return false;
        }
        if last {
            // The lease ends with the process. Given back now, the entry in the journal would be closed, and the next start
            // would not know that the message may have arrived.
            tracing::error!(%id, %error, "what became of this message could not be recorded before the relay stopped");
            context.unfinished.store(true, Ordering::Relaxed);
            return false;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn lost(context: &Context, message: &Message, error: &SpoolError) {
    let id = message.id;
    tracing::error!(%id, %error, "what became of this message could not be recorded");
    let incident = Incident {
        kind: IncidentKind::Fault,
        about: format!("recording of message {id}"),
        severity: Severity::Critical,
        what: format!("what became of message {id} could not be recorded: {error}; it may be sent twice"),
        remedy: "run `posthouse spool check`".to_owned(),
        code: None,
        lanes: Vec::new(),
    };
    stuck::open(context, incident, Cause::default(), id);
}

/// Whether it may go better later.
fn passes(error: &SpoolError) -> bool {
    matches!(error, SpoolError::Full(_) | SpoolError::Closed(_) | SpoolError::Failed(_))
}

/// An outcome that the spool has refused. The incident opens with the first of them, and closes when the last is stored.
struct Refused<'a> {
    context: &'a Context,
    stored: bool,
}

impl<'a> Refused<'a> {
    fn new(context: &'a Context, error: &SpoolError) -> Self {
        if context.unstored.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "the spool does not record outcomes: nothing is sent until it does");
            context.incidents.open(Incident {
                kind: IncidentKind::Fault,
                about: ABOUT.to_owned(),
                severity: Severity::Critical,
                what: format!("the spool does not record outcomes, nothing is sent until it does: {error}"),
                remedy: "see to the disk, then look at `posthouse status`".to_owned(),
                code: None,
                lanes: Vec::new(),
            });
        }
        Self { context, stored: false }
    }
}

impl Drop for Refused<'_> {
    fn drop(&mut self) {
        let last = self.context.unstored.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && self.stored {
            tracing::info!("the spool records outcomes again");
            self.context.incidents.close(IncidentKind::Fault, ABOUT, "the spool records outcomes again");
        }
    }
}
