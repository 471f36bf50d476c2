//! The metrics, all of them, with their names: an interface to users.
//!
//! Every name starts with `posthouse_` and ends in its unit; counters end in `_total`. Labels that remotes can influence are
//! bounded (see `bounded`). The page is OpenMetrics text.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as Level;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::bounded::Bounded;

/// Made once, passed down as `Arc`. Recording never blocks for longer than a map look-up and never fails.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sessions: Family<Listener, Counter>,
    sessions_open: Family<Listener, Level>,
    refusals: Bounded<Code>,
    messages_accepted: Counter,
    octets_accepted: Counter,
    accept_seconds: Histogram,
    sync_seconds: Histogram,
    outcomes: Bounded<Outcome>,
    hand_over_seconds: Histogram,
    throttles: Family<Lane, Counter>,
    postponements: Family<Budget, Counter>,
    reports: Bounded<Action>,
    token_requests: Bounded<TokenResult>,
    gauges: Vec<(Gauge, Measured)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    lane: String,
    outcome: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenResult {
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lane {
    lane: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Budget {
    budget: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Breaker {
    breaker: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    action: String,
}

type FloatLevel = Level<f64, AtomicU64>;

#[derive(Debug)]
enum Measured {
    Whole(FloatLevel),
    ByLane(Family<Lane, FloatLevel>),
    ByBudget(Family<Budget, FloatLevel>),
    ByBreaker(Family<Breaker, FloatLevel>),
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("posthouse"),
            sessions: Family::default(),
            sessions_open: Family::default(),
            refusals: Bounded::default(),
            messages_accepted: Counter::default(),
            octets_accepted: Counter::default(),
            accept_seconds: Histogram::new(QUICK),
            sync_seconds: Histogram::new(QUICK),
            outcomes: Bounded::default(),
            hand_over_seconds: Histogram::new(PATIENT),
            throttles: Family::default(),
            postponements: Family::default(),
            reports: Bounded::default(),
            token_requests: Bounded::default(),
            gauges: Vec::new(),
        };
        metrics.register_inbound();
        metrics.register_outbound();
        metrics.gauges = Gauge::ALL.iter().map(|gauge| (*gauge, gauge.register(&mut metrics.registry))).collect();
        metrics
    }
}

/// Seconds, for what a client waits for.
const QUICK: [f64; 13] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
/// Seconds, for what takes as long as it takes.
const PATIENT: [f64; 13] = [0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0];

impl Metrics {
    fn register_inbound(&mut self) {
        let r = &mut self.registry;
        r.register("sessions", "SMTP sessions since the start", self.sessions.clone());
        r.register("sessions_open", "SMTP sessions open now", self.sessions_open.clone());
        r.register(
            "refusals",
            "Replies that refused something, by reply code and enhanced status code",
            self.refusals.family.clone(),
        );
        r.register(
            "messages_accepted",
            "Messages accepted (250 after the end of data)",
            self.messages_accepted.clone(),
        );
        r.register("octets_accepted", "Octets of the messages accepted", self.octets_accepted.clone());
        let accept = "From the end of data to the 250: the message is on stable storage";
        r.register_with_unit("accept", accept, Unit::Seconds, self.accept_seconds.clone());
        r.register_with_unit("spool_sync", "One sync of the spool", Unit::Seconds, self.sync_seconds.clone());
    }

    fn register_outbound(&mut self) {
        let r = &mut self.registry;
        r.register("outcomes", "Outcomes of recipients, by lane and the remote's code", self.outcomes.family.clone());
        let hand_over = "From acceptance to hand-over, a recipient each";
        r.register_with_unit("hand_over", hand_over, Unit::Seconds, self.hand_over_seconds.clone());
        let throttles = "Attempts refused for being too much or too fast, by lane";
        r.register("throttles", throttles, self.throttles.clone());
        let postponements = "Messages put off until a budget can bear them, by budget";
        r.register("postponements", postponements, self.postponements.clone());
        let reports = "Recipients that somebody was told of, by what became of them (RFC 3464)";
        r.register("reported_recipients", reports, self.reports.family.clone());
        r.register("token_requests", "Requests to the token endpoint, by result", self.token_requests.family.clone());
    }

    /// A session began at this listener.
    pub fn session_opened(&self, listener: &str) {
        let labels = Listener { listener: listener.to_owned() };
        self.sessions.get_or_create(&labels).inc();
        self.sessions_open.get_or_create(&labels).inc();
    }
    /// A session ended.
    pub fn session_closed(&self, listener: &str) {
        self.sessions_open.get_or_create(&Listener { listener: listener.to_owned() }).dec();
    }
    /// A reply refused something: by its reply code and enhanced status code (`452 4.3.1`).
    pub fn refused(&self, code: &str) {
        self.refusals.inc(Code { code: code.to_owned() }, |_| Code { code: REST.to_owned() });
    }
    /// A message was accepted; octets, and seconds from the end of data to the 250.
    pub fn accepted(&self, octets: u64, seconds: f64) {
        self.messages_accepted.inc();
        self.octets_accepted.inc_by(octets);
        self.accept_seconds.observe(seconds);
    }
    /// A sync of the spool took so long.
    pub fn synced(&self, seconds: f64) {
        self.sync_seconds.observe(seconds);
    }
    /// An outcome of one recipient: lane, `handed-over` | `deferred` | `bounced` | `unconfirmed` | `expired` | `removed`, the
    /// remote's code (`250 2.0.0`) or empty.
    pub fn outcome(&self, lane: &str, outcome: &str, code: &str) {
        let labels = Outcome { lane: lane.to_owned(), outcome: outcome.to_owned(), code: code.to_owned() };
        self.outcomes.inc(labels, |labels| Outcome { code: REST.to_owned(), ..labels });
    }
    /// From acceptance to hand-over.
    pub fn handed_over_after(&self, seconds: f64) {
        self.hand_over_seconds.observe(seconds);
    }
    /// An attempt in this lane was refused for being too much or too fast.
    pub fn throttled(&self, lane: &str) {
        self.throttles.get_or_create(&Lane { lane: lane.to_owned() }).inc();
    }
    /// A message makes room until this budget can bear it.
    pub fn postponed(&self, budget: &str) {
        self.postponements.get_or_create(&Budget { budget: budget.to_owned() }).inc();
    }
    /// Somebody was told what became of a recipient: `failed`, `delayed`, `relayed`, `delivered`, `expanded`.
    pub fn reported(&self, action: &str) {
        self.reports.inc(Action { action: action.to_owned() }, |_| Action { action: REST.to_owned() });
    }
    /// A request to the token endpoint: `ok`, `refused`, `unavailable`.
    pub fn token_requested(&self, result: &str) {
        self.token_requests.inc(TokenResult { result: result.to_owned() }, |_| TokenResult { result: REST.to_owned() });
    }
    /// Gauges that are read when asked for: set by `admin` before it renders the page. `of`: the name of the lane, budget or
    /// breaker; empty where the gauge has none.
    pub fn set_gauge(&self, name: Gauge, of: &str, value: f64) {
        let of = of.to_owned();
        match self.gauges.iter().find(|(gauge, _)| *gauge == name) {
            Some((_, Measured::Whole(level))) => level.set(value),
            Some((_, Measured::ByLane(family))) => family.get_or_create(&Lane { lane: of }).set(value),
            Some((_, Measured::ByBudget(family))) => family.get_or_create(&Budget { budget: of }).set(value),
            Some((_, Measured::ByBreaker(family))) => family.get_or_create(&Breaker { breaker: of }).set(value),
            None => 0.0,
        };
    }
    /// OpenMetrics text, media type [`Metrics::MEDIA_TYPE`].
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing into a `String` cannot fail; were it to, the page would end without `# EOF` and be refused by its reader.
        let _ = prometheus_client::encoding::text::encode(&mut page, &self.registry);
        page
    }
    /// Of the page.
    pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

/// Label of what is not counted apart any more.
const REST: &str = "other";

/// Gauges.
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
    /// Used of the lane's budget of messages a minute, by lane.
    LaneMinuteUsed,
    /// 1 if something that it needs is open, by lane.
    LanePaused,
    /// Spent in the window that ends now, by budget.
    BudgetUsed,
    /// In force now, by budget: below what is configured if refusals have taught so.
    BudgetLimit,
    /// 1 if open, by breaker; absent if it never was since the start.
    BreakerOpen,
    /// Octets free on the spool's file system.
    SpoolFree,
    /// Octets that the spool takes up.
    SpoolUsed,
    /// 1 if mail is accepted.
    SpoolAccepting,
    /// accepted − (queued + handed over + bounced + expired + removed); anything but 0 is an alert.
    ConservationGap,
}

