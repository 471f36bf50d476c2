//! Who is told of what became of a message, and by which way.
//!
//! In: a message whose recipients have fared anew, right before that is recorded; what is to be said to an operator. Out: mail
//! of our own, queued. A report is stored before the outcome that it tells of: a crash in between makes a second report, never
//! none.
//!
//! Never: a report about a report or another machine's answer, about mail with the null reverse-path, or about what an operator has taken out; a report that
//! holds up an outcome: what cannot be queued is logged and given up.

mod carrier;
mod cause;
mod digest;
mod fate;
mod post;
mod returned;
mod table;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use message::dsn::Action;
use message::{AutoSubmitted, Letter};
use queue::{Happening, LaneName, Message, MessageId, SpoolError, StoryEvent};
use smtp::{ForwardPath, ReversePath};

use self::carrier::Carrier;
use self::fate::Fate;
use crate::context::Context;

/// Digests that are due are looked for at least so often.
const ROUND: Duration = Duration::from_secs(15);

/// Mail of our own to an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Whom.
    pub to: Vec<ForwardPath>,
    /// One line, any language.
    pub subject: String,
    /// Plain text, lines separated by `\n`.
    pub text: String,
    /// The lane or pool that it should take; `None`: whichever works, those with the recipients' tenant first.
    pub by: Option<LaneName>,
    /// Lanes that it must not take: they are broken.
    pub not_by: Vec<LaneName>,
}

/// Why a notification could not be queued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotifyError {
    /// No lane is left.
    #[error("no path that works can carry it: {0}")]
    NoPath(String),
    /// The spool did not take it.
    #[error("the spool did not take it: {0}")]
    Spool(SpoolError),
}

/// Called before a message's new state is recorded. `told`: events of its story that were there before; what came after
/// them, and the states of the recipients, say who must hear what. Reports are queued, and noted in the message, when it
/// returns.
pub(crate) async fn tell(context: &Context, message: &mut Message, told: usize, now: Timestamp) {
    let fates = fate::new(message, told, &context.retry);
    if fates.is_empty() {
        return;
    }
    let Some(to) = reader(message) else {
        if message.report_of.is_some() && fates.iter().any(|fate| fate.action == Action::Failed) {
            tracing::warn!(id = %message.id, lane = %message.lane, "a report of our own was not delivered; nobody is told of that");
        }
        return;
    };
    for action in [Action::Failed, Action::Delayed, Action::Relayed] {
        let fates: Vec<Fate> =
            fates.iter().filter(|fate| fate.action == action && fate.is_wanted(message)).cloned().collect();
        if !fates.is_empty() {
            report(context, message, &to, fates, now).await;
        }
    }
}

