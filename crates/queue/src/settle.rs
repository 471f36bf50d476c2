//! From an attempt's report to the message's next state. Pure: the message, the report, `now`, the policy and one random
//! number in; the new message out. The queue manager records what comes out and nothing else.
//!
//! Our trouble never bounces mail: what does not count (a paused lane, a throttle, a dead link) leaves attempts, schedule
//! and life alone, however long it lasts. A message's life ends only with a counted attempt made at its end or after it.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use crate::retry::later;
use crate::{
    AttemptReport, Happening, LaneName, LaneVerdict, LastByte, Message, Outcome, Postpone, Recipient, RecipientState,
    RemoteReply, RetryPolicy, StoryEvent, Unconfirmed,
};

/// Octets kept of one reply. Exchange's longest replies have about 1,000.
const REPLY_LIMIT: usize = 4096;

/// Notes kept of one attempt, and octets of each.
const NOTES_LIMIT: usize = 8;
const NOTE_LIMIT: usize = 512;

/// Wait after trouble that neither counts nor makes the lane wait, so that it does not repeat at machine speed.
const UNCOUNTED_WAIT: Duration = Duration::from_secs(60);

/// Once its life is over, a message whose attempts do not count waits no longer than this, whatever patience is asked for.
const UNCOUNTED_LONGEST: Duration = Duration::from_secs(3_600);

/// Under which rules an attempt is settled.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The lane in which it was made.
    pub lane: &'a LaneName,
    /// See there.
    pub retry: &'a RetryPolicy,
    /// That lane's.
    pub unconfirmed: Unconfirmed,
}

/// Applies a report. Recipients that the report does not name (they were not granted, or not reached) are left as they are:
/// queued, and due at once if the others got on.
pub fn settle(mut message: Message, report: &AttemptReport, terms: &Terms<'_>, now: Timestamp, random: u32) -> Message {
    let policy = terms.retry;
    let mut settled = 0;
    for (indices, outcome) in report.results.iter().filter(|(_, outcome)| !had_no_room(outcome, now)) {
        let next = next_state(outcome, now);
        each_queued(&mut message, indices, |recipient| {
            apply(recipient, &next);
            settled += usize::from(!recipient.state.is_queued());
        });
    }
    let goes_on = settled > 0 && !message.is_settled() && is_cut_short(&message, report, now);
    let defers = report.results.iter().any(|(indices, o)| defers_and_counts(o) && any_queued(&message, indices));
    if message.is_settled() || (defers && !goes_on) {
        message.attempts = message.attempts.saturating_add(1);
    }
    note_attempt(&mut message, report, terms.lane, now);
    if goes_on {
        message.due_at = message.due_at.min(now);
    } else if !message.is_settled() {
        reschedule(&mut message, report, policy, now, random);
    }
    if terms.unconfirmed == Unconfirmed::Hold {
        hold_unconfirmed(&mut message, &unconfirmed_in(report), now);
    }
    if let Some(reason) = report.hold.as_ref().filter(|_| !message.is_settled() && message.hold.is_none()) {
        message.hold(reason.clone(), now);
    }
    if !message.is_settled() && !message.warned && now >= policy.warns_at(message.accepted_at) {
        message.warned = true;
        message.note(StoryEvent { at: now, what: Happening::Delayed });
    }
    message
}

/// Before an attempt: a message whose time is up and which was tried, and counted, after that time came, expires in place
/// of being tried again; so it is when its life has become shorter by a new configuration. Time that it spent held or in a
/// lane that did not work gives no such attempt. `None`: go on and try.
pub fn expire_check(message: &Message, policy: &RetryPolicy, now: Timestamp) -> Option<Message> {
    let expires_at = policy.expires_at(message.accepted_at);
    if now < expires_at {
        return None;
    }
    let tried: Vec<u32> = message
        .story
        .iter()
        .rev()
        .take_while(|event| event.at >= expires_at)
        // An operator's word gives one more attempt.
        .take_while(|event| !matches!(event.what, Happening::RetryRequested | Happening::Released))
        .filter_map(|event| match &event.what {
            Happening::Attempted { results, .. } => Some(results),
            _ => None,
        })
        .flatten()
        .filter(|(_, outcome)| defers_and_counts(outcome))
        .flat_map(|(indices, _)| indices.iter().copied())
        .collect();
    let mut expired = message.clone();
    expire(&mut expired, &tried, policy, now).then_some(expired)
}

