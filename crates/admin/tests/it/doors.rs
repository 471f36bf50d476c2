//! The two doors: who gets what through which, and whether health tells the truth.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

use admin::{ServeError, UnixServer};
use queue::SpoolState;

use crate::running::{LANE, Running, message};

#[tokio::test]
async fn the_address_gives_metrics_and_health_and_nothing_else() {
    let running = Running::start().await;
    running.spool.put(message(1, "<scan@contoso.com>"));
    assert_eq!(running.page("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(running.page("/readyz").await, (200, "ok\n".to_owned()));
    for path in ["/v1/status", "/v1/queue", "/v1/events", "/"] {
        let (status, text) = running.page(path).await;
        assert_eq!((status, text.contains("\"not-found\"")), (404, true), "{path}");
    }
    let (status, page) = running.page("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "posthouse_queue_messages 1.0".to_owned(),
        "posthouse_queue_recipients 2.0".to_owned(),
        "posthouse_queue_lag_seconds 0.0".to_owned(),
        "posthouse_spool_free_bytes 1073741824.0".to_owned(),
        "posthouse_spool_accepting 1.0".to_owned(),
        "posthouse_conservation_gap_recipients 0.0".to_owned(),
        format!("posthouse_lane_connection_permits{{lane=\"{LANE}\"}} 3.0"),
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is missing in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[tokio::test]
async fn readiness_tells_the_truth_about_the_listeners_and_the_spool() {
    let running = Running::start().await;
    running.listening.store(false, Ordering::Release);
    running.spool.set_state(SpoolState::Full { reason: "12 MiB free, 256 MiB are kept free".to_owned() });
    let expected = "the listeners take no connections\nthe spool is full: 12 MiB free, 256 MiB are kept free\n";
    assert_eq!(running.page("/readyz").await, (503, expected.to_owned()));
    assert_eq!(running.page("/healthz").await.0, 200);
    let status = running.client.status().await.unwrap();
    assert_eq!((status.ready, status.not_ready.len()), (false, 2));
    running.listening.store(true, Ordering::Release);
    running.spool.set_state(SpoolState::Accepting);
    assert_eq!(running.page("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_queue_manager_that_has_stopped_is_neither_alive_nor_ready() {
    let mut running = Running::start().await;
    running.stop_queue.cancel();
    (&mut running.manager).await.unwrap();
    assert_eq!(running.page("/healthz").await, (503, "the queue manager does not answer\n".to_owned()));
    assert_eq!(running.page("/readyz").await, (503, "the queue manager does not answer\n".to_owned()));
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_goes_with_the_relay() {
    let running = Running::start().await;
    let socket = running.socket.clone();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let names: Vec<_> = std::fs::read_dir(socket.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["admin.sock"]);
    let second = UnixServer::bind(&socket).await.unwrap_err();
    assert!(matches!(second, ServeError::InUse(_)), "{second}");
    running.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn what_a_dead_relay_left_behind_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    drop(UnixServer::bind(&socket).await.unwrap());
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "mine").unwrap();
    let error = UnixServer::bind(&file).await.unwrap_err();
    assert!(matches!(error, ServeError::NoSocket(_)), "{error}");
    let error = UnixServer::bind(&dir.path().join("no/admin.sock")).await.unwrap_err();
    assert!(matches!(error, ServeError::Socket { .. }), "{error}");
}

#[tokio::test]
async fn nonsense_on_the_socket_is_answered_and_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let running = Running::start().await;
    let long = "x".repeat(300 * 1024);
    for (request, status) in [
        (
            "POST /v1/queue/remove HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{"
                .to_owned(),
            "400",
        ),
        ("POST /v1/queue/eat HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(), "404"),
        ("DELETE /v1/queue HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "405"),
        ("GET /v1/queue?colour=blue HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "400"),
        (
            format!(
                "POST /v1/lanes/probe HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{long}",
                long.len()
            ),
            "400",
        ),
        ("EHLO relay\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = tokio::net::UnixStream::connect(&running.socket).await.unwrap();
        // It may be refused before all of it is read.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&String::from_utf8_lossy(&answer)[9..], status, "{}", request.lines().next().unwrap());
    }
    assert!(running.client.status().await.is_ok());
    drop(running.state);
}
