//! `posthouse spool check`: reads everything, changes nothing. Also while the relay runs; then what moves under its hands is
//! looked at twice, and what can only be counted in a spool at rest is left out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use queue::{Counters, Message, MessageId};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{ToolError, existing, io, write_lines};
use crate::row::{Counts, Location, Place, natural};
use crate::segment::{self, Found, Scan};
use crate::{OpenError, embedded, journal, reads, store, tables};

const ROWS: i64 = 500;
/// The format that brought ledger and journal.
const LEDGER: i64 = 2;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// A relay had the spool open.
    pub running: bool,
    /// Format of the database.
    pub format: i64,
    /// Queued messages whose bodies were read and compared with their checksums.
    pub messages: u64,
    /// Octets of these bodies.
    pub octets: u64,
    /// Segments there are.
    pub segments: u64,
    /// Accepted messages whose rows are not yet written; a start takes them over.
    pub waiting: u64,
    /// Recipients.
    pub counters: Counters,
    /// Entries of the ledger: what was spent of the budgets.
    pub spent: u64,
    /// Things remembered over restarts.
    pub remembered: u64,
    /// Transactions under way, or that were when the relay ended; a start treats them as unconfirmed.
    pub under_way: u64,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.running { "in use by a relay" } else { "at rest" };
        let counters = &self.counters;
        writeln!(f, "format {}, {state}", self.format)?;
        writeln!(f, "{} queued messages, {} octets in {} segments", self.messages, self.octets, self.segments)?;
        if self.waiting > 0 {
            writeln!(f, "{} more are accepted and have no row yet (normal; a start takes them over)", self.waiting)?;
        }
        writeln!(
            f,
            "recipients: {} accepted = {} queued + {} handed over + {} bounced + {} expired + {} removed",
            counters.accepted,
            counters.queued,
            counters.handed_over,
            counters.bounced,
            counters.expired,
            counters.removed
        )?;
        writeln!(f, "{} entries in the ledger of budgets, {} things remembered", self.spent, self.remembered)?;
        match (self.under_way, self.running) {
            (0, _) => {}
            (open, true) => writeln!(f, "{open} transactions are under way")?,
            (open, false) => {
                writeln!(f, "{open} transactions were under way; a start treats their messages as unconfirmed")?;
            }
        }
        if self.is_sound() {
            return writeln!(f, "no problem found");
        }
        write_lines(f, &format!("{} problems:", self.problems.len()), &self.problems)
    }
}

