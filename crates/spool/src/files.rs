//! The operations on files that can fail, each with a name, so that tests can let any of them fail.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::Path;

use crate::sys;

/// Where something may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    CreateSegment,
    WriteSegment,
    SyncSegment,
    /// The segment is on stable storage up to this offset.
    SyncedSegment {
        segment: u64,
        end: u64,
    },
    WriteBig,
    SyncBig,
    Allocate,
    Commit,
    /// The database has the transaction; on stable storage if `synced`.
    Committed {
        synced: bool,
    },
    OpenDatabase,
    CreateBig,
    AllocateJournal,
    WriteJournal,
    SyncJournal,
    /// What was written to the journal before the sync began is on stable storage.
    SyncedJournal,
}

/// A failure, and how many octets had been written by then.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: io::Error,
    pub(crate) written: usize,
}

/// The system, or a test's idea of it.
pub(crate) trait Files: Send + Sync {
    /// Called before the operation; an error is taken as its result.
    fn before(&self, point: Point) -> Result<(), Fault> {
        let _ = point;
        Ok(())
    }

    /// Octets free on the file system of `dir`.
    fn free(&self, dir: &Path) -> io::Result<u64> {
        sys::free(dir)
    }
}

/// The system itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Files for System {}

/// Lets an operation fail if the test wants it.
pub(crate) fn allowed(files: &dyn Files, point: Point) -> io::Result<()> {
    files.before(point).map_err(|fault| fault.error)
}

/// Writes all of it where the file stands.
pub(crate) fn write(
    files: &dyn Files,
    point: Point,
    mut file: &File,
    mut slices: &mut [IoSlice<'_>],
) -> io::Result<()> {
    // More than this in one call is refused by every system.
    const AT_ONCE: usize = 1024;
    if let Err(fault) = files.before(point) {
        let whole: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(fault.written).collect();
        file.write_all(&whole)?;
        return Err(fault.error);
    }
    // Nothing to write is no reason to call, and would look like an error.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let some = slices.get(..AT_ONCE.min(slices.len())).unwrap_or_default();
        match file.write_vectored(some) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of it at an offset.
pub(crate) fn write_at(files: &dyn Files, point: Point, file: &File, octets: &[u8], at: u64) -> io::Result<()> {
    if let Err(fault) = files.before(point) {
        sys::write_all_at(file, octets.get(..fault.written).unwrap_or(octets), at)?;
        return Err(fault.error);
    }
    sys::write_all_at(file, octets, at)
}

/// It says nothing of the medium: the process, or the system, is short of something at the moment.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use nix::libc::{EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM};
    let kind =
        matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    kind || matches!(error.raw_os_error(), Some(EAGAIN | EINTR | EMFILE | ENFILE | ENOMEM))
}

/// The disk is full, or this user's share of it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
