//! The database: opening, migrating, and every statement that writes or that the committer asks.

use std::path::{Path, PathBuf};

use queue::{Class, LaneName, MessageId};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row as SqlRow, params};

use crate::OpenError;
use crate::row::{Columns, Counts, Location, Place, Row, class_name, integer, natural};

/// `PHSP`
const APPLICATION: i64 = 0x5048_5350;
/// Forwards only; the number of a migration is its place in this list.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_first.sql"), include_str!("migrations/0002_ledger.sql")];

/// Its file.
pub(crate) fn path(spool: &Path) -> PathBuf {
    spool.join("spool.db")
}

/// Why a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The disk is full.
    Full(String),
    /// What the connection believes can no longer be trusted.
    Broken(String),
    /// The statement's own fault, or another process holds the database.
    Refused(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let text = format!("database: {error}");
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(text),
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::InternalMalfunction
                | ErrorCode::ApiMisuse,
            ) => Self::Broken(text),
            _ => Self::Refused(text),
        }
    }
}

/// What changes in the row of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentChange {
    pub(crate) live: i64,
    pub(crate) live_octets: i64,
    pub(crate) octets: i64,
}

/// What is known of a queued message without its document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) location: Location,
    pub(crate) counts: Counts,
}

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) connection: Connection,
    synced: Option<bool>,
}

impl Tables {
    /// Opens, makes or migrates.
    pub(crate) fn open(spool: &Path) -> Result<Self, OpenError> {
        Self::open_at(&path(spool), spool)
    }

    /// The same in another file.
    pub(crate) fn open_at(path: &Path, spool: &Path) -> Result<Self, OpenError> {
        let connection = Connection::open(path).map_err(|error| Refusal::Sql(error).at(path))?;
        prepare(&connection, spool, path).map_err(|refusal| refusal.at(path))?;
        Ok(Self { connection, synced: None })
    }

    /// `synced`: on stable storage when the commit returns. Otherwise the next synced commit, or a checkpoint, sees to it.
    pub(crate) fn begin(&mut self, synced: bool) -> Result<(), Trouble> {
        if self.synced != Some(synced) {
            self.synced = None;
            self.connection.execute_batch(if synced {
                "PRAGMA synchronous=FULL"
            } else {
                "PRAGMA synchronous=NORMAL"
            })?;
            self.synced = Some(synced);
        }
        self.run("BEGIN IMMEDIATE")
    }

    pub(crate) fn commit(&self) -> Result<(), Trouble> {
        self.run("COMMIT")
    }

