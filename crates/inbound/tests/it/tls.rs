//! TLS: STARTTLS, implicit, required, and the certificate.

use std::time::Duration;

use inbound::TlsSettings;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Client;
use crate::relay::{MESSAGE, Relay, settings, shake_hands, try_to_shake_hands, write_pair};

#[tokio::test]
async fn starttls_encrypts_and_the_trace_field_says_so() {
    let relay = Relay::start(|_| {});
    let mut client = relay.encrypted().await;
    assert!(client.transact(MESSAGE).await.starts_with("250"));
    client.script(&[("QUIT", "221")]).await;
    let stored = relay.only();
    let tls = stored.message.origin.tls.unwrap();
    assert!(tls.starts_with("TLSv1.3 TLS13_"), "{tls}");
    let bytes = String::from_utf8(stored.bytes).unwrap();
    assert!(bytes.contains(&format!(" with ESMTPS ({tls})\r\n")), "{bytes}");
}

#[tokio::test]
async fn implicit_tls_speaks_1_2_and_1_3() {
    let relay = Relay::start(|_| {});
    for (version, words) in [(&TLS12, "TLSv1.2 TLS_ECDHE"), (&TLS13, "TLSv1.3 TLS13_")] {
        let stream = shake_hands(Box::new(relay.connect("submissions").await), &[version]).await;
        let mut client = Client::new(stream);
        assert!(!client.greet().await.contains("STARTTLS"));
        assert!(client.transact(MESSAGE).await.starts_with("250"));
        client.script(&[("QUIT", "221")]).await;
        let tls = relay.spool.stored().last().unwrap().message.origin.tls.clone().unwrap();
        assert!(tls.starts_with(words), "{tls}");
    }
}

#[tokio::test]
async fn a_large_message_comes_through_tls_whole() {
    let relay = Relay::start(|_| {});
    let mut client = relay.encrypted().await;
    let content = format!("{MESSAGE}{}", "0123456789abcdef\r\n".repeat(100_000));
    assert!(client.transact(&content).await.starts_with("250"));
    assert!(relay.only().bytes.ends_with(content.as_bytes()));
}

#[tokio::test]
async fn where_tls_is_required_mail_waits_for_it() {
    let relay = Relay::start(|_| {});
    let mut client = relay.client("required").await;
    client.greet().await;
    client.script(&[("MAIL FROM:<a@contoso.com>", "530 5.7.0"), ("STARTTLS", "220")]).await;
    let mut client = Client::new(shake_hands(client.into_stream(), &[&TLS13]).await);
    client.script(&[("EHLO x", "250"), ("MAIL FROM:<a@contoso.com>", "250")]).await;
}

#[tokio::test]
async fn what_is_injected_behind_starttls_is_never_read() {
    let relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    client.send("STARTTLS\r\nEHLO evil\r\nMAIL FROM:<boss@contoso.com>\r\n").await;
    assert!(client.reply().await.starts_with("220"));
    let mut client = Client::new(shake_hands(client.into_stream(), &[&TLS13]).await);
    client.script(&[("RCPT TO:<a@contoso.com>", "503"), ("EHLO x", "250-relay.contoso.com")]).await;
    assert!(client.transact(MESSAGE).await.starts_with("250"));
    assert_eq!(relay.only().message.reverse_path.to_string(), "<printer@contoso.com>");
}

#[tokio::test]
async fn noise_in_place_of_a_handshake_ends_the_session() {
    let relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    client.script(&[("STARTTLS", "220")]).await;
    let mut stream = client.into_stream();
    stream.write_all(b"EHLO plain.text.example\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("250"));
}

#[tokio::test]
async fn without_a_certificate_a_self_signed_one_is_made_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let with_none = || {
        let mut settings = settings(dir.path());
        settings.hostname = "localhost".into();
        settings.tls = TlsSettings { certificate: None, key: None, client_ca: None, state_dir: dir.path().to_owned() };
        settings
    };
    let relay = Relay::bind(with_none());
    let pem = std::fs::read_to_string(dir.path().join("tls/self-signed.pem")).unwrap();
    let stream = Box::new(relay.connect("submissions").await);
    Client::new(try_to_shake_hands(stream, &[&TLS12, &TLS13], &pem).await.unwrap()).greet().await;
    assert_eq!(Relay::bind(with_none()).fingerprint, relay.fingerprint);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_certificate_is_shown_to_the_next_connection() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::bind(settings(dir.path()));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "longer.example".to_owned()]).unwrap();
    write_pair(dir.path(), &(made.cert.pem(), made.signing_key.serialize_pem()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    tokio::time::resume();
    let stream = Box::new(relay.connect("submissions").await);
    let mut client = Client::new(try_to_shake_hands(stream, &[&TLS13], &made.cert.pem()).await.unwrap());
    client.greet().await;
}
