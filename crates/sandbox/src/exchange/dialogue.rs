//! What to answer: faults first, then the rules of the endpoint.
//!
//! In: the questions of the protocol machine. Out: a [`Verdict`] for the session to carry out. Never: I/O on the
//! connection, waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smtp::server::Answer;
use smtp::{Credentials, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};

use super::Kind;
use super::sign_in::{self, SignedIn};
use super::submission::{self, Envelope, UnderWay};
use super::words::{self, Stamp};
use crate::content::Incoming;
use crate::faults::{Action, Circumstance, Step, Struck, parse_reply};
use crate::store::Recipient;
use crate::tenant::Tenant;
use crate::world::World;

/// A question of the protocol machine.
pub(crate) enum Question {
    Connected,
    Hello { name: String, esmtp: bool },
    StartTls,
    Authenticate(Credentials),
    Mail(ReversePath, MailParameters),
    Rcpt(ForwardPath, RcptParameters),
    Begin,
    End,
    Verify,
}

/// What the session does now.
pub(crate) struct Verdict {
    /// First this, in real time.
    pub(crate) delay: Duration,
    /// Then until this, by the sandbox's clock.
    pub(crate) not_before: Option<Timestamp>,
    /// Then this.
    pub(crate) act: Act,
    /// Then this, in real time, before more is read.
    pub(crate) pause: Duration,
    /// Whether a fault chose the answer.
    pub(crate) by_fault: bool,
    /// Kept until the reply is out.
    pub(crate) _under_way: Option<UnderWay>,
}

impl Verdict {
    fn act(act: Act) -> Self {
        Self { delay: Duration::ZERO, not_before: None, act, pause: Duration::ZERO, by_fault: false, _under_way: None }
    }

    fn answer(answer: Answer) -> Self {
        Self::act(Act::Answer(answer))
    }
}

/// See [`Verdict`].
pub(crate) enum Act {
    /// This.
    Answer(Answer),
    /// So many octets of this, then close.
    Cut(Answer, usize),
    /// Close without a word.
    Close,
}

struct Transaction {
    reverse_path: String,
    parameters: MailParameters,
    recipients: Vec<Recipient>,
    addresses: Vec<String>,
    incoming: Option<Incoming>,
    under_way: Option<UnderWay>,
    /// Octets of content at which a fault closes the connection.
    cut_at: Option<u64>,
    /// Of the mailbox; 0 is none.
    size_limit: u64,
}

/// One session's memory.
pub(crate) struct Dialogue {
    world: Arc<World>,
    kind: Kind,
    session: u64,
    began: Timestamp,
    peer: SocketAddr,
    hello: String,
    esmtp: bool,
    tls: Option<String>,
    signed_in: Option<SignedIn>,
    transaction: Option<Transaction>,
    /// Octets from the client at which a fault closes the connection.
    pub(crate) cut_at: Option<u64>,
}

/// What became of a piece of content.
pub(crate) enum Piece {
    Taken,
    /// The rest is to be thrown away.
    Refused(Reply),
    /// A fault closes the connection.
    Close,
}

impl Dialogue {
    pub(crate) fn new(world: Arc<World>, kind: Kind, peer: SocketAddr) -> Self {
        let (session, began) = (world.next_id(), world.clock.now());
        Self {
            world,
            kind,
            session,
            began,
            peer,
            hello: String::new(),
            esmtp: false,
            tls: None,
            signed_in: None,
            transaction: None,
            cut_at: None,
        }
    }

    /// How long the session has lasted.
    pub(crate) fn age(&self) -> Duration {
        Duration::try_from(self.world.clock.now().duration_since(self.began)).unwrap_or_default()
    }

    /// The session is encrypted now and starts anew.
    pub(crate) fn encrypted(&mut self, tls: Option<String>) {
        self.tls = tls;
        self.hello.clear();
        self.abort();
    }

    /// The message begun is not to be.
    pub(crate) fn abort(&mut self) {
        if let Some(transaction) = self.transaction.take()
            && transaction.incoming.is_some()
        {
            self.world.state().statistics.aborted += 1;
        }
    }

