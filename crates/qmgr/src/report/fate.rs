//! What has become of recipients just now, read from a message's story and states; and the report about it.

use jiff::Timestamp;
use message::Letter;
use message::dsn::{About, Action, Recipient, Report, Returned, subject};
use queue::{Happening, Message, Outcome, RecipientState, RemoteReply, RetryPolicy, StoryEvent};
use smtp::EnhancedStatus;

use super::post::CLIENT;
use crate::context::Context;

/// "Delivery time expired" (RFC 3463 §3.5), of the class of what lasted until then.
const EXPIRED: EnhancedStatus = EnhancedStatus::new(4, 4, 7);

/// One recipient.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fate {
    /// Into the message's recipients.
    pub(super) index: usize,
    pub(super) action: Action,
    pub(super) status: EnhancedStatus,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
    pub(super) remote: Option<RemoteReply>,
    /// When it was last tried.
    pub(super) tried_at: Option<Timestamp>,
    /// It is tried until then.
    pub(super) until: Option<Timestamp>,
}

impl Fate {
    /// NOTIFY; without it, of failures and delays (RFC 3461 §4.1).
    pub(super) fn is_wanted(&self, message: &Message) -> bool {
        let Some(recipient) = message.recipients.get(self.index) else { return false };
        match self.action {
            Action::Failed => recipient.notify.is_none_or(|notify| notify.failure),
            Action::Delayed => recipient.notify.is_none_or(|notify| notify.delay),
            _ => recipient.notify.is_some_and(|notify| notify.success),
        }
    }
}

/// Of recipients that have bounced or expired, or wait for too long, or were handed to somebody who tells nobody, since the
/// story had so many events. Empty for ordinary success.
pub(super) fn new(message: &Message, told: usize, retry: &RetryPolicy) -> Vec<Fate> {
    let events = new_events(message, told);
    if events.is_empty() {
        return Vec::new();
    }
    let delayed = events.iter().any(|event| matches!(event.what, Happening::Delayed));
    let fate = |index: usize, state: &RecipientState| match state {
        RecipientState::Bounced { reason, remote, at } if is_of(events, *at) => {
            Some(bounced(index, reason, remote.as_ref(), events, *at))
        }
        RecipientState::Expired { reason, at } if is_of(events, *at) => Some(expired(index, reason, message)),
        RecipientState::HandedOver { remote, at } if is_of(events, *at) => relayed(index, remote, message, events, *at),
        RecipientState::Queued { last, .. } if delayed => {
            Some(waiting(index, last.as_deref(), message, retry.expires_at(message.accepted_at)))
        }
        _ => None,
    };
    message.recipients.iter().enumerate().filter_map(|(index, recipient)| fate(index, &recipient.state)).collect()
}

/// A story at its limit gets no longer: what came now has the last time, and no report after it.
fn new_events(message: &Message, told: usize) -> &[StoryEvent] {
    let story = &message.story;
    if story.len() < Message::STORY_LIMIT {
        return story.get(told..).unwrap_or_default();
    }
    let last = story.last().map(|event| event.at);
    let new = |event: &&StoryEvent| Some(event.at) == last && !matches!(event.what, Happening::Reported { .. });
    let count = story.iter().rev().take_while(new).count();
    story.get(story.len() - count..).unwrap_or_default()
}

fn is_of(events: &[StoryEvent], at: Timestamp) -> bool {
    events.iter().any(|event| event.at == at)
}

fn bounced(index: usize, reason: &str, remote: Option<&RemoteReply>, events: &[StoryEvent], at: Timestamp) -> Fate {
    let told = last_outcome(events, index).map(|(_, outcome)| outcome);
    let (status, hint) = match told {
        Some(Outcome::Bounced { status, hint, .. }) => (*status, hint.clone()),
        _ => (remote.and_then(|remote| remote.reply.status).unwrap_or(EnhancedStatus::new(5, 0, 0)), None),
    };
    let (reason, remote) = (reason.to_owned(), remote.cloned());
    Fate { index, action: Action::Failed, status, reason, hint, remote, tried_at: Some(at), until: None }
}

fn expired(index: usize, reason: &str, message: &Message) -> Fate {
    let last = trouble(index, message);
    Fate { action: Action::Failed, status: EXPIRED, reason: reason.to_owned(), until: None, ..last }
}

/// Not if the next hop sees to it, and only if somebody asked.
fn relayed(
    index: usize,
    remote: &RemoteReply,
    message: &Message,
    events: &[StoryEvent],
    at: Timestamp,
) -> Option<Fate> {
    message.recipients.get(index)?.notify.filter(|notify| notify.success)?;
    if let Some((_, Outcome::HandedOver { notifies: true, .. })) = last_outcome(events, index) {
        return None;
    }
    let status = remote.reply.status.filter(|status| status.class() == 2).unwrap_or(EnhancedStatus::new(2, 0, 0));
    Some(Fate {
        index,
        action: Action::Relayed,
        status,
        reason: "handed on".to_owned(),
        hint: None,
        remote: Some(remote.clone()),
        tried_at: Some(at),
        until: None,
    })
}

