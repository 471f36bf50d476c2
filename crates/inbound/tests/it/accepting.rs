//! Mail that is taken: what is stored, and what is kept with it.

use std::net::TcpListener;

use inbound::Priority;
use smtp::BodyType;

use crate::relay::{MESSAGE, Relay, entry, printers};

#[tokio::test]
async fn a_message_is_stored_behind_our_trace_field_and_the_queue_hears_of_it() {
    let relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    let reply = client.transact(MESSAGE).await;
    client.script(&[("QUIT", "221")]).await;
    assert!(client.is_closed().await);
    let stored = relay.only();
    let id = stored.message.id;
    assert_eq!(reply, format!("250 2.0.0 OK queued as {id}"));
    let trace = format!(
        "Received: from printer.contoso.com ([127.0.0.1])\r\n by relay.contoso.com with ESMTP\r\n id {id}; \
         Fri, 20 Nov 2026 22:32:07 +0000\r\n"
    );
    assert_eq!(String::from_utf8(stored.bytes).unwrap(), trace + MESSAGE);
    assert_eq!(relay.arrivals.ids(), [id]);
    let message = stored.message;
    assert_eq!(message.reverse_path.to_string(), "<printer@contoso.com>");
    assert_eq!(message.recipients[0].forward_path.to_string(), "<boss@contoso.com>");
    assert_eq!(message.header.subject.as_deref(), Some("Toner low"));
    assert_eq!(message.lane.to_string(), "contoso/submission/relay@contoso.com");
    let origin = message.origin;
    assert_eq!((&*origin.client, origin.helo.as_str()), ("printers", "printer.contoso.com"));
    assert_eq!((origin.session.len(), origin.user, origin.tls), (8, None, None));
    assert_eq!(relay.spool.open_bodies(), 0);
}

#[tokio::test]
async fn a_whole_session_in_one_packet_is_answered_in_order() {
    let relay = Relay::start(|_| {});
    let mut client = relay.client("smtp").await;
    let transaction = format!(
        "MAIL FROM:<printer@contoso.com>\r\nRCPT TO:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n{MESSAGE}.\r\n"
    );
    client.send(format!("EHLO x\r\n{transaction}{transaction}QUIT\r\n")).await;
    for expected in ["220", "250", "250", "250", "250", "354", "250", "250", "250", "250", "354", "250", "221"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(expected), "{reply}, not {expected}");
    }
    assert!(client.is_closed().await);
    assert_eq!(relay.spool.stored().len(), 2);
}

#[tokio::test]
async fn helo_is_enough_and_the_trace_field_says_smtp() {
    let relay = Relay::start(|_| {});
    let mut client = relay.client("smtp").await;
    client.reply().await;
    client.script(&[("HELO printer", "250")]).await;
    client.transact(MESSAGE).await;
    assert!(String::from_utf8(relay.only().bytes).unwrap().contains(" with SMTP\r\n"));
}

#[tokio::test]
async fn what_mail_and_rcpt_asked_for_is_kept() {
    let relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    client
        .script(&[
            ("MAIL FROM:<müller@contoso.com> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159 SIZE=1000", "250"),
            ("RCPT TO:<bö@fabrikam.example> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;b\\x{F6}@fabrikam.example", "250"),
            ("RCPT TO:<postmaster> NOTIFY=NEVER", "250"),
            ("DATA", "354"),
            ("Subject: Grüße\r\n\r\nö\r\n.", "250"),
        ])
        .await;
    let message = relay.only().message;
    assert_eq!((message.body, message.smtputf8), (BodyType::EightBitMime, true));
    assert_eq!((message.ret, message.envid.unwrap().to_string()), (Some(smtp::Ret::Hdrs), "QQ314159".to_owned()));
    let first = &message.recipients[0];
    let notify = first.notify.unwrap();
    assert_eq!((notify.success, notify.failure, notify.delay), (true, false, true));
    assert_eq!(first.orcpt.as_ref().unwrap().to_string(), "utf-8;b\\x{F6}@fabrikam.example");
    assert_eq!(message.recipients[1].forward_path, smtp::ForwardPath::Postmaster);
    assert!(message.content.eight_bit_header && message.content.eight_bit_body);
    let bytes = String::from_utf8(relay.only().bytes).unwrap();
    assert!(bytes.contains("with UTF8SMTP\r\n"), "{bytes}");
}

#[tokio::test]
async fn chunks_become_one_message_octet_for_octet() {
    let relay = Relay::start(|_| {});
    let mut client = relay.greeted().await;
    client
        .script(&[("MAIL FROM:<printer@contoso.com> BODY=BINARYMIME", "250"), ("RCPT TO:<a@contoso.com>", "250")])
        .await;
    client.send(b"BDAT 12\r\nA: b\r\n\r\n\r\n.\r".as_slice()).await;
    assert!(client.reply().await.starts_with("250"));
    client.send(b"BDAT 6 LAST\r\n\n\0\n.\r\n".as_slice()).await;
    assert!(client.reply().await.starts_with("250 2.0.0 OK queued as"));
    let stored = relay.only();
    assert!(
        stored.bytes.ends_with(b"\r\nA: b\r\n\r\n\r\n.\r\n\0\n.\r\n"),
        "{:?}",
        String::from_utf8_lossy(&stored.bytes)
    );
    assert_eq!(stored.message.body, BodyType::BinaryMime);
    assert!(stored.message.content.nul);
}

