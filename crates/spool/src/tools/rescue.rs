//! `posthouse spool rescue`: builds the database anew from the segments, with whatever can still be read of the old one.
//!
//! What the old database says to be settled is not brought back. Where it cannot be asked, settled mail whose segment is
//! still there comes back: a duplicate rather than a loss. The old database is kept beside the new one.

use std::fmt;
use std::path::{Path, PathBuf};

use queue::{Happening, Message, MessageId, StoryEvent};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::{ToolError, existing, io, write_lines};
use crate::recovery;
use crate::row::{Columns, Counts, Place, Row, natural};
use crate::segment::{self, Found, Scan, Stored};
use crate::tables::{SegmentChange, Tables, Trouble};
use crate::{embedded, store, sys, tables};

/// What was done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RescueReport {
    /// False: the database is sound, nothing was changed.
    pub needed: bool,
    /// Messages in the new database.
    pub messages: u64,
    /// Settled messages that the old database still knew.
    pub history: u64,
    /// Entries of the ledger that the old database still knew.
    pub spent: u64,
    /// Things that it still remembered.
    pub remembered: u64,
    /// Where the old database is.
    pub kept: Option<PathBuf>,
    /// What could not be rescued, one line each.
    pub losses: Vec<String>,
}

impl fmt::Display for RescueReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.needed {
            return writeln!(f, "the database is sound; nothing was changed");
        }
        writeln!(f, "the database was built anew: {} queued messages, {} in the history", self.messages, self.history)?;
        writeln!(f, "{} entries of the ledger and {} things remembered were kept", self.spent, self.remembered)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "the old one is kept as {}; delete it when all is well", kept.display())?;
        }
        writeln!(f, "mail that was settled and is not in the history any more may be sent again")?;
        write_lines(f, &format!("{} losses:", self.losses.len()), &self.losses)
    }
}

/// See the head of this file. Refuses while a relay has the spool.
pub fn rescue(dir: &Path) -> Result<RescueReport, ToolError> {
    existing(dir)?;
    let _lock = embedded::take_lock(dir)?;
    let mut report = RescueReport::default();
    let old = match old(dir) {
        Old::Sound => return Ok(report),
        Old::Readable(connection) => Some(connection),
        Old::Gone => None,
    };
    report.needed = true;
    let path = dir.join("spool.db.new");
    remove_database(&path)?;
    let mut tables = Tables::open_at(&path, dir)?;
    tables.begin(true).map_err(trouble)?;
    let mut rescue = Rescue { dir, tables: &tables, old, report, at: sys::wall_clock(), numbers: 1 };
    rescue.run()?;
    let Rescue { old, mut report, .. } = rescue;
    drop(old);
    tables.commit().map_err(trouble)?;
    drop(tables);
    report.kept = replace(dir, &path, report_stamp())?;
    Ok(report)
}

enum Old {
    Sound,
    Readable(Connection),
    Gone,
}

fn old(dir: &Path) -> Old {
    let Ok((connection, version)) = tables::open_existing(dir) else { return Old::Gone };
    let whole: rusqlite::Result<String> = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    if version > 0 && whole.is_ok_and(|line| line == "ok") { Old::Sound } else { Old::Readable(connection) }
}

fn trouble(trouble: Trouble) -> ToolError {
    let (Trouble::Full(text) | Trouble::Broken(text) | Trouble::Refused(text)) = trouble;
    ToolError::Io { what: "write", path: PathBuf::from("spool.db.new"), error: std::io::Error::other(text) }
}