    /// The fault that strikes at this step.
    pub(crate) fn struck(&self, step: Step, mailbox: Option<&str>, recipients: &[String]) -> Option<Struck> {
        let circumstance = Circumstance {
            mailbox: mailbox.or(self.signed_in.as_ref().map(SignedIn::mailbox)),
            reverse_path: self.transaction.as_ref().map(|transaction| transaction.reverse_path.as_str()),
            recipients,
        };
        let mut state = self.world.state();
        let listed = state.faults.take(step, circumstance);
        if listed.is_some() || !self.world.address_faults {
            return listed;
        }
        recipients.iter().find_map(|address| state.faults.take_address(step, address))
    }

    /// The answer to a question.
    pub(crate) fn decide(&mut self, question: Question) -> Verdict {
        match self.strike(&question) {
            None => self.rule(question),
            Some(Struck { delay, action: None }) => Verdict { delay, ..self.rule(question) },
            Some(Struck { delay, action: Some(action) }) => {
                Verdict { delay, by_fault: true, ..self.fault(question, action) }
            }
        }
    }

    fn strike(&self, question: &Question) -> Option<Struck> {
        let addresses = || self.transaction.as_ref().map_or(&[][..], |transaction| &transaction.addresses);
        match question {
            Question::Connected => self.struck(Step::Connect, None, &[]),
            Question::Hello { .. } => self.struck(Step::Hello, None, &[]),
            Question::StartTls => self.struck(Step::Starttls, None, &[]),
            Question::Authenticate(credentials) => self.struck(Step::Auth, Some(sign_in::user(credentials)), &[]),
            Question::Mail(..) => self.struck(Step::Mail, None, &[]),
            Question::Rcpt(path, _) => self.struck(Step::Rcpt, None, &[address_of(path)]),
            Question::Begin => self.struck(Step::Data, None, addresses()),
            Question::End => self.struck(Step::End, None, addresses()),
            Question::Verify => None,
        }
    }

    fn fault(&mut self, question: Question, action: Action) -> Verdict {
        let reply = |text: &str| parse_reply(text).unwrap_or_else(|_| words::no_storage());
        match action {
            Action::Reply(text) => {
                let reply = reply(&text);
                if reply.code.is_permanent() || reply.code.is_transient() {
                    if matches!(question, Question::End) {
                        self.abort();
                    }
                    return Verdict::answer(Answer::Refuse(reply));
                }
                self.rule(question).with_reply(reply)
            }
            Action::StoreThenReply(text) => self.rule(question).with_reply(reply(&text)),
            Action::Disconnect => {
                self.abort();
                Verdict::act(Act::Close)
            }
            Action::StoreThenDisconnect => Verdict { act: Act::Close, ..self.rule(question) },
            Action::CutReply(octets) => {
                let verdict = self.rule(question);
                let answer = match verdict.act {
                    Act::Answer(answer) | Act::Cut(answer, _) => answer,
                    Act::Close => return verdict,
                };
                Verdict { act: Act::Cut(answer, octets), ..verdict }
            }
            Action::DisconnectAfter(octets) => {
                self.cut_at = Some(octets);
                self.rule(question)
            }
            Action::Tls(_) | Action::Aadsts(_) | Action::Oauth(_) | Action::Http(_) | Action::Garbage => {
                self.rule(question)
            }
        }
    }

    fn rule(&mut self, question: Question) -> Verdict {
        match question {
            Question::Connected => self.connected(),
            Question::Hello { name, esmtp } => self.greet(name, esmtp),
            Question::StartTls => Verdict::answer(Answer::AcceptWith(words::start_tls())),
            Question::Authenticate(credentials) => Verdict::answer(self.authenticate(&credentials)),
            Question::Mail(path, parameters) => Verdict::answer(self.mail(&path, parameters)),
            Question::Rcpt(path, parameters) => Verdict::answer(self.rcpt(&path, parameters)),
            Question::Begin => self.begin(),
            Question::End => self.end(),
            Question::Verify => Verdict::answer(Answer::AcceptWith(words::cannot_verify())),
        }
    }

