//! Whom the token source believes to be the login service.

use std::sync::Arc;

use posthouse_entra::{Credential, TokenError, TokenSource};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use secret::Secret;
use tokio_rustls::TlsAcceptor;

use crate::server::{Clock, SECRET, Server, settings};

/// An acceptor for these names, and the PEM of the CA that signed its certificate.
fn tls(names: &[&str]) -> (TlsAcceptor, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca.pem())
}

async fn asked(names: &[&str], ca: Option<&str>) -> (Server, Result<(), TokenError>) {
    let (acceptor, own_ca) = tls(names);
    let server = Server::start_tls(acceptor).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ca.unwrap_or(&own_ca)).unwrap();
    let mut settings = settings(&server, Credential::ClientSecret(Secret::Inline(SECRET.to_owned().into())));
    settings.ca = Some(file.path().to_owned());
    let source = TokenSource::new(settings, Clock::default().closure()).unwrap();
    let result = source.token().await.map(drop);
    (server, result)
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_given_ca_is_believed() {
    let (server, result) = asked(&["localhost"], None).await;
    result.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn another_ca_or_another_name_is_not_believed_and_the_error_says_what_to_do() {
    let (_, other_ca) = tls(&["localhost"]);
    for (names, ca) in [(["localhost"], Some(other_ca.as_str())), (["other.example"], None)] {
        let (server, result) = asked(&names, ca).await;
        let error = result.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
        let said = ["the certificate of localhost is not trusted", "invalid peer certificate", "`ca` under"];
        assert!(said.iter().all(|said| error.to_string().contains(said)), "{error}");
        assert_eq!(server.requests().len(), 0);
    }
}

#[tokio::test]
async fn a_ca_file_without_a_certificate_is_an_error_at_once() {
    let (acceptor, _) = tls(&["localhost"]);
    let server = Server::start_tls(acceptor).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty.pem"), "").unwrap();
    for name in ["empty.pem", "missing.pem"] {
        let mut settings = settings(&server, Credential::ClientSecret(Secret::Inline(SECRET.to_owned().into())));
        settings.ca = Some(dir.path().join(name));
        let error = TokenSource::new(settings, Clock::default().closure()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
