//! `posthouse spool backup`: a copy that can be started from, also while the relay runs.
//!
//! The relay deletes no file while this holds `backup.lock`. So the database can be copied first and every file that it
//! speaks of is still there afterwards; only the journal comes before: an entry too many is known by its number, one that is
//! missing by nothing. Segments that the mark has passed never change again and are linked where the file
//! system allows it; the others, and everything on another file system, are copied.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Serialize;

use super::{ToolError, existing, io};
use crate::row::natural;
use crate::{body, embedded, journal, segment, store, sys, tables};

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct BackupReport {
    /// Where the copy is.
    pub to: PathBuf,
    /// Queued messages in the copy's database.
    pub messages: u64,
    /// Files copied.
    pub copied: u64,
    /// Files that share their blocks with the original.
    pub linked: u64,
    /// Octets of segments and large bodies in the copy.
    pub octets: u64,
}

impl fmt::Display for BackupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} queued messages are now also in {}", self.messages, self.to.display())?;
        writeln!(f, "{} octets of bodies; {} files copied, {} linked", self.octets, self.copied, self.linked)?;
        if self.linked > 0 {
            writeln!(
                f,
                "linked files share their disk blocks with the spool: copy them to another disk to be safe from its loss"
            )?;
        }
        writeln!(f, "to go back to it, stop the relay and put this directory in the place of its spool;")?;
        writeln!(f, "mail that was sent after the backup would then be sent again")
    }
}

/// See the head of this file. `to` must not exist, or be empty.
pub fn backup(dir: &Path, to: &Path) -> Result<BackupReport, ToolError> {
    existing(dir)?;
    tables::open_existing(dir)?;
    if to.exists() && std::fs::read_dir(to).map_err(io("read", to))?.next().is_some() {
        return Err(ToolError::Occupied(to.to_owned()));
    }
    embedded::make_dirs(to)?;
    let lock_path = store::backup_lock_path(dir);
    let lock = sys::lock_file(&lock_path).map_err(io("open", &lock_path))?;
    lock.lock_shared().map_err(io("lock", &lock_path))?;
    let mut backup =
        Backup { dir, to, report: BackupReport { to: to.to_owned(), messages: 0, copied: 0, linked: 0, octets: 0 } };
    backup.journal()?;
    let mark = backup.database()?;
    backup.segments(mark)?;
    backup.big_bodies()?;
    for path in [segment::dir(to), store::big_dir(to), to.to_owned()] {
        sys::sync_dir(&path).map_err(io("sync", &path))?;
    }
    Ok(backup.report)
}

struct Backup<'a> {
    dir: &'a Path,
    to: &'a Path,
    report: BackupReport,
}

impl Backup<'_> {
    /// Copies the database as it is at one moment. The segment of its mark.
    fn database(&mut self) -> Result<u64, ToolError> {
        let path = tables::path(self.to);
        let source = tables::open_to_read(self.dir)?;
        source.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
        File::open(&path).and_then(|file| file.sync_all()).map_err(io("sync", &path))?;
        let copy = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        self.report.messages = natural(copy.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?);
        Ok(natural(copy.query_row("SELECT segment FROM mark", [], |row| row.get(0))?))
    }

    /// As it is at one moment, near enough: entries come and go, each by itself.
    fn journal(&mut self) -> Result<(), ToolError> {
        let path = journal::path(self.dir);
        if !path.exists() {
            return Ok(());
        }
        self.file(&path, &journal::path(self.to), false)
    }

    fn segments(&mut self, mark: u64) -> Result<(), ToolError> {
        for segment in segment::list(self.dir).map_err(io("read", self.dir))? {
            let (from, to) = (segment::path(self.dir, segment), segment::path(self.to, segment));
            self.file(&from, &to, segment < mark)?;
        }
        Ok(())
    }

    fn big_bodies(&mut self) -> Result<(), ToolError> {
        let from = store::big_dir(self.dir);
        for entry in std::fs::read_dir(&from).map_err(io("read", &from))? {
            let path = entry.map_err(io("read", &from))?.path();
            if let Some(id) = body::owner(&path) {
                self.file(&path, &store::big_path(self.to, id), true)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path, unchanging: bool) -> Result<(), ToolError> {
        if unchanging && std::fs::hard_link(from, to).is_ok() {
            self.report.linked += 1;
            self.report.octets += to.metadata().map_or(0, |found| found.len());
            return Ok(());
        }
        let mut source = File::open(from).map_err(io("open", from))?;
        let mut copy = sys::create(to).map_err(io("make", to))?;
        self.report.octets += std::io::copy(&mut source, &mut copy).map_err(io("write", to))?;
        self.report.copied += 1;
        copy.sync_all().map_err(io("sync", to))
    }
}
