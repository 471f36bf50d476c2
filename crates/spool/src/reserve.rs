//! Room on the disk: new mail is refused early, so that settling always works.
//!
//! `Settings::reserve` octets are kept free. The first part of them is a file with its blocks allocated, which nobody else
//! can use up: it is given up when an outcome cannot be written, and taken back before new mail is accepted again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::{SpoolError, SpoolState};
use tokio::time::Instant;

use crate::files::{self, Files, Point};
use crate::sync::lock;
use crate::sys;

/// Twice what the database's log needs.
const RESERVE_FILE: u64 = 32 << 20;
/// How long an answer of the file system is believed.
const BELIEVED: Duration = Duration::from_millis(100);

/// See the head of this file.
pub(crate) struct Room {
    dir: PathBuf,
    files: Arc<dyn Files>,
    wanted: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The reserve file has its blocks.
    held: bool,
    /// Why new mail is refused.
    full: Option<String>,
    free: u64,
    /// Written since `free` was asked for.
    written: u64,
    asked_at: Option<Instant>,
    /// Octets that writers have announced and not yet written.
    promised: u64,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("wanted", &self.wanted).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Octets announced by a writer; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    room: Arc<Room>,
    octets: u64,
}

impl Promise {
    /// So many of them are on the disk now.
    pub(crate) fn kept(&mut self, octets: u64) {
        let octets = octets.min(self.octets);
        self.octets -= octets;
        let mut state = lock(&self.room.state);
        state.promised = state.promised.saturating_sub(octets);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.kept(self.octets);
    }
}

impl Room {
    pub(crate) fn open(dir: &Path, files: Arc<dyn Files>, wanted: u64) -> Self {
        let state = State { held: false, full: None, free: 0, written: 0, asked_at: None, promised: 0 };
        let room = Self { dir: dir.to_owned(), files, wanted, state: Mutex::new(state) };
        room.look();
        room
    }

    fn reserve_path(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    fn file_octets(&self) -> u64 {
        self.wanted.min(RESERVE_FILE)
    }

    /// Whether `expected` octets more can be kept. Remembers them until the promise is dropped.
    pub(crate) fn admit(self: &Arc<Self>, expected: u64) -> Result<Promise, SpoolError> {
        let mut state = lock(&self.state);
        self.refresh(&mut state);
        if let Some(reason) = &state.full {
            return Err(SpoolError::Full(reason.clone()));
        }
        let needed = self.wanted.saturating_add(state.promised).saturating_add(expected);
        if self.available(&state) < needed {
            let reason = self.too_little(&state);
            // What others have announced may never come; only what is gone makes the spool full.
            if self.available(&state) < self.wanted {
                self.fill(&mut state, &reason);
            }
            return Err(SpoolError::Full(reason));
        }
        state.promised += expected;
        Ok(Promise { room: Arc::clone(self), octets: expected })
    }

    /// Refuses while there is no room; for a body that is on its way.
    pub(crate) fn check(&self) -> Result<(), SpoolError> {
        let mut state = lock(&self.state);
        self.refresh(&mut state);
        match &state.full {
            Some(reason) => Err(SpoolError::Full(reason.clone())),
            None if self.available(&state) < self.wanted => {
                let reason = self.too_little(&state);
                self.fill(&mut state, &reason);
                Err(SpoolError::Full(reason))
            }
            None => Ok(()),
        }
    }

    /// Something was written to this file system.
    pub(crate) fn written(&self, octets: u64) {
        lock(&self.state).written += octets;
    }

    /// A write met a full disk: no new mail until there is room again.
    pub(crate) fn filled(&self, reason: &str) {
        self.fill(&mut lock(&self.state), reason);
    }

    /// Gives the reserve up, for an outcome that could not be written. False if it was not held.
    pub(crate) fn give_up(&self) -> bool {
        let mut state = lock(&self.state);
        self.fill(&mut state, "the disk is full, the reserve is in use for settling");
        let gone = std::mem::take(&mut state.held) && std::fs::remove_file(self.reserve_path()).is_ok();
        if gone {
            tracing::warn!("the disk is full: the spool's reserve was given up so that outcomes can be recorded");
        }
        gone
    }

    /// Looks whether there is room again, and takes the reserve back. Called now and then.
    pub(crate) fn look(&self) {
        let mut state = lock(&self.state);
        state.asked_at = None;
        self.refresh(&mut state);
        if !state.held {
            self.take_reserve(&mut state);
        }
        // A little more than the limit, so that the state does not change with every message.
        let comfortable = self.wanted.saturating_add(self.wanted / 8);
        if state.held && state.full.is_some() && self.available(&state) >= comfortable {
            state.full = None;
            tracing::info!(free = state.free, "there is room again: the spool takes mail");
        }
    }

    fn take_reserve(&self, state: &mut State) {
        if self.file_octets() == 0 {
            state.held = true;
            return;
        }
        let path = self.reserve_path();
        let result = files::allowed(&*self.files, Point::Allocate).and_then(|()| {
            let _ = std::fs::remove_file(&path);
            sys::allocate(&sys::create(&path)?, self.file_octets())
        });
        match result {
            Ok(()) => {
                state.held = true;
                state.free = state.free.saturating_sub(self.file_octets());
            }
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                self.fill(state, &format!("the reserve of {} octets cannot be allocated: {error}", self.file_octets()));
            }
        }
    }

