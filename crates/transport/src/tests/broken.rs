//! A link that breaks at every byte: what is said of the message must be true.

use std::sync::Arc;
use std::time::Duration;

use super::body::{Endless, Pieces};
use super::fixture::{
    HELLO, TAKEN, TEXT, attempt, attempt_journalled, lane, message, named, script, settings, transport,
};
use super::journal::Notes;
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

/// What is said of the message, and whether its last byte could have gone as far as the journal knows.
async fn cut(play: &str, cut: Cut) -> (queue::AttemptReport, bool) {
    let server = Server::start_with(&[play.to_owned()], cut, None).await;
    let transport = transport(settings(server.address));
    let notes = Notes::new();
    let body = Pieces::of(&[TEXT]);
    let report = attempt_journalled(&transport, &message(&["anna@contoso.test"]), body, 1, &notes).await;
    drop(transport);
    let noted = notes.noted();
    assert!(noted.is_empty() || noted == [[0]], "{noted:?}");
    (report, !noted.is_empty())
}

#[tokio::test]
async fn wherever_the_server_stops_talking_the_outcome_is_true() {
    let plain = script(&[HELLO, TAKEN]);
    let one_by_one = plain.replace("S: 250-PIPELINING\n", "");
    for play in [plain, one_by_one] {
        let answered_mail = sent_up_to(&play, "250 2.1.0");
        let asked_for_content = sent_up_to(&play, "354");
        let whole = sent_up_to(&play, "250 2.0.0 Ok: queued");
        for octets in 1..=whole {
            let (report, noted) = cut(&play, Cut { after_sent: Some(octets), after_received: None }).await;
            let wanted = match octets {
                _ if octets == whole => ("handed over", "healthy", true),
                _ if octets >= asked_for_content => ("unconfirmed", "rest", true),
                _ if octets >= answered_mail => ("deferred", "rest", false),
                _ => ("waiting", "rest", false),
            };
            assert_eq!((&*named(&report, 0), &*lane(&report), noted), wanted, "after {octets} of {whole}");
            // A greeting and EHLO must be heard before MAIL is said.
            assert_eq!(report.messages, u32::from(octets >= sent_up_to(&play, "250 ENH")), "after {octets} of {whole}");
        }
    }
}

#[tokio::test]
async fn wherever_the_server_stops_listening_the_outcome_is_true() {
    let play = script(&[HELLO, TAKEN]);
    let content = TEXT.len() + 1 + 3;
    let (mut outcomes, mut noted) = (Vec::new(), Vec::new());
    while outcomes.last().is_none_or(|last| last != "handed over") {
        let octets = outcomes.len() + 1;
        let (report, could_have_gone) = cut(&play, Cut { after_sent: None, after_received: Some(octets) }).await;
        outcomes.push(named(&report, 0));
        noted.push(could_have_gone);
        assert!(octets < 1000);
    }
    // The server had read all of it.
    let content_began = outcomes.len() - content;
    let (before, inside) = outcomes.split_at(content_began);
    let mail_answered = before.iter().position(|outcome| outcome == "deferred").unwrap();
    assert!(before[..mail_answered].iter().all(|outcome| outcome == "waiting"), "{before:?}");
    assert!(before[mail_answered..content_began - 1].iter().all(|outcome| outcome == "deferred"), "{before:?}");
    // To us it looks the same whether the last byte was read.
    let inside = &inside[..content - 1];
    // All of DATA has been read in the last case before, and 354 said to it.
    let (before, within) = noted.split_at(content_began - 1);
    assert!(!before.contains(&true) && !within.contains(&false), "{noted:?}");
    assert!(inside.iter().all(|outcome| outcome == "unconfirmed" || outcome == "deferred"), "{inside:?}");
}

#[tokio::test]
async fn a_link_that_breaks_long_before_the_last_byte_leaves_nothing_in_the_journal() {
    let hello = HELLO.replace("SIZE 1000000", "SIZE 0");
    let server =
        Server::start_with(&[script(&[&hello, TAKEN])], Cut { after_sent: None, after_received: Some(100_000) }, None)
            .await;
    let transport = transport(settings(server.address));
    let notes = Notes::new();
    let body = Box::new(Endless::new(400));
    let report = attempt_journalled(&transport, &message(&["anna@contoso.test"]), body, 1, &notes).await;
    assert_eq!((&*named(&report, 0), &*lane(&report), report.messages), ("deferred", "rest", 1), "{report:?}");
    assert!(notes.noted().is_empty());
    server.followed().await;
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

/// What is said of a message to two when the relay stops, the server holding at this place. It takes one at a time.
async fn abandoned(play: &str) -> (String, String, u32) {
    let server = Server::start(&[script(&[play, "HOLD"])]).await;
    let transport = Arc::new(transport(settings(server.address)));
    let trying = transport.clone();
    let message = message(&["anna@contoso.test", "bert@contoso.test"]);
    let task = tokio::spawn(async move { attempt(&trying, &message).await });
    server.holding.acquire().await.unwrap().forget();
    queue::Transport::abandon(&*transport);
    let report = task.await.unwrap();
    assert_eq!(queue::Transport::connections(&*transport), (0, 0));
    assert_ne!(lane(&report), "rest", "the lane is not to blame");
    (named(&report, 0), named(&report, 1), report.messages)
}

#[tokio::test]
async fn an_abandoned_attempt_is_unconfirmed_only_for_those_whose_last_byte_had_gone() {
    let hello = HELLO.replace("250 ENHANCEDSTATUSCODES", "250 LIMITS RCPTMAX=1");
    let (mail, content) = TAKEN.split_once("CONTENT").unwrap();
    let waiting = || "waiting".to_owned();
    assert_eq!(abandoned("").await, (waiting(), waiting(), 0));
    let named = script(&[&hello, mail.split_once("S: 250").unwrap().0]);
    assert_eq!(abandoned(&named).await, (waiting(), waiting(), 1));
    let sent = script(&[&hello, mail, "BLOCK"]);
    assert_eq!(abandoned(&sent).await, ("unconfirmed".to_owned(), waiting(), 1));
    let taken = script(&[&hello, mail, "CONTENT", content, "C: MAIL*"]);
    assert_eq!(abandoned(&taken).await, ("handed over".to_owned(), waiting(), 2));
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