    /// Some errors have rolled back already.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            let _ = self.run("ROLLBACK");
        }
    }

    fn run(&self, sql: &str) -> Result<(), Trouble> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// False if a row with this id is there already. `journal`: entries with a lower number are done with.
    pub(crate) fn insert_message(
        &self,
        row: &Row,
        columns: &Columns,
        document: &str,
        journal: i64,
    ) -> Result<bool, Trouble> {
        let (place, at, counts) = (row.location.place, &row.location, &columns.counts);
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO message (id, lane, class, due, held, queued, handed_over, bounced, expired, removed, accepted_at, \
             segment, offset, octets, body_at, size, checksum, big, document, journal) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
             ON CONFLICT (id) DO NOTHING",
        )?;
        let inserted = statement.execute(params![
            row.id.to_i64(),
            &*columns.lane.0,
            class_name(columns.class),
            columns.due,
            columns.held,
            counts.queued,
            counts.handed_over,
            counts.bounced,
            counts.expired,
            counts.removed,
            columns.accepted_at,
            integer(place.segment),
            integer(place.offset),
            integer(at.octets),
            integer(at.body_at),
            integer(at.size),
            at.checksum,
            at.big,
            document,
            journal,
        ])?;
        Ok(inserted == 1)
    }

    pub(crate) fn update_message(
        &self,
        id: MessageId,
        columns: &Columns,
        document: &str,
        journal: i64,
    ) -> Result<(), Trouble> {
        let counts = &columns.counts;
        let mut statement = self.connection.prepare_cached(
            "UPDATE message SET lane = ?2, class = ?3, due = ?4, held = ?5, queued = ?6, handed_over = ?7, bounced = ?8, \
             expired = ?9, removed = ?10, document = ?11, journal = ?12 WHERE id = ?1",
        )?;
        statement.execute(params![
            id.to_i64(),
            &*columns.lane.0,
            class_name(columns.class),
            columns.due,
            columns.held,
            counts.queued,
            counts.handed_over,
            counts.bounced,
            counts.expired,
            counts.removed,
            document,
            journal,
        ])?;
        Ok(())
    }

    pub(crate) fn delete_message(&self, id: MessageId) -> Result<(), Trouble> {
        self.connection.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id.to_i64()])?;
        Ok(())
    }

    pub(crate) fn insert_history(&self, id: MessageId, settled_at: i64, document: &str) -> Result<(), Trouble> {
        let mut statement = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO history (id, settled_at, document) VALUES (?1, ?2, ?3)")?;
        statement.execute(params![id.to_i64(), settled_at, document])?;
        Ok(())
    }

    /// A queued message.
    pub(crate) fn known(&self, id: MessageId) -> Result<Option<Known>, Trouble> {
        let mut statement = self.connection.prepare_cached(
            "SELECT segment, offset, octets, body_at, size, checksum, big, queued, handed_over, bounced, expired, removed \
             FROM message WHERE id = ?1",
        )?;
        let known = |row: &SqlRow<'_>| {
            let counts = Counts {
                queued: row.get(7)?,
                handed_over: row.get(8)?,
                bounced: row.get(9)?,
                expired: row.get(10)?,
                removed: row.get(11)?,
            };
            Ok(Known { location: location(row)?, counts })
        };
        Ok(statement.query_row([id.to_i64()], known).optional()?)
    }

    /// A queued message with its document.
    pub(crate) fn document(&self, id: MessageId) -> Result<Option<(Location, String)>, Trouble> {
        let sql = "SELECT segment, offset, octets, body_at, size, checksum, big, document FROM message WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([id.to_i64()], |row| Ok((location(row)?, row.get(7)?))).optional()?)
    }

    /// A settled message.
    pub(crate) fn settled(&self, id: MessageId) -> Result<bool, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT 1 FROM history WHERE id = ?1")?;
        Ok(statement.exists([id.to_i64()])?)
    }

    /// Walks the line of a lane and class, in order of (due, id), until `visit` has enough.
    pub(crate) fn line(
        &self,
        lane: &LaneName,
        class: Class,
        mut visit: impl FnMut(i64, MessageId) -> bool,
    ) -> Result<(), Trouble> {
        let mut statement = self.connection.prepare_cached(
            "SELECT due, id FROM message WHERE lane = ?1 AND class = ?2 AND held = 0 ORDER BY due, id",
        )?;
        let mut rows = statement.query(params![&*lane.0, class_name(class)])?;
        while let Some(row) = rows.next()? {
            let Some(id) = MessageId::from_i64(row.get(1)?) else { continue };
            if !visit(row.get(0)?, id) {
                break;
            }
        }
        Ok(())
    }

    /// False if the message is not at `from` any more.
    pub(crate) fn relocate(&self, id: MessageId, from: Place, to: &Location) -> Result<bool, Trouble> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE message SET segment = ?4, offset = ?5, octets = ?6, body_at = ?7 \
             WHERE id = ?1 AND segment = ?2 AND offset = ?3",
        )?;
        let changed = statement.execute(params![
            id.to_i64(),
            integer(from.segment),
            integer(from.offset),
            integer(to.place.segment),
            integer(to.place.offset),
            integer(to.octets),
            integer(to.body_at),
        ])?;
        Ok(changed == 1)
    }

    pub(crate) fn change_segment(&self, segment: u64, change: SegmentChange) -> Result<(), Trouble> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO segment (id, live, live_octets, octets) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET \
             live = live + excluded.live, live_octets = live_octets + excluded.live_octets, octets = octets + excluded.octets",
        )?;
        statement.execute(params![integer(segment), change.live, change.live_octets, change.octets])?;
        Ok(())
    }

    /// Nothing in the segment from `end` on was acknowledged.
    pub(crate) fn end_segment(&self, segment: u64, end: u64) -> Result<(), Trouble> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO segment (id, live, live_octets, octets, valid_to) VALUES (?1, 0, 0, 0, ?2) \
             ON CONFLICT (id) DO UPDATE SET valid_to = excluded.valid_to",
        )?;
        statement.execute(params![integer(segment), integer(end)])?;
        Ok(())
    }

    /// Where the acknowledged part of a segment ends, if its writer had to give up.
    pub(crate) fn valid_to(&self, segment: u64) -> Result<Option<u64>, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT valid_to FROM segment WHERE id = ?1")?;
        let found: Option<Option<i64>> = statement.query_row([integer(segment)], |row| row.get(0)).optional()?;
        Ok(found.flatten().map(natural))
    }

    /// Segments before this one in which nothing lives.
    pub(crate) fn dead_segments(&self, before: u64) -> Result<Vec<u64>, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM segment WHERE live <= 0 AND id < ?1")?;
        let ids = statement.query_map([integer(before)], |row| row.get(0).map(natural))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// The segments that have rows.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM segment ORDER BY id")?;
        let ids = statement.query_map([], |row| row.get(0).map(natural))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Whether the one segment has only dead records, `least` octets of them or more.
    pub(crate) fn is_dead_weight(&self, segment: u64, least: u64) -> Result<bool, Trouble> {
        let mut statement =
            self.connection.prepare_cached("SELECT 1 FROM segment WHERE id = ?1 AND live = 0 AND octets >= ?2")?;
        Ok(statement.exists([integer(segment), integer(least)])?)
    }

    /// The emptiest segment before this one of which less than three tenths live.
    pub(crate) fn sparse_segment(&self, before: u64) -> Result<Option<u64>, Trouble> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id FROM segment WHERE live > 0 AND live_octets * 10 < octets * 3 AND id < ?1 ORDER BY live_octets LIMIT 1",
        )?;
        Ok(statement.query_row([integer(before)], |row| row.get(0)).optional()?.map(natural))
    }

    /// Messages whose records are in a segment, from `after` on.
    pub(crate) fn in_segment(&self, segment: u64, after: i64, most: u32) -> Result<Vec<MessageId>, Trouble> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM message WHERE segment = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
        let ids = statement.query_map(params![integer(segment), after, most], |row| row.get(0))?;
        let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
        Ok(ids.into_iter().filter_map(MessageId::from_i64).collect())
    }

    /// How many messages' records are in a segment.
    pub(crate) fn count_in_segment(&self, segment: u64) -> Result<u64, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM message WHERE segment = ?1")?;
        Ok(natural(statement.query_row([integer(segment)], |row| row.get(0))?))
    }

    pub(crate) fn forget_segment(&self, segment: u64) -> Result<(), Trouble> {
        self.connection.prepare_cached("DELETE FROM segment WHERE id = ?1")?.execute([integer(segment)])?;
        Ok(())
    }

    pub(crate) fn count(&self, name: &str, more: i64) -> Result<(), Trouble> {
        let mut statement = self.connection.prepare_cached("UPDATE counter SET value = value + ?2 WHERE name = ?1")?;
        statement.execute(params![name, more])?;
        Ok(())
    }

    /// Where the mark is, and whether the spool was closed in good order.
    pub(crate) fn mark(&self) -> Result<(Place, bool), Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT segment, offset, clean FROM mark")?;
        Ok(statement.query_row([], |row| {
            Ok((Place { segment: natural(row.get(0)?), offset: natural(row.get(1)?) }, row.get(2)?))
        })?)
    }

    /// Always writes: a commit that changes nothing would not be synced, and neither would those before it. Gives the turn:
    /// if it is in the database later, this transaction has taken effect.
    pub(crate) fn set_mark(&self, mark: Place, clean: bool) -> Result<i64, Trouble> {
        let mut statement = self
            .connection
            .prepare_cached("UPDATE mark SET segment = ?1, offset = ?2, clean = ?3, turn = 1 - turn RETURNING turn")?;
        let arguments = params![integer(mark.segment), integer(mark.offset), clean];
        Ok(statement.query_row(arguments, |row| row.get(0))?)
    }

    /// See `set_mark`.
    pub(crate) fn turn(&self) -> Result<i64, Trouble> {
        Ok(self.connection.prepare_cached("SELECT turn FROM mark")?.query_row([], |row| row.get(0))?)
    }

    /// Numbers for the journal that nobody has had, from the one given back on; none is below `least`.
    pub(crate) fn take_numbers(&self, least: i64, how_many: i64) -> Result<i64, Trouble> {
        let mut statement =
            self.connection.prepare_cached("UPDATE mark SET journal = max(journal, ?1) + ?2 RETURNING journal - ?2")?;
        Ok(statement.query_row([least, how_many], |row| row.get(0))?)
    }

    /// What is done with of a queued message's journal, and its document.
    pub(crate) fn journal_of(&self, id: MessageId) -> Result<Option<(i64, String)>, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT journal, document FROM message WHERE id = ?1")?;
        Ok(statement.query_row([id.to_i64()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// The highest id that has a row.
    pub(crate) fn last_id(&self) -> Result<Option<MessageId>, Trouble> {
        let sql =
            "SELECT max(coalesce((SELECT max(id) FROM message), -1), coalesce((SELECT max(id) FROM history), -1))";
        let found: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(MessageId::from_i64(found))
    }

    /// Deletes at most so many rows of the history.
    pub(crate) fn prune(&self, before: i64, most: u32) -> Result<u64, Trouble> {
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE settled_at < ?1 ORDER BY settled_at LIMIT ?2)",
        )?;
        Ok(statement.execute(params![before, most])? as u64)
    }

    /// Deletes at most so many rows of the history, those settled first.
    pub(crate) fn forget(&self, most: u64) -> Result<u64, Trouble> {
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM history WHERE id IN (SELECT id FROM history ORDER BY settled_at, id LIMIT ?1)",
        )?;
        Ok(statement.execute([integer(most)])? as u64)
    }

    /// Rows of the history; looks at all of them.
    pub(crate) fn count_history(&self) -> Result<u64, Trouble> {
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM history")?;
        Ok(natural(statement.query_row([], |row| row.get(0))?))
    }

    /// Gives at most so many free pages back. True if there are more.
    pub(crate) fn vacuum(&self, pages: u32) -> Result<bool, Trouble> {
        let free: i64 = self.connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        if free <= i64::from(pages) {
            return Ok(false);
        }
        // One page a step: it must be stepped to its end.
        let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        Ok(true)
    }
}

