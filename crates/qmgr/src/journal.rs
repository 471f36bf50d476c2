//! The journal of one attempt: what is written before the last byte of a transaction, so that a crash leaves no doubt which
//! recipients may have got the message.
//!
//! In: the recipients whose last byte is about to go. Out: an entry in the spool, and the same to whoever must say what an
//! attempt came to that broke off. Never: a last byte without its entry.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use queue::{Journal, LaneName, LastByte, MessageId, Outcome, SpoolError, Unconfirmed};

use crate::context::Context;

pub(crate) struct Written<'a> {
    context: &'a Context,
    id: MessageId,
    lane: &'a LaneName,
    synced: bool,
    sent: Mutex<Sent>,
}

/// What may have arrived.
#[derive(Debug, Default)]
struct Sent {
    transactions: u32,
    recipients: BTreeSet<u32>,
}

impl<'a> Written<'a> {
    /// Where an operator has to look at what is unconfirmed, it must be known after a power cut too.
    pub(crate) fn new(context: &'a Context, id: MessageId, lane: &'a LaneName, policy: Unconfirmed) -> Self {
        Self { context, id, lane, synced: policy == Unconfirmed::Hold, sent: Mutex::default() }
    }

    /// What an attempt for these recipients came to that broke off without a word, and how many transactions have reached
    /// their last byte.
    pub(crate) fn broke_off(&self, recipients: &[u32], cause: &str) -> (Vec<(Vec<u32>, Outcome)>, u32) {
        let sent = self.sent();
        let (gone, kept): (Vec<u32>, Vec<u32>) = recipients.iter().partition(|index| sent.recipients.contains(index));
        let deferred = Outcome::Deferred {
            reason: format!("{cause}, before the message was sent"),
            hint: None,
            not_before: None,
            remote: None,
            counts: false,
        };
        let results = [(gone, Outcome::Unconfirmed { cause: cause.to_owned() }), (kept, deferred)];
        (results.into_iter().filter(|(indices, _)| !indices.is_empty()).collect(), sent.transactions)
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for Written<'_> {
    async fn last_byte(&self, recipients: &[u32]) -> Result<(), SpoolError> {
        let at = self.context.clock.now();
        let entry = LastByte { id: self.id, lane: self.lane.clone(), at, recipients: recipients.to_vec() };
        self.context.spool.journal(entry, self.synced).await?;
        let mut sent = self.sent();
        sent.transactions += 1;
        sent.recipients.extend(recipients);
        Ok(())
    }
}

impl fmt::Debug for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").field("id", &self.id).field("lane", &self.lane).finish_non_exhaustive()
    }
}
