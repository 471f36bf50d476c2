//! What the desk, the worker and the channels share: the book, the lines of what is owed, and who is to be woken.
//!
//! In: openings and ends from anywhere. Out: log lines at once, notices into the lines. One lock, held for microseconds;
//! nothing is written or logged under it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use telemetry::{Incident, IncidentKind, Severity};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::book::{Book, Key, Said};
use crate::channel::{self, Now, PostBox, Sender};
use crate::deliver::about;
use crate::entry::Entry;
use crate::notice::{Bulletin, Notice, State};
use crate::settings::ChannelSettings;
use crate::waiting::Waiting;
use crate::{Open, Settings};

/// Openings and ends that are kept until the worker has recalled what was before the restart.
const MOST_EARLY: usize = 1000;

/// See the head of this file.
pub(crate) struct Shared {
    pub(crate) host: String,
    pub(crate) now: Now,
    pub(crate) lines: Vec<Line>,
    pub(crate) post: PostBox,
    /// There is something to store, or an earlier time to look.
    pub(crate) changed: Notify,
    kept: Mutex<Kept>,
}

/// One channel.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) sender: Arc<dyn Sender>,
    kinds: Vec<IncidentKind>,
    severity: Severity,
    /// Something waits.
    pub(crate) woken: Notify,
    /// A test went through: what failed may be tried at once.
    pub(crate) works: Notify,
}

struct Kept {
    /// `None` once the worker runs.
    early: Option<Vec<Event>>,
    book: Book,
    /// In the order of the lines.
    waiting: Vec<Waiting>,
}

/// What somebody found.
#[derive(Clone, Debug)]
enum Event {
    Open { incident: Incident, stage: u32, at: Timestamp },
    Close { kind: IncidentKind, about: String, how: String, at: Timestamp },
}

/// What is to be stored, or forgotten (`None`).
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// By the channel's place.
    pub(crate) owed: Vec<(usize, Option<Waiting>)>,
    pub(crate) entries: Vec<(Key, Option<Entry>)>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, now: Now) -> Self {
        let post: PostBox = Arc::new(OnceLock::new());
        let line = |settings: &ChannelSettings| Line {
            name: settings.name.clone(),
            sender: channel::sender(settings, &now, &post),
            kinds: settings.kinds.clone(),
            severity: settings.severity,
            woken: Notify::new(),
            works: Notify::new(),
        };
        let lines: Vec<Line> = settings.channels.iter().map(line).collect();
        Self::with_lines(settings.hostname, now, lines, post)
    }

    pub(crate) fn with_lines(host: String, now: Now, lines: Vec<Line>, post: PostBox) -> Self {
        let waiting = lines.iter().map(|_| Waiting::default()).collect();
        let kept = Mutex::new(Kept { early: Some(Vec::new()), book: Book::default(), waiting });
        Self { host, now, lines, post, changed: Notify::new(), kept }
    }

    /// See [`telemetry::Incidents::open_stage`].
    pub(crate) fn open(&self, incident: Incident, stage: u32) {
        let at = (self.now)();
        self.happened(Event::Open { incident, stage, at });
    }

    /// See [`telemetry::Incidents::close`].
    pub(crate) fn close(&self, kind: IncidentKind, about: &str, how: &str) {
        let at = (self.now)();
        self.happened(Event::Close { kind, about: about.to_owned(), how: how.to_owned(), at });
    }

    /// What time brings.
    pub(crate) fn tick(&self) {
        let now = (self.now)();
        let mut kept = self.kept();
        let said = kept.book.tick(now);
        self.tell(kept, said);
    }

    /// When the next [`Self::tick`] is due.
    pub(crate) fn next_tick(&self) -> Option<Timestamp> {
        self.kept().book.next_tick()
    }

    /// What was before the restart, and then what was found since the start.
    pub(crate) fn recall(&self, entries: Vec<Entry>, owed: Vec<(usize, Waiting)>) {
        let now = (self.now)();
        let mut kept = self.kept();
        kept.book.recall(entries, now);
        for (index, owed) in owed {
            if let Some(waiting) = kept.waiting.get_mut(index) {
                waiting.recall(owed);
            }
        }
        let early = kept.early.take().unwrap_or_default();
        drop(kept);
        early.into_iter().for_each(|event| self.happened(event));
    }

    /// Incidents that are open, oldest first.
    pub(crate) fn open_incidents(&self) -> Vec<Open> {
        self.kept().book.open_incidents()
    }

    /// What the channel is to send now.
    pub(crate) fn next_bulletin(&self, index: usize) -> Option<Bulletin> {
        self.with_waiting(index, |waiting| waiting.next(&self.host)).flatten()
    }

    /// With what the channel owes.
    pub(crate) fn with_waiting<T>(&self, index: usize, work: impl FnOnce(&mut Waiting) -> T) -> Option<T> {
        let mut kept = self.kept();
        let waiting = kept.waiting.get_mut(index)?;
        let done = work(waiting);
        if waiting.is_changed() {
            self.changed.notify_one();
        }
        Some(done)
    }

    /// Whether something is to be stored.
    pub(crate) fn is_changed(&self) -> bool {
        let kept = self.kept();
        kept.book.is_changed() || kept.waiting.iter().any(Waiting::is_changed)
    }

    /// What is to be stored since the last time.
    pub(crate) fn take_changes(&self) -> Changes {
        let mut kept = self.kept();
        let owed = kept.waiting.iter_mut().enumerate();
        let owed = owed.filter_map(|(index, waiting)| Some((index, waiting.take_changes()?))).collect();
        Changes { owed, entries: kept.book.take_changes() }
    }

    /// They could not be stored.
    pub(crate) fn not_stored(&self, changes: Changes) {
        let mut kept = self.kept();
        for (index, _) in changes.owed {
            if let Some(waiting) = kept.waiting.get_mut(index) {
                waiting.not_stored();
            }
        }
        changes.entries.into_iter().for_each(|(key, _)| kept.book.not_stored(key));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happened(&self, event: Event) {
        let mut kept = self.kept();
        if let Some(early) = &mut kept.early {
            keep_early(early, event);
            return;
        }
        let said = match event {
            Event::Open { incident, stage, at } => kept.book.open(incident, stage, at),
            Event::Close { kind, about, how, at } => kept.book.close(kind, &about, &how, at),
        };
        self.tell(kept, said);
    }

    /// Into the lines, then, without the lock, into the log.
    fn tell(&self, mut kept: MutexGuard<'_, Kept>, said: Vec<Said>) {
        if said.is_empty() {
            return;
        }
        for notice in said.iter().filter(|said| said.told).map(|said| &said.notice) {
            for (line, waiting) in self.lines.iter().zip(&mut kept.waiting) {
                if line.wants(notice) {
                    waiting.push(notice.clone());
                    line.woken.notify_one();
                }
            }
        }
        drop(kept);
        self.changed.notify_one();
        said.iter().for_each(|said| log(&said.notice));
    }
}