fn report_stamp() -> String {
    sys::wall_clock().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn files_of(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn remove_database(path: &Path) -> Result<(), ToolError> {
    for path in files_of(path).iter().filter(|path| path.exists()) {
        std::fs::remove_file(path).map_err(io("remove", path))?;
    }
    Ok(())
}

/// Puts the new database in the place of the old one, which keeps its log.
fn replace(dir: &Path, new: &Path, stamp: String) -> Result<Option<PathBuf>, ToolError> {
    let path = tables::path(dir);
    let kept = dir.join(format!("spool.db.damaged-{stamp}"));
    let mut moved = None;
    for (from, to) in files_of(&path).iter().zip(files_of(&kept)).filter(|(from, _)| from.exists()) {
        std::fs::rename(from, &to).map_err(io("rename", from))?;
        moved = Some(kept.clone());
    }
    std::fs::rename(new, &path).map_err(io("rename", new))?;
    sys::sync_dir(dir).map_err(io("sync", dir))?;
    Ok(moved)
}

/// What could be read of a table.
struct Kept {
    kept: u64,
    whole: bool,
}

/// Reads a table from one end up to the damage, if there is any, and then from the other. `keep` says whether the row is new.
fn both_ends(
    old: &Connection,
    [select, first, second]: [&str; 3],
    mut keep: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
) -> Kept {
    let mut all = Kept { kept: 0, whole: true };
    for order in ["ASC", "DESC"] {
        // An older format has no such table.
        let Ok(mut statement) = old.prepare(&format!("{select} ORDER BY {first} {order}, {second} {order}")) else {
            break;
        };
        let Ok(mut rows) = statement.query([]) else { break };
        all.whole = loop {
            match rows.next().and_then(|row| row.map(&mut keep).transpose()) {
                Ok(Some(true)) => all.kept += 1,
                // The end, or what was read from the other one.
                Ok(Some(false) | None) => break true,
                Err(_) => break false,
            }
        };
        if all.whole {
            break;
        }
    }
    all
}

struct Rescue<'a> {
    dir: &'a Path,
    tables: &'a Tables,
    old: Option<Connection>,
    report: RescueReport,
    at: jiff::Timestamp,
    /// Of the journal: what is kept speaks of lower ones only.
    numbers: i64,
}

impl Rescue<'_> {
    fn run(&mut self) -> Result<(), ToolError> {
        self.history()?;
        self.ledger()?;
        self.remembered()?;
        let segments = segment::list(self.dir).map_err(io("read", self.dir))?;
        for segment in &segments {
            self.segment(*segment)?;
        }
        let next = segments.last().map_or(1, |newest| newest + 1).max(self.old_mark().unwrap_or(1));
        self.tables.set_mark(Place { segment: next, offset: 0 }, false).map_err(trouble)?;
        let numbers = self.old_number("SELECT journal FROM mark").unwrap_or(1).max(self.numbers);
        self.tables.take_numbers(numbers, 0).map_err(trouble).map(|_| ())
    }

    fn old_number(&self, sql: &str) -> Option<i64> {
        self.old.as_ref()?.query_row(sql, [], |row| row.get(0)).ok()
    }

    fn old_mark(&self) -> Option<u64> {
        self.old_number("SELECT segment FROM mark").map(natural)
    }

    /// From both ends: one damaged page hides what lies beyond it, but only from one side.
    fn history(&mut self) -> Result<(), ToolError> {
        let Some(old) = self.old.take() else { return Ok(()) };
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT id, settled_at, document FROM history ORDER BY id {order}");
            let Ok(mut statement) = old.prepare(&sql) else { continue };
            let Ok(mut rows) = statement.query([]) else { continue };
            while let Ok(Some(row)) = rows.next() {
                let (Ok(id), Ok(settled_at), Ok(document)) = (row.get(0), row.get(1), row.get::<_, String>(2)) else {
                    break;
                };
                let Some(id) = MessageId::from_i64(id) else { continue };
                if self.tables.settled(id).map_err(trouble)? {
                    if order == "DESC" {
                        break;
                    }
                    continue;
                }
                self.settled(id, settled_at, &document)?;
            }
        }
        self.old = Some(old);
        Ok(())
    }

    fn ledger(&mut self) -> Result<(), ToolError> {
        let Some(old) = &self.old else { return Ok(()) };
        let tables = self.tables;
        let all = both_ends(old, ["SELECT budget, at, amount FROM spent", "budget", "at"], |row| {
            tables.keep_spent(&row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)
        });
        self.report.spent = all.kept;
        if !all.whole {
            self.report.losses.push("a part of the ledger: the budgets have more left than is so".to_owned());
        }
        Ok(())
    }

    fn remembered(&mut self) -> Result<(), ToolError> {
        let Some(old) = &self.old else { return Ok(()) };
        let tables = self.tables;
        let all = both_ends(old, ["SELECT key, value FROM remembered", "key", "value"], |row| {
            tables.keep_remembered(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)
        });
        self.report.remembered = all.kept;
        if !all.whole {
            self.report
                .losses
                .push("a part of what was remembered: limits that were learnt are learnt anew".to_owned());
        }
        Ok(())
    }

    fn settled(&mut self, id: MessageId, settled_at: i64, document: &str) -> Result<(), ToolError> {
        let Ok(message) = serde_json::from_str::<Message>(document) else { return Ok(()) };
        self.tables.insert_history(id, settled_at, document).map_err(trouble)?;
        self.count(&Counts::of(&message))?;
        self.report.history += 1;
        Ok(())
    }

    fn count(&self, counts: &Counts) -> Result<(), ToolError> {
        for (name, more) in [
            ("accepted", counts.total()),
            ("handed_over", counts.handed_over),
            ("bounced", counts.bounced),
            ("expired", counts.expired),
            ("removed", counts.removed),
        ] {
            self.tables.count(name, more).map_err(trouble)?;
        }
        Ok(())
    }

    fn segment(&mut self, segment: u64) -> Result<(), ToolError> {
        let path = segment::path(self.dir, segment);
        let failed = io("read", &path);
        let file = std::fs::File::open(&path).map_err(&failed)?;
        let valid_to = self.old_valid_to(segment);
        if let Some(end) = valid_to {
            self.tables.end_segment(segment, end).map_err(trouble)?;
        }
        self.tables.change_segment(segment, SegmentChange::default()).map_err(trouble)?;
        let mut scan = Scan::new(&file, segment, valid_to).map_err(&failed)?;
        while let Some(found) = scan.next().map_err(&failed)? {
            match found {
                Found::Bad { at, octets } => {
                    self.report.losses.push(format!("segment {segment}, offset {at}: {octets} octets cannot be read"));
                }
                Found::Record(stored) => self.record(segment, stored)?,
            }
        }
        Ok(())
    }

    fn old_valid_to(&self, segment: u64) -> Option<u64> {
        let sql = "SELECT valid_to FROM segment WHERE id = ?1";
        let found = self.old.as_ref()?.query_row(sql, [segment.cast_signed()], |row| row.get::<_, Option<i64>>(0));
        found.ok().flatten().map(natural)
    }

    fn record(&mut self, segment: u64, stored: Stored) -> Result<(), ToolError> {
        let (id, at, octets) = (stored.header.id, stored.at, stored.header.octets().cast_signed());
        let weight = SegmentChange { octets, ..SegmentChange::default() };
        self.tables.change_segment(segment, weight).map_err(trouble)?;
        if self.tables.settled(id).map_err(trouble)? {
            return Ok(());
        }
        if !stored.body_sound {
            self.report.losses.push(format!("segment {segment}, offset {at}: the body of message {id} cannot be read"));
            return Ok(());
        }
        if stored.header.big && !store::big_path(self.dir, id).exists() {
            self.report.losses.push(format!("message {id}: its body, the file big/{id}, is missing"));
            return Ok(());
        }
        match recovery::row(segment, stored) {
            Ok(row) => self.row(row),
            Err(error) => {
                self.report.losses.push(format!("segment {segment}, offset {at}: message {id}: {error}"));
                Ok(())
            }
        }
    }

    /// A later record of the same message is a copy of the first, in a place that is emptied later.
    fn row(&mut self, mut row: Row) -> Result<(), ToolError> {
        let octets = row.location.octets.cast_signed();
        if let Some(known) = self.tables.known(row.id).map_err(trouble)? {
            if self.tables.relocate(row.id, known.location.place, &row.location).map_err(trouble)? {
                let octets = known.location.octets.cast_signed();
                let gone = SegmentChange { live: -1, live_octets: -octets, octets: 0 };
                self.tables.change_segment(known.location.place.segment, gone).map_err(trouble)?;
            }
        } else {
            if let Some((document, columns)) = self.newest_state(&row) {
                (row.document, row.columns) = (document, columns);
            }
            let journal = self.old_number(&format!("SELECT journal FROM message WHERE id = {}", row.id.to_i64()));
            self.numbers = self.numbers.max(journal.unwrap_or(0));
            self.tables.insert_message(&row, &row.columns, &row.document, journal.unwrap_or(0)).map_err(trouble)?;
            self.count(&row.columns.counts)?;
            self.report.messages += 1;
        }
        let lives = SegmentChange { live: 1, live_octets: octets, octets: 0 };
        self.tables.change_segment(row.location.place.segment, lives).map_err(trouble)
    }

    /// What the old database knows of it, else what it was when it came; and that it was rescued.
    fn newest_state(&self, row: &Row) -> Option<(String, Columns)> {
        let known = self.old.as_ref().and_then(|old| {
            let sql = "SELECT document FROM message WHERE id = ?1";
            let found = old.query_row(sql, [row.id.to_i64()], |row| row.get::<_, String>(0)).optional();
            found.ok().flatten().and_then(|document| serde_json::from_str::<Message>(&document).ok())
        });
        let mut message = known.or_else(|| serde_json::from_str(&row.document).ok())?;
        message.note(StoryEvent { at: self.at, what: Happening::Rescued });
        Some((serde_json::to_string(&message).ok()?, Columns::of(&message)))
    }
}
