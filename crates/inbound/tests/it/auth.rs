//! AUTH, and who may relay because of it.

use argon2::{Argon2, PasswordHasher};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use inbound::{ClientEntry, Settings, User, Verifier};

use crate::relay::{MESSAGE, Relay, entry, printers, user};

fn erp(settings: &mut Settings) {
    settings.clients = vec![ClientEntry { users: vec![user("erp", "s3cret")], ..entry("erp") }];
}

fn plain(name: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{name}\0{password}")))
}

#[tokio::test]
async fn auth_plain_and_login_let_a_user_in() {
    let relay = Relay::start(erp);
    let (name, password) = (BASE64_STANDARD.encode("erp"), BASE64_STANDARD.encode("s3cret"));
    let mut client = relay.encrypted().await;
    client.script(&[(&plain("erp", "s3cret"), "235 2.7.0")]).await;
    assert!(client.transact(MESSAGE).await.starts_with("250"));
    let mut client = relay.encrypted().await;
    client.script(&[("auth login", "334 VXNlcm5hbWU6"), (&name, "334 UGFzc3dvcmQ6"), (&password, "235 2.7.0")]).await;
    assert!(client.transact(MESSAGE).await.starts_with("250"));
    let stored = relay.spool.stored();
    assert!(stored.iter().all(|stored| stored.message.origin.user.as_deref() == Some("erp")));
    assert!(String::from_utf8(stored[0].bytes.clone()).unwrap().contains("with ESMTPSA"));
}

#[tokio::test]
async fn an_argon2id_hash_of_the_usual_cost_lets_in_and_keeps_out() {
    let hash = Argon2::default().hash_password(b"s3cret").unwrap().to_string();
    let relay = Relay::start(|settings| {
        let users = vec![User { name: "erp".into(), password: Verifier::Argon2id(hash) }];
        settings.clients = vec![ClientEntry { users, ..entry("erp") }];
    });
    let mut client = relay.encrypted().await;
    client.script(&[(&plain("erp", "guess"), "535 5.7.8"), (&plain("erp", "s3cret"), "235")]).await;
    client.script(&[("MAIL FROM:<billing@contoso.com>", "250")]).await;
    let mut again = relay.encrypted().await;
    again.script(&[(&plain("erp", "guess"), "535 5.7.8"), (&plain("erp", "s3cret"), "235")]).await;
}

#[tokio::test]
async fn wrong_logins_are_refused_and_end_the_session_in_the_end() {
    let relay = Relay::start(erp);
    let mut client = relay.encrypted().await;
    let other = format!("AUTH PLAIN {}", BASE64_STANDARD.encode("boss\0erp\0s3cret"));
    client.script(&[(&plain("erp", "guess"), "535 5.7.8"), (&other, "535 5.7.8")]).await;
    client.script(&[("MAIL FROM:<billing@contoso.com>", "530 5.7.0")]).await;
    let replies = [client.say(&plain("nobody", "s3cret")).await, client.say(&plain("erp", "again")).await];
    assert!(replies.iter().any(|reply| reply.starts_with("421 4.7.0")), "{replies:?}");
}

#[tokio::test]
async fn an_address_that_guesses_over_many_sessions_must_wait() {
    let relay = Relay::start(erp);
    let mut last = String::new();
    for _ in 0..6 {
        last = relay.encrypted().await.say(&plain("erp", "guess")).await;
    }
    assert!(last.starts_with("454 4.7.0 too many wrong logins from 127.0.0.1: try again in"), "{last}");
}

#[tokio::test]
async fn auth_without_tls_is_for_the_listener_to_allow() {
    let relay = Relay::start(|settings| {
        erp(settings);
        settings.listeners[2].tls = inbound::TlsMode::None;
        settings.listeners[2].auth_without_tls = true;
    });
    let mut client = relay.client("smtp").await;
    assert!(!client.greet().await.contains("AUTH"));
    client.script(&[(&plain("erp", "s3cret"), "538 5.7.11")]).await;
    let mut client = relay.client("required").await;
    assert!(client.greet().await.contains("AUTH PLAIN LOGIN"));
    client.script(&[(&plain("erp", "s3cret"), "235")]).await;
    assert!(client.transact(MESSAGE).await.starts_with("250"));
}

#[tokio::test]
async fn with_both_required_neither_network_nor_user_is_enough() {
    let both = |network: &str| {
        let networks = vec![network.parse().unwrap()];
        let condition = Some("network and user".parse().unwrap());
        ClientEntry { networks, users: vec![user("erp", "s3cret")], condition, ..entry("erp") }
    };
    let relay = Relay::start(|settings| settings.clients = vec![both("127.0.0.0/8")]);
    let mut client = relay.encrypted().await;
    client.script(&[("MAIL FROM:<billing@contoso.com>", "530 5.7.0")]).await;
    client.script(&[(&plain("erp", "s3cret"), "235"), ("MAIL FROM:<billing@contoso.com>", "250")]).await;

    let relay = Relay::start(|settings| settings.clients = vec![both("10.0.0.0/8")]);
    let mut client = relay.encrypted().await;
    client.script(&[(&plain("erp", "s3cret"), "235")]).await;
    let reply = client.say("MAIL FROM:<billing@contoso.com>").await;
    assert!(reply.starts_with("550 5.7.1") && reply.contains("127.0.0.1/32"), "{reply}");
}

#[tokio::test]
async fn what_was_proved_before_starttls_is_forgotten() {
    let relay = Relay::start(|settings| {
        erp(settings);
        settings.listeners[0].auth_without_tls = true;
    });
    let mut client = relay.greeted().await;
    client.script(&[(&plain("erp", "s3cret"), "235"), ("STARTTLS", "220")]).await;
    let stream = crate::relay::shake_hands(client.into_stream(), &[&rustls::version::TLS13]).await;
    let mut client = crate::client::Client::new(stream);
    client.script(&[("MAIL FROM:<billing@contoso.com>", "503"), ("EHLO x", "250")]).await;
    client.script(&[("MAIL FROM:<billing@contoso.com>", "530 5.7.0")]).await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_our_trouble_not_the_clients() {
    let relay = Relay::start(|settings| {
        let password = Verifier::Secret(secret::Secret::File("/nonexistent/secret".into()));
        settings.clients = vec![ClientEntry { users: vec![User { name: "erp".into(), password }], ..printers() }];
    });
    relay.encrypted().await.script(&[(&plain("erp", "s3cret"), "454 4.7.0")]).await;
}