fn waiting(index: usize, last: Option<&str>, message: &Message, until: Timestamp) -> Fate {
    let trouble = trouble(index, message);
    let reason = match last {
        Some(last) if trouble.reason.is_empty() => last.to_owned(),
        _ if trouble.reason.is_empty() => "it waits for its turn".to_owned(),
        _ => trouble.reason.clone(),
    };
    Fate { reason, until: Some(until), ..trouble }
}

/// What kept it last from being handed over.
fn trouble(index: usize, message: &Message) -> Fate {
    let mut fate = Fate {
        index,
        action: Action::Delayed,
        status: EnhancedStatus::new(4, 0, 0),
        reason: String::new(),
        hint: None,
        remote: None,
        tried_at: last_outcome(&message.story, index).map(|(at, _)| at),
        until: None,
    };
    for event in message.story.iter().rev() {
        match &event.what {
            Happening::Waiting { reason, hint, .. } => {
                (fate.reason, fate.hint) = (reason.clone(), hint.clone());
                break;
            }
            Happening::Postponed { reason, .. } => {
                fate.reason.clone_from(reason);
                break;
            }
            Happening::Attempted { .. } => match last_outcome(std::slice::from_ref(event), index) {
                Some((_, Outcome::Deferred { reason, hint, remote, .. })) => {
                    (fate.reason, fate.hint, fate.remote) = (reason.clone(), hint.clone(), remote.clone());
                    break;
                }
                Some((_, Outcome::Unconfirmed { cause })) => {
                    fate.reason.clone_from(cause);
                    break;
                }
                _ => {}
            },
            _ => {}
        }
    }
    // A reply that begins with 5 and yet is temporary is told as what it is.
    let said = fate.remote.as_ref().and_then(|remote| remote.reply.status);
    if let Some(said) = said.filter(|said| said.class() != 2) {
        fate.status = EnhancedStatus::new(4, said.subject(), said.detail());
    }
    fate
}

/// The last one that these events tell of a recipient, and when.
fn last_outcome(events: &[StoryEvent], index: usize) -> Option<(Timestamp, &Outcome)> {
    let index = u32::try_from(index).ok()?;
    events.iter().rev().find_map(|event| match &event.what {
        Happening::Attempted { results, .. } => {
            let (_, outcome) = results.iter().find(|(indices, _)| indices.contains(&index))?;
            Some((event.at, outcome))
        }
        _ => None,
    })
}

/// The report about these; all with the same action. The letter's subject is made here.
pub(super) fn report<'a>(
    context: &'a Context,
    message: &'a Message,
    mut letter: Letter,
    fates: &'a [Fate],
    returned: Returned,
    notice: bool,
) -> Report<'a> {
    let action = fates.first().map_or(Action::Failed, |fate| fate.action);
    letter.subject = subject(action, message.header.subject.as_deref(), notice);
    letter.auto_submitted = message::AutoSubmitted::Replied;
    letter.in_reply_to.clone_from(&message.header.message_id);
    let origin = &message.origin;
    let recipients: Vec<_> = fates.iter().filter_map(|fate| recipient(message, fate)).collect();
    Report {
        letter,
        action,
        about: About {
            reporting_mta: &context.reports.hostname,
            id: message.id.to_string(),
            envelope_id: message.envid.as_ref(),
            helo: &origin.helo,
            peer: (&*origin.client != CLIENT).then(|| origin.peer.ip()),
            client: &origin.client,
            arrived_at: message.accepted_at,
            reverse_path: &message.reverse_path,
            subject: message.header.subject.as_deref(),
            message_id: message.header.message_id.as_deref(),
        },
        others: message.recipients.iter().filter(|one| !one.archive).count().saturating_sub(recipients.len()),
        recipients,
        returned,
        // What was refused for its content is not sent back in a form that may be refused too.
        eight_bit: fates.iter().all(|fate| fate.status.subject() != 6),
    }
}

fn recipient<'a>(message: &'a Message, fate: &'a Fate) -> Option<Recipient<'a>> {
    let recipient = message.recipients.get(fate.index)?;
    Some(Recipient {
        forward_path: &recipient.forward_path,
        original: recipient.orcpt.as_ref(),
        status: fate.status,
        reason: &fate.reason,
        hint: fate.hint.as_deref(),
        remote: fate.remote.as_ref().map(|remote| (remote.host.as_str(), &remote.reply)),
        last_attempt_at: fate.tried_at,
        retry_until: fate.until,
    })
}
