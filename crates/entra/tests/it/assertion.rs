//! The client assertion, checked by another implementation with the certificate's public key.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use posthouse_entra::{AssertionAlgorithm, Credential, TokenError, TokenSource};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{CLIENT, Clock, START, Server, TENANT, settings};

struct Identity {
    dir: TempDir,
    certificate_der: Vec<u8>,
    public_key: Vec<u8>,
}

impl Identity {
    /// A certificate that ends so many days after the tests' start.
    fn new(days: i64) -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut params = CertificateParams::new(vec!["relay".to_owned()]).unwrap();
        let end = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(START + days * 86_400).unwrap());
        params.not_after = end.into();
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("app.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.path().join("app.key"), key.serialize_pem()).unwrap();
        Self { dir, certificate_der: certificate.der().to_vec(), public_key: key.der_bytes().to_vec() }
    }

    fn certificate(&self) -> PathBuf {
        self.dir.path().join("app.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("app.key")
    }

    fn source(&self, server: &Server, algorithm: AssertionAlgorithm, clock: &Clock) -> TokenSource {
        let credential = Credential::Certificate { certificate: self.certificate(), key: self.key(), algorithm };
        TokenSource::new(settings(server, credential), clock.closure()).unwrap()
    }
}

/// Header and claims, the signature verified.
fn verified(assertion: &str, algorithm: Algorithm, identity: &Identity, audience: &str) -> (Value, Value) {
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[CLIENT]);
    validation.set_required_spec_claims(&["aud", "iss", "sub", "exp", "nbf"]);
    let key = DecodingKey::from_rsa_der(&identity.public_key);
    let claims = jsonwebtoken::decode::<Value>(assertion, &key, &validation).unwrap().claims;
    let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap()).unwrap();
    (serde_json::from_slice(&header).unwrap(), claims)
}

fn thumbprint(algorithm: &'static aws_lc_rs::digest::Algorithm, identity: &Identity) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(algorithm, &identity.certificate_der))
}

async fn sent_assertion(identity: &Identity, algorithm: AssertionAlgorithm) -> (String, String) {
    let server = Server::start().await;
    let source = identity.source(&server, algorithm, &Clock::default());
    source.token().await.unwrap();
    let form = &server.requests()[0].form;
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert!(!form.contains_key("client_secret"));
    (form["client_assertion"].clone(), format!("{}/{TENANT}/oauth2/v2.0/token", server.authority))
}

#[tokio::test]
async fn a_ps256_assertion_is_verified_by_the_certificates_key() {
    let identity = Identity::new(365);
    let (assertion, audience) = sent_assertion(&identity, AssertionAlgorithm::Ps256).await;
    let (header, claims) = verified(&assertion, Algorithm::PS256, &identity, &audience);
    let expected = serde_json::json!({
        "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(&aws_lc_rs::digest::SHA256, &identity),
    });
    assert_eq!(header, expected);
    assert_eq!(claims["sub"], CLIENT);
    assert_eq!((claims["nbf"].as_i64(), claims["exp"].as_i64()), (Some(START - 60), Some(START + 600)));
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn an_rs256_assertion_is_verified_by_the_certificates_key() {
    let identity = Identity::new(365);
    let (assertion, audience) = sent_assertion(&identity, AssertionAlgorithm::Rs256).await;
    let (header, _) = verified(&assertion, Algorithm::RS256, &identity, &audience);
    let print = thumbprint(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &identity);
    assert_eq!(header, serde_json::json!({ "alg": "RS256", "typ": "JWT", "x5t": print }));
}

#[tokio::test]
async fn each_request_has_an_assertion_of_its_own() {
    let (server, identity) = (Server::start().await, Identity::new(365));
    let source = identity.source(&server, AssertionAlgorithm::Ps256, &Clock::default());
    for _ in 0..2 {
        let token = source.token().await.unwrap();
        assert!(source.discard(&token));
    }
    let requests = server.requests();
    assert_ne!(requests[0].form["client_assertion"], requests[1].form["client_assertion"]);
}

#[tokio::test]
async fn a_renewed_pair_of_files_is_used_at_once() {
    let (server, old, new) = (Server::start().await, Identity::new(365), Identity::new(700));
    let source = old.source(&server, AssertionAlgorithm::Ps256, &Clock::default());
    server.refuse("invalid_client", "AADSTS700027: certificate unknown");
    source.token().await.unwrap_err();
    server.script(crate::server::Script::Tokens(3_600));
    source.token().await.unwrap_err();
    std::fs::copy(new.certificate(), old.certificate()).unwrap();
    std::fs::copy(new.key(), old.key()).unwrap();
    source.token().await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_with_certificate_and_key_is_said_without_a_request() {
    let (server, identity, other) = (Server::start().await, Identity::new(365), Identity::new(365));
    let ec = KeyPair::generate().unwrap().serialize_pem();
    let key = std::fs::read_to_string(identity.key()).unwrap();
    let other_key = std::fs::read_to_string(other.key()).unwrap();
    let certificate = std::fs::read_to_string(identity.certificate()).unwrap();
    let large = "x".repeat(65 * 1024);
    for (certificate, key, said) in [
        (certificate.as_str(), other_key.as_str(), "they are not a pair"),
        (&certificate, &ec, "there is no usable RSA key in"),
        (
            &certificate,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "passphrase",
        ),
        (&certificate, "", "there is no usable RSA key in"),
        (&certificate, &large, "larger than 64 KiB"),
        (&key, &key, "there is no PEM certificate in"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, "cannot be read"),
    ] {
        std::fs::write(identity.certificate(), certificate).unwrap();
        std::fs::write(identity.key(), key).unwrap();
        let source = identity.source(&server, AssertionAlgorithm::Ps256, &Clock::default());
        let error = source.token().await.unwrap_err();
        let TokenError::Credential { reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains(said), "{reason}");
        assert!(reason.contains(&identity.dir.path().display().to_string()), "{reason}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn an_ended_certificate_is_named_with_its_end() {
    let (server, identity) = (Server::start().await, Identity::new(1));
    let clock = Clock::default();
    let source = identity.source(&server, AssertionAlgorithm::Ps256, &clock);
    source.token().await.unwrap();
    clock.set(86_401);
    let error = source.token().await.unwrap_err();
    assert!(error.to_string().contains("ended on 2027-01-16T08:00:00Z"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn the_end_of_a_certificate_is_known_without_a_request_and_follows_the_file() {
    let (server, old, new) = (Server::start().await, Identity::new(365), Identity::new(700));
    let source = old.source(&server, AssertionAlgorithm::Ps256, &Clock::default());
    let ends = |days: i64| {
        let what = format!("the certificate {}", old.certificate().display());
        Some((what, jiff::Timestamp::from_second(START + days * 86_400).unwrap()))
    };
    assert_eq!(source.expires_at(), ends(365));
    std::fs::copy(new.certificate(), old.certificate()).unwrap();
    assert_eq!(source.expires_at(), ends(700));
    std::fs::write(old.certificate(), "no certificate").unwrap();
    assert_eq!(source.expires_at(), None);
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn certificate_and_key_may_lie_in_one_file() {
    let (server, identity) = (Server::start().await, Identity::new(365));
    let both = [identity.key(), identity.certificate()].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(identity.certificate(), &both).unwrap();
    std::fs::write(identity.key(), &both).unwrap();
    identity.source(&server, AssertionAlgorithm::Ps256, &Clock::default()).token().await.unwrap();
}
