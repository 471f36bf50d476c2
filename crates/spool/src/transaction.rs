//! One transaction of the committer: what each request does to the database and to what waits for it.
//!
//! Nothing in memory changes for good before the commit: waiting rows are only touched, leases only noted, counts only
//! summed up, so that a transaction that fails leaves no trace and can be tried again.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use queue::{BudgetName, Class, LaneName, MessageId, Spend, SpoolError};
use tokio::time::Instant;

use crate::gate::Broken;
use crate::lease::Leases;
use crate::pending::Pending;
use crate::row::{Columns, Counts, Location, Place, milliseconds_up, nanoseconds, timestamp};
use crate::tables::{SegmentChange, Tables, Trouble};

/// A new state, to be recorded.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) id: MessageId,
    pub(crate) columns: Columns,
    pub(crate) document: String,
    /// Goes to the history, with this instant.
    pub(crate) settled_at: Option<i64>,
    /// Goes to the ledger.
    pub(crate) spent: Vec<Spend>,
    /// Entries of the journal below this number are done with.
    pub(crate) journal: i64,
}

impl Outcome {
    fn is(&self, document: &str, spent: &[Spend]) -> bool {
        self.document == document && self.spent == spent
    }
}

/// A message handed out.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) id: MessageId,
    pub(crate) document: String,
}

/// What a transaction will have changed outside the database.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) segments: HashMap<u64, SegmentChange>,
    accepted: i64,
    moved: Counts,
    /// Leases begun; undone on roll-back.
    pub(crate) leased: Vec<MessageId>,
    /// Leases that end.
    pub(crate) ended: Vec<MessageId>,
    /// Big bodies that nobody needs any more.
    pub(crate) freed: Vec<MessageId>,
    /// Records that are elsewhere now.
    pub(crate) relocated: Vec<(MessageId, Location)>,
    /// Some segment has lost a live record.
    pub(crate) loosened: bool,
    /// Rows that the history has more, or fewer.
    pub(crate) history: i64,
    /// What was spent, by budget and millisecond.
    spent: BTreeMap<(BudgetName, i64), i64>,
    /// The turn of the mark, if it was written.
    pub(crate) turn: Option<i64>,
}

impl Changes {
    fn segment(&mut self, segment: u64) -> &mut SegmentChange {
        self.segments.entry(segment).or_default()
    }

    /// A record got its row.
    fn lives(&mut self, location: &Location) {
        let octets = location.octets.cast_signed();
        let change = self.segment(location.place.segment);
        change.live += 1;
        change.live_octets += octets;
    }

    /// A record lost its row.
    fn dies(&mut self, location: &Location) {
        let octets = location.octets.cast_signed();
        let change = self.segment(location.place.segment);
        change.live -= 1;
        change.live_octets -= octets;
        self.loosened = true;
    }

    /// A record is in its segment.
    fn weighs(&mut self, location: &Location) {
        self.segment(location.place.segment).octets += location.octets.cast_signed();
    }

    fn spend(&mut self, spent: &[Spend]) {
        for spend in spent {
            let tick = (spend.budget.clone(), milliseconds_up(spend.at));
            *self.spent.entry(tick).or_default() += i64::from(spend.amount);
        }
    }

    fn count(&mut self, old: &Counts, new: &Counts) {
        self.moved.handed_over += new.handed_over - old.handed_over;
        self.moved.bounced += new.bounced - old.bounced;
        self.moved.expired += new.expired - old.expired;
        self.moved.removed += new.removed - old.removed;
    }
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) pending: &'a mut Pending,
    pub(crate) leases: &'a Leases,
    /// An earlier commit failed in a way that leaves open whether it took effect.
    pub(crate) doubtful: bool,
    /// Outcomes of such a commit that did take effect, though nobody was told.
    pub(crate) untold: &'a HashMap<MessageId, (String, Vec<Spend>)>,
    pub(crate) changes: Changes,
}

