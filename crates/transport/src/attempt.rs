//! One attempt at one message: as many transactions as its recipients need, on as few connections as possible.
//!
//! In: a message, some of its recipients, its bytes. Out: a report that names each of them once.
//! Postponed recipients (too many for a transaction, and no more transactions were granted) are deferred without counting, and
//! may go at once: each attempt serves some of them, those first that no attempt has come to, so there is an end.
//! A sender that the far side refuses is remembered and ends the attempt: the next one goes as the mailbox, where the client lets
//! it; otherwise the message is held.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use queue::{Attempt, AttemptReport, BodyReader, Happening, Journal, LaneVerdict, Message, Outcome};
use smtp::client::{Stage, Transaction};
use smtp::{Mailbox, Reply, ReversePath};
use tokio::time::Instant;

use crate::SmtpTransport;
use crate::classify;
use crate::content::{Content, Made, Shape, ShapeError, Stamp};
use crate::open::NextHop;
use crate::plan::{self, Sent, plan};
use crate::refusal::Refusal;
use crate::refusals::{Asking, Turn};
use crate::report::Report;
use crate::sender::{self, Claims, ClientRules, Decision, NO_RULES, OUR_RULES};
use crate::session::Session;
use crate::settings::{SmtpKind, SmtpSettings};
use crate::transaction::{Ending, Judge, Left, Named, RefusedSender, converse, link_trouble};

/// Transactions for one message in one attempt, whatever is granted.
const MOST_TRANSACTIONS: usize = 16;

/// Why recipients wait for the next attempt.
const NOT_GRANTED: &str = "waits for a transaction of its own: not all recipients fit into those of this attempt";
const REFUSED: &str = "waits with the other recipients: what refused them would refuse these";
const TRIED_BY_ANOTHER: &str =
    "waits for another message of this sender, which tries whether the mailbox may send as it";
const BROKEN: &str = "waits for another connection: the one with the other recipients broke";

/// See the head of this file.
pub(crate) struct Run<'a> {
    transport: &'a SmtpTransport,
    message: &'a Message,
    journal: &'a dyn Journal,
    /// Transactions that it may take.
    granted: usize,
    content: Content,
    /// When the attempt began, by the calendar and for measuring.
    began_at: Timestamp,
    began: Instant,
    /// Recipients of the transactions to come.
    left: VecDeque<Vec<u32>>,
    /// Those of the transaction that is being spoken.
    under_way: Vec<u32>,
    report: Report,
    session: Option<Session>,
    /// The form that the content has.
    shaped: Option<Shaped>,
    /// The session was idle and has not proved to be alive.
    reused: bool,
    /// Transactions that were not refused for their number of recipients.
    transactions: usize,
}

/// What the form of a content depends on.
#[derive(Debug, PartialEq, Eq)]
struct Shaped {
    sent_as: Option<Mailbox>,
    eight_bit: bool,
    smtputf8: bool,
}

/// As whom a transaction goes.
#[derive(Debug)]
struct SentAs {
    /// Never `Hold`.
    decision: Decision,
    reverse_path: ReversePath,
    /// Addresses that leave with it, in envelope or header section, and that the far side may refuse.
    foreign: Vec<Mailbox>,
}

/// Why nothing is sent now.
#[derive(Debug)]
enum PutOff {
    /// Until an operator has acted.
    Hold { reason: String, remedy: String },
    /// Another message is trying this sender: again after so long.
    Wait(Duration),
}

