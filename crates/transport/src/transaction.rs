//! One transaction: the envelope, the content, the replies; and what they mean for each recipient.
//!
//! In: a session, the envelope, the content. Out: outcomes, a verdict on the lane, recipients that must be sent to apart, and
//! whether the session can carry another message. Invariants: the last byte goes only when the journal knows of it; "handed
//! over" only on a 2yz to the final dot; "unconfirmed" only if the connection took the last byte and no reply to it came;
//! each recipient gets one outcome or is left over.

use std::time::Duration;

use jiff::Timestamp;
use queue::{Journal, LaneVerdict, Message, Outcome, RemoteReply, SpoolError};
use smtp::Reply;
use smtp::client::{BrokenSession, PartialReplies, Replies, Stage, Step, Transaction};
use tokio::time::timeout;

use crate::classify::{self, LINK_REST, Rules, Ruling, What};
use crate::content::Content;
use crate::plan;
use crate::remote_id::remote_id;
use crate::report::Report;
use crate::session::{LinkError, Patience, SendError, Session};
use crate::settings::Timeouts;

/// How a conversation ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// By replies alone.
    Over(Replies),
    /// The session is of no further use. `sending`: content had begun to flow.
    Broken { trouble: Trouble, replies: PartialReplies, sending: bool },
}

/// What broke it.
#[derive(Debug)]
pub(crate) enum Trouble {
    Link(LinkError),
    Session(BrokenSession),
    Body(SpoolError),
    /// It could not be noted that the last byte was to go, so it did not.
    Journal(String),
    /// A reply that cannot be believed, or a step that makes no sense.
    Astray(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Session(cause) => cause.fmt(f),
            Self::Body(error) => error.fmt(f),
            Self::Journal(cause) => write!(f, "the message was not ended, for the attempt could not be noted: {cause}"),
            Self::Astray(what) => f.write_str(what),
        }
    }
}

/// Who is named in a transaction, in order, and where it is noted that its last byte goes.
pub(crate) struct Named<'a> {
    pub(crate) recipients: &'a [u32],
    pub(crate) journal: &'a dyn Journal,
}

impl Named<'_> {
    /// Those whom the server has accepted may get the message from now on.
    async fn note(&self, replies: &[Reply], limit: Duration) -> Result<(), Trouble> {
        let accepted = |at: usize| replies.get(at).is_some_and(|reply| reply.code.is_positive());
        let all = (0..self.recipients.len()).all(accepted);
        let some: Vec<u32>;
        let noted = if all {
            self.recipients
        } else {
            some =
                self.recipients.iter().enumerate().filter_map(|(at, index)| accepted(at).then_some(*index)).collect();
            &some
        };
        match timeout(limit, self.journal.last_byte(noted)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Journal(error.to_string())),
            Err(_) => Err(Trouble::Journal(format!("no answer within {} s", limit.as_secs_f32()))),
        }
    }
}

/// Speaks the whole transaction.
pub(crate) async fn converse(
    session: &mut Session,
    transaction: &Transaction,
    content: &mut Content,
    named: Named<'_>,
    timeouts: &Timeouts,
) -> Ending {
    session.heard = false;
    session.dot_sent = false;
    session.messages += 1;
    session.client.begin(transaction);
    let first = session.step(Patience::new(timeouts.command, transaction.recipients.len() + 2)).await;
    if !matches!(first, Ok(Step::SendContent)) {
        return ending(session, first, false);
    }
    match session.send(content, Patience::for_octets(timeouts.content, content.size())).await {
        Ok(None) => {}
        Ok(Some(early)) => return early_end(session, early),
        Err(SendError::Link(error)) => return ending(session, Err(error), true),
        Err(SendError::Body(error)) => return broken(session, Trouble::Body(error), true),
    }
    if let Err(trouble) = named.note(session.client.recipient_replies(), timeouts.content).await {
        return broken(session, trouble, true);
    }
    match session.end(content, Patience::for_octets(timeouts.content, 0)).await {
        Ok(None) => {
            let last = session.step(Patience::new(timeouts.end, 1)).await;
            ending(session, last, true)
        }
        Ok(Some(early)) => early_end(session, early),
        Err(error) => ending(session, Err(error), true),
    }
}

fn ending(session: &mut Session, step: Result<Step, LinkError>, sending: bool) -> Ending {
    match step {
        Ok(Step::Over(replies)) => Ending::Over(replies),
        Ok(Step::Broken { cause, replies }) => {
            let replies = replies.map(|replies| *replies).unwrap_or_default();
            Ending::Broken { trouble: Trouble::Session(cause), replies, sending }
        }
        Ok(step) => broken(session, Trouble::Astray(format!("the conversation went astray: {step:?}")), sending),
        Err(error) => broken(session, Trouble::Link(error), sending),
    }
}