impl Gauge {
    const ALL: [Self; 16] = [
        Self::QueueMessages,
        Self::QueueRecipients,
        Self::QueueHeld,
        Self::QueueOldestSeconds,
        Self::QueueLagSeconds,
        Self::LaneActive,
        Self::LaneConnections,
        Self::LaneMinuteUsed,
        Self::LanePaused,
        Self::BudgetUsed,
        Self::BudgetLimit,
        Self::BreakerOpen,
        Self::SpoolFree,
        Self::SpoolUsed,
        Self::SpoolAccepting,
        Self::ConservationGap,
    ];

    /// Name without unit, unit, help.
    fn words(self) -> (&'static str, Option<Unit>, &'static str) {
        match self {
            Self::QueueMessages => ("queue_messages", None, "Messages queued"),
            Self::QueueRecipients => ("queue_recipients", None, "Recipients queued"),
            Self::QueueHeld => ("queue_held_messages", None, "Messages held"),
            Self::QueueOldestSeconds => ("queue_oldest", Some(Unit::Seconds), "Age of the oldest message queued"),
            Self::QueueLagSeconds => {
                ("queue_lag", Some(Unit::Seconds), "How far the first message that is due and not started lies behind")
            }
            Self::LaneActive => ("lane_active_attempts", None, "Attempts under way: connection permits in use"),
            Self::LaneConnections => ("lane_connection_permits", None, "Attempts allowed at once"),
            Self::LaneMinuteUsed => ("lane_minute_permits_used", None, "Messages that count towards this minute"),
            Self::LanePaused => ("lane_paused", None, "1 if something that the lane needs is open: its mail waits"),
            Self::BudgetUsed => ("budget_used", None, "Spent of a budget in the window that ends now"),
            Self::BudgetLimit => ("budget_limit", None, "Limit of a budget in force now"),
            Self::BreakerOpen => ("breaker_open", None, "1 if the breaker is open until somebody acts"),
            Self::SpoolFree => ("spool_free", Some(Unit::Bytes), "Free on the spool's file system"),
            Self::SpoolUsed => ("spool_used", Some(Unit::Bytes), "Taken up by the spool"),
            Self::SpoolAccepting => ("spool_accepting", None, "1 if the spool takes new mail"),
            Self::ConservationGap => (
                "conservation_gap_recipients",
                None,
                "Accepted minus queued, handed over, bounced, expired and removed; anything but 0 is an alert",
            ),
        }
    }