impl<'a> Run<'a> {
    pub(crate) async fn attempt(
        transport: &'a SmtpTransport,
        attempt: Attempt<'a>,
        body: BodyReader,
        began_at: Timestamp,
    ) -> AttemptReport {
        let began = Instant::now();
        let Attempt { message, mut recipients, transactions, journal } = attempt;
        recipients.sort_unstable();
        recipients.dedup();
        // Otherwise those that a server puts off again and again would take the turn of all others.
        recipients.sort_by_key(|index| !plan::recipient(message, *index).is_some_and(|one| one.state.is_untried()));
        let (recipients, unknown): (Vec<_>, Vec<_>) =
            recipients.into_iter().partition(|index| plan::recipient(message, *index).is_some());
        let mut report = Report::new();
        report.add(unknown, link_trouble("the message has no such recipient", true));
        match Content::open(message.id.to_string(), body).await {
            Err(error) => report.add(recipients, link_trouble(&error.to_string(), false)),
            Ok(_) if recipients.is_empty() => {}
            Ok(content) => {
                let left = VecDeque::from([recipients]);
                let mut run = Run {
                    transport,
                    message,
                    journal,
                    granted: transactions.clamp(1, MOST_TRANSACTIONS),
                    content,
                    began_at,
                    began,
                    left,
                    under_way: Vec::new(),
                    report,
                    session: None,
                    shaped: None,
                    reused: false,
                    transactions: 0,
                };
                tokio::select! {
                    biased;
                    () = run.all() => {}
                    () = transport.abandoned.cancelled() => run.break_off(),
                }
                report = run.report;
            }
        }
        report.finish(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn all(&mut self) {
        self.transport.refusals.store_again().await;
        // Dead connections and recipients whom the server cannot serve take no transaction: twice as many turns are enough.
        for _ in 0..2 * MOST_TRANSACTIONS {
            if self.report.ended {
                self.postpone(REFUSED, None);
            }
            if self.mails() >= self.granted {
                break;
            }
            let Some(recipients) = self.left.pop_front() else { break };
            if let Err(refusal) = self.one(recipients).await {
                self.refuse(&refusal);
            }
        }
        self.postpone(NOT_GRANTED, Some(self.now()));
        if self.transactions > 1 {
            self.report.notes.add(format!("sent in {} transactions: too many recipients for one", self.transactions));
        }
        if let Some(session) = self.session.take() {
            self.transport.pool.give(session);
        }
    }

    /// How often MAIL was said.
    fn mails(&self) -> usize {
        usize::try_from(self.report.messages).unwrap_or(usize::MAX)
    }

    /// One transaction, on a connection at hand or a new one. On `Err` the recipients stand in `left` again.
    async fn one(&mut self, recipients: Vec<u32>) -> Result<(), Box<Refusal>> {
        let archive = self.of_one_kind(recipients);
        let (sent_as, _turn) = match self.sent_as(archive).await {
            Ok(sent_as) => sent_as,
            Err(put_off) => {
                self.put_off(put_off);
                return Ok(());
            }
        };
        let mut session = self.session().await?;
        if !self.shape(&session, &sent_as).await {
            self.session = Some(session);
            return Ok(());
        }
        let Some((recipients, transaction, notifies)) = self.envelope(&session, &sent_as) else {
            self.session = Some(session);
            return Ok(());
        };
        self.content.rewind();
        let timeouts = &self.transport.next_hop.settings.timeouts;
        self.under_way = recipients;
        let named = Named { recipients: &self.under_way, journal: self.journal };
        let ending = converse(&mut session, &transaction, &mut self.content, named, timeouts).await;
        let recipients = std::mem::take(&mut self.under_way);
        if let Some(cause) = ending.death(&session).filter(|_| self.reused) {
            tracing::debug!(connection = session.number, peer = %session.peer, "an idle connection was dead");
            self.report.notes.add(format!("an idle connection had died ({cause}) and was replaced"));
            // The other idle ones are not trusted either: the next connection is a new one.
            self.transport.pool.clear();
            self.left.push_front(recipients);
            return Ok(());
        }
        self.settle(session, ending, recipients, (&sent_as, notifies)).await;
        Ok(())
    }

    /// Puts them before the others, without the copy for an archive unless it is all that is left of them. Out: whether it is.
    fn of_one_kind(&mut self, recipients: Vec<u32>) -> bool {
        let (archive, others): (Vec<_>, Vec<_>) =
            recipients.into_iter().partition(|index| plan::is_archive(self.message, *index));
        let only = others.is_empty();
        if only {
            self.left.push_front(archive);
        } else {
            if !archive.is_empty() {
                self.left.push_front(archive);
            }
            self.left.push_front(others);
        }
        only
    }

    /// As whom the message goes, and the turn to try that where nobody knows yet whether it works.
    async fn sent_as(&mut self, archive: bool) -> Result<(SentAs, Turn), PutOff> {
        let first = self.decided(archive)?;
        if first.foreign.is_empty() {
            return Ok((first, Turn::default()));
        }
        // Whoever waits for others keeps no connection from them.
        if let Some(session) = self.session.take() {
            self.transport.pool.give(session);
        }
        let Some(asking) = self.asking() else { return Ok((first, Turn::default())) };
        match self.transport.refusals.turn(&asking, &first.foreign).await {
            Ok(turn) => self.decided(archive).map(|sent_as| (sent_as, turn)),
            Err(wait) => match self.decided(archive)? {
                // What came of the other's try says nothing yet: the scheduler knows whether this lane still works.
                SentAs { decision: Decision::AsItIs, .. } => Err(PutOff::Wait(wait)),
                sent_as => Ok((sent_as, Turn::default())),
            },
        }
    }

    fn decided(&self, archive: bool) -> Result<SentAs, PutOff> {
        let identity = &self.transport.next_hop.settings.identity;
        let asking = self.asking();
        let orphaned = match self.is_orphan() {
            true => sender::orphaned(self.claims(), identity),
            false => None,
        };
        let decide = || {
            sender::decide(self.claims(), identity, self.rules(), |sender| {
                let (refusals, listed) = (&self.transport.refusals, identity.may_send_as(sender));
                asking.as_ref().and_then(|asking| refusals.refused(asking, sender, listed))
            })
        };
        match orphaned.unwrap_or_else(decide) {
            Decision::Hold { reason, remedy } => Err(PutOff::Hold { reason, remedy }),
            decision => Ok(self.leaving(decision, archive)),
        }
    }

    fn leaving(&self, decision: Decision, archive: bool) -> SentAs {
        let SmtpSettings { kind, identity, .. } = &self.transport.next_hop.settings;
        let reverse_path = match archive {
            // What an archive cannot take comes back to nobody who sent it.
            true => identity.mailbox.clone().map_or(ReversePath::Null, ReversePath::Mailbox),
            false => decision.reverse_path(&self.message.reverse_path),
        };
        let mut foreign: Vec<Mailbox> = match &decision {
            Decision::Rewrite { to, .. } => vec![to.clone()],
            _ => Claims { reverse_path: &reverse_path, ..self.claims() }.senders(),
        };
        // The far side judges by the mailbox that logged in.
        match identity.mailbox.as_ref().filter(|_| *kind == SmtpKind::Submission) {
            Some(mailbox) => foreign.retain(|sender| !sender.same_as(mailbox)),
            None => foreign.clear(),
        }
        SentAs { decision, reverse_path, foreign }
    }

    fn claims(&self) -> Claims<'_> {
        let Message { reverse_path, origin, report_of, .. } = self.message;
        Claims { reverse_path, authors: self.content.authors(), client: &origin.client, ours: report_of.is_some() }
    }

    /// `None`: the next hop knows us by no mailbox, and nothing is remembered of it.
    fn asking(&self) -> Option<Asking<'a>> {
        let mailbox = self.transport.next_hop.settings.identity.mailbox.as_ref()?;
        Some(Asking { mailbox, now: self.now(), insisted_at: self.message.insisted_at() })
    }

