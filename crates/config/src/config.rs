//! The file as used: all values present and in range, one part for each component.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use queue::{LaneSettings, RetryPolicy, Routes};
use secret::Secret;
use transport::{Auth, ClientTls, SmtpKind, SmtpSettings, Timeouts};

use crate::Problem;

/// What the components are told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name: EHLO both ways, greeting, trace fields.
    pub hostname: String,
    /// Where everything is kept that must survive.
    pub data_dir: PathBuf,
    /// For the listeners.
    pub inbound: inbound::Settings,
    /// For the embedded spool.
    pub spool: spool::Settings,
    /// For the queue.
    pub retry: RetryPolicy,
    /// Messages in memory for each line of a lane.
    pub window: usize,
    /// How long settled messages can still be looked up.
    pub history: Duration,
    /// On shutdown, attempts and sessions may finish within this.
    pub grace: Duration,
    /// One a path, in the order of the file.
    pub lanes: Vec<Lane>,
    /// Which lane the mail of a sender domain goes to.
    pub routes: Routes,
    /// For the admin API.
    pub admin: AdminSettings,
    /// For the logs.
    pub log: LogSettings,
    /// Worth a look, but no reason to refuse the file.
    pub warnings: Vec<Problem>,
    /// What the lanes that log in by token share: one application of one tenant each.
    pub(crate) applications: Vec<entra::Settings>,
}

/// A path of a tenant.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its name and its permits.
    pub settings: LaneSettings,
    /// Name of the tenant.
    pub tenant: String,
    /// Whose rules apply.
    pub kind: SmtpKind,
    /// Name or address of the next hop.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS towards it.
    pub tls: ClientTls,
    /// Roots trusted in addition to the system's.
    pub ca: Option<PathBuf>,
    /// See there.
    pub auth: LaneAuth,
}

/// How a lane proves itself.
#[derive(Clone, Debug)]
pub enum LaneAuth {
    /// Not at all.
    None,
    /// AUTH PLAIN or LOGIN.
    Password {
        /// User name.
        username: String,
        /// Secret.
        password: Secret,
    },
    /// AUTH XOAUTH2 with a token of the tenant's application.
    Token {
        /// The mailbox.
        user: String,
        /// The application, as an index that only this crate reads.
        application: Application,
    },
}

/// Which application's token; several lanes may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application(pub(crate) usize);

/// Where the admin API answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Unix socket.
    pub socket: Option<PathBuf>,
    /// HTTP: metrics and health.
    pub address: Option<SocketAddr>,
}

/// How much is logged, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `info`, or a filter by part (`info,posthouse_entra=debug`).
    pub filter: String,
    /// `None`: for people on a terminal, JSON otherwise.
    pub format: Option<telemetry::LogFormat>,
}

impl Config {
    /// What each lane's transport is told. `token_source` is called once for each application, and what it gives is shared by
    /// all lanes that use it.
    pub fn transports<E>(
        &self,
        token_source: impl FnMut(&entra::Settings) -> Result<entra::TokenSource, E>,
    ) -> Result<Vec<(LaneSettings, SmtpSettings)>, E> {
        let sources =
            self.applications.iter().map(token_source).map(|s| s.map(Arc::new)).collect::<Result<Vec<_>, E>>()?;
        Ok(self.lanes.iter().map(|lane| (lane.settings.clone(), lane.transport(&self.hostname, &sources))).collect())
    }
}

impl Lane {
    fn transport(&self, hello: &str, sources: &[Arc<entra::TokenSource>]) -> SmtpSettings {
        SmtpSettings {
            lane: self.settings.name.clone(),
            kind: self.kind,
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            ca: self.ca.clone(),
            hello: hello.to_owned(),
            auth: self.auth.with(sources),
            connections: self.settings.connections,
            timeouts: Timeouts::default(),
            messages_per_connection: 50,
            connection_age: Duration::from_secs(600),
            connection_idle: Duration::from_secs(60),
        }
    }
}

impl LaneAuth {
    fn with(&self, sources: &[Arc<entra::TokenSource>]) -> Auth {
        match self {
            Self::None => Auth::None,
            Self::Password { username, password } => {
                Auth::Password { username: username.clone(), password: password.clone() }
            }
            Self::Token { user, application } => {
                let tokens =
                    sources.get(application.0).expect("indices are made together with the list of applications");
                Auth::XOAuth2 { user: user.clone(), tokens: Arc::clone(tokens) }
            }
        }
    }
}
