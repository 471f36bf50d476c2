//! `posthouse alert test` and `list`: whether alerts reach anybody, and what is open.

use std::process::ExitCode;

use api::{Incident, Tested};
use clap::{Args, Subcommand};

use super::{Running, say, say_error, say_json};

/// Alerts: try the channels, list what is open
#[derive(Subcommand)]
pub(super) enum Alert {
    Test(Test),
    List(List),
}

impl Alert {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Test(test) => test.run().await,
            Self::List(list) => list.run().await,
        }
    }
}

/// Send a test notice and say what came of it
///
/// Through one channel, or through all of them. A channel that works is tried at once with what waits for it.
#[derive(Args)]
pub(super) struct Test {
    /// Only this channel, by its name in the configuration
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    running: Running,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl Test {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let tested = self.running.client()?.test_alerts(self.name.as_deref()).await?;
        if self.json {
            say_json(&tested)?;
        } else if tested.is_empty() {
            say_error(
                "no alert channels are configured\n  hint: add [[alert]] entries; until then alerts are in the log alone",
            );
        } else {
            tested.iter().for_each(report);
        }
        let reached = !tested.is_empty() && tested.iter().all(|tested| tested.error.is_none());
        Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn report(tested: &Tested) {
    match &tested.error {
        None => say(format!("{}: sent", tested.channel)),
        Some(error) => say_error(&format!("{}: {error}", tested.channel)),
    }
}

/// What is open: trouble that somebody must know of, oldest first
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    running: Running,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl List {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let incidents = self.running.client()?.status().await?.incidents;
        if self.json {
            say_json(&incidents)?;
        } else if incidents.is_empty() {
            say("nothing is open");
        } else {
            say(incidents.iter().map(described).collect::<Vec<_>>().join("\n\n"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn described(incident: &Incident) -> String {
    let Incident { kind, about, severity, what, remedy, code, since } = incident;
    let since = since.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
    let code = code.iter().map(|code| format!(" ({code})")).collect::<String>();
    let mut lines =
        vec![format!("{}: {what}{code}", severity.to_uppercase()), format!("  {kind}: {about}, since {since}")];
    if !remedy.is_empty() {
        lines.push(format!("  remedy: {remedy}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_listed_with_what_it_is_about_and_what_to_do() {
        let mut incident = Incident {
            kind: "breaker".to_owned(),
            about: "credential contoso".to_owned(),
            severity: "critical".to_owned(),
            what: "the secret has ended".to_owned(),
            remedy: "make a new one".to_owned(),
            code: Some("AADSTS7000222".to_owned()),
            since: "2026-11-21T01:36:00Z".parse().unwrap(),
        };
        let text = described(&incident);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "CRITICAL: the secret has ended (AADSTS7000222)");
        assert!(lines[1].starts_with("  breaker: credential contoso, since 2026-11-2"), "{text}");
        assert_eq!(lines[2], "  remedy: make a new one");
        (incident.remedy, incident.code) = (String::new(), None);
        assert_eq!(described(&incident).lines().count(), 2);
    }
}