    fn connected(&mut self) -> Verdict {
        self.world.state().statistics.sessions += 1;
        Verdict::answer(match self.kind {
            Kind::Submission => Answer::AcceptWith(words::banner(self.session, self.began)),
            Kind::SmartHost => Answer::Accept,
        })
    }

    fn greet(&mut self, name: String, esmtp: bool) -> Verdict {
        if self.kind == Kind::Submission && !is_host(&name) {
            return Verdict::answer(Answer::Refuse(words::invalid_domain()));
        }
        self.hello = name;
        self.esmtp = esmtp;
        Verdict::answer(match self.kind {
            Kind::SmartHost => Answer::Accept,
            Kind::Submission => Answer::AcceptWith(words::hello(self.peer.ip())),
        })
    }

    fn authenticate(&mut self, credentials: &Credentials) -> Answer {
        match sign_in::sign_in(&self.world, credentials, self.stamp()) {
            Ok(signed_in) => {
                self.signed_in = Some(signed_in);
                Answer::AcceptWith(words::signed_in())
            }
            Err(reply) => Answer::Refuse(reply),
        }
    }

    fn mail(&mut self, path: &ReversePath, parameters: MailParameters) -> Answer {
        let size_limit = match (self.kind, &self.signed_in) {
            (Kind::SmartHost, _) => 0,
            (Kind::Submission, None) => return Answer::Refuse(words::not_authenticated(self.stamp())),
            (Kind::Submission, Some(signed_in)) => {
                let tenant = &self.world.state().tenant;
                if !may_be_reverse_path(path, signed_in.mailbox(), tenant) {
                    return Answer::Refuse(words::foreign_reverse_path());
                }
                tenant.limits_of_address(signed_in.mailbox()).message_size
            }
        };
        if size_limit > 0 && parameters.size.is_some_and(|size| size > size_limit) {
            return Answer::Refuse(words::message_too_large());
        }
        self.transaction = Some(Transaction {
            reverse_path: match path {
                ReversePath::Null => String::new(),
                ReversePath::Mailbox(mailbox) => mailbox.as_str().to_owned(),
            },
            parameters,
            recipients: Vec::new(),
            addresses: Vec::new(),
            incoming: None,
            under_way: None,
            cut_at: None,
            size_limit,
        });
        Answer::AcceptWith(words::sender_ok())
    }

    fn rcpt(&mut self, path: &ForwardPath, parameters: RcptParameters) -> Answer {
        let limit = self.signed_in.as_ref().map_or(0, |signed_in| {
            self.world.state().tenant.limits_of_address(signed_in.mailbox()).recipients_per_message
        });
        let Some(transaction) = &mut self.transaction else { return Answer::Accept };
        if limit > 0 && transaction.recipients.len() >= limit as usize {
            return Answer::Refuse(words::too_many_recipients());
        }
        let address = address_of(path);
        transaction.addresses.push(address.clone());
        transaction.recipients.push(Recipient::new(address, parameters));
        Answer::AcceptWith(words::recipient_ok())
    }

    fn begin(&mut self) -> Verdict {
        let addresses = self.transaction.as_ref().map_or(&[][..], |transaction| &transaction.addresses);
        let struck = self.struck(Step::Content, None, addresses);
        let under_way = self.signed_in.as_ref().map(|signed_in| UnderWay::begin(&self.world, signed_in.mailbox()));
        let Some(transaction) = &mut self.transaction else { return Verdict::answer(Answer::Accept) };
        transaction.incoming = Some(Incoming::new(self.world.retention.in_memory_message));
        transaction.under_way = under_way;
        let mut verdict = Verdict::answer(Answer::AcceptWith(words::start_input()));
        if let Some(struck) = struck {
            verdict.pause = struck.delay;
            transaction.cut_at = match struck.action {
                Some(Action::DisconnectAfter(octets)) => Some(octets),
                Some(Action::Disconnect) => Some(0),
                _ => None,
            };
        }
        verdict
    }

