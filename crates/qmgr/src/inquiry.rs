//! Before a message is sent again that may have arrived: the next hop is asked, where it can be.
//!
//! In: a message, some of whose recipients are unconfirmed. Out: which recipients are tried now; the others are handed over
//! after all, wait, or are held for an operator, as the lane's policy says. Never: a second copy where the next hop has said
//! that it has the first, or before it could be asked.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use queue::{
    AttemptReport, Happening, Inquiry, LaneName, LaneVerdict, Message, Outcome, RecipientState, RemoteReply,
    StoryEvent, Terms, Transport, Unconfirmed, settle,
};

use crate::attempt::Steps;
use crate::context::Context;
use crate::tell;
use crate::ways::Way;

/// Nobody answered, or nothing may be sent: again after this.
const LATER: Duration = Duration::from_secs(60);

pub(crate) enum Asked {
    /// These are tried.
    Send(Vec<u32>),
    /// None is tried now; the message says why.
    Wait,
}

/// `selected`: the recipients of the attempt.
pub(crate) async fn ask(steps: &Steps, message: &mut Message, selected: Vec<u32>) -> Asked {
    let (unconfirmed, others): (Vec<u32>, Vec<u32>) =
        selected.iter().partition(|index| state(message, **index).is_some_and(is_unconfirmed));
    if unconfirmed.is_empty() {
        return send(message, selected, steps.context.clock.now());
    }
    let context = &steps.context;
    let answer = inquire(context, &asked_lane(steps, message), message, &unconfirmed).await;
    let now = context.clock.now();
    match answer {
        Inquiry::Arrived { recipients, remote } => {
            let arrived: Vec<u32> = recipients.into_iter().filter(|index| unconfirmed.contains(index)).collect();
            note(message, &format!("it has arrived: {}", words(&remote)), now);
            tell::arrived(context, message, &steps.lane, &arrived, &remote, now);
            confirm(message, &unconfirmed, &arrived, &remote, now);
            let left =
                selected.into_iter().filter(|index| state(message, *index).is_some_and(RecipientState::is_queued));
            send(message, left.collect(), now)
        }
        Inquiry::NotArrived => {
            note(message, "it has not arrived", now);
            set_confirmed(message, &unconfirmed);
            Asked::Send(selected)
        }
        Inquiry::Unknown if steps.way.unconfirmed == Unconfirmed::Resend || ordered(message) => Asked::Send(selected),
        Inquiry::Unknown | Inquiry::Later { .. } if !others.is_empty() => Asked::Send(others),
        Inquiry::Unknown => {
            message.hold(HELD.to_owned(), now);
            Asked::Wait
        }
        Inquiry::Later { reason } => {
            wait(steps, message, unconfirmed, reason, now);
            Asked::Wait
        }
    }
}

/// What is done about recipients that have just become unconfirmed: where the policy is to hold them and the next hop can be
/// asked, they stay queued, and the next attempt begins with the question.
pub(crate) async fn policy(context: &Context, way: &Way, message: &Message, indices: &[u32]) -> Unconfirmed {
    if way.unconfirmed == Unconfirmed::Resend || indices.is_empty() {
        return Unconfirmed::Resend;
    }
    match inquire(context, &way.transport, message, indices).await {
        Inquiry::Unknown => Unconfirmed::Hold,
        _ => Unconfirmed::Resend,
    }
}

const HELD: &str = "the link broke after the last byte: it is not known whether the next hop has the message, and this path \
                    does not send twice. hint: look whether it arrived, then `posthouse release` sends it again, `posthouse \
                    remove` takes it out";

/// None left: all have arrived, or nothing fits the grant.
fn send(message: &mut Message, recipients: Vec<u32>, now: Timestamp) -> Asked {
    if recipients.is_empty() {
        message.due_at = message.due_at.max(now + LATER);
        return Asked::Wait;
    }
    Asked::Send(recipients)
}

