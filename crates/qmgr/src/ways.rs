//! The plan, by name: what is asked for every message, without a search.
//!
//! In: the plan and the transports. Out: for a lane its next hop, what it draws on, which recipients fit a grant. Never: a
//! state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use queue::{BudgetName, Cost, Counted, LaneName, Message, Plan, PoolSettings, Spend, Transport, Unconfirmed};

pub(crate) struct Ways {
    lanes: HashMap<LaneName, Arc<Way>>,
    pools: HashMap<LaneName, Arc<PoolSettings>>,
    longest: Option<Duration>,
}

/// A lane.
pub(crate) struct Way {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) pool: Arc<PoolSettings>,
    pub(crate) unconfirmed: Unconfirmed,
    pub(crate) connections: usize,
    /// What it draws on.
    budgets: Vec<(BudgetName, Counted)>,
}

impl Ways {
    pub(crate) fn new(plan: &Plan, transports: &BTreeMap<LaneName, Arc<dyn Transport>>) -> Self {
        let counted: HashMap<_, _> = plan.budgets.iter().map(|budget| (&budget.name, budget.counts)).collect();
        let (mut lanes, mut pools) = (HashMap::new(), HashMap::new());
        for pool in &plan.pools {
            let shared = Arc::new(pool.clone());
            for lane in &pool.lanes {
                let Some(transport) = transports.get(&lane.name) else { continue };
                let drawn = lane.budgets.iter().filter_map(|name| Some((name.clone(), *counted.get(name)?)));
                let way = Way {
                    transport: Arc::clone(transport),
                    pool: Arc::clone(&shared),
                    unconfirmed: lane.unconfirmed,
                    connections: lane.connections.max(1),
                    budgets: drawn.collect(),
                };
                lanes.insert(lane.name.clone(), Arc::new(way));
            }
            pools.insert(pool.name.clone(), shared);
        }
        Self { lanes, pools, longest: plan.budgets.iter().map(|budget| budget.window).max() }
    }

    pub(crate) fn lane(&self, name: &LaneName) -> Option<&Arc<Way>> {
        self.lanes.get(name)
    }

    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Way> {
        self.lanes.values().map(|way| &**way)
    }

    pub(crate) fn pool(&self, name: &LaneName) -> Option<&PoolSettings> {
        self.pools.get(name).map(|pool| &**pool)
    }

    /// Names of the lanes of a pool.
    pub(crate) fn lanes_of(&self, pool: &LaneName) -> Vec<String> {
        let lanes = self.pool(pool).map(|pool| pool.lanes.as_slice()).unwrap_or_default();
        lanes.iter().map(|lane| lane.name.to_string()).collect()
    }

    /// The longest window of a budget; `None`: there are no budgets.
    pub(crate) fn longest(&self) -> Option<Duration> {
        self.longest
    }
}

impl Way {
    /// What that much use comes to in the ledger.
    pub(crate) fn spends(&self, used: Cost, at: Timestamp) -> Vec<Spend> {
        let spend = |(name, counted): &(BudgetName, Counted)| {
            let amount = used.of(*counted);
            (amount > 0).then(|| Spend { budget: name.clone(), at, amount })
        };
        self.budgets.iter().filter_map(spend).collect()
    }

    /// The first recipients still queued that fit the grant, as indices.
    pub(crate) fn select(&self, message: &Message, grant: Cost) -> Vec<u32> {
        let (mut room, mut external_room) = (grant.recipients, grant.external);
        if self.pool.may_leave_under_provider_domain(&message.reverse_path) {
            external_room = external_room.min(grant.external_under_provider_domain);
        }
        // With room for all recipients, nobody need ask which are external.
        let scarce = u32::try_from(message.recipients.len()).is_ok_and(|all| external_room < all);
        let queued = message.recipients.iter().zip(0_u32..).filter(|(recipient, _)| recipient.state.is_queued());
        let selected = queued.filter(|(recipient, _)| {
            let external = scarce && self.pool.is_external(&recipient.forward_path);
            let fits = room > 0 && (!external || external_room > 0);
            room -= u32::from(fits);
            external_room -= u32::from(fits && external);
            fits
        });
        selected.map(|(_, index)| index).collect()
    }
}
