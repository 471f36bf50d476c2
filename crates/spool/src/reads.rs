//! Questions that only read: find, list, history, lanes, counters. They have a connection of their own and run beside the
//! committer.
//!
//! Every question is made of short reads, a bounded number of rows each: a long one would keep SQLite from starting its log
//! over.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use queue::{BudgetName, Counters, Filter, LaneDepth, LaneName, Listing, Message, MessageId, Spend, SpoolError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::row::{Location, nanoseconds, natural, timestamp};
use crate::sync::lock;
use crate::tables;

/// Rows looked at in one read.
const ROWS: i64 = 1000;
/// The most that a page may have.
const PAGE: usize = 1000;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Reader {
    spool: PathBuf,
    connection: Mutex<Option<Connection>>,
}

/// One of the two tables that a filter applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// Oldest first.
    Queued,
    /// Newest first.
    History,
}

impl Reader {
    pub(crate) fn new(spool: &Path) -> Self {
        Self { spool: spool.to_owned(), connection: Mutex::new(None) }
    }

    /// The next question opens it again.
    pub(crate) fn close(&self) {
        *lock(&self.connection) = None;
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, SpoolError> {
        let failed = |error: rusqlite::Error| SpoolError::Failed(format!("database: {error}"));
        let mut connection = lock(&self.connection);
        let open = match connection.take() {
            Some(open) => open,
            None => tables::open_to_read(&self.spool).map_err(failed)?,
        };
        // Put back only if it works.
        let answer = question(&open).map_err(failed)?;
        *connection = Some(open);
        Ok(answer)
    }

    /// Where a queued message's body is.
    pub(crate) fn location(&self, id: MessageId) -> Result<Option<Location>, SpoolError> {
        self.ask(|connection| {
            let sql = "SELECT segment, offset, octets, body_at, size, checksum, big FROM message WHERE id = ?1";
            connection.prepare_cached(sql)?.query_row([id.to_i64()], tables::location).optional()
        })
    }

    /// A message, queued or settled.
    pub(crate) fn find(&self, id: MessageId) -> Result<Option<Message>, SpoolError> {
        let document = self.ask(|connection| {
            let sql = "SELECT document FROM message WHERE id = ?1 UNION ALL SELECT document FROM history WHERE id = ?1";
            connection.prepare_cached(sql)?.query_row([id.to_i64()], |row| row.get::<_, String>(0)).optional()
        })?;
        document.map(|document| parse(id, &document)).transpose()
    }

    pub(crate) fn list(&self, filter: &Filter, after: Option<MessageId>, most: usize) -> Result<Listing, SpoolError> {
        self.page(Table::Queued, filter, after, most)
    }

    pub(crate) fn history(
        &self,
        filter: &Filter,
        before: Option<MessageId>,
        most: usize,
    ) -> Result<Listing, SpoolError> {
        self.page(Table::History, filter, before, most)
    }

    fn page(&self, table: Table, filter: &Filter, from: Option<MessageId>, most: usize) -> Result<Listing, SpoolError> {
        let most = most.clamp(1, PAGE);
        let needles = Needles::of(filter);
        let mut messages = Vec::new();
        let mut from = from.map(MessageId::to_i64);
        loop {
            let rows = self.rows(table, filter, &needles, from)?;
            let last = rows.last().map(|(id, _)| *id);
            for (id, document) in rows {
                let Some(message) = document.and_then(|document| read(id, &document)) else { continue };
                if !matches(filter, &message) {
                    continue;
                }
                if messages.len() == most {
                    let next = messages.last().map(|message: &Message| message.id);
                    return Ok(Listing { messages, next });
                }
                messages.push(message);
            }
            match last {
                Some(last) => from = Some(last),
                None => return Ok(Listing { messages, next: None }),
            }
        }
    }

    /// The next rows; only those have their document that may match.
    fn rows(
        &self,
        table: Table,
        filter: &Filter,
        needles: &Needles,
        from: Option<i64>,
    ) -> Result<Vec<(i64, Option<String>)>, SpoolError> {
        let wanted =
            "CASE WHEN (?2 IS NULL OR document LIKE ?2 ESCAPE '\\') AND (?3 IS NULL OR document LIKE ?3 ESCAPE '\\')";
        let sql = match table {
            Table::Queued => format!(
                "SELECT id, {wanted} AND (?4 IS NULL OR lane = ?4) AND (?5 IS NULL OR held = ?5) \
                 AND (?6 IS NULL OR accepted_at < ?6) THEN document END FROM message WHERE id > ?1 ORDER BY id LIMIT ?7"
            ),
            Table::History => format!(
                "SELECT id, {wanted} AND (?4 IS NULL OR json_extract(document, '$.lane') = ?4) AND (?5 IS NULL OR ?5 IN (0, 1)) \
                 AND (?6 IS NULL OR ?6 IS NOT NULL) THEN document END FROM history WHERE id < ?1 ORDER BY id DESC LIMIT ?7"
            ),
        };
        let start = from.unwrap_or(match table {
            Table::Queued => -1,
            Table::History => i64::MAX,
        });
        let lane = filter.lane.as_ref().map(|lane| &*lane.0);
        let older_than = filter.older_than.map(nanoseconds);
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let arguments = params![start, needles.sender, needles.recipient, lane, filter.held, older_than, ROWS];
            statement.query_map(arguments, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    pub(crate) fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT lane, count(*), min(due) FROM message WHERE held = 0 GROUP BY lane \
                 UNION ALL SELECT DISTINCT lane, 0, NULL FROM message WHERE held = 1 ORDER BY 1, 2 DESC",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(LaneDepth {
                    lane: LaneName(row.get::<_, String>(0)?.into()),
                    messages: natural(row.get(1)?),
                    next_due_at: row.get::<_, Option<i64>>(2)?.map(timestamp),
                })
            })?;
            let mut lanes: Vec<LaneDepth> = rows.collect::<Result<_, _>>()?;
            // A lane with both kinds has two rows; the one that counts comes first.
            lanes.dedup_by(|second, first| second.lane == first.lane);
            Ok(lanes)
        })
    }

    pub(crate) fn counters(&self) -> Result<Counters, SpoolError> {
        self.ask(counters)
    }

    /// What was spent since then, in milliseconds; oldest first.
    pub(crate) fn ledger(&self, since: i64) -> Result<Vec<Spend>, SpoolError> {
        let (mut spent, mut last) = (Vec::new(), (String::new(), i64::MIN));
        loop {
            let rows: Vec<(String, i64, i64)> = self.ask(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT budget, at, amount FROM spent WHERE (budget, at) > (?1, ?2) AND at >= ?3 \
                     ORDER BY budget, at LIMIT ?4",
                )?;
                let arguments = params![last.0, last.1, since, ROWS];
                statement.query_map(arguments, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
            })?;
            let Some((budget, at, _)) = rows.last() else { break };
            last = (budget.clone(), *at);
            rows.into_iter().for_each(|(budget, at, amount)| add(&mut spent, &budget, at, natural(amount)));
        }
        spent.sort_by_key(|spend: &Spend| spend.at);
        Ok(spent)
    }

    /// What is remembered under keys that begin so.
    pub(crate) fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, SpoolError> {
        self.ask(|connection| {
            let sql = "SELECT key, value FROM remembered WHERE key >= ?1 ORDER BY key";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([prefix], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            rows.take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix))).collect()
        })
    }
}

