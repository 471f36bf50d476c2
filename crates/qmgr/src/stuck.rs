//! Incidents that are about queued messages: each stays open as long as one of its messages is queued, also across a
//! restart.
//!
//! In: a message that waits for somebody to act although its lane works, or that the relay itself failed at; messages that
//! are settled. Out: incidents opened and closed. Never: an incident for each of a thousand messages with one cause.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use queue::{LaneName, Message, MessageId, SpoolError};
use serde::{Deserialize, Serialize};
use telemetry::{Incident, IncidentKind, Severity};

use crate::context::Context;

/// How the keys begin under which they are remembered.
pub(crate) const REMEMBERED: &str = "qmgr/stuck/";
/// Incidents kept; further ones are opened and left to be closed by hand of whoever looks.
const CASES: usize = 1_000;
/// Messages of one incident that are kept track of.
const MESSAGES: usize = 1_000;
/// Of them remembered.
const STORED: usize = 200;

#[derive(Default)]
pub(crate) struct Stuck {
    cases: Mutex<BTreeMap<Key, Case>>,
    /// Looked at for every message: whether there are any.
    open: AtomicUsize,
}

type Key = (&'static str, String);

struct Case {
    incident: Incident,
    cause: Cause,
    messages: BTreeSet<MessageId>,
}

/// What ends an incident before its messages are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cause {
    /// Mail from this sender …
    pub(crate) sender: Option<String>,
    /// … that goes through in this lane.
    pub(crate) lane: Option<LaneName>,
}

/// As it is remembered.
#[derive(Serialize, Deserialize)]
struct Stored {
    kind: String,
    about: String,
    critical: bool,
    what: String,
    remedy: String,
    code: Option<String>,
    lanes: Vec<String>,
    #[serde(flatten)]
    cause: Cause,
    messages: Vec<MessageId>,
}

impl Stuck {
    fn cases(&self) -> MutexGuard<'_, BTreeMap<Key, Case>> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, cases: &BTreeMap<Key, Case>) {
        self.open.store(cases.len(), Ordering::Relaxed);
    }

    fn none(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }
}

/// This message is one more of that incident. Out: whether it is the first.
pub(crate) fn open(context: &Context, incident: Incident, cause: Cause, id: MessageId) -> bool {
    let key = (incident.kind.name(), incident.about.clone());
    let mut cases = context.stuck.cases();
    let first = !cases.contains_key(&key);
    if cases.len() < CASES || cases.contains_key(&key) {
        let case =
            cases.entry(key).or_insert_with(|| Case { incident: incident.clone(), cause, messages: BTreeSet::new() });
        case.incident = incident.clone();
        if case.messages.len() < MESSAGES && case.messages.insert(id) && case.messages.len() <= STORED {
            context.memory.note(case.key(), case.stored());
        }
        context.stuck.count(&cases);
    }
    drop(cases);
    context.incidents.open(incident);
    first
}

/// A message has got its outcomes; `through`: mail of its sender has just gone through in that lane.
pub(crate) fn review(context: &Context, message: &Message, through: Option<&LaneName>) {
    if context.stuck.none() {
        return;
    }
    let sender = through.map(|_| message.reverse_path.to_string());
    let settled = message.is_settled();
    let mut over = Vec::new();
    let mut cases = context.stuck.cases();
    cases.retain(|_, case| {
        let was_there = settled && case.messages.remove(&message.id);
        let cured = case.cause.sender.is_some() && case.cause.sender == sender && case.cause.lane.as_ref() == through;
        let ends = cured || (was_there && case.messages.is_empty());
        if ends {
            over.push((case.incident.kind, case.incident.about.clone(), cured));
            context.memory.note(case.key(), None);
        } else if was_there {
            context.memory.note(case.key(), case.stored());
        }
        !ends
    });
    context.stuck.count(&cases);
    drop(cases);
    for (kind, about, cured) in over {
        let how = if cured { "mail goes through again" } else { "none of its messages is queued any more" };
        context.incidents.close(kind, &about, how);
    }
}

/// After a start: those of which a message is still queued are open again.
pub(crate) async fn recall(context: &Context, remembered: Vec<(String, String)>) {
    for (key, value) in remembered {
        let Ok(stored) = serde_json::from_str::<Stored>(&value) else {
            context.memory.note(key, None);
            continue;
        };
        let queued = queued(context, &stored.messages).await;
        match incident(&stored) {
            Some(incident) if !queued.is_empty() => {
                for id in queued {
                    open(context, incident.clone(), stored.cause.clone(), id);
                }
            }
            _ => context.memory.note(key, None),
        }
    }
}

/// Those that may still be queued.
async fn queued(context: &Context, ids: &[MessageId]) -> Vec<MessageId> {
    let mut queued = Vec::new();
    for id in ids {
        match context.spool.find(*id).await {
            Ok(message) if message.is_settled() => {}
            Err(SpoolError::NotFound(_)) => {}
            Ok(_) | Err(_) => queued.push(*id),
        }
    }
    queued
}

fn incident(stored: &Stored) -> Option<Incident> {
    Some(Incident {
        kind: IncidentKind::ALL.into_iter().find(|kind| kind.name() == stored.kind)?,
        about: stored.about.clone(),
        severity: if stored.critical { Severity::Critical } else { Severity::Warning },
        what: stored.what.clone(),
        remedy: stored.remedy.clone(),
        code: stored.code.clone(),
        lanes: stored.lanes.clone(),
    })
}

impl Case {
    fn key(&self) -> String {
        format!("{REMEMBERED}{}/{}", self.incident.kind, self.incident.about)
    }

    fn stored(&self) -> Option<String> {
        let incident = &self.incident;
        let stored = Stored {
            kind: incident.kind.name().to_owned(),
            about: incident.about.clone(),
            critical: incident.severity == Severity::Critical,
            what: incident.what.clone(),
            remedy: incident.remedy.clone(),
            code: incident.code.clone(),
            lanes: incident.lanes.clone(),
            cause: self.cause.clone(),
            messages: self.messages.iter().take(STORED).copied().collect(),
        };
        serde_json::to_string(&stored).ok()
    }
}