/// See the head of this file.
pub fn check(dir: &Path) -> Result<CheckReport, ToolError> {
    existing(dir)?;
    let lock = match embedded::take_lock(dir) {
        Ok(lock) => Some(lock),
        Err(OpenError::InUse { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if !tables::path(dir).exists() {
        return Err(OpenError::DatabaseMissing { dir: dir.to_owned() }.into());
    }
    let (connection, format) = tables::open_existing(dir)?;
    let mut check = Check {
        dir,
        connection,
        report: CheckReport {
            running: lock.is_none(),
            format,
            messages: 0,
            octets: 0,
            segments: 0,
            waiting: 0,
            counters: Counters::default(),
            spent: 0,
            remembered: 0,
            under_way: 0,
            problems: Vec::new(),
        },
        live: HashMap::new(),
        waiting: HashSet::new(),
    };
    match check.run() {
        // What cannot be read is a finding, not a reason to report nothing.
        Err(ToolError::Database(error)) => check.report.problems.push(format!("spool.db: {error}")),
        other => other?,
    }
    Ok(check.report)
}

struct Check<'a> {
    dir: &'a Path,
    connection: Connection,
    report: CheckReport,
    live: HashMap<u64, i64>,
    waiting: HashSet<MessageId>,
}

struct Checked {
    id: MessageId,
    location: Location,
    counts: Counts,
    document: String,
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), ToolError> {
        self.structure()?;
        self.report.counters = reads::counters(&self.connection)?;
        if !self.report.counters.conserved() {
            self.report
                .problems
                .push("recipients are not conserved: the sum of the parts is not what was accepted".to_owned());
        }
        self.messages()?;
        if !self.report.running {
            self.segment_counts()?;
        }
        self.tail()?;
        if self.report.format >= LEDGER {
            self.ledger()?;
            self.journal()?;
        }
        Ok(())
    }

    fn structure(&mut self) -> Result<(), ToolError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(100)")?;
        let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        self.report
            .problems
            .extend(lines.into_iter().filter(|line| line != "ok").map(|line| format!("spool.db: {line}")));
        Ok(())
    }

    fn messages(&mut self) -> Result<(), ToolError> {
        let mut after = -1;
        loop {
            let rows = self.rows(after)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.to_i64();
            for row in rows {
                self.message(row)?;
            }
        }
    }

    fn rows(&self, after: i64) -> Result<Vec<Checked>, ToolError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT segment, offset, octets, body_at, size, checksum, big, id, queued, handed_over, bounced, expired, removed, \
             document FROM message WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let rows = statement.query_map(params![after, ROWS], |row| {
            let counts = Counts {
                queued: row.get(8)?,
                handed_over: row.get(9)?,
                bounced: row.get(10)?,
                expired: row.get(11)?,
                removed: row.get(12)?,
            };
            let id = MessageId::from_i64(row.get(7)?).ok_or(rusqlite::Error::IntegralValueOutOfRange(7, -1))?;
            Ok(Checked { id, location: tables::location(row)?, counts, document: row.get(13)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn message(&mut self, row: Checked) -> Result<(), ToolError> {
        self.report.messages += 1;
        self.report.octets += row.location.size;
        *self.live.entry(row.location.place.segment).or_default() += 1;
        match serde_json::from_str::<Message>(&row.document) {
            Ok(message) if message.id == row.id && Counts::of(&message) == row.counts => {}
            Ok(_) => self.report.problems.push(format!("message {}: its document and its row differ", row.id)),
            Err(error) => {
                self.report.problems.push(format!("message {}: its document cannot be read: {error}", row.id))
            }
        }
        if let Err(what) = body(self.dir, row.id, &row.location)
            && self.location(row.id)? == Some(row.location)
        {
            self.report.problems.push(format!("message {}: {what}", row.id));
        }
        Ok(())
    }

    /// Where it is now; a running relay may have settled or moved it meanwhile.
    fn location(&self, id: MessageId) -> Result<Option<Location>, ToolError> {
        let sql = "SELECT segment, offset, octets, body_at, size, checksum, big FROM message WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([id.to_i64()], tables::location).optional()?)
    }

    fn segment_counts(&mut self) -> Result<(), ToolError> {
        let mut statement = self.connection.prepare("SELECT id, live FROM segment ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((natural(row.get(0)?), row.get::<_, i64>(1)?)))?;
        for row in rows {
            let (segment, live) = row?;
            let counted = self.live.remove(&segment).unwrap_or(0);
            if live != counted {
                self.report
                    .problems
                    .push(format!("segment {segment}: {live} live records are noted, {counted} are there"));
            }
        }
        let unnoted = self.live.keys().map(|segment| format!("segment {segment}: it is not in the table of segments"));
        self.report.problems.extend(unnoted);
        Ok(())
    }

    fn ledger(&mut self) -> Result<(), ToolError> {
        let count = |sql: &str| self.connection.query_row(sql, [], |row| row.get(0).map(natural));
        self.report.spent = count("SELECT count(*) FROM spent")?;
        self.report.remembered = count("SELECT count(*) FROM remembered")?;
        let senseless = count("SELECT count(*) FROM spent WHERE amount <= 0 OR budget = ''")?;
        if senseless > 0 {
            self.report
                .problems
                .push(format!("ledger: {senseless} entries say that nothing was spent, or of no budget"));
        }
        Ok(())
    }

    fn journal(&mut self) -> Result<(), ToolError> {
        let path = journal::path(self.dir);
        let scan = journal::scan(self.dir).map_err(io("read", &path))?;
        for entry in &scan.entries {
            let sql = "SELECT journal FROM message WHERE id = ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let done_below: Option<i64> =
                statement.query_row([entry.last_byte.id.to_i64()], |row| row.get(0)).optional()?;
            let waits = done_below.is_none() && self.waiting.contains(&entry.last_byte.id);
            self.report.under_way += u64::from(waits || done_below.is_some_and(|below| entry.number >= below));
        }
        // After a crash a write may have been cut off, and a running relay may be in the middle of one.
        let clean: bool = self.connection.query_row("SELECT clean FROM mark", [], |row| row.get(0))?;
        if clean && !self.report.running {
            let bad = scan.bad.iter().map(|slot| u64::from(*slot) * journal::SLOT);
            let bad = bad.map(|at| format!("attempts.journal, offset {at}: the entry cannot be read"));
            self.report.problems.extend(bad);
        }
        Ok(())
    }

    /// What lies past the mark.
    fn tail(&mut self) -> Result<(), ToolError> {
        let mark = self.connection.query_row("SELECT segment, offset FROM mark", [], |row| {
            Ok(Place { segment: natural(row.get(0)?), offset: natural(row.get(1)?) })
        })?;
        let segments = segment::list(self.dir).map_err(io("read", self.dir))?;
        self.report.segments = segments.len() as u64;
        let newest = segments.last().copied();
        for segment in segments.into_iter().filter(|segment| *segment >= mark.segment) {
            let from = if segment == mark.segment { mark.offset } else { 0 };
            let path = segment::path(self.dir, segment);
            match self.tail_of(segment, from, newest == Some(segment)) {
                Err(ToolError::Io { .. }) if self.report.running => {}
                Err(error) => return Err(error),
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(io("read", &path)(error)),
            }
        }
        Ok(())
    }

    fn tail_of(&mut self, segment: u64, from: u64, newest: bool) -> Result<std::io::Result<()>, ToolError> {
        let path = segment::path(self.dir, segment);
        let file = std::fs::File::open(&path).map_err(io("open", &path))?;
        let mut statement = self.connection.prepare_cached("SELECT valid_to FROM segment WHERE id = ?1")?;
        let valid_to: Option<Option<i64>> =
            statement.query_row([segment.cast_signed()], |row| row.get(0)).optional()?;
        drop(statement);
        let valid_to = valid_to.flatten().map(natural);
        let mut scan = match Scan::new(&file, segment, valid_to) {
            Ok(scan) => scan,
            Err(error) => return Ok(Err(error)),
        };
        let mut bad = Vec::new();
        loop {
            match scan.next() {
                Err(error) => return Ok(Err(error)),
                Ok(None) => break,
                Ok(Some(Found::Bad { at, octets })) => bad.push((at, octets)),
                Ok(Some(Found::Record(stored))) => {
                    if stored.at >= from && !self.is_known(stored.header.id)? {
                        self.report.waiting += 1;
                        self.waiting.insert(stored.header.id);
                    }
                }
            }
        }
        for (at, octets) in bad {
            // A running relay may be in the middle of a write.
            let cut_off = newest && valid_to.is_none() && at >= scan.last_group_at;
            if !cut_off {
                self.report.problems.push(format!("segment {segment}, offset {at}: {octets} octets cannot be read"));
            }
        }
        Ok(Ok(()))
    }

    fn is_known(&self, id: MessageId) -> Result<bool, ToolError> {
        let sql = "SELECT 1 FROM message WHERE id = ?1 UNION ALL SELECT 1 FROM history WHERE id = ?1";
        Ok(self.connection.prepare_cached(sql)?.exists([id.to_i64()])?)
    }
}

/// Whether a body is what was stored.
fn body(dir: &Path, id: MessageId, at: &Location) -> Result<(), String> {
    let path = if at.big { store::big_path(dir, id) } else { segment::path(dir, at.place.segment) };
    let file = std::fs::File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match segment::checksum_at(&file, at.body_at, at.size) {
        Ok(found) if found == at.checksum => Ok(()),
        Ok(_) => Err(format!("its body is damaged ({}, offset {}, {} octets)", path.display(), at.body_at, at.size)),
        Err(error) => Err(format!("its body cannot be read ({}, offset {}): {error}", path.display(), at.body_at)),
    }
}
