//! Keeps what an attempt came to until the spool has taken it. The lease stays all the while, so that the message is not
//! tried again for an outcome that is known.

use std::sync::atomic::Ordering;
use std::time::Duration;

use queue::{Message, SpoolError};

use crate::context::Context;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Returns whether it was stored. If not (the spool has no such message, or the relay stops), the lease is given back and
/// the old state stands.
pub(crate) async fn keep(context: &Context, message: Message) -> bool {
    let id = message.id;
    match context.spool.record(message.clone()).await {
        Ok(()) => true,
        Err(error) if passes(&error) => {
            let _refused = Refused::new(context, &error);
            insist(context, message).await
        }
        Err(error) => {
            tracing::error!(
                alert = true,
                %id,
                %error,
                "what became of this message could not be recorded; hint: run `posthouse spool check`"
            );
            context.spool.release(id);
            false
        }
    }
}

async fn insist(context: &Context, message: Message) -> bool {
    let id = message.id;
    let mut wait = FIRST_WAIT;
    loop {
        let last = tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = context.abandon.cancelled() => true,
        };
        let error = match context.spool.record(message.clone()).await {
            Ok(()) => return true,
            // The try that seemed to fail had been stored after all.
            Err(SpoolError::NotFound(_)) => {
                context.spool.release(id);
                return true;
            }
            Err(error) => error,
        };
        if last || !passes(&error) {
            tracing::error!(
                alert = true,
                %id,
                %error,
                "what became of this message could not be recorded; it will be tried again, possibly as a duplicate"
            );
            context.spool.release(id);
            return false;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether it may go better later.
fn passes(error: &SpoolError) -> bool {
    matches!(error, SpoolError::Full(_) | SpoolError::Closed(_) | SpoolError::Failed(_))
}

/// An outcome that the spool has refused; alerts with the first of them and says when the last is stored.
struct Refused<'a>(&'a Context);

impl<'a> Refused<'a> {
    fn new(context: &'a Context, error: &SpoolError) -> Self {
        if context.unstored.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(
                alert = true,
                %error,
                "the spool does not record outcomes; nothing is sent until it does; hint: see to the disk, then look \
                 at `posthouse status`"
            );
        }
        Self(context)
    }
}

impl Drop for Refused<'_> {
    fn drop(&mut self) {
        if self.0.unstored.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!("the spool records outcomes again");
        }
    }
}
