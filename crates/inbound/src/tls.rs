//! The listeners' certificate: read from PEM files, taken up anew when they change, made once where none is configured. With it
//! the authorities of clients' certificates.
//!
//! In: paths. Out: the TLS configuration for the next connection. Bad new files never replace good old ones. On a change the
//! whole configuration is replaced, tickets included: a resumed session would go on showing the old certificate. A ticket also
//! holds the client's certificate; it is judged anew each time, so a resumed session is never known by what counts no longer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};

use crate::TlsSettings;
use crate::client_certificates::{AskForCertificate, Authorities};
use crate::identity::{Fingerprint, PeerCertificate};
use crate::self_signed;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("cannot read {path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// No PEM of this kind in it.
    #[error("{path} holds no usable {what} in PEM: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Certificate or private key.
        what: &'static str,
        /// The parser's words.
        error: pem::Error,
    },
    /// They do not belong together, or cannot be used.
    #[error("the certificate {certificate} and the key {key} cannot be used together: {error}")]
    Pair {
        /// Which.
        certificate: PathBuf,
        /// Which.
        key: PathBuf,
        /// The library's words.
        error: rustls::Error,
    },
    /// The authorities of clients' certificates.
    #[error("client_ca {path} cannot be used: {error}")]
    Authorities {
        /// Which.
        path: PathBuf,
        /// The library's words.
        error: rustls::Error,
    },
    /// Only one of the two is configured.
    #[error("[tls] names only one of certificate and key: name both, or neither for a self-signed pair")]
    Half,
    /// The self-signed pair.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The self-signed pair.
    #[error("cannot keep the self-signed certificate in {path}: {error}")]
    Write {
        /// Where.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Files,
    current: ArcSwap<Loaded>,
    watched: Mutex<Watched>,
}

/// Where everything stands, and whether clients are asked for a certificate.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    ask: bool,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
    authorities: Authorities,
}

/// Modification time and length; `None` where there is no file.
type Stamp = Option<(SystemTime, u64)>;

/// Of certificate, key and authorities.
type Stamps = [Stamp; 3];

#[derive(Debug)]
struct Watched {
    /// Of the files that were last tried.
    tried: Stamps,
    /// At the last look.
    seen: Stamps,
}

impl Certificates {
    /// Loads what is configured, or the self-signed pair, made now if there is none yet. `ask`: whether clients are asked for a
    /// certificate.
    pub(crate) fn open(
        settings: &TlsSettings,
        hostname: &str,
        now: jiff::Timestamp,
        ask: bool,
    ) -> Result<Self, TlsError> {
        let (certificate, key) = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) => self_signed::pair(&settings.state_dir, hostname, now)?,
            _ => return Err(TlsError::Half),
        };
        let files = Files { certificate, key, client_ca: settings.client_ca.clone().filter(|_| ask), ask };
        let stamps = files.stamps();
        let loaded = files.load()?;
        let certificate = files.certificate.display();
        tracing::info!(%certificate, sha256 = %loaded.fingerprint, "TLS certificate of the listeners");
        let watched = Mutex::new(Watched { tried: stamps, seen: stamps });
        Ok(Self { files, current: ArcSwap::from_pointee(loaded), watched })
    }

    /// For the next connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// SHA-256 of the certificate, as `AB:CD:…`.
    pub(crate) fn fingerprint(&self) -> String {
        self.current.load().fingerprint.to_string()
    }

    /// What a client's certificate proves now; `None`: it has shown none.
    pub(crate) fn judge(&self, connection: &ServerConnection, now: jiff::Timestamp) -> Option<PeerCertificate> {
        self.current.load().authorities.judge(connection.peer_certificates()?, now)
    }

    /// Looks whether the files have changed and, once they are the same at two looks, loads them. Reads files.
    pub(crate) fn look(&self) {
        let stamps = self.files.stamps();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let at_rest = watched.seen == stamps;
        watched.seen = stamps;
        if !at_rest || watched.tried == stamps {
            return;
        }
        watched.tried = stamps;
        match self.files.load() {
            Ok(loaded) => {
                tracing::info!(sha256 = %loaded.fingerprint, "TLS certificate replaced");
                self.current.store(Arc::new(loaded));
            }
            Err(error) => tracing::warn!(
                %error,
                "the TLS certificate's files have changed and cannot be used: the old certificate stays; replace them again"
            ),
        }
    }
}

