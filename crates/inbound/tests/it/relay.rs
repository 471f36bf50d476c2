//! The inbound side on loopback sockets, with everything behind it faked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use inbound::{ClientEntry, Inbound, Limits, ListenerSettings, Settings, TlsMode, TlsSettings, User, Verifier};
use queue::{LaneName, Routes};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use secret::{Secret, SecretString};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Stream};
use crate::fakes::{Arrivals, MemorySpool, StoppedClock};

pub(crate) const MESSAGE: &str = "From: printer@contoso.com\r\nSubject: Toner low\r\n\r\nPlease.\r\n";

/// A running relay; stopped when dropped.
pub(crate) struct Relay {
    pub(crate) spool: Arc<MemorySpool>,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) metrics: Arc<telemetry::Metrics>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    pub(crate) fingerprint: Option<String>,
    addresses: Vec<(String, SocketAddr)>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A key pair for tests, made once.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
});

/// Writes the pair of [`PAIR`].
pub(crate) fn write_pair(dir: &Path, pair: &(String, String)) {
    std::fs::write(dir.join("c.pem"), &pair.0).unwrap();
    std::fs::write(dir.join("k.pem"), &pair.1).unwrap();
}

/// One client entry without anything.
pub(crate) fn entry(name: &str) -> ClientEntry {
    ClientEntry::named(name)
}

/// An entry for this machine.
pub(crate) fn printers() -> ClientEntry {
    ClientEntry { networks: vec!["127.0.0.0/8".parse().unwrap()], ..entry("printers") }
}

/// A user with a password in the clear.
pub(crate) fn user(name: &str, password: &str) -> User {
    User { name: name.into(), password: Verifier::Secret(Secret::Inline(SecretString::from(password.to_owned()))) }
}

/// A listener on a free port of loopback.
pub(crate) fn listener(name: &str, tls: TlsMode) -> ListenerSettings {
    ListenerSettings { name: name.into(), address: ([127, 0, 0, 1], 0).into(), tls, auth_without_tls: false }
}

/// Listeners `smtp` (opportunistic), `submissions` (implicit) and `required`; client entry `printers`.
pub(crate) fn settings(dir: &Path) -> Settings {
    write_pair(dir, &PAIR);
    Settings {
        hostname: "relay.contoso.com".into(),
        listeners: vec![
            listener("smtp", TlsMode::Opportunistic),
            listener("submissions", TlsMode::Implicit),
            listener("required", TlsMode::Required),
        ],
        clients: vec![printers()],
        tls: TlsSettings {
            certificate: Some(dir.join("c.pem")),
            key: Some(dir.join("k.pem")),
            client_ca: None,
            state_dir: dir.join("state"),
        },
        limits: Limits { grace: Duration::from_secs(20), ..Limits::default() },
    }
}

/// contoso.com goes to one lane.
pub(crate) fn routes() -> Routes {
    let lane = LaneName("contoso/submission/relay@contoso.com".into());
    Routes::new([("contoso.com".to_owned(), lane.clone())], Some(lane))
}

impl Relay {
    /// With changed settings.
    pub(crate) fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path());
        change(&mut settings);
        Self::bind(settings)
    }

    /// The directory of the certificate must still be there, afterwards no more.
    pub(crate) fn bind(settings: Settings) -> Self {
        let (spool, arrivals) = (Arc::new(MemorySpool::default()), Arc::new(Arrivals::default()));
        let metrics = Arc::new(telemetry::Metrics::default());
        let clock = Arc::new(StoppedClock);
        let inbound =
            Inbound::bind(settings, Vec::new(), spool.clone(), arrivals.clone(), routes(), clock, metrics.clone())
                .unwrap();
        let (addresses, fingerprint) = (inbound.local_addresses(), inbound.fingerprint());
        let stop = CancellationToken::new();
        let task = tokio::spawn(inbound.run(stop.clone()));
        Self { spool, arrivals, metrics, stop, task, fingerprint, addresses }
    }

    pub(crate) async fn connect(&self, listener: &str) -> TcpStream {
        let (_, address) = self.addresses.iter().find(|(name, _)| name == listener).unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// Connected to a listener; nothing read yet.
    pub(crate) async fn client(&self, listener: &str) -> Client {
        Client::new(self.connect(listener).await)
    }

    /// Connected to `smtp`, EHLO said.
    pub(crate) async fn greeted(&self) -> Client {
        let mut client = self.client("smtp").await;
        client.greet().await;
        client
    }

    /// Connected to `smtp`, STARTTLS done, EHLO said again.
    pub(crate) async fn encrypted(&self) -> Client {
        let mut client = self.greeted().await;
        client.script(&[("STARTTLS", "220")]).await;
        let mut client = Client::new(shake_hands(client.into_stream(), &[&rustls::version::TLS13]).await);
        assert!(client.say("EHLO printer.contoso.com").await.starts_with("250-"));
        client
    }

    /// The octets of the only message.
    pub(crate) fn only(&self) -> crate::fakes::Stored {
        let stored = self.spool.stored();
        assert_eq!(stored.len(), 1);
        stored[0].clone()
    }
}

/// The client's side of TLS, trusting the test's pair alone.
pub(crate) async fn shake_hands(
    stream: Box<dyn Stream>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> tokio_rustls::client::TlsStream<Box<dyn Stream>> {
    try_to_shake_hands(stream, versions, &PAIR.0).await.unwrap()
}

/// As above, trusting this certificate.
pub(crate) async fn try_to_shake_hands(
    stream: Box<dyn Stream>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    trusted: &str,
) -> std::io::Result<tokio_rustls::client::TlsStream<Box<dyn Stream>>> {
    handshake(stream, Arc::new(builder(versions, trusted).with_no_client_auth())).await
}

type Builder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

/// A client that trusts the test's pair, and has no certificate yet.
pub(crate) fn client_builder(versions: &[&'static rustls::SupportedProtocolVersion]) -> Builder {
    builder(versions, &PAIR.0)
}

fn builder(versions: &[&'static rustls::SupportedProtocolVersion], trusted: &str) -> Builder {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots)
}

/// As configured.
pub(crate) async fn handshake(
    stream: Box<dyn Stream>,
    config: Arc<rustls::ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<Box<dyn Stream>>> {
    let connector = tokio_rustls::TlsConnector::from(config);
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}
