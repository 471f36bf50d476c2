//! A spool that refuses, and clients that leave in the middle.

use queue::SpoolError;

use crate::client::Client;
use crate::fakes::Faults;
use crate::relay::{MESSAGE, Relay};

fn full() -> SpoolError {
    SpoolError::Full("/var/lib/posthouse has 3 MB left".to_owned())
}

fn closed() -> SpoolError {
    SpoolError::Closed("fsync of /var/lib/posthouse/seg/1: Input/output error".to_owned())
}

async fn begin(client: &mut Client) -> String {
    client.script(&[("MAIL FROM:<a@contoso.com>", "250"), ("RCPT TO:<b@contoso.com>", "250")]).await;
    client.say("DATA").await
}

#[tokio::test]
async fn a_spool_that_refuses_is_told_at_data_then_at_mail_until_it_accepts_again() {
    for (fault, code) in [(full(), "452 4.3.1"), (closed(), "451 4.3.0")] {
        let relay = Relay::start(|_| {});
        let mut client = relay.greeted().await;
        relay.spool.fail(Faults { begin: Some(fault), ..Faults::default() });
        let reply = begin(&mut client).await;
        assert!(reply.starts_with(code) && !reply.contains("/var/lib"), "{reply}");
        client.script(&[("RSET", "250"), ("MAIL FROM:<a@contoso.com>", code)]).await;
        relay.spool.fail(Faults::default());
        assert!(client.transact(MESSAGE).await.starts_with("250"));
    }
}

#[tokio::test]
async fn a_spool_that_fails_while_content_arrives_gives_one_reply_at_its_end() {
    for (fault, code) in [(full(), "452 4.3.1"), (closed(), "451 4.3.0")] {
        let relay = Relay::start(|_| {});
        relay.spool.fail(Faults { write_after: Some((100_000, fault)), ..Faults::default() });
        let mut client = relay.greeted().await;
        let reply = client.transact(&format!("A: b\r\n\r\n{}", "line\r\n".repeat(50_000))).await;
        assert!(reply.starts_with(code), "{reply}");
        assert_eq!((relay.spool.open_bodies(), relay.spool.stored().len()), (0, 0));
        client.script(&[("NOOP", "250")]).await;
    }
}

#[tokio::test]
async fn an_enqueue_that_fails_accepts_nothing_and_tells_nobody() {
    for (fault, code) in [(full(), "452 4.3.1"), (closed(), "451 4.3.0"), (SpoolError::Failed("x".into()), "451 4.3.0")]
    {
        let relay = Relay::start(|_| {});
        relay.spool.fail(Faults { enqueue: Some(fault), ..Faults::default() });
        let mut client = relay.greeted().await;
        let reply = client.transact(MESSAGE).await;
        assert!(reply.starts_with(code), "{reply}");
        assert_eq!((relay.spool.open_bodies(), relay.arrivals.ids().len()), (0, 0));
    }
}

#[tokio::test]
async fn a_client_that_disconnects_inside_data_leaves_nothing_behind() {
    let relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    assert!(begin(&mut client).await.starts_with("354"));
    client.send(MESSAGE).await;
    while relay.spool.open_bodies() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    while relay.spool.open_bodies() != 0 {
        tokio::task::yield_now().await;
    }
    assert!(relay.spool.stored().is_empty());
    assert!(relay.arrivals.ids().is_empty());
}

#[tokio::test]
async fn rset_between_chunks_leaves_nothing_behind() {
    let relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    client.script(&[("MAIL FROM:<a@contoso.com>", "250"), ("RCPT TO:<b@contoso.com>", "250")]).await;
    client.send("BDAT 6\r\nA: b\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert_eq!(relay.spool.open_bodies(), 1);
    client.script(&[("RSET", "250")]).await;
    assert_eq!(relay.spool.open_bodies(), 0);
}
