//! What would happen to a message, without sending one: the session's own decisions, asked one by one.
//!
//! In: the settings, and a question as `posthouse try` puts it. Out: each step with its verdict and, where it refuses, the very
//! reply that the device would see: the protocol machine of a session gives it. Never: a decision of its own; what sessions do not
//! ask is not asked here either. What a client has sent of late, and the state of the spool, are not known here: both count as fresh.

use std::net::IpAddr;
use std::sync::Arc;

use message::HeaderFacts;
use queue::{LaneName, Recipient, Routes};
use smtp::server::{Answer, Server, Step};
use smtp::{EnhancedStatus, ForwardPath, MailParameters, RcptParameters, Reply, ReplyParser, ReversePath};

use crate::admission::{Admission, Entry};
use crate::conversation::wrong_login;
use crate::incoming::refuse_loop;
use crate::listen::protocol;
use crate::logins::User;
use crate::matching::Facts;
use crate::rights::add;
use crate::{ListenerSettings, PeerCertificate, Settings, TlsMode};

/// A message that somebody asks about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Address that it comes from.
    pub peer: IpAddr,
    /// Name of the listener; `None`: the first.
    pub listener: Option<String>,
    /// User that has logged in, with the right password: of every entry that has it.
    pub user: Option<String>,
    /// Certificate of the client.
    pub certificate: Option<PeerCertificate>,
    /// Name in EHLO.
    pub helo: String,
    /// Whether the session is encrypted.
    pub tls: bool,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, each.
    pub forward_paths: Vec<ForwardPath>,
    /// Octets, if they matter.
    pub size: Option<u64>,
    /// Of the header section, if it matters.
    pub header: Option<HeaderFacts>,
}

/// What would come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// In the order of a session; the last may be a refusal that leaves nothing more to ask.
    pub steps: Vec<TrialStep>,
    /// What the device would see last.
    pub reply: Reply,
    /// What the queue would be given; `None`: the message is refused.
    pub accepted: Option<Accepted>,
}

/// A message as the queue would be given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Name of the client entry.
    pub client: String,
    /// Where it waits: name of the pool.
    pub pool: LaneName,
    /// Those that were not refused, as they would be stored; last the copy for an archive, if there is one.
    pub recipients: Vec<Recipient>,
    /// It goes before other mail.
    pub urgent: bool,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialStep {
    /// What is decided: `listener`, `EHLO`, `login`, `client`, `TLS`, `sender`, `size`, `rate`, `recipient`, `header`, `archive`,
    /// `reports`.
    pub subject: &'static str,
    /// See there.
    pub verdict: Verdict,
    /// Why, for whoever asks: also what the device is not told.
    pub words: String,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Passed,
    /// The device is told so.
    Refused(Reply),
}

/// See the head of this file.
pub fn trial(settings: &Settings, routes: &Routes, question: &Question) -> Trial {
    let mut steps = Steps(Vec::new());
    let (reply, accepted) = match steps.ask(settings, routes, question) {
        Ok(accepted) => (Reply::new(250, EnhancedStatus::new(2, 0, 0), "OK queued"), Some(accepted)),
        Err(refusal) => (refusal, None),
    };
    Trial { steps: steps.0, reply, accepted }
}

struct Steps(Vec<TrialStep>);