/// The relay ended while the last byte of a transaction may have been on its way: its recipients are unconfirmed, as far as
/// they are still queued. They are tried again after a minute, or held until an operator has looked, as the lane's policy
/// says.
pub fn interrupted(mut message: Message, entry: &LastByte, policy: Unconfirmed, now: Timestamp) -> Message {
    let cause = "the relay ended (a crash, a power cut) before the next hop had answered";
    let next = RecipientState::Queued { last: Some(cause.to_owned()), unconfirmed: true };
    let mut any = false;
    each_queued(&mut message, &entry.recipients, |recipient| {
        apply(recipient, &next);
        any = true;
    });
    if !any {
        return message;
    }
    message.attempts = message.attempts.saturating_add(1);
    message.note(StoryEvent { at: now, what: Happening::Interrupted { recipients: entry.recipients.clone() } });
    message.due_at = later(entry.at.min(now), UNCOUNTED_WAIT).max(now);
    if policy == Unconfirmed::Hold {
        hold_unconfirmed(&mut message, &entry.recipients, now);
    }
    message
}

/// The message makes room for others until its budget can bear it. Nothing was tried: no attempt, no life is used up.
pub fn postponed(mut message: Message, postpone: &Postpone, now: Timestamp) -> Message {
    let budget = &postpone.budget;
    let reason =
        format!("waits until there is room again in the budget `{budget}`; mail that does not need it goes on");
    message.due_at = postpone.until;
    match message.story.last_mut() {
        Some(StoryEvent { what: Happening::Postponed { reason: known, until }, .. }) if *known == reason => {
            *until = postpone.until;
        }
        _ => {
            let what = Happening::Postponed { reason, until: postpone.until };
            message.note(StoryEvent { at: now, what });
        }
    }
    message
}

/// Whether the attempt has not come to these: there was no room for them in it, and they may go at once. They stay as they
/// were, so that whoever has not been tried is known.
fn had_no_room(outcome: &Outcome, now: Timestamp) -> bool {
    matches!(outcome, Outcome::Deferred { counts: false, not_before: Some(at), remote: None, .. } if *at <= now)
}

/// Whether recipients are left that the attempt has not come to: not named, or without room in it.
fn is_cut_short(message: &Message, report: &AttemptReport, now: Timestamp) -> bool {
    let waits = |outcome: &Outcome| report.lane != LaneVerdict::Healthy || !had_no_room(outcome, now);
    let mut reached = vec![false; message.recipients.len()];
    for index in report.results.iter().filter(|(_, outcome)| waits(outcome)).flat_map(|(indices, _)| indices) {
        let place = usize::try_from(*index).ok().and_then(|index| reached.get_mut(index));
        place.into_iter().for_each(|reached| *reached = true);
    }
    message.recipients.iter().zip(reached).any(|(recipient, reached)| !reached && recipient.state.is_queued())
}

/// The recipients that an attempt left in doubt.
fn unconfirmed_in(report: &AttemptReport) -> Vec<u32> {
    let in_doubt = report.results.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Unconfirmed { .. }));
    in_doubt.flat_map(|(indices, _)| indices.iter().copied()).collect()
}

/// Holds the message if one of these is still queued. Other recipients wait with it.
fn hold_unconfirmed(message: &mut Message, indices: &[u32], now: Timestamp) {
    if message.hold.is_some() || !any_queued(message, indices) {
        return;
    }
    let (id, count) = (message.id, indices.len());
    let recipients = if count == 1 { "one recipient".to_owned() } else { format!("{count} recipients") };
    let reason = format!(
        "the link broke after the last byte: it is not known whether the next hop has the message for {recipients}, and \
         this path does not send twice. hint: `posthouse explain {id}` shows what happened; look whether it arrived, then \
         `posthouse release {id}` sends it again, `posthouse remove {id}` takes it out"
    );
    message.hold(reason, now);
}

/// What an outcome makes of a queued recipient.
fn next_state(outcome: &Outcome, now: Timestamp) -> RecipientState {
    match outcome {
        Outcome::HandedOver { remote, .. } => RecipientState::HandedOver { remote: clipped(remote), at: now },
        Outcome::Deferred { reason, .. } => RecipientState::Queued { last: Some(reason.clone()), unconfirmed: false },
        Outcome::Bounced { reason, remote, .. } => {
            RecipientState::Bounced { reason: reason.clone(), remote: remote.as_ref().map(clipped), at: now }
        }
        Outcome::Unconfirmed { cause } => RecipientState::Queued { last: Some(cause.clone()), unconfirmed: true },
    }
}

/// Once unconfirmed, a recipient stays so until it is settled: that first copy may still have arrived.
fn apply(recipient: &mut Recipient, next: &RecipientState) {
    let before = matches!(recipient.state, RecipientState::Queued { unconfirmed: true, .. });
    recipient.state = next.clone();
    if let RecipientState::Queued { unconfirmed, .. } = &mut recipient.state {
        *unconfirmed |= before;
    }
}

