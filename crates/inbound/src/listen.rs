//! The listeners: bound, served until told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use queue::{Clock, Intake, Routes, Spool};
use smtp::server::{self, StartTls};
use smtp::{EnhancedStatus, Mechanism, Reply};
use telemetry::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::connections::{Connections, Place, TooMany};
use crate::conversation::Who;
use crate::link::Stops;
use crate::logins::{Logins, PasswordHashError};
use crate::session::Session;
use crate::tls::Certificates;
use crate::{
    Limits, ListenerSettings, OpenRelay, Settings, Tie, TlsError, TlsMode, open_relay, platform, sockets, ties,
};

/// Between looks at the certificate's files.
const LOOK_AT_FILES: Duration = Duration::from_secs(3);
/// After an error of `accept` (no descriptors left).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How often that is logged.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(60);
/// For sessions that grace has run out for, to say 421.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why the relay cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address.
    #[error("cannot listen on {address} (listener {name}): {error}")]
    Address {
        /// Of the listener.
        name: String,
        /// Of the listener.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Strangers could relay.
    #[error(transparent)]
    OpenRelay(#[from] OpenRelay),
    /// Two client entries that could not be told apart.
    #[error("the [[client]] entries {:?} and {:?} fit some clients equally; one of them must ask for more", .0.first, .0.second)]
    Tie(Tie),
    /// A user.
    #[error(transparent)]
    PasswordHash(#[from] PasswordHashError),
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) hostname: String,
    pub(crate) limits: Limits,
    pub(crate) admission: Admission,
    pub(crate) logins: Logins,
    pub(crate) routes: Routes,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) spool_refuses: AtomicBool,
    pub(crate) intake: Arc<dyn Intake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) connections: Arc<Connections>,
}

/// What sessions of one listener share.
pub(crate) struct Listener {
    pub(crate) name: Arc<str>,
    pub(crate) tls: TlsMode,
    pub(crate) protocol: Arc<server::Settings>,
}

/// Bound listeners, not yet serving.
pub struct Inbound {
    shared: Arc<Shared>,
    listeners: Vec<(Arc<Listener>, StdListener)>,
}