/// Whoever was sent it last, if that is still configured.
fn asked_lane(steps: &Steps, message: &Message) -> Arc<dyn Transport> {
    let unconfirmed =
        |results: &[(Vec<u32>, Outcome)]| results.iter().any(|(_, o)| matches!(o, Outcome::Unconfirmed { .. }));
    let last: Option<&LaneName> = message.story.iter().rev().find_map(|event| match &event.what {
        Happening::Attempted { lane, results, .. } if unconfirmed(results) => Some(lane),
        _ => None,
    });
    let way = last.and_then(|lane| steps.context.ways.lane(lane)).unwrap_or(&steps.way);
    Arc::clone(&way.transport)
}

async fn inquire(context: &Context, transport: &Arc<dyn Transport>, message: &Message, indices: &[u32]) -> Inquiry {
    let inquiry = AssertUnwindSafe(transport.inquire(message, indices, context.clock.now())).catch_unwind();
    let answer = tokio::select! {
        biased;
        answer = inquiry => answer.ok(),
        () = context.abandon.cancelled() => None,
    };
    answer
        .unwrap_or_else(|| Inquiry::Later { reason: "the relay broke off before the next hop had answered".to_owned() })
}

/// Whether an operator has said, since it became unconfirmed, that it may go again.
fn ordered(message: &Message) -> bool {
    let last = message.story.iter().rev().find_map(|event| match &event.what {
        Happening::Released | Happening::RetryRequested => Some(true),
        Happening::Interrupted { .. } => Some(false),
        Happening::Attempted { results, .. } => {
            results.iter().any(|(_, outcome)| matches!(outcome, Outcome::Unconfirmed { .. })).then_some(false)
        }
        _ => None,
    });
    last.unwrap_or(false)
}

fn wait(steps: &Steps, message: &mut Message, indices: Vec<u32>, reason: String, now: Timestamp) {
    let outcome = Outcome::Deferred {
        reason: format!("it may have arrived, and the next hop could not be asked: {reason}"),
        hint: None,
        not_before: None,
        remote: None,
        counts: false,
    };
    let results = vec![(indices, outcome)];
    let report =
        AttemptReport { results, lane: LaneVerdict::Neutral, messages: 0, took_ms: 0, notes: Vec::new(), hold: None };
    let terms = Terms { lane: &steps.lane, retry: &steps.context.retry, unconfirmed: steps.way.unconfirmed };
    *message = settle(message.clone(), &report, &terms, now, 0);
}

/// Those that have arrived are handed over; the next hop does not have it for the others.
fn confirm(message: &mut Message, unconfirmed: &[u32], arrived: &[u32], remote: &RemoteReply, now: Timestamp) {
    set_confirmed(message, unconfirmed);
    for index in arrived {
        if let Some(state) = state_mut(message, *index) {
            *state = RecipientState::HandedOver { remote: remote.clone(), at: now };
        }
    }
}

fn set_confirmed(message: &mut Message, indices: &[u32]) {
    for index in indices {
        if let Some(RecipientState::Queued { unconfirmed, .. }) = state_mut(message, *index) {
            *unconfirmed = false;
        }
    }
}

fn note(message: &mut Message, answer: &str, at: Timestamp) {
    message.note(StoryEvent { at, what: Happening::Inquired { answer: answer.to_owned() } });
}

/// The first line of a reply.
fn words(remote: &RemoteReply) -> String {
    let line = remote.reply.lines.first().map(|line| &**line).unwrap_or_default();
    format!("{} {line}", remote.reply.code.get())
}

fn is_unconfirmed(state: &RecipientState) -> bool {
    matches!(state, RecipientState::Queued { unconfirmed: true, .. })
}

fn state(message: &Message, index: u32) -> Option<&RecipientState> {
    Some(&message.recipients.get(usize::try_from(index).ok()?)?.state)
}

fn state_mut(message: &mut Message, index: u32) -> Option<&mut RecipientState> {
    Some(&mut message.recipients.get_mut(usize::try_from(index).ok()?)?.state)
}
