//! What client entries allow, and what they make of recipients.

use inbound::{ClientEntry, PlusAddresses};

use crate::client::Client;
use crate::relay::{MESSAGE, Relay, entry, printers};

/// A message from printer@contoso.com with other header fields or recipients; gives the last reply.
async fn send(client: &mut Client, recipients: &[(&str, &str)], content: &str) -> String {
    client.script(&[("MAIL FROM:<printer@contoso.com>", "250")]).await;
    for (recipient, expected) in recipients {
        client.script(&[(&format!("RCPT TO:{recipient}"), expected)]).await;
    }
    client.script(&[("DATA", "354")]).await;
    client.say(&format!("{content}.")).await
}

fn recipients(relay: &Relay) -> Vec<String> {
    relay.only().message.recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect()
}

#[tokio::test]
async fn the_most_specific_entry_counts_whatever_the_order() {
    let host = ClientEntry { networks: vec!["127.0.0.1/32".parse().unwrap()], ..entry("host") };
    let elsewhere =
        ClientEntry { listeners: vec!["required".into()], ..ClientEntry { name: "elsewhere".into(), ..host.clone() } };
    for clients in [vec![printers(), host.clone(), elsewhere.clone()], vec![elsewhere, host, printers()]] {
        let relay = Relay::start(|settings| settings.clients = clients);
        relay.greeted().await.transact(MESSAGE).await;
        assert_eq!(&*relay.only().message.origin.client, "host");
    }
}

#[tokio::test]
async fn entries_that_cannot_be_told_apart_do_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = crate::relay::settings(dir.path());
    settings.clients = vec![printers(), ClientEntry { name: "copiers".into(), ..printers() }];
    let bound = inbound::Inbound::bind(
        settings,
        Vec::new(),
        std::sync::Arc::new(crate::fakes::MemorySpool::default()),
        std::sync::Arc::new(crate::fakes::Arrivals::default()),
        crate::relay::routes(),
        std::sync::Arc::new(crate::fakes::StoppedClock),
        std::sync::Arc::new(telemetry::Metrics::default()),
    );
    let Err(error @ inbound::BindError::Tie(_)) = bound else { panic!("it must not start") };
    assert!(error.to_string().contains("\"printers\"") && error.to_string().contains("\"copiers\""), "{error}");
}

#[tokio::test]
async fn the_name_in_ehlo_narrows_and_its_change_counts() {
    let relay = Relay::start(|settings| settings.clients[0].helo = vec!["*.contoso.com".parse().unwrap()]);
    let mut client = relay.greeted().await;
    client.script(&[("MAIL FROM:<printer@contoso.com>", "250"), ("EHLO other.example", "250")]).await;
    let reply = client.say("MAIL FROM:<printer@contoso.com>").await;
    assert!(reply.starts_with("550 5.7.1") && reply.contains("as other.example at listener smtp"), "{reply}");
}

#[tokio::test]
async fn senders_bind_the_header_section_too() {
    let relay = Relay::start(|settings| settings.clients[0].senders = vec!["printer@contoso.com".parse().unwrap()]);
    let mut client = relay.greeted().await;
    for (content, expected) in [
        ("From: printer@contoso.com\r\n\r\n", "250"),
        ("From: Boss <boss@contoso.com>\r\n\r\n", "550 5.7.1"),
        ("From: printer@contoso.com, boss@contoso.com\r\nSender: printer@contoso.com\r\n\r\n", "550 5.7.1"),
        ("From: printer@contoso.com\r\nSender: boss@contoso.com\r\n\r\n", "550 5.7.1"),
        ("Subject: no author\r\n\r\n", "250"),
    ] {
        let reply = send(&mut client, &[("<a@contoso.com>", "250")], content).await;
        assert!(reply.starts_with(expected), "{content} gave {reply}");
        assert!(expected == "250" || (reply.contains("<boss@contoso.com>") && reply.contains("senders")), "{reply}");
    }
    assert_eq!((relay.spool.stored().len(), relay.spool.open_bodies()), (2, 0));
}

