//! What a start does: takes over the records past the mark, and names everything that is not as it should be.
//!
//! A write that was cut off at the end of the newest segment is normal after a crash and was never acknowledged. Anything
//! else that cannot be read is damage and is named with its segment, offset and octets.

use std::path::Path;

use queue::{Message, MessageId};

use crate::journal::{self, Entry, Found as FoundInJournal};
use crate::record::SEGMENT_HEADER;
use crate::row::{Columns, Location, Place, Row};
use crate::segment::{self, Found, Scan, Stored};
use crate::store;
use crate::sys;
use crate::tables::{SegmentChange, Tables, Trouble};

/// Numbers for the entries of one run.
const NUMBERS: i64 = 1 << 32;
/// More lines are only counted.
const LINES: usize = 100;

/// What a start found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) mark: Place,
    pub(crate) last_id: Option<MessageId>,
    pub(crate) journal: FoundInJournal,
    pub(crate) lines: Vec<String>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoveryError {
    #[error("{0:?}")]
    Database(Trouble),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<Trouble> for RecoveryError {
    fn from(trouble: Trouble) -> Self {
        Self::Database(trouble)
    }
}

/// Brings database and segments together. Nobody else has the spool yet.
pub(crate) fn recover(spool: &Path, tables: &mut Tables) -> Result<Recovered, RecoveryError> {
    let (mark, clean) = tables.mark()?;
    tables.begin(true)?;
    let mut recovery = Recovery { spool, tables, last_id: tables.last_id()?, taken: 0, lines: Lines::default() };
    let next = recovery.run(mark, clean)?;
    let journal = recovery.journal(clean)?;
    let Recovery { last_id, mut lines, taken, .. } = recovery;
    if taken > 0 {
        lines.first(format!(
            "{taken} accepted messages were taken over from the segments; their rows had not been written yet"
        ));
    }
    tables.set_mark(next, false)?;
    tables.commit()?;
    Ok(Recovered { mark: next, last_id, journal, lines: lines.done() })
}

struct Recovery<'a> {
    spool: &'a Path,
    tables: &'a Tables,
    last_id: Option<MessageId>,
    taken: u64,
    lines: Lines,
}