/// Another row of the ledger. An entry holds less than a row can.
fn add(spent: &mut Vec<Spend>, budget: &str, at: i64, mut amount: u64) {
    let name = match spent.last() {
        Some(last) if *last.budget.0 == *budget => last.budget.clone(),
        _ => BudgetName(budget.into()),
    };
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX);
    while amount > 0 {
        let part = u32::try_from(amount).unwrap_or(u32::MAX);
        amount -= u64::from(part);
        spent.push(Spend { budget: name.clone(), at, amount: part });
    }
}

/// Counted from the rows (by an index), beside the sums kept with every commit; both of one state of the database.
pub(crate) fn counters(connection: &Connection) -> rusqlite::Result<Counters> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(queued), 0), coalesce(sum(held), 0), min(accepted_at), \
         (SELECT value FROM counter WHERE name = 'accepted'), (SELECT value FROM counter WHERE name = 'handed_over'), \
         (SELECT value FROM counter WHERE name = 'bounced'), (SELECT value FROM counter WHERE name = 'expired'), \
         (SELECT value FROM counter WHERE name = 'removed') FROM message",
    )?;
    statement.query_row([], |row| {
        let number = |column: usize| row.get(column).map(natural);
        Ok(Counters {
            messages: number(0)?,
            queued: number(1)?,
            held: number(2)?,
            oldest: row.get::<_, Option<i64>>(3)?.map(timestamp),
            accepted: number(4)?,
            handed_over: number(5)?,
            bounced: number(6)?,
            expired: number(7)?,
            removed: number(8)?,
        })
    })
}

/// Patterns that let SQLite pass over rows that cannot match, without making a message of each.
#[derive(Debug)]
struct Needles {
    sender: Option<String>,
    recipient: Option<String>,
}

impl Needles {
    fn of(filter: &Filter) -> Self {
        Self {
            sender: filter.sender.as_deref().and_then(pattern),
            recipient: filter.recipient.as_deref().and_then(pattern),
        }
    }
}

/// SQLite folds ASCII only, and the document writes some characters differently: other texts are looked for by us alone.
fn pattern(text: &str) -> Option<String> {
    let plain = text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"' && octet != b'\\');
    plain.then(|| format!("%{}%", text.replace('%', "\\%").replace('_', "\\_")))
}

fn matches(filter: &Filter, message: &Message) -> bool {
    let has = |text: &str, part: &Option<String>| {
        part.as_ref().is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
    };
    filter.lane.as_ref().is_none_or(|lane| *lane == message.lane)
        && filter.held.is_none_or(|held| held == message.hold.is_some())
        && filter.client.as_ref().is_none_or(|client| **client == *message.origin.client)
        && filter.older_than.is_none_or(|before: Timestamp| message.accepted_at < before)
        && has(&message.reverse_path.to_string(), &filter.sender)
        && (filter.recipient.is_none()
            || message.recipients.iter().any(|recipient| has(&recipient.forward_path.to_string(), &filter.recipient)))
}

/// A document as read from the database.
pub(crate) fn parse(id: MessageId, document: &str) -> Result<Message, SpoolError> {
    serde_json::from_str(document)
        .map_err(|error| SpoolError::Damaged { id, what: format!("its document cannot be read: {error}") })
}

/// One that cannot be read must not hide the others.
fn read(id: i64, document: &str) -> Option<Message> {
    let id = MessageId::from_i64(id)?;
    parse(id, document).map_err(|error| tracing::error!(%id, %error, "left out of a list")).ok()
}
