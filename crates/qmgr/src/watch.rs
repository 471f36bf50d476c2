//! Looks at the whole every minute: is the queue too old or too long, does too much bounce, will a budget end too soon, does
//! the spool take mail, is every recipient accounted for?
//!
//! In: the spool's counters and health, the scheduler's forecasts. Out: incidents that open and close; each closes only
//! when its figure is well away from where it opens, so that none flaps. Never: a change of anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use queue::{BudgetName, Counters, Filter, Forecast, LaneDepth, SpoolHealth, SpoolState};
use telemetry::{Gauge, Incident, IncidentKind, Severity};
use tokio::time::{MissedTickBehavior, interval};

use crate::context::Context;
use crate::{WatchSettings, status, tell};

const ROUND: Duration = Duration::from_secs(60);
/// What opened closes at so many hundredths of where it opens.
const CLOSES_AT: u64 = 80;
/// Bounces are counted over so many rounds: an hour.
const ROUNDS: usize = 60;
/// Fewer recipients settled within that hour say nothing.
const FEWEST: u64 = 20;
/// The end of a budget with a shorter window is nothing that people need hear of: it is how a rate is kept.
const SHORTEST_WINDOW: Duration = Duration::from_secs(3_600);

pub(crate) async fn run(context: Arc<Context>, settings: WatchSettings) {
    let mut watch = Watch { context: Arc::clone(&context), settings, open: BTreeSet::new(), settled: VecDeque::new() };
    let rounds = async {
        let mut ticks = interval(ROUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            watch.look().await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = context.stopping.cancelled() => {}
    }
}

struct Watch {
    context: Arc<Context>,
    settings: WatchSettings,
    /// What this run has opened and not closed.
    open: BTreeSet<(IncidentKind, String)>,
    /// Settled and lost recipients, those of our own mail left out, as counted each minute, newest last.
    settled: VecDeque<Settled>,
}

/// Since the spool was made; of our own mail since the start.
#[derive(Clone, Copy)]
struct Settled {
    all: u64,
    /// Bounced or expired.
    lost: u64,
}

/// Where a figure stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Above,
    /// Below where it opens, and not yet where it closes.
    Between,
    Below,
}

/// One finding.
struct Finding<'a> {
    kind: IncidentKind,
    about: &'a str,
    severity: Severity,
    what: String,
    remedy: &'a str,
    lanes: Vec<String>,
}

impl Watch {
    async fn look(&mut self) {
        self.look_at_disk();
        if let Ok(counters) = self.context.spool.counters().await {
            self.look_at_conservation(&counters);
            self.look_at_bounces(&counters);
            if let Ok(depths) = self.context.spool.lanes().await {
                self.look_at_length(&counters, &depths);
            }
        }
        self.look_at_age().await;
        let report = status::ask(&self.context).await;
        self.look_at_budgets(&report.forecasts);
    }

    fn look_at_disk(&mut self) {
        let health = self.context.spool.health();
        let (level, severity, what) = match &health.state {
            SpoolState::Accepting => (room(&health), Severity::Warning, scarce(&health)),
            SpoolState::Full { reason } => {
                (Level::Above, Severity::Critical, format!("no new mail is taken: {reason}"))
            }
            SpoolState::Closed { reason } => {
                (Level::Above, Severity::Critical, format!("the spool is closed, no mail is taken: {reason}"))
            }
        };
        let remedy = "make room on the disk of the spool, or see to the disk; `posthouse status` shows what is free";
        let finding =
            Finding { kind: IncidentKind::Disk, about: "the spool", severity, what, remedy, lanes: Vec::new() };
        self.tell(level, finding, "mail is taken, and there is room");
    }