impl Steps {
    /// `Err`: the refusal after which nothing is left to ask.
    fn ask(&mut self, settings: &Settings, routes: &Routes, question: &Question) -> Result<Accepted, Reply> {
        let (listener, mut machine) = self.listener(settings, question)?;
        let tls = question.tls || listener.tls == TlsMode::Implicit;
        let helo = machine.hello(&question.helo).or_else(|reply| self.note("EHLO", &*question.helo, Err(reply)))?;
        let login = |name: &String| self.login(settings, &mut machine, name);
        let user = question.user.as_ref().map(login).transpose()?;
        let facts = Facts {
            peer: question.peer.to_canonical(),
            listener: &listener.name,
            helo: &helo,
            tls,
            user: user.as_ref(),
            certificate: question.certificate.as_ref().filter(|_| tls),
        };
        let admission = Admission::new(&settings.clients, settings.limits.message_size);
        let path = &question.reverse_path;
        let mut asked = false;
        let admitted = machine.say(&question.mail(), || {
            asked = true;
            self.admit(&admission, routes, question, &facts)
        });
        let (entry, pool) = match admitted {
            Err(reply) if !asked => self.note("size", size_words(question.size), Err(reply))?,
            admitted => admitted?,
        };
        let recipients = self.recipients(entry, &mut machine, question)?;
        if let Some(header) = &question.header {
            let judged = refuse_loop(header, settings.limits.hops).map_err(|refusal| refusal.reply);
            let judged = judged.and_then(|()| entry.may_be_from(header.authors.identities()));
            self.note("header", "From, Sender, and Received for a loop", judged.map_err(Reply::in_ascii))?;
        }
        let recipients = entry.stored(routes, path, recipients);
        if let Some(copy) = recipients.iter().find(|recipient| recipient.archive) {
            self.pass("archive", format!("one more copy goes to {}", copy.forward_path));
        }
        if recipients.iter().any(|recipient| !recipient.archive && recipient.notify.is_some()) {
            self.pass("reports", format!("none goes to {path}: the client may not write there"));
        }
        let urgent = entry.is_urgent(question.header.as_ref().unwrap_or(&HeaderFacts::default()));
        Ok(Accepted { client: entry.name.to_string(), pool, recipients, urgent })
    }

    /// As a session does it at MAIL.
    fn admit<'a>(
        &mut self,
        admission: &'a Admission,
        routes: &Routes,
        question: &Question,
        facts: &Facts<'_>,
    ) -> Result<(&'a Entry, LaneName), Reply> {
        let entry = self.note("client", admission.considered(facts), admission.entry(facts))?;
        self.note("TLS", if facts.tls { "encrypted" } else { "plain text" }, entry.demand(facts))?;
        let path = &question.reverse_path;
        let lane = entry.lane(routes, path);
        let way = lane.as_ref().map_or_else(|_| path.to_string(), |lane| format!("{path} goes by {lane}"));
        let pool = self.note("sender", way, lane)?.clone();
        let room = entry.has_room_for(question.size).map_err(|refusal| refusal.reply);
        self.note("size", size_words(question.size), room)?;
        self.note("rate", "as if nothing had been sent of late", entry.usage.may_send(&entry.name))?;
        Ok((entry, pool))
    }

    /// Also what the protocol machine says there before it asks anybody: about TLS.
    fn listener<'a>(
        &mut self,
        settings: &'a Settings,
        question: &Question,
    ) -> Result<(&'a ListenerSettings, Machine), Reply> {
        let wanted =
            |listener: &&ListenerSettings| question.listener.as_ref().is_none_or(|name| *name == listener.name);
        let Some(listener) = settings.listeners.iter().find(wanted) else {
            let closed = Reply::new(421, EnhancedStatus::new(4, 3, 2), "no such listener: the connection is refused");
            return self.note("listener", question.listener.clone().unwrap_or_default(), Err(closed));
        };
        let words = format!("{} at {}, tls = {:?}", listener.name, listener.address, listener.tls);
        let machine = Machine::new(settings, listener, question.tls);
        Ok((listener, self.note("listener", words, machine)?))
    }

    fn login(&mut self, settings: &Settings, machine: &mut Machine, name: &str) -> Result<User, Reply> {
        let of_it = |(at, client): (usize, &crate::ClientEntry)| {
            client.users.iter().any(|user| user.name == name).then_some(at)
        };
        let entries: Vec<usize> = settings.clients.iter().enumerate().filter_map(of_it).collect();
        let answer = machine.say(AUTH, || if entries.is_empty() { Err(wrong_login()) } else { Ok(()) });
        self.note("login", format!("user {name}, with the right password"), answer)?;
        Ok(User { name: name.into(), entries: entries.into() })
    }

    /// One by one; `Err` if none is left.
    fn recipients(
        &mut self,
        entry: &Entry,
        machine: &mut Machine,
        question: &Question,
    ) -> Result<Vec<Recipient>, Reply> {
        let (mut recipients, mut refused) = (Vec::new(), None);
        for path in &question.forward_paths {
            let answer = machine.say(&format!("RCPT TO:{path}"), || {
                entry.recipient(path.clone(), RcptParameters::default(), &recipients)
            });
            let words = match &answer {
                Ok(recipient) if recipient.forward_path != *path => {
                    format!("{path} becomes {}", recipient.forward_path)
                }
                _ => path.to_string(),
            };
            match self.note("recipient", words, answer) {
                Ok(recipient) => add(&mut recipients, recipient),
                Err(reply) if reply.code.get() == 421 => return Err(reply),
                Err(reply) => refused = refused.or(Some(reply)),
            }
        }
        match refused {
            Some(reply) if recipients.is_empty() => Err(reply),
            _ => machine.say("DATA", || Ok(recipients)),
        }
    }

    fn note<T>(
        &mut self,
        subject: &'static str,
        words: impl Into<String>,
        answer: Result<T, Reply>,
    ) -> Result<T, Reply> {
        let verdict = match &answer {
            Ok(_) => Verdict::Passed,
            Err(reply) => Verdict::Refused(reply.clone()),
        };
        self.0.push(TrialStep { subject, verdict, words: words.into() });
        answer
    }

    fn pass(&mut self, subject: &'static str, words: String) {
        self.0.push(TrialStep { subject, verdict: Verdict::Passed, words });
    }
}

