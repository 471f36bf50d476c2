//! The metrics, all of them, with their names: an interface to users.

/// Made once, passed down as `Arc`. Recording never blocks and never fails.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// A session began at this listener.
    pub fn session_opened(&self, listener: &str) {
        let _ = listener;
    }
    /// A session ended.
    pub fn session_closed(&self, listener: &str) {
        let _ = listener;
    }
    /// A reply refused something: by its reply code and enhanced status code (`452 4.3.1`).
    pub fn refused(&self, code: &str) {
        let _ = code;
    }
    /// A message was accepted; octets, and seconds from the end of data to the 250.
    pub fn accepted(&self, octets: u64, seconds: f64) {
        let _ = (octets, seconds);
    }
    /// A sync of the spool took so long.
    pub fn synced(&self, seconds: f64) {
        let _ = seconds;
    }
    /// An outcome of one recipient: lane, `handed-over` | `deferred` | `bounced` | `unconfirmed` | `expired` | `removed`, the
    /// remote's code (`250 2.0.0`) or empty.
    pub fn outcome(&self, lane: &str, outcome: &str, code: &str) {
        let _ = (lane, outcome, code);
    }
    /// From acceptance to hand-over.
    pub fn handed_over_after(&self, seconds: f64) {
        let _ = seconds;
    }
    /// A request to the token endpoint: `ok`, `refused`, `unavailable`.
    pub fn token_requested(&self, result: &str) {
        let _ = result;
    }
    /// Gauges that are read when asked for: set by `admin` before it renders the page.
    pub fn set_gauge(&self, name: Gauge, lane: &str, value: f64) {
        let _ = (name, lane, value);
    }
    /// OpenMetrics text.
    pub fn render(&self) -> String {
        String::new()
    }
}

/// Gauges; `lane` is empty where it does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Messages queued.
    QueueMessages,
    /// Recipients queued.
    QueueRecipients,
    /// Messages held.
    QueueHeld,
    /// Age of the oldest in seconds.
    QueueOldestSeconds,
    /// How far the first message that is due and not started lies behind, in seconds.
    QueueLagSeconds,
    /// Attempts under way, by lane.
    LaneActive,
    /// Attempts allowed at once, by lane.
    LaneConnections,
    /// Messages sent in the last minute, by lane.
    LaneMinuteUsed,
    /// 1 if paused, by lane.
    LanePaused,
    /// Octets free on the spool's file system.
    SpoolFree,
    /// Octets that the spool takes up.
    SpoolUsed,
    /// 1 if mail is accepted.
    SpoolAccepting,
    /// accepted − (queued + handed over + bounced + expired + removed); anything but 0 is an alert.
    ConservationGap,
}