#[tokio::test]
async fn ehlo_offers_what_the_settings_say() {
    let relay = Relay::start(|settings| {
        settings.limits.message_size = 1000;
        settings.limits.recipients = 7;
        settings.limits.messages = 9;
    });
    let hello = relay.client("smtp").await.greet().await;
    for keyword in ["SIZE 1000", "LIMITS RCPTMAX=7 MAILMAX=9", "STARTTLS", "CHUNKING", "BINARYMIME", "SMTPUTF8", "DSN"]
    {
        let offered = hello.lines().any(|line| {
            let words: Vec<&str> = line[4..].split(' ').collect();
            keyword.split(' ').all(|word| words.contains(&word))
        });
        assert!(offered, "{keyword} is not in {hello}");
    }
    assert!(!hello.contains("AUTH"), "no client entry has users: {hello}");
}

#[tokio::test]
async fn urgent_is_what_the_client_entry_or_else_the_header_calls_so() {
    for (priority, importance, urgent) in [
        (Priority::AsMarked, "normal", false),
        (Priority::AsMarked, "high", true),
        (Priority::Urgent, "normal", true),
        (Priority::Normal, "high", false),
    ] {
        let relay = Relay::start(|settings| settings.clients[0].priority = priority);
        relay.greeted().await.transact(&format!("Importance: {importance}\r\n\r\n")).await;
        assert_eq!(relay.only().message.urgent, urgent);
    }
}

#[tokio::test]
async fn the_null_reverse_path_passes_whatever_senders_allow_but_the_header_section_stays_bound() {
    let relay = Relay::start(|settings| settings.clients[0].senders = vec!["billing@contoso.com".parse().unwrap()]);
    let mut client = relay.greeted().await;
    for (author, expected) in [("billing@contoso.com", "250"), ("boss@contoso.com", "550 5.7.1")] {
        client.script(&[("MAIL FROM:<>", "250"), ("RCPT TO:<a@contoso.com>", "250"), ("DATA", "354")]).await;
        let reply = client.say(&format!("From: {author}\r\n\r\n.")).await;
        assert!(reply.starts_with(expected), "{author} {reply}");
    }
}

#[tokio::test]
async fn an_end_of_data_that_is_not_crlf_dot_crlf_is_content() {
    let tricks = ["\n.\r\n", "\r.\r\n", "\n.\n", "\r\n.\n", "\r\n.\r", "\n.\r\r\n", "\r\n\0.\r\n"];
    let relay = Relay::start(|_| {});
    for trick in tricks {
        let mut client = relay.greeted().await;
        let before = relay.spool.stored().len();
        let smuggled =
            format!("Subject: a\r\n\r\nb{trick}MAIL FROM:<boss@contoso.com>\r\nRCPT TO:<x@contoso.com>\r\nDATA\r\n");
        let reply = client.transact(&smuggled).await;
        assert!(reply.starts_with("250 2.0.0 OK queued"), "{trick:?} {reply}");
        client.script(&[("QUIT", "221")]).await;
        let stored = relay.spool.stored();
        assert_eq!(stored.len(), before + 1, "{trick:?} made a message");
        let bytes = String::from_utf8(stored[before].bytes.clone()).unwrap();
        assert!(bytes.contains("MAIL FROM:<boss@contoso.com>\r\nRCPT TO"), "{trick:?} {bytes:?}");
    }
}

#[tokio::test]
async fn an_inherited_socket_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = crate::relay::settings(dir.path());
    settings.clients = vec![entry("none"), printers()];
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let spool = std::sync::Arc::new(crate::fakes::MemorySpool::default());
    let inbound = inbound::Inbound::bind(
        settings,
        vec![("smtp".to_owned(), socket)],
        spool,
        std::sync::Arc::new(crate::fakes::Arrivals::default()),
        crate::relay::routes(),
        std::sync::Arc::new(crate::fakes::StoppedClock),
        std::sync::Arc::new(telemetry::Metrics::default()),
    )
    .unwrap();
    assert_eq!(inbound.local_addresses()[0], ("smtp".to_owned(), address));
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(inbound.run(stop.clone()));
    let mut client = crate::client::Client::new(tokio::net::TcpStream::connect(address).await.unwrap());
    client.greet().await;
    client.script(&[("MAIL FROM:<printer@contoso.com>", "250"), ("QUIT", "221")]).await;
    stop.cancel();
    task.await.unwrap();
}
