//! Foreign clients against the relay: swaks, curl, msmtp, Python's smtplib, nodemailer, Postfix's smtp-source. Each over
//! what it is mostly used with. A client that is not installed is skipped with a word; where POSTHOUSE_REQUIRE_CLIENTS is
//! set (in CI) it fails.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::harness::sink::Sink;
use crate::harness::{Relay, directory_with};

const CONTENT: &str =
    "From: app@contoso.test\r\nTo: user@example.test\r\nSubject: from a foreign client\r\n\r\nHello.\r\n.dot\r\n";

/// A relay with a plain listener and one with implicit TLS, where AUTH is needed.
struct Site {
    relay: Relay,
    sink: Sink,
    directory: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let sink = Sink::start();
        let (directory, config) = directory_with(&format!(
            r#"
            hostname = "localhost.contoso.test"
            data_dir = "data"
            [[listener]]
            name = "smtp"
            address = "127.0.0.1:0"
            [[listener]]
            name = "smtps"
            address = "127.0.0.1:0"
            tls = "implicit"
            [[client]]
            name = "app"
            users = [{{ name = "app", password = "app-password" }}]
            senders = ["*@contoso.test"]
            [[tenant]]
            name = "contoso"
            id = "contoso.test"
            domains = ["contoso.test"]
            [[tenant.path]]
            name = "next"
            kind = "smarthost"
            address = "{}"
            tls = "none"
            "#,
            sink.address
        ));
        Self { relay: Relay::start(&config), sink, directory }
    }

    fn plain(&self) -> SocketAddr {
        self.relay.listener("smtp")
    }

    fn tls(&self) -> SocketAddr {
        self.relay.listener("smtps")
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("data/tls/self-signed.pem")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The client said that all went well, and the next hop has the mail.
    fn arrived(&self, output: &Output) {
        assert!(output.status.success(), "{output:?}\n{}", self.relay.log.text());
        let taken = self.sink.wait_for(1).remove(0);
        assert_eq!(
            (taken.from.as_str(), taken.to.as_slice()),
            ("app@contoso.test", &["user@example.test".to_owned()][..])
        );
        assert!(taken.content.contains("Hello."), "{}", taken.content);
    }
}

#[expect(clippy::disallowed_methods, reason = "CI says that nothing may be skipped")]
pub(crate) fn installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        assert!(std::env::var("POSTHOUSE_REQUIRE_CLIENTS").is_err(), "{program} is not installed");
        println!("SKIPPED: {program} is not installed");
    }
    found
}

#[test]
fn swaks_with_starttls_and_auth_login() {
    if !installed("swaks") {
        return;
    }
    let site = Site::start();
    let output = Command::new("swaks")
        .args(["--server", &site.plain().ip().to_string(), "--port", &site.plain().port().to_string()])
        .args(["--tls", "--auth", "LOGIN", "--auth-user", "app", "--auth-password", "app-password"])
        .args(["--from", "app@contoso.test", "--to", "user@example.test", "--body", "Hello."])
        .output()
        .unwrap();
    site.arrived(&output);
}

#[test]
fn swaks_with_auth_plain_pipelined_over_implicit_tls() {
    if !installed("swaks") {
        return;
    }
    let site = Site::start();
    let output = Command::new("swaks")
        .args(["--server", &site.tls().ip().to_string(), "--port", &site.tls().port().to_string(), "--pipeline"])
        .args(["--tls-on-connect", "--auth", "PLAIN", "--auth-user", "app", "--auth-password", "app-password"])
        .args(["--from", "app@contoso.test", "--to", "user@example.test", "--body", "Hello."])
        .output()
        .unwrap();
    site.arrived(&output);
}