    /// A piece of content.
    pub(crate) fn content(&mut self, piece: &[u8]) -> Piece {
        let Some(transaction) = &mut self.transaction else { return Piece::Taken };
        let Some(incoming) = &mut transaction.incoming else { return Piece::Taken };
        if transaction.cut_at.is_some_and(|cut_at| incoming.size() + piece.len() as u64 >= cut_at) {
            self.abort();
            return Piece::Close;
        }
        if incoming.push(piece).is_err() {
            self.abort();
            return Piece::Refused(words::no_storage());
        }
        if transaction.size_limit > 0 && incoming.size() > transaction.size_limit {
            self.abort();
            return Piece::Refused(words::message_too_large());
        }
        Piece::Taken
    }

    fn end(&mut self) -> Verdict {
        let Some(transaction) = self.transaction.take() else { return Verdict::answer(Answer::Accept) };
        let Transaction { reverse_path, parameters, recipients, incoming, under_way, .. } = transaction;
        let Some(incoming) = incoming else { return Verdict::answer(Answer::Accept) };
        let arrived = incoming.finish();
        let envelope = Envelope {
            session: self.session,
            peer: self.peer,
            hello: self.hello.clone(),
            esmtp: self.esmtp,
            tls: self.tls.clone(),
            reverse_path,
            parameters,
            recipients,
        };
        let Some(under_way) = under_way else {
            let reply = submission::take_all(&self.world, envelope, arrived);
            return Verdict::answer(Answer::AcceptWith(reply));
        };
        let (answer, not_before) = match submission::submit(&self.world, &under_way, envelope, arrived) {
            Ok(taken) => (Answer::AcceptWith(taken.reply), taken.not_before),
            Err(reply) => {
                self.world.state().statistics.aborted += 1;
                (Answer::Refuse(reply), None)
            }
        };
        Verdict { not_before, _under_way: Some(under_way), ..Verdict::answer(answer) }
    }

    fn stamp(&self) -> Stamp {
        Stamp { session: self.session, at: self.world.clock.now() }
    }
}

impl Verdict {
    /// The same with another reply, where the rules accept.
    fn with_reply(self, reply: Reply) -> Self {
        let act = match self.act {
            Act::Answer(Answer::Accept | Answer::AcceptWith(_)) => {
                Act::Answer(if reply.code.is_permanent() || reply.code.is_transient() {
                    Answer::Refuse(reply)
                } else {
                    Answer::AcceptWith(reply)
                })
            }
            other => other,
        };
        Self { act, ..self }
    }
}

/// Whether the mailbox that is signed in takes this reverse-path. Of the null one nothing is known: it passes.
fn may_be_reverse_path(path: &ReversePath, signed_in: &str, tenant: &Tenant) -> bool {
    match (path, tenant.mailbox(signed_in).filter(|mailbox| mailbox.checks_reverse_path)) {
        (ReversePath::Mailbox(path), Some(mailbox)) => mailbox.may_send_as(path.as_str(), tenant.send_from_alias),
        _ => true,
    }
}

/// Without angle brackets.
fn address_of(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Mailbox(mailbox) => mailbox.as_str().to_owned(),
    }
}

/// What Exchange takes in EHLO: a host name of letters, digits, hyphens and dots, or an address in brackets.
fn is_host(name: &str) -> bool {
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = literal.strip_prefix("IPv6:").unwrap_or(literal);
        return address.parse::<std::net::IpAddr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    name.len() <= 255 && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ehlo_takes_host_names_and_address_literals_only() {
        for name in ["relay.contoso.test", "printer", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a.b."] {
            assert!(is_host(name), "{name}");
        }
        for name in ["", "under_score", "a..b", "-a.test", "[192.0.2]", "a b", "bücher.test", "[]"] {
            assert!(!is_host(name), "{name}");
        }
    }
}