/// Whether an outcome is the message's own, and not only its lane's.
fn counts(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Deferred { counts: false, .. })
}

/// Whether an outcome leaves the recipient queued and uses up an attempt of the schedule.
fn defers_and_counts(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Deferred { counts: true, .. } | Outcome::Unconfirmed { .. })
}

/// Adds the attempt to the story; an uncounted one as one `Waiting`, however often the same trouble repeats.
fn note_attempt(message: &mut Message, report: &AttemptReport, lane: &LaneName, now: Timestamp) {
    let waiting = report.results.iter().find_map(|(_, outcome)| match outcome {
        Outcome::Deferred { reason, hint, counts: false, .. } => Some((reason, hint)),
        _ => None,
    });
    let notes = || report.notes.iter().take(NOTES_LIMIT).map(|note| clipped_note(note)).collect();
    let what = match waiting {
        Some((reason, hint)) if !report.results.iter().any(|(_, outcome)| counts(outcome)) => {
            if message.story.last().is_some_and(|last| is_waiting_for(&last.what, reason)) {
                return;
            }
            Happening::Waiting { reason: reason.clone(), hint: hint.clone(), notes: notes() }
        }
        _ => Happening::Attempted {
            lane: lane.clone(),
            took_ms: report.took_ms,
            results: report.results.iter().map(|(indices, outcome)| (indices.clone(), kept(outcome))).collect(),
            notes: notes(),
        },
    };
    message.note(StoryEvent { at: now, what });
}

fn is_waiting_for(what: &Happening, trouble: &str) -> bool {
    matches!(what, Happening::Waiting { reason, .. } if reason == trouble)
}

fn clipped_note(note: &str) -> String {
    note.get(..note.floor_char_boundary(NOTE_LIMIT)).unwrap_or(note).to_owned()
}

/// Sets the next due time of a message that is still queued, or ends its life.
fn reschedule(message: &mut Message, report: &AttemptReport, policy: &RetryPolicy, now: Timestamp, random: u32) {
    let deferred = || report.results.iter().filter(|(indices, _)| any_queued(message, indices));
    let not_before = deferred()
        .filter_map(|(_, outcome)| match outcome {
            Outcome::Deferred { not_before, .. } => *not_before,
            _ => None,
        })
        .max();
    let counted: Vec<u32> = deferred()
        .filter(|(_, outcome)| defers_and_counts(outcome))
        .flat_map(|(indices, _)| indices.iter().copied())
        .collect();
    if counted.is_empty() {
        let longest = policy.expires_at(message.accepted_at).max(later(now, UNCOUNTED_LONGEST));
        message.due_at = uncounted_due(message.due_at, &report.lane, not_before, now).min(longest);
        return;
    }
    match policy.next(message.attempts, now, message.accepted_at, not_before, random) {
        Some(due_at) => message.due_at = due_at,
        None => {
            expire(message, &counted, policy, now);
            message.due_at = later(now, UNCOUNTED_WAIT);
        }
    }
}

/// After trouble that does not count, the message keeps its place in the line, and the lane decides when it goes on.
fn uncounted_due(due_at: Timestamp, lane: &LaneVerdict, not_before: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let lane_waits = matches!(lane, LaneVerdict::Rest { .. } | LaneVerdict::Throttled(_) | LaneVerdict::Paused(_));
    match not_before {
        Some(asked) => asked.max(due_at),
        None if lane_waits => due_at.min(now),
        None => later(now, UNCOUNTED_WAIT),
    }
}

/// Ends the life of these recipients, as far as they are queued. Returns whether there were any.
fn expire(message: &mut Message, indices: &[u32], policy: &RetryPolicy, now: Timestamp) -> bool {
    let life = readable(policy.expire);
    let mut any = false;
    each_queued(message, indices, |recipient| {
        let RecipientState::Queued { last, unconfirmed } = &recipient.state else { return };
        let last = last.as_deref().unwrap_or("no attempt has come to an answer");
        let doubt = if *unconfirmed { "; an earlier attempt ended unconfirmed, so it may have arrived" } else { "" };
        let reason = format!("not handed over within {life}: {last}{doubt}");
        recipient.state = RecipientState::Expired { reason, at: now };
        any = true;
    });
    if any {
        message.note(StoryEvent { at: now, what: Happening::Expired });
    }
    any
}

fn each_queued(message: &mut Message, indices: &[u32], mut change: impl FnMut(&mut Recipient)) {
    for index in indices {
        let recipient = usize::try_from(*index).ok().and_then(|index| message.recipients.get_mut(index));
        if let Some(recipient) = recipient.filter(|recipient| recipient.state.is_queued()) {
            change(recipient);
        }
    }
}

