//! From the relay's own types to those of the API, and filters the other way.

use api::{Held, Outcome, Page, Recipient, RecipientState, Remote, Step, StoryEvent, Summary};
use queue::{Happening, LaneName, Message, RemoteReply};

/// A list, with the id at which the next page begins.
pub(crate) fn page(listing: queue::Listing) -> Page {
    Page { messages: listing.messages.iter().map(summary).collect(), next: listing.next.map(|id| id.to_string()) }
}

/// A line of a list.
pub(crate) fn summary(message: &Message) -> Summary {
    Summary {
        id: message.id.to_string(),
        accepted_at: message.accepted_at,
        client: message.origin.client.to_string(),
        reverse_path: message.reverse_path.to_string(),
        recipients: message.recipients.iter().map(recipient).collect(),
        size: message.size,
        subject: message.header.subject.clone(),
        message_id: message.header.message_id.clone(),
        urgent: message.urgent,
        lane: message.lane.to_string(),
        attempts: message.attempts,
        due_at: (!message.is_settled()).then_some(message.due_at),
        held: message.hold.as_ref().map(|hold| Held { reason: hold.reason.clone(), at: hold.at }),
    }
}

/// Everything but the bytes.
pub(crate) fn message(message: &Message) -> api::Message {
    let paths: Vec<String> = message.recipients.iter().map(|r| r.forward_path.to_string()).collect();
    api::Message {
        summary: summary(message),
        settled: message.is_settled(),
        user: message.origin.user.clone(),
        peer: message.origin.peer,
        helo: message.origin.helo.clone(),
        tls: message.origin.tls.clone(),
        session: message.origin.session.clone(),
        from: message.header.from.clone(),
        smtputf8: message.smtputf8,
        envid: message.envid.as_ref().map(ToString::to_string),
        story: message.story.iter().map(|event| story_event(event, &paths)).collect(),
    }
}

fn recipient(recipient: &queue::Recipient) -> Recipient {
    Recipient { forward_path: recipient.forward_path.to_string(), state: state(&recipient.state) }
}

fn state(state: &queue::RecipientState) -> RecipientState {
    use queue::RecipientState as Was;
    match state {
        Was::Queued { last, unconfirmed } => RecipientState::Queued { last: last.clone(), unconfirmed: *unconfirmed },
        Was::HandedOver { remote, at } => RecipientState::HandedOver { remote: remote_words(remote), at: *at },
        Was::Bounced { reason, remote, at } => {
            RecipientState::Bounced { reason: reason.clone(), remote: remote.as_ref().map(remote_words), at: *at }
        }
        Was::Expired { reason, at } => RecipientState::Expired { reason: reason.clone(), at: *at },
        Was::Removed { at } => RecipientState::Removed { at: *at },
    }
}

fn remote_words(remote: &RemoteReply) -> Remote {
    Remote {
        host: remote.host.clone(),
        code: remote.reply.code.get(),
        status: remote.reply.status.map(|status| status.to_string()),
        text: remote.reply.text(),
        remote_id: remote.remote_id.clone(),
    }
}

/// `paths`: forward-paths in the order of RCPT TO, for the indices in the event.
pub(crate) fn story_event(event: &queue::StoryEvent, paths: &[String]) -> StoryEvent {
    StoryEvent { at: event.at, step: step(&event.what, paths) }
}

fn step(happening: &Happening, paths: &[String]) -> Step {
    match happening {
        Happening::Accepted => Step::Accepted,
        Happening::Attempted { lane, took_ms, results, notes } => Step::Attempted {
            lane: lane.to_string(),
            took_ms: *took_ms,
            outcomes: results.iter().map(|(indices, what)| outcome(what, named(indices, paths))).collect(),
            notes: notes.clone(),
        },
        Happening::Waiting { reason, hint, notes } => {
            Step::Waiting { reason: reason.clone(), hint: hint.clone(), notes: notes.clone() }
        }
        Happening::Postponed { reason, until } => Step::Postponed { reason: reason.clone(), until: *until },
        Happening::Interrupted { recipients } => Step::Interrupted { recipients: named(recipients, paths) },
        Happening::Inquired { answer } => Step::Inquired { answer: answer.clone() },
        Happening::Reported { to, action, by } => {
            Step::Reported { to: to.clone(), action: action.clone(), by: by.as_ref().map(ToString::to_string) }
        }
        Happening::Delayed => Step::Delayed,
        Happening::Expired => Step::Expired,
        Happening::Held { reason } => Step::Held { reason: reason.clone() },
        Happening::Released => Step::Released,
        Happening::RetryRequested => Step::RetryRequested,
        Happening::Removed => Step::Removed,
        Happening::Moved { lane } => Step::Moved { lane: lane.to_string() },
        Happening::Rescued => Step::Rescued,
        Happening::Omitted { events } => Step::Omitted { events: *events },
    }
}

fn named(indices: &[u32], paths: &[String]) -> Vec<String> {
    let path = |index: &u32| usize::try_from(*index).ok().and_then(|index| paths.get(index)).cloned();
    indices.iter().filter_map(path).collect()
}

fn outcome(outcome: &queue::Outcome, recipients: Vec<String>) -> Outcome {
    use queue::Outcome as Was;
    let of = |outcome: &str, reason: Option<&String>, hint: Option<&String>, remote: Option<&RemoteReply>| Outcome {
        outcome: outcome.to_owned(),
        recipients: recipients.clone(),
        reason: reason.cloned(),
        hint: hint.cloned(),
        remote: remote.map(remote_words),
    };
    match outcome {
        Was::HandedOver { remote, .. } => of("handed-over", None, None, Some(remote)),
        Was::Deferred { reason, hint, remote, .. } => of("deferred", Some(reason), hint.as_ref(), remote.as_ref()),
        Was::Bounced { reason, hint, remote, .. } => of("bounced", Some(reason), hint.as_ref(), remote.as_ref()),
        Was::Unconfirmed { cause } => of("unconfirmed", Some(cause), None, None),
    }
}

/// As the spool takes it.
pub(crate) fn filter(filter: api::Filter) -> queue::Filter {
    let api::Filter { lane, held, sender, recipient, client, older_than } = filter;
    queue::Filter { lane: lane.map(|lane| LaneName(lane.into())), held, sender, recipient, client, older_than }
}