impl Inbound {
    /// Binds every listener, or takes its inherited socket, and loads the certificate, or makes one. Blocks for files, and for
    /// a moment when a key is made.
    pub fn bind(
        settings: Settings,
        inherited: Vec<(String, StdListener)>,
        spool: Arc<dyn Spool>,
        intake: Arc<dyn Intake>,
        routes: Routes,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BindError> {
        open_relay(&settings)?;
        if let Some(tie) = ties(&settings.clients).into_iter().next() {
            return Err(BindError::Tie(tie));
        }
        let sockets =
            sockets::open(&settings.listeners, inherited).map_err(|(at, error)| refused(&settings, at, error))?;
        let wants_tls = settings.listeners.iter().any(|listener| listener.tls != TlsMode::None);
        let ask = settings.clients.iter().any(|client| !client.certificates.is_empty());
        let open = || Certificates::open(&settings.tls, &settings.hostname, clock.now(), ask);
        let certificates = wants_tls.then(open).transpose()?;
        let shared = Shared {
            admission: Admission::new(&settings.clients, settings.limits.message_size),
            logins: Logins::new(&settings.clients)?,
            connections: Arc::new(Connections::new(
                within_descriptors(settings.limits.connections, platform::descriptors()),
                settings.limits.connections_per_address,
                random(),
            )),
            hostname: settings.hostname.clone(),
            limits: settings.limits.clone(),
            spool_refuses: AtomicBool::new(false),
            routes,
            spool,
            intake,
            clock,
            metrics,
            certificates,
        };
        let make = |listener: &ListenerSettings| {
            let protocol = Arc::new(protocol(&settings, listener, !shared.logins.is_empty()));
            Arc::new(Listener { name: listener.name.as_str().into(), tls: listener.tls, protocol })
        };
        let listeners = settings.listeners.iter().map(make).zip(sockets).collect();
        Ok(Self { shared: Arc::new(shared), listeners })
    }

    /// Name and address of each listener, in the order of the settings; with the port that was found for port 0.
    pub fn local_addresses(&self) -> Vec<(String, SocketAddr)> {
        let address = |(listener, socket): &(Arc<Listener>, StdListener)| {
            socket.local_addr().ok().map(|address| (listener.name.to_string(), address))
        };
        self.listeners.iter().filter_map(address).collect()
    }

    /// SHA-256 of the certificate that the listeners show, as `AB:CD:…`; `None` where no listener has TLS.
    pub fn fingerprint(&self) -> Option<String> {
        self.shared.certificates.as_ref().map(Certificates::fingerprint)
    }

    /// Serves until `stop`. Then no connection is taken, sessions between messages get 421 4.3.2 at once, those inside a
    /// message may finish it within `Limits::grace`. Returns when all are over, at the latest a second after the grace.
    pub async fn run(self, stop: CancellationToken) {
        let Self { shared, listeners } = self;
        let stops = Stops { soft: stop.clone(), hard: CancellationToken::new() };
        let sessions = TaskTracker::new();
        let mut helpers = JoinSet::new();
        for (listener, socket) in listeners {
            let server =
                Acceptor { shared: shared.clone(), listener, stops: stops.clone(), sessions: sessions.clone() };
            helpers.spawn(server.serve(socket));
        }
        helpers.spawn(watch_files(shared.clone(), stop.clone()));
        stop.cancelled().await;
        while helpers.join_next().await.is_some() {}
        sessions.close();
        if tokio::time::timeout(shared.limits.grace, sessions.wait()).await.is_err() {
            tracing::warn!(sessions = sessions.len(), "grace is over: closing the sessions that are left");
            stops.hard.cancel();
            let _ = tokio::time::timeout(LAST_WORDS, sessions.wait()).await;
        }
    }
}

#[cfg(test)]
impl Inbound {
    /// For sessions without sockets.
    pub(crate) fn parts(mut self) -> (Arc<Shared>, Arc<Listener>) {
        (self.shared, self.listeners.remove(0).0)
    }
}

fn refused(settings: &Settings, at: usize, error: io::Error) -> BindError {
    let listener = settings.listeners.get(at);
    BindError::Address {
        name: listener.map(|listener| listener.name.clone()).unwrap_or_default(),
        address: listener.map_or_else(|| SocketAddr::from(([0; 4], 0)), |listener| listener.address),
        error,
    }
}

/// Connections that leave as many descriptors again for the files of large messages, the spool and the next hops: without
/// any of them nobody would be told anything.
fn within_descriptors(connections: usize, descriptors: Option<u64>) -> usize {
    let room = descriptors.map_or(usize::MAX, |all| usize::try_from(all / 2).unwrap_or(usize::MAX)).max(1);
    if room < connections {
        tracing::warn!(
            connections,
            room,
            "this process may open too few files for so many connections: fewer are taken; raise its limit (LimitNOFILE=, \
             ulimit -n) to twice `connections` of [limits]"
        );
    }
    connections.min(room)
}

fn random() -> u64 {
    let mut octets = [0; 8];
    // Names of sessions need not be secret: without random octets they begin at 0.
    let _ = ::aws_lc_rs::rand::fill(&mut octets);
    u64::from_be_bytes(octets)
}

/// What the protocol machine is told about a listener.
pub(crate) fn protocol(settings: &Settings, listener: &ListenerSettings, has_users: bool) -> server::Settings {
    let limits = &settings.limits;
    server::Settings {
        hostname: settings.hostname.clone(),
        greeting: format!("{} ESMTP Posthouse", settings.hostname),
        size: limits.message_size,
        starttls: match listener.tls {
            TlsMode::None | TlsMode::Implicit => StartTls::Unavailable,
            TlsMode::Opportunistic => StartTls::Offered,
            TlsMode::Required => StartTls::Required,
        },
        mechanisms: if has_users { vec![Mechanism::Plain, Mechanism::Login] } else { Vec::new() },
        auth_without_tls: listener.auth_without_tls,
        chunking: true,
        smtputf8: true,
        dsn: true,
        advertise_limits: true,
        limits: server::Limits {
            recipients: limits.recipients,
            messages: limits.messages,
            errors: limits.errors,
            ..server::Limits::default()
        },
    }
}

async fn watch_files(shared: Arc<Shared>, stop: CancellationToken) {
    let look = async {
        loop {
            tokio::time::sleep(LOOK_AT_FILES).await;
            let shared = shared.clone();
            let _ = tokio::task::spawn_blocking(move || shared.certificates.as_ref().map(Certificates::look)).await;
        }
    };
    if shared.certificates.is_some() {
        stop.run_until_cancelled(look).await;
    }
}

/// Takes the connections of one listener.
struct Acceptor {
    shared: Arc<Shared>,
    listener: Arc<Listener>,
    stops: Stops,
    sessions: TaskTracker,
}

impl Acceptor {
    async fn serve(self, socket: StdListener) {
        let name = &*self.listener.name;
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(listener = name, %error, "cannot listen: restart the relay"),
        };
        if let Ok(address) = socket.local_addr() {
            tracing::info!(listener = name, %address, tls = ?self.listener.tls, "taking mail");
        }
        self.stops.soft.run_until_cancelled(self.accept(socket)).await;
    }