    /// Every recipient must be accounted for.
    fn look_at_conservation(&mut self, counters: &Counters) {
        let settled = [counters.handed_over, counters.bounced, counters.expired, counters.removed];
        let known: i128 = settled.into_iter().chain([counters.queued]).map(i128::from).sum();
        let gap = i128::from(counters.accepted) - known;
        #[expect(clippy::cast_precision_loss, reason = "a gauge; any gap is small or a disaster either way")]
        self.context.metrics.set_gauge(Gauge::ConservationGap, "", gap as f64);
        let what = format!(
            "{gap} recipients are not accounted for: {} were accepted, which is not queued ({}) + handed over + bounced + \
             expired + removed",
            counters.accepted, counters.queued
        );
        let finding = Finding {
            kind: IncidentKind::Conservation,
            about: "recipients",
            severity: Severity::Critical,
            what,
            remedy: "run `posthouse spool check`",
            lanes: Vec::new(),
        };
        let level = if counters.conserved() { Level::Below } else { Level::Above };
        self.tell(level, finding, "every recipient is accounted for again");
    }

    fn look_at_bounces(&mut self, counters: &Counters) {
        let own = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let lost = counters.bounced + counters.expired;
        let now = Settled {
            all: (lost + counters.handed_over).saturating_sub(own(&self.context.own_settled)),
            lost: lost.saturating_sub(own(&self.context.own_lost)),
        };
        self.settled.push_back(now);
        if self.settled.len() > ROUNDS + 1 {
            self.settled.pop_front();
        }
        let Some(before) = self.settled.front() else { return };
        let (all, lost) = (now.all.saturating_sub(before.all), now.lost.saturating_sub(before.lost));
        let most = u64::from(self.settings.bounce_percent);
        let level = match lost * 100 {
            _ if all < FEWEST => Level::Below,
            share => level(share, most * all),
        };
        let finding = Finding {
            kind: IncidentKind::Bounces,
            about: "recipients",
            severity: Severity::Warning,
            what: format!("of {all} recipients settled within the last hour {lost} bounced or expired"),
            remedy: "`posthouse log` shows which and why; `posthouse explain` says what a reply means",
            lanes: Vec::new(),
        };
        self.tell(level, finding, "fewer recipients bounce");
    }

    fn look_at_length(&mut self, counters: &Counters, depths: &[LaneDepth]) {
        let waiting = counters.messages.saturating_sub(counters.held);
        let longest = depths.iter().max_by_key(|depth| depth.messages);
        let most = longest.map(|depth| format!(", {} of them in `{}`", depth.messages, depth.lane)).unwrap_or_default();
        let finding = Finding {
            kind: IncidentKind::QueueLength,
            about: "the queue",
            severity: Severity::Warning,
            what: format!("{waiting} messages wait{most}"),
            remedy: "`posthouse status` shows what holds them up and when they will have gone",
            lanes: longest.map(|depth| self.context.ways.lanes_of(&depth.lane)).unwrap_or_default(),
        };
        self.tell(level(waiting, self.settings.queue_length), finding, "the queue is short again");
    }

    async fn look_at_age(&mut self) {
        let filter = Filter { held: Some(false), ..Filter::default() };
        let Ok(page) = self.context.spool.list(&filter, None, 1).await else { return };
        let now = self.context.clock.now();
        let oldest = page.messages.first();
        let age = oldest.map(|message| Duration::try_from(now.duration_since(message.accepted_at)).unwrap_or_default());
        let age = age.unwrap_or_default();
        let what = oldest
            .map(|message| format!("message {} has waited for {} in `{}`", message.id, tell::words(age), message.lane));
        let finding = Finding {
            kind: IncidentKind::QueueAge,
            about: "the queue",
            severity: Severity::Warning,
            what: what.unwrap_or_default(),
            remedy: "`posthouse status` shows what holds mail up; `posthouse explain ID` tells the story of a message",
            lanes: oldest.map(|message| self.context.ways.lanes_of(&message.lane)).unwrap_or_default(),
        };
        self.tell(
            level(age.as_secs(), self.settings.queue_age.as_secs()),
            finding,
            "no message has waited for so long",
        );
    }