#[tokio::test]
async fn recipients_outside_are_refused_and_those_inside_served() {
    let relay = Relay::start(|settings| settings.clients[0].internal_only = Some(vec!["contoso.com".into()]));
    let mut client = relay.greeted().await;
    let reply = send(&mut client, &[("<a@fabrikam.com>", "550 5.7.1"), ("<a@contoso.com>", "250")], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(recipients(&relay), ["<a@contoso.com>"]);
}

#[tokio::test]
async fn recipients_are_mapped_merged_and_keep_their_original() {
    let relay = Relay::start(|settings| {
        let client = &mut settings.clients[0];
        client.recipient_map.add("*@old.example", "*@contoso.com").unwrap();
        client.plus_addresses = PlusAddresses::Strip;
    });
    let all = [
        ("<anna+alarm@old.example> NOTIFY=NEVER", "250"),
        ("<anna@contoso.com> NOTIFY=SUCCESS", "250"),
        ("<bob@old.example> ORCPT=rfc822;robert@x.example", "250"),
    ];
    assert!(send(&mut relay.greeted().await, &all, MESSAGE).await.starts_with("250"));
    let stored = relay.only().message.recipients;
    let written: Vec<_> = stored
        .iter()
        .map(|recipient| {
            let (orcpt, notify) = (recipient.orcpt.as_ref().unwrap(), recipient.notify);
            format!("{} {orcpt} {}", recipient.forward_path, notify.map(|n| n.to_string()).unwrap_or_default())
        })
        .collect();
    assert_eq!(
        written,
        ["<anna@contoso.com> rfc822;anna+2Balarm@old.example SUCCESS", "<bob@contoso.com> rfc822;robert@x.example "]
    );
}

#[tokio::test]
async fn the_archive_is_one_more_recipient_but_of_no_report() {
    let relay = Relay::start(|settings| settings.clients[0].archive = Some("journal@contoso.com".parse().unwrap()));
    let mut client = relay.greeted().await;
    client.transact(MESSAGE).await;
    let message = relay.only().message;
    assert_eq!(recipients(&relay), ["<boss@contoso.com>", "<journal@contoso.com>"]);
    assert_eq!(message.recipients.iter().map(|recipient| recipient.archive).collect::<Vec<_>>(), [false, true]);
    client.script(&[("MAIL FROM:<>", "250"), ("RCPT TO:<a@contoso.com>", "250"), ("DATA", "354")]).await;
    client.say(&format!("{MESSAGE}.")).await;
    assert_eq!(relay.spool.stored()[1].message.recipients.len(), 1);
}

#[tokio::test]
async fn a_client_has_limits_of_its_own_that_count_what_was_accepted() {
    let relay = Relay::start(|settings| {
        let client = &mut settings.clients[0];
        (client.recipients_per_message, client.recipients_per_day) = (Some(2), Some(3));
        client.messages_per_minute = Some(3);
    });
    let mut client = relay.greeted().await;
    let three = [("<a@contoso.com>", "250"), ("<b@contoso.com>", "250"), ("<c@contoso.com>", "452 4.5.3")];
    let loop_of_mail = format!("{}\r\n", "Received: x\r\n".repeat(60));
    assert!(send(&mut client, &three, &loop_of_mail).await.starts_with("554"), "what is refused does not count");
    assert!(send(&mut client, &three, MESSAGE).await.starts_with("250"));
    let two = [("<a@contoso.com>", "250"), ("<b@contoso.com>", "452 4.7.1")];
    assert!(send(&mut client, &two, MESSAGE).await.starts_with("250"));
    client.script(&[("MAIL FROM:<printer@contoso.com>", "250")]).await;
    let reply = client.say("RCPT TO:<a@contoso.com>").await;
    assert!(reply.starts_with("452 4.7.1") && reply.contains("recipients_per_day"), "{reply}");
    client.script(&[("RSET", "250")]).await;
}

#[tokio::test]
async fn too_many_messages_a_minute_are_told_when_it_goes_on() {
    let relay = Relay::start(|settings| settings.clients[0].messages_per_minute = Some(2));
    let mut client = relay.greeted().await;
    for _ in 0..2 {
        assert!(client.transact(MESSAGE).await.starts_with("250"));
    }
    let reply = relay.greeted().await.say("MAIL FROM:<printer@contoso.com>").await;
    assert!(
        reply.starts_with("450 4.7.1") && reply.contains("messages_per_minute") && reply.contains("try again in"),
        "{reply}"
    );
}

#[tokio::test]
async fn tls_can_be_demanded_of_a_client() {
    let relay = Relay::start(|settings| settings.clients[0].require_tls = true);
    relay.greeted().await.script(&[("MAIL FROM:<printer@contoso.com>", "530 5.7.0 Send STARTTLS first")]).await;
    relay.encrypted().await.script(&[("MAIL FROM:<printer@contoso.com>", "250")]).await;
}

#[tokio::test]
async fn reports_reach_nobody_whom_the_client_may_not_write_to() {
    let rule = |change: fn(&mut ClientEntry)| {
        let relay = Relay::start(|settings| {
            settings.clients[0].senders = vec!["*".parse().unwrap()];
            settings.clients[0].lane = Some(queue::LaneName("contoso/submission".into()));
            change(&mut settings.clients[0]);
        });
        async move {
            let mut client = relay.greeted().await;
            for from in ["spy@elsewhere.example", "printer@contoso.com"] {
                client.script(&[(&format!("MAIL FROM:<{from}>"), "250"), ("RCPT TO:<boss@contoso.com>", "250")]).await;
                client.script(&[("DATA", "354")]).await;
                assert!(client.say(&format!("{MESSAGE}.")).await.starts_with("250"));
            }
            let told = |stored: &crate::fakes::Stored| {
                let words = |recipient: &queue::Recipient| {
                    recipient.notify.map_or("as usual".to_owned(), |notify| notify.to_string())
                };
                stored.message.recipients.iter().map(words).collect::<Vec<_>>().join(" ")
            };
            relay.spool.stored().iter().map(told).collect::<Vec<_>>()
        }
    };
    assert_eq!(rule(|_| {}).await, ["as usual", "as usual"]);
    assert_eq!(rule(|client| client.internal_only = Some(vec!["contoso.com".into()])).await, ["NEVER", "as usual"]);
    assert_eq!(
        rule(|client| client.recipients = vec!["boss@contoso.com".parse().unwrap()]).await,
        ["NEVER", "as usual"]
    );
    let owned = |client: &mut ClientEntry| {
        client.internal_only = Some(vec!["contoso.com".into()]);
        client.report_to = Some("<it@contoso.com>".parse().unwrap());
    };
    let named = |client: &mut ClientEntry| {
        client.internal_only = Some(vec!["contoso.com".into()]);
        client.senders = ["*", "*@elsewhere.example"].map(|pattern| pattern.parse().unwrap()).into();
    };
    assert_eq!(rule(named).await, ["as usual", "as usual"], "the administrator knows it");
    assert_eq!(rule(owned).await, ["as usual", "as usual"], "the owner hears of it");
}