fn size_words(size: Option<u64>) -> String {
    size.map_or_else(|| "not given".to_owned(), |size| format!("{size} octets"))
}

impl Question {
    /// The command MAIL, as a client would give it that knows what it does.
    fn mail(&self) -> String {
        let smtputf8 = !self.reverse_path.is_ascii() || self.forward_paths.iter().any(|path| !path.is_ascii());
        let parameters = MailParameters { size: self.size, smtputf8, ..MailParameters::default() };
        format!("MAIL FROM:{}{parameters}", self.reverse_path)
    }
}

/// AUTH with some name and password: whether they are right is decided elsewhere.
const AUTH: &str = "AUTH PLAIN AGEAYQ==";

/// The protocol machine of a session, with a device that says one line after the other.
struct Machine(Server);

impl Machine {
    /// Connected to this listener, and encrypted if that is wanted. `Err`: it is not offered, or demanded.
    fn new(settings: &Settings, listener: &ListenerSettings, tls: bool) -> Result<Self, Reply> {
        let implicit = listener.tls == TlsMode::Implicit;
        let has_users = settings.clients.iter().any(|client| !client.users.is_empty());
        let mut machine = Self(Server::new(Arc::new(protocol(settings, listener, has_users)), implicit));
        machine.hear(|_| Ok(()))?;
        if tls && !implicit {
            machine.say("STARTTLS", || Ok(()))?;
            machine.0.handle_tls();
        }
        if listener.tls == TlsMode::Required && !tls {
            machine.say("MAIL FROM:<>", || Ok(()))?;
        }
        Ok(machine)
    }

    /// EHLO; gives the name as the session knows it.
    fn hello(&mut self, name: &str) -> Result<String, Reply> {
        self.put(&format!("EHLO {name}"));
        self.hear(|step| match step {
            Step::Hello { name, .. } => Ok((*name).to_owned()),
            _ => Ok(String::new()),
        })
    }

    /// A line, and what is decided if the machine asks about it. `Err`: the reply, if it is a refusal.
    fn say<T>(&mut self, line: &str, decide: impl FnOnce() -> Result<T, Reply>) -> Result<T, Reply> {
        self.put(line);
        self.hear(|_| decide())
    }

    fn put(&mut self, line: &str) {
        self.0.output().clear();
        self.0.handle_input(line.replace(['\r', '\n'], "?").as_bytes());
        self.0.handle_input(b"\r\n");
    }

