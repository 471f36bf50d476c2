//! TLS towards a next hop: which certificates are believed, and what a refused one means to an operator.
//!
//! In: the settings, once. Out: a configuration for every handshake. TLS 1.2 and 1.3, nothing older.
//! The certificate is checked against the system's roots and the given ones, its name against the configured host. Only
//! [`ClientTls::Opportunistic`] takes any certificate: it protects from a listener, never from an impostor.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::settings::ClientTls;
use crate::{SetupError, SmtpSettings};

/// What every handshake of a transport shares.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    /// `None` where TLS is never used.
    pub(crate) fn new(settings: &SmtpSettings) -> Result<Option<Self>, SetupError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match settings.tls {
            ClientTls::None => return Ok(None),
            ClientTls::Opportunistic => Arc::new(AnyCertificate(provider.clone())),
            ClientTls::Required | ClientTls::Implicit => Arc::new(verifier(settings.ca.as_deref(), provider.clone())?),
        };
        let host = settings.host.trim_matches(['[', ']']).trim_end_matches('.');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| SetupError::Host(settings.host.clone()))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Some(Self { config: Arc::new(config), name }))
    }
}

fn verifier(
    ca: Option<&Path>,
    provider: Arc<CryptoProvider>,
) -> Result<rustls_platform_verifier::Verifier, SetupError> {
    let extra = ca.map(roots).transpose()?.unwrap_or_default();
    Ok(rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)?)
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let unusable = |cause: String| SetupError::Ca { path: path.to_owned(), cause };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let roots: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?;
    if roots.is_empty() { Err(unusable("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Takes any certificate; the handshake must still be signed with its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What to do about a certificate that was not believed; `None` if the handshake failed for another reason.
pub(crate) fn certificate_remedy(error: &io::Error, host: &str) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(cause) = error else { return None };
    let remedy = match cause {
        // A bad signature: an authority of the same name that is another one, mostly a new one in place of the old.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {host} comes from no authority that this machine trusts. Name its authority in `ca`, or bring \
             the system's certificates up to date (Microsoft's need DigiCert Global Root G2). A proxy that opens TLS on the \
             way has an authority of its own"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate is for another name than {host}: write the host as its certificate names it")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired: renew it there, or set this machine's clock right")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet: set this machine's clock right")
        }
        _ => format!("the certificate of {host} cannot be used: look at it with `openssl s_client -connect {host}`"),
    };
    Some(remedy)
}
