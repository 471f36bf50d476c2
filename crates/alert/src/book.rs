//! Which incidents are open, and what is to be told of them.
//!
//! In: openings and ends as often as they are found, and time. Out: a notice for each opening, each rise and each end; not
//! for what is known, and not without bound for what comes and goes ([`Entry`]). No I/O and no clock: `now` comes in.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use telemetry::{Incident, IncidentKind, Severity};

use crate::Open;
use crate::entry::Entry;
use crate::notice::{Notice, line};

/// More incidents than these are not kept apart: one incident says that there are too many.
const MOST_OPEN: usize = 1000;
/// From here down there is room again.
const ROOM_AGAIN: usize = 900;
/// With those that are over and remembered only because they might flap.
const MOST_KEPT: usize = 2 * MOST_OPEN;
/// Looking for them costs more than losing some.
const FORGOTTEN_AT_ONCE: usize = 100;

const LONGEST_ABOUT: usize = 300;
const LONGEST_TEXT: usize = 1000;
const LONGEST_NAME: usize = 200;
const MOST_LANES: usize = 50;

/// What makes two incidents one.
pub(crate) type Key = (IncidentKind, String);

/// A notice, and whether the channels get it; the log gets each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) notice: Notice,
    pub(crate) told: bool,
}

/// All incidents.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: HashMap<Key, Entry>,
    open: usize,
    changed: HashSet<Key>,
}

impl Book {
    /// There is trouble. `stage`: see [`telemetry::Incidents::open_stage`].
    pub(crate) fn open(&mut self, incident: Incident, stage: u32, now: Timestamp) -> Vec<Said> {
        let incident = bounded(incident);
        let key = (incident.kind, incident.about.clone());
        match self.entries.get_mut(&key) {
            Some(entry) if entry.is_open() => {
                let (said, changed) = entry.found_again(incident, stage, now);
                if changed {
                    self.changed.insert(key);
                }
                said.into_iter().collect()
            }
            Some(entry) if self.open < MOST_OPEN => {
                let said = entry.reopen(incident, stage, now);
                self.open += 1;
                self.changed.insert(key);
                vec![said]
            }
            None if self.open < MOST_OPEN => vec![self.enter(key, incident, stage, now)],
            _ => self.crowd(now),
        }
    }

    /// It is over, if it was open.
    pub(crate) fn close(&mut self, kind: IncidentKind, about: &str, how: &str, now: Timestamp) -> Vec<Said> {
        let key = (kind, line(about, LONGEST_ABOUT));
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.is_open()) else { return Vec::new() };
        let mut said = vec![entry.end(line(how, LONGEST_TEXT), now)];
        self.changed.insert(key);
        self.open -= 1;
        if self.open == ROOM_AGAIN {
            let crowd = crowd();
            said.extend(self.close(crowd.kind, &crowd.about, "there is room for new ones", now));
        }
        said
    }

    /// What time brings: a flapping incident has become stable, one was not found again after a restart.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<Said> {
        let due = |entry: &Entry| entry.due().is_some_and(|due| due <= now);
        let mut keys: Vec<Key> =
            self.entries.iter().filter(|(_, entry)| due(entry)).map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys.into_iter().flat_map(|key| self.tick_one(key, now)).collect()
    }

    /// When there is something to do for [`Self::tick`].
    pub(crate) fn next_tick(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(Entry::due).min()
    }

    /// What was stored before the restart. Nothing was opened or closed yet.
    pub(crate) fn recall(&mut self, stored: Vec<Entry>, now: Timestamp) {
        for mut entry in stored.into_iter().take(MOST_KEPT) {
            entry.recall(now);
            self.open += usize::from(entry.is_open());
            self.changed.insert(entry.key());
            self.entries.insert(entry.key(), entry);
        }
    }

    /// Incidents that are open, oldest first.
    pub(crate) fn open_incidents(&self) -> Vec<Open> {
        let mut open: Vec<Open> = self.entries.values().filter(|entry| entry.is_open()).map(Entry::shown).collect();
        open.sort_by(|a, b| (a.since, &a.kind, &a.about).cmp(&(b.since, &b.kind, &b.about)));
        open
    }

    /// Whether something is to be stored.
    pub(crate) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What is to be stored, or forgotten (`None`), since the last time.
    pub(crate) fn take_changes(&mut self) -> Vec<(Key, Option<Entry>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| (key.clone(), self.entries.get(&key).cloned())).collect()
    }

    /// It could not be stored.
    pub(crate) fn not_stored(&mut self, key: Key) {
        self.changed.insert(key);
    }

    fn enter(&mut self, key: Key, incident: Incident, stage: u32, now: Timestamp) -> Said {
        if self.entries.len() >= MOST_KEPT {
            self.forget_oldest(FORGOTTEN_AT_ONCE);
        }
        let mut entry = Entry::new(&incident, now);
        let said = entry.reopen(incident, stage, now);
        self.open += 1;
        self.changed.insert(key.clone());
        self.entries.insert(key, entry);
        said
    }

    /// There are too many: one incident for all that do not fit.
    fn crowd(&mut self, now: Timestamp) -> Vec<Said> {
        let incident = crowd();
        let key = (incident.kind, incident.about.clone());
        let said = match self.entries.get_mut(&key) {
            Some(entry) if entry.is_open() => return Vec::new(),
            Some(entry) => {
                self.open += 1;
                self.changed.insert(key);
                entry.reopen(incident, 0, now)
            }
            None => self.enter(key, incident, 0, now),
        };
        vec![said]
    }

    /// Of those that are over.
    fn forget_oldest(&mut self, number: usize) {
        let over = self.entries.iter().filter(|(_, entry)| !entry.is_open());
        let mut over: Vec<_> = over.map(|(key, entry)| (entry.at(), key.clone())).collect();
        over.sort();
        for (_, key) in over.into_iter().take(number) {
            self.entries.remove(&key);
            self.changed.insert(key);
        }
    }

    fn tick_one(&mut self, key: Key, now: Timestamp) -> Vec<Said> {
        let Some(entry) = self.entries.get_mut(&key) else { return Vec::new() };
        if entry.is_open() && entry.lost_sight().is_some_and(|due| due <= now) {
            return self.close(key.0, &key.1, "not found again after the restart", now);
        }
        let stable = entry.settle(now);
        if stable.is_none() && !entry.is_open() {
            self.entries.remove(&key);
        }
        self.changed.insert(key);
        stable.into_iter().collect()
    }
}

fn crowd() -> Incident {
    Incident {
        kind: IncidentKind::Fault,
        about: "incidents".to_owned(),
        severity: Severity::Critical,
        what: format!("more than {MOST_OPEN} incidents are open; further ones are not told"),
        remedy: "see `posthouse alert list`: most will have one cause; further ones are told when there are fewer"
            .to_owned(),
        code: None,
        lanes: Vec::new(),
    }
}

/// One line each, of bounded length.
fn bounded(incident: Incident) -> Incident {
    Incident {
        about: fitting(incident.about, LONGEST_ABOUT),
        what: fitting(incident.what, LONGEST_TEXT),
        remedy: fitting(incident.remedy, LONGEST_TEXT),
        code: incident.code.map(|code| fitting(code, LONGEST_NAME)),
        lanes: incident.lanes.into_iter().take(MOST_LANES).map(|lane| fitting(lane, LONGEST_NAME)).collect(),
        ..incident
    }
}

/// Mostly it fits as it is.
fn fitting(text: String, longest: usize) -> String {
    if text.len() <= longest && !text.contains(char::is_control) { text } else { line(&text, longest) }
}

#[cfg(test)]
mod tests;