    fn hear<T>(&mut self, decide: impl FnOnce(&Step<'_>) -> Result<T, Reply>) -> Result<T, Reply> {
        let (mut decide, mut decided) = (Some(decide), None);
        loop {
            let answer = match self.0.poll() {
                Step::NeedInput | Step::TlsHandshake | Step::Close => break,
                Step::Abort | Step::Content(_) => continue,
                step => match decide.take().map(|decide| decide(&step)) {
                    Some(Ok(value)) => {
                        decided = Some(value);
                        Answer::Accept
                    }
                    Some(Err(reply)) => Answer::Refuse(reply),
                    None => Answer::Accept,
                },
            };
            self.0.answer(answer);
        }
        decided.ok_or_else(|| self.said())
    }

    fn said(&mut self) -> Reply {
        let said = ReplyParser::new().push(self.0.output()).ok().and_then(|(_, reply)| reply);
        said.unwrap_or_else(|| Reply::plain(421, "the session is closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::tests::entry;
    use crate::{ClientEntry, Limits, TlsSettings};

    fn settings(clients: Vec<ClientEntry>) -> Settings {
        let listener = |name: &str, tls| ListenerSettings {
            name: name.into(),
            address: ([127, 0, 0, 1], 25).into(),
            tls,
            auth_without_tls: false,
        };
        Settings {
            hostname: "relay.contoso.com".into(),
            listeners: vec![listener("office", TlsMode::Opportunistic), listener("strict", TlsMode::Required)],
            clients,
            tls: TlsSettings { certificate: None, key: None, client_ca: None, state_dir: "".into() },
            limits: Limits::default(),
        }
    }

    fn question() -> Question {
        Question {
            peer: "10.1.2.3".parse().unwrap(),
            listener: None,
            user: None,
            certificate: None,
            helo: "copier".into(),
            tls: false,
            reverse_path: "<scan@contoso.com>".parse().unwrap(),
            forward_paths: vec!["<anna@contoso.com>".parse().unwrap()],
            size: Some(1000),
            header: Some(HeaderFacts::default()),
        }
    }

    fn ask(clients: &[ClientEntry], question: &Question) -> (Vec<String>, String) {
        let lane = LaneName("contoso/submission".into());
        let routes = Routes::new([("contoso.com".to_owned(), lane)], None);
        let trial = trial(&settings(clients.to_vec()), &routes, question);
        let line = |step: &TrialStep| match &step.verdict {
            Verdict::Passed => format!("{}: {}", step.subject, step.words),
            Verdict::Refused(reply) => format!("{}: {} -> {reply}", step.subject, step.words),
        };
        (trial.steps.iter().map(line).collect(), trial.reply.to_string())
    }

    #[test]
    fn every_step_is_told_in_the_order_of_a_session() {
        let mut client = ClientEntry { name: "printers".into(), ..entry("network=10.0.0.0/8") };
        client.recipient_map.add("anna@contoso.com", "anne@contoso.com").unwrap();
        client.internal_only = Some(vec!["contoso.com".into()]);
        client.archive = Some("journal@contoso.com".parse().unwrap());
        let all = ClientEntry { name: "all".into(), ..entry("network=0.0.0.0/0 user=erp match=network and user") };
        let forward_paths = ["<anna@contoso.com>", "<x@fabrikam.com>"].map(|path| path.parse().unwrap()).to_vec();
        let (steps, reply) = ask(&[client, all], &Question { forward_paths, ..question() });
        assert_eq!(
            steps,
            [
                "listener: office at 127.0.0.1:25, tls = Opportunistic",
                "client: printers: network of (network), lets in; all: network of (network and user)",
                "TLS: plain text",
                "sender: <scan@contoso.com> goes by contoso/submission",
                "size: 1000 octets",
                "rate: as if nothing had been sent of late",
                "recipient: <anna@contoso.com> becomes <anne@contoso.com>",
                "recipient: <x@fabrikam.com> -> 550 5.7.1 client \"printers\" may not send to <x@fabrikam.com>: internal_only of \
                 its [[client]] entry allows nothing but domains and internal_domains of the tenant",
                "header: From, Sender, and Received for a loop",
                "archive: one more copy goes to <journal@contoso.com>",
            ]
        );
        assert_eq!(reply, "250 2.0.0 OK queued");
    }

    #[test]
    fn what_is_accepted_is_told_as_the_queue_would_be_given_it() {
        let mut client = ClientEntry { name: "printers".into(), ..entry("network=10.0.0.0/8") };
        client.recipient_map.add("anna@contoso.com", "anne@contoso.com").unwrap();
        client.archive = Some("journal@contoso.com".parse().unwrap());
        let routes = Routes::new([("contoso.com".to_owned(), LaneName("contoso/submission".into()))], None);
        let ask = |question: &Question| trial(&settings(vec![client.clone()]), &routes, question).accepted;
        let accepted = ask(&question()).unwrap();
        assert_eq!((accepted.client.as_str(), &*accepted.pool.0), ("printers", "contoso/submission"));
        let paths: Vec<_> = accepted.recipients.iter().map(|one| one.forward_path.to_string()).collect();
        assert_eq!(paths, ["<anne@contoso.com>", "<journal@contoso.com>"]);
        let foreign = Question { reverse_path: "<a@fabrikam.com>".parse().unwrap(), ..question() };
        assert_eq!(ask(&foreign), None);
        let (lane, senders) = (Some(LaneName("contoso/submission".into())), vec!["*".parse().unwrap()]);
        let internal_only = Some(vec!["contoso.com".to_owned()]);
        let free = ClientEntry { lane, senders, internal_only, ..client.clone() };
        let trial = trial(&settings(vec![free]), &routes, &foreign);
        assert!(
            trial.accepted.unwrap().recipients.iter().all(|recipient| recipient.notify.is_some_and(|it| !it.failure))
        );
        let last = trial.steps.last().unwrap();
        assert_eq!(
            (last.subject, last.words.as_str()),
            ("reports", "none goes to <a@fabrikam.com>: the client may not write there")
        );
    }

    #[test]
    fn the_last_step_is_the_one_that_refuses() {
        let clients = [ClientEntry { name: "printers".into(), require_tls: true, ..entry("network=10.0.0.0/8") }];
        let outside = Question { peer: "192.0.2.1".parse().unwrap(), ..question() };
        let strict = Question { listener: Some("strict".into()), ..question() };
        let nowhere = Question { listener: Some("nowhere".into()), ..question() };
        let unknown = Question { user: Some("nobody".into()), tls: true, ..question() };
        let unencrypted = Question { user: Some("nobody".into()), ..question() };
        let encrypted = Question { tls: true, ..question() };
        let foreign = Question { reverse_path: "<a@fabrikam.com>".parse().unwrap(), ..encrypted.clone() };
        let header = HeaderFacts { our_ids: vec!["01ARZ3NDEKTSV".to_owned()], ..HeaderFacts::default() };
        let looping = Question { header: Some(header), ..encrypted.clone() };
        let large = Question { size: Some(1 << 40), ..encrypted.clone() };
        let with_a_user = [clients[0].clone(), entry("user=erp")];
        for (question, subject, expected) in [
            (&outside, "client", "550 5.7.1 relaying denied"),
            (&strict, "listener", "530 5.7.0 Send STARTTLS first"),
            (&nowhere, "listener", "421 4.3.2"),
            (&unknown, "login", "502 5.5.1"),
            (&question(), "TLS", "530 5.7.0 Send STARTTLS first"),
            (&foreign, "sender", "550 5.7.1 this relay has no path"),
            (&large, "size", "552 5.3.4"),
            (&looping, "header", "554 5.4.6"),
            (&encrypted, "header", "250 2.0.0"),
        ] {
            let (steps, reply) = ask(&clients, question);
            assert!(steps.last().unwrap().starts_with(subject), "{steps:?}");
            assert!(reply.starts_with(expected), "{reply}, not {expected}");
        }
        for (question, expected) in [(&unknown, "535 5.7.8"), (&unencrypted, "538 5.7.11")] {
            let (steps, reply) = ask(&with_a_user, question);
            assert!(
                steps.last().unwrap().starts_with("login") && reply.starts_with(expected),
                "{reply}, not {expected}"
            );
        }
    }
}
