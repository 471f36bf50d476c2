//! Clients known by the certificate of their TLS handshake.

use std::path::Path;
use std::sync::Arc;

use inbound::{ClientEntry, Fingerprint, Settings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

use crate::client::Client;
use crate::relay::{MESSAGE, Relay, entry, handshake, settings, user};

/// A device's certificate and key.
struct Device {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Device {
    fn pin(&self) -> String {
        format!("sha256:{}", Fingerprint::of(&self.certificate))
    }
}

/// An authority, its certificate in `ca.pem`.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    fn device(&self, name: &str) -> Device {
        let (params, key) = (CertificateParams::new([name.to_owned()]).unwrap(), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.0).unwrap().der().clone();
        Device { certificate, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }
}

fn self_signed(name: &str) -> Device {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Device { certificate: made.cert.der().clone(), key }
}

fn known_by(certificates: &[&str]) -> ClientEntry {
    ClientEntry { certificates: certificates.iter().map(|text| text.parse().unwrap()).collect(), ..entry("devices") }
}

fn with(dir: &Path, clients: Vec<ClientEntry>) -> Settings {
    let mut settings = settings(dir);
    settings.tls.client_ca = Some(dir.join("ca.pem"));
    settings.clients = clients;
    settings
}

/// What MAIL is told by a client with this certificate, on a connection of its own.
async fn mail(relay: &Relay, device: Option<&Device>, version: &'static rustls::SupportedProtocolVersion) -> String {
    let config = client_config(device, version);
    mail_by(relay, &config).await
}

async fn mail_by(relay: &Relay, config: &Arc<rustls::ClientConfig>) -> String {
    let stream = handshake(Box::new(relay.connect("submissions").await), config.clone()).await.unwrap();
    let mut client = Client::new(stream);
    client.greet().await;
    let reply = client.say("MAIL FROM:<printer@contoso.com>").await;
    client.script(&[("QUIT", "221")]).await;
    reply
}

fn client_config(
    device: Option<&Device>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<rustls::ClientConfig> {
    let builder = crate::relay::client_builder(&[version]);
    Arc::new(match device {
        Some(Device { certificate, key }) => {
            builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
        }
        None => builder.with_no_client_auth(),
    })
}

#[tokio::test]
async fn names_let_in_under_an_authority_and_pins_whoever_made_them() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let (ours, other, pinned) =
        (authority.device("p1.contoso.com"), authority.device("p.other.example"), self_signed("x"));
    let stranger = self_signed("p1.contoso.com");
    let relay = Relay::bind(with(dir.path(), vec![known_by(&["*.contoso.com", &pinned.pin()])]));
    for version in [&TLS12, &TLS13] {
        for (device, expected) in [
            (Some(&ours), "250"),
            (Some(&pinned), "250"),
            (Some(&other), "530 5.7.0"),
            (Some(&stranger), "530 5.7.0"),
            (None, "530 5.7.0"),
        ] {
            let reply = mail(&relay, device, version).await;
            assert!(reply.starts_with(expected), "{reply}, not {expected}");
        }
    }
    let reply = mail(&relay, Some(&stranger), &TLS13).await;
    assert!(reply.contains(&stranger.pin()) && reply.contains("do not count"), "{reply}");
}

#[tokio::test]
async fn a_certificate_that_nobody_asked_for_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::bind(settings(dir.path()));
    assert!(mail(&relay, Some(&self_signed("x")), &TLS13).await.starts_with("250"));
}

#[tokio::test]
async fn who_does_not_have_the_key_of_a_certificate_is_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let (ours, stolen) = (authority.device("p1.contoso.com"), self_signed("thief"));
    let relay = Relay::bind(with(dir.path(), vec![known_by(&[&ours.pin()])]));
    for version in [&TLS12, &TLS13] {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(stolen.key.clone_key()).unwrap();
        let pair = rustls::sign::CertifiedKey::new(vec![ours.certificate.clone()], key);
        let config = crate::relay::client_builder(&[version])
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
        let stream = handshake(Box::new(relay.connect("submissions").await), Arc::new(config)).await;
        // In TLS 1.3 the client is done before the server has judged.
        let greeting = match stream {
            Ok(stream) => Client::new(stream).reply().await,
            Err(_) => String::new(),
        };
        assert_eq!(greeting, "");
    }
}

#[tokio::test]
async fn a_resumed_session_is_known_by_the_certificate_of_its_first_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let ours = authority.device("p1.contoso.com");
    let relay = Relay::bind(with(dir.path(), vec![known_by(&["p1.contoso.com"])]));
    let config = client_config(Some(&ours), &TLS13);
    let (first, second) = (mail_by(&relay, &config).await, mail_by(&relay, &config).await);
    assert!(first.starts_with("250") && second.starts_with("250"), "{first} {second}");
    assert!(mail(&relay, None, &TLS13).await.starts_with("530"), "and nobody else is");
}

#[tokio::test]
async fn certificate_and_user_together_are_more_specific_than_either() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let ours = authority.device("p1.contoso.com");
    let both = ClientEntry {
        users: vec![user("erp", "s3cret")],
        condition: Some("certificate and user".parse().unwrap()),
        name: "both".into(),
        ..known_by(&["p1.contoso.com"])
    };
    let relay = Relay::bind(with(dir.path(), vec![known_by(&["p1.contoso.com"]), both]));
    let stream = Box::new(relay.connect("submissions").await);
    let mut client = Client::new(handshake(stream, client_config(Some(&ours), &TLS13)).await.unwrap());
    client.greet().await;
    assert!(client.transact(MESSAGE).await.starts_with("250"));
    client.script(&[("AUTH PLAIN AGVycABzM2NyZXQ=", "235")]).await;
    assert!(client.transact(MESSAGE).await.starts_with("250"));
    let clients: Vec<_> = relay.spool.stored().iter().map(|stored| stored.message.origin.client.to_string()).collect();
    assert_eq!(clients, ["devices", "both"]);
}