/// `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
pub(crate) fn describe(connection: &ServerConnection) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    format!("{version} {}", suite.as_ref().and_then(CipherSuite::as_str).unwrap_or("unknown"))
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl Files {
    fn stamps(&self) -> Stamps {
        [stamp(&self.certificate), stamp(&self.key), self.client_ca.as_deref().and_then(stamp)]
    }

    fn load(&self) -> Result<Loaded, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (chain, key) = read_pair(&self.certificate, &self.key)?;
        let leaf = chain.first().map(Fingerprint::of);
        let config = config(&provider, self.ask, chain, key).map_err(|error| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            error,
        })?;
        Ok(Loaded {
            config: Arc::new(config),
            fingerprint: leaf.expect("the pair was read with at least one certificate"),
            authorities: Authorities::load(self.client_ca.as_deref(), &provider)?,
        })
    }
}

/// A chain of at least one certificate, and a key.
type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_pair(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error });
    let broken = |path: &Path, what| {
        let path = path.to_owned();
        move |error| TlsError::Pem { path, what, error }
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(broken(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(broken(certificate, "certificate")(pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(broken(key, "private key"))?;
    Ok((chain, private))
}

fn config(
    provider: &Arc<CryptoProvider>,
    ask: bool,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match ask {
        true => builder.with_client_cert_verifier(Arc::new(AskForCertificate(provider.clone()))),
        false => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    // Tickets hold the session at the client: nothing of it is kept here.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dir: &Path) -> TlsSettings {
        TlsSettings { certificate: None, key: None, client_ca: None, state_dir: dir.to_owned() }
    }

    fn now() -> jiff::Timestamp {
        "2026-11-20T22:32:07Z".parse().unwrap()
    }

    fn write_pair(dir: &Path, name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let pair = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(dir.join("c.pem"), &pair.0).unwrap();
        std::fs::write(dir.join("k.pem"), &pair.1).unwrap();
        pair
    }

    #[test]
    fn the_self_signed_pair_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = Certificates::open(&settings(dir.path()), "relay.contoso.com", now(), false).unwrap().fingerprint();
        let second =
            Certificates::open(&settings(dir.path()), "relay.contoso.com", now(), false).unwrap().fingerprint();
        assert_eq!(first, second);
        assert_eq!(first.len(), 32 * 3 - 1);
    }

    #[test]
    fn half_a_pair_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let half = TlsSettings { certificate: Some(dir.path().join("c.pem")), ..settings(dir.path()) };
        assert!(matches!(Certificates::open(&half, "x", now(), false), Err(TlsError::Half)));
    }

    #[test]
    fn a_certificate_and_a_foreign_key_are_refused_with_both_names() {
        let dir = tempfile::tempdir().unwrap();
        let (_, key) = write_pair(dir.path(), "a.example");
        write_pair(dir.path(), "b.example");
        std::fs::write(dir.path().join("k.pem"), key).unwrap();
        let path = |name: &str| Some(dir.path().join(name));
        let settings = TlsSettings { certificate: path("c.pem"), key: path("k.pem"), ..settings(dir.path()) };
        let error = Certificates::open(&settings, "x", now(), true).unwrap_err().to_string();
        assert!(error.contains("c.pem") && error.contains("k.pem"), "{error}");
    }

    #[test]
    fn changed_files_are_taken_up_once_they_are_at_rest_and_bad_ones_never() {
        let dir = tempfile::tempdir().unwrap();
        write_pair(dir.path(), "a.example");
        let path = |name: &str| Some(dir.path().join(name));
        let settings = TlsSettings { certificate: path("c.pem"), key: path("k.pem"), ..settings(dir.path()) };
        let certificates = Certificates::open(&settings, "x", now(), false).unwrap();
        let first = certificates.fingerprint();
        std::fs::write(dir.path().join("c.pem"), "not a certificate").unwrap();
        certificates.look();
        certificates.look();
        certificates.look();
        assert_eq!(certificates.fingerprint(), first, "the old one stays");
        write_pair(dir.path(), "longer-name.example");
        certificates.look();
        assert_eq!(certificates.fingerprint(), first, "perhaps still being written");
        certificates.look();
        assert_ne!(certificates.fingerprint(), first);
    }
}
