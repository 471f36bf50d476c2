//! What is mended on the way out, what passes octet for octet, what a client's entry adds, and the copy for an archive.

use crate::harness::sink::Sink;
use crate::harness::smtp::{Session, id_in};
use crate::harness::{Relay, directory_with, eventually};

/// A relay with a smart host, and more keys of its client.
fn relay(sink: &Sink, client: &str) -> (tempfile::TempDir, Relay) {
    let (directory, config) = directory_with(&format!(
        r#"
        hostname = "relay.contoso.test"
        data_dir = "data"
        [[listener]]
        address = "127.0.0.1:0"
        [[tenant]]
        name = "contoso"
        id = "contoso.test"
        domains = ["contoso.test"]
        [[tenant.path]]
        name = "next"
        kind = "smarthost"
        address = "{}"
        tls = "none"
        [[client]]
        name = "devices"
        networks = ["127.0.0.0/8"]
        senders = ["*@contoso.test"]
        {client}
        "#,
        sink.address
    ));
    let relay = Relay::start(&config);
    (directory, relay)
}

const SOUND: &str = "From: \"Printer 3\" <printer@contoso.test>\r\nDate: Fri, 20 Nov 2026 22:32:07 +0000\r\n\
    Message-ID: <1@contoso.test>\r\nSubject: =?utf-8?q?T=C3=B6ner?=\r\n  folded\r\nX-Odd:   spaces \r\n\r\nHello.\r\n..\r\n";

/// Below our own trace field.
fn below_the_trace(content: &str) -> &str {
    let trace = content.strip_prefix("Received: ").expect("our trace field comes first");
    let end = trace.match_indices("\r\n").find(|(at, _)| !trace[at + 2..].starts_with(['\t', ' '])).unwrap().0;
    &trace[end + 2..]
}

#[test]
fn a_well_formed_message_passes_octet_for_octet() {
    let sink = Sink::start();
    let (_directory, relay) = relay(&sink, "");
    let stuffed = SOUND.replace("\r\n.", "\r\n..");
    let reply =
        Session::open(relay.address(0)).mail("printer@contoso.test", &["anna@example.test"], stuffed.trim_end());
    assert!(reply.starts_with("250 "), "{reply}");
    let taken = sink.wait_for(1);
    assert_eq!(below_the_trace(&taken[0].content), SOUND);
    relay.drained();
    let story = relay.json(&["message", &id_in(&reply), "--json"]).to_string();
    assert!(!story.contains("notes"), "{story}");
}

#[test]
fn what_a_device_leaves_out_is_put_in_what_is_forged_is_taken_out_and_the_story_says_so() {
    let sink = Sink::start();
    let (_directory, relay) = relay(&sink, "");
    let content = "Subject: Scan\r\nBcc: boss@contoso.test\r\nX-MS-Exchange-Organization-SCL: -1\r\n\
                   Content-Type: text/plain\r\n\r\none\ntwo\r\nend";
    let reply = Session::open(relay.address(0)).mail("printer@contoso.test", &["anna@example.test"], content);
    assert!(reply.starts_with("250 "), "{reply}");
    let taken = sink.wait_for(1)[0].content.clone();
    relay.drained();
    let id = id_in(&reply);
    for part in [
        "From: <printer@contoso.test>\r\n",
        "Date: ",
        &format!("Message-ID: <{id}@relay.contoso.test>"),
        "MIME-Version: 1.0\r\n",
        "one=0A",
    ] {
        assert!(taken.contains(part), "{part}: {taken}");
    }
    assert!(!taken.contains("Bcc") && !taken.to_lowercase().contains("x-ms-exchange-organization"), "{taken}");
    let parsed = mail_parser::MessageParser::default().parse(taken.as_bytes()).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "one\ntwo\r\nend");
    let story = relay.json(&["message", &id, "--json"]).to_string();
    for part in ["From", "Date", "Message-ID", "Bcc", "quoted-printable"] {
        assert!(story.contains(part), "{part}: {story}");
    }
    // What was received is still there, as it came.
    assert_eq!(sink.taken().len(), 1);
}

