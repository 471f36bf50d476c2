//! Trouble that somebody must know of: opened once, closed once.
//!
//! In: whoever finds trouble opens an incident under a key, as often as it likes, and closes it when it is over. Out:
//! whoever implements [`Incidents`] tells people: once when it opens, once when it is over. Never: a secret in a text.

use std::fmt;
use std::sync::Mutex;

/// What kind of trouble. The names are an interface: they stand in alerts and select them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IncidentKind {
    /// A breaker is open: mail waits.
    Breaker,
    /// One message, or one sender, waits for somebody to act although its lane works.
    Message,
    /// The oldest message that waits is too old.
    QueueAge,
    /// Too many messages wait.
    QueueLength,
    /// A budget will end before the queue does.
    Budget,
    /// A credential or a certificate expires soon, or has expired.
    Expiry,
    /// Too large a share of recipients bounces.
    Bounces,
    /// The spool has no room for new mail, or is about to have none.
    Disk,
    /// Our clock is wrong.
    Clock,
    /// Recipients are not accounted for.
    Conservation,
    /// The relay itself failed at something: a panic, a spool that does not record.
    Fault,
    /// Only a test.
    Test,
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Will be trouble.
    Warning,
    /// Is trouble.
    Critical,
}

/// Trouble, in words for an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// See there.
    pub kind: IncidentKind,
    /// What it is about; with the kind, what makes two incidents one: `credential contoso/1111…`. A later opening with other
    /// words replaces the words without telling anybody, unless its severity is higher.
    pub about: String,
    /// See there.
    pub severity: Severity,
    /// What happened, in one line.
    pub what: String,
    /// What to do, in one line; empty if nothing need be done.
    pub remedy: String,
    /// The error's own name, if it has one: `AADSTS7000222`, `5.7.139`.
    pub code: Option<String>,
    /// Lanes whose mail waits for it: an alert by mail must not go by one of them.
    pub lanes: Vec<String>,
}

/// Who is told. Never blocks, never fails.
pub trait Incidents: Send + Sync + fmt::Debug {
    /// There is trouble (still).
    fn open(&self, incident: Incident);
    /// As [`Self::open`], for trouble that comes nearer by steps (an end in 30, in 14, in 7 days): it is told again when the
    /// stage is higher than any that was told since it opened.
    fn open_stage(&self, incident: Incident, stage: u32) {
        let _ = stage;
        self.open(incident);
    }
    /// It is over. `how`: in one line, empty if there is nothing to say. Nothing happens if it was not open.
    fn close(&self, kind: IncidentKind, about: &str, how: &str);
}

impl IncidentKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Breaker,
        Self::Message,
        Self::QueueAge,
        Self::QueueLength,
        Self::Budget,
        Self::Expiry,
        Self::Bounces,
        Self::Disk,
        Self::Clock,
        Self::Conservation,
        Self::Fault,
        Self::Test,
    ];

    /// `queue-age`
    pub fn name(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Message => "message",
            Self::QueueAge => "queue-age",
            Self::QueueLength => "queue-length",
            Self::Budget => "budget",
            Self::Expiry => "expiry",
            Self::Bounces => "bounces",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Conservation => "conservation",
            Self::Fault => "fault",
            Self::Test => "test",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Severity {
    /// `warning`, `critical`
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Warning, Self::Critical].into_iter().find(|severity| severity.name() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Keeps what it is told, for tests of those who tell.
#[derive(Debug, Default)]
pub struct Recorded {
    told: Mutex<Vec<Told>>,
}

/// What [`Recorded`] was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// See [`Incidents::open`].
    Open(Incident),
    /// See [`Incidents::close`].
    Close(IncidentKind, String),
}

impl Recorded {
    /// What was told since the last time, in order.
    pub fn take(&self) -> Vec<Told> {
        self.told.lock().map(|mut told| std::mem::take(&mut *told)).unwrap_or_default()
    }

    fn keep(&self, told: Told) {
        if let Ok(mut all) = self.told.lock() {
            all.push(told);
        }
    }
}

impl Incidents for Recorded {
    fn open(&self, incident: Incident) {
        self.keep(Told::Open(incident));
    }
    fn close(&self, kind: IncidentKind, about: &str, _how: &str) {
        self.keep(Told::Close(kind, about.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_severity_is_found_by_its_name() {
        for kind in IncidentKind::ALL {
            assert_eq!(IncidentKind::from_name(kind.name()), Some(kind));
        }
        for severity in [Severity::Warning, Severity::Critical] {
            assert_eq!(Severity::from_name(severity.name()), Some(severity));
        }
        assert_eq!(IncidentKind::from_name("Breaker"), None);
    }

    #[test]
    fn who_does_not_know_stages_is_told_of_each_opening() {
        let recorded = Recorded::default();
        let incident = Incident {
            kind: IncidentKind::Expiry,
            about: "a".to_owned(),
            severity: Severity::Warning,
            what: String::new(),
            remedy: String::new(),
            code: None,
            lanes: Vec::new(),
        };
        recorded.open_stage(incident.clone(), 2);
        assert_eq!(recorded.take(), [Told::Open(incident)]);
    }
}
