//! `posthouse check`: all that is wrong with a configuration file.

use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, say};

/// Read a configuration file and say all that is wrong with it, with line and remedy
///
/// Nothing is started, bound or sent. Files that the configuration names (certificates, keys, secrets) are read.
/// The exit status is 0 if the relay would start with this file, 1 if not; warnings do not change it.
#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match config::load(&self.file.config) {
            Ok(config) => {
                for warning in &config.warnings {
                    say(format!("warning: {warning}"));
                }
                say(summary(&config, &self.file));
                Ok(ExitCode::SUCCESS)
            }
            Err(errors) => {
                for warning in &errors.warnings {
                    say(format!("warning: {warning}"));
                }
                for error in &errors.errors {
                    say(format!("error: {error}"));
                }
                say(format!("{}: {}", self.file.config.display(), count(errors.errors.len(), "error")));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn summary(config: &config::Config, file: &ConfigFile) -> String {
    let listeners = count(config.inbound.listeners.len(), "listener");
    let clients = count(config.inbound.clients.len(), "client entry").replace("entrys", "entries");
    let lanes: Vec<_> = config.lanes.iter().map(|lane| lane.name.to_string()).collect();
    format!("{}: good. {listeners}, {clients}, paths: {}", file.config.display(), lanes.join(", "))
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
