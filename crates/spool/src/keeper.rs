//! What the committer does when nobody wants anything: verify a closed spool, take the reserve back, delete what is dead,
//! empty sparse segments, give free pages back. Each step is small, so that it never holds up anybody for long.

use std::sync::Arc;

use bytes::Bytes;
use queue::{Message, MessageId};
use tokio::time::Instant;

use crate::appender::{Append, Order, Then};
use crate::body::{Payload, Unfinished};
use crate::committer::{Ask, Committer, REST};
use crate::files::{self, Point};
use crate::gate::Broken;
use crate::row::Columns;
use crate::segment::{Found, Scan};
use crate::sys;

/// Moved at one go.
const MOVE_RECORDS: u32 = 64;
const MOVE_OCTETS: u64 = 4 << 20;
/// Given back at one go.
const PAGES: u32 = 256;
/// Settled messages forgotten at one go.
const FORGOTTEN: u64 = 2000;
/// A current segment with so many dead octets, and nothing else in it, is ended.
const DEAD_WEIGHT: u64 = if cfg!(test) { 16 << 10 } else { 1 << 20 };

impl Committer {
    /// A closed spool opens again once everything that was promised has been seen on the disk, and the disk takes writes.
    pub(crate) fn verify(&mut self) {
        let now = Instant::now();
        if self.verify_at.is_some_and(|at| now < at) {
            return;
        }
        let Some(broken) = self.shared.gate.to_verify() else { return };
        self.verify_at = Some(now + REST);
        if let Err(trouble) = self.prove(&broken) {
            return self.recover(&trouble);
        }
        if let Err(error) = probe(&self.shared) {
            tracing::debug!(%error, "the spool stays closed: a trial write failed");
            return;
        }
        for segment in &broken {
            self.read_again(*segment);
        }
        self.shared.gate.verified(&broken);
    }

    /// What was acknowledged in a segment with a failed sync must still be there.
    fn read_again(&self, broken: Broken) {
        let bad = self.shared.store.segment(broken.segment).and_then(|file| bad_places(&file, broken));
        match bad {
            Ok(0) => tracing::info!(segment = broken.segment, "what was acknowledged in the segment is whole"),
            Ok(bad) => tracing::error!(
                segment = broken.segment,
                bad,
                "DAMAGE: acknowledged messages in the segment cannot be read any more; see `posthouse spool check`"
            ),
            Err(error) => tracing::error!(segment = broken.segment, %error, "the segment cannot be read"),
        }
    }

    /// One small step of each kind.
    pub(crate) fn tidy(&mut self) {
        self.tidied_at = Some(Instant::now());
        self.shared.room.look();
        self.more_to_tidy = false;
        self.pass();
        self.delete_dead();
        if self.shared.gate.is_closed() {
            return;
        }
        self.seal();
        self.empty_sparse_segment();
        self.forget();
        if let Some(tables) = &self.tables {
            self.more_to_tidy |= tables.vacuum(PAGES).unwrap_or(false);
        }
    }

    /// Deletes some of the history if there is more than may be kept.
    fn forget(&mut self) {
        let Some(tables) = &self.tables else { return };
        if self.history.is_none() {
            self.history = tables.count_history().ok();
        }
        let beyond = self.history.unwrap_or(0).saturating_sub(self.shared.history);
        if beyond == 0 {
            return;
        }
        if let Err(trouble) = self.attempt(&[Ask::Forget { most: beyond.min(FORGOTTEN) }], false) {
            self.recover(&trouble);
        }
        self.more_to_tidy |= beyond > FORGOTTEN;
    }

    /// Moves the mark past the end of a segment that has been sealed.
    fn pass(&mut self) {
        if self.pending.is_empty() && self.pending.mark() != self.mark {
            self.transact(Vec::new());
        }
    }

    /// Ends a current segment in which everything is settled, so that it can be deleted.
    fn seal(&mut self) {
        if !self.pending.is_empty() {
            return;
        }
        let dead = self
            .tables
            .as_ref()
            .is_some_and(|tables| tables.is_dead_weight(self.mark.segment, DEAD_WEIGHT).unwrap_or(false));
        if dead && self.moving.is_empty() {
            self.more_to_tidy = self.shared.appends.push(Order::Seal).is_ok();
        }
    }

    /// Copies some live records of a sparse segment to the end of the current one.
    fn empty_sparse_segment(&mut self) {
        if !self.moving.is_empty() {
            self.more_to_tidy = true;
            return;
        }
        let Some(tables) = &self.tables else { return };
        let Ok(Some(segment)) = tables.sparse_segment(self.mark.segment) else { return };
        let Ok(ids) = tables.in_segment(segment, -1, MOVE_RECORDS) else { return };
        let mut octets = 0;
        for id in ids {
            match self.copy_of(id) {
                Ok(append) => {
                    octets += append.size;
                    self.moving.insert(id);
                    if self.shared.appends.push(Order::Append(append)).is_err() {
                        self.moving.remove(&id);
                    }
                }
                // It stays where it is, and so does its segment; reading it tells what is wrong.
                Err(error) => tracing::debug!(%id, error, "a record cannot be moved"),
            }
            if octets >= MOVE_OCTETS {
                break;
            }
        }
        self.more_to_tidy |= !self.moving.is_empty();
    }

    fn copy_of(&self, id: MessageId) -> Result<Box<Append>, String> {
        let tables = self.tables.as_ref().ok_or("the database is not open")?;
        let (location, document) =
            tables.document(id).map_err(|trouble| format!("{trouble:?}"))?.ok_or("it has just been settled")?;
        let message: Message = serde_json::from_str(&document).map_err(|error| error.to_string())?;
        let payload = if location.big {
            Payload::Big(Unfinished::nothing())
        } else {
            let file = self.shared.store.segment(location.place.segment).map_err(|error| error.to_string())?;
            let mut octets = vec![0; usize::try_from(location.size).unwrap_or(0)];
            sys::read_exact_at(&file, &mut octets, location.body_at).map_err(|error| error.to_string())?;
            if crc32fast::hash(&octets) != location.checksum {
                return Err("its body is damaged".to_owned());
            }
            Payload::Inline(Bytes::from(octets), self.shared.memory.claim())
        };
        Ok(Box::new(Append {
            id,
            columns: Columns::of(&message),
            document,
            size: location.size,
            checksum: location.checksum,
            payload,
            then: Then::Moved(location.place),
        }))
    }
}

/// How many places of the acknowledged part are no whole records.
fn bad_places(file: &std::fs::File, broken: Broken) -> std::io::Result<usize> {
    let mut scan = Scan::new(file, broken.segment, Some(broken.end))?;
    let mut bad = 0;
    while let Some(found) = scan.next()? {
        bad += usize::from(!matches!(found, Found::Record(stored) if stored.body_sound));
    }
    Ok(bad)
}

/// Whether the file system takes a file and syncs it.
fn probe(shared: &Arc<crate::embedded::Shared>) -> std::io::Result<()> {
    let path = shared.dir.join("probe.tmp");
    let _ = std::fs::remove_file(&path);
    let tried = (|| {
        files::allowed(&*shared.files, Point::WriteSegment)?;
        let mut file = sys::create(&path)?;
        std::io::Write::write_all(&mut file, &[0; 4096])?;
        files::allowed(&*shared.files, Point::SyncSegment)?;
        file.sync_all()
    })();
    let _ = std::fs::remove_file(&path);
    tried
}