/// The server answered before it had the whole message: a refusal is one, an acceptance is not to be believed.
fn early_end(session: &mut Session, step: Step) -> Ending {
    match step {
        Step::Over(replies) if !session.dot_sent => {
            let Replies { mail, recipients, data, end } = replies;
            let replies = PartialReplies { mail: Some(mail), recipients, data };
            let trouble = match end {
                Some(reply) if !reply.code.is_positive() => Trouble::Session(BrokenSession::Unasked(reply)),
                _ => Trouble::Astray("the server accepted the message before it had all of it".to_owned()),
            };
            Ending::Broken { trouble, replies, sending: true }
        }
        step => ending(session, Ok(step), true),
    }
}

fn broken(session: &mut Session, trouble: Trouble, sending: bool) -> Ending {
    let replies = session.answered();
    Ending::Broken { trouble, replies, sending }
}

impl Ending {
    /// The server took the message, for whomever.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Over(Replies { end: Some(end), .. }) if end.code.is_positive())
    }

    /// Of an idle connection: how the server had given it up. Nothing was said about the message.
    pub(crate) fn death(&self, session: &Session) -> Option<&Trouble> {
        let Self::Broken { trouble, replies, sending: false } = self else { return None };
        let dead = match trouble {
            Trouble::Session(BrokenSession::Closing(_) | BrokenSession::Unasked(_)) => replies.mail.is_none(),
            Trouble::Link(_) => replies.mail.is_none() && !session.heard,
            _ => false,
        };
        dead.then_some(trouble)
    }
}

/// Judges endings.
pub(crate) struct Judge<'a> {
    pub(crate) rules: &'a Rules,
    /// Name and address of the peer.
    pub(crate) peer: &'a str,
    /// Of the next hop, as an alert names it.
    pub(crate) host: &'a str,
    pub(crate) message: &'a Message,
    /// The server was told what was asked for of notifications.
    pub(crate) dsn: bool,
    pub(crate) dot_sent: bool,
    pub(crate) now: Timestamp,
    pub(crate) report: &'a mut Report,
}

/// Recipients without an outcome yet.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The server took others in this transaction and wants these in another one.
    pub(crate) surplus: Vec<u32>,
    /// The server refused them all together for being too many: with this reply, at this stage.
    pub(crate) too_many: Option<(Vec<u32>, Stage, Reply)>,
    /// It refused the sender.
    pub(crate) sender: Option<RefusedSender>,
}

/// A sender that the mailbox may not send as.
#[derive(Debug)]
pub(crate) struct RefusedSender {
    pub(crate) recipients: Vec<u32>,
    pub(crate) stage: Stage,
    pub(crate) reply: Reply,
    pub(crate) ruling: Ruling,
}

/// Recipients by their replies to RCPT, without the refused ones.
#[derive(Debug, Default)]
struct Sorted {
    accepted: Vec<u32>,
    unanswered: Vec<u32>,
    left: Left,
}

impl Left {
    fn refuse_sender(&mut self, recipients: Vec<u32>, stage: Stage, reply: &Reply, ruling: Ruling) {
        match &mut self.sender {
            Some(refused) => refused.recipients.extend(recipients),
            None => self.sender = Some(RefusedSender { recipients, stage, reply: reply.clone(), ruling }),
        }
    }

    /// What was left over at a later stage.
    fn join(&mut self, later: Self) {
        self.too_many = later.too_many;
        if let Some(RefusedSender { recipients, stage, reply, ruling }) = later.sender {
            self.refuse_sender(recipients, stage, &reply, ruling);
        }
    }
}

