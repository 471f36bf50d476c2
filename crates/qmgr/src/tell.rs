//! What people and programs are told: log lines, metrics, events.
//!
//! One line for each outcome, with the id, the lane, the number of recipients and the remote's code. One incident for each
//! breaker that opens, with reason and remedy, until it closes; one for each sender whose mail is refused for a cause that
//! somebody must see to although the lane works. Who hears of incidents, and their alerts in the log, is the business of
//! whoever takes them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use queue::{
    AttemptReport, BreakerName, Happening, LaneName, LaneVerdict, Message, MessageId, Outcome, Pause, Recipient,
    RecipientState, RemoteReply, SpoolError, StoryEvent,
};
use telemetry::{Incident, IncidentKind, Severity};

use crate::context::Context;
use crate::stuck::{self, Cause};
use crate::words::Wish;
use crate::{Event, MessageEvent, Notification};

/// After an attempt in that lane: the outcomes, and expiry if it followed. `told`: events of the story from before it. Out:
/// what the owner of the client must be told, for it waits for somebody to act.
pub(crate) fn attempted(
    context: &Context,
    settled: &Message,
    lane: &LaneName,
    told: usize,
    report: &AttemptReport,
    now: Timestamp,
) -> Option<Notification> {
    let mut notification = None;
    for (indices, outcome) in &report.results {
        outcome_line(settled, lane, indices.len(), outcome, report.took_ms);
        if let Some(remedy) = remedy(outcome, report).filter(|remedy| is_new(settled, told, remedy)) {
            notification = notification.or(refused(context, settled, lane, outcome, remedy));
        }
        let (name, code) = (name(outcome), remote(outcome).map(code).unwrap_or_default());
        indices.iter().for_each(|_| context.metrics.outcome(&lane.0, name, &code));
        archived(context, settled, indices, outcome);
        let lost = matches!(outcome, Outcome::Bounced { .. });
        if lost || matches!(outcome, Outcome::HandedOver { .. }) {
            count_own(context, settled, indices.len(), lost);
        }
        if matches!(outcome, Outcome::HandedOver { .. }) {
            context.metrics.handed_over_after(now.duration_since(settled.accepted_at).as_secs_f64().max(0.0));
        }
    }
    expired(context, settled, now);
    notification
}

/// Nobody who sent the message hears of its copy for an archive: an operator must, when it cannot be kept.
fn archived(context: &Context, message: &Message, indices: &[u32], outcome: &Outcome) {
    let of = |index: &u32| message.recipients.get(usize::try_from(*index).ok()?);
    let Some(archive) = indices.iter().filter_map(of).find(|recipient| recipient.archive) else { return };
    match outcome {
        Outcome::Bounced { reason, hint, .. } => {
            not_archived(context, message, archive, reason, hint.as_deref(), remote(outcome).map(code));
        }
        Outcome::HandedOver { .. } => {
            context.incidents.close(IncidentKind::Message, &about_archive(archive), "it takes copies again");
        }
        _ => {}
    }
}

fn about_archive(archive: &Recipient) -> String {
    format!("the archive {}", archive.forward_path)
}

fn not_archived(
    context: &Context,
    message: &Message,
    archive: &Recipient,
    reason: &str,
    hint: Option<&str>,
    code: Option<String>,
) {
    let (id, path, client) = (message.id, &archive.forward_path, &message.origin.client);
    let remedy =
        format!("look whether the mailbox exists and takes mail, or change `archive` of [[client]] \"{client}\"");
    context.incidents.open(Incident {
        kind: IncidentKind::Message,
        about: about_archive(archive),
        severity: Severity::Critical,
        what: format!(
            "the copy of message {id} for the archive {path} is lost, its recipients are not concerned: {reason}"
        ),
        remedy: hint.map_or(remedy, str::to_owned),
        code,
        lanes: Vec::new(),
    });
}

/// Settled recipients of a message of our own.
fn count_own(context: &Context, message: &Message, recipients: usize, lost: bool) {
    if message.report_of.is_some() {
        let recipients = u64::try_from(recipients).unwrap_or(u64::MAX);
        context.own_settled.fetch_add(recipients, Ordering::Relaxed);
        context.own_lost.fetch_add(if lost { recipients } else { 0 }, Ordering::Relaxed);
    }
}

