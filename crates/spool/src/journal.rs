//! The journal of attempts: for which messages the last byte may be on its way right now.
//!
//! `attempts.journal` is a file of slots of 4096 octets. An entry takes a free one, the lowest, with one write on the caller's
//! own thread: into the system's cache, which a killed process leaves behind; whoever wants more waits for a sync. Its first
//! slots have their blocks from the beginning, so that an entry can be written on a full disk too. The file never grows
//! beyond the most transactions that were ever under way at once, and is never rewritten.
//!
//! Entries are numbered. A message's row says below which number all is done with, so an outcome closes its entries by its own
//! commit: what is left of them in the file means nothing, and its slots are free. Only a message given back without an
//! outcome has its slots wiped.
//!
//! A slot: `<checksum> <number> <JSON of a LastByte>`, a line feed, and whatever was there before.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use queue::{LastByte, MessageId};

use crate::files::{self, Files, Point};
use crate::sync::lock;
use crate::sys;

/// Octets of a slot: a page, so that no write of one is cut in two by a kill.
pub(crate) const SLOT: u64 = 4096;
/// Slots that have their blocks from the beginning.
const ALLOCATED: u32 = if cfg!(test) { 16 } else { 256 };
/// Slots at most.
const SLOTS: u32 = 65_536;
/// Recipients in one entry at most, so that it fits; more make several.
const RECIPIENTS: usize = 400;
/// Octets of a wiped slot.
const WIPED: [u8; 16] = [0; 16];

/// Its file.
pub(crate) fn path(spool: &Path) -> PathBuf {
    spool.join("attempts.journal")
}

/// An entry as found in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) number: i64,
    pub(crate) last_byte: LastByte,
}

/// All that is in the file, closed or not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<Entry>,
    /// Slots that hold something else.
    pub(crate) bad: Vec<u32>,
    /// How many slots there are.
    pub(crate) slots: u32,
}

/// What a recovery makes of it.
#[derive(Debug)]
pub(crate) struct Found {
    /// The first number of this run.
    pub(crate) next: i64,
    /// Entries that nobody is done with.
    pub(crate) open: Vec<Entry>,
    /// Slots to be wiped.
    pub(crate) bad: Vec<u32>,
    /// How many slots the file has.
    pub(crate) slots: u32,
}

