//! What people and programs are told: log lines, metrics, events.
//!
//! One line for each outcome, with the id, the lane, the number of recipients and the remote's code; one alert for each
//! pause of a lane, with reason and remedy, and one line when it is over; one alert for a message that waits for somebody to
//! act although its lane works.

use std::time::Duration;

use jiff::Timestamp;
use queue::{
    AttemptReport, BreakerName, Happening, LaneVerdict, Message, Outcome, Pause, RecipientState, RemoteReply, StoryEvent,
};

use crate::context::Context;
use crate::words::Wish;
use crate::{Event, MessageEvent};

/// After an attempt: the outcomes, and expiry if it followed. `told`: events of the story from before it.
pub(crate) fn attempted(context: &Context, settled: &Message, told: usize, report: &AttemptReport, now: Timestamp) {
    for (indices, outcome) in &report.results {
        match remedy(outcome, &report.lane).filter(|remedy| is_new(settled, told, remedy)) {
            Some(remedy) => stuck_line(settled, indices.len(), outcome, remedy),
            None => outcome_line(settled, indices.len(), outcome, report.took_ms),
        }
        let (name, code) = (name(outcome), remote(outcome).map(code).unwrap_or_default());
        indices.iter().for_each(|_| context.metrics.outcome(&settled.lane.0, name, &code));
        if matches!(outcome, Outcome::HandedOver { .. }) {
            context.metrics.handed_over_after(now.duration_since(settled.accepted_at).as_secs_f64().max(0.0));
        }
    }
    expired(context, settled, now);
}

fn outcome_line(message: &Message, recipients: usize, outcome: &Outcome, took_ms: u64) {
    let (id, lane) = (message.id, &message.lane);
    let code = remote(outcome).map(code).unwrap_or_default();
    match outcome {
        Outcome::HandedOver { remote, .. } => {
            let remote_id = remote.remote_id.as_deref().unwrap_or_default();
            tracing::info!(%id, %lane, recipients, code, took_ms, host = remote.host, remote_id, "handed over");
        }
        Outcome::Deferred { reason, hint, counts, .. } => {
            let (hint, next) = (hint.as_deref().unwrap_or_default(), message.due_at);
            tracing::info!(%id, %lane, recipients, code, took_ms, reason, hint, counts, %next, "deferred");
        }
        Outcome::Bounced { status, reason, hint, .. } => {
            let hint = hint.as_deref().unwrap_or_default();
            tracing::warn!(
                %id, %lane, recipients, code, took_ms, %status, reason, hint,
                "bounced: its sender is not told by the relay"
            );
        }
        Outcome::Unconfirmed { cause } => {
            let next = message.due_at;
            tracing::warn!(
                %id, %lane, recipients, took_ms, cause, %next,
                "unconfirmed: it may have arrived; it is tried again and may come twice"
            );
        }
    }
}

/// What somebody must do for this message alone: an attempt that did not count, although the lane works.
fn remedy<'a>(outcome: &'a Outcome, lane: &LaneVerdict) -> Option<&'a str> {
    match outcome {
        Outcome::Deferred { hint: Some(hint), counts: false, .. } if *lane == LaneVerdict::Healthy => Some(hint),
        _ => None,
    }
}

/// Whether the story did not say so before. The reason may differ each time: servers put the time into their words.
fn is_new(message: &Message, told: usize, remedy: &str) -> bool {
    let says = |hint: Option<&String>| hint.is_some_and(|hint| hint == remedy);
    !message.story.iter().take(told).any(|event| match &event.what {
        Happening::Waiting { hint, .. } => says(hint.as_ref()),
        Happening::Attempted { results, .. } => results.iter().any(|(_, outcome)| match outcome {
            Outcome::Deferred { hint, counts: false, .. } => says(hint.as_ref()),
            _ => false,
        }),
        _ => false,
    })
}

/// Once for a message: it waits for somebody to act.
fn stuck_line(message: &Message, recipients: usize, outcome: &Outcome, remedy: &str) {
    let Outcome::Deferred { reason, .. } = outcome else { return };
    let (id, lane, next) = (message.id, &message.lane, message.due_at);
    let (client, code) = (message.origin.client.as_ref(), remote(outcome).map(code).unwrap_or_default());
    tracing::warn!(
        alert = true,
        %id, %lane, client, recipients, code, reason, remedy, %next,
        "this message is refused although its lane works: it is kept, and tried again now and then until somebody acts; \
         other mail goes on"
    );
}