/// From the first seven columns: segment, offset, octets, body_at, size, checksum, big.
pub(crate) fn location(row: &SqlRow<'_>) -> rusqlite::Result<Location> {
    Ok(Location {
        place: Place { segment: natural(row.get(0)?), offset: natural(row.get(1)?) },
        octets: natural(row.get(2)?),
        body_at: natural(row.get(3)?),
        size: natural(row.get(4)?),
        checksum: row.get(5)?,
        big: row.get(6)?,
    })
}

/// A connection that cannot write, for reading beside the committer.
pub(crate) fn open_to_read(spool: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path(spool), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.execute_batch("PRAGMA cache_size=-1024")?;
    Ok(connection)
}

enum Refusal {
    Sql(rusqlite::Error),
    Open(Box<OpenError>),
}

impl Refusal {
    fn at(self, path: &Path) -> OpenError {
        match self {
            Self::Sql(error) => OpenError::Database { path: path.to_owned(), error: error.to_string() },
            Self::Open(error) => *error,
        }
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn prepare(connection: &Connection, spool: &Path, path: &Path) -> Result<(), Refusal> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    let version = version(connection, spool, path)?;
    // These must come before the first table; on an existing database they change nothing.
    connection.execute_batch("PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;")?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let error = format!("its journal mode is `{mode}`, WAL is not to be had on this file system");
        return Err(Refusal::Open(Box::new(OpenError::Database { path: path.to_owned(), error })));
    }
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=33554432; \
         PRAGMA cache_size=-12288; PRAGMA temp_store=MEMORY;",
    )?;
    migrate(connection, version)
}

