//! One lane: its permits, its health and its three lines.

use std::time::Duration;

use jiff::Timestamp;

use super::health::{Health, LaneChange};
use super::line::{Line, choose};
use super::permits::Permits;
use super::{Change, LaneStatus};
use crate::{Class, Counted, LaneSettings, LaneVerdict, MessageId, Plan};

/// Turns of the lines, of eight.
const WEIGHTS: [i32; 3] = [4, 3, 1];

#[derive(Debug)]
pub(super) struct Lane {
    settings: LaneSettings,
    permits: Permits,
    pub(super) health: Health,
    urgent: Line,
    new: Line,
    deferred: Line,
}

impl Lane {
    pub(super) fn new(settings: LaneSettings, plan: &Plan) -> Self {
        let minute = plan.budgets.iter().find(|b| b.counts == Counted::Messages && settings.budgets.contains(&b.name));
        let permits = Permits::new(minute.and_then(|b| u32::try_from(b.limit).ok()));
        let settings = LaneSettings { connections: settings.connections.max(1), ..settings };
        Self {
            settings,
            permits,
            health: Health::default(),
            urgent: Line::default(),
            new: Line::default(),
            deferred: Line::default(),
        }
    }

    pub(super) fn settings(&self) -> &LaneSettings {
        &self.settings
    }

    pub(super) fn line(&self, class: Class) -> &Line {
        match class {
            Class::Urgent => &self.urgent,
            Class::New => &self.new,
            Class::Deferred => &self.deferred,
        }
    }

    pub(super) fn line_mut(&mut self, class: Class) -> &mut Line {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::New => &mut self.new,
            Class::Deferred => &mut self.deferred,
        }
    }

    pub(super) fn lines_mut(&mut self) -> [&mut Line; 3] {
        [&mut self.urgent, &mut self.new, &mut self.deferred]
    }

    /// When the next attempt may start; `None`: not without an input.
    pub(super) fn start_at(&self) -> Option<Timestamp> {
        if self.urgent.is_empty() && self.new.is_empty() && self.deferred.is_empty() {
            return None;
        }
        let (from, at_once) = self.health.allows(self.settings.connections);
        self.permits.free_at(at_once).map(|free_at| free_at.max(from))
    }

    /// Takes the permits and the next message, and says whether it is a probe. `None`: nothing may start now.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<(MessageId, bool)> {
        self.permits.forget(now);
        if self.start_at().is_none_or(|at| at > now) {
            return None;
        }
        let id = self.take(self.health.last_probe()).or_else(|| self.take(None))?;
        self.permits.start();
        Some((id, self.health.start(id)))
    }

    /// The next message, not that one.
    fn take(&mut self, except: Option<MessageId>) -> Option<MessageId> {
        let [urgent, new, deferred] = WEIGHTS;
        let lines = [(&mut self.urgent, urgent), (&mut self.new, new), (&mut self.deferred, deferred)];
        choose(lines, except)?.pop(except)
    }

    pub(super) fn end(&mut self, verdict: &LaneVerdict, counts: bool, now: Timestamp) -> Option<Change> {
        self.permits.end(counts, now);
        self.permits.forget(now);
        let breaker = self.settings.breakers.first()?.clone();
        self.health.learn(verdict, now).map(|change| match change {
            LaneChange::Paused(pause) => Change::Opened { breaker, pause, lanes: vec![self.settings.name.clone()] },
            LaneChange::Recovered(open_for) => Change::Closed { breaker, open_for },
        })
    }

    pub(super) fn recall(&mut self, ended_at: Timestamp) {
        self.permits.recall(ended_at);
    }

    pub(super) fn set_back(&mut self, by: Duration, now: Timestamp) {
        self.permits.set_back(by);
        self.health.set_back(by);
        self.lines_mut().into_iter().for_each(|line| line.set_back(by, now));
    }

    pub(super) fn status(&self, now: Timestamp) -> LaneStatus {
        let resting = match &self.health {
            Health::Resting(rest) if rest.until > now => Some(rest),
            _ => None,
        };
        LaneStatus {
            name: self.settings.name.clone(),
            active: self.permits.active(),
            pool: self.settings.name.clone(),
            connections: self.settings.connections,
            connections_ceiling: self.settings.connections,
            waiting: [self.urgent.len(), self.new.len(), self.deferred.len()],
            resting_until: resting.map(|rest| rest.until),
            resting_reason: resting.map(|rest| rest.reason.clone()),
            budgets: self.settings.budgets.clone(),
            open: Vec::new(),
        }
    }
}
