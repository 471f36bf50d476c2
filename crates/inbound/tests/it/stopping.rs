//! The graceful stop.

use std::sync::atomic::Ordering;

use crate::relay::{MESSAGE, Relay};

#[tokio::test]
async fn on_a_stop_idle_sessions_are_told_and_a_message_under_way_is_finished() {
    let mut relay = Relay::start(|_| {});
    let (mut idle, mut busy) = (relay.greeted().await, relay.greeted().await);
    busy.script(&[("MAIL FROM:<a@contoso.com>", "250"), ("RCPT TO:<b@contoso.com>", "250"), ("DATA", "354")]).await;
    busy.send("Subject: half").await;
    relay.stop.cancel();
    assert!(idle.reply().await.starts_with("421 4.3.2"));
    assert!(idle.is_closed().await);
    let reply = busy.say(" a message\r\n\r\n.").await;
    assert!(reply.starts_with("250 2.0.0 OK queued"), "{reply}");
    assert!(busy.reply().await.starts_with("421 4.3.2"));
    (&mut relay.task).await.unwrap();
    assert_eq!((relay.spool.stored().len(), relay.arrivals.ids().len()), (1, 1));
}

#[tokio::test]
async fn a_message_being_stored_when_the_stop_comes_gets_its_250() {
    let mut relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    relay.spool.permits.forget_permits(usize::MAX >> 3);
    client.script(&[("MAIL FROM:<a@contoso.com>", "250"), ("RCPT TO:<b@contoso.com>", "250"), ("DATA", "354")]).await;
    client.send(format!("{MESSAGE}.\r\n")).await;
    while relay.spool.enqueuing.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    relay.stop.cancel();
    relay.spool.permits.add_permits(1);
    assert!(client.reply().await.starts_with("250 2.0.0 OK queued"));
    assert!(client.reply().await.starts_with("421 4.3.2"));
    (&mut relay.task).await.unwrap();
}

#[tokio::test]
async fn after_a_stop_nobody_can_connect() {
    let mut relay = Relay::start(|_| {});
    drop(relay.greeted().await);
    let address = relay.connect("smtp").await.peer_addr().unwrap();
    relay.stop.cancel();
    (&mut relay.task).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