fn any_queued(message: &Message, indices: &[u32]) -> bool {
    indices.iter().any(|index| {
        let recipient = usize::try_from(*index).ok().and_then(|index| message.recipients.get(index));
        recipient.is_some_and(|recipient| recipient.state.is_queued())
    })
}

/// An outcome as it is stored: a reply that does not end is cut.
fn kept(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    match &mut outcome {
        Outcome::HandedOver { remote, .. }
        | Outcome::Deferred { remote: Some(remote), .. }
        | Outcome::Bounced { remote: Some(remote), .. } => clip(remote),
        _ => {}
    }
    outcome
}

fn clipped(remote: &RemoteReply) -> RemoteReply {
    let mut remote = remote.clone();
    clip(&mut remote);
    remote
}

fn clip(remote: &mut RemoteReply) {
    let mut room = REPLY_LIMIT;
    remote.reply.lines.retain_mut(|line| {
        let had_room = room > 0;
        if line.len() > room {
            *line = Cow::Owned(line.get(..line.floor_char_boundary(room)).unwrap_or_default().to_owned());
        }
        room = room.saturating_sub(line.len().max(1));
        had_room
    });
}

/// `3 days`, `90 minutes`: in the largest unit that goes in without a rest.
fn readable(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
        .map_or((seconds, "second"), |(size, unit)| (seconds / size, unit));
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageId, NewMessage, Origin, Pause};
    use proptest::prelude::*;
    use smtp::{EnhancedStatus, ForwardPath, Reply, ReplyCode, ReversePath};

    const ACCEPTED: Timestamp = Timestamp::constant(1_800_000_000, 0);
    const HOUR: u64 = 3_600;

    fn after(seconds: u64) -> Timestamp {
        later(ACCEPTED, Duration::from_secs(seconds))
    }

    fn message(recipients: usize) -> Message {
        let recipient = Recipient {
            forward_path: ForwardPath::Postmaster,
            notify: None,
            orcpt: None,
            archive: false,
            state: RecipientState::fresh(),
        };
        let origin = Origin {
            client: "printers".into(),
            user: None,
            peer: "127.0.0.1:40000".parse().unwrap(),
            helo: "printer".to_owned(),
            tls: None,
            session: "s".to_owned(),
        };
        let new = NewMessage {
            id: MessageId::next(None, ACCEPTED, 0),
            accepted_at: ACCEPTED,
            origin,
            reverse_path: ReversePath::Null,
            body: smtp::BodyType::default(),
            smtputf8: false,
            ret: None,
            envid: None,
            recipients: vec![recipient; recipients],
            header: message::HeaderFacts::default(),
            content: message::ContentFacts::default(),
            urgent: false,
            lane: LaneName("lane".into()),
            hold: None,
            report_to: None,
            report_of: None,
        };
        Message::accepted(new, 10)
    }

    fn remote(text: &str) -> RemoteReply {
        let reply = Reply { code: ReplyCode::new(250).unwrap(), status: None, lines: vec![text.to_owned().into()] };
        RemoteReply { host: "next.example".to_owned(), reply, remote_id: None }
    }

    fn deferred(counts: bool) -> Outcome {
        Outcome::Deferred { reason: "trouble".to_owned(), hint: None, not_before: None, remote: None, counts }
    }

    fn no_room(at: u64) -> Outcome {
        let (reason, not_before) = ("no room".to_owned(), Some(after(at)));
        Outcome::Deferred { reason, hint: None, not_before, remote: None, counts: false }
    }

    fn handed_over() -> Outcome {
        Outcome::HandedOver { remote: remote("ok"), notifies: false }
    }

    fn bounced() -> Outcome {
        let status = EnhancedStatus::new(5, 1, 1);
        Outcome::Bounced { status, reason: "nobody there".to_owned(), hint: None, remote: None }
    }

    fn unconfirmed() -> Outcome {
        Outcome::Unconfirmed { cause: "link broke".to_owned() }
    }

    fn report(results: Vec<(Vec<u32>, Outcome)>) -> AttemptReport {
        AttemptReport { results, lane: LaneVerdict::Neutral, messages: 1, took_ms: 5, notes: Vec::new(), hold: None }
    }

    fn paused(results: Vec<(Vec<u32>, Outcome)>) -> AttemptReport {
        let pause = Pause {
            scope: crate::Scope::Path,
            reason: "refused".to_owned(),
            remedy: "renew".to_owned(),
            code: "5.7.139".to_owned(),
            probe_after: Duration::from_secs(60),
        };
        AttemptReport { lane: LaneVerdict::Paused(pause), ..report(results) }
    }

    fn settled(message: Message, report: &AttemptReport, now: Timestamp) -> Message {
        let (lane, retry) = (LaneName("lane".into()), RetryPolicy::default());
        settle(message, report, &Terms { lane: &lane, retry: &retry, unconfirmed: Unconfirmed::Resend }, now, 0)
    }

    fn states(message: &Message) -> Vec<&'static str> {
        let state = |recipient: &Recipient| match recipient.state {
            RecipientState::Queued { unconfirmed: true, .. } => "unconfirmed",
            RecipientState::Queued { .. } => "queued",
            RecipientState::HandedOver { .. } => "handed over",
            RecipientState::Bounced { .. } => "bounced",
            _ => "else",
        };
        message.recipients.iter().map(state).collect()
    }

    #[test]
    fn an_attempt_can_end_in_a_hold_but_not_of_what_is_settled() {
        let refused = Outcome::Deferred {
            reason: "the sender was refused".to_owned(),
            hint: None,
            not_before: None,
            remote: None,
            counts: false,
        };
        let held = |results| {
            settled(message(2), &AttemptReport { hold: Some("grant it".to_owned()), ..report(results) }, after(1))
        };
        let waits = held(vec![(vec![0], handed_over()), (vec![1], refused)]);
        assert_eq!(waits.hold.as_ref().map(|hold| hold.reason.as_str()), Some("grant it"));
        assert!(matches!(waits.story.last().unwrap().what, Happening::Held { .. }), "{:?}", waits.story);
        assert_eq!(held(vec![(vec![0, 1], handed_over())]).hold, None);
    }

    #[test]
    fn each_recipient_gets_its_own_outcome() {
        let report = report(vec![(vec![0, 3], handed_over()), (vec![1], bounced()), (vec![2, 4], deferred(true))]);
        let message = settled(message(5), &report, after(1));
        assert_eq!(states(&message), ["handed over", "bounced", "queued", "handed over", "queued"]);
        assert_eq!(message.attempts, 1);
        assert!(message.due_at > after(1) && message.due_at <= after(61), "{}", message.due_at);
        assert!(matches!(message.story.last().unwrap().what, Happening::Attempted { .. }));
    }

    #[test]
    fn recipients_that_an_attempt_did_not_come_to_are_due_at_once_and_keep_their_place() {
        let not_named = vec![(vec![0, 1], handed_over())];
        let others = vec![(vec![0, 1], handed_over()), (vec![2, 3], no_room(10))];
        let one_deferred = vec![(vec![0], handed_over()), (vec![1], deferred(true))];
        for results in [not_named, others, one_deferred] {
            let healthy = AttemptReport { lane: LaneVerdict::Healthy, ..report(results) };
            let message = settled(message(4), &healthy, after(10));
            assert_eq!((message.attempts, message.due_at, message.class()), (0, ACCEPTED, crate::Class::New));
            assert!(matches!(message.story.last().unwrap().what, Happening::Attempted { .. }));
        }
    }

    #[test]
    fn recipients_for_whom_there_was_no_room_stay_as_they_were_and_make_nobody_wait() {
        // The first transaction was refused for its number: nobody got on, and nobody was answered.
        let message = settled(message(4), &report(vec![(vec![0, 1, 2, 3], no_room(10))]), after(10));
        assert_eq!((message.attempts, message.due_at), (0, after(10)));
        assert!(message.recipients.iter().all(|recipient| recipient.state.is_untried()));
        // The first ones were put off by the server, the others had no turn: they come first the next time.
        let message =
            settled(message, &report(vec![(vec![0, 1], deferred(true)), (vec![2, 3], no_room(20))]), after(20));
        let untried: Vec<_> = message.recipients.iter().map(|recipient| recipient.state.is_untried()).collect();
        assert_eq!((untried, message.attempts), (vec![false, false, true, true], 1));
        assert!(message.due_at > after(60), "{}", message.due_at);
    }

    #[test]
    fn an_attempt_that_got_no_recipient_on_is_not_repeated_at_once() {
        let healthy = |results| AttemptReport { lane: LaneVerdict::Healthy, ..report(results) };
        let deferred_all = settled(message(4), &healthy(vec![(vec![0, 1], deferred(true))]), after(10));
        assert_eq!(deferred_all.attempts, 1);
        assert!(deferred_all.due_at > after(60), "{}", deferred_all.due_at);
        let paused = paused(vec![(vec![0], handed_over()), (vec![1, 2, 3], deferred(false))]);
        let paused = settled(message(4), &paused, after(10));
        assert_eq!((paused.attempts, paused.due_at), (0, ACCEPTED), "the lane decides when it goes on");
    }

    fn held_if_unconfirmed(message: Message, results: Vec<(Vec<u32>, Outcome)>) -> Message {
        let (lane, retry) = (LaneName("b".into()), RetryPolicy::default());
        let terms = Terms { lane: &lane, retry: &retry, unconfirmed: Unconfirmed::Hold };
        settle(message, &report(results), &terms, after(1), 0)
    }

    #[test]
    fn where_nothing_may_be_sent_twice_an_unconfirmed_message_is_held_with_the_remedy() {
        let results = vec![(vec![0], unconfirmed()), (vec![1], deferred(true)), (vec![2], handed_over())];
        let held = held_if_unconfirmed(message(3), results);
        assert_eq!(states(&held), ["unconfirmed", "queued", "handed over"]);
        let hold = held.hold.as_ref().unwrap();
        for remedy in ["explain", "release", "remove"] {
            assert!(hold.reason.contains(&format!("`posthouse {remedy} {}`", held.id)), "{}", hold.reason);
        }
        let [.., attempted, told] = &held.story[..] else { panic!("{:?}", held.story) };
        assert!(matches!(&attempted.what, Happening::Attempted { lane, .. } if *lane.0 == *"b"));
        assert!(matches!(&told.what, Happening::Held { .. }));
        assert_eq!(held_if_unconfirmed(message(2), vec![(vec![0, 1], deferred(true))]).hold, None);
    }

    fn last_byte(recipients: &[u32]) -> LastByte {
        let (id, lane) = (message(1).id, LaneName("lane".into()));
        LastByte { id, lane, at: after(0), recipients: recipients.to_vec() }
    }

    #[test]
    fn an_interrupted_attempt_leaves_its_recipients_unconfirmed_as_far_as_they_are_queued() {
        let before = settled(message(3), &report(vec![(vec![0], handed_over())]), after(1));
        let entry = last_byte(&[0, 1]);
        let again = interrupted(before.clone(), &entry, Unconfirmed::Resend, after(10));
        assert_eq!(states(&again), ["handed over", "unconfirmed", "queued"]);
        assert_eq!((again.attempts, again.due_at, &again.hold), (1, after(60), &None));
        assert_eq!(again.story.last().unwrap().what, Happening::Interrupted { recipients: vec![0, 1] });
        let held = interrupted(before.clone(), &entry, Unconfirmed::Hold, after(10_000));
        assert!(held.hold.is_some());
        assert_eq!(held.due_at, after(10_000));
        let nothing = interrupted(before.clone(), &last_byte(&[0, 9]), Unconfirmed::Hold, after(10));
        assert_eq!(nothing, before);
    }

    #[test]
    fn a_postponed_message_is_told_of_once_and_loses_nothing() {
        let budget = |text: &str| crate::BudgetName(text.into());
        let postpone = |text: &str, seconds: u64| Postpone {
            pool: LaneName("lane".into()),
            id: message(1).id,
            until: after(seconds),
            budget: budget(text),
        };
        let mut it = message(1);
        for hour in 1..1_000 {
            it = postponed(it, &postpone("external a day", hour * HOUR), after(hour));
        }
        assert_eq!((it.attempts, it.due_at, it.story.len()), (0, after(999 * HOUR), 2));
        let Happening::Postponed { reason, until } = &it.story[1].what else { panic!("{:?}", it.story) };
        assert!(reason.contains("`external a day`") && *until == after(999 * HOUR), "{reason}");
        assert_eq!(it.story[1].at, after(1));
        assert_eq!(expire_check(&it, &RetryPolicy::default(), after(1_000 * HOUR)), None);
        assert_eq!(postponed(it, &postpone("other", 1), after(1)).story.len(), 3);
    }

    #[test]
    fn what_is_settled_stays_as_it_is() {
        let once = settled(message(1), &report(vec![(vec![0], handed_over())]), after(1));
        let twice = settled(once.clone(), &report(vec![(vec![0, 7], bounced())]), after(2));
        assert_eq!(once.recipients, twice.recipients);
        assert!(twice.is_settled());
    }

    #[test]
    fn trouble_of_the_lane_counts_nothing_expires_nothing_and_is_told_once() {
        let mut message = message(1);
        for hour in 0..1_000 {
            message = settled(message, &paused(vec![(vec![0], deferred(false))]), after(hour * HOUR));
            assert!(message.recipients[0].state.is_queued());
        }
        assert_eq!(message.attempts, 0);
        assert_eq!(message.due_at, ACCEPTED, "it keeps its place in the line");
        let told: Vec<_> = message.story.iter().map(|event| &event.what).collect();
        let waiting = Happening::Waiting { reason: "trouble".to_owned(), hint: None, notes: Vec::new() };
        assert_eq!(told, [&Happening::Accepted, &waiting, &Happening::Delayed, &waiting]);
        assert_eq!(expire_check(&message, &RetryPolicy::default(), after(1_000 * HOUR)), None);
    }

    #[test]
    fn trouble_that_neither_counts_nor_makes_the_lane_wait_is_not_repeated_at_once() {
        let message = settled(message(1), &report(vec![(vec![0], deferred(false))]), after(10));
        assert_eq!((message.attempts, message.due_at), (0, after(70)));
    }

    #[test]
    fn patience_that_is_asked_for_is_given_past_the_end_of_life_too_and_within_reason() {
        let month = 30 * 24 * HOUR;
        for (asked, given) in [(HOUR / 2, HOUR / 2), (month, HOUR)] {
            let not_before = Some(after(month + asked));
            let refused =
                Outcome::Deferred { reason: "x".to_owned(), hint: None, not_before, remote: None, counts: false };
            let healthy = AttemptReport { lane: LaneVerdict::Healthy, ..report(vec![(vec![0], refused)]) };
            let message = settled(message(1), &healthy, after(month));
            assert_eq!(message.due_at, after(month + given));
            assert!(message.recipients[0].state.is_queued());
        }
    }

    #[test]
    fn notes_and_the_hint_of_what_is_waited_for_are_told_and_do_not_grow() {
        let notes: Vec<String> = (0..20).map(|n| format!("{n} {}", "é".repeat(1_000))).collect();
        let hint = Some("renew it".to_owned());
        let trouble = Outcome::Deferred {
            reason: "refused".to_owned(),
            hint: hint.clone(),
            not_before: None,
            remote: None,
            counts: false,
        };
        let waiting = AttemptReport { notes: notes.clone(), ..paused(vec![(vec![0], trouble)]) };
        let taken = AttemptReport { notes, ..report(vec![(vec![0], handed_over())]) };
        let first = settled(message(1), &waiting, after(1));
        // Merged although it was another way there.
        let second = settled(first, &AttemptReport { notes: Vec::new(), ..waiting }, after(2));
        let third = settled(second, &taken, after(3));
        let [_, StoryEvent { what: Happening::Waiting { hint: told, notes: one, .. }, .. }, last] = &third.story[..]
        else {
            panic!("{:?}", third.story)
        };
        let Happening::Attempted { notes: other, .. } = &last.what else { panic!("{last:?}") };
        assert_eq!((told, one), (&hint, other));
        assert_eq!((one.len(), one[7].len()), (NOTES_LIMIT, NOTE_LIMIT));
        assert!(one[7].starts_with("7 é"));
    }

    #[test]
    fn stories_from_before_there_were_notes_still_load() {
        for (stored, wanted) in [
            (
                r#"{"at":"2027-01-15T08:00:00Z","event":"waiting","reason":"trouble"}"#,
                Happening::Waiting { reason: "trouble".to_owned(), hint: None, notes: Vec::new() },
            ),
            (
                r#"{"at":"2027-01-15T08:00:00Z","event":"attempted","lane":"lane","took_ms":5,"results":[]}"#,
                Happening::Attempted {
                    lane: LaneName("lane".into()),
                    took_ms: 5,
                    results: Vec::new(),
                    notes: Vec::new(),
                },
            ),
        ] {
            let event: StoryEvent = serde_json::from_str(stored).unwrap();
            assert_eq!(event.what, wanted);
            assert_eq!(serde_json::to_string(&event).unwrap(), stored, "and are stored as they were");
        }
    }

    #[test]
    fn a_message_expires_with_the_first_counted_attempt_after_its_life() {
        let day = 24 * HOUR;
        let just_before = settled(message(1), &report(vec![(vec![0], deferred(true))]), after(3 * day - 1));
        assert_eq!(just_before.due_at, after(3 * day));
        let at_its_end = settled(just_before, &report(vec![(vec![0], deferred(true))]), after(3 * day));
        let RecipientState::Expired { reason, .. } = &at_its_end.recipients[0].state else { panic!("{at_its_end:?}") };
        assert_eq!(reason, "not handed over within 3 days: trouble");
        assert_eq!(at_its_end.story.last().unwrap().what, Happening::Expired);
    }

    #[test]
    fn expiry_leaves_recipients_alone_whose_trouble_was_the_lane_s() {
        let report = paused(vec![(vec![0], deferred(true)), (vec![1], deferred(false))]);
        let message = settled(message(2), &report, after(100 * 24 * HOUR));
        assert!(matches!(message.recipients[0].state, RecipientState::Expired { .. }));
        assert!(message.recipients[1].state.is_queued());
    }

    #[test]
    fn unconfirmed_stays_queued_is_tried_within_a_minute_and_is_not_forgotten() {
        let first = settled(message(1), &report(vec![(vec![0], unconfirmed())]), after(1));
        assert!(first.due_at <= after(61));
        let second = settled(first, &report(vec![(vec![0], deferred(true))]), after(62));
        let state = &second.recipients[0].state;
        assert_eq!(*state, RecipientState::Queued { last: Some("trouble".to_owned()), unconfirmed: true });
        let expired = settled(second, &report(vec![(vec![0], deferred(true))]), after(73 * HOUR));
        let RecipientState::Expired { reason, .. } = &expired.recipients[0].state else { panic!("{expired:?}") };
        assert!(reason.ends_with("it may have arrived"), "{reason}");
    }

    #[test]
    fn a_delay_is_noted_once() {
        let once = settled(message(1), &report(vec![(vec![0], deferred(true))]), after(4 * HOUR));
        let twice = settled(once, &report(vec![(vec![0], deferred(true))]), after(5 * HOUR));
        assert_eq!(twice.story.iter().filter(|event| event.what == Happening::Delayed).count(), 1);
        assert!(twice.warned);
    }

    #[test]
    fn a_shorter_life_ends_messages_that_were_tried_after_it_unless_an_operator_asks() {
        let mut message = settled(message(2), &report(vec![(vec![0], deferred(true))]), after(2 * HOUR));
        let short = RetryPolicy { expire: Duration::from_secs(HOUR), ..RetryPolicy::default() };
        let expired = expire_check(&message, &short, after(3 * HOUR)).unwrap();
        assert!(matches!(expired.recipients[0].state, RecipientState::Expired { .. }));
        assert!(expired.recipients[1].state.is_queued(), "never tried");
        assert_eq!(expire_check(&message, &RetryPolicy::default(), after(3 * HOUR)), None);
        message.note(StoryEvent { at: after(3 * HOUR), what: Happening::RetryRequested });
        assert_eq!(expire_check(&message, &short, after(3 * HOUR)), None);
    }

    #[test]
    fn a_reply_without_end_is_cut() {
        let endless = Outcome::HandedOver { remote: remote(&"é".repeat(100_000)), notifies: false };
        let message = settled(message(1), &report(vec![(vec![0], endless)]), after(1));
        assert!(format!("{message:?}").len() < 3 * REPLY_LIMIT);
    }

    #[test]
    fn a_long_story_keeps_its_start_and_its_end_and_counts_what_it_left_out() {
        let mut message = message(1);
        for hour in 0..1_000 {
            message.note(StoryEvent { at: after(hour * HOUR), what: Happening::RetryRequested });
        }
        assert_eq!(message.story.len(), Message::STORY_LIMIT);
        assert_eq!(message.story[0].what, Happening::Accepted);
        assert_eq!(message.story.last().unwrap().at, after(999 * HOUR));
        let omitted: u32 =
            message.story.iter().map(|e| if let Happening::Omitted { events } = e.what { events } else { 0 }).sum();
        assert_eq!(omitted as usize, 1_001 - (Message::STORY_LIMIT - 1));
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(deferred(true)),
            Just(deferred(false)),
            Just(unconfirmed()),
            Just(bounced()),
            Just(handed_over())
        ]
    }

    proptest! {
        #[test]
        fn a_recipient_is_settled_once_and_a_queued_message_is_always_due_again(
            attempts in proptest::collection::vec((proptest::collection::vec(any_outcome(), 3), 1_u64..100_000, any::<bool>()), 1..30)
        ) {
            let mut message = message(3);
            let mut now = ACCEPTED;
            for (outcomes, wait, lane_trouble) in attempts {
                now = later(now, Duration::from_secs(wait));
                let results = outcomes.into_iter().enumerate().map(|(i, outcome)| (vec![i as u32], outcome)).collect();
                let report = if lane_trouble { paused(results) } else { report(results) };
                let before = message.clone();
                message = settled(message, &report, now);
                for (old, new) in before.recipients.iter().zip(&message.recipients) {
                    prop_assert!(old.state.is_queued() || old.state == new.state);
                }
                prop_assert!(message.due_at <= later(now, Duration::from_secs(5 * HOUR)));
                prop_assert!(message.attempts <= before.attempts + 1);
                prop_assert!(message.story.len() <= Message::STORY_LIMIT);
            }
        }
    }
}