#[cfg(test)]
impl Line {
    /// One that wants everything.
    pub(crate) fn of(name: &str, sender: Arc<dyn Sender>) -> Self {
        let (name, kinds, severity) = (name.to_owned(), Vec::new(), Severity::Warning);
        Self { name, sender, kinds, severity, woken: Notify::new(), works: Notify::new() }
    }
    pub(crate) fn wanting(self, kinds: Vec<IncidentKind>, severity: Severity) -> Self {
        Self { kinds, severity, ..self }
    }
}

impl Line {
    /// Not of itself: it hears of its trouble only when that is over.
    fn wants(&self, notice: &Notice) -> bool {
        let itself = notice.kind == IncidentKind::Fault && notice.about == about(&self.name);
        let kind = self.kinds.is_empty() || self.kinds.contains(&notice.kind);
        kind && !itself && notice.severity >= self.severity
    }
}

/// The last word of each opening is enough.
fn keep_early(early: &mut Vec<Event>, event: Event) {
    if let Event::Open { incident: new, stage: higher, .. } = &event {
        let same = |old: &&mut Event| match old {
            Event::Open { incident: old, .. } => old.kind == new.kind && old.about == new.about,
            Event::Close { kind, about, .. } => *kind == new.kind && *about == new.about,
        };
        if let Some(Event::Open { incident, stage, .. }) = early.iter_mut().rev().find(same) {
            let severity = incident.severity.max(new.severity);
            *incident = Incident { severity, ..new.clone() };
            *stage = (*stage).max(*higher);
            return;
        }
    }
    if early.len() < MOST_EARLY {
        early.push(event);
    }
}

/// One line each.
fn log(notice: &Notice) {
    let Notice { state, kind, about, severity, remedy, .. } = notice;
    let (code, kind) = (notice.code.as_deref(), kind.name());
    let said = match state {
        State::Closed => notice.headline().replacen("OVER", "over", 1),
        State::Flapping => notice.headline().replacen("FLAPPING", "it flaps", 1),
        State::Open | State::Test => notice.what.clone(),
    };
    match (state, severity) {
        (State::Closed, _) => info!(alert = true, kind, about, code, "{said}"),
        (_, Severity::Critical) => error!(alert = true, kind, about, code, remedy, "{said}"),
        (_, Severity::Warning) => warn!(alert = true, kind, about, code, remedy, "{said}"),
    }
}
