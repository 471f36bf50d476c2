//! The relay's side of a session: the answer to each question of the protocol machine.
//!
//! In: what the machine asks. Out: answers; accepted messages in the spool and with the queue manager. Never: a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use message::{Received, Via};
use queue::{LaneName, Message, NewMessage, Origin, Recipient, SpoolError, SpoolState};
use smtp::server::Answer;
use smtp::{Credentials, EnhancedStatus, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};
use tokio::time::Instant;

use crate::admission::Entry;
use crate::incoming::{Bounds, Incoming, Refusal};
use crate::logins::{Guessed, Login, User};
use crate::matching::Facts;
use crate::rights::add;
use crate::{PeerCertificate, Shared};

/// Which session this is.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// Its name in the log.
    pub(crate) session: String,
    /// IPv4 as IPv4.
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<str>,
}

/// A transaction: what MAIL and RCPT said.
struct Mail {
    entry: Arc<Entry>,
    lane: LaneName,
    reverse_path: ReversePath,
    parameters: MailParameters,
    recipients: Vec<Recipient>,
}

/// See the head of this file.
pub(crate) struct Conversation {
    shared: Arc<Shared>,
    who: Who,
    helo: String,
    esmtp: bool,
    tls: Option<String>,
    certificate: Option<Box<PeerCertificate>>,
    user: Option<User>,
    mail: Option<Mail>,
    /// Boxed: most sessions have none most of the time.
    incoming: Option<Box<Incoming>>,
}

impl Conversation {
    pub(crate) fn new(shared: Arc<Shared>, who: Who) -> Self {
        Self {
            shared,
            who,
            helo: String::new(),
            esmtp: false,
            tls: None,
            certificate: None,
            user: None,
            mail: None,
            incoming: None,
        }
    }

    pub(crate) fn who(&self) -> &Who {
        &self.who
    }