impl Recovery<'_> {
    fn run(&mut self, mark: Place, clean: bool) -> Result<Place, RecoveryError> {
        let segments = segment::list(self.spool)?;
        let newest = segments.last().copied();
        for segment in segments.iter().copied().filter(|segment| *segment >= mark.segment) {
            let from = if segment == mark.segment { mark.offset } else { 0 };
            self.scan(segment, from, clean, newest == Some(segment))?;
        }
        self.missing_segments(&segments)?;
        self.unknown_segments(&segments)?;
        self.big_bodies()?;
        // Nothing is ever appended to a segment of an earlier run.
        let next = newest.map_or(mark.segment, |newest| mark.segment.max(newest + 1)).max(1);
        Ok(Place { segment: next, offset: 0 })
    }

    /// Takes over what lies past `from`. What lies before it in the same segment is checked, unless all is known to be well.
    fn scan(&mut self, segment: u64, from: u64, clean: bool, newest: bool) -> Result<(), RecoveryError> {
        let file = std::fs::File::open(segment::path(self.spool, segment))?;
        let valid_to = self.tables.valid_to(segment)?;
        let length = file.metadata()?.len();
        if clean && valid_to.unwrap_or(length) <= from {
            return Ok(());
        }
        let mut scan = Scan::new(&file, segment, valid_to)?;
        let mut bad = Vec::new();
        while let Some(found) = scan.next()? {
            match found {
                Found::Bad { at, octets } => bad.push((at, octets)),
                Found::Record(stored) => self.record(segment, from, stored, &mut bad)?,
            }
        }
        for (at, octets) in bad {
            if newest && valid_to.is_none() && at >= scan.last_group_at && at >= from {
                self.lines.add(format!(
                    "segment {segment}, offset {at}: the last {octets} octets are a write that was cut off; they were never \
                     acknowledged"
                ));
            } else {
                self.lines.add(format!("DAMAGE: segment {segment}, offset {at}: {octets} octets cannot be read"));
            }
        }
        if from == 0 && length < SEGMENT_HEADER {
            self.lines.add(format!("segment {segment} was only just begun; nothing was in it"));
        }
        Ok(())
    }

    fn record(
        &mut self,
        segment: u64,
        from: u64,
        stored: Stored,
        bad: &mut Vec<(u64, u64)>,
    ) -> Result<(), RecoveryError> {
        let (id, at, octets) = (stored.header.id, stored.at, stored.header.octets());
        self.last_id = self.last_id.max(Some(id));
        if let Some(known) = self.tables.known(id)? {
            let here = known.location.place == Place { segment, offset: at };
            if here && !stored.body_sound {
                self.lines.add(format!(
                    "DAMAGE: segment {segment}, offset {at}: the body of message {id} ({octets} octets with its envelope) \
                     cannot be read"
                ));
            }
            return Ok(());
        }
        if at < from || self.tables.settled(id)? {
            return Ok(());
        }
        if !stored.body_sound {
            bad.push((at, octets));
            return Ok(());
        }
        if stored.header.big && !store::big_path(self.spool, id).exists() {
            self.lines.add(format!("DAMAGE: the file big/{id} of message {id} is missing"));
        }
        match row(segment, stored) {
            Ok(row) => self.take(&row)?,
            Err(error) => self.lines.add(format!(
                "DAMAGE: segment {segment}, offset {at}: the record of message {id} makes no sense: {error}"
            )),
        }
        Ok(())
    }

    fn take(&mut self, row: &Row) -> Result<(), RecoveryError> {
        if self.tables.insert_message(row, &row.columns, &row.document, 0)? {
            let octets = row.location.octets.cast_signed();
            let change = SegmentChange { live: 1, live_octets: octets, octets };
            self.tables.change_segment(row.location.place.segment, change)?;
            self.tables.count("accepted", row.columns.counts.total())?;
            for (name, more) in [
                ("handed_over", row.columns.counts.handed_over),
                ("bounced", row.columns.counts.bounced),
                ("expired", row.columns.counts.expired),
                ("removed", row.columns.counts.removed),
            ] {
                if more != 0 {
                    self.tables.count(name, more)?;
                }
            }
            self.taken += 1;
        }
        Ok(())
    }

    /// Rows without their file: the database has gone back to an older state, or somebody deleted it.
    fn missing_segments(&mut self, there: &[u64]) -> Result<(), RecoveryError> {
        for segment in self.tables.segments()? {
            if there.binary_search(&segment).is_ok() {
                continue;
            }
            match self.tables.count_in_segment(segment)? {
                0 => self.tables.forget_segment(segment)?,
                messages => self.lines.add(format!(
                    "DAMAGE: segment {segment} is missing, and with it the bodies of {messages} queued messages"
                )),
            }
        }
        Ok(())
    }

    /// Files without a row in the table of segments get one, so that they are deleted when nothing in them lives.
    fn unknown_segments(&self, there: &[u64]) -> Result<(), RecoveryError> {
        let known = self.tables.segments()?;
        for segment in there.iter().filter(|segment| known.binary_search(segment).is_err()) {
            let live = self.tables.count_in_segment(*segment)?.cast_signed();
            self.tables.change_segment(*segment, SegmentChange { live, live_octets: 0, octets: 0 })?;
        }
        Ok(())
    }

    /// What was under way when the last run ended. All rows are there by now.
    fn journal(&mut self, clean: bool) -> Result<FoundInJournal, RecoveryError> {
        let scan = journal::scan(self.spool)?;
        for slot in &scan.bad {
            let at = u64::from(*slot) * journal::SLOT;
            self.lines.add(if clean {
                format!("DAMAGE: attempts.journal, offset {at}: the entry cannot be read")
            } else {
                format!("attempts.journal, offset {at}: the entry cannot be read; most likely a write that was cut off")
            });
        }
        let newest = scan.entries.iter().map(|entry| entry.number).max().unwrap_or(0);
        let mut open = Vec::new();
        for entry in scan.entries {
            if is_open(self.tables, &entry)? {
                open.push(entry);
            }
        }
        if !open.is_empty() {
            self.lines.add(format!(
                "{} transactions were under way; whether their messages have arrived is not known",
                open.len()
            ));
        }
        let next = self.tables.take_numbers(newest + 1, NUMBERS)?;
        Ok(FoundInJournal { next, open, bad: scan.bad, slots: scan.slots })
    }

    /// Big bodies whose message was never accepted, or has been settled.
    fn big_bodies(&mut self) -> Result<(), RecoveryError> {
        let lock = sys::lock_file(&store::backup_lock_path(self.spool))?;
        if lock.try_lock().is_err() {
            // A backup may still want them; the next start removes them.
            return Ok(());
        }
        let (mut unfinished, mut orphans) = (0, 0);
        for entry in std::fs::read_dir(store::big_dir(self.spool))? {
            let path = entry?.path();
            let owner = crate::body::owner(&path);
            self.last_id = self.last_id.max(owner);
            let needed = match owner {
                Some(id) => self.tables.known(id)?.is_some_and(|known| known.location.big),
                None => false,
            };
            if needed {
                continue;
            }
            *if owner.is_some() { &mut orphans } else { &mut unfinished } += 1;
            std::fs::remove_file(&path)?;
        }
        if unfinished > 0 {
            self.lines.add(format!("{unfinished} unfinished large bodies were removed; they were never acknowledged"));
        }
        if orphans > 0 {
            self.lines.add(format!("{orphans} large bodies without a queued message were removed"));
        }
        Ok(())
    }
}

/// Whether nobody has recorded yet what came of it.
fn is_open(tables: &Tables, entry: &Entry) -> Result<bool, Trouble> {
    let Some((done_below, document)) = tables.journal_of(entry.last_byte.id)? else { return Ok(false) };
    if entry.number < done_below {
        return Ok(false);
    }
    // If it cannot be read, whoever reads it next says so.
    let Ok(message) = serde_json::from_str::<Message>(&document) else { return Ok(true) };
    let recipient = |index: u32| message.recipients.get(usize::try_from(index).ok()?);
    let mut named = entry.last_byte.recipients.iter().filter_map(|index| recipient(*index));
    Ok(named.any(|recipient| recipient.state.is_queued()))
}

/// The row that a record stands for.
pub(crate) fn row(segment: u64, stored: Stored) -> Result<Row, String> {
    let document = String::from_utf8(stored.document).map_err(|error| error.to_string())?;
    let message: Message = serde_json::from_str(&document).map_err(|error| error.to_string())?;
    let header = stored.header;
    if message.id != header.id {
        return Err(format!("its document is that of {}", message.id));
    }
    let location = Location {
        place: Place { segment, offset: stored.at },
        octets: header.octets(),
        body_at: if header.big { 0 } else { stored.at + header.body_at() },
        size: header.size,
        checksum: header.body_checksum,
        big: header.big,
    };
    Ok(Row { id: header.id, columns: Columns::of(&message), location, document })
}

/// A bounded number of lines.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    more: u64,
}

impl Lines {
    fn add(&mut self, line: String) {
        if self.lines.len() < LINES {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }

    fn first(&mut self, line: String) {
        self.lines.insert(0, line);
    }

    fn done(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("and {} more; `posthouse spool check` names them all", self.more));
        }
        self.lines
    }
}
