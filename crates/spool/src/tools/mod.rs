//! For operators, from the command line: is the spool sound, copy it, rebuild its database.

mod backup;
mod check;
mod rescue;

use std::path::{Path, PathBuf};

pub use backup::{BackupReport, backup};
pub use check::{CheckReport, check};
pub use rescue::{RescueReport, rescue};

use crate::OpenError;

/// Why a tool could not do its work. What it found wrong with the spool is in its report.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The spool cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No spool there.
    #[error("there is no spool in {}", .0.display())]
    Missing(PathBuf),
    /// A backup never writes into something that is there.
    #[error("{} exists and is not empty; give the backup a directory of its own", .0.display())]
    Occupied(PathBuf),
    /// SQLite's words.
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The system refused something.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
}

fn io(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> ToolError {
    let path = path.to_owned();
    move |error| ToolError::Io { what, path: path.clone(), error }
}

fn existing(dir: &Path) -> Result<(), ToolError> {
    let there = crate::segment::dir(dir).is_dir() && crate::store::big_dir(dir).is_dir();
    if there { Ok(()) } else { Err(ToolError::Missing(dir.to_owned())) }
}

/// `3 problems:` and a line each; at most so many.
fn write_lines(f: &mut std::fmt::Formatter<'_>, title: &str, lines: &[String]) -> std::fmt::Result {
    const LINES: usize = 200;
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for line in lines.iter().take(LINES) {
        writeln!(f, "  {line}")?;
    }
    match lines.len().saturating_sub(LINES) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more; `--json` has them all"),
    }
}
