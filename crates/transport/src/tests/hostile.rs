//! Servers that mean harm, or are none.

use std::time::Duration;

use super::fixture::{HELLO, TAKEN, attempt, lane, message, named, script, settings, transport};
use super::server::Server;

async fn check(play: String, wanted: &str) {
    let server = Server::start(std::slice::from_ref(&play)).await;
    let mut wanted_settings = settings(server.address);
    wanted_settings.timeouts.command = Duration::from_secs(10);
    let transport = transport(wanted_settings);
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    assert_eq!(named(&report, 0), wanted, "{report:?}");
    assert_ne!(lane(&report), "healthy");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn what_is_no_smtp_server_is_left_alone() {
    for noise in ["HTTP/1.1 400 Bad Request\\r\\n\\r\\n", "SSH-2.0-OpenSSH\\r\\n", "\\r\\n", "999 no\\r\\n"] {
        check(format!("R: {noise}\nHOLD"), "waiting").await;
    }
}

#[tokio::test]
async fn endless_lines_and_endless_replies_end_the_session() {
    check(format!("R: 220 {}\nHOLD", "x".repeat(100_000)), "waiting").await;
    check(format!("R: {}\nHOLD", "220-more\\r\\n".repeat(10_000)), "waiting").await;
}

#[tokio::test]
async fn replies_that_nobody_asked_for_are_not_taken_for_an_acceptance() {
    let play = TAKEN.split("CONTENT").next().unwrap();
    let envelope = play.split("S: 354").next().unwrap();
    // 250 in one breath with 354, before any content was sent.
    let early = format!("{envelope}\nR: 354 Go on\\r\\n250 2.0.0 Ok: queued as X1234\\r\\n\nHOLD");
    let server = Server::start(&[script(&[HELLO, &early])]).await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("deferred", "rest"), "{report:?}");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn a_wrong_answer_after_the_last_byte_is_unconfirmed() {
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    check(script(&[HELLO, end, "R: garbage\\r\\n\nHOLD"]), "unconfirmed").await;
}