impl Judge<'_> {
    /// Gives each of `recipients` its outcome, or leaves it over.
    pub(crate) fn judge(&mut self, ending: Ending, recipients: Vec<u32>) -> Left {
        match ending {
            Ending::Over(replies) => self.over(replies, recipients),
            Ending::Broken { trouble, replies, sending } => self.broken(&trouble, replies, sending, recipients),
        }
    }

    fn over(&mut self, replies: Replies, recipients: Vec<u32>) -> Left {
        let Replies { mail, recipients: answers, data, end } = replies;
        if !mail.code.is_positive() {
            return self.refuse_all(recipients, Stage::Mail, &mail);
        }
        let Sorted { accepted, unanswered, mut left } = self.sort(recipients, &answers);
        self.report.add(unanswered, link_trouble("the conversation ended early", false));
        match (end, data) {
            _ if accepted.is_empty() => {}
            (Some(end), _) if end.code.is_positive() => self.hand_over(accepted, end),
            (Some(end), _) => left.join(self.refuse_all(accepted, Stage::End, &end)),
            (None, Some(data)) => left.join(self.refuse_all(accepted, Stage::Data, &data)),
            (None, None) => self.report.add(accepted, link_trouble("the conversation ended early", false)),
        }
        left
    }

    /// By their replies to RCPT; the refused ones get their outcome.
    fn sort(&mut self, recipients: Vec<u32>, answers: &[Reply]) -> Sorted {
        let any = answers.iter().any(|reply| reply.code.is_positive());
        let mut sorted = Sorted::default();
        for (at, index) in recipients.into_iter().enumerate() {
            match answers.get(at) {
                None => sorted.unanswered.push(index),
                Some(reply) if reply.code.is_positive() => sorted.accepted.push(index),
                Some(reply) => {
                    let ruling = self.rules.judge(Stage::Rcpt, reply, false);
                    if ruling.what == What::Split && any {
                        sorted.left.surplus.push(index);
                    } else if ruling.what == What::RefusedSender {
                        sorted.left.refuse_sender(vec![index], Stage::Rcpt, reply, ruling);
                    } else {
                        self.refuse(vec![index], Stage::Rcpt, reply, &ruling);
                    }
                }
            }
        }
        sorted
    }

    fn hand_over(&mut self, accepted: Vec<u32>, reply: Reply) {
        let remote_id = remote_id(&reply);
        let remote = RemoteReply { host: self.peer.to_owned(), reply, remote_id };
        let told = |index: &u32| plan::recipient(self.message, *index).is_some_and(|one| one.notify.is_some());
        let (told, others) = accepted.into_iter().partition(|index| self.dsn && told(index));
        let told: Vec<u32> = told;
        if !told.is_empty() {
            self.report.add(told, Outcome::HandedOver { remote: remote.clone(), notifies: true });
        }
        self.report.add(others, Outcome::HandedOver { remote, notifies: false });
        self.report.lane(LaneVerdict::Healthy);
    }

    fn refuse_all(&mut self, recipients: Vec<u32>, stage: Stage, reply: &Reply) -> Left {
        let ruling = self.rules.judge(stage, reply, false);
        if ruling.what == What::Split && recipients.len() > 1 {
            return Left { too_many: Some((recipients, stage, reply.clone())), ..Left::default() };
        }
        if ruling.what == What::RefusedSender {
            let mut left = Left::default();
            left.refuse_sender(recipients, stage, reply, ruling);
            return left;
        }
        self.refuse(recipients, stage, reply, &ruling);
        Left::default()
    }

    /// They get their outcome, and the lane its verdict.
    pub(crate) fn refuse(&mut self, recipients: Vec<u32>, stage: Stage, reply: &Reply, ruling: &Ruling) {
        self.report.ended |= ruling.ends_attempt();
        self.report.add(recipients, classify::outcome(ruling, stage, reply, self.peer, self.now));
        match classify::lane_verdict(ruling, stage, reply, self.host) {
            Some(verdict) => self.report.lane(verdict),
            // A verdict on a message: the way there works.
            None if ruling.what == What::Bounce => self.report.lane(LaneVerdict::Healthy),
            None => {}
        }
    }

    fn broken(&mut self, trouble: &Trouble, replies: PartialReplies, sending: bool, recipients: Vec<u32>) -> Left {
        if let Some(mail) = replies.mail.as_ref().filter(|mail| !mail.code.is_positive()) {
            return self.refuse_all(recipients, Stage::Mail, mail);
        }
        let stage = match replies.mail {
            _ if sending => Stage::End,
            None => Stage::Mail,
            Some(_) if replies.recipients.len() < recipients.len() => Stage::Rcpt,
            Some(_) => Stage::Data,
        };
        let Sorted { mut accepted, unanswered, mut left } = self.sort(recipients, &replies.recipients);
        accepted.extend(unanswered);
        let reason = format!("{}: {trouble}", self.peer);
        match trouble {
            Trouble::Session(BrokenSession::Closing(reply)) => {
                left.join(self.refuse_all(accepted, stage, reply));
            }
            // Said out of turn while content flowed: the last word on this message, the dot was never sent.
            Trouble::Session(BrokenSession::Unasked(reply)) if sending && !self.dot_sent && is_refusal(reply) => {
                left.join(self.refuse_all(accepted, stage, reply));
            }
            Trouble::Body(_) | Trouble::Journal(_) => self.report.add(accepted, link_trouble(&reason, false)),
            _ if self.dot_sent => {
                self.report.lane(LaneVerdict::Rest { wait: LINK_REST, reason: reason.clone() });
                self.report.add(accepted, Outcome::Unconfirmed { cause: reason });
            }
            _ => {
                self.report.lane(LaneVerdict::Rest { wait: LINK_REST, reason: reason.clone() });
                // A message on which the link breaks again and again must not hold up the others.
                self.report.add(accepted, link_trouble(&reason, stage != Stage::Mail));
            }
        }
        left
    }
}

fn is_refusal(reply: &Reply) -> bool {
    reply.code.is_transient() || reply.code.is_permanent()
}

pub(crate) fn link_trouble(reason: &str, counts: bool) -> Outcome {
    Outcome::Deferred { reason: reason.to_owned(), hint: None, not_before: None, remote: None, counts }
}
