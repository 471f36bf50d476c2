//! A pool: the three lines that its lanes share, whose turn it is among them, and how much mail comes and of what size.

use std::time::Duration;

use jiff::Timestamp;

use super::CLASSES;
use super::line::Line;
use super::traffic::Traffic;
use crate::{Class, Cost, LaneName, MessageId};

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: LaneName,
    /// Indices of its lanes, in the order of the configuration.
    pub(super) lanes: Vec<usize>,
    lines: [Line; 3],
    pub(super) traffic: Traffic,
}

/// A message at the head of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) class: Class,
    pub(super) place: usize,
    pub(super) id: MessageId,
    pub(super) cost: Cost,
}

/// Turns of the lines, of eight.
fn weight(class: Class) -> i32 {
    match class {
        Class::Urgent => 4,
        Class::New => 3,
        Class::Deferred => 1,
    }
}

impl Pool {
    pub(super) fn new(name: LaneName, lanes: Vec<usize>) -> Self {
        Self { name, lanes, lines: Default::default(), traffic: Traffic::default() }
    }

    pub(super) fn line(&self, class: Class) -> &Line {
        let [urgent, new, deferred] = &self.lines;
        match class {
            Class::Urgent => urgent,
            Class::New => new,
            Class::Deferred => deferred,
        }
    }

    pub(super) fn line_mut(&mut self, class: Class) -> &mut Line {
        let [urgent, new, deferred] = &mut self.lines;
        match class {
            Class::Urgent => urgent,
            Class::New => new,
            Class::Deferred => deferred,
        }
    }

    pub(super) fn lines_mut(&mut self) -> &mut [Line; 3] {
        &mut self.lines
    }

    pub(super) fn waiting(&self) -> [usize; 3] {
        CLASSES.map(|class| self.line(class).len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(Line::is_empty)
    }

    /// The next message, not that one: from the line that is furthest behind its share.
    pub(super) fn next(&self, except: Option<MessageId>) -> Option<Head> {
        let mut best: Option<(i32, Head)> = None;
        for class in CLASSES {
            let Some(head) = self.head(class, except) else { continue };
            let credit = self.line(class).credit + weight(class);
            if best.as_ref().is_none_or(|(most, _)| credit > *most) {
                best = Some((credit, head));
            }
        }
        best.map(|(_, head)| head)
    }

    /// The first of that line, not that one.
    pub(super) fn head(&self, class: Class, except: Option<MessageId>) -> Option<Head> {
        self.line(class).first(except).map(|(place, id, cost)| Head { class, place, id, cost })
    }

    /// Takes a message out of its line whose turn it was. A line without messages (but that one) has no share and saves
    /// none up.
    pub(super) fn take_in_turn(&mut self, head: &Head, except: Option<MessageId>) {
        let mut shares = 0;
        for class in CLASSES {
            let line = self.line_mut(class);
            if line.first(except).is_none() {
                line.credit = 0;
            } else {
                line.credit += weight(class);
                shares += weight(class);
            }
        }
        self.line_mut(head.class).credit -= shares;
        self.take(head);
    }

    /// The same, out of turn.
    pub(super) fn take(&mut self, head: &Head) {
        self.line_mut(head.class).take(head.place);
    }

    pub(super) fn costs(&self) -> impl Iterator<Item = &Cost> {
        self.lines.iter().flat_map(Line::costs)
    }

    pub(super) fn set_back(&mut self, by: Duration, now: Timestamp) {
        self.lines.iter_mut().for_each(|line| line.set_back(by, now));
        self.traffic.set_back(by);
    }
}
