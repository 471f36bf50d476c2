//! Closed or not: after a failed write or sync nothing is accepted until the spool has been verified.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use queue::SpoolError;

use crate::sync::lock;

/// A segment whose writer had to give up: nothing past `end` was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) segment: u64,
    pub(crate) end: u64,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    why: Mutex<Why>,
}

#[derive(Debug, Default)]
struct Why {
    reason: String,
    broken: Vec<Broken>,
    for_good: bool,
}

impl Gate {
    /// Refuses while closed.
    pub(crate) fn check(&self) -> Result<(), SpoolError> {
        if self.closed.load(Ordering::Acquire) {
            Err(SpoolError::Closed(lock(&self.why).reason.clone()))
        } else {
            Ok(())
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes it, with the first reason if there are several. Says so in the log once.
    pub(crate) fn close(&self, reason: &str, broken: Option<Broken>) {
        let mut why = lock(&self.why);
        why.broken.extend(broken);
        if !self.closed.swap(true, Ordering::AcqRel) {
            tracing::error!(
                reason,
                "the spool is closed to writes; it opens again by itself when it has been verified"
            );
            reason.clone_into(&mut why.reason);
        }
    }

    /// Closes it because its owner wants no more of it.
    pub(crate) fn close_for_good(&self) {
        let mut why = lock(&self.why);
        why.for_good = true;
        "Posthouse is stopping".clone_into(&mut why.reason);
        self.closed.store(true, Ordering::Release);
    }

    /// What must be verified; `None` if nothing is to be done.
    pub(crate) fn to_verify(&self) -> Option<Vec<Broken>> {
        let why = lock(&self.why);
        (self.is_closed() && !why.for_good).then(|| why.broken.clone())
    }

    /// Verified: opens again, unless something else broke meanwhile.
    pub(crate) fn verified(&self, verified: &[Broken]) {
        let mut why = lock(&self.why);
        why.broken.retain(|broken| !verified.contains(broken));
        if why.broken.is_empty() && !why.for_good {
            self.closed.store(false, Ordering::Release);
            tracing::info!("the spool has been verified and takes mail again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_only_when_all_that_broke_has_been_verified() {
        let gate = Gate::default();
        assert!(gate.check().is_ok() && gate.to_verify().is_none());
        let (one, two) = (Broken { segment: 1, end: 5 }, Broken { segment: 2, end: 7 });
        gate.close("a sync failed", Some(one));
        let seen = gate.to_verify().unwrap();
        gate.close("another", Some(two));
        gate.verified(&seen);
        assert_eq!(gate.check().unwrap_err().to_string(), "the spool is closed to writes: a sync failed");
        gate.verified(&[two]);
        assert!(gate.check().is_ok());
    }

    #[test]
    fn closed_for_good_stays_closed() {
        let gate = Gate::default();
        gate.close_for_good();
        assert!(gate.to_verify().is_none());
        gate.verified(&[]);
        assert!(gate.is_closed());
    }
}
