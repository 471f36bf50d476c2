//! What the scheduler remembers over a restart: limits learnt, first uses, open breakers. Small JSON values under keys that
//! begin with `scheduler/`.
//!
//! A change is noted when it happens and written when it is asked for, so that many changes of one thing are written once.
//! What cannot be read any more, or belongs to nothing that is configured, is forgotten.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ways::Ways;
use crate::Scheduler;

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// What was learnt of the limit of a budget, by index.
    Limit(usize),
    /// When a budget with a warm-up was first drawn on, by index.
    FirstUse(usize),
    /// What was learnt of the connections of a lane, by index.
    Connections(usize),
    /// Whether a breaker is open, by index.
    Breaker(usize),
    /// A key that stands for nothing.
    Stale(String),
}

/// Changes not yet written.
#[derive(Debug, Default)]
pub(super) struct Memories(VecDeque<Memory>);

impl Memories {
    pub(super) fn note(&mut self, memory: Memory) {
        if !self.0.contains(&memory) {
            self.0.push_back(memory);
        }
    }

    /// The next to be written: its key, and its value unless it is over.
    pub(super) fn poll(&mut self, ways: &Ways) -> Option<(String, Option<String>)> {
        loop {
            if let Some(entry) = ways.entry(self.0.pop_front()?) {
                return Some(entry);
            }
        }
    }
}

impl Ways {
    fn entry(&self, memory: Memory) -> Option<(String, Option<String>)> {
        let (kind, name, value) = match memory {
            Memory::Limit(index) => {
                let budget = self.budgets.get(index)?;
                ("limit", budget.name().to_string(), budget.memory().and_then(written))
            }
            Memory::FirstUse(index) => {
                let budget = self.budgets.get(index)?;
                ("first-use", budget.name().to_string(), budget.first_use().as_ref().and_then(written))
            }
            Memory::Connections(index) => {
                let lane = self.lanes.get(index)?;
                ("connections", lane.settings.name.to_string(), lane.connections.memory().and_then(written))
            }
            Memory::Breaker(index) => {
                let breaker = self.breakers.get(index)?;
                ("breaker", breaker.name.to_string(), breaker.remembered().as_ref().and_then(written))
            }
            Memory::Stale(key) => return Some((key, None)),
        };
        Some((format!("{}{kind}/{name}", Scheduler::REMEMBERED), value))
    }

    /// Takes up what was remembered. False: it says nothing any more.
    pub(super) fn recall(&mut self, key: &str, value: &str, now: Timestamp) -> bool {
        let rest = key.strip_prefix(Scheduler::REMEMBERED).and_then(|rest| rest.split_once('/'));
        let Some((kind, name)) = rest else { return false };
        self.recall_kind(kind, name, value, now).unwrap_or(false)
    }

    fn recall_kind(&mut self, kind: &str, name: &str, value: &str, now: Timestamp) -> Option<bool> {
        let budget = || self.budgets.iter().position(|budget| *budget.name().0 == *name);
        match kind {
            "limit" => {
                let (index, learnt) = (budget()?, read(value)?);
                Some(self.budgets.get_mut(index)?.recall(learnt, now))
            }
            "first-use" => {
                let (index, at) = (budget()?, read(value)?);
                Some(self.budgets.get_mut(index)?.recall_first_use(at, now))
            }
            "connections" => {
                let lane = self.lanes.iter_mut().find(|lane| *lane.settings.name.0 == *name)?;
                let ceiling = lane.ceiling();
                Some(lane.connections.recall(read(value)?, ceiling, now))
            }
            "breaker" => {
                let remembered: super::breaker::Remembered = read(value)?;
                let breaker = self.breakers.iter_mut().find(|breaker| breaker.name == remembered.name)?;
                breaker.recall(remembered, now);
                Some(true)
            }
            _ => None,
        }
    }
}

fn written<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn read<T: DeserializeOwned>(value: &str) -> Option<T> {
    serde_json::from_str(value).ok()
}