impl Transaction<'_> {
    /// Gives waiting messages their rows.
    pub(crate) fn write_rows(&mut self, ids: &[MessageId]) -> Result<(), Trouble> {
        for id in ids {
            let Some(row) = self.pending.waiting(*id) else { continue };
            let settled = self.doubtful && self.tables.settled(row.id)?;
            if !settled && self.tables.insert_message(row, &row.columns, &row.document, 0)? {
                self.changes.weighs(&row.location);
                self.changes.lives(&row.location);
                self.changes.accepted += row.columns.counts.total();
            }
            self.pending.touch(*id);
        }
        Ok(())
    }

    /// All waiting messages.
    pub(crate) fn write_all_rows(&mut self) -> Result<(), Trouble> {
        let ids: Vec<_> = self.pending.all().collect();
        self.write_rows(&ids)
    }

    /// Waiting messages that have waited long enough.
    pub(crate) fn write_overdue_rows(&mut self, now: Instant) -> Result<(), Trouble> {
        let ids = self.pending.overdue(now);
        self.write_rows(&ids)
    }

    /// Only messages that nobody has can be claimed: if all that wait are leased, their rows are not needed for it.
    fn write_rows_for_claims(&mut self) -> Result<(), Trouble> {
        if self.leases.has_all(self.pending.all()) { Ok(()) } else { self.write_all_rows() }
    }

    /// See `Spool::record`. The inner error is the caller's, the outer one the transaction's.
    pub(crate) fn record(&mut self, outcome: &Outcome) -> Result<Result<(), SpoolError>, Trouble> {
        if self.doubtful {
            self.write_rows(&[outcome.id])?;
        }
        let untold = self.untold.get(&outcome.id).is_some_and(|(document, spent)| outcome.is(document, spent));
        let done = match self.pending.waiting(outcome.id).map(|row| row.columns.counts) {
            Some(counts) => same_recipients(outcome, &counts).map(|()| true),
            None => match self.tables.known(outcome.id)? {
                Some(known) => same_recipients(outcome, &known.counts).map(|()| false),
                // Recorded already by a commit that was reported as failed.
                None if (self.doubtful || untold) && self.tables.settled(outcome.id)? => {
                    self.changes.ended.push(outcome.id);
                    return Ok(Ok(()));
                }
                None => Err(SpoolError::NotFound(outcome.id)),
            },
        };
        match done {
            Ok(true) => self.record_waiting(outcome)?,
            Ok(false) => self.record_known(outcome)?,
            Err(error) => return Ok(Err(error)),
        }
        // Written twice an outcome is the same; what it has spent would be too much.
        if !untold {
            self.changes.spend(&outcome.spent);
        }
        self.changes.ended.push(outcome.id);
        Ok(Ok(()))
    }

    /// Its row was never written, and if it is settled it never will be.
    fn record_waiting(&mut self, outcome: &Outcome) -> Result<(), Trouble> {
        let Some(row) = self.pending.waiting(outcome.id) else { return Ok(()) };
        let (location, old) = (row.location, row.columns.counts);
        match outcome.settled_at {
            Some(settled_at) => {
                self.tables.insert_history(outcome.id, settled_at, &outcome.document)?;
                self.changes.history += 1;
                self.free(outcome.id, &location);
            }
            None => {
                self.tables.insert_message(row, &outcome.columns, &outcome.document, outcome.journal)?;
                self.changes.lives(&location);
            }
        }
        self.changes.weighs(&location);
        self.changes.accepted += old.total();
        self.changes.count(&old, &outcome.columns.counts);
        self.pending.touch(outcome.id);
        Ok(())
    }

    fn record_known(&mut self, outcome: &Outcome) -> Result<(), Trouble> {
        let Some(known) = self.tables.known(outcome.id)? else { return Ok(()) };
        match outcome.settled_at {
            Some(settled_at) => {
                self.tables.delete_message(outcome.id)?;
                self.tables.insert_history(outcome.id, settled_at, &outcome.document)?;
                self.changes.history += 1;
                self.changes.dies(&known.location);
                self.free(outcome.id, &known.location);
            }
            None => self.tables.update_message(outcome.id, &outcome.columns, &outcome.document, outcome.journal)?,
        }
        self.changes.count(&known.counts, &outcome.columns.counts);
        Ok(())
    }

    fn free(&mut self, id: MessageId, location: &Location) {
        if location.big {
            self.changes.freed.push(id);
        }
    }

    /// See `Spool::claim_due`.
    pub(crate) fn claim_due(
        &mut self,
        lane: &LaneName,
        class: Class,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Claimed>, Trouble> {
        self.write_rows_for_claims()?;
        let (now, mut ids) = (nanoseconds(now), Vec::new());
        self.tables.line(lane, class, |due, id| {
            if due > now || ids.len() >= most {
                return false;
            }
            if !self.leases.has(id) {
                ids.push(id);
            }
            true
        })?;
        let mut claimed = Vec::with_capacity(ids.len());
        for id in ids {
            claimed.extend(self.lease(id)?);
        }
        Ok(claimed)
    }

    fn lease(&mut self, id: MessageId) -> Result<Option<Claimed>, Trouble> {
        let Some((location, document)) = self.tables.document(id)? else { return Ok(None) };
        if !self.leases.claim(id, location) {
            return Ok(None);
        }
        self.changes.leased.push(id);
        Ok(Some(Claimed { id, document }))
    }

    /// See `Spool::claim`.
    pub(crate) fn claim(&mut self, id: MessageId) -> Result<Result<Claimed, SpoolError>, Trouble> {
        if self.leases.has(id) {
            return Ok(Err(SpoolError::Leased(id)));
        }
        self.write_rows(&[id])?;
        Ok(self.lease(id)?.ok_or(SpoolError::NotFound(id)))
    }

    /// See `Spool::next_due`.
    pub(crate) fn next_due(&mut self, lane: &LaneName, class: Class) -> Result<Option<Timestamp>, Trouble> {
        self.write_rows_for_claims()?;
        let mut found = None;
        self.tables.line(lane, class, |due, id| {
            if self.leases.has(id) {
                return true;
            }
            found = Some(timestamp(due));
            false
        })?;
        Ok(found)
    }

    /// Deletes some of the history. What a start would take for new mail must not go, so the mark passes it first.
    pub(crate) fn prune(&mut self, before: i64, most: u32) -> Result<u64, Trouble> {
        self.write_all_rows()?;
        let pruned = self.tables.prune(before, most)?;
        self.changes.history -= pruned.cast_signed();
        Ok(pruned)
    }

    /// The same for the oldest of the history.
    pub(crate) fn forget(&mut self, most: u64) -> Result<u64, Trouble> {
        self.write_all_rows()?;
        let forgotten = self.tables.forget(most)?;
        self.changes.history -= forgotten.cast_signed();
        Ok(forgotten)
    }

    pub(crate) fn end_segment(&mut self, broken: Broken) -> Result<(), Trouble> {
        self.tables.end_segment(broken.segment, broken.end)
    }

    /// The copy of a record counts from now on, if the message is still there.
    pub(crate) fn relocate(&mut self, id: MessageId, from: Place, to: &Location) -> Result<(), Trouble> {
        self.changes.weighs(to);
        let Some(known) = self.tables.known(id)? else { return Ok(()) };
        if self.tables.relocate(id, from, to)? {
            self.changes.dies(&known.location);
            self.changes.lives(to);
            self.changes.relocated.push((id, *to));
        }
        Ok(())
    }

    /// The last statements before the commit. The mark is not written if it is still `last`.
    pub(crate) fn finish(&mut self, last: Option<Place>, clean: bool) -> Result<Place, Trouble> {
        for (segment, change) in &self.changes.segments {
            self.tables.change_segment(*segment, *change)?;
        }
        let moved = &self.changes.moved;
        let counted = [
            ("accepted", self.changes.accepted),
            ("handed_over", moved.handed_over),
            ("bounced", moved.bounced),
            ("expired", moved.expired),
            ("removed", moved.removed),
        ];
        for (name, more) in counted.into_iter().filter(|(_, more)| *more != 0) {
            self.tables.count(name, more)?;
        }
        for ((budget, at), amount) in &self.changes.spent {
            self.tables.spend(&budget.0, *at, *amount)?;
        }
        let mark = self.pending.mark();
        if clean || last != Some(mark) {
            self.changes.turn = Some(self.tables.set_mark(mark, clean)?);
        }
        Ok(mark)
    }
}

/// An outcome that loses or invents a recipient is nobody's intention.
fn same_recipients(outcome: &Outcome, old: &Counts) -> Result<(), SpoolError> {
    let (had, has) = (old.total(), outcome.columns.counts.total());
    if had == has {
        return Ok(());
    }
    Err(SpoolError::Failed(format!("message {} has {had} recipients, its new state has {has}", outcome.id)))
}
