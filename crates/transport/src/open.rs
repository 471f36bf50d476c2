//! From nothing to a session on which mail can be sent: connect, greet, encrypt, log in.
//!
//! In: the settings. Out: a session, or a refusal that says whose move it is. Never: a message; nothing that happens here is
//! a message's fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use queue::{LaneVerdict, Pause, RemoteReply, Scope};
use smtp::client::{BrokenSession, Stage, Step};
use smtp::{Credentials, Reply};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::auth::{Login, Proof};
use crate::classify::{self, LINK_REST, PROBE, Rules, Ruling, What};
use crate::connect::connect;
use crate::refusal::Refusal;
use crate::report::Notes;
use crate::session::{LinkError, Patience, Session};
use crate::settings::{ClientTls, SmtpSettings};
use crate::stream::Stream;
use crate::tls::{Tls, certificate_remedy};
use crate::watch::Watch;

/// AUTH answered with `451 4.7.0 … PRXn` so often in a row is no passing trouble: the token or its user is wrong.
const PROXY_FAILURES: u32 = 3;

/// One next hop and how to get there.
pub(crate) struct NextHop {
    pub(crate) settings: SmtpSettings,
    /// Host and port, for logs, alerts and reasons.
    pub(crate) label: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) login: Login,
    pub(crate) rules: Rules,
    pub(crate) opened: AtomicU64,
    pub(crate) proxy_failures: AtomicU32,
    pub(crate) watch: Watch,
}

impl NextHop {
    pub(crate) async fn open(&self, permit: OwnedSemaphorePermit, notes: &mut Notes) -> Result<Session, Box<Refusal>> {
        let proof = self.prepare().await?;
        let mut session = self.connect(permit).await?;
        self.ready(&mut session, Stage::Greeting).await?;
        if matches!(self.settings.tls, ClientTls::Required | ClientTls::Opportunistic) {
            self.encrypt(&mut session).await?;
        }
        self.log_in(&mut session, proof, notes).await?;
        self.watch.accepted();
        tracing::debug!(
            connection = session.number,
            peer = %session.peer,
            tls = session.stream.protection(),
            "connection opened"
        );
        Ok(session)
    }

    /// A password or a token.
    async fn prepare(&self) -> Result<Proof, Box<Refusal>> {
        let proof = self.login.prepare().await;
        if let Err(refusal) = &proof
            && matches!(refusal.lane, LaneVerdict::Paused(_))
        {
            self.watch.refused(None);
        }
        proof
    }

