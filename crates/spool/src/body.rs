//! Bodies on their way in and out.
//!
//! In: up to 1 MiB stays in memory, within the budget of all sessions; the rest goes to `big/<id>.tmp` through one buffer of
//! 64 KiB, is synced and gets its name when it is whole. Out: a small body in one piece, a large one through a buffer of
//! 256 KiB. No file is read or written on the caller's own thread except through the page cache's names.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use queue::{Body, BodyWriter, FinishedBody, MessageId, SpoolError};
use tokio::time::Instant;

use crate::embedded::Shared;
use crate::files::{self, Point};
use crate::memory::{Claim, UnderWay};
use crate::reserve::Promise;
use crate::{store, sys};

/// Bodies of so many octets and more have a file of their own.
pub(crate) const BIG: u64 = 1 << 20;

const LEAST: usize = 4096;
const BUFFER: usize = 64 * 1024;
/// Synced as it comes, so that the last sync of a large body does not hold up everybody's.
const SYNC_EVERY: u64 = 16 << 20;
const READ_AT_ONCE: u64 = 256 * 1024;
const PIECE: usize = 64 * 1024;

/// See [`BodyWriter`].
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    id: MessageId,
    size: u64,
    checksum: crc32fast::Hasher,
    promise: Promise,
    kept: Kept,
    under_way: UnderWay,
}

#[derive(Debug)]
enum Kept {
    InMemory {
        octets: Vec<u8>,
        claim: Claim,
    },
    InFile {
        file: File,
        name: Unfinished,
        buffer: Vec<u8>,
        unsynced: u64,
    },
    /// While a piece is being written, and after an error.
    Nowhere,
}

/// A file that goes with this value unless it is kept.
#[derive(Debug)]
pub(crate) struct Unfinished(Option<PathBuf>);

impl Unfinished {
    /// Of a file that is not ours to remove.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    pub(crate) fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What a finished body is to its own spool.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: MessageId,
    pub(crate) size: u64,
    pub(crate) checksum: u32,
    pub(crate) payload: Payload,
    /// Until it is handed to the appender.
    pub(crate) under_way: UnderWay,
}

