//! The simulated Microsoft 365 refuses in its ways; the relay keeps the mail, says what to do, and goes on when cured.

use std::path::PathBuf;

use sandbox::{Sandbox, Settings};

use crate::harness::smtp::accepted;
use crate::harness::{Relay, directory_with, eventually};

/// A sandbox in this process, and a relay's configuration for it.
pub(crate) struct Simulated {
    runtime: tokio::runtime::Runtime,
    pub(crate) sandbox: Sandbox,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) config: PathBuf,
}

impl Simulated {
    pub(crate) fn start() -> Self {
        Self::start_with(Settings::default(), "")
    }

    pub(crate) fn start_with(settings: Settings, more: &str) -> Self {
        let granted = r#"mailbox = [{ address = "relay@contoso.test", granted = ["*@contoso.test"] }]"#;
        Self::start_as(settings, r#"senders = ["*@contoso.test"]"#, &format!("{granted}\n{more}"))
    }

    /// `client`: what its entry says besides its network.
    pub(crate) fn start_as(settings: Settings, client: &str, more: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let sandbox = runtime.block_on(Sandbox::start(settings)).unwrap();
        let endpoints = sandbox.endpoints();
        let text = format!(
            r#"
            hostname = "relay.contoso.test"
            data_dir = "data"
            [[listener]]
            address = "127.0.0.1:0"
            [[client]]
            name = "devices"
            networks = ["127.0.0.0/8"]
            {client}
            [[tenant]]
            name = "contoso"
            id = "{}"
            domains = ["contoso.test"]
            credential = {{ client_id = "{}", client_secret = {{ file = "secret" }} }}
            endpoints = {{ login = "{}", submission = "localhost:{}", ca = "ca.pem" }}
            path = [{{ kind = "submission", mailbox = "relay@contoso.test" }}]
            {more}
            "#,
            endpoints.tenant_id,
            endpoints.client_id,
            endpoints.login,
            endpoints.submission.port()
        );
        let (directory, config) = directory_with(&text);
        std::fs::write(directory.path().join("ca.pem"), &endpoints.ca_pem).unwrap();
        let simulated = Self { runtime, sandbox, directory, config };
        simulated.write_secret(simulated.sandbox.endpoints().client_secret.as_str());
        simulated
    }

    pub(crate) fn write_secret(&self, secret: &str) {
        std::fs::write(self.directory.path().join("secret"), secret).unwrap();
    }

    pub(crate) fn arrived(&self, count: usize) {
        eventually("the mail is in the mailbox", || (self.sandbox.messages().len() >= count).then_some(()));
    }

    pub(crate) fn stop(self) {
        let Self { runtime, sandbox, .. } = self;
        runtime.block_on(sandbox.stop());
    }
}

fn lane_paused(relay: &Relay) -> serde_json::Value {
    eventually("the path is paused", || {
        let output = relay.command(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(status["lanes"][0]["paused"].clone()).filter(|paused| !paused.is_null())
    })
}

#[test]
fn mail_is_handed_over_by_token_and_microsofts_id_is_recorded() {
    let simulated = Simulated::start();
    let relay = Relay::start(&simulated.config);
    let id = accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], "scan");
    simulated.arrived(1);
    relay.drained();
    let message = relay.json(&["message", &id, "--json"]);
    let remote = &message["recipients"][0]["remote"];
    assert_eq!(remote["code"], 250);
    assert!(remote["remote_id"].as_str().is_some_and(|id| id.contains('@')), "{message}");
    simulated.stop();
}

#[test]
fn a_wrong_secret_pauses_the_path_keeps_the_mail_alerts_once_and_a_right_one_cures_it() {
    let simulated = Simulated::start();
    simulated.write_secret("not the secret");
    let relay = Relay::start(&simulated.config);
    for n in 0..5 {
        accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], &format!("scan {n}"));
    }
    let paused = lane_paused(&relay);
    assert_eq!(paused["code"], "AADSTS7000215");
    assert!(paused["remedy"].as_str().is_some_and(|remedy| remedy.contains("secret")), "{paused}");
    assert_eq!(relay.counters()["queued"], 5);
    let alerts = relay.log.text().lines().filter(|line| line.contains("\"alert\":true")).count();
    assert_eq!(alerts, 1, "{}", relay.log.text());
    assert!(!relay.log.text().contains("not the secret"), "a secret was logged");

    simulated.write_secret(simulated.sandbox.endpoints().client_secret.as_str());
    assert!(relay.command(&["retry", "--path", "contoso/submission/relay@contoso.test"]).status.success());
    simulated.arrived(5);
    let counters = relay.drained();
    assert_eq!((&counters["handed_over"], &counters["bounced"]), (&5.into(), &0.into()));
    simulated.stop();
}

#[test]
fn the_token_endpoint_out_of_reach_bounces_nothing() {
    let simulated = Simulated::start();
    let text = std::fs::read_to_string(&simulated.config).unwrap();
    let login = simulated.sandbox.endpoints().login.clone();
    let dead = format!("https://localhost:{}", crate::harness::sink::dead_address().port());
    std::fs::write(&simulated.config, text.replace(&login, &dead)).unwrap();
    let relay = Relay::start(&simulated.config);
    let id = accepted(relay.address(0), "printer@contoso.test", &["anna@example.test"], "scan");
    eventually("the trouble is in the story", || {
        let message = relay.json(&["message", &id, "--json"]);
        (message["story"].as_array().unwrap().len() > 1).then_some(())
    });
    let counters = relay.counters();
    assert_eq!((&counters["queued"], &counters["bounced"]), (&1.into(), &0.into()));
    simulated.stop();
}
