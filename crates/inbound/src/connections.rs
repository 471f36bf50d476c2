//! How many connections there are, in all and from each address, and what each session is called.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    limit_per_address: usize,
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    names: AtomicU64,
}

/// Which limit is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    InAll,
    FromAddress,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    /// `random`: where the names of sessions begin.
    pub(crate) fn new(limit: usize, limit_per_address: usize, random: u64) -> Self {
        Self {
            limit,
            limit_per_address,
            all: AtomicUsize::new(0),
            by_address: Mutex::default(),
            names: AtomicU64::new(random),
        }
    }

    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, TooMany> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all.load(Ordering::Relaxed) >= self.limit {
            return Err(TooMany::InAll);
        }
        let here = by_address.entry(address).or_default();
        if *here >= self.limit_per_address {
            return Err(TooMany::FromAddress);
        }
        *here += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(Place { connections: self.clone(), address })
    }

    /// Eight characters of Crockford's base 32: each once in a million million sessions, in no order that shows.
    pub(crate) fn session_name(&self) -> String {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mixed = self.names.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let digit = |at: u32| DIGITS.get((mixed >> (5 * at)) as usize & 31).map_or('0', |digit| char::from(*digit));
        (0..8).rev().map(digit).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.connections.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        self.connections.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(here) = by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_per_address_and_given_back() {
        let connections = Arc::new(Connections::new(3, 2, 0));
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = connections.enter(a).unwrap();
        let _second = connections.enter(a).unwrap();
        assert_eq!(connections.enter(a).unwrap_err(), TooMany::FromAddress);
        let _third = connections.enter(b).unwrap();
        assert_eq!(connections.enter(b).unwrap_err(), TooMany::InAll);
        drop(first);
        assert!(connections.enter(a).is_ok());
        assert_eq!(connections.by_address.lock().unwrap().len(), 2);
    }

    #[test]
    fn names_of_sessions_differ() {
        let connections = Connections::new(1, 1, 99);
        let names: std::collections::HashSet<String> = (0..10_000).map(|_| connections.session_name()).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 8));
    }
}
