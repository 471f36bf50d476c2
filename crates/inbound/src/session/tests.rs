//! Waits and their limits, in virtual time over a connection in memory.

use std::sync::Arc;
use std::time::Duration;

use queue::{LaneName, Routes};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{ClientEntry, Inbound, Limits, ListenerSettings, Settings, TlsSettings};

#[path = "../../tests/it/client.rs"]
#[expect(dead_code, reason = "shared with the tests on sockets, which need more of it")]
mod client;
#[path = "../../tests/it/fakes.rs"]
#[expect(dead_code, reason = "shared with the tests on sockets, which need more of it")]
mod fakes;

use client::Client;
use fakes::{Arrivals, MemorySpool, StoppedClock};

const MINUTE: Duration = Duration::from_secs(60);

struct OneSession {
    client: Client,
    spool: Arc<MemorySpool>,
    stops: Stops,
    task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn settings(dir: &std::path::Path, tls: TlsMode) -> Settings {
    let address = ([127, 0, 0, 1], 0).into();
    Settings {
        hostname: "relay.contoso.com".into(),
        listeners: vec![ListenerSettings { name: "smtp".into(), address, tls, auth_without_tls: false }],
        clients: vec![ClientEntry { networks: vec!["127.0.0.0/8".parse().unwrap()], ..ClientEntry::named("printers") }],
        tls: TlsSettings { certificate: None, key: None, client_ca: None, state_dir: dir.to_owned() },
        limits: Limits::default(),
    }
}

/// A session over a pipe of this many octets.
fn session(tls: TlsMode, octets: usize) -> OneSession {
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(MemorySpool::default());
    let lane = LaneName("contoso".into());
    let inbound = Inbound::bind(
        settings(dir.path(), tls),
        Vec::new(),
        spool.clone(),
        Arc::new(Arrivals::default()),
        Routes::new([("contoso.com".to_owned(), lane)], None),
        Arc::new(StoppedClock),
        Arc::new(telemetry::Metrics::default()),
    );
    let (shared, listener) = inbound.unwrap().parts();
    let (ours, theirs): (DuplexStream, DuplexStream) = tokio::io::duplex(octets);
    let stops = Stops { soft: CancellationToken::new(), hard: CancellationToken::new() };
    let who = Who { session: "test".into(), peer: ([127, 0, 0, 1], 1).into(), listener: "smtp".into() };
    let session = Session::new(shared, &listener, ours, who, stops.clone());
    let task = tokio::spawn(session.run(tls == TlsMode::Implicit));
    OneSession { client: Client::new(theirs), spool, stops, task, _dir: dir }
}

async fn greeted() -> OneSession {
    let mut session = session(TlsMode::None, 65_536);
    session.client.greet().await;
    session
}

impl OneSession {
    async fn inside_content(&mut self) {
        let script = [("MAIL FROM:<a@contoso.com>", "250"), ("RCPT TO:<b@contoso.com>", "250"), ("DATA", "354")];
        self.client.script(&script).await;
    }

    /// Waits for the session to close with a reply that begins so; gives the virtual time that passed.
    async fn closes_with(mut self, reply: &str) -> Duration {
        let start = Instant::now();
        let last = self.client.reply().await;
        assert!(last.starts_with(reply), "{last}");
        let waited = start.elapsed();
        self.task.await.unwrap();
        assert!(self.client.is_closed().await);
        assert_eq!((self.spool.open_bodies(), self.spool.stored().len()), (0, 0));
        waited
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_closed_after_five_minutes() {
    assert_eq!(greeted().await.closes_with("421 4.4.2").await.as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn half_a_command_does_not_buy_time() {
    let mut session = greeted().await;
    for _ in 0..4 {
        tokio::time::sleep(MINUTE).await;
        session.client.send("N").await;
    }
    assert_eq!(session.closes_with("421 4.4.2").await.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn content_may_pause_for_three_minutes() {
    let mut session = greeted().await;
    session.inside_content().await;
    tokio::time::sleep(MINUTE * 2).await;
    session.client.send("Subject: ").await;
    tokio::time::sleep(MINUTE * 2).await;
    session.client.send("x").await;
    assert_eq!(session.closes_with("421 4.4.2").await.as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_after_two_hours_however_busy() {
    let start = Instant::now();
    let mut session = greeted().await;
    session.inside_content().await;
    while start.elapsed() < MINUTE * 119 {
        tokio::time::sleep(MINUTE).await;
        session.client.send("x").await;
    }
    session.closes_with("421 4.4.2").await;
    assert_eq!(start.elapsed().as_secs(), 7200);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_thirty_seconds() {
    let start = Instant::now();
    let mut session = session(TlsMode::Implicit, 65_536);
    session.client.send([22, 3, 1]).await;
    assert!(session.client.is_closed().await);
    assert_eq!(start.elapsed().as_secs(), 30);
    session.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_left_within_a_minute() {
    let start = Instant::now();
    let mut session = session(TlsMode::None, 64);
    let (first, rest) = ("NOOP\r\n".repeat(8), "NOOP\r\n".repeat(100));
    session.client.send(first).await;
    let mut stream = session.client.into_stream();
    let writer = tokio::spawn(async move {
        let _ = stream.write_all(rest.as_bytes()).await;
        tokio::time::sleep(MINUTE * 3).await;
        let _ = stream.read_u8().await;
    });
    session.task.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 60);
    writer.abort();
}

#[tokio::test(start_paused = true)]
async fn when_grace_is_over_a_message_under_way_is_closed() {
    let mut session = greeted().await;
    session.inside_content().await;
    session.client.send("Subject: half").await;
    tokio::time::sleep(MINUTE).await;
    session.stops.soft.cancel();
    tokio::time::sleep(MINUTE).await;
    assert!(!session.task.is_finished());
    session.stops.hard.cancel();
    assert_eq!(session.closes_with("421 4.3.2").await.as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_the_session_ends_with_its_message() {
    let start = Instant::now();
    let mut session = greeted().await;
    session.inside_content().await;
    session.client.send("Subject: half").await;
    tokio::time::sleep(MINUTE).await;
    session.stops.soft.cancel();
    tokio::time::sleep(MINUTE).await;
    assert!(session.client.say("\r\n\r\n.").await.starts_with("250"));
    assert!(session.client.reply().await.starts_with("421 4.3.2"));
    session.task.await.unwrap();
    assert_eq!(start.elapsed(), MINUTE * 2);
}

#[tokio::test]
async fn a_waiting_session_is_small() {
    let session = session(TlsMode::None, 64);
    session.task.abort();
    // The future of a session, without what it keeps on the heap.
    assert!(size_of::<Session<tokio::net::TcpStream>>() < 1024, "{}", size_of::<Session<tokio::net::TcpStream>>());
}