/// A body that belongs to a record.
#[derive(Debug)]
pub(crate) enum Payload {
    Inline(Bytes, Claim),
    /// In its file; synced.
    Big(Unfinished),
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, id: MessageId, promise: Promise, expected: Option<u64>) -> Self {
        let mut claim = shared.memory.claim();
        let mut octets = Vec::new();
        // A little more than announced, because the trace field comes on top; but an announcement alone does not buy much.
        if let Some(wanted) = expected.map(|size| size.saturating_add(1024)) {
            let wanted = usize::try_from(wanted).unwrap_or(BUFFER).min(BUFFER);
            if claim.enlarge(wanted) {
                octets.reserve_exact(wanted);
            }
        }
        let kept = Kept::InMemory { octets, claim };
        let under_way = shared.receiving.one();
        Self { shared, id, size: 0, checksum: crc32fast::Hasher::new(), promise, kept, under_way }
    }

    /// True if the piece is in memory now.
    fn remember(&mut self, piece: &[u8]) -> bool {
        let Kept::InMemory { octets, claim } = &mut self.kept else { return false };
        let needed = octets.len() + piece.len();
        if needed as u64 >= BIG {
            return false;
        }
        if needed > octets.capacity() {
            let capacity = needed.max(octets.capacity() * 2).max(LEAST);
            if !claim.enlarge(capacity) {
                return false;
            }
            octets.reserve_exact(capacity - octets.len());
        }
        octets.extend_from_slice(piece);
        true
    }

    /// Out of memory and into a file.
    async fn spill(&mut self) -> Result<(), SpoolError> {
        let Kept::InMemory { octets, claim } = std::mem::replace(&mut self.kept, Kept::Nowhere) else { return Ok(()) };
        self.shared.room.check()?;
        let path = store::big_path(&self.shared.dir, self.id).with_extension("tmp");
        let name = Unfinished(Some(path.clone()));
        let create = move |shared: &Shared| {
            files::allowed(&*shared.files, Point::CreateBig)?;
            sys::create(&path)
        };
        let file = self.blocking(create).await.map_err(|error| self.refused(&error))?;
        self.kept = Kept::InFile { file, name, buffer: octets, unsynced: 0 };
        self.flush(true).await?;
        drop(claim);
        if let Kept::InFile { buffer, .. } = &mut self.kept {
            *buffer = Vec::with_capacity(BUFFER);
        }
        Ok(())
    }

    /// Writes the buffer if it is full, or if it must be.
    async fn flush(&mut self, must: bool) -> Result<(), SpoolError> {
        if !matches!(&self.kept, Kept::InFile { buffer, .. } if must || buffer.len() >= BUFFER) {
            return Ok(());
        }
        let Kept::InFile { file, name, mut buffer, mut unsynced } = std::mem::replace(&mut self.kept, Kept::Nowhere)
        else {
            return Ok(());
        };
        self.shared.room.check()?;
        let written = buffer.len() as u64;
        unsynced += written;
        let sync = unsynced >= SYNC_EVERY;
        let write = move |shared: &Shared| {
            files::write(&*shared.files, Point::WriteBig, &file, &mut [IoSlice::new(&buffer)])?;
            if sync {
                sync_big(shared, &file)?;
            }
            buffer.clear();
            Ok((file, buffer))
        };
        let (file, buffer) = self.blocking(write).await.map_err(|error| self.failed(&error))?;
        self.promise.kept(written);
        self.shared.store.grown(written);
        let unsynced = if sync { 0 } else { unsynced };
        self.kept = Kept::InFile { file, name, buffer, unsynced };
        Ok(())
    }

    /// Syncs the file and gives it its name.
    async fn place(&self, file: File, mut name: Unfinished) -> Result<Payload, SpoolError> {
        let path = store::big_path(&self.shared.dir, self.id);
        let place = move |shared: &Shared| {
            sync_big(shared, &file)?;
            let whole = Unfinished(Some(path.clone()));
            std::fs::rename(path.with_extension("tmp"), &path)?;
            name.keep();
            sys::sync_dir(&store::big_dir(&shared.dir))?;
            Ok(Payload::Big(whole))
        };
        self.blocking(place).await.map_err(|error| self.failed(&error))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || run(&shared)).await.map_err(io::Error::other).flatten()
    }

    /// A write that failed may mean that the medium does: nothing more is accepted before that is known.
    fn failed(&self, error: &io::Error) -> SpoolError {
        if files::is_full(error) || files::is_passing(error) {
            return self.refused(error);
        }
        let what = format!("cannot write the body of {}: {error}", self.id);
        self.shared.gate.close(&what, None);
        SpoolError::Closed(what)
    }

    /// Only this message is concerned: nothing that was stored is in doubt.
    fn refused(&self, error: &io::Error) -> SpoolError {
        let what = format!("cannot write the body of {}: {error}", self.id);
        if files::is_full(error) {
            self.shared.room.filled(&what);
            return SpoolError::Full(what);
        }
        SpoolError::Failed(what)
    }
}

fn sync_big(shared: &Shared, file: &File) -> io::Result<()> {
    files::allowed(&*shared.files, Point::SyncBig)?;
    let begun = Instant::now();
    file.sync_data()?;
    shared.metrics.synced(begun.elapsed().as_secs_f64());
    Ok(())
}

#[async_trait]
impl BodyWriter for Writer {
    fn id(&self) -> MessageId {
        self.id
    }

