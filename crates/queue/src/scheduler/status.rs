//! What the scheduler shows of itself, for `status`, metrics and alerts.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::pool::Pool;
use super::ways::Ways;
use crate::{BreakerName, BudgetName, Counted, LaneName, Pause};

/// All of it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// In order of name.
    pub lanes: Vec<LaneStatus>,
    /// In order of name.
    pub budgets: Vec<BudgetStatus>,
    /// Those that are open, in order of name.
    pub breakers: Vec<BreakerStatus>,
}

/// A lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Which.
    pub name: LaneName,
    /// Whose queue it serves; its own name if it is alone.
    pub pool: LaneName,
    /// Attempts under way.
    pub active: usize,
    /// Attempts at once that are allowed now. Between 1 and `connections_ceiling`.
    pub connections: usize,
    /// Attempts at once as configured.
    pub connections_ceiling: usize,
    /// Ids of its pool waiting in memory: urgent, new, deferred.
    pub waiting: [usize; 3],
    /// Rests until.
    pub resting_until: Option<Timestamp>,
    /// Why it rests.
    pub resting_reason: Option<String>,
    /// What it draws on.
    pub budgets: Vec<BudgetName>,
    /// What it needs and what is open.
    pub open: Vec<BreakerName>,
}

/// A budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Which.
    pub name: BudgetName,
    /// See there.
    pub counts: Counted,
    /// The window's length.
    pub window: Duration,
    /// In force now: never above `ceiling`, never below `floor`.
    pub limit: u64,
    /// As configured (in a warm-up: the step's).
    pub ceiling: u64,
    /// Refusals never bring `limit` below this.
    pub floor: u64,
    /// The last so many are for urgent mail.
    pub reserve: u64,
    /// Spent in the window that ends now; what is under way counts.
    pub used: u64,
    /// When one more can be spent, if none can now.
    pub free_at: Option<Timestamp>,
    /// Why `limit` is below `ceiling`: the refusal that taught it, and when.
    pub learnt: Option<(String, Timestamp)>,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// Which.
    pub name: BreakerName,
    /// Why, and what to do.
    pub pause: Pause,
    /// Since.
    pub since: Timestamp,
    /// The next probe is not before then.
    pub probe_at: Timestamp,
    /// Lanes that it stops.
    pub lanes: Vec<LaneName>,
}

/// How long the mail of a pool will take, if nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Which.
    pub pool: LaneName,
    /// Messages that wait.
    pub messages: u64,
    /// When the last of them is handed over, if nothing more comes. `None`: cannot be said (something is open, or nothing
    /// was ever sent), or not within two months.
    pub drained_at: Option<Timestamp>,
    /// A budget (with a window of an hour or more) that ends before; or within a day, if mail comes as it did in the last
    /// hour. And when: mail then waits for its window.
    pub short: Option<(BudgetName, Timestamp)>,
}

/// What changed, for logs and alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A breaker opened (or its trouble became another one): one alert is due.
    Opened {
        /// Which.
        breaker: BreakerName,
        /// Why, and what to do.
        pause: Pause,
        /// Lanes that it stops.
        lanes: Vec<LaneName>,
    },
    /// A breaker closed: one recovery notice is due.
    Closed {
        /// Which.
        breaker: BreakerName,
        /// It was open so long.
        open_for: Duration,
    },
    /// Refusals brought a limit down: for the log.
    Slowed {
        /// Which lane was refused.
        lane: LaneName,
        /// `connections 3 → 1`, `contoso/relay@contoso.com/messages a minute 30 → 15`.
        what: String,
        /// The refusal.
        reason: String,
    },
}

impl Ways {
    pub(super) fn status(&self, pools: &[Pool], now: Timestamp) -> Status {
        let mut lanes: Vec<_> = (0..self.lanes.len()).filter_map(|lane| self.lane_status(lane, pools, now)).collect();
        lanes.sort_by(|one, other| one.name.cmp(&other.name));
        let awake = self.budgets.iter().filter(|budget| !budget.is_asleep());
        let mut budgets: Vec<_> = awake.map(|budget| budget.status(now)).collect();
        budgets.sort_by(|one, other| one.name.cmp(&other.name));
        let mut breakers: Vec<_> = (0..self.breakers.len()).filter_map(|index| self.breaker_status(index)).collect();
        breakers.sort_by(|one, other| one.name.cmp(&other.name));
        Status { lanes, budgets, breakers }
    }

    fn lane_status(&self, index: usize, pools: &[Pool], now: Timestamp) -> Option<LaneStatus> {
        let lane = self.lanes.get(index)?;
        let pool = pools.get(lane.pool)?;
        let budgets = lane.budgets.iter().filter_map(|index| self.budgets.get(*index));
        let resting = lane.resting(now);
        Some(LaneStatus {
            name: lane.settings.name.clone(),
            pool: pool.name.clone(),
            active: lane.under_way.len(),
            connections: lane.permitted(),
            connections_ceiling: lane.settings.connections,
            waiting: pool.waiting(),
            resting_until: resting.map(|(until, _)| until),
            resting_reason: resting.map(|(_, reason)| reason.to_owned()),
            budgets: budgets.filter(|budget| !budget.is_asleep()).map(|budget| budget.name().clone()).collect(),
            open: self.breakers_of(index).filter(|breaker| breaker.open.is_some()).map(|b| b.name.clone()).collect(),
        })
    }

    fn breaker_status(&self, index: usize) -> Option<BreakerStatus> {
        let breaker = self.breakers.get(index)?;
        let open = breaker.open.as_ref()?;
        Some(BreakerStatus {
            name: breaker.name.clone(),
            pause: open.pause.clone(),
            since: open.since,
            probe_at: open.probe_at,
            lanes: breaker.lanes.iter().filter_map(|lane| self.lane_name(*lane)).collect(),
        })
    }
}
