//! `posthouse try`: every decision about a message that is never sent, with and without a running relay.

use std::path::Path;
use std::process::Output;

use sandbox::{Mailbox, Settings};

use crate::harness::smtp::{Session, accepted};
use crate::harness::{Relay, command, directory_with, eventually};
use crate::refusals::Simulated;

/// A mailbox that rewrites what it may not send as; nobody answers the DNS.
fn configuration(client: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    directory_with(&format!(
        r#"
        hostname = "relay.contoso.test"
        data_dir = "data"
        [[listener]]
        name = "office"
        address = "127.0.0.1:0"
        [[client]]
        name = "printers"
        networks = ["10.0.0.0/8"]
        {client}
        [[tenant]]
        name = "contoso"
        id = "contoso.test"
        domains = ["contoso.test"]
        credential = {{ client_id = "66666666-7777-8888-9999-000000000000", client_secret = {{ env = "UNUSED" }} }}
        path = [{{ kind = "submission", mailbox = "relay@contoso.test" }}]
        [dns]
        servers = ["127.0.0.1:1"]
        timeout = "1s"
        "#
    ))
}

fn ask(config: &Path, arguments: &[&str]) -> Output {
    command(&[&["try", "--config", config.to_str().unwrap()], arguments].concat())
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Exit status, and each part stands in the output.
fn check(output: &Output, status: i32, parts: &[&str]) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

const PRINTER: [&str; 6] = ["--from-ip", "10.1.2.3", "--mail-from", "scan@contoso.test", "--rcpt", "anna@example.test"];

fn printer<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [PRINTER.as_slice(), more].concat()
}

#[test]
fn a_stranger_is_refused_with_the_reply_that_the_device_would_see() {
    let (_directory, config) = configuration("");
    let arguments = ["--from-ip", "192.0.2.7", "--mail-from", "scan@contoso.test", "--rcpt", "anna@example.test"];
    let reply = "550 5.7.1 relaying denied: no client entry of this relay lets 192.0.2.7 in";
    let output = ask(&config, &arguments);
    check(&output, 1, &["REFUSED: 550 5.7.1", &format!("reply        {reply}"), "refused; nothing was sent"]);
    assert!(!text(&output).contains("path contoso/"), "where it would go is not asked any more");
}

#[test]
fn a_printer_is_shown_before_and_after_with_its_path_its_budgets_and_without_the_dns() {
    let (_directory, config) = configuration("senders = [\"*\"]");
    let output =
        ask(&config, &printer(&["--header-from", "Printer 3 <scan@contoso.test>", "--size", "12M", "--no-dns"]));
    let parts = [
        "listener     office at 127.0.0.1:0",
        "client       printers: network of (network), lets in",
        "size         12582912 octets",
        "taken to be From: Printer 3 <scan@contoso.test>",
        "reply        250 2.0.0 OK queued",
        "relay        no relay answers at ",
        "path contoso/submission/relay@contoso.test: submission smtp.office365.com:587, mailbox relay@contoso.test",
        "sent as      relay@contoso.test: scan@contoso.test is neither an alias",
        "reverse-path before  <scan@contoso.test>",
        "after   <relay@contoso.test>",
        "From         before  Printer 3 <scan@contoso.test>",
        "after   Printer 3 <relay@contoso.test>",
        "Reply-To     before  (none)",
        "signed       by Microsoft",
        "recipients a day: takes 1, of 10,000",
        "accepted; nothing was sent",
    ];
    check(&output, 0, &parts);
    assert!(!text(&output).contains("DMARC"), "{}", text(&output));
}

#[test]
fn what_the_client_entry_refuses_is_told_with_the_key_that_would_allow_it() {
    for (client, arguments, parts) in [
        (
            "senders = [\"scan@contoso.test\"]",
            ["--header-from", "Boss <boss@contoso.test>"],
            ["reply        550 5.7.1 client \"printers\" may not send mail from <boss@contoso.test>", "senders of its"],
        ),
        (
            "internal_only = true",
            ["--helo", "copier"],
            ["REFUSED: 550 5.7.1 client \"printers\" may not send to <anna@example.test>", "internal_only of its"],
        ),
        ("size = \"1 MiB\"", ["--size", "2M"], ["reply        552 5.3.4", "printers"]),
        ("", ["--listener", "nowhere"], ["reply        421 4.3.2", "listener     nowhere"]),
    ] {
        let (_directory, config) = configuration(client);
        check(&ask(&config, &printer(&[arguments.as_slice(), &["--no-dns"]].concat())), 1, &parts);
    }
}

