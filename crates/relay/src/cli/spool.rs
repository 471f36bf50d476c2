//! `posthouse spool`: the store itself, without a running relay or beside it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{say, say_json};

/// Check, back up or rescue the spool
#[derive(Subcommand)]
pub(super) enum SpoolCommand {
    Check(Check),
    Backup(Backup),
    Rescue(Rescue),
}

/// Which spool.
#[derive(Args)]
struct Place {
    /// The spool's directory: `spool` in the relay's data directory
    #[arg(value_name = "DIR", default_value = "/var/lib/posthouse/spool")]
    dir: PathBuf,
    /// Print JSON for programs
    #[arg(long, global = true)]
    json: bool,
}

/// Read everything and say what is damaged or left over; changes nothing
///
/// Compares every queued message with its checksum and the counters with each other. The relay may be running.
/// The exit status is 1 if anything is wrong.
#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    place: Place,
}

/// Copy the spool, while the relay runs or not
///
/// The copy is a spool that a relay can be started with, as of the moment the command ends.
#[derive(Args)]
pub(super) struct Backup {
    #[command(flatten)]
    place: Place,
    /// A directory that does not exist yet
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Rebuild a lost or damaged database from the segments; the relay must be stopped
///
/// The segments hold every message with its envelope. What was handed over shortly before, or is still in a segment that
/// was not yet deleted, may come back: duplicates, never loss.
#[derive(Args)]
pub(super) struct Rescue {
    #[command(flatten)]
    place: Place,
}

impl SpoolCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(Check { place }) => {
                let report = ::spool::tools::check(&place.dir)?;
                show(&report, place.json)?;
                Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Self::Backup(Backup { place, to }) => show(&::spool::tools::backup(&place.dir, &to)?, place.json),
            Self::Rescue(Rescue { place }) => show(&::spool::tools::rescue(&place.dir)?, place.json),
        }
    }
}

fn show(report: &(impl serde::Serialize + std::fmt::Display), json: bool) -> anyhow::Result<ExitCode> {
    if json {
        say_json(report)?;
    } else {
        say(report);
    }
    Ok(ExitCode::SUCCESS)
}
