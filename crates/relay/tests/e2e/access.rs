//! Who may send what, on the real binary: by certificate, by the most specific entry, to whom, as whom, how much.

use std::process::{Command, Stdio};

use crate::clients::installed;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Session, accepted};
use crate::harness::{Relay, binary, directory_with};

fn configuration(sink: &Sink, clients: &str) -> String {
    format!(
        r#"
        hostname = "localhost.contoso.test"
        data_dir = "data"
        [[listener]]
        name = "smtp"
        address = "127.0.0.1:0"
        {clients}
        [[tenant]]
        name = "contoso"
        domains = ["contoso.test"]
        [[tenant.path]]
        name = "next"
        kind = "smarthost"
        address = "{}"
        tls = "none"
        "#,
        sink.address
    )
}

#[test]
fn the_most_specific_entry_bounds_senders_recipients_and_numbers() {
    let sink = Sink::start();
    let clients = r#"
        [[client]]
        name = "all"
        networks = ["127.0.0.0/8"]
        [[client]]
        name = "copier"
        networks = ["127.0.0.1"]
        senders = ["copier@contoso.test"]
        internal_only = true
        recipient_map = { "*@old.test" = "*@contoso.test" }
        messages_per_minute = 1
    "#;
    let (_directory, config) = directory_with(&configuration(&sink, clients));
    let relay = Relay::start(&config);
    let mut session = Session::open(relay.listener("smtp"));
    let from = |author: &str| format!("From: <{author}>\r\n\r\nHello.");
    for (to, author, expected) in [
        ("a@fabrikam.test", "copier@contoso.test", "550 5.7.1 client \"copier\" may not send to"),
        ("a@contoso.test", "boss@contoso.test", "550 5.7.1 client \"copier\" may not send mail from"),
        ("a@old.test", "copier@contoso.test", "250 2.0.0"),
        ("a@old.test", "copier@contoso.test", "450 4.7.1 client \"copier\" may send 1 messages a minute"),
    ] {
        let reply = session.mail("copier@contoso.test", &[to], &from(author));
        assert!(reply.starts_with(expected), "{reply}");
        session.say("RSET");
    }
    assert_eq!(sink.wait_for(1).remove(0).to, ["a@contoso.test"]);
    let log = relay.log.text();
    assert!(log.contains("copier: network of (network), lets in; all: network of (network), lets in"), "{log}");
}

#[test]
fn a_client_certificate_lets_in() {
    if !installed("python3") {
        return;
    }
    let sink = Sink::start();
    let (directory, config) = directory_with("");
    let device = rcgen::generate_simple_self_signed(["copier.contoso.test".to_owned()]).unwrap();
    for (name, text) in [("c.pem", device.cert.pem()), ("k.pem", device.signing_key.serialize_pem())] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let pin = inbound::Fingerprint::of(device.cert.der());
    let clients = format!("[[client]]\nname = \"copier\"\ncertificates = [\"sha256:{pin}\"]\n");
    std::fs::write(&config, configuration(&sink, &clients)).unwrap();
    let relay = Relay::start(&config);
    let refused = Session::open(relay.listener("smtp")).say("MAIL FROM:<copier@contoso.test>");
    assert!(
        refused.starts_with("530 5.7.0 Authentication required: send STARTTLS and show a client certificate"),
        "{refused}"
    );
    let script = format!(
        "import smtplib, ssl\n\
         context = ssl._create_unverified_context()\n\
         context.load_cert_chain({:?}, {:?})\n\
         with smtplib.SMTP('127.0.0.1', {}, timeout=60) as relay:\n\
        \x20   relay.starttls(context=context)\n\
        \x20   relay.sendmail('copier@contoso.test', ['anna@example.test'], 'From: copier@contoso.test\\r\\n\\r\\nHello.')\n",
        directory.path().join("c.pem"),
        directory.path().join("k.pem"),
        relay.listener("smtp").port()
    );
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}\n{}", relay.log.text());
    assert_eq!(sink.wait_for(1).remove(0).from, "copier@contoso.test");
}

#[test]
fn what_posthouse_password_prints_is_a_password_hash() {
    use std::io::Write;
    let mut child = Command::new(binary())
        .arg("password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"s3cret\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !output.stderr.is_empty(), "{output:?}");
    let hash = String::from_utf8(output.stdout).unwrap();
    assert_eq!(hash.lines().count(), 1, "{hash}");
    let sink = Sink::start();
    let clients =
        format!("[[client]]\nname = \"erp\"\nusers = [{{ name = \"erp\", password_hash = \"{}\" }}]\n", hash.trim());
    let text = configuration(&sink, &clients)
        .replace("127.0.0.1:0\"", "127.0.0.1:0\"\ntls = \"none\"\nauth_without_tls = true");
    let (_directory, config) = directory_with(&text);
    let relay = Relay::start(&config);
    let mut session = Session::open(relay.listener("smtp"));
    let refused = session.say("MAIL FROM:<erp@contoso.test>");
    assert!(refused.starts_with("530 5.7.0 Authentication required: log in with AUTH"), "{refused}");
    assert!(session.say("AUTH PLAIN AGVycABzM2NyZXQ=").starts_with("235"));
    assert!(session.mail("erp@contoso.test", &["anna@example.test"], "Hello.").starts_with("250"));
}

#[test]
fn an_archive_gets_its_copy() {
    let sink = Sink::start();
    let clients = "[[client]]\nname = \"erp\"\nnetworks = [\"127.0.0.0/8\"]\narchive = \"journal@contoso.test\"\n";
    let configuration =
        configuration(&sink, clients).replace("tls = \"none\"", "tls = \"none\"\nmessages_per_minute = 30");
    let (_directory, config) = directory_with(&configuration);
    let relay = Relay::start(&config);
    let id = accepted(relay.listener("smtp"), "erp@contoso.test", &["anna@example.test"], "bill");
    relay.drained();
    let message = relay.json(&["message", &id, "--json"]);
    assert_eq!(message["recipients"][1]["forward_path"], "<journal@contoso.test>", "{message}");
    let story = message["story"].as_array().unwrap();
    assert!(story.iter().all(|step| step["event"] != "waiting"), "the budget has room for both at once: {message}");
}