    fn rules(&self) -> &'a ClientRules {
        let of_nobody = if self.message.report_of.is_some() { &*OUR_RULES } else { &*NO_RULES };
        self.transport.next_hop.settings.clients.get(&self.message.origin.client).unwrap_or(of_nobody)
    }

    /// Its client entry is gone, and no operator has released it all the same.
    fn is_orphan(&self) -> bool {
        let Message { origin, report_of, story, .. } = self.message;
        let known = report_of.is_some() || self.transport.next_hop.settings.clients.contains_key(&origin.client);
        !known && !story.iter().any(|event| matches!(event.what, Happening::Released))
    }

    /// Gives the content the form that this server takes. False: it cannot be had, and its recipients have their outcome.
    async fn shape(&mut self, session: &Session, sent_as: &SentAs) -> bool {
        let offered = session.client.extensions();
        let sent_as = match &sent_as.decision {
            Decision::Rewrite { to, why } => {
                self.report.notes.add(format!("sent as {to}: {why}"));
                Some(to.clone())
            }
            _ => None,
        };
        let smtputf8 = offered.smtputf8 && self.message.smtputf8;
        let shaped = Shaped { sent_as, eight_bit: offered.eight_bit_mime, smtputf8 };
        if self.shaped.as_ref() == Some(&shaped) {
            return true;
        }
        let (message, rules, settings) = (self.message, self.rules(), &self.transport.next_hop.settings);
        let made = Made {
            client: &message.origin.client,
            rules,
            identity: &settings.identity,
            host: &settings.hello,
            reverse_path: &message.reverse_path,
            accepted_at: message.accepted_at,
            facts: &message.content,
            smtputf8: shaped.smtputf8,
        };
        let shape = Shape {
            eight_bit: shaped.eight_bit,
            stamp: settings.keys.as_deref().map(|keys| Stamp {
                keys,
                arrival: dkim::Arrival { server: settings.hello.clone(), user: message.origin.user.clone() },
                now: self.now(),
            }),
            ..Shape::new(&made, shaped.sent_as.clone())
        };
        match self.content.shape(&shape).await {
            Ok(notes) => {
                notes.into_iter().for_each(|note| self.report.notes.add(note));
                self.shaped = Some(shaped);
                return true;
            }
            Err(ShapeError::Loss(why)) => {
                let outcome = plan::lost(&why, &settings.host);
                self.left.drain(..).for_each(|recipients| self.report.add(recipients, outcome.clone()));
            }
            Err(error) => {
                let outcome = link_trouble(&error.to_string(), false);
                self.left.drain(..).for_each(|recipients| self.report.add(recipients, outcome.clone()));
            }
        }
        false
    }

    /// For the recipients whose turn it is, as far as this server can serve them: as many as it takes at once.
    fn envelope(&mut self, session: &Session, sent_as: &SentAs) -> Option<(Vec<u32>, Transaction, bool)> {
        let offered = session.client.extensions();
        let wanted = self.left.pop_front().unwrap_or_default();
        let SmtpSettings { host, recipients_of_a_domain, .. } = &self.transport.next_hop.settings;
        let reverse_path = sent_as.reverse_path.clone();
        let sent = Sent { message: self.message, reverse_path, demands: self.content.demands() };
        let mut plan = plan(sent, wanted, offered, host);
        for (recipients, outcome) in plan.refused.drain(..) {
            self.report.add(recipients, outcome);
        }
        let mut recipients = std::mem::take(&mut plan.send);
        if recipients.is_empty() {
            return None;
        }
        let most = self.transport.recipients_at_once(offered.limit_recipients, recipients.len());
        let surplus = plan::surplus(self.message, &mut recipients, most, *recipients_of_a_domain);
        if !surplus.is_empty() {
            self.left.push_front(surplus);
        }
        let left_out = plan.left_out(self.message, &recipients, offered, host);
        left_out.into_iter().for_each(|note| self.report.notes.add(note));
        let transaction = plan.transaction(self.message, &recipients, offered);
        Some((recipients, transaction, plan.notifies(offered)))
    }

    /// The connection of the transaction before, an idle one, or a new one.
    async fn session(&mut self) -> Result<Session, Box<Refusal>> {
        let pool = &self.transport.pool;
        if let Some(session) = self.session.take() {
            if pool.is_fresh(&session) {
                return Ok(session);
            }
            pool.give(session);
        }
        if let Some(session) = pool.take() {
            self.reused = true;
            return Ok(session);
        }
        self.reused = false;
        let next_hop = &self.transport.next_hop;
        let Some(permit) = pool.permit(next_hop.settings.timeouts.connect).await else {
            let reason = format!("{}: all connections are in use", next_hop.label);
            return Err(Refusal::new(reason, LaneVerdict::Neutral));
        };
        next_hop.open(permit, &mut self.report.notes).await
    }

    async fn settle(
        &mut self,
        mut session: Session,
        ending: Ending,
        recipients: Vec<u32>,
        (sent_as, dsn): (&SentAs, bool),
    ) {
        self.report.messages += 1;
        let usable = matches!(ending, Ending::Over(_));
        if let Ending::Broken { trouble, .. } = &ending {
            tracing::debug!(connection = session.number, peer = %session.peer, %trouble, "the conversation broke");
        }
        session.refusals = if ending.is_accepted() { 0 } else { session.refusals + 1 };
        let NextHop { rules, label, .. } = &self.transport.next_hop;
        let now = self.now();
        let report = &mut self.report;
        let offered = session.client.extensions();
        let allowed = self.transport.recipients_allowed(offered.limit_recipients);
        let (message, dot_sent, accepted) = (self.message, session.dot_sent, ending.is_accepted());
        let mut judge = Judge { rules, peer: &session.peer, host: label, message, dsn, dot_sent, now, report };
        let named = recipients.len();
        let archive = recipients.iter().all(|index| plan::is_archive(message, *index));
        let Left { surplus, too_many, sender } = judge.judge(ending, recipients);
        let peer = Arc::clone(&session.peer);
        match too_many {
            Some((recipients, stage, reply)) => self.halve(recipients, stage, &reply),
            None => self.transactions += usize::from(!archive),
        }
        if !surplus.is_empty() {
            self.transport.recipients.full(named - surplus.len());
            self.left.push_back(surplus);
        } else if accepted {
            self.transport.recipients.taken(named, allowed);
        }
        match sender {
            Some(refused) => self.refused_sender(refused, &peer, sent_as).await,
            None if accepted => {
                if let Some(asking) = self.asking() {
                    self.transport.refusals.note_taken(&asking, &sent_as.foreign).await;
                }
            }
            None => {}
        }
        if usable {
            session.used_at = Instant::now();
            self.reused = false;
            self.session = Some(session);
        } else {
            // Whatever broke it: the next attempt tries another connection, when the lane has rested.
            self.postpone(BROKEN, None);
        }
    }

    /// Remembered, so that it is not tried again: the next attempt goes as somebody else, or the message is held.
    async fn refused_sender(&mut self, refused: RefusedSender, peer: &str, sent_as: &SentAs) {
        let NextHop { rules, label, settings, .. } = &self.transport.next_hop;
        let RefusedSender { recipients, stage, reply, ruling } = refused;
        let (message, now) = (self.message, self.now());
        let (words, remedy) = (classify::refused(stage, &reply), ruling.remedy.clone().unwrap_or_default());
        let outcome = classify::outcome(&ruling, stage, &reply, peer, now);
        let named = meant(&reply, stage, sent_as);
        let (Some(asking), false) = (self.asking(), named.is_empty()) else {
            let report = &mut self.report;
            let mut judge = Judge { rules, peer, host: label, message, dsn: false, dot_sent: false, now, report };
            return judge.refuse(recipients, stage, &reply, &ruling);
        };
        self.report.ended = true;
        self.report.lane(LaneVerdict::Healthy);
        let mut stored = Vec::with_capacity(named.len());
        for sender in named {
            let listed = settings.identity.may_send_as(sender);
            tracing::warn!(lane = %settings.lane, id = %message.id, %sender, words, "this sender was refused: it is not tried again");
            stored.push(self.transport.refusals.note_refused(&asking, sender, listed, (&words, &remedy)));
        }
        match self.decided(false) {
            Err(PutOff::Hold { reason, remedy }) => {
                self.left.push_front(recipients);
                self.hold(&reason, &remedy, Some(outcome));
            }
            Ok(SentAs { decision: Decision::Rewrite { to, .. }, .. }) => {
                let reason = format!("{words}; it goes once more, as {to}");
                let outcome =
                    Outcome::Deferred { reason, hint: None, not_before: Some(now), remote: None, counts: false };
                self.report.add(recipients, outcome);
            }
            _ => self.report.add(recipients, outcome),
        }
        for stored in stored {
            stored.await;
        }
    }

    fn put_off(&mut self, put_off: PutOff) {
        match put_off {
            PutOff::Hold { reason, remedy } => self.hold(&reason, &remedy, None),
            PutOff::Wait(wait) => {
                let until = self.now().checked_add(wait).unwrap_or(Timestamp::MAX);
                self.postpone(TRIED_BY_ANOTHER, Some(until));
            }
        }
    }

    /// All that are left wait for an operator.
    fn hold(&mut self, reason: &str, remedy: &str, outcome: Option<Outcome>) {
        let outcome = outcome.unwrap_or_else(|| Outcome::Deferred {
            reason: reason.to_owned(),
            hint: Some(remedy.to_owned()),
            not_before: None,
            remote: None,
            counts: false,
        });
        self.left.drain(..).for_each(|recipients| self.report.add(recipients, outcome.clone()));
        self.report.hold = Some(format!("{reason}. hint: {remedy}"));
    }

    /// Refused together for being too many: half of them at once from now on.
    fn halve(&mut self, mut recipients: Vec<u32>, stage: Stage, reply: &Reply) {
        let half = recipients.len().div_ceil(2);
        let (lane, reply) = (&self.transport.next_hop.settings.lane, classify::refused(stage, reply));
        tracing::info!(%lane, recipients = recipients.len(), %reply, "too many recipients at once, sending in halves");
        let refused = format!("{} recipients at once were too many ({reply}): sent in halves", recipients.len());
        self.report.notes.add(refused);
        self.transport.recipients.refused(half);
        let others = recipients.split_off(half);
        self.left.push_front(others);
        self.left.push_front(recipients);
    }

    /// Those whose turn has not come wait for the next attempt.
    fn postpone(&mut self, why: &str, not_before: Option<Timestamp>) {
        for recipients in self.left.drain(..) {
            let reason = why.to_owned();
            self.report
                .add(recipients, Outcome::Deferred { reason, hint: None, not_before, remote: None, counts: false });
        }
    }

    fn now(&self) -> Timestamp {
        self.began_at.checked_add(self.began.elapsed()).unwrap_or(Timestamp::MAX)
    }

    /// Stopped from outside, wherever it was: what may have arrived is unconfirmed, the rest goes on after the next start.
    fn break_off(&mut self) {
        let under_way = std::mem::take(&mut self.under_way);
        self.report.messages += u32::from(!under_way.is_empty());
        if self.content.ending {
            let cause = "the relay stopped before the server had answered".to_owned();
            self.report.add(under_way, Outcome::Unconfirmed { cause });
        } else {
            self.left.push_front(under_way);
        }
        for recipients in self.left.drain(..) {
            let reason = "the relay stopped before the message was sent".to_owned();
            let not_before = Some(self.began_at);
            self.report
                .add(recipients, Outcome::Deferred { reason, hint: None, not_before, remote: None, counts: false });
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        for recipients in self.left.drain(..) {
            self.report.add(recipients, refusal.outcome());
        }
        self.report.lane(refusal.lane.clone());
    }
}

/// Which of the senders that left the refusal is about: what its words name, or else all that may be meant.
fn meant<'s>(reply: &Reply, stage: Stage, sent_as: &'s SentAs) -> Vec<&'s Mailbox> {
    let is_of_envelope = |sender: &Mailbox| sent_as.reverse_path.mailbox().is_some_and(|path| path.same_as(sender));
    let told = |sender: &&Mailbox| stage == Stage::End || stage == Stage::Data || is_of_envelope(sender);
    let possible: Vec<_> = sent_as.foreign.iter().filter(told).collect();
    let text = reply.text().to_ascii_lowercase();
    let ends = |octet: char| octet.is_whitespace() || "<>()[]\"',;".contains(octet);
    let words: Vec<_> = text.split(ends).map(|word| word.trim_end_matches(['.', ':'])).collect();
    let is_named = |sender: &&&Mailbox| words.contains(&sender.as_str().to_ascii_lowercase().as_str());
    let named: Vec<_> = possible.iter().filter(is_named).copied().collect();
    if named.is_empty() { possible } else { named }
}
