//! Mail through the relay: what arrives is what was sent, to whom it was sent.

use crate::harness::sink::{Sink, dead_address};
use crate::harness::smtp::{Session, accepted, id_in};
use crate::harness::{Relay, smart_host};

#[test]
fn what_a_device_sends_arrives_byte_for_byte_below_one_trace_field() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let content = "From: <a@contoso.test>\r\nMessage-ID: <1@contoso.test>\r\nSubject: bytes\r\n\r\n..two dots\r\n.one dot\r\n\r\nend";
    let reply = Session::open(relay.address(0)).mail("a@contoso.test", &["b@example.test"], content);
    let taken = sink.wait_for(1).remove(0);
    // The client here stuffs no dots: a leading one is taken off as RFC 5321 §4.5.2 wants.
    let sent = "From: <a@contoso.test>\r\nMessage-ID: <1@contoso.test>\r\nSubject: bytes\r\n\r\n.two dots\r\none dot\r\n\r\nend\r\n";
    let (trace, rest) = taken.content.split_at(taken.content.find("From: ").unwrap());
    assert_eq!(rest, sent);
    assert!(trace.starts_with("Received: from device.contoso.test"), "{trace}");
    assert!(trace.contains(&id_in(&reply)), "{trace} {reply}");
    assert_eq!(trace.matches("Received:").count(), 1);
}

#[test]
fn a_message_without_a_message_id_gets_one_and_is_otherwise_as_it_was() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let reply =
        Session::open(relay.address(0)).mail("a@contoso.test", &["b@example.test"], "Subject: no id\r\n\r\nText.");
    let taken = sink.wait_for(1).remove(0);
    let given = format!("Message-ID: <{}@relay.contoso.test>\r\n", id_in(&reply));
    let whole = format!("\r\n{given}Subject: no id\r\n\r\nText.\r\n");
    assert!(taken.content.starts_with("Received: from ") && taken.content.ends_with(&whole), "{}", taken.content);
}

#[test]
fn exactly_the_envelopes_recipients_get_it_whatever_the_header_says() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let content =
        "From: <a@contoso.test>\r\nTo: header-only@example.test\r\nBcc: hidden@example.test\r\nSubject: x\r\n\r\nx";
    let reply =
        Session::open(relay.address(0)).mail("a@contoso.test", &["one@example.test", "two@example.test"], content);
    assert!(reply.starts_with("250 "), "{reply}");
    let taken = sink.wait_for(1).remove(0);
    assert_eq!(taken.to, ["one@example.test", "two@example.test"]);
    assert_eq!(taken.from, "a@contoso.test");
    let counters = relay.drained();
    assert_eq!((counters["accepted"].clone(), counters["handed_over"].clone()), (2.into(), 2.into()));
}

#[test]
fn a_smuggled_second_message_stays_content_and_leaves_encoded() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let smuggled = "Subject: outer\r\n\r\nx\n.\nMAIL FROM:<evil@contoso.test>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\ninner\r\n\r.\r\nstill";
    let reply = Session::open(relay.address(0)).mail("a@contoso.test", &["b@example.test"], smuggled);
    assert!(reply.starts_with("250 "), "{reply}");
    relay.drained();
    let taken = sink.taken();
    assert_eq!(taken.len(), 1);
    let message = mail_parser::MessageParser::default().parse(taken[0].content.as_bytes()).unwrap();
    let (_, body) = smuggled.split_once("\r\n\r\n").unwrap();
    assert_eq!(message.body_text(0).unwrap().trim_end(), body, "{:?}", taken[0].content);
    assert!(taken[0].content.replace("\r\n", "").chars().all(|c| c != '\r' && c != '\n'));
}

#[test]
fn mail_waits_while_the_next_hop_is_dead_and_goes_when_it_lives_again() {
    let next_hop = dead_address();
    let (_directory, config) = smart_host(next_hop, "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "patience");
    crate::harness::eventually("an attempt has failed", || {
        let message = relay.json(&["message", &id, "--json"]);
        (message["story"].as_array().unwrap().len() > 1).then_some(())
    });
    let sink = Sink::at(next_hop);
    let probed = relay.command(&["retry", "--path", "contoso/next"]);
    assert!(probed.status.success(), "{probed:?}");
    assert_eq!(sink.wait_for(1)[0].subject(), "patience");
    let counters = relay.drained();
    assert_eq!(counters["bounced"], 0);
}

#[test]
fn one_bad_recipient_fails_alone() {
    let sink = Sink::scripted(|line| line.starts_with("RCPT TO:<bad@").then(|| "550 5.1.1 no such user".to_owned()));
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "a@contoso.test", &["good@example.test", "bad@example.test"], "two");
    assert_eq!(sink.wait_for(1)[0].to, ["good@example.test"]);
    let counters = relay.drained();
    // The good one, and the report about the bad one to their sender.
    assert_eq!((&counters["handed_over"], &counters["bounced"]), (&2.into(), &1.into()));
    let message = relay.json(&["message", &id, "--json"]);
    assert_eq!(message["recipients"][1]["state"], "bounced");
    assert_eq!(message["recipients"][1]["remote"]["status"], "5.1.1");
}

#[test]
fn a_link_that_breaks_after_the_last_byte_is_unconfirmed_and_tried_again() {
    let broken = std::sync::atomic::AtomicBool::new(false);
    // An empty reply: the sink keeps the message and closes without a word.
    let sink = Sink::scripted(move |line| {
        (line == "." && !broken.swap(true, std::sync::atomic::Ordering::SeqCst)).then(String::new)
    });
    let (_directory, config) = smart_host(sink.address, "[queue]\nretry = [\"1s\"]");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "twice");
    assert_eq!(sink.wait_for(2).len(), 2);
    relay.drained();
    let story = relay.json(&["message", &id, "--json"])["story"].to_string();
    assert!(story.contains("unconfirmed") && story.contains("handed-over"), "{story}");
}

#[test]
fn nobody_relays_without_a_client_entry() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let text = std::fs::read_to_string(&config).unwrap().replace("127.0.0.0/8", "10.20.0.0/16");
    std::fs::write(&config, text).unwrap();
    let relay = Relay::start(&config);
    let reply = Session::open(relay.address(0)).mail("a@contoso.test", &["b@example.test"], "Subject: x\r\n\r\nx");
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
    assert!(reply.contains("127.0.0.1") && reply.contains("[[client]]"), "it says what to add: {reply}");
}

#[test]
fn a_large_message_streams_through_whole() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let body = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n".repeat(300_000);
    let reply = Session::open(relay.address(0)).mail(
        "a@contoso.test",
        &["b@example.test"],
        &format!("Subject: big\r\n\r\n{body}"),
    );
    assert!(reply.starts_with("250 "), "{reply}");
    let taken = sink.wait_for(1).remove(0);
    assert!(taken.content.ends_with(&format!("\r\n\r\n{body}\r\n")));
}
