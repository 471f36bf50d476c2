//! A link that breaks at every byte: what is said of the message must be true.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{HELLO, TAKEN, attempt, lane, message, named, script, settings, transport};
use super::server::{Cut, Server};
use crate::{SmtpSettings, Timeouts};

/// What the server sends in all, in octets, up to the end of the line that starts so.
fn sent_up_to(play: &str, start: &str) -> usize {
    let mut sent = 0;
    for line in play.lines().filter_map(|line| line.strip_prefix("S: ")) {
        sent += line.len() + 2;
        if line.starts_with(start) {
            return sent;
        }
    }
    panic!("no such line: {start}");
}

async fn cut(play: &str, cut: Cut) -> queue::AttemptReport {
    let server = Server::start_with(&[play.to_owned()], cut, None).await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    drop(transport);
    report
}

#[tokio::test]
async fn wherever_the_server_stops_talking_the_outcome_is_true() {
    let plain = script(&[HELLO, TAKEN]);
    let one_by_one = plain.replace("S: 250-PIPELINING\n", "");
    for play in [plain, one_by_one] {
        let asked_for_content = sent_up_to(&play, "354");
        let whole = sent_up_to(&play, "250 2.0.0 Ok: queued");
        for octets in 1..=whole {
            let report = cut(&play, Cut { after_sent: Some(octets), after_received: None }).await;
            let wanted = match octets {
                _ if octets == whole => ("handed over", "healthy"),
                _ if octets >= asked_for_content => ("unconfirmed", "rest"),
                _ => ("waiting", "rest"),
            };
            assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), wanted, "after {octets} of {whole}");
        }
    }
}

#[tokio::test]
async fn wherever_the_server_stops_listening_the_outcome_is_true() {
    let play = script(&[HELLO, TAKEN]);
    let content = super::fixture::TEXT.len() + 1 + 3;
    let mut content_began = None;
    for octets in 1.. {
        let report = cut(&play, Cut { after_sent: None, after_received: Some(octets) }).await;
        let outcome = named(&report, 0);
        match outcome.as_str() {
            "waiting" => assert_eq!(content_began, None, "{octets}"),
            // To us it looks the same whether the last byte was read.
            "unconfirmed" | "deferred" => content_began = content_began.or(Some(octets)),
            "handed over" => {
                assert_eq!(octets - content_began.unwrap(), content, "the server had read all of it");
                break;
            }
            other => panic!("{other} after {octets}"),
        }
        assert!(octets < 1000);
    }
}

#[tokio::test]
async fn silence_after_the_last_byte_is_unconfirmed_and_before_it_is_not() {
    let short = Duration::from_millis(20);
    let long = Duration::from_secs(60);
    let base = Timeouts { connect: long, handshake: long, command: long, content: long, end: long };
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    for (play, timeouts, wanted) in [
        (script(&[HELLO, end, "HOLD"]), Timeouts { end: short, ..base }, ("unconfirmed", "rest")),
        ("HOLD".to_owned(), Timeouts { command: short, ..base }, ("waiting", "rest")),
    ] {
        let server = Server::start(&[play]).await;
        let transport = transport(SmtpSettings { timeouts, ..settings(server.address) });
        let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), wanted, "{report:?}");
        server.followed().await;
    }
}

#[tokio::test]
async fn known_refusals_stand_although_the_link_breaks() {
    let play = "
C: MAIL FROM:<printer@contoso.test>*
C: RCPT TO:<anna@contoso.test>*
C: RCPT TO:<bert@contoso.test>*
C: DATA
S: 250 2.1.0 OK
S: 550 5.1.1 Unknown
S: 250 2.1.5 OK
S: 354 Go on";
    let server = Server::start(&[script(&[HELLO, play, "CONTENT\nCLOSE"])]).await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, &message(&["anna@contoso.test", "bert@contoso.test"])).await;
    assert_eq!(named(&report, 0), "bounced 5.1.1", "{report:?}");
    assert_eq!(named(&report, 1), "unconfirmed", "{report:?}");
    assert_eq!(lane(&report), "rest");
    server.followed().await;
}

#[tokio::test]
async fn a_dropped_attempt_closes_its_connection_and_gives_its_permit_back() {
    let mail = "C: MAIL FROM:<printer@contoso.test>*\nHOLD";
    let server = Server::start(&[script(&[HELLO, mail])]).await;
    let transport = Arc::new(transport(settings(server.address)));
    let trying = transport.clone();
    let task = tokio::spawn(async move { attempt(&trying, &message(&["anna@contoso.test"])).await });
    while queue::Transport::connections(&*transport).0 == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(queue::Transport::connections(&*transport), (0, 0));
}
