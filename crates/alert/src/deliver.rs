//! One task for each channel: takes what waits, sends it, tries again.
//!
//! In: the channel's line of notices. Out: bulletins, in order; a channel that is down holds up no other. What was not told
//! within a day is given up, and said in the log. A channel that does not work is an incident itself: the other channels tell.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use telemetry::{Incident, IncidentKind, Severity};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::channel::{Again, Failure};
use crate::desk::{Line, Shared};
use crate::notice::Bulletin;

const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const SELDOM: Duration = Duration::from_secs(3600);
/// Nobody tells us to be silent for longer.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// What is older is given up when it fails again.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(24);
/// A channel that has not worked for so long is an incident.
const IS_BROKEN: SignedDuration = SignedDuration::from_mins(15);
/// For a bulletin under way when the relay stops.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// A run of failures.
struct Setback {
    since: Timestamp,
    failures: u32,
    told: bool,
}

/// Until `stop`.
pub(crate) async fn deliver(shared: Arc<Shared>, index: usize, stop: CancellationToken) {
    let Some(line) = shared.lines.get(index) else { return };
    let mut setback = None;
    while !stop.is_cancelled() {
        let Some(bulletin) = shared.next_bulletin(index) else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = line.woken.notified() => continue,
            }
        };
        let Some(result) = send(line, &bulletin, &stop).await else { return };
        match result {
            Ok(()) => arrived(&shared, index, line, setback.take()),
            Err(failure) => {
                let wait = failed(&shared, index, line, &failure, &mut setback);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(wait) => {}
                    () = line.works.notified() => {}
                }
            }
        }
    }
}

/// `None`: the relay stops before it is known whether the bulletin arrived; it is sent again after the start.
async fn send(line: &Line, bulletin: &Bulletin, stop: &CancellationToken) -> Option<Result<(), Failure>> {
    let sending = line.sender.send(bulletin);
    tokio::pin!(sending);
    tokio::select! {
        result = &mut sending => Some(result),
        () = stop.cancelled() => timeout(LAST_GRACE, sending).await.ok(),
    }
}

fn arrived(shared: &Shared, index: usize, line: &Line, setback: Option<Setback>) {
    shared.with_waiting(index, |waiting| waiting.sent());
    if setback.is_some() {
        info!(channel = line.name, "the alert channel works again");
    }
    shared.close(IncidentKind::Fault, &about(&line.name), "");
}

/// Says what must be said, and returns how long to wait.
fn failed(shared: &Shared, index: usize, line: &Line, failure: &Failure, setback: &mut Option<Setback>) -> Duration {
    let now = (shared.now)();
    let Failure { what, hint, again } = failure;
    if setback.is_none() {
        warn!(channel = line.name, hint, "an alert could not be told, it is tried again for a day: {what}");
    }
    let setback = setback.get_or_insert(Setback { since: now, failures: 0, told: false });
    setback.failures += 1;
    let given_up = shared.with_waiting(index, |waiting| waiting.failed(now - GIVE_UP)).unwrap_or_default();
    if given_up > 0 {
        error!(channel = line.name, hint, "{given_up} alerts could not be told for a day and are given up: {what}");
    }
    if !setback.told && (*again == Again::Seldom || now.duration_since(setback.since) >= IS_BROKEN) {
        setback.told = true;
        shared.open(broken(line, failure), 0);
    }
    match again {
        Again::Soon => FIRST_WAIT.saturating_mul(1 << (setback.failures - 1).min(16)).min(LONGEST_WAIT),
        Again::After(asked) => (*asked).clamp(Duration::from_secs(1), LONGEST_ASKED),
        Again::Seldom => SELDOM,
    }
}

/// What the incident of a channel that does not work is about. The channel itself does not get it.
pub(crate) fn about(channel: &str) -> String {
    format!("alert channel {channel}")
}

fn broken(line: &Line, failure: &Failure) -> Incident {
    let name = &line.name;
    Incident {
        kind: IncidentKind::Fault,
        about: about(name),
        severity: Severity::Warning,
        what: format!("the alert channel {name} does not work: {}", failure.what),
        remedy: format!("{}; then: posthouse alert test {name}", failure.hint),
        code: None,
        lanes: Vec::new(),
    }
}