    fn measured(self) -> Measured {
        match self {
            Self::LaneActive | Self::LaneConnections | Self::LaneMinuteUsed | Self::LanePaused => {
                Measured::ByLane(Family::default())
            }
            Self::BudgetUsed | Self::BudgetLimit => Measured::ByBudget(Family::default()),
            Self::BreakerOpen => Measured::ByBreaker(Family::default()),
            _ => Measured::Whole(FloatLevel::default()),
        }
    }

    fn register(self, registry: &mut Registry) -> Measured {
        let (name, unit, help) = self.words();
        let measured = self.measured();
        match (&measured, unit) {
            (Measured::ByLane(family), _) => registry.register(name, help, family.clone()),
            (Measured::ByBudget(family), _) => registry.register(name, help, family.clone()),
            (Measured::ByBreaker(family), _) => registry.register(name, help, family.clone()),
            (Measured::Whole(level), None) => registry.register(name, help, level.clone()),
            (Measured::Whole(level), Some(unit)) => registry.register_with_unit(name, help, unit, level.clone()),
        }
        measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::LIMIT;

    #[test]
    fn the_page_has_units_totals_and_an_end() {
        let metrics = Metrics::default();
        metrics.session_opened("smtp");
        metrics.session_opened("smtp");
        metrics.session_closed("smtp");
        metrics.refused("452 4.3.1");
        metrics.accepted(10_240, 0.003);
        metrics.synced(0.001);
        metrics.outcome("contoso/on-premises", "handed-over", "250 2.0.0");
        metrics.handed_over_after(2.5);
        metrics.token_requested("ok");
        metrics.set_gauge(Gauge::QueueLagSeconds, "", 1.5);
        metrics.throttled("contoso/on-premises");
        metrics.postponed("contoso/external recipients a day");
        metrics.reported("failed");
        metrics.set_gauge(Gauge::LanePaused, "contoso/on-premises", 1.0);
        metrics.set_gauge(Gauge::BudgetUsed, "contoso/recipients a day", 9_999.0);
        metrics.set_gauge(Gauge::BreakerOpen, "path contoso/on-premises", 1.0);
        let page = metrics.render();
        for line in [
            "posthouse_sessions_total{listener=\"smtp\"} 2",
            "posthouse_sessions_open{listener=\"smtp\"} 1",
            "posthouse_refusals_total{code=\"452 4.3.1\"} 1",
            "posthouse_messages_accepted_total 1",
            "posthouse_octets_accepted_total 10240",
            "posthouse_accept_seconds_bucket{le=\"0.005\"} 1",
            "posthouse_spool_sync_seconds_count 1",
            "posthouse_outcomes_total{lane=\"contoso/on-premises\",outcome=\"handed-over\",code=\"250 2.0.0\"} 1",
            "posthouse_hand_over_seconds_sum 2.5",
            "posthouse_token_requests_total{result=\"ok\"} 1",
            "posthouse_queue_lag_seconds 1.5",
            "posthouse_throttles_total{lane=\"contoso/on-premises\"} 1",
            "posthouse_postponements_total{budget=\"contoso/external recipients a day\"} 1",
            "posthouse_reported_recipients_total{action=\"failed\"} 1",
            "posthouse_lane_paused{lane=\"contoso/on-premises\"} 1.0",
            "posthouse_budget_used{budget=\"contoso/recipients a day\"} 9999.0",
            "posthouse_breaker_open{breaker=\"path contoso/on-premises\"} 1.0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is missing in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn codes_that_remotes_make_up_do_not_grow_the_page_without_end() {
        let metrics = Metrics::default();
        for code in 0..2 * LIMIT {
            metrics.outcome("lane", "bounced", &format!("550 5.7.{code}"));
        }
        let page = metrics.render();
        assert_eq!(page.lines().filter(|l| l.starts_with("posthouse_outcomes_total")).count(), LIMIT + 1);
        assert!(page.contains(&format!("code=\"other\"}} {LIMIT}")));
    }
}
