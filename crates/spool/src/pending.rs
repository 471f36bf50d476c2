//! Messages accepted whose rows are not yet in the database. Their records are safe in the segments.
//!
//! Most mail is settled within moments of its acceptance; its row is then never written at all. The mark follows behind the
//! oldest row that waits, so what a start must read stays bounded: see the limits below.
//!
//! A transaction touches entries; they go when it commits and are untouched again when it is rolled back.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use queue::MessageId;
use tokio::time::Instant;

use crate::row::{Place, Row};

/// A row is written when it has waited so long.
const WAIT: Duration = Duration::from_millis(500);
/// More do not wait.
const ROWS: usize = 4096;
/// The mark stays at most so far behind (and a group).
const LAG: u64 = 48 << 20;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Pending {
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    by_id: HashMap<MessageId, u64>,
    touched: Vec<u64>,
    frontier: Place,
    lag: u64,
}

#[derive(Debug)]
struct Entry {
    /// `None` once it is done.
    row: Option<Row>,
    octets: u64,
    arrived: Instant,
    touched: bool,
}

impl Pending {
    pub(crate) fn new(frontier: Place) -> Self {
        Self { entries: VecDeque::new(), first: 0, by_id: HashMap::new(), touched: Vec::new(), frontier, lag: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The next record in the order of the segments.
    pub(crate) fn push(&mut self, row: Row, now: Instant) {
        self.frontier = row.location.end();
        self.lag += row.location.octets;
        self.by_id.insert(row.id, self.first + self.entries.len() as u64);
        self.entries.push_back(Entry { octets: row.location.octets, row: Some(row), arrived: now, touched: false });
    }

    /// Nothing up to here needs a row.
    pub(crate) fn passed(&mut self, place: Place) {
        self.frontier = self.frontier.max(place);
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The row of a message, if it waits.
    pub(crate) fn waiting(&self, id: MessageId) -> Option<&Row> {
        self.entry(*self.by_id.get(&id)?).filter(|entry| !entry.touched)?.row.as_ref()
    }

    /// All that wait, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = MessageId> {
        self.older_than(Duration::ZERO, None)
    }

    /// Those that have waited long enough to be written at this opportunity.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<MessageId> {
        if self.entries.len() > ROWS || self.lag > LAG {
            return self.all().collect();
        }
        if self.is_due(now) { self.older_than(WAIT / 2, Some(now)).collect() } else { Vec::new() }
    }

    fn older_than(&self, age: Duration, now: Option<Instant>) -> impl Iterator<Item = MessageId> {
        self.entries
            .iter()
            .take_while(move |entry| now.is_none_or(|now| now.duration_since(entry.arrived) >= age))
            .filter(|entry| !entry.touched)
            .filter_map(|entry| entry.row.as_ref().map(|row| row.id))
    }

    /// Whether rows must be written although nobody asks.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.entries.len() > ROWS
            || self.lag > LAG
            || self.entries.front().is_some_and(|entry| now.duration_since(entry.arrived) >= WAIT)
    }

    /// When they will be.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        self.entries.front().map(|entry| WAIT.saturating_sub(now.duration_since(entry.arrived)))
    }

    /// The transaction under way takes care of it.
    pub(crate) fn touch(&mut self, id: MessageId) {
        let Some(number) = self.by_id.get(&id).copied() else { return };
        let index = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.touched = true;
            self.touched.push(number);
        }
    }

    /// Everything before this is in the database, if the transaction under way commits.
    pub(crate) fn mark(&self) -> Place {
        let first = self.entries.iter().filter(|entry| !entry.touched).find_map(|entry| entry.row.as_ref());
        first.map_or(self.frontier, |row| row.location.place)
    }

    pub(crate) fn commit(&mut self) {
        for number in std::mem::take(&mut self.touched) {
            let index = usize::try_from(number - self.first).unwrap_or(usize::MAX);
            if let Some(row) = self.entries.get_mut(index).and_then(|entry| entry.row.take()) {
                self.by_id.remove(&row.id);
            }
        }
        while self.entries.front().is_some_and(|entry| entry.row.is_none()) {
            self.lag -= self.entries.pop_front().map_or(0, |entry| entry.octets);
            self.first += 1;
        }
    }

    pub(crate) fn roll_back(&mut self) {
        for number in std::mem::take(&mut self.touched) {
            let index = usize::try_from(number - self.first).unwrap_or(usize::MAX);
            if let Some(entry) = self.entries.get_mut(index) {
                entry.touched = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Columns, Counts, Location};
    use queue::{Class, LaneName};

    fn row(number: u64) -> Row {
        let place = Place { segment: 1, offset: number * 100 };
        Row {
            id: id(number),
            columns: Columns {
                lane: LaneName("a".into()),
                class: Class::New,
                due: 0,
                held: false,
                counts: Counts::default(),
                accepted_at: 0,
            },
            location: Location { place, octets: 100, body_at: 0, size: 0, checksum: 0, big: false },
            document: String::new(),
        }
    }

    fn id(number: u64) -> MessageId {
        MessageId::from_i64(number.cast_signed()).unwrap()
    }

    fn pending(now: Instant) -> Pending {
        let mut pending = Pending::new(Place { segment: 1, offset: 0 });
        (0..3).for_each(|number| pending.push(row(number), now));
        pending
    }

    #[test]
    fn the_mark_stays_before_the_oldest_row_that_waits() {
        let mut pending = pending(Instant::now());
        assert_eq!(pending.mark().offset, 0);
        pending.touch(id(1));
        assert_eq!(pending.mark().offset, 0);
        pending.touch(id(0));
        assert_eq!(pending.mark().offset, 200);
        pending.commit();
        assert_eq!((pending.mark().offset, pending.lag), (200, 100));
        pending.touch(id(2));
        pending.commit();
        assert_eq!((pending.mark().offset, pending.lag, pending.is_empty()), (300, 0, true));
    }

    #[test]
    fn a_rolled_back_transaction_leaves_everything_waiting() {
        let mut pending = pending(Instant::now());
        (0..3).for_each(|number| pending.touch(id(number)));
        assert!(pending.waiting(id(1)).is_none());
        assert_eq!(pending.mark().offset, 300);
        pending.roll_back();
        assert!(pending.waiting(id(1)).is_some());
        assert_eq!((pending.mark().offset, pending.all().count()), (0, 3));
    }

    #[test]
    fn rows_are_written_after_a_while_or_when_too_many_wait() {
        let start = Instant::now();
        let mut pending = pending(start);
        assert!(pending.overdue(start).is_empty());
        pending.push(row(3), start + WAIT);
        assert_eq!(pending.overdue(start + WAIT).len(), 3, "the fourth has only just come");
        (4..5000).for_each(|number| pending.push(row(number), start));
        assert_eq!(pending.overdue(start).len(), 5000);
    }
}