#[test]
fn a_client_can_be_rewritten_and_get_header_fields_of_its_own() {
    let sink = Sink::start();
    let client = r#"
        rewrite = "always"
        rewrite_to = "scan@contoso.test"
        rewritten = { display = "{name} via {client}", field = "X-Device" }
        headers = { add = { X-Department = "Finance" }, remove = ["X-Odd"] }
    "#;
    let (_directory, relay) = relay(&sink, client);
    let stuffed = SOUND.replace("\r\n.", "\r\n..");
    for _ in 0..2 {
        let reply =
            Session::open(relay.address(0)).mail("printer@contoso.test", &["anna@example.test"], stuffed.trim_end());
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let taken = sink.wait_for(2);
    assert_eq!(below_the_trace(&taken[0].content), below_the_trace(&taken[1].content), "the same every time");
    assert_eq!(taken[0].from, "scan@contoso.test");
    let content = &taken[0].content;
    for part in [
        "From: Printer 3 via devices <scan@contoso.test>\r\n",
        "Reply-To: \"Printer 3\" <printer@contoso.test>\r\n",
        "X-Device: \"Printer 3\" <printer@contoso.test>\r\n",
        "X-Department: Finance\r\n",
        "Message-ID: <1@contoso.test>\r\n",
    ] {
        assert!(content.replace("Reply-To: Printer 3", "Reply-To: \"Printer 3\"").contains(part), "{part}: {content}");
    }
    assert!(!content.contains("X-Odd"), "{content}");
}

#[test]
fn the_copy_for_an_archive_has_a_transaction_of_its_own_and_its_fate_is_an_operators_affair() {
    let sink =
        Sink::scripted(|line| line.contains("journal@contoso.test").then(|| "550 5.1.1 no such user".to_owned()));
    let (_directory, relay) = relay(&sink, "archive = \"journal@contoso.test\"");
    let reply = Session::open(relay.address(0)).mail("printer@contoso.test", &["anna@example.test"], SOUND.trim_end());
    assert!(reply.starts_with("250 "), "{reply}");
    sink.wait_for(1);
    let counters = relay.drained();
    assert_eq!(
        (&counters["accepted"], &counters["handed_over"], &counters["bounced"]),
        (&2.into(), &1.into(), &1.into())
    );
    // DATA goes with RCPT, so the sink sees a transaction without recipients, too.
    let taken: Vec<_> = sink.taken().into_iter().filter(|taken| !taken.to.is_empty()).collect();
    assert_eq!(
        (taken.len(), taken[0].to.as_slice()),
        (1, &["anna@example.test".to_owned()][..]),
        "no report to the sender"
    );
    eventually("an operator is told", || relay.log.text().contains("the archive <journal@contoso.test>").then_some(()));

    let sink = Sink::start();
    let (_directory, relay) = self::relay(&sink, "archive = \"journal@contoso.test\"");
    let mut session = Session::open(relay.address(0));
    assert!(session.mail("printer@contoso.test", &["anna@example.test"], SOUND.trim_end()).starts_with("250 "));
    let mut taken = sink.wait_for(2);
    taken.sort_by_key(|taken| taken.to.clone());
    assert_eq!(
        (taken[0].from.as_str(), taken[0].to.as_slice()),
        ("printer@contoso.test", &["anna@example.test".to_owned()][..])
    );
    assert_eq!((taken[1].from.as_str(), taken[1].to.as_slice()), ("", &["journal@contoso.test".to_owned()][..]));
    // Neither a message to the archive itself nor one with the null reverse-path is copied.
    assert!(session.mail("printer@contoso.test", &["journal@contoso.test"], SOUND.trim_end()).starts_with("250 "));
    assert!(session.mail("", &["anna@example.test"], SOUND.trim_end()).starts_with("250 "));
    sink.wait_for(4);
    assert_eq!(relay.drained()["handed_over"], 4);
}