    async fn connect(&self, permit: OwnedSemaphorePermit) -> Result<Session, Box<Refusal>> {
        let SmtpSettings { host, port, hello, timeouts, .. } = &self.settings;
        let (tcp, address) =
            connect(host, *port, timeouts.connect).await.map_err(|error| self.resting(error.to_string()))?;
        let peer: Arc<str> = format!("{host} [{}]:{port}", address.ip()).into();
        let mut stream = Stream::Clear(tcp);
        if self.settings.tls == ClientTls::Implicit {
            self.handshake(&mut stream).await?;
        }
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Session::new(stream, hello, number, peer, permit))
    }

    /// STARTTLS, unless it is not offered and need not be.
    async fn encrypt(&self, session: &mut Session) -> Result<(), Box<Refusal>> {
        if !session.client.extensions().starttls {
            return self.in_clear("the server does not offer STARTTLS");
        }
        session.client.start_tls();
        match session.step(self.patience(1)).await {
            Ok(Step::TlsHandshake) => {}
            Ok(Step::Refused { stage, reply }) => {
                return self.in_clear("the server refused STARTTLS").map_err(|_| self.refused(session, stage, &reply));
            }
            other => return Err(self.unexpected(session, Stage::StartTls, other)),
        }
        self.handshake(&mut session.stream).await?;
        session.client.handle_tls();
        self.ready(session, Stage::Hello).await
    }

    /// Going on without TLS: only where it was wished for and no secret goes over the wire.
    fn in_clear(&self, why: &str) -> Result<(), Box<Refusal>> {
        if self.settings.tls == ClientTls::Opportunistic && matches!(self.login, Login::None) {
            return Ok(());
        }
        Err(Refusal::paused(Pause {
            scope: Scope::Path,
            reason: format!("{}: {why}, and this path does not send without", self.label),
            remedy:
                "nothing was sent. Look whether something on the way (a firewall that inspects SMTP) takes STARTTLS \
                     out, and whether host and port are right; `tls` of this path says what is wanted"
                    .to_owned(),
            code: "starttls".to_owned(),
            probe_after: PROBE,
        }))
    }

    async fn handshake(&self, stream: &mut Stream) -> Result<(), Box<Refusal>> {
        let (Some(tls), Stream::Clear(_)) = (&self.tls, &*stream) else {
            return Err(self.resting("TLS is not set up".to_owned()));
        };
        let Stream::Clear(tcp) = std::mem::replace(stream, Stream::Upgrading) else {
            return Err(self.resting("TLS is not set up".to_owned()));
        };
        let connector = TlsConnector::from(tls.config.clone());
        let limit = self.settings.timeouts.handshake;
        match timeout(limit, connector.connect(tls.name.clone(), tcp)).await {
            Ok(Ok(encrypted)) => {
                *stream = Stream::Tls(Box::new(encrypted));
                Ok(())
            }
            Ok(Err(error)) => Err(self.handshake_failed(&error)),
            Err(_) => Err(self.resting(format!("no end of the TLS handshake within {} s", limit.as_secs_f32()))),
        }
    }

    fn handshake_failed(&self, error: &std::io::Error) -> Box<Refusal> {
        let reason = format!("the TLS handshake failed: {error}");
        match certificate_remedy(error, &self.settings.host) {
            None => self.resting(reason),
            Some(remedy) => Refusal::paused(Pause {
                scope: Scope::Path,
                reason: format!("{}: {reason}", self.label),
                remedy,
                code: "tls-certificate".to_owned(),
                probe_after: PROBE,
            }),
        }
    }

    /// AUTH, with a fresh token if the first one is refused.
    async fn log_in(&self, session: &mut Session, mut proof: Proof, notes: &mut Notes) -> Result<(), Box<Refusal>> {
        let mut fresh = false;
        loop {
            let offered = &session.client.extensions().auth;
            let Some(credentials) = proof.credentials(self.settings.kind, offered)? else { return Ok(()) };
            let Some((ruling, reply)) = self.authenticate(session, &credentials, proof.is_token()).await? else {
                return Ok(());
            };
            if ruling.what != What::RefreshToken || fresh {
                return Err(self.login_refused(session, ruling, &reply, &proof));
            }
            self.login.discard(&proof);
            tracing::info!(peer = %session.peer, %reply, "the access token was refused, trying a fresh one");
            let another = self.prepare().await;
            let came = if another.is_ok() { "a fresh one was taken" } else { "no fresh one could be had" };
            notes.add(format!("the server refused the token ({reply}): {came}"));
            proof = another?;
            fresh = true;
        }
    }

    /// `None`: accepted.
    async fn authenticate(
        &self,
        session: &mut Session,
        credentials: &Credentials,
        token: bool,
    ) -> Result<Option<(Ruling, Reply)>, Box<Refusal>> {
        session.client.authenticate(credentials);
        let reply = match session.step(self.patience(3)).await {
            Ok(Step::AuthReply(reply)) => reply,
            other => return Err(self.unexpected(session, Stage::Auth, other)),
        };
        if reply.code.is_positive() {
            self.proxy_failures.store(0, Ordering::Relaxed);
            return Ok(None);
        }
        let mut ruling = self.rules.judge(Stage::Auth, &reply, token);
        if self.keeps_failing(&reply) {
            ruling.what = What::Pause(PROBE);
        }
        Ok(Some((ruling, reply)))
    }

    fn keeps_failing(&self, reply: &Reply) -> bool {
        if reply.code.get() != 451 || !reply.text().contains("PRX") {
            self.proxy_failures.store(0, Ordering::Relaxed);
            return false;
        }
        self.proxy_failures.fetch_add(1, Ordering::Relaxed) + 1 >= PROXY_FAILURES
    }

    fn login_refused(&self, session: &Session, mut ruling: Ruling, reply: &Reply, proof: &Proof) -> Box<Refusal> {
        if matches!(ruling.what, What::Pause(_)) {
            self.watch.refused(Some(proof));
        }
        if let Some(token) = self.login.describe(proof) {
            let said = |text: String| format!("{text} The refused token: {token}");
            ruling.remedy =
                Some(said(ruling.remedy.unwrap_or_else(|| "check what the token says of itself.".to_owned())));
            ruling.hint = ruling.hint.map(said);
        }
        self.ruled(session, Stage::Auth, &ruling, reply)
    }

    async fn ready(&self, session: &mut Session, stage: Stage) -> Result<(), Box<Refusal>> {
        match session.step(self.patience(2)).await {
            Ok(Step::Ready) => Ok(()),
            other => Err(self.unexpected(session, stage, other)),
        }
    }

    /// Anything but the step that was due.
    fn unexpected(&self, session: &Session, stage: Stage, step: Result<Step, LinkError>) -> Box<Refusal> {
        match step {
            Ok(Step::Refused { stage, reply }) => self.refused(session, stage, &reply),
            Ok(Step::Broken { cause: BrokenSession::Closing(reply), .. }) => self.refused(session, stage, &reply),
            Ok(Step::Broken { cause: cause @ BrokenSession::Injected, .. }) => Refusal::paused(Pause {
                scope: Scope::Path,
                reason: format!("{}: {cause}", session.peer),
                remedy:
                    "nothing was sent. Look at what stands between this machine and the server; `tls = \"implicit\"` \
                         cannot be tampered with in this way, if the server has it"
                        .to_owned(),
                code: "starttls-injection".to_owned(),
                probe_after: PROBE,
            }),
            Ok(Step::Broken { cause, .. }) => self.resting(cause.to_string()),
            Ok(step) => self.resting(format!("the conversation went astray: {step:?}")),
            Err(error) => self.resting(format!("{error} ({})", awaited(stage))),
        }
    }

    fn refused(&self, session: &Session, stage: Stage, reply: &Reply) -> Box<Refusal> {
        let ruling = self.rules.judge(stage, reply, false);
        self.ruled(session, stage, &ruling, reply)
    }

    fn ruled(&self, session: &Session, stage: Stage, ruling: &Ruling, reply: &Reply) -> Box<Refusal> {
        let reason = classify::refused(stage, reply);
        let lane = classify::lane_verdict(ruling, stage, reply, &self.label)
            .unwrap_or_else(|| LaneVerdict::Rest { wait: LINK_REST, reason: reason.clone() });
        let hint = match (&ruling.hint, &lane) {
            (None, LaneVerdict::Paused(pause)) => Some(pause.remedy.clone()),
            (hint, _) => hint.clone(),
        };
        let remote = RemoteReply { host: session.peer.to_string(), reply: reply.clone(), remote_id: None };
        Box::new(Refusal { reason, hint, remote: Some(remote), lane })
    }

    fn resting(&self, what: String) -> Box<Refusal> {
        let reason = format!("{}: {what}", self.label);
        Refusal::new(reason.clone(), LaneVerdict::Rest { wait: LINK_REST, reason })
    }

    pub(crate) fn patience(&self, replies: usize) -> Patience {
        Patience::new(self.settings.timeouts.command, replies)
    }
}

fn awaited(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "waiting for its greeting",
        Stage::Hello => "waiting for its answer to EHLO",
        Stage::StartTls => "waiting for its answer to STARTTLS",
        Stage::Auth => "while logging in",
        Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End => "in a transaction",
    }
}
