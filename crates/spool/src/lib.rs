//! Where accepted mail survives. Backend `embedded`: SQLite for what is known of a message, segments for its bytes.
//!
//! The directory holds `spool.db` (readable with `sqlite3`), `seg/` (append-only segments of records, each a message's
//! document and body), `big/` (bodies of 1 MiB and more, a file each), `attempts.journal` (what is on its way right now),
//! `reserve` (room for settling on a full disk) and two lock files.
//!
//! A message is accepted when its record in the current segment is synced: one sync for all that wait at that moment. The
//! row in the database follows, together with a mark: how far the segments have been taken over. A start reads what lies
//! past the mark and nothing else. Outcomes are durable by the database's own commit.

mod appender;
mod body;
mod committer;
mod embedded;
mod files;
mod gate;
mod journal;
mod keeper;
mod lease;
mod ledger;
mod memory;
mod pending;
mod reads;
mod record;
mod recovery;
mod reserve;
mod row;
mod segment;
mod store;
#[doc(hidden)]
pub mod suite;
mod sync;
mod sys;
mod tables;
#[cfg(test)]
mod tests;
pub mod tools;
mod transaction;

use std::path::PathBuf;

pub use embedded::Embedded;

/// `[spool]` of the configuration, for the embedded backend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of its own; made if missing (mode 0700).
    pub dir: PathBuf,
    /// Kept free for settling. Default 256 MiB; new mail is refused when less than this is free.
    pub reserve: u64,
    /// Bodies in memory at most, all sessions together; beyond it small bodies go to files too. Default 64 MiB.
    pub memory: u64,
    /// Settled messages that can still be looked up at most; older ones make room. Default 100,000.
    pub history: u64,
}

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two processes on one spool would destroy it.
    #[error("the spool in {} is in use by another process; stop that one first, or give this one a directory of its own", dir.display())]
    InUse {
        /// Where.
        dir: PathBuf,
    },
    /// Made by a later version.
    #[error(
        "the spool in {} has format {found}, this version of Posthouse knows formats up to {known}; start the version that \
         wrote it, or a later one", dir.display()
    )]
    Newer {
        /// Where.
        dir: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// Segments without their database.
    #[error(
        "the spool in {} has segments but no spool.db; put the file back, or rebuild it with `posthouse spool rescue`",
        dir.display()
    )]
    DatabaseMissing {
        /// Where.
        dir: PathBuf,
    },
    /// The file is not ours.
    #[error("{} is not the database of a Posthouse spool; give the spool a directory of its own", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// SQLite cannot read or write it.
    #[error(
        "the database {} cannot be used: {error}; if it is damaged, rebuild it with `posthouse spool rescue`", path.display()
    )]
    Database {
        /// Which.
        path: PathBuf,
        /// SQLite's words.
        error: String,
    },
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
