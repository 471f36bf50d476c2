//! From an attempt's report to the message's next state. Pure: the message, the report, `now`, the policy and one random
//! number in; the new message out. The queue manager records what comes out and nothing else.

use jiff::Timestamp;

use crate::{AttemptReport, Message, RetryPolicy};

/// Applies a report. Recipients that the report does not name are left as they are (queued).
pub fn settle(message: Message, report: &AttemptReport, policy: &RetryPolicy, now: Timestamp, random: u32) -> Message {
    let _ = (message, report, policy, now, random);
    todo!()
}

/// Before an attempt: a message whose time is up (and which was tried at least once after that time came, or which has been
/// held up by its lane until now) expires in place of being tried. `None`: go on and try.
pub fn expire_check(message: &Message, policy: &RetryPolicy, now: Timestamp) -> Option<Message> {
    let _ = (message, policy, now);
    todo!()
}
