//! `posthouse serve`: runs the relay until it is told to stop.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use config::{Config, LogSettings};
use telemetry::LogFormat;

use super::ConfigFile;
use crate::relay::Relay;
use crate::system;

/// Run the relay
///
/// Reads the configuration, recovers what the spool holds, takes mail and hands it on until it gets SIGTERM or Ctrl-C. Then
/// listeners close, sessions inside a message and attempts under way may finish for a while (`grace` in `[limits]`, 30 seconds),
/// and the rest waits in the spool for the next start.
///
/// Logs go to standard error: readable on a terminal, JSON otherwise (`[log]` in the configuration).
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    file: ConfigFile,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(&self.file.config).map_err(|errors| anyhow!("{errors}"))?;
        set_up_logs(&config.log)?;
        for warning in &config.warnings {
            tracing::warn!(hint = warning.remedy.as_deref(), "{}", warning.said());
        }
        let relay = start(config).await?;
        tokio::select! {
            () = system::interrupted() => tracing::info!("stopping: sessions and attempts under way may finish"),
            () = relay.failed() => tracing::error!(
                alert = true,
                remedy = "let the service manager start it again; please report what stands above",
                "a part of the relay has ended by itself: stopping"
            ),
        }
        system::notify_stopping();
        relay.stop().await?;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

async fn start(config: Config) -> anyhow::Result<Relay> {
    let relay = Relay::start(config, system::inherited_listeners()?).await?;
    if let Some(address) = relay.http {
        tracing::info!(%address, "metrics and health over HTTP");
    }
    system::notify_ready("taking mail");
    Ok(relay)
}

fn set_up_logs(settings: &LogSettings) -> anyhow::Result<()> {
    telemetry::init_logs(settings.format.unwrap_or_else(LogFormat::for_stderr), &settings.filter)
        .map_err(|error| anyhow!(error))
        .context("cannot set up the logs")
}
