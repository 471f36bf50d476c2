//! One incident: when it is told, when it flaps, when it is given up for over.
//!
//! In: what its finder says, and time. Out: notices. No I/O and no clock: `now` comes in.
//!
//! Flapping: of one incident at most six notices are told within an hour; then one says that it flaps, and the next says
//! how it stands once it has stayed so for half an hour.
//!
//! After a restart what was open is open until somebody says otherwise. What its finder looks for every minute is over if it
//! is not found again within [`LOOKED_FOR`]; what only an event can find (see [`patience`]) stays open for a day.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use telemetry::{Incident, IncidentKind, Severity};

use crate::Open;
use crate::book::{Key, Said};
use crate::notice::{Notice, State};

/// Notices of one incident within [`FLAP_WINDOW`].
const MOST_NOTICES: usize = 6;
const FLAP_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// How long a flapping incident must stay as it is before its state is told.
const STABLE: SignedDuration = SignedDuration::from_mins(30);
/// A minute, in which every finder looks once, and some slack for a slow start.
const LOOKED_FOR: SignedDuration = SignedDuration::from_secs(90);
const SEEN_BY_CHANCE: SignedDuration = SignedDuration::from_hours(24);

/// One incident, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The last notice, with the words as they are now.
    notice: Notice,
    open: bool,
    /// The severity that finders see now; the notice has the highest since it opened.
    urgent: bool,
    stage: u32,
    /// When notices of it were made within [`FLAP_WINDOW`].
    told_at: VecDeque<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flapping: Option<Flapping>,
    /// The start since which nobody has found it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unseen_since: Option<Timestamp>,
}

/// It comes and goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Flapping {
    changed_at: Timestamp,
    /// It was told that it is critical.
    urgent: bool,
}

/// How long after a restart an incident stays open though nobody finds it.
fn patience(kind: IncidentKind) -> SignedDuration {
    use IncidentKind as Kind;
    match kind {
        // Looked for at the start and every minute: who does not find it knows that it is over.
        Kind::QueueAge | Kind::QueueLength | Kind::Budget | Kind::Bounces | Kind::Disk | Kind::Conservation => {
            LOOKED_FOR
        }
        // Found by an attempt, a token or a fault, whenever the next one comes; ended by whoever sees it go well.
        Kind::Breaker | Kind::Message | Kind::Expiry | Kind::Clock | Kind::Fault | Kind::Test => SEEN_BY_CHANCE,
    }
}