/// What is due by the clock alone: digests. Until the relay stops.
pub(crate) async fn run(context: Arc<Context>) {
    let rounds = async {
        let mut digests = digest::Rounds::default();
        let pause = (context.reports.digest / 4).clamp(Duration::from_secs(1), ROUND);
        loop {
            digests.round(&context).await;
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = context.stopping.cancelled() => {}
    }
}

/// See [`crate::Handle::notify`].
pub(crate) async fn notify(context: &Context, notification: Notification) -> Result<MessageId, NotifyError> {
    let carrier = carrier::of_notification(context, &notification).map_err(NotifyError::NoPath)?;
    let text = |id| {
        let letter = letter(context, &carrier, &notification.to, notification.subject.clone(), id);
        post::Draft { needs_utf8: letter.needs_utf8(), octets: letter.with_text(&notification.text) }
    };
    post::post(context, &carrier, &notification.to, None, text).await.map_err(NotifyError::Spool)
}

/// Whoever reads reports about this message. A null reverse-path is never answered, and neither is a report: also not that of
/// another relay which comes from a mailbox, or two relays would tell each other for ever.
fn reader(message: &Message) -> Option<ForwardPath> {
    let ReversePath::Mailbox(sender) = &message.reverse_path else { return None };
    let reader = message.report_to.clone().unwrap_or_else(|| ForwardPath::Mailbox(sender.clone()));
    let is_answer = message.report_of.is_some() || message.header.auto_replied;
    (!is_answer).then_some(reader)
}

/// `fates`: at least one, all with the same action.
async fn report(context: &Context, message: &mut Message, to: &ForwardPath, fates: Vec<Fate>, now: Timestamp) {
    let Some(action) = fates.first().map(|fate| fate.action) else { return };
    let Some(carrier) = carrier::of_report(context, message) else {
        owed(message, to, action, &"no path of its tenant carries mail of the relay's own");
        return;
    };
    // Never tried to an end that counts: it waits for its lane (something open, a budget used up), not for its recipients.
    let waits_for_lane = message.attempts == 0 || carrier::is_stopped(context, &carrier.pool);
    if action == Action::Delayed && carrier.pool == message.lane && waits_for_lane {
        // It would come when the mail goes on. Operators know of it.
        tracing::debug!(id = %message.id, "no delay is reported: the report would wait for the same lane");
        return;
    }
    // With the null reverse-path a sender gets a report for every message (RFC 3461 §6): programs read them.
    let counted = message.report_to.is_some() || carrier.notice;
    let fates = match counted && matches!(action, Action::Failed | Action::Delayed) {
        true => match digest::share(context, message, to, fates, now).await {
            Ok(shared) => {
                if shared.digested > 0 {
                    note(message, to, action, None, now);
                    count(context, action, shared.digested);
                }
                shared.single
            }
            Err(error) => return owed(message, to, action, &error),
        },
        false => fates,
    };
    if fates.is_empty() {
        return;
    }
    match single(context, message, to, &carrier, &fates, now).await {
        Ok(id) => {
            note(message, to, action, Some(id), now);
            count(context, action, fates.len());
        }
        Err(error) => owed(message, to, action, &error),
    }
}

async fn single(
    context: &Context,
    message: &Message,
    to: &ForwardPath,
    carrier: &Carrier,
    fates: &[Fate],
    now: Timestamp,
) -> Result<MessageId, SpoolError> {
    let whole = returned::is_wanted_whole(context, message, fates);
    let returned = returned::read(context, message, whole).await;
    let to = std::slice::from_ref(to);
    post::post(context, carrier, to, Some(message.id), |id| {
        let letter = letter(context, carrier, to, String::new(), id);
        let report = fate::report(context, message, letter, fates, returned, carrier.notice);
        post::Draft { needs_utf8: report.letter.needs_utf8(), octets: report.write() }
    })
    .await
    .inspect(|id| tracing::info!(id = %message.id, report = %id, lane = %carrier.pool, at = %now, "reported to whoever sent it"))
}

fn letter(context: &Context, carrier: &Carrier, to: &[ForwardPath], subject: String, id: MessageId) -> Letter {
    let hostname = &context.reports.hostname;
    Letter {
        from_name: if carrier.notice { format!("Mail relay {hostname}") } else { "Mail Delivery System".to_owned() },
        from: carrier.from.clone(),
        to: to.to_vec(),
        subject,
        at: context.clock.now(),
        message_id: format!("{id}@{hostname}"),
        auto_submitted: AutoSubmitted::Generated,
        in_reply_to: None,
    }
}

fn note(message: &mut Message, to: &ForwardPath, action: Action, by: Option<MessageId>, now: Timestamp) {
    let to = to.mailbox().map_or_else(|| "postmaster".to_owned(), ToString::to_string);
    let what = Happening::Reported { to, action: action.keyword().to_owned(), by };
    message.note(StoryEvent { at: now, what });
}

fn count(context: &Context, action: Action, recipients: usize) {
    (0..recipients).for_each(|_| context.metrics.reported(action.keyword()));
}

/// The outcome counts more than the report.
fn owed(message: &Message, to: &ForwardPath, action: Action, why: &dyn std::fmt::Display) {
    tracing::warn!(
        id = %message.id,
        lane = %message.lane,
        %to,
        action = action.keyword(),
        %why,
        "a report about this message is owed and could not be queued; hint: tell its sender what `posthouse message` says"
    );
}