    /// The session starts anew, encrypted.
    pub(crate) fn encrypted(&mut self, description: String, certificate: Option<PeerCertificate>) {
        if let Some(shown) = &certificate {
            let (distrust, session) = (shown.distrust.as_deref(), &self.who.session);
            tracing::debug!(session, sha256 = %shown.fingerprint, names = ?shown.names, distrust, "client certificate");
        }
        let certificate = certificate.map(Box::new);
        *self = Self { tls: Some(description), certificate, ..Self::new(self.shared.clone(), self.who.clone()) };
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            peer: self.who.peer.ip(),
            listener: &self.who.listener,
            helo: &self.helo,
            tls: self.tls.is_some(),
            user: self.user.as_ref(),
            certificate: self.certificate.as_deref(),
        }
    }

    pub(crate) fn hello(&mut self, name: &str, esmtp: bool) -> Answer {
        name.clone_into(&mut self.helo);
        self.esmtp = esmtp;
        self.mail = None;
        Answer::Accept
    }

    pub(crate) async fn authenticate(&mut self, credentials: Credentials) -> Answer {
        let (name, password) = match credentials {
            Credentials::Plain { authzid, authcid, password } if authzid.is_empty() || authzid == authcid => {
                (authcid, password)
            }
            Credentials::Login { username, password } => (username, password),
            Credentials::Plain { .. } | Credentials::XOAuth2 { .. } => return self.refuse_plainly(wrong_login()),
        };
        let Who { session, peer, .. } = &self.who;
        let user = if self.shared.logins.knows(&name) { name.as_str() } else { "(unknown)" };
        let temporary = |text: String| Reply::new(454, EnhancedStatus::new(4, 7, 0), text);
        let reply = match self.shared.logins.check(peer.ip(), &name, password).await {
            Login::Right(user) => {
                tracing::debug!(session, %peer, user = &*user.name, "logged in");
                self.user = Some(user);
                return Answer::Accept;
            }
            Login::Wrong => {
                tracing::warn!(session, %peer, user, "login refused: wrong user name or password");
                wrong_login()
            }
            Login::Wait(wait, guessed) => {
                let (from, seconds) = (peer.ip(), wait.as_secs().max(1));
                temporary(match guessed {
                    Guessed::ByAddress => format!("too many wrong logins from {from}: try again in {seconds} s"),
                    Guessed::OfUser => format!("too many wrong logins of this user: try again in {seconds} s"),
                })
            }
            Login::Busy => temporary("too many logins at once: try again".to_owned()),
            Login::Broken(error) => {
                tracing::error!(session, %peer, user, error, "cannot check a login: the user's password must be readable");
                temporary("this relay cannot check logins now: its log says why".to_owned())
            }
        };
        self.refuse_plainly(reply)
    }

    pub(crate) fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) -> Answer {
        self.mail = None;
        match self.admit(&reverse_path, &parameters) {
            Ok((entry, lane)) => {
                self.mail = Some(Mail { entry, lane, reverse_path, parameters, recipients: Vec::new() });
                Answer::Accept
            }
            Err(refusal) => {
                // What ails us is no matter of who asks.
                if refusal.trouble.is_none() {
                    self.log_what_was_offered(&reverse_path);
                }
                self.refuse(refusal)
            }
        }
    }

    /// Strangers learn nothing of the relay's state: who it is comes first.
    fn admit(&self, path: &ReversePath, parameters: &MailParameters) -> Result<(Arc<Entry>, LaneName), Refusal> {
        let facts = self.facts();
        let entry = self.shared.admission.entry(&facts).map_err(Refusal::plain)?;
        entry.demand(&facts).map_err(Refusal::plain)?;
        let lane = entry.lane(&self.shared.routes, path).map_err(Refusal::plain)?;
        entry.has_room_for(parameters.size)?;
        entry.usage.may_send(&entry.name).map_err(Refusal::plain)?;
        self.shared.spool_accepts()?;
        Ok((entry.clone(), lane.clone()))
    }

    pub(crate) fn rcpt(&mut self, forward_path: ForwardPath, parameters: RcptParameters) -> Answer {
        let Some(mail) = &mut self.mail else { return self.refuse_plainly(out_of_order()) };
        match mail.entry.recipient(forward_path, parameters, &mail.recipients) {
            Ok(recipient) => {
                add(&mut mail.recipients, recipient);
                Answer::Accept
            }
            Err(reply) => self.refuse_plainly(reply),
        }
    }

    pub(crate) async fn begin(&mut self) -> Answer {
        let Some(mail) = &self.mail else { return self.refuse_plainly(out_of_order()) };
        let limits = &self.shared.limits;
        let bounds = Bounds {
            client: mail.entry.name.clone(),
            size: mail.entry.size,
            header_section: limits.header_section,
            hops: limits.hops,
        };
        let trace = Received {
            helo: &self.helo,
            peer: self.who.peer.ip(),
            by: &self.shared.hostname,
            via: self.via(mail.parameters.smtputf8),
            id: "",
            tls: self.tls.as_deref(),
            at: self.shared.clock.now(),
        };
        let begun = match self.shared.spool.body_writer(mail.parameters.size) {
            Ok(writer) => Incoming::begin(writer, bounds, trace).await,
            Err(error) => Err(self.shared.spool_trouble(error)),
        };
        match begun {
            Ok(incoming) => {
                self.incoming = Some(Box::new(incoming));
                Answer::Accept
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn via(&self, smtputf8: bool) -> Via {
        Via { esmtp: self.esmtp, tls: self.tls.is_some(), authenticated: self.user.is_some(), smtputf8 }
    }

    /// An `Err` is the reply to the end of the message; nothing of it is left.
    pub(crate) async fn content(&mut self, piece: &[u8]) -> Result<(), Reply> {
        let Some(incoming) = &mut self.incoming else { return Ok(()) };
        match incoming.piece(piece).await {
            Ok(()) => Ok(()),
            Err(refusal) => {
                self.abort();
                self.log_refusal(&refusal);
                Err(refusal.reply)
            }
        }
    }

    pub(crate) fn abort(&mut self) {
        self.incoming = None;
    }

    /// The end of data: the message is stored, and only then accepted.
    pub(crate) async fn end(&mut self) -> Answer {
        let began = Instant::now();
        let (Some(incoming), Some(mail)) = (self.incoming.take(), self.mail.take()) else {
            return self.refuse_plainly(out_of_order());
        };
        match self.store(*incoming, mail).await {
            Ok(message) => {
                self.shared.metrics.accepted(message.size, began.elapsed().as_secs_f64());
                self.log_accepted(&message);
                let text = format!("OK queued as {}", message.id);
                self.shared.intake.arrived(message);
                Answer::AcceptWith(Reply::new(250, EnhancedStatus::new(2, 0, 0), text))
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    async fn store(&mut self, incoming: Incoming, mail: Mail) -> Result<Message, Refusal> {
        let Mail { entry, lane, reverse_path, parameters, recipients } = mail;
        let whole = incoming.finish(|header| entry.may_be_from(header.authors.identities())).await?;
        let counted = recipients.len() as u64;
        entry.usage.take(&entry.name, counted).map_err(Refusal::plain)?;
        let recipients = entry.stored(&self.shared.routes, &reverse_path, recipients);
        let message = NewMessage {
            id: whole.id,
            accepted_at: self.shared.clock.now(),
            origin: self.origin(&entry),
            reverse_path,
            body: parameters.body,
            smtputf8: parameters.smtputf8,
            ret: parameters.ret,
            envid: parameters.envid,
            recipients,
            urgent: entry.is_urgent(&whole.header),
            header: whole.header,
            content: whole.content,
            lane,
            hold: None,
            report_to: entry.report_to.clone(),
            report_of: None,
        };
        let stored = self.shared.spool.enqueue(message, whole.body).await;
        stored.map_err(|error| {
            entry.usage.give_back(counted);
            self.shared.spool_trouble(error)
        })
    }

    fn origin(&self, entry: &Entry) -> Origin {
        Origin {
            client: entry.name.clone(),
            user: self.user.as_ref().map(|user| user.name.to_string()),
            peer: self.who.peer,
            helo: self.helo.clone(),
            tls: self.tls.clone(),
            session: self.who.session.clone(),
        }
    }

    fn log_accepted(&self, message: &Message) {
        tracing::info!(
            session = self.who.session,
            id = %message.id,
            client = &*message.origin.client,
            peer = %self.who.peer,
            from = %message.reverse_path,
            recipients = message.recipients.len(),
            size = message.size,
            "accepted"
        );
    }

    fn refuse_plainly(&self, reply: Reply) -> Answer {
        self.refuse(Refusal::plain(reply))
    }

    /// What the reply does not tell strangers, the administrator must be able to read.
    fn log_what_was_offered(&self, reverse_path: &ReversePath) {
        let Who { session, peer, listener } = &self.who;
        let facts = self.facts();
        tracing::info!(
            session,
            %peer,
            listener = &**listener,
            helo = self.helo,
            user = facts.user.map(|user| &*user.name),
            certificate = facts.certificate.map(|shown| shown.fingerprint.to_string()),
            tls = facts.tls,
            from = %reverse_path,
            entries = self.shared.admission.considered(&facts),
            "asked to send"
        );
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        self.log_refusal(&refusal);
        Answer::Refuse(refusal.reply)
    }

    fn log_refusal(&self, Refusal { reply, trouble }: &Refusal) {
        self.shared.count_refusal(reply);
        let Who { session, peer, listener } = &self.who;
        match trouble {
            Some(trouble) => tracing::warn!(session, %peer, listener = &**listener, %reply, trouble, "refused"),
            None => tracing::info!(session, %peer, listener = &**listener, %reply, "refused"),
        }
    }
}

impl Shared {
    /// For the metrics: `550 5.7.1`.
    pub(crate) fn count_refusal(&self, reply: &Reply) {
        match reply.status {
            Some(status) => self.metrics.refused(&format!("{} {status}", reply.code.get())),
            None => self.metrics.refused(&reply.code.get().to_string()),
        }
    }

    /// After the spool has refused once it is asked at every MAIL until it accepts again; before that nobody asks.
    fn spool_accepts(&self) -> Result<(), Refusal> {
        if !self.spool_refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.spool.health().state {
            SpoolState::Accepting => {
                self.spool_refuses.store(false, Ordering::Relaxed);
                Ok(())
            }
            SpoolState::Full { reason } => Err(SpoolError::Full(reason).into()),
            SpoolState::Closed { reason } => Err(SpoolError::Closed(reason).into()),
        }
    }

    fn spool_trouble(&self, error: SpoolError) -> Refusal {
        if matches!(error, SpoolError::Full(_) | SpoolError::Closed(_)) {
            self.spool_refuses.store(true, Ordering::Relaxed);
        }
        error.into()
    }
}

pub(crate) fn wrong_login() -> Reply {
    Reply::new(535, EnhancedStatus::new(5, 7, 8), "user name or password is wrong")
}

/// The machine asks in order; this is for the day it does not.
fn out_of_order() -> Reply {
    Reply::new(451, EnhancedStatus::new(4, 3, 0), "this relay lost track of the transaction: try again")
}