/// The format, 0 for an empty database. Refuses what is not ours or too new.
fn version(connection: &Connection, spool: &Path, path: &Path) -> Result<i64, Refusal> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || tables != 0) {
        return Err(Refusal::Open(Box::new(OpenError::Foreign { path: path.to_owned() })));
    }
    let known = MIGRATIONS.len() as i64;
    if version > known {
        return Err(Refusal::Open(Box::new(OpenError::Newer { dir: spool.to_owned(), found: version, known })));
    }
    Ok(version)
}

/// The database of an existing spool for reading, after its format has been looked at.
pub(crate) fn open_existing(spool: &Path) -> Result<(Connection, i64), OpenError> {
    let path = path(spool);
    let connection = open_to_read(spool).map_err(|error| Refusal::Sql(error).at(&path))?;
    let version = version(&connection, spool, &path).map_err(|refusal| refusal.at(&path))?;
    Ok((connection, version))
}

fn migrate(connection: &Connection, version: i64) -> Result<(), Refusal> {
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(version).unwrap_or(0)) {
        let number = index + 1;
        let sql = format!(
            "BEGIN IMMEDIATE; {migration} PRAGMA application_id={APPLICATION}; PRAGMA user_version={number}; COMMIT;"
        );
        if let Err(error) = connection.execute_batch(&sql) {
            let _ = connection.execute_batch("ROLLBACK");
            return Err(error.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(connection: &Connection, sql: &str) -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        steps.map(|step| step.unwrap() + "\n").collect()
    }

    #[test]
    fn lines_and_counts_are_read_from_an_index_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tables = Tables::open(dir.path()).unwrap();
        for sql in [
            "SELECT due, id FROM message WHERE lane = 'a' AND class = 'new' AND held = 0 ORDER BY due, id",
            "SELECT lane, count(*), min(due) FROM message WHERE held = 0 GROUP BY lane",
            "SELECT DISTINCT lane FROM message WHERE held = 1",
            "SELECT count(*), sum(queued), sum(held), min(accepted_at) FROM message",
            "SELECT id FROM message WHERE segment = 1 AND id > 2 ORDER BY id LIMIT 3",
        ] {
            let plan = plan(&tables.connection, sql);
            assert!(plan.contains("COVERING INDEX") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
    }

    #[test]
    fn a_synced_commit_writes_something_even_if_the_mark_has_not_moved() {
        let dir = tempfile::tempdir().unwrap();
        let mut tables = Tables::open(dir.path()).unwrap();
        let log = || dir.path().join("spool.db-wal").metadata().unwrap().len();
        let before = log();
        for times in 1..4 {
            tables.begin(true).unwrap();
            let (mark, _) = tables.mark().unwrap();
            tables.set_mark(mark, true).unwrap();
            tables.commit().unwrap();
            assert!(log() >= before + times * 4096, "SQLite syncs only what it writes");
        }
    }

    #[test]
    fn the_database_is_as_it_must_be_for_its_promises() {
        let dir = tempfile::tempdir().unwrap();
        let mut tables = Tables::open(dir.path()).unwrap();
        tables.begin(true).unwrap();
        tables.commit().unwrap();
        let pragma = |name: &str| {
            tables
                .connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        let expected =
            [("synchronous", 2), ("auto_vacuum", 2), ("page_size", 4096), ("user_version", MIGRATIONS.len() as i64)];
        for (name, value) in expected {
            assert_eq!(pragma(name), value.into(), "{name}");
        }
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    }
}