fn outcome_line(message: &Message, lane: &LaneName, recipients: usize, outcome: &Outcome, took_ms: u64) {
    let id = message.id;
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
            tracing::warn!(%id, %lane, recipients, code, took_ms, %status, reason, hint, "bounced");
        }
        Outcome::Unconfirmed { cause } => {
            let (next, held) = (message.due_at, message.hold.is_some());
            tracing::warn!(%id, %lane, recipients, took_ms, cause, %next, held, "unconfirmed: it may have arrived");
        }
    }
}

/// What somebody must do for this message alone: an attempt that did not count, although the lane works, or was not even made.
fn remedy<'a>(outcome: &'a Outcome, report: &AttemptReport) -> Option<&'a str> {
    let alone = report.lane == LaneVerdict::Healthy || report.hold.is_some();
    match outcome {
        Outcome::Deferred { hint: Some(hint), counts: false, .. } if alone => Some(hint),
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

/// It waits for somebody to act: once for each sender, lane and code. Out: for the owner of its client, the first time.
fn refused(
    context: &Context,
    message: &Message,
    lane: &LaneName,
    outcome: &Outcome,
    remedy: &str,
) -> Option<Notification> {
    let Outcome::Deferred { reason, .. } = outcome else { return None };
    let (sender, client) = (message.reverse_path.to_string(), &message.origin.client);
    let code = remote(outcome).map(code).filter(|code| !code.is_empty());
    let kept = match &message.hold {
        Some(_) => "it is held until somebody has acted",
        None => "it is kept, and tried again now and then",
    };
    let incident = Incident {
        kind: IncidentKind::Message,
        about: match &message.hold {
            Some(_) => format!("mail from {sender} in {lane}: held"),
            None => format!("mail from {sender} in {lane}: {}", code.as_deref().unwrap_or("refused")),
        },
        severity: Severity::Critical,
        what: format!(
            "mail from {sender} (client `{client}`; first message {}) is refused although its lane `{lane}` works; {kept}: \
             {reason}",
            message.id
        ),
        remedy: remedy.to_owned(),
        code,
        lanes: Vec::new(),
    };
    let text = format!("{}\n\nWhat to do: {remedy}\n", incident.what);
    let subject = format!("mail of {client} from {sender} waits");
    // What is held does not go on by itself when other mail of the sender goes through.
    let cause = match &message.hold {
        Some(_) => Cause::default(),
        None => Cause { sender: Some(sender), lane: Some(lane.clone()) },
    };
    if !stuck::open(context, incident, cause, message.id) {
        return None;
    }
    let owner = message.report_to.clone()?;
    Some(Notification { to: vec![owner], subject, text, by: None, not_by: Vec::new() })
}

/// The transport failed by a fault of its own.
pub(crate) fn panicked(context: &Context, message: &Message, lane: &LaneName) {
    let id = message.id;
    tracing::error!(%id, %lane, "the transport failed on this message by a fault of its own (a panic); it is tried again");
    let incident = Incident {
        kind: IncidentKind::Fault,
        about: format!("attempts in {lane}"),
        severity: Severity::Critical,
        what: format!(
            "the relay failed on message {id} in `{lane}` by a fault of its own (a panic); it is tried again"
        ),
        remedy: "please report the lines of the log before this one".to_owned(),
        code: None,
        lanes: Vec::new(),
    };
    stuck::open(context, incident, Cause::default(), id);
}

/// The bytes of a message cannot be read: it is held.
pub(crate) fn damaged(context: &Context, message: &Message, lane: &LaneName, error: &SpoolError) {
    let id = message.id;
    tracing::error!(%id, %lane, %error, "the bytes of this message cannot be read; it is held");
    let incident = Incident {
        kind: IncidentKind::Message,
        about: format!("the bytes of message {id}"),
        severity: Severity::Critical,
        what: format!("the bytes of message {id} cannot be read, it is held: {error}"),
        remedy: "`posthouse spool check` says what is damaged, `posthouse remove` gives the message up".to_owned(),
        code: None,
        lanes: Vec::new(),
    };
    stuck::open(context, incident, Cause::default(), id);
}

/// The next hop, asked, has it.
pub(crate) fn arrived(
    context: &Context,
    message: &Message,
    lane: &LaneName,
    indices: &[u32],
    remote: &RemoteReply,
    now: Timestamp,
) {
    let (id, recipients, host) = (message.id, indices.len(), &remote.host);
    tracing::info!(%id, %lane, recipients, host, "handed over: asked, the next hop has it, though nobody saw its answer");
    let after = now.duration_since(message.accepted_at).as_secs_f64().max(0.0);
    count_own(context, message, recipients, false);
    for _ in indices {
        context.metrics.outcome(&lane.0, "handed-over", &code(remote));
        context.metrics.handed_over_after(after);
    }
}

/// A crash has cut an attempt off.
pub(crate) fn interrupted(context: &Context, id: MessageId, lane: &LaneName, recipients: usize) {
    tracing::warn!(%id, %lane, recipients, "unconfirmed: the last run ended while the last byte may have been on its way");
    (0..recipients).for_each(|_| context.metrics.outcome(&lane.0, "unconfirmed", ""));
}

/// Recipients whose time was up just now.
pub(crate) fn expired(context: &Context, message: &Message, now: Timestamp) {
    let expired = message.recipients.iter().filter_map(|recipient| match &recipient.state {
        RecipientState::Expired { reason, at } if *at == now => Some(reason),
        _ => None,
    });
    let reasons: Vec<_> = expired.collect();
    let lost = |recipient: &&Recipient| match &recipient.state {
        RecipientState::Expired { at, .. } => recipient.archive && *at == now,
        _ => false,
    };
    if let Some(archive) = message.recipients.iter().find(lost) {
        not_archived(context, message, archive, "its time was up", None, None);
    }
    if let Some(reason) = reasons.first() {
        let (id, lane, recipients) = (message.id, &message.lane, reasons.len());
        tracing::warn!(%id, %lane, recipients, reason, "expired");
        count_own(context, message, recipients, true);
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
        Wish::Warn => tracing::debug!(%id, %lane, "delayed"),
        Wish::Remove => {
            let removed = |state: &RecipientState| matches!(state, RecipientState::Removed { .. });
            let recipients = message.recipients.iter().filter(|recipient| removed(&recipient.state)).count();
            tracing::info!(%id, %lane, recipients, "removed by an operator");
            (0..recipients).for_each(|_| context.metrics.outcome(&lane.0, "removed", ""));
        }
    }
}

/// An incident for each breaker that opens.
pub(crate) fn opened(context: &Context, breaker: &BreakerName, pause: &Pause, lanes: &[LaneName]) {
    let Pause { code, reason, remedy, probe_after, .. } = pause;
    tracing::warn!(%breaker, code, probe_after_secs = probe_after.as_secs(), "breaker open: mail is kept and waits");
    context.incidents.open(Incident {
        kind: IncidentKind::Breaker,
        about: breaker.to_string(),
        severity: Severity::Critical,
        what: format!(
            "mail waits: {}; it is kept, one message is tried now and then, and all goes on by itself when that works",
            reason.trim_end_matches('.')
        ),
        remedy: remedy.clone(),
        code: Some(code.clone()),
        lanes: lanes.iter().map(LaneName::to_string).collect(),
    });
}

/// And its end.
pub(crate) fn closed(context: &Context, breaker: &BreakerName, open_for: Duration) {
    tracing::info!(%breaker, open_for_secs = open_for.as_secs(), "breaker closed: mail goes on");
    let how = format!("it works again after {}; the mail goes on", words(open_for));
    context.incidents.close(IncidentKind::Breaker, &breaker.to_string(), &how);
}

/// `3 h 20 min`: for people, in two units at most.
pub(crate) fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let parts = units.iter().skip(largest).take(2).filter_map(|(size, unit)| {
        let count = rest / size;
        rest %= size;
        (count > 0 || seconds == 0).then(|| format!("{count} {unit}"))
    });
    parts.collect::<Vec<_>>().join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_two_units_at_most() {
        let told = |seconds| words(Duration::from_secs(seconds));
        assert_eq!(told(0), "0 s");
        assert_eq!(told(59), "59 s");
        assert_eq!(told(3_600), "1 h");
        assert_eq!(told(12_005), "3 h 20 min");
        assert_eq!(told(3 * 86_400 + 59), "3 d");
    }
}