/// Reads the file; nothing if there is none.
pub(crate) fn scan(spool: &Path) -> io::Result<Scan> {
    let file = match File::open(path(spool)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Scan::default()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut scan = Scan { slots: u32::try_from(length.div_ceil(SLOT)).unwrap_or(SLOTS), ..Scan::default() };
    let mut octets = [0; SLOT as usize];
    for slot in 0..scan.slots {
        let at = u64::from(slot) * SLOT;
        let there = usize::try_from((length - at).min(SLOT)).unwrap_or(0);
        let Some(octets) = octets.get_mut(..there) else { break };
        sys::read_exact_at(&file, octets, at)?;
        match read(octets) {
            Ok(Some((number, last_byte))) => scan.entries.push(Entry { slot, number, last_byte }),
            Ok(None) => {}
            Err(Unreadable) => scan.bad.push(slot),
        }
    }
    Ok(scan)
}

/// Something is in the slot, and it is no entry.
struct Unreadable;

/// `None` for an empty slot.
fn read(octets: &[u8]) -> Result<Option<(i64, LastByte)>, Unreadable> {
    if octets.first().is_none_or(|first| *first == 0) {
        return Ok(None);
    }
    let line = octets.split(|octet| *octet == b'\n').next().ok_or(Unreadable)?;
    let line = std::str::from_utf8(line).map_err(|_| Unreadable)?;
    let (checksum, line) = line.split_once(' ').ok_or(Unreadable)?;
    if u32::from_str_radix(checksum, 16) != Ok(crc32fast::hash(line.as_bytes())) {
        return Err(Unreadable);
    }
    let (number, document) = line.split_once(' ').ok_or(Unreadable)?;
    let number = number.parse().map_err(|_| Unreadable)?;
    Ok(Some((number, serde_json::from_str(document).map_err(|_| Unreadable)?)))
}

/// The octets of a slot.
fn write(number: i64, last_byte: &LastByte) -> io::Result<Vec<u8>> {
    // The checksum comes before what it is of.
    const CHECKSUM: usize = 9;
    let mut octets = Vec::with_capacity(512);
    octets.extend_from_slice(&[b' '; CHECKSUM]);
    io::Write::write_fmt(&mut octets, format_args!("{number} "))?;
    serde_json::to_writer(&mut octets, last_byte)?;
    let (first, rest) = octets.split_at_mut(CHECKSUM);
    io::Write::write_fmt(&mut &mut *first, format_args!("{:08x}", crc32fast::hash(rest)))?;
    octets.push(b'\n');
    if octets.len() as u64 > SLOT {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not fit into a slot of 4096 octets"));
    }
    Ok(octets)
}

/// See the head of this file.
pub(crate) struct Journal {
    spool: PathBuf,
    files: Arc<dyn Files>,
    next: AtomicI64,
    state: Mutex<State>,
    written: AtomicU64,
    /// Goes up with every sync that fails.
    failures: AtomicU64,
    synced: Mutex<u64>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<File>>,
    closed: bool,
    free: BTreeSet<u32>,
    slots: u32,
    open: HashMap<MessageId, Vec<Open>>,
}

#[derive(Debug)]
struct Open {
    slot: u32,
    /// What a start found, until it is recorded.
    found: Option<LastByte>,
}

/// What was written by then can be synced with this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    number: u64,
    failures: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("next", &self.next).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Journal {
    /// After a recovery.
    pub(crate) fn open(spool: &Path, files: Arc<dyn Files>, found: Found) -> io::Result<Self> {
        let Found { next, open, bad, slots } = found;
        let mut state = State { slots, free: (0..slots).collect(), ..State::default() };
        for entry in open {
            state.free.remove(&entry.slot);
            let found = Open { slot: entry.slot, found: Some(entry.last_byte.clone()) };
            state.open.entry(entry.last_byte.id).or_default().push(found);
        }
        let journal = Self {
            spool: spool.to_owned(),
            files,
            next: AtomicI64::new(next),
            state: Mutex::new(state),
            written: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            synced: Mutex::new(0),
        };
        let made = journal.make(&mut lock(&journal.state));
        match made {
            Ok(file) => bad.into_iter().for_each(|slot| journal.wipe(&file, slot)),
            // On a full disk the spool opens without; the first entry tries again.
            Err(error) if files::is_full(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(journal)
    }

    /// Opens the file. Without it, makes it and gives it its first blocks.
    fn make(&self, state: &mut State) -> io::Result<Arc<File>> {
        let path = path(&self.spool);
        let file = sys::lock_file(&path)?;
        if file.metadata()?.len() == 0 {
            let allocated = files::allowed(&*self.files, Point::AllocateJournal)
                .and_then(|()| sys::allocate(&file, u64::from(ALLOCATED) * SLOT));
            if let Err(error) = allocated.and_then(|()| file.sync_all()).and_then(|()| sys::sync_dir(&self.spool)) {
                let _ = std::fs::remove_file(&path);
                return Err(error);
            }
            state.free.extend(state.slots..ALLOCATED);
            state.slots = state.slots.max(ALLOCATED);
        }
        let file = Arc::new(file);
        state.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Entries from now on have this number or a higher one.
    pub(crate) fn next(&self) -> i64 {
        self.next.load(Ordering::Relaxed)
    }

    /// One write, on this thread; a kill does not undo it. A full disk is an error like others.
    pub(crate) fn write(&self, entry: &LastByte) -> io::Result<Written> {
        let failures = self.failures.load(Ordering::Acquire);
        if entry.recipients.len() <= RECIPIENTS {
            self.write_one(entry)?;
        } else {
            for some in entry.recipients.chunks(RECIPIENTS) {
                self.write_one(&LastByte { recipients: some.to_vec(), ..entry.clone() })?;
            }
        }
        Ok(Written { number: self.written.fetch_add(1, Ordering::AcqRel) + 1, failures })
    }

    fn write_one(&self, entry: &LastByte) -> io::Result<()> {
        let octets = write(self.next.fetch_add(1, Ordering::Relaxed), entry)?;
        let (file, slot) = self.take(entry.id)?;
        let written = files::write_at(&*self.files, Point::WriteJournal, &file, &octets, u64::from(slot) * SLOT);
        if written.is_err() {
            self.wipe(&file, slot);
            lock(&self.state).give_back(entry.id, |open| open.slot == slot);
        }
        written
    }

    /// A slot that belongs to the message from now on.
    fn take(&self, id: MessageId) -> io::Result<(Arc<File>, u32)> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(io::Error::other("Posthouse is stopping"));
        }
        let file = match &state.file {
            Some(file) => Arc::clone(file),
            None => self.make(&mut state)?,
        };
        let slot = match state.free.pop_first() {
            Some(slot) => slot,
            None if state.slots < SLOTS => {
                state.slots += 1;
                state.slots - 1
            }
            None => return Err(io::Error::other(format!("more than {SLOTS} transactions are under way"))),
        };
        state.open.entry(id).or_default().push(Open { slot, found: None });
        Ok((file, slot))
    }

    fn wipe(&self, file: &File, slot: u32) {
        let at = u64::from(slot) * SLOT;
        if let Err(error) = files::write_at(&*self.files, Point::WriteJournal, file, &WIPED, at) {
            tracing::warn!(
                slot,
                %error,
                "an entry of the journal cannot be wiped; after a crash its message counts as unconfirmed"
            );
        }
    }

    /// Waits until what was written is on stable storage. One sync serves all that wait. Not on a thread of the runtime.
    pub(crate) fn sync(&self, written: Written) -> io::Result<()> {
        let mut synced = lock(&self.synced);
        // The system reports a failure once and may have thrown the pages away: the next sync would find nothing wrong.
        if written.failures != self.failures.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync failed"));
        }
        if written.number <= *synced {
            return Ok(());
        }
        let file = lock(&self.state).file.clone().ok_or_else(|| io::Error::other("Posthouse is stopping"))?;
        let number = self.written.load(Ordering::Acquire);
        if let Err(error) = files::allowed(&*self.files, Point::SyncJournal).and_then(|()| file.sync_data()) {
            self.failures.fetch_add(1, Ordering::AcqRel);
            return Err(error);
        }
        let _ = self.files.before(Point::SyncedJournal);
        *synced = number;
        Ok(())
    }

    /// Their new states are durable, and so is it that their entries are done with.
    pub(crate) fn recorded(&self, ids: &[MessageId]) {
        let mut state = lock(&self.state);
        for id in ids {
            state.give_back(*id, |_| true);
        }
    }

    /// It was given back without an outcome. What a start found stays.
    pub(crate) fn released(&self, id: MessageId) {
        let mut state = lock(&self.state);
        let given_back = state.open.get(&id).map_or(0, |all| all.iter().filter(|open| open.found.is_none()).count());
        if given_back == 0 {
            return;
        }
        if let (Some(file), Some(all)) = (state.file.clone(), state.open.get(&id)) {
            // Before anybody else can have the slot.
            all.iter().filter(|open| open.found.is_none()).for_each(|open| self.wipe(&file, open.slot));
        }
        state.give_back(id, |open| open.found.is_none());
    }

    /// What the start found and is not recorded yet, by message.
    pub(crate) fn found(&self) -> Vec<LastByte> {
        let state = lock(&self.state);
        let mut found: Vec<_> = state.open.values().flatten().filter_map(|open| open.found.clone()).collect();
        found.sort_by_key(|entry| (entry.id, entry.at));
        found
    }

    /// Nothing more is written.
    pub(crate) fn close(&self) {
        let file = {
            let mut state = lock(&self.state);
            state.closed = true;
            state.file.take()
        };
        if let Some(Err(error)) = file.map(|file| file.sync_data()) {
            tracing::debug!(%error, "the journal cannot be synced");
        }
    }
}

impl State {
    fn give_back(&mut self, id: MessageId, which: impl Fn(&Open) -> bool) {
        let Some(all) = self.open.get_mut(&id) else { return };
        let free = &mut self.free;
        all.retain(|open| {
            let goes = which(open);
            if goes {
                free.insert(open.slot);
            }
            !goes
        });
        if all.is_empty() {
            self.open.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::LaneName;

    fn entry(recipients: Vec<u32>) -> LastByte {
        let id = MessageId::from_i64(7).unwrap();
        LastByte { id, lane: LaneName("a lane\nwith \"words\"".into()), at: jiff::Timestamp::UNIX_EPOCH, recipients }
    }

    fn outcome(octets: &[u8]) -> Option<Option<(i64, LastByte)>> {
        read(octets).ok()
    }

    #[test]
    fn an_entry_is_read_as_it_was_written_whatever_follows_it() {
        let octets = write(42, &entry(vec![0, 499])).unwrap();
        let mut slot = octets.clone();
        slot.extend_from_slice(b"0\n\xFFwhat was there before");
        assert_eq!(outcome(&slot), Some(Some((42, entry(vec![0, 499])))));
        assert_eq!(outcome(&octets), Some(Some((42, entry(vec![0, 499])))));
    }

    #[test]
    fn what_is_cut_off_or_changed_anywhere_is_no_entry() {
        let octets = write(42, &entry(vec![0, 499])).unwrap();
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 0x14;
            assert!(outcome(&changed).is_none(), "octet {at}");
            let mut cut = octets[..at].to_vec();
            cut.resize(SLOT as usize, 0);
            // Without its line feed alone it is not whole either.
            assert!(at == 0 || outcome(&cut).is_none(), "{at} octets");
        }
        assert_eq!(outcome(&[0; 20]), Some(None));
        assert_eq!(outcome(&[]), Some(None));
    }

    #[test]
    fn the_largest_entry_fits_and_a_name_that_does_not_is_refused() {
        let mut largest = entry((0..RECIPIENTS as u32).map(|index| u32::MAX - index).collect());
        assert!(write(i64::MAX, &largest).unwrap_err().kind() == io::ErrorKind::InvalidInput);
        largest.recipients = (0..RECIPIENTS as u32).map(|index| 99_999 - index).collect();
        largest.lane = LaneName("x".repeat(1000).into());
        assert!(write(i64::MAX, &largest).is_ok());
        largest.lane = LaneName("x".repeat(4000).into());
        assert!(write(i64::MAX, &largest).is_err());
    }

    #[test]
    fn slots_that_are_free_again_are_used_again_the_lowest_first() {
        let dir = tempfile::tempdir().unwrap();
        let found = Found { next: 1, open: Vec::new(), bad: Vec::new(), slots: 0 };
        let journal = Journal::open(dir.path(), Arc::new(files::System), found).unwrap();
        for round in 0..1000 {
            let id = MessageId::from_i64(round).unwrap();
            journal.write(&LastByte { id, ..entry(vec![0]) }).unwrap();
            if round >= 3 {
                journal.recorded(&[MessageId::from_i64(round - 3).unwrap()]);
            }
        }
        let scan = scan(dir.path()).unwrap();
        assert_eq!((scan.slots, scan.entries.len(), scan.bad.len()), (ALLOCATED, 4, 0));
        assert_eq!(scan.entries.iter().map(|entry| entry.number).max(), Some(1000));
    }
}