#[test]
fn a_wrong_password_is_refused_to_swaks_with_535() {
    if !installed("swaks") {
        return;
    }
    let site = Site::start();
    let output = Command::new("swaks")
        .args(["--server", &site.plain().ip().to_string(), "--port", &site.plain().port().to_string()])
        .args(["--tls", "--auth", "LOGIN", "--auth-user", "app", "--auth-password", "wrong"])
        .args(["--from", "app@contoso.test", "--to", "user@example.test"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("535 5.7.8"), "{output:?}");
}

#[test]
fn curl_over_implicit_tls_with_the_certificate_verified() {
    if !installed("curl") {
        return;
    }
    let site = Site::start();
    let port = site.tls().port();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--url", &format!("smtps://localhost.contoso.test:{port}")])
        .args(["--connect-to", &format!("localhost.contoso.test:{port}:127.0.0.1:{port}")])
        .arg("--cacert")
        .arg(site.certificate())
        .args(["--user", "app:app-password", "--mail-from", "app@contoso.test", "--mail-rcpt", "user@example.test"])
        .arg("--upload-file")
        .arg(site.write("mail", CONTENT))
        .output()
        .unwrap();
    site.arrived(&output);
}

#[test]
fn msmtp_with_starttls() {
    if !installed("msmtp") {
        return;
    }
    let site = Site::start();
    let configuration = site.write(
        "msmtprc",
        &format!(
            "account default\nhost 127.0.0.1\nport {}\nfrom app@contoso.test\nauth plain\nuser app\n\
             passwordeval \"echo app-password\"\ntls on\ntls_starttls on\ntls_certcheck off\n",
            site.plain().port()
        ),
    );
    let mail = std::fs::File::open(site.write("mail", &CONTENT.replace("\r\n", "\n"))).unwrap();
    let output =
        Command::new("msmtp").arg("--file").arg(configuration).arg("user@example.test").stdin(mail).output().unwrap();
    site.arrived(&output);
}

#[test]
fn pythons_smtplib_with_starttls_and_the_certificate_verified() {
    if !installed("python3") {
        return;
    }
    let site = Site::start();
    let script = format!(
        "import smtplib, ssl\n\
         context = ssl.create_default_context(cafile={:?})\n\
         context.check_hostname = False\n\
         with smtplib.SMTP('127.0.0.1', {}, timeout=60) as relay:\n\
        \x20   relay.starttls(context=context)\n\
        \x20   relay.login('app', 'app-password')\n\
        \x20   relay.sendmail('app@contoso.test', ['user@example.test'], {CONTENT:?})\n",
        site.certificate(),
        site.plain().port()
    );
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    site.arrived(&output);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "CI says where it has put nodemailer")]
fn nodemailer_with_auth_over_implicit_tls() {
    let modules = std::env::var("POSTHOUSE_NODE_MODULES").unwrap_or_default();
    if !installed("node") {
        return;
    }
    if modules.is_empty() {
        assert!(std::env::var("POSTHOUSE_REQUIRE_CLIENTS").is_err(), "POSTHOUSE_NODE_MODULES is not set");
        println!("SKIPPED: nodemailer is not installed (POSTHOUSE_NODE_MODULES names no directory)");
        return;
    }
    let site = Site::start();
    let script = format!(
        "const fs = require('fs');\n\
         const relay = require({:?}).createTransport({{ host: '127.0.0.1', port: {}, secure: true,\n\
           tls: {{ ca: fs.readFileSync({:?}), servername: 'localhost.contoso.test' }},\n\
           auth: {{ user: 'app', pass: 'app-password' }} }});\n\
         relay.sendMail({{ from: 'app@contoso.test', to: 'user@example.test', subject: 'x', text: 'Hello.' }})\n\
           .then(() => relay.close(), (error) => {{ console.error(error); process.exit(1); }});\n",
        format!("{modules}/nodemailer"),
        site.tls().port(),
        site.certificate()
    );
    let output = Command::new("node").args(["-e", &script]).output().unwrap();
    site.arrived(&output);
}

#[test]
fn smtp_source_with_many_sessions() {
    if !installed("smtp-source") {
        return;
    }
    let sink = Sink::start();
    let (_directory, config) = crate::harness::smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let output = Command::new("smtp-source")
        .args(["-s", "20", "-m", "300", "-l", "10240", "-f", "app@contoso.test", "-t", "user@example.test"])
        .arg(format!("127.0.0.1:{}", relay.address(0).port()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sink.wait_for(300).len(), 300);
    assert_eq!(relay.drained()["handed_over"], 300);
}
