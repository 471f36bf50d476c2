//! The thread that writes segments: takes all records that wait, writes them at one go, syncs once, answers.
//!
//! In: records. Out: rows for the committer, then the answers. The time of one sync is when the next group gathers; where a
//! sync is quick, the thread waits a moment for the bodies that are being received: a sync costs the processor as much as
//! all the rest of a message. One sender by itself never waits.
//!
//! A segment in which a write or a sync failed is never written or synced again. What was acknowledged in it stays; that
//! nothing after it counts is first made durable in the database, and only then do the callers hear of the failure: what
//! they were told had failed cannot come back after a restart. If the database cannot take that note either, the spool
//! stays closed until it can.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use queue::{MessageId, SpoolError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::body::{Finished, Payload};
use crate::committer::{Ask, Moved, Work};
use crate::embedded::{Leased, Shared};
use crate::files;
use crate::gate::Broken;
use crate::lease::Beginning;
use crate::record::{RECORD_HEADER, RecordHeader};
use crate::row::{Columns, Location, Place, Row};
use crate::segment::{SEGMENT_OCTETS, Segment};
use crate::sync::Taken;

/// A group takes no further record once it has so many octets.
const GROUP: u64 = 8 << 20;
/// How long it waits for others. Less than a sync takes on most disks.
const GATHER: Duration = Duration::from_micros(500);
/// Rows may lie in the committer's inbox until so many are there, or so many octets have been written since it was woken.
const ROWS_UNSEEN: usize = 1024;
const OCTETS_UNSEEN: u64 = 8 << 20;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    Append(Box<Append>),
    /// End the current segment, so that it can be deleted.
    Seal,
}

/// A record to be written.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) id: MessageId,
    pub(crate) columns: Columns,
    pub(crate) document: String,
    pub(crate) size: u64,
    pub(crate) checksum: u32,
    pub(crate) payload: Payload,
    pub(crate) then: Then,
}

/// Whom it concerns.
#[derive(Debug)]
pub(crate) enum Then {
    /// A new message.
    Reply(oneshot::Sender<Result<Leased, SpoolError>>),
    /// A copy of the record that is there.
    Moved(Place),
}

impl Append {
    pub(crate) fn new(
        document: String,
        columns: Columns,
        body: Finished,
        reply: oneshot::Sender<Result<Leased, SpoolError>>,
    ) -> Self {
        let Finished { id, size, checksum, payload, under_way, .. } = body;
        drop(under_way);
        Self { id, columns, document, size, checksum, payload, then: Then::Reply(reply) }
    }

    fn inline(&self) -> &[u8] {
        match &self.payload {
            Payload::Inline(octets, _) => octets,
            Payload::Big(_) => &[],
        }
    }

    fn octets(&self) -> u64 {
        (RECORD_HEADER + self.document.len() + self.inline().len()) as u64
    }

    fn header(&self, group_at: u64) -> RecordHeader {
        RecordHeader {
            id: self.id,
            big: matches!(self.payload, Payload::Big(_)),
            moved: matches!(self.then, Then::Moved(_)),
            group_at,
            size: self.size,
            document_octets: u32::try_from(self.document.len()).unwrap_or(u32::MAX),
            document_checksum: crc32fast::hash(self.document.as_bytes()),
            body_checksum: self.checksum,
        }
    }
}

/// What failed.
#[derive(Debug)]
enum Failure {
    /// Nothing of it needs to be believed about the medium: the disk is full.
    Full(String),
    Broken(String),
    /// Nothing was written, for want of something that has nothing to do with the medium.
    Refused(String),
}

impl Failure {
    fn write(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        if files::is_full(error) { Self::Full(text) } else { Self::Broken(text) }
    }
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Appender {
    shared: Arc<Shared>,
    current: Option<Segment>,
    next: u64,
    headers: Vec<u8>,
    unseen: u64,
}

impl Appender {
    /// `next`: the first segment of this run.
    pub(crate) fn new(shared: Arc<Shared>, next: u64) -> Self {
        Self { shared, current: None, next, headers: Vec::new(), unseen: 0 }
    }

