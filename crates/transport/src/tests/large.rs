//! Messages larger than any buffer.

use super::body::{Endless, Pieces};
use super::fixture::{HEADER, HELLO, TAKEN, attempt_with, lane, message, named, outcome, script, settings, transport};
use super::server::Server;
use crate::session::MOST_GATHERED;

#[tokio::test]
async fn a_hundred_megabytes_pass_through_a_small_buffer() {
    let hello = HELLO.replace("SIZE 1000000", "SIZE 157286400");
    let discard = TAKEN.replace("CONTENT", "DISCARD");
    let server = Server::start(&[script(&[&hello, &discard])]).await;
    let transport = transport(settings(server.address));
    let body = Endless::new(1600);
    let mut large = message(&["anna@contoso.test"]);
    large.size = body.size;
    assert!(body.size > 100_000_000);
    let (octets, lines) = (body.size, 1600 * 800);
    let report = attempt_with(&transport, &large, Box::new(body)).await;
    assert_eq!(named(&report, 0), "handed over", "{report:?}");
    let gathered = MOST_GATHERED.load(std::sync::atomic::Ordering::Relaxed);
    assert!(gathered <= 128 * 1024, "{gathered}");
    drop(transport);
    let contents = server.followed().await;
    // Each line of the body has one dot more, and there is the last one.
    let taken = u64::from_le_bytes(contents[0].clone().try_into().unwrap());
    assert_eq!(taken, octets + lines + 3);
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_content_is_heard() {
    let (hello, early) = (HELLO.replace("SIZE 1000000", "SIZE 0"), TAKEN.split("CONTENT").next().unwrap());
    for (reply, wanted, verdict) in [
        ("S: 552 5.3.4 Header size exceeds fixed maximum size\nHOLD", "bounced 5.3.4", "healthy"),
        ("S: 421 4.3.2 Going down\nHOLD", "deferred", "rest"),
    ] {
        let play = script(&[&hello, early, "BLOCK", reply]);
        let server = Server::start(&[play]).await;
        let transport = transport(settings(server.address));
        let body = Endless::new(1600);
        let report = attempt_with(&transport, &message(&["anna@contoso.test"]), Box::new(body)).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), (wanted, verdict), "{report:?}");
        assert_eq!(queue::Transport::connections(&transport), (0, 0));
        server.followed().await;
    }
}

#[tokio::test]
async fn a_link_that_breaks_in_the_middle_of_the_content_counts_as_an_attempt() {
    let (hello, early) = (HELLO.replace("SIZE 1000000", "SIZE 0"), TAKEN.split("CONTENT").next().unwrap());
    let server = Server::start(&[script(&[&hello, early, "BLOCK", "CLOSE"])]).await;
    let transport = transport(settings(server.address));
    let report = attempt_with(&transport, &message(&["anna@contoso.test"]), Box::new(Endless::new(1600))).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("deferred", "rest"), "{report:?}");
    server.followed().await;
}

#[tokio::test]
async fn the_pieces_of_a_body_are_put_together_unchanged() {
    let server = Server::start(&[script(&[HELLO, TAKEN])]).await;
    let transport = transport(settings(server.address));
    let body = Pieces::of(&[HEADER.strip_suffix("\n\r\n").unwrap(), "\n", "\r\n.", "dot\r\n", ".", "\r\n"]);
    let report = attempt_with(&transport, &message(&["anna@contoso.test"]), body).await;
    assert_eq!(named(&report, 0), "handed over", "{:?}", outcome(&report, 0));
    drop(transport);
    assert_eq!(server.followed().await, [format!("{HEADER}..dot\r\n..\r\n.\r\n").into_bytes()]);
}
