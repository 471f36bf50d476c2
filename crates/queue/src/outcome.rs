//! What one attempt came to, for one recipient. Five cases; see design: handed over, deferred, bounced, unconfirmed, and
//! (by operator or planner, not by an attempt) held.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smtp::{EnhancedStatus, Reply};

/// A next hop's words, verbatim, and who said them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteReply {
    /// Name and address of the next hop, e.g. `smtp.office365.com [203.0.113.1]:587`.
    pub host: String,
    /// Verbatim.
    pub reply: Reply,
    /// The id under which the next hop knows the message from now on, if its reply gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
}

/// The result of an attempt for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The next hop took responsibility.
    HandedOver {
        /// Its 250.
        remote: RemoteReply,
        /// It was told who wants which notifications (RFC 3461), and sees to them from now on.
        #[serde(default, skip_serializing_if = "is_false")]
        notifies: bool,
    },
    /// To be tried again. Also the verdict on everything that is our trouble, not the message's.
    Deferred {
        /// What happened, in one line.
        reason: String,
        /// Verdict of the catalogue in the operator's words: meaning and remedy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The remote asked for this much patience.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// If a remote said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteReply>,
        /// False where the trouble is the lane's (a pause, a throttle, a dead link before MAIL): such an attempt does not
        /// count towards the schedule and the message is tried again when the lane is well.
        counts: bool,
    },
    /// Final.
    Bounced {
        /// For the DSN.
        status: EnhancedStatus,
        /// What happened, in one line.
        reason: String,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// If a remote said it; absent where we found it ourselves (8BITMIME, SMTPUTF8 or SIZE missing there).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteReply>,
    },
    /// The link broke after the last byte: it may have arrived. Tried again, and counted as a possible duplicate.
    Unconfirmed {
        /// What broke.
        cause: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_false(value: &bool) -> bool {
    !value
}