#[test]
fn trouble_with_the_dns_is_told_and_is_no_refusal() {
    let (_directory, config) = configuration("");
    let output = ask(&config, &printer(&[]));
    check(
        &output,
        0,
        &["SPF          unknown", "DKIM         unknown", "DMARC        unknown", "could not be looked up"],
    );
}

#[test]
fn a_message_in_a_file_is_judged_by_its_header_section_and_size() {
    let (directory, config) = configuration("senders = [\"scan@contoso.test\"]\nrewrite = \"never\"");
    let write = |name: &str, from: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, format!("From: {from}\nSubject: x\n\nbody\n")).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let json = |file: &str, status: i32| -> serde_json::Value {
        let output = ask(&config, &printer(&["--file", file, "--json", "--no-dns"]));
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let own = json(&write("own.eml", "scan@contoso.test"), 0);
    assert_eq!(
        (&own["accepted"], &own["held"], &own["relay"]["answers"]),
        (&true.into(), &false.into(), &false.into())
    );
    assert_eq!(own["lanes"][0]["sent_as"], "as-it-is");
    let size = own["steps"].as_array().unwrap().iter().find(|step| step["subject"] == "size").unwrap();
    assert_eq!(size["words"], "45 octets");
    let changes = own["lanes"][0]["changes"].to_string();
    assert!(changes.contains("Date"), "it has none, and gets one: {changes}");
    let boss = json(&write("boss.eml", "boss@contoso.test"), 1);
    assert!(boss["reply"].as_str().unwrap().starts_with("550 5.7.1"), "{boss}");
    assert_eq!(boss["lanes"], serde_json::json!([]));
    let missing = ask(&config, &printer(&["--file", "/nonexistent"]));
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot read the message"), "{missing:?}");
    assert_eq!(ask(&config, &printer(&["--size", "much"])).status.code(), Some(2));
}

#[test]
fn a_running_relay_tells_what_is_used_and_which_sender_was_refused() {
    let mut settings = Settings::default();
    settings.tenant.mailboxes.retain(|mailbox| mailbox.address != "relay@contoso.test");
    settings.tenant.mailboxes.insert(0, Mailbox::new("relay@contoso.test"));
    let simulated = Simulated::start_as(settings, "senders = [\"*@contoso.test\"]\nrewrite = \"never\"", "");
    let relay = Relay::start(&simulated.config);
    let arguments = |from| ["--from-ip", "127.0.0.1", "--mail-from", from, "--rcpt", "anna@example.test", "--no-dns"];
    let parts =
        ["relay        runs, and takes mail", "recipients a day: takes 1, 0 of 10,000 used", "sent as      it is"];
    check(&ask(&simulated.config, &arguments("printer@contoso.test")), 0, &parts);
    accepted(relay.address(0), "relay@contoso.test", &["anna@example.test"], "goes");
    simulated.arrived(1);
    relay.drained();
    check(&ask(&simulated.config, &arguments("relay@contoso.test")), 0, &["takes 1, 1 of 10,000 used"]);
    let content = "From: <printer@contoso.test>\r\nSubject: refused\r\n\r\nHello.";
    let reply = Session::open(relay.address(0)).mail("printer@contoso.test", &["anna@example.test"], content);
    assert!(reply.starts_with("250 "), "try was right so far: {reply}");
    let held = eventually("the sender is known to be refused", || {
        let output = ask(&simulated.config, &arguments("printer@contoso.test"));
        (output.status.code() == Some(1)).then_some(output)
    });
    check(&held, 1, &["reply        250 2.0.0", "HELD: ", "5.2.252", "hint: ", "accepted, and then held"]);
    assert_eq!(simulated.sandbox.messages().len(), 1, "nothing that was only tried was sent");
    simulated.stop();
}