    /// Until the inbox ends.
    pub(crate) fn run(mut self) {
        let mut orders = Vec::new();
        loop {
            match self.shared.appends.take(&mut orders, Duration::from_secs(60)) {
                Taken::Items => {
                    self.gather(&mut orders);
                    self.handle(orders.drain(..));
                }
                Taken::Nothing => self.headers = Vec::new(),
                Taken::Over => return,
            }
        }
    }

    /// Lets those catch up whose bodies are on their way.
    fn gather(&self, orders: &mut Vec<Order>) {
        if self.shared.receiving.count() > 0 {
            std::thread::sleep(GATHER);
            self.shared.appends.take(orders, Duration::ZERO);
        }
    }

    fn handle(&mut self, orders: impl Iterator<Item = Order>) {
        let mut group = Vec::new();
        let mut octets = 0;
        for order in orders {
            match order {
                Order::Append(append) => {
                    octets += append.octets();
                    group.push(*append);
                    if octets >= GROUP {
                        self.append(std::mem::take(&mut group));
                        octets = 0;
                    }
                }
                Order::Seal => {
                    self.append(std::mem::take(&mut group));
                    octets = 0;
                    self.seal();
                }
            }
        }
        self.append(group);
    }

    fn append(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        if let Err(closed) = self.shared.gate.check() {
            return self.refuse_all(group, &closed);
        }
        match self.write(&group) {
            Ok(locations) => self.acknowledge(group, locations),
            Err(failure) => self.failed(group, failure),
        }
    }

    /// One write and one sync.
    fn write(&mut self, group: &[Append]) -> Result<Vec<Location>, Failure> {
        let octets = group.iter().map(Append::octets).sum();
        let files = Arc::clone(&self.shared.files);
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        let segment = self.segment(octets)?;
        let locations = lay_out(segment, group, &mut headers);
        let mut slices = Vec::with_capacity(group.len() * 3);
        for (header, append) in headers.chunks(RECORD_HEADER).zip(group) {
            slices.extend([header, append.document.as_bytes(), append.inline()].map(IoSlice::new));
        }
        segment.write(&*files, &mut slices).map_err(|error| Failure::write("cannot write to a segment", &error))?;
        let begun = Instant::now();
        segment.sync(&*files, octets).map_err(|error| Failure::Broken(format!("cannot sync a segment: {error}")))?;
        self.shared.metrics.synced(begun.elapsed().as_secs_f64());
        self.shared.store.grown(octets);
        self.shared.room.written(octets);
        self.unseen += octets;
        self.headers = headers;
        Ok(locations)
    }

    /// The current segment, or a new one if this group does not fit.
    fn segment(&mut self, octets: u64) -> Result<&mut Segment, Failure> {
        let fits = |segment: &Segment| segment.end + octets <= SEGMENT_OCTETS;
        let fitting = self.current.take_if(|segment| fits(segment));
        let segment = match fitting {
            Some(segment) => segment,
            None => {
                let id = self.next;
                self.next += 1;
                Segment::create(&*self.shared.files, &self.shared.dir, id).map_err(|error| match error {
                    error if files::is_passing(&error) => Failure::Refused(format!("cannot make a segment: {error}")),
                    error => Failure::write("cannot make a segment", &error),
                })?
            }
        };
        Ok(self.current.insert(segment))
    }

