//! `posthouse check`: all that is wrong with a configuration file.

use std::process::ExitCode;

use clap::Args;

use alert::Channel;
use config::Config;
use queue::BudgetSettings;

use super::status::grouped;
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
                plan(&config).iter().for_each(say);
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

fn summary(config: &Config, file: &ConfigFile) -> String {
    let listeners = count(config.inbound.listeners.len(), "listener");
    let clients = count(config.inbound.clients.len(), "client entry").replace("entrys", "entries");
    let paths: Vec<_> = config.plan.pools.iter().map(|pool| pool.name.to_string()).collect();
    format!("{}: good. {listeners}, {clients}, paths: {}", file.config.display(), paths.join(", "))
}

/// What the file comes to, where that does not stand in it: names, next hops, limits.
fn plan(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for pool in &config.plan.pools {
        let own: Vec<_> = config.lanes.iter().filter(|lane| pool.lanes.iter().any(|l| l.name == lane.name)).collect();
        if own.len() > 1 {
            lines.push(format!("  pool {}: {} share its mail", pool.name, count(own.len(), "path")));
        }
        lines.extend(own.iter().map(|lane| {
            let connections = count(lane.connections, "connection");
            let recipients = count(lane.recipients, "recipient");
            format!("  path {}: to {} port {}, {connections}, {recipients} a message", lane.name, lane.host, lane.port)
        }));
    }
    lines.extend(config.plan.budgets.iter().map(budget));
    lines.extend(config.alerts.channels.iter().map(|alert| {
        let by = match &alert.channel {
            Channel::Webhook { .. } => "webhook",
            Channel::Syslog { .. } => "syslog",
            Channel::Command { .. } => "command",
            Channel::Mail { .. } => "mail",
        };
        format!("  alert {}: by {by}", alert.name)
    }));
    lines
}

fn budget(budget: &BudgetSettings) -> String {
    let kept = match budget.reserve {
        0 => String::new(),
        reserve => format!(", {} of them kept for urgent mail", grouped(reserve)),
    };
    match &budget.warm_up {
        None => format!("  budget {}: {}{kept}", budget.name, grouped(budget.limit)),
        Some(warm_up) => {
            let steps: Vec<_> = warm_up.limits.iter().map(|limit| grouped(*limit)).collect();
            format!("  budget {}: {} from day to day, then no limit", budget.name, steps.join(" / "))
        }
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_of_a_good_file_names_paths_limits_and_alerts() {
        let text = r#"
hostname = "relay.contoso.com"
[[listener]]
address = "127.0.0.1:0"
[[client]]
name = "printers"
networks = ["127.0.0.0/8"]
[[tenant]]
name = "contoso"
domains = ["contoso.com"]
path = [{ name = "out", kind = "smarthost", address = "h.example", recipients_per_day = 2000, warm_up = [50, 1000] }]
[[alert]]
name = "pager"
command = ["page"]
"#;
        let config = config::parse(text, "posthouse.toml", std::path::Path::new("/")).unwrap();
        assert_eq!(
            plan(&config),
            [
                "  path contoso/out: to h.example port 25, 20 connections, 100 recipients a message",
                "  budget contoso/out/recipients a day: 2,000, 100 of them kept for urgent mail",
                "  budget contoso/out/messages a day: 50 / 1,000 from day to day, then no limit",
                "  alert pager: by command",
            ]
        );
    }
}