/// Recipients whose time was up just now.
pub(crate) fn expired(context: &Context, message: &Message, now: Timestamp) {
    let expired = message.recipients.iter().filter_map(|recipient| match &recipient.state {
        RecipientState::Expired { reason, at } if *at == now => Some(reason),
        _ => None,
    });
    let reasons: Vec<_> = expired.collect();
    if let Some(reason) = reasons.first() {
        let (id, lane, recipients) = (message.id, &message.lane, reasons.len());
        tracing::warn!(%id, %lane, recipients, reason, "expired: its sender is not told by the relay");
        reasons.iter().for_each(|_| context.metrics.outcome(&message.lane.0, "expired", ""));
    }
}

/// An operator's word was followed.
pub(crate) fn word(context: &Context, wish: &Wish, message: &Message) {
    let (id, lane) = (message.id, &message.lane);
    match wish {
        Wish::Hold { reason } => tracing::info!(%id, %lane, reason, "held by an operator"),
        Wish::Release => tracing::info!(%id, %lane, "released by an operator"),
        Wish::Retry => tracing::info!(%id, %lane, "to be tried now, by an operator's word"),
        Wish::Remove => {
            let removed = |state: &RecipientState| matches!(state, RecipientState::Removed { .. });
            let recipients = message.recipients.iter().filter(|recipient| removed(&recipient.state)).count();
            tracing::info!(%id, %lane, recipients, "removed by an operator");
            (0..recipients).for_each(|_| context.metrics.outcome(&lane.0, "removed", ""));
        }
    }
}

/// One alert for each pause.
pub(crate) fn opened(breaker: &BreakerName, pause: &Pause) {
    let Pause { code, reason, remedy, probe_after, .. } = pause;
    tracing::error!(
        alert = true,
        %breaker, code, reason, remedy,
        probe_after_secs = probe_after.as_secs(),
        "lane paused: its mail is kept and waits; one message is tried now and then, and the lane goes on by itself \
         when it works again"
    );
}

/// And one line when it is over.
pub(crate) fn closed(breaker: &BreakerName, paused_for: Duration) {
    tracing::info!(%breaker, paused_for_secs = paused_for.as_secs(), "lane recovered: its mail goes on");
}

/// Events for what has come to a story that had `told` events before. Empty if nobody listens.
pub(crate) fn news(context: &Context, message: &Message, told: usize) -> Vec<Event> {
    if context.events.receiver_count() == 0 {
        return Vec::new();
    }
    let last = message.story.last().map(|event| event.at);
    // A story at its limit gets no longer: what came now is what has the last time.
    let new: Vec<_> = match message.story.get(told..) {
        Some(new) if !new.is_empty() && message.story.len() < Message::STORY_LIMIT => new.iter().collect(),
        _ if told < Message::STORY_LIMIT - 1 => Vec::new(),
        _ => {
            let mut new: Vec<_> = message.story.iter().rev().take_while(|event| Some(event.at) == last).collect();
            new.reverse();
            new
        }
    };
    new.into_iter().map(|event| event_of(message, event)).collect()
}

/// One event of a message's story.
pub(crate) fn publish(context: &Context, message: &Message, event: &StoryEvent) {
    context.publish(|| event_of(message, event));
}

fn event_of(message: &Message, event: &StoryEvent) -> Event {
    let settles = !matches!(event.what, Happening::Accepted) && message.is_settled();
    Event::Message(MessageEvent {
        id: message.id,
        reverse_path: message.reverse_path.clone(),
        recipients: message.recipients.iter().map(|recipient| recipient.forward_path.clone()).collect(),
        what: event.clone(),
        message_settled: settles,
        lane: message.lane.clone(),
    })
}

fn remote(outcome: &Outcome) -> Option<&RemoteReply> {
    match outcome {
        Outcome::HandedOver { remote, .. } => Some(remote),
        Outcome::Deferred { remote, .. } | Outcome::Bounced { remote, .. } => remote.as_ref(),
        Outcome::Unconfirmed { .. } => None,
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::HandedOver { .. } => "handed-over",
        Outcome::Deferred { .. } => "deferred",
        Outcome::Bounced { .. } => "bounced",
        Outcome::Unconfirmed { .. } => "unconfirmed",
    }
}

/// `250 2.0.0`
fn code(remote: &RemoteReply) -> String {
    let code = remote.reply.code.get();
    remote.reply.status.map_or_else(|| code.to_string(), |status| format!("{code} {status}"))
}
