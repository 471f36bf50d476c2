//! `posthouse explain`: a code or a text without a running relay, a message with one; and every refusal of the relay itself
//! is known to it.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use m365::{Catalogue, Certainty, Origin};
use serde_json::Value;

use crate::harness::smtp::{Session, accepted};
use crate::harness::{Relay, binary, command, directory_with, eventually, smart_host};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// With this on standard input.
fn piped(input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(["explain", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever reads only the beginning closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_code_is_explained_without_configuration_and_without_a_relay() {
    let output = command(&["explain", "5.7.60", "--config", "/nowhere/posthouse.toml"]);
    assert!(output.status.success(), "{output:?}");
    for part in ["meaning:", "whose move:", "Add-RecipientPermission", "the relay:", "https://learn.microsoft.com/"] {
        assert!(text(&output).contains(part), "{part} is not in\n{}", text(&output));
    }
    let output = command(&["explain", "--json", "AADSTS7000222"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["explanations"][0]["code"], "AADSTS7000222");
    assert_eq!(json["explanations"][0]["whose_move"], "tenant");
    assert_eq!(json["explanations"][0]["certainty"], "certain");
}

#[test]
fn words_are_joined_and_standard_input_is_read_to_a_bound() {
    let output =
        command(&["explain", "535", "5.7.139", "Authentication unsuccessful, basic authentication is disabled."]);
    assert!(output.status.success() && text(&output).contains("certain"), "{output:?}");
    let report = "Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found";
    let output = piped(report);
    assert!(output.status.success() && text(&output).contains("Correct the address"), "{output:?}");
    let output = piped(&format!("{report}\n{}", "x".repeat(1_000_000)));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_is_unknown_ends_with_status_1_and_says_what_the_first_digit_means() {
    let output = command(&["explain", "450 4.9.9 new words"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("Refused for now"), "{output:?}");
    let output = command(&["explain", "hello there"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: "), "{output:?}");
    assert_eq!(command(&["explain"]).status.code(), Some(2));
    // An id needs the relay, and says so.
    assert_eq!(command(&["explain", "0D5M3K8Q2V7XA", "--socket", "/nowhere/admin.sock"]).status.code(), Some(4));
}

#[test]
fn a_message_is_told_from_its_session_to_what_happens_next() {
    // Nobody listens there.
    let (_directory, config) = smart_host("127.0.0.1:9".parse().unwrap(), "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "printer@contoso.test", &["anna@example.com"], "toner");
    let told = eventually("an attempt has failed", || {
        let output = relay.command(&["explain", &id]);
        assert!(output.status.success(), "{output:?}");
        Some(text(&output)).filter(|told| told.contains("waiting: "))
    });
    for part in [
        id.as_str(),
        "client entry `devices`",
        "device.contoso.test",
        "<anna@example.com>",
        "accepted: on stable storage",
        "next:",
        "goes through contoso/next",
        "posthouse retry",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    let json = relay.json(&["explain", &id, "--json"]);
    assert_eq!(json["message"]["id"], id.as_str());
    assert!(json["next"].as_array().is_some_and(|next| !next.is_empty()), "{json}");
}

/// It is known for certain as ours, with a remedy; gives its row's words.
#[track_caller]
fn ours(reply: &str) -> String {
    let found = Catalogue::builtin().explain(reply);
    let first = found.first().unwrap_or_else(|| panic!("unknown: {reply}"));
    assert_eq!((first.origin, first.certainty), (Origin::Relay, Certainty::Certain), "{reply}\n{found:#?}");
    assert!(!first.meaning.is_empty() && !first.remedy.is_empty());
    first.text.clone().unwrap()
}

/// What `"[45]dd x.y.z …"` literals there are in a source file.
fn literals(source: &str) -> BTreeSet<&str> {
    let refuses = |text: &&str| {
        let bytes = text.as_bytes();
        text.len() > 10
            && matches!(bytes[0], b'4' | b'5')
            && bytes[3] == b' '
            && bytes[4] == bytes[0]
            && bytes[5] == b'.'
    };
    source.split('"').filter(refuses).collect()
}

#[test]
fn every_refusal_that_the_machine_says_by_itself_is_explained() {
    let replies = literals(include_str!("../../../smtp/src/server/replies.rs"));
    assert!(replies.len() > 35, "{replies:#?}");
    for reply in replies {
        ours(reply);
    }
}

#[test]
fn every_refusal_of_admission_and_storage_has_a_row_with_its_code() {
    let sources = [
        include_str!("../../../inbound/src/admission.rs"),
        include_str!("../../../inbound/src/conversation.rs"),
        include_str!("../../../inbound/src/incoming.rs"),
        include_str!("../../../inbound/src/listen.rs"),
        include_str!("../../../inbound/src/session.rs"),
    ];
    let catalogue = Catalogue::builtin();
    let known: BTreeSet<&str> = catalogue.own().iter().map(|own| own.code.as_str()).collect();
    let mut found = 0;
    for source in sources {
        let source = source.split("#[cfg(test)]").next().unwrap();
        for status in source.split("EnhancedStatus::new(").skip(1).filter_map(|rest| rest.split(')').next()) {
            let code = status.replace(", ", ".");
            if code.starts_with(['4', '5']) {
                found += 1;
                assert!(known.contains(code.as_str()), "no row of own.toml has {code}");
            }
        }
    }
    assert!(found > 10, "{found}");
}

/// Provokes a refusal; what was said last, before the relay closed.
fn refused(address: SocketAddr, commands: &[&str]) -> String {
    let mut session = Session::connect(address);
    let replies = commands.iter().map(|command| session.say(command));
    let last = replies.take_while(|reply| !reply.is_empty()).last().unwrap();
    assert!(last.starts_with(['4', '5']), "{commands:?}: {last}");
    last
}

#[test]
fn the_relays_refusals_to_devices_are_explained_as_they_are_said() {
    let (_directory, config) = directory_with(
        r#"
        hostname = "relay.contoso.test"
        data_dir = "data"
        [[listener]]
        name = "plain"
        address = "127.0.0.1:0"
        auth_without_tls = true
        [[listener]]
        name = "only TLS"
        address = "127.0.0.1:0"
        tls = "required"
        [[listener]]
        name = "usual"
        address = "127.0.0.1:0"
        [limits]
        recipients = 1
        errors = 3
        header_section = "4 KiB"
        [[client]]
        name = "erp"
        senders = ["billing@contoso.test"]
        users = [{ name = "erp", password = "right" }]
        [[client]]
        name = "devices"
        networks = ["127.0.0.0/8"]
        size = "64 KiB"
        [[tenant]]
        name = "contoso"
        id = "contoso.test"
        domains = ["contoso.test"]
        [[tenant.path]]
        name = "next"
        kind = "smarthost"
        address = "127.0.0.1:9"
        tls = "none"
        "#,
    );
    let relay = Relay::start(&config);
    let [plain, only_tls, usual] = ["plain", "only TLS", "usual"].map(|name| relay.listener(name));
    let hello = "EHLO device.contoso.test";
    let from = "MAIL FROM:<printer@contoso.test>";
    let to = "RCPT TO:<anna@example.com>";
    let right_login = format!("AUTH PLAIN {}", base64_of("\0erp\0right"));
    let wrong_login = format!("AUTH PLAIN {}", base64_of("\0erp\0wrong"));
    let large = "X-Large: ".to_owned() + &"x".repeat(5000) + "\r\n\r\n.";
    let loops = "Received: from a by b;\r\n".repeat(51) + "\r\n.";
    let cases: &[(SocketAddr, &[&str], &str)] = &[
        (plain, &[hello, &right_login, from], "may not send as"),
        (plain, &[hello, "MAIL FROM:<boss@fabrikam.test>"], "no path for <"),
        (plain, &[hello, "MAIL FROM:<printer@contoso.test> SIZE=1000000"], "this client may send"),
        (plain, &[hello, from, to, "DATA", &large], "header section"),
        (plain, &[hello, from, to, "DATA", &loops], "mail loop"),
        (plain, &[hello, from, to, "RCPT TO:<bob@example.com>"], "Too many recipients"),
        (plain, &[hello, from, "RCPT TO:<nobody>"], "Bad address"),
        (plain, &[hello, "MAIL FROM:<nobody>"], "Bad address"),
        (plain, &[hello, "MAIL FROM:<printer@contoso.test> FOO=1"], "is not offered here"),
        (plain, &[hello, "MAIL FROM:<printer@contoso.test> BODY=9BIT"], "Not a valid value"),
        (plain, &[hello, from, "DATA"], "No valid recipients"),
        (plain, &[hello, "DATA"], "Send MAIL first"),
        (plain, &[hello, &wrong_login], "user name or password is wrong"),
        (plain, &[hello, "AUTH CRAM-MD5"], "mechanism not supported"),
        (plain, &["GET / HTTP/1.1"], "Command not recognised"),
        (plain, &["BLAH", "BLAH", "BLAH", "BLAH", "BLAH", "BLAH"], "Too many"),
        (plain, &[from], "Send EHLO or HELO first"),
        (plain, &["EHLO"], "EHLO and HELO need"),
        (usual, &[hello, &wrong_login], "Encryption is needed"),
        (only_tls, &[hello, from], "Send STARTTLS first"),
    ];
    for (address, commands, words) in cases {
        let said = refused(*address, commands);
        let row = ours(&said);
        assert!(
            row.to_lowercase().contains(&words.to_lowercase()),
            "{said:?} is explained as {row:?}, not as {words:?}"
        );
    }
}

#[test]
fn a_stranger_is_told_what_would_let_it_in_and_so_is_its_administrator() {
    let (_directory, config) = smart_host("127.0.0.1:9".parse().unwrap(), "");
    let elsewhere = std::fs::read_to_string(&config).unwrap().replace("127.0.0.0/8", "10.0.0.0/8");
    std::fs::write(&config, elsewhere).unwrap();
    let relay = Relay::start(&config);
    let said = refused(relay.address(0), &["EHLO device.contoso.test", "MAIL FROM:<printer@contoso.test>"]);
    assert!(ours(&said).contains("no client entry"), "{said}");
    let output = command(&["explain", &said]);
    assert!(text(&output).contains("client.networks"), "{output:?}");
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn every_key_that_a_refusal_names_is_a_key_of_the_configuration() {
    let page = config::reference_markdown();
    for own in Catalogue::builtin().own() {
        for key in &own.keys {
            let last = key.rsplit('.').next().unwrap();
            assert!(page.contains(&format!("- **`{last}`**")), "{key}");
        }
    }
}
