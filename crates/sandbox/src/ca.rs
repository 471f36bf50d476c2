//! The certification authority of a sandbox and the server certificates it issues, sound ones and flawed ones.
//!
//! The CA is made at start, or kept in a directory; server certificates are made at every start and never stored.

use std::path::Path;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use crate::files;

/// In every server certificate.
pub(crate) const NAMES: [&str; 6] =
    ["localhost", "127.0.0.1", "::1", "smtp.office365.test", "login.microsoftonline.test", "outlook.office365.test"];

/// What is wrong with a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsFault {
    /// The connection is closed in place of a handshake.
    Close,
    /// Bytes come that are no TLS.
    Garbage,
    /// The certificate comes from an authority that nobody knows.
    Untrusted,
    /// The certificate is for another host.
    WrongName,
    /// The certificate has expired.
    Expired,
}

/// Why there is no CA.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The directory.
    #[error(transparent)]
    Files(#[from] files::FileError),
    /// What the directory holds is no CA, or making one failed.
    #[error("the certification authority cannot be used: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The CA.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    names: Vec<String>,
    today: Timestamp,
}

impl Authority {
    /// From `directory` if it holds one, else made and, with a directory, kept there.
    pub(crate) fn open(directory: Option<&Path>, names: &[String], now: Timestamp) -> Result<Self, CaError> {
        let names = NAMES.iter().map(|&name| name.to_owned()).chain(names.iter().cloned()).collect();
        let (certificate, key) = files::load_or_make_pair::<CaError>(directory, "ca.pem", "ca.key", || Ok(make(now)?))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key)?)?;
        Ok(Self { issuer, pem: certificate, names, today: now })
    }

    /// For clients to trust.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A TLS server, with the flaw asked for.
    pub(crate) fn server(&self, flaw: Option<TlsFault>, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, CaError> {
        let names = match flaw {
            Some(TlsFault::WrongName) => vec!["another-host.test".to_owned()],
            _ => self.names.clone(),
        };
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, "Posthouse sandbox");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        match flaw {
            Some(TlsFault::Expired) => set_validity(&mut leaf, self.today, -400, -35),
            _ => set_validity(&mut leaf, self.today, -1, 365),
        }
        let key = KeyPair::generate()?;
        let certificate = if flaw == Some(TlsFault::Untrusted) {
            let (pem, ca_key) = make(self.today)?;
            leaf.signed_by(&key, &Issuer::from_ca_cert_pem(&pem, KeyPair::from_pem(&ca_key)?)?)?
        } else {
            leaf.signed_by(&key, &self.issuer)?
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )?;
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(server))
    }
}

/// Certificate and key, PEM.
fn make(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Posthouse sandbox CA, for tests only");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut ca, now, -500, 3650);
    let key = KeyPair::generate()?;
    Ok((ca.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// From midnight of the day `from` days from now to midnight of the day `to` days from now.
fn set_validity(certificate: &mut CertificateParams, now: Timestamp, from: i64, to: i64) {
    let midnight = |days: i64| {
        let date = now.to_zoned(TimeZone::UTC).date().saturating_add(days.days());
        let [month, day] = [date.month(), date.day()].map(|number| u8::try_from(number).unwrap_or(1));
        rcgen::date_time_ymd(i32::from(date.year()), month, day)
    };
    certificate.not_before = midnight(from);
    certificate.not_after = midnight(to);
}