impl Entry {
    pub(crate) fn key(&self) -> Key {
        (self.notice.kind, self.notice.about.clone())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// When something was last said of it.
    pub(crate) fn at(&self) -> Timestamp {
        self.notice.at
    }

    /// It was stored before the restart: from now on somebody must find it again.
    pub(crate) fn recall(&mut self, now: Timestamp) {
        let looked_for = patience(self.notice.kind) == LOOKED_FOR;
        self.unseen_since = Some(self.unseen_since.filter(|_| !looked_for).unwrap_or(now)).filter(|_| self.open);
    }

    pub(crate) fn new(incident: &Incident, now: Timestamp) -> Self {
        let notice = Notice {
            state: State::Closed,
            kind: incident.kind,
            about: incident.about.clone(),
            severity: incident.severity,
            what: String::new(),
            remedy: String::new(),
            code: None,
            lanes: Vec::new(),
            since: now,
            until: None,
            how: String::new(),
            at: now,
        };
        let (flapping, unseen_since) = (None, None);
        Self { notice, open: false, urgent: false, stage: 0, told_at: VecDeque::new(), flapping, unseen_since }
    }

    pub(crate) fn reopen(&mut self, incident: Incident, stage: u32, now: Timestamp) -> Said {
        self.open = true;
        self.stage = stage;
        self.unseen_since = None;
        self.notice.since = now;
        self.notice.until = None;
        self.notice.how.clear();
        self.notice.severity = incident.severity;
        self.words(incident);
        self.say(State::Open, now)
    }

    /// A notice if it is worse than was told; and whether anything changed.
    pub(crate) fn found_again(&mut self, incident: Incident, stage: u32, now: Timestamp) -> (Option<Said>, bool) {
        let worse = incident.severity > self.notice.severity || stage > self.stage;
        self.stage = self.stage.max(stage);
        self.notice.severity = self.notice.severity.max(incident.severity);
        let returned = self.unseen_since.take().is_some();
        let changed = self.words(incident) || returned || worse;
        (worse.then(|| self.say(State::Open, now)), changed)
    }

    /// Takes the words; returns whether they are others.
    fn words(&mut self, incident: Incident) -> bool {
        let Incident { severity, what, remedy, code, lanes, .. } = incident;
        let urgent = severity == Severity::Critical;
        let old = &self.notice;
        if (&old.what, &old.remedy, &old.code, &old.lanes, self.urgent) == (&what, &remedy, &code, &lanes, urgent) {
            return false;
        }
        self.urgent = urgent;
        self.notice = Notice { what, remedy, code, lanes, ..self.notice.clone() };
        true
    }

    pub(crate) fn end(&mut self, how: String, now: Timestamp) -> Said {
        self.open = false;
        self.unseen_since = None;
        self.notice.until = Some(now);
        self.notice.how = how;
        self.say(State::Closed, now)
    }

    /// The notice of a change; told unless it flaps.
    fn say(&mut self, state: State, now: Timestamp) -> Said {
        self.notice.state = state;
        self.notice.at = now;
        self.told_at.retain(|told| now.duration_since(*told) < FLAP_WINDOW);
        let critical = self.notice.severity == Severity::Critical;
        if let Some(flapping) = &mut self.flapping {
            flapping.changed_at = now;
            let worse = state == State::Open && critical && !flapping.urgent;
            flapping.urgent |= worse;
            return Said { notice: self.notice.clone(), told: worse };
        }
        if self.told_at.len() >= MOST_NOTICES {
            self.flapping = Some(Flapping { changed_at: now, urgent: critical });
            return Said { notice: self.flaps(now), told: true };
        }
        self.told_at.push_back(now);
        Said { notice: self.notice.clone(), told: true }
    }

    fn flaps(&self, now: Timestamp) -> Notice {
        let stands = if self.open { "open" } else { "over" };
        let how = format!(
            "it comes and goes, {} times within an hour; it is {stands} now, and told again when it has stayed one way for {} minutes",
            self.told_at.len() + 1,
            STABLE.as_mins()
        );
        Notice { state: State::Flapping, how, at: now, ..self.notice.clone() }
    }

    /// The flapping has ended: how it stands.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Option<Said> {
        self.flapping.take()?;
        self.told_at.clear();
        Some(self.say(if self.open { State::Open } else { State::Closed }, now))
    }

    /// When time changes something: it is stable, it was not found again, or it may be forgotten.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let stable = self.flapping.as_ref().map(|flapping| later(flapping.changed_at, STABLE));
        let forgotten = || later(self.told_at.back().copied().unwrap_or(self.notice.at), FLAP_WINDOW);
        match (stable, self.lost_sight()) {
            (None, None) if !self.open => Some(forgotten()),
            (stable, lost) => [stable, lost].into_iter().flatten().min(),
        }
    }

    pub(crate) fn lost_sight(&self) -> Option<Timestamp> {
        self.unseen_since.filter(|_| self.open).map(|since| later(since, patience(self.notice.kind)))
    }

    pub(crate) fn shown(&self) -> Open {
        let Notice { kind, about, what, remedy, code, since, .. } = self.notice.clone();
        let severity = if self.urgent { Severity::Critical } else { Severity::Warning };
        Open { kind: kind.name().to_owned(), about, severity: severity.name().to_owned(), what, remedy, code, since }
    }
}

fn later(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}
