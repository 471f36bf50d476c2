//! What is not taken, and what the client is told about it.

use crate::relay::{MESSAGE, Relay, entry, settings};

#[tokio::test]
async fn a_client_that_no_entry_names_is_told_what_to_add() {
    let relay = Relay::start(|settings| settings.clients = vec![]);
    let mut client = relay.greeted().await;
    let reply = client.say("MAIL FROM:<printer@contoso.com>").await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert!(reply.contains("127.0.0.1") && reply.contains(r#"[[client]] networks = ["127.0.0.1/32"]"#), "{reply}");
    client.script(&[("RCPT TO:<a@contoso.com>", "503")]).await;
    assert!(relay.spool.stored().is_empty());
}

#[tokio::test]
async fn a_sender_that_the_entry_or_the_tenants_do_not_allow_is_refused() {
    let relay = Relay::start(|settings| {
        settings.clients[0].senders = ["*@contoso.com", "x@other.example"].map(|text| text.parse().unwrap()).into()
    });
    let mut client = relay.greeted().await;
    let reply = client.say("MAIL FROM:<a@fabrikam.com>").await;
    assert!(reply.starts_with("550 5.7.1") && reply.contains("\"printers\"") && reply.contains("senders"), "{reply}");
    let reply = client.say("MAIL FROM:<x@other.example>").await;
    assert!(reply.starts_with("550 5.7.1") && reply.contains("domains of a [[tenant]]"), "{reply}");
    client.script(&[("MAIL FROM:<A@CONTOSO.COM>", "250")]).await;
}

#[tokio::test]
async fn an_open_relay_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.clients = vec![inbound::ClientEntry { networks: vec!["0.0.0.0/0".parse().unwrap()], ..entry("all") }];
    let error = inbound::open_relay(&settings).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"all\"") && text.contains("0.0.0.0/0 is public"), "{text}");
    let fakes = std::sync::Arc::new(crate::fakes::MemorySpool::default());
    let bound = inbound::Inbound::bind(
        settings,
        Vec::new(),
        fakes,
        std::sync::Arc::new(crate::fakes::Arrivals::default()),
        crate::relay::routes(),
        std::sync::Arc::new(crate::fakes::StoppedClock),
        std::sync::Arc::new(telemetry::Metrics::default()),
    );
    assert!(matches!(bound, Err(inbound::BindError::OpenRelay(_))));
}

#[tokio::test]
async fn a_message_over_the_size_is_refused_when_declared_and_when_not() {
    let relay = Relay::start(|settings| settings.limits.message_size = 1000);
    let mut client = relay.greeted().await;
    client.script(&[("MAIL FROM:<a@contoso.com> SIZE=1001", "552 5.3.4")]).await;
    let reply = client.transact(&format!("Subject: x\r\n\r\n{}\r\n", "a".repeat(1000))).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    assert_eq!(relay.spool.open_bodies(), 0);
    assert!(client.transact(MESSAGE).await.starts_with("250"), "the session goes on");
}

#[tokio::test]
async fn the_size_of_a_client_entry_is_its_own() {
    let relay = Relay::start(|settings| settings.clients[0].size = Some(100));
    let mut client = relay.greeted().await;
    let reply = client.say("MAIL FROM:<a@contoso.com> SIZE=101").await;
    assert!(reply.starts_with("552 5.3.4") && reply.contains("100 octets"), "{reply}");
    let reply = client.transact(&format!("Subject: x\r\n\r\n{}\r\n", "a".repeat(100))).await;
    assert!(reply.starts_with("552 5.3.4") && reply.contains("100 octets"), "{reply}");
    assert_eq!((relay.spool.open_bodies(), relay.spool.stored().len()), (0, 0));
    assert!(client.transact(MESSAGE).await.starts_with("250"));
}

#[tokio::test]
async fn a_header_section_over_its_limit_is_refused() {
    let relay = Relay::start(|settings| settings.limits.header_section = 200);
    let mut client = relay.greeted().await;
    let reply = client.transact(&format!("Subject: {}\r\n\r\n", "a".repeat(200))).await;
    assert!(reply.starts_with("552 5.3.4") && reply.contains("header section"), "{reply}");
    let reply = client.transact(&format!("Subject: x\r\n\r\n{}\r\n", "a".repeat(500))).await;
    assert!(reply.starts_with("250"), "{reply}");
    let relay = Relay::start(|_| {});
    let reply = relay.greeted().await.transact(&"A: b\r\n".repeat(1001)).await;
    assert!(reply.starts_with("552 5.3.4") && reply.contains("1000 fields"), "{reply}");
}

