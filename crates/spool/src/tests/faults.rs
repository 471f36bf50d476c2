//! Files that fail where and as often as a test says.

use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use crate::files::{Fault, Files, Point};
use crate::sync::lock;
use crate::sys;

type Hook = Arc<dyn Fn(Point) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Point>>,
    hook: Mutex<Option<Hook>>,
    /// Octets free; 0: as the system says.
    pub(crate) free: AtomicU64,
}

struct Rule {
    at: fn(Point) -> bool,
    times: usize,
    kind: ErrorKind,
    written: usize,
}

impl Faults {
    /// The next so many operations of this kind fail.
    pub(crate) fn fail(&self, at: fn(Point) -> bool, times: usize, kind: ErrorKind) {
        self.fail_after(at, times, kind, 0);
    }

    /// The same for writes, after so many octets.
    pub(crate) fn fail_after(&self, at: fn(Point) -> bool, times: usize, kind: ErrorKind, written: usize) {
        lock(&self.rules).push(Rule { at, times, kind, written });
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        lock(&self.rules).clear();
    }

    /// Called at every point, in the thread that is there.
    pub(crate) fn on(&self, hook: impl Fn(Point) + Send + Sync + 'static) {
        *lock(&self.hook) = Some(Arc::new(hook));
    }

    /// Points since the last call.
    pub(crate) fn seen(&self) -> Vec<Point> {
        std::mem::take(&mut *lock(&self.seen))
    }
}

/// Holds up whoever comes to a point until it is opened, by sending or by dropping the other end.
pub(crate) struct Barrier(Mutex<Option<mpsc::Receiver<()>>>);

impl Barrier {
    pub(crate) fn new() -> (mpsc::Sender<()>, Self) {
        let (open, opened) = mpsc::channel();
        (open, Self(Mutex::new(Some(opened))))
    }

    /// Only the first who comes waits.
    pub(crate) fn pass(&self) {
        let opened = lock(&self.0).take();
        if let Some(opened) = opened {
            let _ = opened.recv();
        }
    }
}

impl Files for Faults {
    fn before(&self, point: Point) -> Result<(), Fault> {
        lock(&self.seen).push(point);
        let hook = lock(&self.hook).clone();
        if let Some(hook) = hook {
            hook(point);
        }
        let mut rules = lock(&self.rules);
        let Some(rule) = rules.iter_mut().find(|rule| rule.times > 0 && (rule.at)(point)) else { return Ok(()) };
        rule.times -= 1;
        Err(Fault { error: Error::new(rule.kind, "as the test wants it"), written: rule.written })
    }

    fn free(&self, dir: &Path) -> std::io::Result<u64> {
        match self.free.load(Ordering::Relaxed) {
            0 => sys::free(dir),
            free => Ok(free),
        }
    }
}