    async fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        self.checksum.update(piece);
        self.size += piece.len() as u64;
        if self.remember(piece) {
            return Ok(());
        }
        if matches!(self.kept, Kept::InMemory { .. }) {
            self.spill().await?;
        }
        for part in piece.chunks(BUFFER) {
            match &mut self.kept {
                Kept::InFile { buffer, .. } => buffer.extend_from_slice(part),
                _ => return Err(SpoolError::Failed(format!("the body of {} was given up after an error", self.id))),
            }
            self.flush(false).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<FinishedBody, SpoolError> {
        self.flush(true).await?;
        let payload = match std::mem::replace(&mut self.kept, Kept::Nowhere) {
            Kept::InMemory { octets, claim } => Payload::Inline(Bytes::from(octets), claim),
            Kept::InFile { file, name, .. } => self.place(file, name).await?,
            Kept::Nowhere => {
                return Err(SpoolError::Failed(format!("the body of {} was given up after an error", self.id)));
            }
        };
        let Self { shared, id, size, checksum, under_way, .. } = *self;
        Ok(Box::new(Finished { shared, id, size, checksum: checksum.finalize(), payload, under_way }))
    }
}

/// See [`Body`].
#[derive(Debug)]
pub(crate) struct Reader {
    id: MessageId,
    size: u64,
    checksum: u32,
    source: Source,
    read: u64,
    running: crc32fast::Hasher,
    ready: Bytes,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    File { file: Arc<File>, at: u64 },
}

impl Reader {
    /// A body that is still in memory.
    pub(crate) fn of_octets(id: MessageId, octets: Bytes) -> Self {
        let size = octets.len() as u64;
        let running = crc32fast::Hasher::new();
        let source = Source::Memory(octets.clone());
        Self { id, size, checksum: 0, source, read: size, running, ready: octets }
    }

    /// A body that begins at this offset of a file.
    pub(crate) fn of_file(id: MessageId, file: Arc<File>, at: u64, size: u64, checksum: u32) -> Self {
        let source = Source::File { file, at };
        Self { id, size, checksum, source, read: 0, running: crc32fast::Hasher::new(), ready: Bytes::new() }
    }

    async fn fill(&mut self) -> Result<(), SpoolError> {
        let Source::File { file, at } = &self.source else { return Ok(()) };
        let length = if self.size < BIG { self.size } else { READ_AT_ONCE.min(self.size - self.read) };
        let (file, at) = (Arc::clone(file), at + self.read);
        let octets = tokio::task::spawn_blocking(move || {
            let mut octets = vec![0; usize::try_from(length).unwrap_or(0)];
            sys::read_exact_at(&file, &mut octets, at).map(|()| octets)
        })
        .await;
        let octets = octets.map_err(io::Error::other).flatten().map_err(|error| self.unreadable(&error))?;
        self.running.update(&octets);
        self.read += length;
        if self.read == self.size && self.running.clone().finalize() != self.checksum {
            return Err(self.damaged("its checksum is wrong".to_owned()));
        }
        self.ready = octets.into();
        Ok(())
    }

    fn unreadable(&self, error: &io::Error) -> SpoolError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("its end is missing".to_owned()),
            // It may pass, and what cannot be read for good is found by `spool check`.
            _ => SpoolError::Failed(format!("the body of {} cannot be read: {error}", self.id)),
        }
    }

    fn damaged(&self, what: String) -> SpoolError {
        SpoolError::Damaged { id: self.id, what }
    }
}

#[async_trait]
impl Body for Reader {
    fn size(&self) -> u64 {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if self.ready.is_empty() && self.read < self.size {
            self.fill().await?;
        }
        if self.ready.is_empty() {
            return Ok(None);
        }
        let at_once = if self.size < BIG { self.ready.len() } else { PIECE.min(self.ready.len()) };
        Ok(Some(self.ready.split_to(at_once)))
    }

    fn rewind(&mut self) {
        self.running.reset();
        (self.read, self.ready) = match &self.source {
            Source::Memory(octets) => (self.size, octets.clone()),
            Source::File { .. } => (0, Bytes::new()),
        };
    }
}

/// The message to which a file in `big/` belongs; `None` for what was never finished.
pub(crate) fn owner(path: &Path) -> Option<MessageId> {
    path.file_name()?.to_str()?.parse().ok()
}
