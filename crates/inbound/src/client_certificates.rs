//! Certificates that clients show: asked for in the handshake, judged after it.
//!
//! In: the handshake's certificate, and the authorities of `client_ca`. Out: a [`PeerCertificate`]. A handshake never fails for
//! what a certificate says, or for having none: devices show old and self-signed ones, and may be let in by other means. It
//! fails where the client does not possess the key (or has one that no TLS library would take: RSA under 2048 bits).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::TlsError;
use crate::identity::{Fingerprint, PeerCertificate, names_in};

/// Asks for a certificate and checks that the client has its key; nothing else.
#[derive(Debug)]
pub(crate) struct AskForCertificate(pub(crate) Arc<CryptoProvider>);

impl ClientCertVerifier for AskForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client may show whatever it has, for it may be pinned.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    /// A certificate that webpki cannot read, of version 1 for example, may still have a key that can be checked.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms).or_else(|error| {
            let key = public_key(certificate).ok_or(error)?;
            verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(SubjectPublicKeyInfoDer::from(certificate.public_key().raw.to_vec()))
}

/// Who vouches for the names in clients' certificates.
pub(crate) struct Authorities(Option<Arc<dyn ClientCertVerifier>>);

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.0.is_some()).finish()
    }
}

impl Authorities {
    /// From PEM; `None`: nobody.
    pub(crate) fn load(file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let Some(file) = file else { return Ok(Self(None)) };
        let pem = std::fs::read(file).map_err(|error| TlsError::Read { path: file.to_owned(), error })?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate =
                certificate.map_err(|error| TlsError::Pem { path: file.to_owned(), what: "certificate", error })?;
            roots.add(certificate).map_err(|error| unusable(file, error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let verifier = verifier.map_err(|error| unusable(file, Error::General(error.to_string())))?;
        Ok(Self(Some(verifier)))
    }

    /// What the chain of a handshake proves now. `None`: no certificate was shown.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Option<PeerCertificate> {
        let (leaf, intermediates) = chain.split_first()?;
        let since_1970 = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
        let now = UnixTime::since_unix_epoch(since_1970);
        let distrust = match &self.0 {
            None => Some("there is no client_ca in [tls]".to_owned()),
            Some(verifier) => {
                verifier.verify_client_cert(leaf, intermediates, now).err().map(|error| error.to_string())
            }
        };
        let names = if distrust.is_none() { names_in(leaf) } else { Vec::new() };
        Some(PeerCertificate { fingerprint: Fingerprint::of(leaf), names, distrust })
    }
}

impl PeerCertificate {
    /// What a client would prove that showed the chain in this PEM file now, by the authorities in `client_ca`.
    pub fn read(file: &Path, client_ca: Option<&Path>, now: Timestamp) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authorities = Authorities::load(client_ca, &provider)?;
        let pem = std::fs::read(file).map_err(|error| TlsError::Read { path: file.to_owned(), error })?;
        let wrong = |error| TlsError::Pem { path: file.to_owned(), what: "certificate", error };
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        authorities.judge(&chain, now).ok_or_else(|| wrong(rustls::pki_types::pem::Error::NoItemsFound))
    }
}

fn unusable(path: &Path, error: Error) -> TlsError {
    TlsError::Authorities { path: PathBuf::from(path), error }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    struct Made {
        pem: String,
        ours: CertificateDer<'static>,
        by_itself: CertificateDer<'static>,
    }

    fn make() -> Made {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "devices");
        let key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let mut params = CertificateParams::new(["p.contoso.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let own = KeyPair::generate().unwrap();
        let ours = params.signed_by(&own, &issuer).unwrap().der().clone();
        let by_itself = params.self_signed(&own).unwrap().der().clone();
        Made { pem, ours, by_itself }
    }

    fn at(day: &str) -> Timestamp {
        format!("{day}T00:00:00Z").parse().unwrap()
    }

    #[test]
    fn names_count_only_under_an_authority_and_while_valid_and_pins_always() {
        let made = make();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &made.pem).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authorities = Authorities::load(Some(file.path()), &provider).unwrap();
        let nobody = Authorities::load(None, &provider).unwrap();
        for (authorities, certificate, day, names, distrust) in [
            (&authorities, &made.ours, "2026-11-20", 2, None),
            (&authorities, &made.ours, "2031-01-01", 0, Some("expired")),
            (&authorities, &made.by_itself, "2026-11-20", 0, Some("UnknownIssuer")),
            (&nobody, &made.ours, "2026-11-20", 0, Some("client_ca")),
        ] {
            let judged = authorities.judge(std::slice::from_ref(certificate), at(day)).unwrap();
            assert_eq!(judged.names.len(), names, "{judged:?}");
            assert_eq!(judged.fingerprint, Fingerprint::of(certificate));
            match (&judged.distrust, distrust) {
                (Some(said), Some(words)) => assert!(said.contains(words), "{said}"),
                (said, words) => assert_eq!(said.as_deref(), words),
            }
        }
        assert_eq!(authorities.judge(&[], at("2026-11-20")), None);
    }

    #[test]
    fn a_certificate_in_a_file_proves_what_it_would_in_a_handshake() {
        let made = make();
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let client_ca = write("ca.pem", &made.pem);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        pem.push_str(&base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &made.ours));
        pem.push_str("\n-----END CERTIFICATE-----\n");
        let (file, empty) = (write("client.pem", &pem), write("empty.pem", ""));
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let shown = PeerCertificate::read(&file, Some(&client_ca), now).unwrap();
        assert_eq!(shown.fingerprint, Fingerprint::of(&made.ours));
        assert_eq!((shown.names.len(), &shown.distrust), (2, &None));
        assert!(PeerCertificate::read(&file, None, now).unwrap().distrust.is_some());
        let error = PeerCertificate::read(&empty, None, now).unwrap_err().to_string();
        assert!(error.contains("empty.pem"), "{error}");
    }

    #[test]
    fn a_file_without_authorities_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let error = Authorities::load(Some(file.path()), &provider).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
