//! The file as used: all values present and in range, one part for each component.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doctor::{DomainName, DomainQuestion, Way};
use jiff::civil::Date;
use m365::Cloud;
use m365::limits::defaults;
use queue::{LaneName, Plan, RetryPolicy, Routes};
use secret::Secret;
use transport::{Auth, ClientTls, Clients, Identity, SmtpKind, SmtpSettings, Timeouts};

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
    /// Keys for DKIM signatures.
    pub dkim: Vec<dkim::KeySettings>,
    /// Pools, lanes, budgets and breakers. Each path is a pool, in the order of the file.
    pub plan: Plan,
    /// How each lane of the plan reaches its next hop, in the same order.
    pub lanes: Vec<Lane>,
    /// What the clients' entries say of their mail on the way out.
    pub clients: Clients,
    /// Which pool the mail of a sender domain goes to.
    pub routes: Routes,
    /// From when on something is an incident: what the queue manager sees.
    pub watch: qmgr::WatchSettings,
    /// The same: what nobody sees but whoever looks at the calendar and the clock.
    pub watch_times: WatchTimes,
    /// What ends on a certain day.
    pub expiring: Vec<Expiring>,
    /// For reports to senders and owners.
    pub reports: qmgr::ReportSettings,
    /// Who is told of incidents.
    pub alerts: alert::Settings,
    /// For the doctor.
    pub dns: DnsSettings,
    /// What is known of each sender domain: of whose tenant it is, and how its mail leaves.
    pub sender_domains: Vec<SenderDomain>,
    /// For the admin API.
    pub admin: AdminSettings,
    /// For the logs.
    pub log: LogSettings,
    /// Worth a look, but no reason to refuse the file.
    pub warnings: Vec<Problem>,
    /// What the lanes that log in by token share: one application of one tenant each.
    pub(crate) applications: Vec<entra::Settings>,
}

/// How the DNS is asked, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Whom, and how long.
    pub resolver: doctor::DnsSettings,
    /// Our public addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether sender domains are looked at while the relay runs.
    pub warn: bool,
}

/// A sender domain of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderDomain {
    /// Its name.
    pub domain: DomainName,
    /// Name of the tenant.
    pub tenant: String,
    /// The tenant's.
    pub cloud: Cloud,
    /// The tenant's, if the file names it (`contoso.onmicrosoft.com`).
    pub initial_domain: Option<DomainName>,
    /// How its mail leaves, as receivers see it: one for each of the tenant's paths, none twice.
    pub ways: Vec<Way>,
}

/// How a lane reaches its next hop.
#[derive(Clone, Debug)]
pub struct Lane {
    /// As in the plan.
    pub name: LaneName,
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
    /// As whom it may send.
    pub identity: Identity,
    /// The relay is the last to touch its mail: it signs.
    pub signs: bool,
    /// Connections at once.
    pub connections: usize,
    /// Recipients of a transaction.
    pub recipients: usize,
    /// Of one domain.
    pub recipients_of_a_domain: Option<usize>,
}

/// From when on the calendar and the clock are trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchTimes {
    /// Our clock may differ so much.
    pub clock_skew: Duration,
    /// Somebody is told so many days before something ends: from many to few, each once.
    pub expiry_days: Vec<u32>,
}

/// Something that ends on a certain day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// In words, unique: `client secret of contoso (application 6666…)`.
    pub what: String,
    /// The tenant whose application proves itself by it; `None`: the listeners' own.
    pub tenant: Option<String>,
    /// Where the day is to be found.
    pub source: ExpirySource,
}

/// See [`Expiring`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpirySource {
    /// PEM; its first certificate says it. The file may be replaced at any time.
    Certificate(PathBuf),
    /// The configuration says it.
    Date(Date),
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
    /// all lanes that use it; `keys` sign on the paths where the relay is the last to touch a message.
    pub fn transports<E>(
        &self,
        token_source: impl FnMut(&entra::Settings) -> Result<entra::TokenSource, E>,
        keys: Option<&Arc<dkim::Keys>>,
    ) -> Result<Vec<(LaneName, SmtpSettings)>, E> {
        let sources =
            self.applications.iter().map(token_source).map(|s| s.map(Arc::new)).collect::<Result<Vec<_>, E>>()?;
        let transport = |lane: &Lane| SmtpSettings {
            clients: Arc::clone(&self.clients),
            keys: keys.filter(|_| lane.signs).cloned(),
            ..lane.transport(&self.hostname, &sources)
        };
        Ok(self.lanes.iter().map(|lane| (lane.name.clone(), transport(lane))).collect())
    }
}

impl Config {
    /// What the doctor is asked about a domain. Of one that the file does not name nothing is known but our addresses; then the
    /// cloud is the first tenant's.
    pub fn question(&self, domain: DomainName) -> DomainQuestion {
        let known = self.sender_domains.iter().find(|known| known.domain == domain);
        let cloud = known.or(self.sender_domains.first()).map_or(Cloud::default(), |known| known.cloud);
        DomainQuestion {
            tenant_initial_domain: known.and_then(|known| known.initial_domain.clone()),
            addresses: self.dns.addresses.clone(),
            ways: known.map(|known| known.ways.clone()).unwrap_or_default(),
            ..DomainQuestion::new(domain, cloud, self.hostname.clone())
        }
    }
}

impl Lane {
    fn transport(&self, hello: &str, sources: &[Arc<entra::TokenSource>]) -> SmtpSettings {
        SmtpSettings {
            lane: self.name.clone(),
            kind: self.kind,
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            ca: self.ca.clone(),
            hello: hello.to_owned(),
            auth: self.auth.with(sources),
            identity: self.identity.clone(),
            clients: Clients::default(),
            keys: None,
            connections: self.connections,
            recipients: self.recipients,
            recipients_of_a_domain: self.recipients_of_a_domain,
            timeouts: Timeouts::default(),
            messages_per_connection: defaults::MESSAGES_PER_CONNECTION,
            connection_age: defaults::CONNECTION_AGE,
            connection_idle: defaults::CONNECTION_IDLE,
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