    /// Octets free now, as far as known.
    pub(crate) fn free(&self) -> u64 {
        let mut state = lock(&self.state);
        self.refresh(&mut state);
        state.free
    }

    /// Octets that are kept free.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// `None`: accepting.
    pub(crate) fn full(&self) -> Option<SpoolState> {
        lock(&self.state).full.clone().map(|reason| SpoolState::Full { reason })
    }

    fn fill(&self, state: &mut State, reason: &str) {
        if state.full.is_none() {
            tracing::warn!(dir = %self.dir.display(), reason, "the spool takes no new mail; what it has is still sent");
            state.full = Some(reason.to_owned());
        }
    }

    fn too_little(&self, state: &State) -> String {
        let free = self.available(state);
        format!("{free} octets are free where {} is, {} are kept for settling", self.dir.display(), self.wanted)
    }

    fn available(&self, state: &State) -> u64 {
        let held = if state.held { self.file_octets() } else { 0 };
        state.free.saturating_add(held).saturating_sub(state.written)
    }

    fn refresh(&self, state: &mut State) {
        let now = Instant::now();
        if state.asked_at.is_some_and(|asked_at| now.duration_since(asked_at) < BELIEVED) {
            return;
        }
        state.asked_at = Some(now);
        if let Ok(free) = self.files.free(&self.dir) {
            (state.free, state.written) = (free, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A disk with so many octets left.
    struct Disk(AtomicU64);
    impl Files for Disk {
        fn free(&self, dir: &Path) -> std::io::Result<u64> {
            let reserve = dir.join("reserve").metadata().map_or(0, |found| found.len());
            Ok(self.0.load(Ordering::Relaxed) - reserve)
        }
        fn before(&self, point: Point) -> Result<(), files::Fault> {
            let full = point == Point::Allocate && self.0.load(Ordering::Relaxed) < 1000;
            let error = std::io::ErrorKind::StorageFull.into();
            if full { Err(files::Fault { error, written: 0 }) } else { Ok(()) }
        }
    }

    fn room(free: u64) -> (tempfile::TempDir, Arc<Disk>, Arc<Room>) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk(AtomicU64::new(free)));
        let room = Arc::new(Room::open(dir.path(), disk.clone(), 1000));
        (dir, disk, room)
    }

    #[test]
    fn a_message_that_would_eat_into_the_reserve_is_refused_and_a_smaller_one_is_not() {
        let (_dir, _disk, room) = room(5000);
        assert!(matches!(room.admit(4500), Err(SpoolError::Full(_))));
        let promise = room.admit(3000).unwrap();
        assert!(room.admit(1500).is_err(), "what others have announced counts");
        drop(promise);
        assert!(room.admit(1500).is_ok());
        assert_eq!(room.full(), None, "one large message does not make the spool full");
    }

    #[test]
    fn full_ends_only_with_more_room_than_it_began_with_and_with_the_reserve_held() {
        let (dir, disk, room) = room(5000);
        assert!(room.give_up() && !room.give_up());
        assert!(!dir.path().join("reserve").exists());
        disk.0.store(1100, Ordering::Relaxed);
        room.look();
        assert!(room.full().is_some(), "1100 is over the limit, but only just");
        disk.0.store(2200, Ordering::Relaxed);
        room.look();
        assert_eq!(room.full(), None);
        assert_eq!(dir.path().join("reserve").metadata().unwrap().len(), 1000);
    }

    #[test]
    fn a_spool_on_a_full_disk_opens_without_its_reserve_and_takes_it_later() {
        let (dir, disk, room) = room(10);
        assert!(matches!(room.full(), Some(SpoolState::Full { .. })));
        assert!(!dir.path().join("reserve").exists());
        disk.0.store(9000, Ordering::Relaxed);
        room.look();
        assert_eq!(room.full(), None);
    }
}
