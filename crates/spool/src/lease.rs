//! Who has which message: a set in memory, lost on restart on purpose, so that a dead process blocks nothing.
//!
//! A lease also remembers where the body is, and for a message just accepted the body itself: most are tried at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use queue::MessageId;

use crate::memory::Claim;
use crate::row::Location;
use crate::sync::lock;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Leases {
    held: Mutex<HashMap<MessageId, Lease>>,
    kept: Arc<AtomicU64>,
    kept_limit: u64,
}

#[derive(Debug)]
struct Lease {
    location: Location,
    body: Option<Kept>,
}

/// A body kept in memory, within the budget of all bodies and a limit of its own.
#[derive(Debug)]
struct Kept {
    octets: Bytes,
    kept: Arc<AtomicU64>,
    _claim: Claim,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kept.fetch_sub(self.octets.len() as u64, Ordering::Relaxed);
    }
}

/// A message about to be leased.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) id: MessageId,
    pub(crate) location: Location,
    pub(crate) body: Option<(Bytes, Claim)>,
}

impl Leases {
    /// `kept_limit`: octets of bodies kept for the first attempt.
    pub(crate) fn new(kept_limit: u64) -> Self {
        Self { held: Mutex::default(), kept: Arc::default(), kept_limit }
    }

    /// Leases them all.
    pub(crate) fn begin(&self, messages: impl Iterator<Item = Beginning>) {
        let mut held = lock(&self.held);
        for message in messages {
            let body = message.body.and_then(|(octets, claim)| self.keep(octets, claim));
            held.insert(message.id, Lease { location: message.location, body });
        }
    }

    fn keep(&self, octets: Bytes, claim: Claim) -> Option<Kept> {
        let more = octets.len() as u64;
        // The counter is right also if this one is dropped again at once.
        let before = self.kept.fetch_add(more, Ordering::Relaxed);
        let kept = Kept { octets, kept: Arc::clone(&self.kept), _claim: claim };
        (before + more <= self.kept_limit).then_some(kept)
    }

    /// False if somebody has it already.
    pub(crate) fn claim(&self, id: MessageId, location: Location) -> bool {
        match lock(&self.held).entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(Lease { location, body: None });
                true
            }
        }
    }

    pub(crate) fn has(&self, id: MessageId) -> bool {
        lock(&self.held).contains_key(&id)
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.held).len()
    }

    /// Whether all of these are leased.
    pub(crate) fn has_all(&self, mut ids: impl Iterator<Item = MessageId>) -> bool {
        let held = lock(&self.held);
        ids.all(|id| held.contains_key(&id))
    }

    pub(crate) fn end(&self, id: MessageId) {
        let ended = lock(&self.held).remove(&id);
        drop(ended);
    }

    /// Its record is elsewhere now.
    pub(crate) fn moved(&self, id: MessageId, location: Location) {
        if let Some(lease) = lock(&self.held).get_mut(&id) {
            lease.location = location;
        }
    }

    /// Where the body of a leased message is, and itself if it is in memory.
    pub(crate) fn find(&self, id: MessageId) -> Option<(Location, Option<Bytes>)> {
        let held = lock(&self.held);
        held.get(&id).map(|lease| (lease.location, lease.body.as_ref().map(|kept| kept.octets.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::row::Place;

    fn location() -> Location {
        Location { place: Place::default(), octets: 1, body_at: 0, size: 1, checksum: 0, big: false }
    }

    fn id(number: i64) -> MessageId {
        MessageId::from_i64(number).unwrap()
    }

    #[test]
    fn a_message_has_one_lease_at_a_time() {
        let leases = Leases::new(0);
        assert!(leases.claim(id(1), location()));
        assert!(!leases.claim(id(1), location()));
        leases.end(id(1));
        assert!(leases.claim(id(1), location()));
    }

    #[test]
    fn bodies_are_kept_up_to_the_limit_and_given_up_with_the_lease() {
        let (leases, memory) = (Leases::new(10), Memory::new(100));
        let begin = |number| {
            let body = Some((Bytes::from_static(b"123456"), memory.claim()));
            leases.begin(std::iter::once(Beginning { id: id(number), location: location(), body }));
            leases.find(id(number)).unwrap().1
        };
        assert_eq!(begin(1), Some(Bytes::from_static(b"123456")));
        assert_eq!(begin(2), None, "would be 12 octets");
        leases.end(id(1));
        assert!(begin(3).is_some());
    }
}