    /// Leases first, then the rows, then the answers: whoever has his answer finds his message.
    fn acknowledge(&mut self, group: Vec<Append>, locations: Vec<Location>) {
        let (mut rows, mut leases, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        for (append, location) in group.into_iter().zip(locations) {
            let Append { id, columns, document, payload, then, .. } = append;
            match then {
                Then::Moved(from) => rows.push(Work::Moved(Moved { id, from, to: location })),
                Then::Reply(reply) => {
                    let body = match payload {
                        Payload::Inline(octets, claim) => Some((octets, claim)),
                        Payload::Big(mut file) => {
                            file.keep();
                            None
                        }
                    };
                    leases.push(Beginning { id, location, body });
                    rows.push(Work::Row(Box::new(Row { id, columns, location, document })));
                    replies.push((reply, id));
                }
            }
        }
        self.shared.leases.begin(leases.into_iter());
        let enough = if self.unseen > OCTETS_UNSEEN { 0 } else { ROWS_UNSEEN };
        self.unseen = if enough == 0 { 0 } else { self.unseen };
        self.shared.works.push_quietly(rows.into_iter(), enough);
        for (reply, id) in replies {
            // If nobody listens any more, the value that comes back ends the lease.
            let _ = reply.send(Ok(Leased::new(&self.shared, id)));
        }
    }

    fn failed(&mut self, group: Vec<Append>, failure: Failure) {
        let (reason, full) = match failure {
            Failure::Refused(reason) => return self.refuse_all(group, &SpoolError::Failed(reason)),
            Failure::Full(reason) => (reason, true),
            Failure::Broken(reason) => (reason, false),
        };
        let broken = self.current.take().map(|segment| {
            let broken = Broken { segment: segment.id, end: segment.end };
            segment.cut();
            broken
        });
        let noted = broken.is_none_or(|broken| self.note_end(broken));
        if full && noted {
            self.shared.room.filled(&reason);
            return self.apart(group, &reason);
        }
        self.shared.gate.close(&reason, broken);
        self.refuse_all(group, &SpoolError::Closed(reason));
    }

    /// Has the database remember, durably, that nothing past this was acknowledged.
    fn note_end(&self, broken: Broken) -> bool {
        let (done, noted) = mpsc::sync_channel(1);
        self.shared.works.push(Work::Ask(Ask::NoteEnd { broken, done })).is_ok() && noted.recv().unwrap_or(false)
    }

    /// A full disk may still have room for some of them: each by itself, and none as large as one that did not fit.
    fn apart(&mut self, group: Vec<Append>, reason: &str) {
        let mut too_large = if group.len() == 1 { 0 } else { u64::MAX };
        for append in group {
            let octets = append.octets();
            if octets >= too_large || self.shared.gate.is_closed() {
                self.refuse(append, &SpoolError::Full(reason.to_owned()));
                continue;
            }
            let one = vec![append];
            match self.write(&one) {
                Ok(locations) => self.acknowledge(one, locations),
                Err(failure) => {
                    too_large = octets;
                    self.failed(one, failure);
                }
            }
        }
    }

    fn refuse_all(&self, group: Vec<Append>, error: &SpoolError) {
        group.into_iter().for_each(|append| self.refuse(append, error));
    }

    fn refuse(&self, append: Append, error: &SpoolError) {
        match append.then {
            Then::Reply(reply) => {
                let _ = reply.send(Err(error.clone()));
            }
            Then::Moved(_) => {
                let _ = self.shared.works.push(Work::NotMoved(append.id));
            }
        }
    }

    fn seal(&mut self) {
        // There may be none already: a segment that a write failed in has ended, and nothing else says so.
        self.current = None;
        let place = Place { segment: self.next, offset: 0 };
        self.shared.works.push_quietly(std::iter::once(Work::Sealed(place)), 1);
    }
}

/// Gives every record its place in the segment.
fn lay_out(segment: &Segment, group: &[Append], headers: &mut Vec<u8>) -> Vec<Location> {
    let mut offset = segment.end;
    let mut locations = Vec::with_capacity(group.len());
    for append in group {
        let header = append.header(segment.end);
        header.write(segment.salt, offset, headers);
        let body_at = if header.big { 0 } else { offset + header.body_at() };
        locations.push(Location {
            place: Place { segment: segment.id, offset },
            octets: header.octets(),
            body_at,
            size: append.size,
            checksum: append.checksum,
            big: header.big,
        });
        offset += header.octets();
    }
    locations
}