#[tokio::test]
async fn loops_are_refused_by_hop_count_and_by_our_own_trace_field() {
    let relay = Relay::start(|settings| settings.limits.hops = 3);
    let mut client = relay.greeted().await;
    let hop = "Received: from a by b with SMTP id c; Fri, 20 Nov 2026 22:32:07 +0000\r\n";
    assert!(client.transact(&format!("{}{MESSAGE}", hop.repeat(3))).await.starts_with("250"));
    let reply = client.transact(&format!("{}{MESSAGE}", hop.repeat(4))).await;
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    let passed = relay.only();
    let again = String::from_utf8(passed.bytes).unwrap().replacen(hop, "", 3);
    let reply = client.transact(&again).await;
    assert!(reply.starts_with("554 5.4.6") && reply.contains(&passed.message.id.to_string()), "{reply}");
    assert_eq!((relay.spool.stored().len(), relay.spool.open_bodies()), (1, 0));
}

#[tokio::test]
async fn connections_over_the_limits_are_turned_away_at_once() {
    let relay = Relay::start(|settings| settings.limits.connections_per_address = 2);
    let (mut first, _second) = (relay.greeted().await, relay.greeted().await);
    let mut third = relay.client("submissions").await;
    let reply = third.reply().await;
    assert!(reply.starts_with("421 4.7.0") && reply.contains("127.0.0.1"), "{reply}");
    assert!(third.is_closed().await);
    first.script(&[("QUIT", "221")]).await;
    assert!(first.is_closed().await);
    drop(first);
    let relay = Relay::start(|settings| settings.limits.connections = 1);
    let _first = relay.greeted().await;
    let reply = relay.client("smtp").await.reply().await;
    assert!(reply.starts_with("421 4.3.2"), "{reply}");
}

#[tokio::test]
async fn limits_of_the_protocol_are_those_of_the_settings() {
    let relay = Relay::start(|settings| {
        settings.limits.recipients = 1;
        settings.limits.messages = 1;
        settings.limits.errors = 3;
    });
    let mut client = relay.greeted().await;
    client
        .script(&[
            ("MAIL FROM:<a@contoso.com>", "250"),
            ("RCPT TO:<a@contoso.com>", "250"),
            ("RCPT TO:<b@contoso.com>", "452 4.5.3"),
            ("RSET", "250"),
        ])
        .await;
    client.transact(MESSAGE).await;
    client.script(&[("MAIL FROM:<a@contoso.com>", "421 4.7.0")]).await;
    let mut client = relay.greeted().await;
    for _ in 0..3 {
        client.say("WHAT").await;
    }
    let reply = client.say("WHAT").await;
    assert!(reply.is_empty() || reply.starts_with("421 4.7.0"), "{reply}");
}

#[tokio::test]
async fn what_the_protocol_forbids_is_counted_like_what_the_relay_forbids() {
    let relay = Relay::start(|settings| settings.limits.recipients = 1);
    let mut client = relay.client("required").await;
    client.greet().await;
    client.script(&[("MAIL FROM:<a@contoso.com>", "530 5.7.0"), ("QUIT", "221")]).await;
    let mut client = relay.greeted().await;
    client
        .script(&[
            ("MAIL FROM:<a@fabrikam.com>", "550 5.7.1"),
            ("MAIL FROM:<a@contoso.com>", "250"),
            ("RCPT TO:<a@@contoso.com>", "501 5.1.3"),
            ("RCPT TO:<a@contoso.com>", "250"),
            ("RCPT TO:<b@contoso.com>", "452 4.5.3"),
            ("RCPT TO:<c@contoso.com>", "452 4.5.3"),
            ("QUIT", "221"),
        ])
        .await;
    let page = relay.metrics.render();
    for (code, times) in [("530 5.7.0", 1), ("550 5.7.1", 1), ("501 5.1.3", 1), ("452 4.5.3", 2)] {
        let line = format!("posthouse_refusals_total{{code=\"{code}\"}} {times}");
        assert!(page.lines().any(|it| it == line), "{line} is missing in\n{page}");
    }
}

#[tokio::test]
async fn replies_are_ascii_whatever_the_client_has_written() {
    let relay = Relay::start(|settings| {
        settings.clients[0].senders = vec!["printer@contoso.com".parse().unwrap()];
        settings.clients[0].helo = vec!["printer.contoso.com".parse().unwrap()];
    });
    let mut client = relay.greeted().await;
    let mut replies = vec![client.say("MAIL FROM:<printer@contoso.com> NÖ=ü").await];
    client
        .script(&[("MAIL FROM:<printer@contoso.com>", "250"), ("RCPT TO:<a@contoso.com>", "250"), ("DATA", "354")])
        .await;
    replies.push(client.say("From: grün@bücher.example\r\n\r\n.").await);
    replies.push(client.say("MAIL FROM:<grün@bücher.example> SMTPUTF8").await);
    client.say("EHLO bücher.example").await;
    replies.push(client.say("MAIL FROM:<printer@contoso.com>").await);
    let expected = ["555 5.5.4 ", "550 5.7.1 ", "550 5.7.1 ", "550 5.7.1 "];
    for (reply, expected) in replies.iter().zip(expected) {
        assert!(reply.starts_with(expected) && reply.is_ascii() && reply.contains("\\x{FC}"), "{reply}");
    }
}
