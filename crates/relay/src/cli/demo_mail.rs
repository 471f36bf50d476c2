//! What the demo sends and what it runs on: the relay's configuration, the devices and their mail, the faults.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbox::{Action, Endpoints, Fault, Sandbox, Step};
use smtp::Credentials;

use crate::devices::{Device, Mail, Security};

/// The relay's name, and that in its certificate.
pub(super) const HOSTNAME: &str = "relay.contoso.test";
/// Who may authenticate.
pub(super) const USER: &str = "erp";
/// With what: it protects nothing but the demo.
pub(super) const PASSWORD: &str = "demo-password";

/// As an administrator would write it, with the simulated endpoints in place of Microsoft's.
pub(super) fn configuration(endpoints: &Endpoints) -> String {
    let Endpoints { tenant_id, client_id, login, submission, .. } = endpoints;
    format!(
        r#"hostname = "{HOSTNAME}"
data_dir = "data"

[[listener]]
name = "smtp"
address = "127.0.0.1:0"

[[listener]]
name = "smtps"
address = "127.0.0.1:0"
tls = "implicit"

[[client]]
name = "applications"
users = [{{ name = "{USER}", password = {{ file = "erp.pass" }} }}]
senders = ["*@contoso.test"]

[[client]]
name = "printers"
networks = ["127.0.0.0/8"]
senders = ["*"]
tenant = "contoso"

[[tenant]]
name = "contoso"
id = "{tenant_id}"
domains = ["contoso.test"]
credential = {{ client_id = "{client_id}", client_secret = {{ file = "secret" }} }}
endpoints = {{ login = "{login}", submission = "localhost:{port}", ca = "ca.pem" }}
mailbox = [{{ address = "relay@contoso.test", granted = ["*@contoso.test"] }}]
path = [{{ kind = "submission", mailbox = "relay@contoso.test" }}]

[queue]
retry = ["2s", "5s", "15s", "1m"]

[dns]
warn = false
"#,
        port = submission.port()
    )
}

/// One of each kind, in the order in which they send.
pub(super) fn all(plain: SocketAddr, tls: SocketAddr) -> Vec<(Device, Mail)> {
    let login = Credentials::Login { username: USER.to_owned(), password: PASSWORD.to_owned() };
    let auth_plain =
        Credentials::Plain { authzid: String::new(), authcid: USER.to_owned(), password: PASSWORD.to_owned() };
    let printer = Device {
        name: "the printer (plain SMTP, no authentication)",
        hello: "printer-3",
        relay: plain,
        security: Security::Plain,
        credentials: None,
    };
    let erp = Device {
        name: "the ERP system (STARTTLS, AUTH LOGIN)",
        hello: "erp.contoso.test",
        relay: plain,
        security: Security::StartTls,
        credentials: Some(login),
    };
    let monitoring = Device {
        name: "monitoring (implicit TLS, AUTH PLAIN)",
        hello: "watch.contoso.test",
        relay: tls,
        security: Security::Implicit,
        credentials: Some(auth_plain),
    };
    let copier = Device {
        name: "the old copier (a sender that Microsoft would refuse: it goes out as the mailbox)",
        hello: "copier-2",
        ..printer.clone()
    };
    let backup = Device { name: "the backup server (a report of 20 MB)", hello: "backup", ..printer.clone() };
    let shop = Device { name: "the web shop (UTF-8 addresses)", hello: "shop.contoso.test", ..erp.clone() };
    vec![
        (printer, mail("printer-3@contoso.test", &["anna@example.test"], "Scan from printer 3", "scan.pdf", 40_000)),
        (
            erp,
            mail(
                "billing@contoso.test",
                &["kunde@example.test", "archive@contoso.test"],
                "Invoice 2026-1",
                "invoice.pdf",
                9_000,
            ),
        ),
        (
            monitoring,
            mail("alerts@contoso.test", &["oncall@contoso.test"], "Disk 91 % full on db2", "graph.png", 3_000),
        ),
        (copier, mail("copier@copier-2.local", &["anna@example.test"], "Scan from copier 2", "scan.tif", 5_000)),
        (backup, mail("backup@contoso.test", &["admin@contoso.test"], "Backup report", "report.zip", 20_000_000)),
        (shop, utf8()),
    ]
}

fn mail(from: &str, to: &[&str], subject: &str, attachment: &str, octets: usize) -> Mail {
    let mut content = format!(
        "From: <{from}>\r\nTo: {}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"posthouse-demo\"\r\n\r\n\
         --posthouse-demo\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n.This line begins with a dot.\r\n\
         --posthouse-demo\r\nContent-Type: application/octet-stream; name=\"{attachment}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n",
        to.join(", ")
    )
    .into_bytes();
    let bytes: Vec<u8> = (0..octets).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect();
    for line in bytes.chunks(57) {
        content.extend_from_slice(STANDARD.encode(line).as_bytes());
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(b"--posthouse-demo--\r\n");
    Mail {
        reverse_path: format!("<{from}>"),
        forward_paths: to.iter().map(|to| format!("<{to}>")).collect(),
        smtputf8: false,
        content,
    }
}

fn utf8() -> Mail {
    let content = "From: Bücherstube <grüße@contoso.test>\r\nTo: <käufer@bücher.example>\r\nSubject: Ihre Bestellung ist da\r\n\
                   MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                   Schöne Grüße!\r\n";
    Mail {
        reverse_path: "<grüße@contoso.test>".to_owned(),
        forward_paths: vec!["<käufer@bücher.example>".to_owned()],
        smtputf8: true,
        content: content.as_bytes().to_vec(),
    }
}

/// A refused token, a throttle, a dropped connection: each once.
pub(super) fn inject_faults(sandbox: &Sandbox) -> anyhow::Result<()> {
    let refused_token = Fault::at(Step::Auth).reply("535 5.7.3 Authentication unsuccessful [localhost]").once();
    let throttle = Fault::at(Step::End)
        .reply("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.")
        .reverse_path("billing@contoso.test")
        .once();
    let dropped =
        Fault::at(Step::Content).action(Action::DisconnectAfter(5_000_000)).reverse_path("backup@contoso.test").once();
    for fault in [refused_token, throttle, dropped] {
        sandbox.add_fault(fault)?;
    }
    Ok(())
}
