//! As whom mail goes out: the simulated Exchange Online refuses senders that the mailbox may not send as, and blocks a
//! mailbox that tries too often.

use mail_parser::MessageParser;
use sandbox::{Mailbox, Settings};

use crate::harness::smtp::{Session, accepted, id_in};
use crate::harness::{Relay, eventually};
use crate::refusals::Simulated;

const REFUSED: &str = "554 5.2.252";

/// A mailbox that may send as itself alone, as far as Exchange Online is concerned.
fn simulated(client: &str, more: &str) -> Simulated {
    simulated_with(Mailbox::new("relay@contoso.test"), client, more)
}

fn simulated_with(mailbox: Mailbox, client: &str, more: &str) -> Simulated {
    let mut settings = Settings::default();
    settings.tenant.mailboxes.retain(|other| other.address != mailbox.address);
    settings.tenant.mailboxes.insert(0, mailbox);
    Simulated::start_as(settings, client, more)
}

fn refusals(simulated: &Simulated) -> u64 {
    refusals_of(simulated, REFUSED)
}

fn refusals_of(simulated: &Simulated, code: &str) -> u64 {
    simulated.sandbox.statistics().refusals.get(code).copied().unwrap_or(0)
}

fn mailbox_granted(granted: &str) -> String {
    format!(r#"mailbox = [{{ address = "relay@contoso.test", granted = ["{granted}"] }}]"#)
}

/// Address, display name, Reply-To and the kept From of a message that arrived.
fn seen(raw: &[u8]) -> (String, Option<String>, Option<String>, Option<String>) {
    let message = MessageParser::default().parse(raw).unwrap();
    let from = message.from().unwrap().first().unwrap();
    let reply_to = message.reply_to().and_then(|list| list.first()).and_then(|one| one.address.as_deref());
    let kept = message.header_raw("X-Original-From").map(|value| value.trim().to_owned());
    (
        from.address.as_deref().unwrap().to_owned(),
        from.name.as_deref().map(str::to_owned),
        reply_to.map(str::to_owned),
        kept,
    )
}

#[test]
fn the_first_mail_of_any_printer_goes_out_as_the_mailbox_and_says_who_it_was() {
    let simulated = simulated("senders = [\"*\"]\ntenant = \"contoso\"", "");
    let relay = Relay::start(&simulated.config);
    let content = "From: \"Printer 3\" <scan@printer-3.local>\r\nSubject: Scan\r\n\r\nSee the attachment.";
    let reply = Session::open(relay.address(0)).mail("scan@printer-3.local", &["anna@example.test"], content);
    assert!(reply.starts_with("250 "), "{reply}");
    simulated.arrived(1);
    relay.drained();
    let message = &simulated.sandbox.messages()[0];
    assert_eq!(message.reverse_path, "<relay@contoso.test>".trim_matches(['<', '>']));
    let (from, name, reply_to, kept) = seen(&message.raw().unwrap());
    assert_eq!((from.as_str(), name.as_deref()), ("relay@contoso.test", Some("Printer 3")));
    assert_eq!(reply_to.as_deref(), Some("scan@printer-3.local"));
    assert_eq!(kept.as_deref(), Some("\"Printer 3\" <scan@printer-3.local>"));
    assert_eq!(refusals(&simulated), 0, "nothing was tried that would have been refused");
    let story = relay.json(&["message", &id_in(&reply), "--json"]).to_string();
    assert!(story.contains("sent as relay@contoso.test"), "{story}");
    simulated.stop();
}

#[test]
fn a_sender_that_is_refused_although_it_is_granted_goes_once_more_as_the_mailbox_and_is_never_tried_again() {
    let simulated = simulated("senders = [\"*@contoso.test\"]", &mailbox_granted("*@contoso.test"));
    let relay = Relay::start(&simulated.config);
    for n in 0..4 {
        accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], &format!("scan {n}"));
    }
    simulated.arrived(4);
    let counters = relay.drained();
    assert_eq!(counters["handed_over"], 4);
    assert_eq!(refusals(&simulated), 1);
    relay.kill();
    let relay = Relay::start(&simulated.config);
    accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], "scan 5");
    simulated.arrived(5);
    relay.drained();
    assert_eq!(refusals(&simulated), 1, "also after kill -9");
    simulated.stop();
}

#[test]
fn a_reverse_path_that_is_refused_at_mail_is_remembered_and_its_mail_goes_as_the_mailbox_or_is_held() {
    let mailbox = || Mailbox::new("relay@contoso.test").checks_reverse_path();
    let all = mailbox_granted("*@contoso.test");
    let simulated = simulated_with(mailbox(), "senders = [\"*@contoso.test\"]", &all);
    let relay = Relay::start(&simulated.config);
    let content = "From: <relay@contoso.test>\r\nSubject: scan\r\n\r\nHello.";
    for _ in 0..3 {
        let reply = Session::open(relay.address(0)).mail("printer@contoso.test", &["anna@example.test"], content);
        assert!(reply.starts_with("250 "), "{reply}");
    }
    simulated.arrived(3);
    assert_eq!(relay.drained()["handed_over"], 3);
    relay.kill();
    let relay = Relay::start(&simulated.config);
    accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], "scan 4");
    simulated.arrived(4);
    assert_eq!(relay.drained()["handed_over"], 1 + 3);
    assert!(simulated.sandbox.messages().iter().all(|message| message.reverse_path == "relay@contoso.test"));
    assert_eq!((refusals_of(&simulated, "550 5.7.60"), refusals(&simulated)), (1, 0));
    let status = relay.json(&["status", "--json"]);
    let refused = &status["lanes"][0]["refused_senders"][0];
    assert_eq!(refused["sender"], "printer@contoso.test");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("550 5.7.60")), "{status}");
    simulated.stop();

    let simulated = simulated_with(mailbox(), "senders = [\"*@contoso.test\"]\nrewrite = \"never\"", &all);
    let relay = Relay::start(&simulated.config);
    for n in 0..3 {
        accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], &format!("scan {n}"));
    }
    let held = eventually("all are held", || {
        let held = relay.json(&["queue", "--held", "--json"]);
        held.as_array().filter(|held| held.len() == 3).cloned()
    });
    assert!(held[0]["held"]["reason"].to_string().contains("Add-RecipientPermission"), "{held:?}");
    assert_eq!(refusals_of(&simulated, "550 5.7.60"), 1);
    simulated.stop();
}