    async fn accept(&self, socket: TcpListener) {
        let mut complained: Option<Instant> = None;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => self.welcome(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port())),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_AGAIN) {
                        tracing::warn!(listener = &*self.listener.name, %error, "cannot take connections for the moment");
                        complained = Some(Instant::now());
                    }
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn welcome(&self, stream: TcpStream, peer: SocketAddr) {
        match self.shared.connections.enter(peer.ip()) {
            Ok(place) => drop(self.sessions.spawn(self.session(stream, peer, place))),
            Err(limit) => self.turn_away(&stream, peer, &limit),
        }
    }

    fn session(&self, stream: TcpStream, peer: SocketAddr, place: Place) -> impl Future<Output = ()> + use<> {
        let (shared, listener) = (self.shared.clone(), self.listener.clone());
        let session = shared.connections.session_name();
        let who = Who { session, peer, listener: listener.name.clone() };
        let session = Session::new(shared.clone(), &listener, stream, who, self.stops.clone());
        let counted = Counted::new(shared, listener, place);
        async move {
            session.run(counted.listener.tls == TlsMode::Implicit).await;
            drop(counted);
        }
    }

    /// Says why and closes, without waiting for anything.
    fn turn_away(&self, stream: &TcpStream, peer: SocketAddr, limit: &TooMany) {
        let reply = too_many(limit, &self.shared.hostname, peer.ip());
        self.shared.count_refusal(&reply);
        tracing::info!(listener = &*self.listener.name, %peer, %reply, "turned away");
        let mut text = Vec::new();
        reply.write(&mut text);
        let _ = stream.try_write(&text);
    }
}

/// Counts a session as open while it lives, whatever becomes of it.
struct Counted {
    shared: Arc<Shared>,
    listener: Arc<Listener>,
    _place: Place,
}

impl Counted {
    fn new(shared: Arc<Shared>, listener: Arc<Listener>, place: Place) -> Self {
        shared.metrics.session_opened(&listener.name);
        Self { shared, listener, _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.metrics.session_closed(&self.listener.name);
    }
}

fn too_many(limit: &TooMany, hostname: &str, peer: IpAddr) -> Reply {
    match limit {
        TooMany::InAll => Reply::new(
            421,
            EnhancedStatus::new(4, 3, 2),
            format!("{hostname} has too many connections: try again later"),
        ),
        TooMany::FromAddress => {
            Reply::new(421, EnhancedStatus::new(4, 7, 0), format!("{hostname} has too many connections from {peer}"))
        }
    }
}

/// The client gave up before we took its connection: nothing is wrong with the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        assert_eq!(within_descriptors(2000, Some(1024)), 512);
        assert_eq!(within_descriptors(2000, Some(65_536)), 2000);
        assert_eq!(within_descriptors(2000, Some(u64::MAX)), 2000);
        assert_eq!(within_descriptors(2000, None), 2000);
        assert_eq!(within_descriptors(2000, Some(1)), 1);
    }
}