    /// One for each budget that will end before the queue does.
    fn look_at_budgets(&mut self, forecasts: &[Forecast]) {
        let now = self.context.clock.now();
        let ahead = self.settings.budget_ahead;
        let mut short: BTreeMap<&BudgetName, (Timestamp, &Forecast)> = BTreeMap::new();
        for forecast in forecasts {
            let Some((budget, at)) = &forecast.short else { continue };
            if self.counts_for_long(budget) && short.get(budget).is_none_or(|(known, _)| at < known) {
                short.insert(budget, (*at, forecast));
            }
        }
        for (budget, (at, forecast)) in &short {
            let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            let level = match left {
                left if left <= ahead => Level::Above,
                left if left <= ahead.mul_f64(1.25) => Level::Between,
                _ => Level::Below,
            };
            self.tell(level, budget_finding(budget, *at, forecast, self.context.ways.lanes_of(&forecast.pool)), ENOUGH);
        }
        let open = self.open.iter().filter(|(kind, _)| *kind == IncidentKind::Budget);
        let over: Vec<_> =
            open.filter(|(_, about)| !short.keys().any(|budget| *budget.0 == **about)).cloned().collect();
        for (kind, about) in over {
            self.context.incidents.close(kind, &about, ENOUGH);
            self.open.remove(&(kind, about));
        }
    }

    fn counts_for_long(&self, budget: &BudgetName) -> bool {
        let budget = self.context.plan.budgets.iter().find(|known| known.name == *budget);
        budget.is_some_and(|budget| budget.window >= SHORTEST_WINDOW)
    }

    fn tell(&mut self, level: Level, finding: Finding<'_>, how: &str) {
        let key = (finding.kind, finding.about.to_owned());
        match level {
            Level::Above => {
                self.open.insert(key);
                self.context.incidents.open(finding.into_incident());
            }
            Level::Between if self.open.contains(&key) => self.context.incidents.open(finding.into_incident()),
            Level::Between => {}
            Level::Below => {
                if self.open.remove(&key) {
                    self.context.incidents.close(finding.kind, finding.about, how);
                }
            }
        }
    }
}

const ENOUGH: &str = "the budget outlasts the queue";

fn budget_finding<'a>(budget: &'a BudgetName, at: Timestamp, forecast: &Forecast, lanes: Vec<String>) -> Finding<'a> {
    let drained = forecast.drained_at.map(|at| format!(", drained by {}", minute(at))).unwrap_or_default();
    Finding {
        kind: IncidentKind::Budget,
        about: &budget.0,
        severity: Severity::Warning,
        what: format!(
            "at this rate the budget `{budget}` ends at {}; {} messages wait in `{}`{drained}",
            minute(at),
            forecast.messages,
            forecast.pool
        ),
        remedy: "send less, spread the mail over more mailboxes, or raise the limit if the provider allows more; mail that \
                 does not fit waits for the window",
        lanes,
    }
}

/// `2027-01-15 15:40Z`
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// How near the free room is to the reserve: below twice that it is told of, until there is a quarter more.
fn room(health: &SpoolHealth) -> Level {
    let (free, enough) = (u128::from(health.free_bytes), u128::from(health.reserve_bytes) * 2);
    match free {
        _ if free < enough => Level::Above,
        _ if free * u128::from(CLOSES_AT) < enough * 100 => Level::Between,
        _ => Level::Below,
    }
}

fn scarce(health: &SpoolHealth) -> String {
    let mebibytes = |octets: u64| octets >> 20;
    format!(
        "the disk of the spool has {} MiB free; below {} MiB no new mail is taken",
        mebibytes(health.free_bytes),
        mebibytes(health.reserve_bytes)
    )
}

fn level(figure: u64, opens_above: u64) -> Level {
    match figure {
        _ if figure > opens_above => Level::Above,
        _ if u128::from(figure) * 100 > u128::from(opens_above) * u128::from(CLOSES_AT) => Level::Between,
        _ => Level::Below,
    }
}

impl Finding<'_> {
    fn into_incident(self) -> Incident {
        Incident {
            kind: self.kind,
            about: self.about.to_owned(),
            severity: self.severity,
            what: self.what,
            remedy: self.remedy.to_owned(),
            code: None,
            lanes: self.lanes,
        }
    }
}