#[test]
fn without_permission_to_rewrite_a_refused_sender_is_held_with_the_remedy_until_it_is_granted_and_released() {
    let simulated = simulated("senders = [\"*@contoso.test\"]\nrewrite = \"never\"", "");
    let relay = Relay::start(&simulated.config);
    for n in 0..6 {
        accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], &format!("scan {n}"));
    }
    let held = eventually("all are held", || {
        let held = relay.json(&["queue", "--held", "--json"]);
        held.as_array().filter(|held| held.len() == 6).cloned()
    });
    let reason = held[0]["held"]["reason"].to_string();
    for part in ["SendAs", "when-refused-otherwise", "posthouse release"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(refusals(&simulated), 1, "one message tried, five waited for what came of it");
    let alerts = relay.log.text().lines().filter(|line| line.contains("\"alert\":true")).count();
    assert_eq!(alerts, 1, "{}", relay.log.text());
    let story = relay.json(&["message", held[0]["id"].as_str().unwrap(), "--json"]);
    let waiting = story["story"].as_array().unwrap().iter().find(|step| step["event"] == "waiting").unwrap();
    assert!(waiting["reason"].as_str().is_some_and(|reason| reason.contains("5.2.252")), "{story}");
    assert_eq!((&story["attempts"], story["recipients"][0]["state"].as_str()), (&0.into(), Some("queued")));
    // Others are not concerned, and neither is the path.
    accepted(relay.address(0), "relay@contoso.test", &["anna@example.test"], "report");
    simulated.arrived(1);
    let status = relay.json(&["status", "--json"]);
    assert!(status["lanes"][0]["paused"].is_null(), "{status}");
    assert_eq!(status["lanes"][0]["refused_senders"][0]["sender"], "printer@contoso.test");
    simulated.sandbox.delete_messages();
    // Released before anything was granted: one more is tried, and all are held again.
    assert!(relay.command(&["release", "--client", "devices", "--held"]).status.success());
    eventually("they are held again", || {
        let held = relay.json(&["queue", "--held", "--json"]);
        (held.as_array()?.len() == 6 && refusals(&simulated) >= 2).then_some(())
    });
    assert_eq!(refusals(&simulated), 2);
    simulated.sandbox.change_tenant(|tenant| {
        tenant.mailboxes.iter_mut().for_each(|mailbox| mailbox.send_as.push("*@contoso.test".to_owned()));
    });
    assert!(relay.command(&["release", "--client", "devices", "--held"]).status.success());
    simulated.arrived(6);
    assert_eq!(relay.drained()["handed_over"], 7);
    assert_eq!(simulated.sandbox.messages()[0].from, ["printer@contoso.test"]);
    assert_eq!(refusals(&simulated), 2);
    simulated.stop();
}

#[test]
fn a_client_cannot_send_as_somebody_else_by_its_header_section() {
    let simulated = simulated("senders = [\"printer@contoso.test\"]", &mailbox_granted("*@contoso.test"));
    let relay = Relay::start(&simulated.config);
    let mut session = Session::open(relay.address(0));
    for header in [
        "From: <boss@contoso.test>",
        "From: printer@contoso.test, boss@contoso.test",
        "From: printer@contoso.test\r\nSender: boss@contoso.test",
        "From: team: boss@contoso.test;",
        "From: (printer@contoso.test) boss@contoso.test",
    ] {
        let content = format!("{header}\r\nSubject: pay\r\n\r\nNow.");
        let reply = session.mail("printer@contoso.test", &["anna@example.test"], &content);
        assert!(reply.starts_with("550 5.7.1 ") && reply.contains("senders"), "{header}: {reply}");
    }
    // Fields that nobody can read with certainty do not leave: the reverse-path stands in their place.
    for header in ["From: printer@contoso.test\r\nFrom: boss@contoso.test", "From: <boss@contoso.test", "X-From: none"]
    {
        let content = format!("{header}\r\nSubject: pay\r\n\r\nNow.");
        let reply = session.mail("printer@contoso.test", &["anna@example.test"], &content);
        assert!(reply.starts_with("250 ") || reply.starts_with("550 5.7.1 "), "{header}: {reply}");
    }
    relay.drained();
    for message in simulated.sandbox.messages() {
        let (from, ..) = seen(&message.raw().unwrap());
        assert!(["relay@contoso.test", "printer@contoso.test"].contains(&from.as_str()), "{from}");
        assert!(message.from.iter().all(|from| from != "boss@contoso.test"), "{:?}", message.from);
    }
    simulated.stop();
}
