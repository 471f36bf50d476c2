//! Collects what came of an attempt: every recipient once, and the weightiest thing said about the lane.

use queue::{AttemptReport, LaneVerdict, Outcome};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Report {
    results: Vec<(Vec<u32>, Outcome)>,
    lane: LaneVerdict,
    pub(crate) reached_mail: bool,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { results: Vec::new(), lane: LaneVerdict::Neutral, reached_mail: false }
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
        AttemptReport { results: self.results, lane: self.lane, reached_mail: self.reached_mail, took_ms }
    }
}

fn weight(verdict: &LaneVerdict) -> (u8, std::time::Duration) {
    match verdict {
        LaneVerdict::Neutral => (0, std::time::Duration::ZERO),
        LaneVerdict::Healthy => (1, std::time::Duration::ZERO),
        LaneVerdict::Rest { wait, .. } => (2, *wait),
        LaneVerdict::Paused(pause) => (3, pause.probe_after),
    }
}
