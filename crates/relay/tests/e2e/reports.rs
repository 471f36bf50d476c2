//! Who is told when mail does not arrive: the sender, or the owner of a device that reads no mail.

use sandbox::{Fault, Step};

use crate::harness::sink::{Sink, Taken};
use crate::harness::smtp::{Session, accepted};
use crate::harness::{Relay, eventually, smart_host};
use crate::refusals::Simulated;

/// Refuses everybody at `nobody.test`.
fn sink() -> Sink {
    Sink::scripted(|line| {
        (line.starts_with("RCPT") && line.contains("@nobody.test"))
            .then(|| "550 5.1.1 <x@nobody.test> User unknown".to_owned())
    })
}

/// The report among what the next hop took.
fn report(sink: &Sink) -> Taken {
    eventually("a report at the next hop", || {
        sink.taken().into_iter().find(|taken| taken.content.contains("multipart/report"))
    })
}

#[test]
fn a_sender_gets_a_delivery_status_notification_with_the_null_reverse_path() {
    let sink = sink();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "erp@contoso.test", &["anna@nobody.test", "bob@example.test"], "invoice 7");
    let report = report(&sink);
    assert_eq!((report.from.as_str(), report.to.as_slice()), ("", &["erp@contoso.test".to_owned()][..]));
    for part in [
        "report-type=delivery-status",
        "Content-Type: message/delivery-status",
        "Content-Type: text/rfc822-headers",
        "Reporting-MTA: dns; relay.contoso.test",
        "Final-Recipient: rfc822; anna@nobody.test",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1",
        "Subject: invoice 7",
        "Auto-Submitted: auto-replied",
        &id,
    ] {
        assert!(report.content.contains(part), "{part} is not in\n{}", report.content);
    }
    assert!(!report.content.contains("Final-Recipient: rfc822; bob@example.test"), "{}", report.content);
    let story = relay.json(&["message", &id, "--json"]).to_string();
    assert!(story.contains("reported"), "{story}");
    let counters = relay.drained();
    assert_eq!(counters["conserved"], true);
}

#[test]
fn what_a_sender_asks_for_with_notify_is_followed() {
    let sink = sink();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let mut session = Session::open(relay.address(0));
    let mut send = |mail: &str, rcpt: &str, subject: &str| {
        assert!(session.say(&format!("MAIL FROM:<erp@contoso.test>{mail}")).starts_with("250"));
        assert!(session.say(&format!("RCPT TO:{rcpt}")).starts_with("250"));
        assert!(session.say("DATA").starts_with("354"));
        assert!(
            session.say(&format!("From: erp@contoso.test\r\nSubject: {subject}\r\n\r\nText.\r\n.")).starts_with("250")
        );
    };
    send("", "<a@nobody.test> NOTIFY=NEVER", "silent");
    send("", "<b@nobody.test> NOTIFY=DELAY", "only delays");
    send(" ENVID=QQ314159", "<c@example.test> NOTIFY=SUCCESS ORCPT=rfc822;first@example.test", "wanted");
    let relayed = report(&sink);
    for part in ["Action: relayed", "Original-Envelope-Id: QQ314159", "Original-Recipient: rfc822; first@example.test"]
    {
        assert!(relayed.content.contains(part), "{part} is not in\n{}", relayed.content);
    }
    send(" RET=FULL", "<d@nobody.test> NOTIFY=FAILURE", "whole");
    relay.drained();
    let reports: Vec<_> = sink.taken().into_iter().filter(|taken| taken.from.is_empty()).collect();
    assert_eq!(reports.len(), 2, "{reports:?}");
    let failed = &reports[1].content;
    assert!(failed.contains("Content-Type: message/rfc822") && failed.contains("\r\n\r\nText.\r\n"), "{failed}");
}

#[test]
fn the_null_reverse_path_is_never_answered_and_a_report_that_bounces_makes_no_other() {
    let sink = Sink::scripted(|line| line.starts_with("RCPT").then(|| "550 5.1.1 User unknown".to_owned()));
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let reply = Session::open(relay.address(0)).mail("", &["a@nobody.test"], "Subject: a bounce\r\n\r\nText.");
    assert!(reply.starts_with("250"), "{reply}");
    accepted(relay.address(0), "erp@contoso.test", &["b@nobody.test"], "invoice");
    let counters = eventually("all is settled", || {
        Some(relay.counters()).filter(|counters| counters["queued"] == 0 && counters["bounced"] == 3)
    });
    assert_eq!(counters["accepted"], 3, "two messages and one report: {counters}");
    assert!(sink.taken().iter().all(|taken| taken.to.is_empty()), "{:?}", sink.taken());
}

#[test]
fn by_a_mailbox_the_owner_of_a_device_is_told_and_many_bounces_of_one_cause_make_a_digest() {
    let simulated = Simulated::start();
    let text = std::fs::read_to_string(&simulated.config).unwrap();
    let text = text.replace("name = \"devices\"", "name = \"devices\"\nowner = \"it@contoso.test\"");
    std::fs::write(&simulated.config, text + "\n[reports]\ndigest = \"5s\"\n").unwrap();
    let refusal = Fault::at(Step::Rcpt).reply("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found");
    simulated.sandbox.add_fault(refusal.recipient("*@nobody.test")).unwrap();
    let relay = Relay::start(&simulated.config);
    for n in 0..6 {
        accepted(relay.address(0), "relay@contoso.test", &[&format!("r{n}@nobody.test")], &format!("scan {n}"));
    }
    // Three by themselves, the others together.
    simulated.arrived(4);
    let told = simulated.sandbox.messages();
    assert!(told.iter().all(|message| message.is_for("it@contoso.test")), "only the owner is told");
    assert!(told.iter().all(|message| message.reverse_path == "relay@contoso.test"), "a mailbox sends as itself");
    let failed_in = |text: &str| (0..6).filter(|n| text.contains(&format!("r{n}@nobody.test"))).collect::<Vec<_>>();
    let texts = told.iter().map(|message| String::from_utf8_lossy(&message.raw().unwrap()).into_owned());
    let mut failed: Vec<_> = texts.map(|text| failed_in(&text)).collect();
    failed.sort_by_key(Vec::len);
    assert_eq!(failed.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 3], "three singly, three in the digest");
    let mut all = failed.concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5], "each is told of once");
    relay.drained();
    simulated.stop();
}
