//! Collects what came of an attempt: every recipient once, the weightiest thing said about the lane, and what happened on
//! the way.

use queue::{AttemptReport, LaneVerdict, Outcome};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Report {
    results: Vec<(Vec<u32>, Outcome)>,
    lane: LaneVerdict,
    pub(crate) messages: u32,
    pub(crate) notes: Notes,
    /// Something was said that would be said again: no further transaction.
    pub(crate) ended: bool,
    /// See [`AttemptReport::hold`].
    pub(crate) hold: Option<String>,
}

/// What is worth telling although the attempt went on: each once, in order.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<String>);

/// A story is for reading.
const MOST_NOTES: usize = 8;

impl Notes {
    pub(crate) fn add(&mut self, note: String) {
        if self.0.len() < MOST_NOTES && !self.0.contains(&note) {
            self.0.push(note);
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            results: Vec::new(),
            lane: LaneVerdict::Neutral,
            messages: 0,
            notes: Notes::default(),
            ended: false,
            hold: None,
        }
    }

    /// Recipients with the same outcome are named together.
    pub(crate) fn add(&mut self, recipients: Vec<u32>, outcome: Outcome) {
        if recipients.is_empty() {
            return;
        }
        match self.results.iter_mut().find(|(_, known)| *known == outcome) {
            Some((known, _)) => known.extend(recipients),
            None => self.results.push((recipients, outcome)),
        }
    }

    /// The weightiest verdict stands; of two rests the longer one.
    pub(crate) fn lane(&mut self, verdict: LaneVerdict) {
        if weight(&verdict) > weight(&self.lane) {
            self.lane = verdict;
        }
    }

    pub(crate) fn finish(self, took_ms: u64) -> AttemptReport {
        let Self { results, lane, messages, notes: Notes(notes), hold, .. } = self;
        AttemptReport { results, lane, messages, took_ms, notes, hold }
    }
}

fn weight(verdict: &LaneVerdict) -> (u8, std::time::Duration) {
    match verdict {
        LaneVerdict::Neutral => (0, std::time::Duration::ZERO),
        LaneVerdict::Healthy => (1, std::time::Duration::ZERO),
        LaneVerdict::Rest { wait, .. } => (2, *wait),
        LaneVerdict::Throttled(throttle) => (3, throttle.wait.unwrap_or_default()),
        LaneVerdict::Paused(pause) => (4, pause.probe_after),
    }
}
