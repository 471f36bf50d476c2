//! Connections that carry more than one message, and those that died meanwhile.

use std::time::Duration;

use queue::Transport;

use super::fixture::{HELLO, TAKEN, attempt, lane, message, named, script, settings, transport};
use super::server::Server;
use crate::SmtpSettings;

#[tokio::test]
async fn messages_go_over_one_connection_up_to_its_share() {
    let server = Server::start(&[script(&[HELLO, TAKEN, TAKEN]), script(&[HELLO, TAKEN])]).await;
    let transport = transport(SmtpSettings { messages_per_connection: 2, ..settings(server.address) });
    let anna = message(&["anna@contoso.test"]);
    for counts in [(1, 1), (0, 0), (1, 1)] {
        let report = attempt(&transport, &anna).await;
        assert_eq!(named(&report, 0), "handed over", "{report:?}");
        // The one that had its share says QUIT by itself.
        while transport.connections().0 != counts.0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(transport.connections(), counts);
    }
    drop(transport);
    assert_eq!(server.followed().await.len(), 3);
}

#[tokio::test]
async fn a_servers_own_limit_of_messages_is_kept() {
    let hello = HELLO.replace("S: 250-DSN", "S: 250-LIMITS MAILMAX=1");
    let server = Server::start(&[script(&[&hello, TAKEN]), script(&[&hello, TAKEN])]).await;
    let transport = transport(settings(server.address));
    for _ in 0..2 {
        assert_eq!(named(&attempt(&transport, &message(&["anna@contoso.test"])).await, 0), "handed over");
    }
    drop(transport);
    assert_eq!(server.followed().await.len(), 2);
}

#[tokio::test]
async fn an_idle_connection_that_died_is_replaced_within_the_attempt() {
    let mail = "C: MAIL FROM:<printer@contoso.test>*";
    let timed_out = "S: 421 4.4.1 Connection timed out. Total session duration: 00:05:00.1";
    for death in [
        // Closed while idle, with and without a word, and on the next command.
        "CLOSE".to_owned(),
        script(&[timed_out, "CLOSE"]),
        script(&[mail, "CLOSE"]),
        script(&[mail, timed_out, "CLOSE"]),
    ] {
        let server = Server::start(&[script(&[HELLO, TAKEN, &death]), script(&[HELLO, TAKEN])]).await;
        let transport = transport(settings(server.address));
        let mut notes = Vec::new();
        for _ in 0..2 {
            let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
            assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("handed over", "healthy"), "{death}");
            notes = report.notes;
        }
        // Found dead before it was used, it is nobody's business.
        if death.starts_with(mail) {
            let [note] = &notes[..] else { panic!("{death}: {notes:?}") };
            assert!(note.starts_with("an idle connection had died (the server closed the "), "{note}");
            assert!(note.ends_with(") and was replaced"), "{note}");
        }
        assert_eq!(transport.connections(), (1, 1));
        drop(transport);
        assert_eq!(server.followed().await.len(), 2);
    }
}

#[tokio::test]
async fn a_new_connection_that_dies_at_mail_is_not_replaced_for_ever() {
    let server = Server::start(&[script(&[HELLO, "C: MAIL FROM:<printer@contoso.test>*\nCLOSE"])]).await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", "rest"));
    server.followed().await;
}

#[tokio::test]
async fn old_and_idle_connections_are_closed_with_quit() {
    for (age, idle) in [(0, 60), (60, 0)] {
        let server = Server::start(&[script(&[HELLO, TAKEN])]).await;
        let mut wanted = settings(server.address);
        wanted.connection_age = Duration::from_secs(60);
        let transport = transport(wanted);
        attempt(&transport, &message(&["anna@contoso.test"])).await;
        assert_eq!(transport.connections(), (1, 1));
        transport.tend().await;
        assert_eq!(transport.connections(), (1, 1), "neither old nor idle for long");
        transport.pool.make_older(Duration::from_secs(age), Duration::from_secs(idle));
        transport.tend().await;
        assert_eq!(transport.connections(), (0, 0));
        server.followed().await;
    }
}

#[tokio::test]
async fn connections_that_the_server_closed_are_dropped_when_they_are_tended() {
    let server = Server::start(&[script(&[HELLO, TAKEN, "CLOSE"])]).await;
    let transport = transport(settings(server.address));
    attempt(&transport, &message(&["anna@contoso.test"])).await;
    assert_eq!(transport.connections(), (1, 1));
    server.followed().await;
    while transport.connections() != (0, 0) {
        transport.tend().await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_usable() {
    let refused = "
C: MAIL FROM:<printer@contoso.test>*
C: RCPT TO:<anna@contoso.test>*
C: DATA
S: 250 2.1.0 OK
S: 550 5.1.1 Unknown
S: 503 5.5.1 No recipients
C: RSET
S: 250 2.0.0 OK";
    let server = Server::start(&[script(&[HELLO, refused, TAKEN])]).await;
    let transport = transport(settings(server.address));
    for wanted in ["bounced 5.1.1", "handed over"] {
        assert_eq!(named(&attempt(&transport, &message(&["anna@contoso.test"])).await, 0), wanted);
    }
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn after_three_refusals_in_a_row_a_connection_is_not_used_again() {
    let refused = script(&[TAKEN]).replace("S: 250 2.0.0 Ok: queued as 4B3C9120F7", "S: 554 5.6.0 No");
    let scripts = [script(&[HELLO, &refused, TAKEN, &refused, &refused, &refused]), script(&[HELLO, TAKEN])];
    let server = Server::start(&scripts).await;
    let transport = transport(settings(server.address));
    let bounced = "bounced 5.6.0";
    for wanted in [bounced, "handed over", bounced, bounced, bounced, "handed over"] {
        assert_eq!(named(&attempt(&transport, &message(&["anna@contoso.test"])).await, 0), wanted);
    }
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn no_more_connections_are_opened_than_permitted() {
    let slow = script(&[HELLO, TAKEN]);
    let server = Server::start(&[slow.clone(), slow]).await;
    let transport = transport(SmtpSettings { connections: 1, messages_per_connection: 1, ..settings(server.address) });
    let anna = message(&["anna@contoso.test"]);
    let (one, two) = tokio::join!(attempt(&transport, &anna), attempt(&transport, &anna));
    for report in [one, two] {
        assert_eq!(named(&report, 0), "handed over", "{report:?}");
    }
    drop(transport);
    server.followed().await;
}
