//! A segment: a file of records, written by one thread, never again after the process that made it has ended.
//!
//! [`Segment`] writes, [`Scan`] reads all of it record by record and names what is not whole. A scan never stops at damage:
//! it looks for the next record.

use std::fs::File;
use std::io::{self, IoSlice, Seek};
use std::path::{Path, PathBuf};

use crate::files::{self, Files, Point};
use crate::record::{self, RECORD_HEADER, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER};
use crate::sys;

/// No record begins past this; the next one opens a new segment.
pub(crate) const SEGMENT_OCTETS: u64 = if cfg!(test) { 256 << 10 } else { 64 << 20 };

/// Directory of the segments.
pub(crate) fn dir(spool: &Path) -> PathBuf {
    spool.join("seg")
}

/// Its file.
pub(crate) fn path(spool: &Path, segment: u64) -> PathBuf {
    dir(spool).join(format!("{segment:010}.seg"))
}

/// All that are there, oldest first.
pub(crate) fn list(spool: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir(spool))? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|digits| digits.parse().ok());
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

/// The one being written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) salt: u64,
    /// Everything before this is synced.
    pub(crate) end: u64,
    file: File,
}

impl Segment {
    /// A new one; its name is durable when this returns, its header with the first sync.
    pub(crate) fn create(files: &dyn Files, spool: &Path, id: u64) -> io::Result<Self> {
        files::allowed(files, Point::CreateSegment)?;
        let path = path(spool, id);
        let mut file = sys::create(&path)?;
        let salt = sys::random();
        let written = io::Write::write_all(&mut file, &record::segment_header(id, salt));
        if let Err(error) = written.and_then(|()| sys::sync_dir(&dir(spool))) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { id, salt, end: SEGMENT_HEADER, file })
    }

    /// Writes a group behind what is synced. After an error the segment must not be used again.
    pub(crate) fn write(&mut self, files: &dyn Files, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        debug_assert_eq!(self.file.stream_position().ok(), Some(self.end));
        files::write(files, Point::WriteSegment, &self.file, slices)
    }

    /// Syncs what was written. After an error the segment must not be used again: a second sync may report success although
    /// the system has thrown the pages away.
    pub(crate) fn sync(&mut self, files: &dyn Files, octets: u64) -> io::Result<()> {
        files::allowed(files, Point::SyncSegment)?;
        self.file.sync_data()?;
        self.end += octets;
        let _ = files.before(Point::SyncedSegment { segment: self.id, end: self.end });
        Ok(())
    }

    /// Takes back what was written after the last good sync, as far as that can be had without another sync.
    pub(crate) fn cut(self) {
        let _ = self.file.set_len(self.end);
    }
}

/// What a scan meets.
#[derive(Debug)]
pub(crate) enum Found {
    Record(Stored),
    /// Octets that are no whole record.
    Bad {
        at: u64,
        octets: u64,
    },
}

/// A record whose header and document are sound.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) header: RecordHeader,
    pub(crate) at: u64,
    pub(crate) document: Vec<u8>,
    /// Its body is sound too, or in a file of its own.
    pub(crate) body_sound: bool,
}

/// Reads a segment from its first record to `end`.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    file: &'a File,
    salt: Option<u64>,
    at: u64,
    end: u64,
    /// Start of the latest group that has a readable record. What is bad before it had been synced.
    pub(crate) last_group_at: u64,
}

impl<'a> Scan<'a> {
    /// `valid_to`: where the acknowledged part ends, if the segment's writer had to give up.
    pub(crate) fn new(file: &'a File, segment: u64, valid_to: Option<u64>) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut octets = [0; SEGMENT_HEADER as usize];
        let salt = match sys::read_exact_at(file, &mut octets, 0) {
            Ok(()) => record::read_segment_header(&octets, segment),
            Err(_) => None,
        };
        let end = valid_to.unwrap_or(length).min(length);
        let mut scan = Self { file, salt, at: SEGMENT_HEADER.min(end), end, last_group_at: 0 };
        if salt.is_none() {
            scan.salt = scan.first_salt();
        }
        Ok(scan)
    }

    /// With the segment's header gone, its first record tells the salt: nothing that came in by mail can stand there.
    fn first_salt(&self) -> Option<u64> {
        let mut octets = [0; RECORD_HEADER];
        sys::read_exact_at(self.file, &mut octets, self.at).ok()?;
        RecordHeader::read(&octets, None, self.at)?;
        RecordHeader::salt(&octets)
    }

    /// The next record or bad place; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        let found = match self.header_at(at)? {
            Some(header) => self.stored(at, header)?,
            None => None,
        };
        if let Some(stored) = found {
            self.last_group_at = self.last_group_at.max(stored.header.group_at);
            self.at += stored.header.octets();
            return Ok(Some(Found::Record(stored)));
        }
        self.at = self.following(at + 1)?;
        Ok(Some(Found::Bad { at, octets: self.at - at }))
    }

    fn header_at(&self, at: u64) -> io::Result<Option<RecordHeader>> {
        if at + RECORD_HEADER as u64 > self.end || self.salt.is_none() {
            return Ok(None);
        }
        let mut octets = [0; RECORD_HEADER];
        sys::read_exact_at(self.file, &mut octets, at)?;
        Ok(RecordHeader::read(&octets, self.salt, at).filter(|header| at.saturating_add(header.octets()) <= self.end))
    }

    fn stored(&self, at: u64, header: RecordHeader) -> io::Result<Option<Stored>> {
        let mut document = vec![0; header.document_octets as usize];
        sys::read_exact_at(self.file, &mut document, at + RECORD_HEADER as u64)?;
        if crc32fast::hash(&document) != header.document_checksum {
            return Ok(None);
        }
        let body_sound = header.big
            || checksum_at(self.file, at + header.body_at(), header.size)
                .is_ok_and(|found| found == header.body_checksum);
        Ok(Some(Stored { header, at, document, body_sound }))
    }

    /// Where the next readable header is, or the end.
    fn following(&self, from: u64) -> io::Result<u64> {
        const WINDOW: usize = 256 * 1024;
        let mut window = vec![0; WINDOW];
        let mut at = from;
        while at + RECORD_HEADER as u64 <= self.end {
            let length = usize::try_from(self.end - at).unwrap_or(WINDOW).min(WINDOW);
            let Some(window) = window.get_mut(..length) else { break };
            sys::read_exact_at(self.file, window, at)?;
            for (index, _) in window.windows(4).enumerate().filter(|(_, octets)| **octets == RECORD_MAGIC) {
                if self.header_at(at + index as u64)?.is_some() {
                    return Ok(at + index as u64);
                }
            }
            at += (length as u64).saturating_sub(3).max(1);
        }
        Ok(self.end)
    }
}

/// CRC-32 of a part of a file, read in pieces.
pub(crate) fn checksum_at(file: &File, at: u64, octets: u64) -> io::Result<u32> {
    const PIECE: u64 = 256 * 1024;
    let mut checksum = crc32fast::Hasher::new();
    let mut piece = vec![0; usize::try_from(octets.min(PIECE)).unwrap_or(0)];
    let mut done = 0;
    while done < octets {
        let length = usize::try_from((octets - done).min(PIECE)).unwrap_or(0);
        let Some(piece) = piece.get_mut(..length) else { break };
        sys::read_exact_at(file, piece, at + done)?;
        checksum.update(piece);
        done += length as u64;
    }
    Ok(checksum.finalize())
}
