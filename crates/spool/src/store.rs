//! The files that hold bytes: segments and big bodies. Opens them for reading, deletes them, knows how much they take up.
//!
//! A deleted file takes up its space until the last handle on it is gone, so a segment's cached handle goes with its name.
//! While a backup holds `backup.lock` nothing is deleted.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use queue::MessageId;

use crate::sync::lock;
use crate::{segment, sys};

/// Segments open for reading at once.
const HANDLES: usize = 64;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Store {
    spool: PathBuf,
    handles: Mutex<Handles>,
    used: AtomicU64,
    backup: File,
}

#[derive(Debug, Default)]
struct Handles {
    open: HashMap<u64, (Arc<File>, u64)>,
    uses: u64,
}

/// Directory of the big bodies.
pub(crate) fn big_dir(spool: &Path) -> PathBuf {
    spool.join("big")
}

/// A big body's file.
pub(crate) fn big_path(spool: &Path, id: MessageId) -> PathBuf {
    big_dir(spool).join(id.to_string())
}

/// Held shared by a backup, exclusively while files are deleted.
pub(crate) fn backup_lock_path(spool: &Path) -> PathBuf {
    spool.join("backup.lock")
}

impl Store {
    pub(crate) fn open(spool: &Path) -> io::Result<Self> {
        let mut used = 0;
        for dir in [segment::dir(spool), big_dir(spool)] {
            for entry in std::fs::read_dir(dir)? {
                used += entry?.metadata()?.len();
            }
        }
        Ok(Self {
            spool: spool.to_owned(),
            handles: Mutex::default(),
            used: AtomicU64::new(used),
            backup: sys::lock_file(&backup_lock_path(spool))?,
        })
    }

    /// Octets of segments and big bodies.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Something was written.
    pub(crate) fn grown(&self, octets: u64) {
        self.used.fetch_add(octets, Ordering::Relaxed);
    }

    fn shrunk(&self, octets: u64) {
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(octets)));
    }

    /// A segment to read from.
    pub(crate) fn segment(&self, segment: u64) -> io::Result<Arc<File>> {
        let mut handles = lock(&self.handles);
        handles.uses += 1;
        let now = handles.uses;
        if let Some((file, used)) = handles.open.get_mut(&segment) {
            *used = now;
            return Ok(Arc::clone(file));
        }
        // Opened under the lock, so that it cannot come into the cache after its deletion.
        let file = Arc::new(File::open(segment::path(&self.spool, segment))?);
        if handles.open.len() >= HANDLES {
            let oldest = handles.open.iter().min_by_key(|(_, (_, used))| *used).map(|(segment, _)| *segment);
            oldest.and_then(|segment| handles.open.remove(&segment));
        }
        handles.open.insert(segment, (Arc::clone(&file), now));
        Ok(file)
    }

    /// A big body to read.
    pub(crate) fn big(&self, id: MessageId) -> io::Result<File> {
        File::open(big_path(&self.spool, id))
    }

    /// Runs the deletions, unless a backup is under way. Call only what a synced transaction no longer needs.
    pub(crate) fn deleting<T>(&self, run: impl FnOnce(&Deleting<'_>) -> T) -> Option<T> {
        self.backup.try_lock().ok()?;
        let result = run(&Deleting { store: self });
        let _ = self.backup.unlock();
        Some(result)
    }
}

/// While it exists no backup can begin.
#[derive(Debug)]
pub(crate) struct Deleting<'a> {
    store: &'a Store,
}

impl Deleting<'_> {
    /// False if it is still there; to be tried again later.
    pub(crate) fn segment(&self, segment: u64) -> bool {
        let mut handles = lock(&self.store.handles);
        handles.open.remove(&segment);
        self.file(&segment::path(&self.store.spool, segment))
    }

    /// False if it is still there; to be tried again later.
    pub(crate) fn big(&self, id: MessageId) -> bool {
        self.file(&big_path(&self.store.spool, id))
    }

    fn file(&self, path: &Path) -> bool {
        let octets = path.metadata().map_or(0, |found| found.len());
        match std::fs::remove_file(path) {
            Ok(()) => {
                self.store.shrunk(octets);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot delete a file that the spool no longer needs");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        sys::private_dir(&segment::dir(dir.path())).unwrap();
        sys::private_dir(&big_dir(dir.path())).unwrap();
        std::fs::write(segment::path(dir.path(), 1), b"12345").unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn a_deleted_segment_leaves_no_handle_behind_that_would_keep_its_space() {
        let (_dir, store) = store();
        let handle = store.segment(1).unwrap();
        assert_eq!((Arc::strong_count(&handle), store.used()), (2, 5));
        assert_eq!(store.deleting(|deleting| deleting.segment(1)), Some(true));
        assert_eq!((Arc::strong_count(&handle), store.used()), (1, 0));
        assert!(store.segment(1).is_err());
    }

    #[test]
    fn nothing_is_deleted_while_a_backup_runs() {
        let (dir, store) = store();
        let backup = sys::lock_file(&backup_lock_path(dir.path())).unwrap();
        backup.lock_shared().unwrap();
        assert_eq!(store.deleting(|deleting| deleting.segment(1)), None);
        assert!(store.segment(1).is_ok());
        backup.unlock().unwrap();
        assert_eq!(store.deleting(|deleting| deleting.segment(1)), Some(true));
    }

    #[test]
    fn the_number_of_open_segments_is_limited() {
        let (dir, store) = store();
        for segment in 2..100 {
            std::fs::write(segment::path(dir.path(), segment), b"x").unwrap();
            store.segment(segment).unwrap();
        }
        assert_eq!(lock(&store.handles).open.len(), HANDLES);
        assert!(lock(&store.handles).open.contains_key(&99));
    }
}
