//! A journal that is looked into, fails or does not answer; and what is written there before the last byte goes.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use queue::{BodyReader, Journal, SpoolError, Transport};
use tokio::sync::Semaphore;

use super::body::{Endless, Pieces};
use super::fixture::{HELLO, TAKEN, TEXT, attempt_journalled, lane, message, named, script, settings, transport};
use super::server::Server;
use crate::SmtpSettings;

/// What was noted, transaction by transaction.
#[derive(Debug)]
pub(crate) struct Notes {
    noted: Mutex<Vec<Vec<u32>>>,
    fails: AtomicBool,
    /// It is never done.
    hangs: bool,
    /// Gets a permit when it was asked.
    asked: Arc<Semaphore>,
}

impl Notes {
    fn failing() -> Self {
        Self { fails: AtomicBool::new(true), ..Self::new() }
    }

    fn hanging() -> Self {
        Self { hangs: true, ..Self::new() }
    }

    pub(crate) fn new() -> Self {
        Self {
            asked: Arc::new(Semaphore::new(0)),
            noted: Mutex::default(),
            fails: AtomicBool::new(false),
            hangs: false,
        }
    }

    pub(crate) fn noted(&self) -> Vec<Vec<u32>> {
        self.noted.lock().unwrap().clone()
    }
}

#[async_trait]
impl Journal for Notes {
    async fn last_byte(&self, recipients: &[u32]) -> Result<(), SpoolError> {
        self.asked.add_permits(1);
        if self.hangs {
            return pending().await;
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(SpoolError::Closed("the disk is full".to_owned()));
        }
        self.noted.lock().unwrap().push(recipients.to_vec());
        Ok(())
    }
}

/// Up to the 354, for two recipients, the first of whom is refused.
const TO_TWO: &str = "
C: MAIL FROM:<printer@contoso.test>*
C: RCPT TO:<anna@contoso.test>*
C: RCPT TO:<bert@contoso.test>*
C: DATA
S: 250 2.1.0 OK
S: 550 5.1.1 Unknown
S: 250 2.1.5 OK
S: 354 Go on";

fn two() -> queue::Message {
    message(&["anna@contoso.test", "bert@contoso.test"])
}

fn small() -> BodyReader {
    Pieces::of(&[TEXT])
}

/// Some 200 KB: more than waits for the dot.
fn large() -> BodyReader {
    Box::new(Endless::new(3))
}

#[tokio::test]
async fn only_those_whom_the_server_accepted_are_noted() {
    let play = script(&[HELLO, TO_TWO, "CONTENT\nS: 250 2.0.0 OK", TAKEN]);
    let server = Server::start(&[play]).await;
    let transport = transport(settings(server.address));
    let notes = Notes::new();
    attempt_journalled(&transport, &two(), small(), 1, &notes).await;
    attempt_journalled(&transport, &message(&["anna@contoso.test"]), small(), 1, &notes).await;
    assert_eq!(notes.noted(), [vec![1], vec![0]]);
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn where_nothing_can_be_noted_the_last_byte_does_not_go_and_nobody_is_to_blame() {
    for body in [small, large] {
        let server = Server::start(&[script(&[HELLO, TO_TWO, "REST"]), script(&[HELLO, TAKEN])]).await;
        let transport = transport(settings(server.address));
        let notes = Notes::failing();
        let report = attempt_journalled(&transport, &two(), body(), 1, &notes).await;
        assert_eq!((named(&report, 0).as_str(), named(&report, 1).as_str()), ("bounced 5.1.1", "waiting"));
        assert_eq!(report.messages, 1);
        assert_ne!(lane(&report), "rest", "{report:?}");
        assert!(format!("{report:?}").contains("the disk is full"), "{report:?}");
        assert_eq!(transport.connections(), (0, 0), "the connection is closed");

        notes.fails.store(false, Ordering::Relaxed);
        let report = attempt_journalled(&transport, &message(&["anna@contoso.test"]), small(), 1, &notes).await;
        assert_eq!(named(&report, 0), "handed over");
        drop(transport);
        let contents = server.followed().await;
        assert!(!contents[0].ends_with(b"\r\n.\r\n"));
    }
}

#[tokio::test]
async fn trouble_with_the_journal_says_nothing_of_the_lane() {
    let play = script(&[HELLO, TAKEN.split("CONTENT").next().unwrap(), "REST"]);
    let server = Server::start(&[play]).await;
    let transport = transport(settings(server.address));
    let notes = Notes::failing();
    let report = attempt_journalled(&transport, &message(&["anna@contoso.test"]), small(), 1, &notes).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", "neutral"));
    assert_eq!(server.followed().await, [b""], "a small message goes as a whole or not at all");
}

#[tokio::test]
async fn a_journal_that_does_not_answer_is_given_up() {
    let server = Server::start(&[script(&[HELLO, TO_TWO, "REST"])]).await;
    let mut wanted = settings(server.address);
    wanted.timeouts.content = Duration::from_millis(50);
    let report = attempt_journalled(&transport(wanted), &two(), small(), 1, &Notes::hanging()).await;
    assert_eq!(named(&report, 1), "waiting", "{report:?}");
    assert_eq!(server.followed().await, [b""]);
}

#[tokio::test]
async fn stopped_while_it_is_being_noted_nothing_was_sent() {
    for body in [small, large] {
        let server = Server::start(&[script(&[HELLO, TO_TWO, "REST"])]).await;
        let transport = Arc::new(transport(settings(server.address)));
        let notes = Notes::hanging();
        let asked = notes.asked.clone();
        let trying = transport.clone();
        let task = tokio::spawn(async move { attempt_journalled(&trying, &two(), body(), 1, &notes).await });
        asked.acquire().await.unwrap().forget();
        transport.abandon();
        let report = task.await.unwrap();
        assert_eq!((named(&report, 1).as_str(), report.messages), ("waiting", 1));
        let contents = server.followed().await;
        assert!(!contents[0].ends_with(b"\r\n.\r\n"));
    }
}

#[tokio::test]
async fn a_server_that_takes_everything_and_says_nothing_leaves_it_open() {
    for body in [small, large] {
        let server = Server::start(&[script(&[HELLO, TAKEN.rsplit_once("S: 250").unwrap().0, "HOLD"])]).await;
        let mut wanted = settings(server.address);
        wanted.timeouts.end = Duration::from_millis(50);
        let notes = Notes::new();
        let message = message(&["anna@contoso.test"]);
        let report = attempt_journalled(&transport(wanted), &message, body(), 1, &notes).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("unconfirmed", "rest"), "{report:?}");
        assert_eq!(notes.noted(), [[0]]);
        server.followed().await;
    }
}

#[tokio::test]
async fn a_server_that_reads_no_further_gets_no_last_byte() {
    let hello = HELLO.replace("SIZE 1000000", "SIZE 0");
    let early = TAKEN.split("CONTENT").next().unwrap();
    let server = Server::start(&[script(&[&hello, early, "BLOCK\nSTALL\nCLOSE"])]).await;
    let mut wanted: SmtpSettings = settings(server.address);
    wanted.timeouts.content = Duration::from_millis(100);
    let transport = transport(wanted);
    let notes = Notes::new();
    let body = Box::new(Endless::new(1600));
    let message = message(&["anna@contoso.test"]);
    let report = attempt_journalled(&transport, &message, body, 1, &notes).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("deferred", "rest"), "{report:?}");
    assert!(notes.noted().is_empty());
    server.go_on.add_permits(1);
    server.followed().await;
}
