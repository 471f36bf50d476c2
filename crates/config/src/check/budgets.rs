//! What the lanes of a path draw on, and the limits of these budgets.

use std::sync::Arc;
use std::time::Duration;

use m365::Cloud;
use m365::limits::{self, PathLimits};
use queue::{BudgetName, BudgetSettings, Counted, LaneName, PoolSettings, WarmUp};
use smtp::Mailbox;

use crate::check::Checker;
use crate::problem::Place;
use crate::read::At;
use crate::written::{Path, Tenant};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What a budget has once its warm-up is over: more than any relay sends.
const PLENTY: u64 = 1_000_000_000;

/// Of one mailbox, whichever paths of the tenant use it.
pub(super) fn of_a_mailbox(tenant: &str, mailbox: &Mailbox, path: &Path, limits: &PathLimits) -> Vec<BudgetSettings> {
    let name = |what: &str| format!("{tenant}/{}/{what}", mailbox.as_str().to_ascii_lowercase());
    let written = path.messages_per_minute.as_ref().map(|messages| messages.value.0);
    let messages = written.or(limits.messages_per_minute.map(u64::from));
    let written = path.recipients_per_day.as_ref().map(|recipients| recipients.value.0);
    let recipients = written.or(limits.recipients_per_day.map(u64::from));
    let messages = messages.map(|limit| budget(name("messages a minute"), Counted::Messages, MINUTE, limit));
    let recipients =
        recipients.map(|limit| with_reserve(budget(name("recipients a day"), Counted::Recipients, DAY, limit), path));
    messages.into_iter().chain(recipients).collect()
}

/// Of the tenant as a whole, on paths where Exchange Online counts for it.
pub(super) fn of_a_tenant(pool: &PoolSettings, external: Option<u64>, path: &Path) -> Vec<BudgetSettings> {
    let name = format!("{}/external recipients a day", pool.tenant);
    let lent = pool.provider_domain.as_ref().map(|domain| {
        let limit = u64::from(limits::ONMICROSOFT_EXTERNAL_RECIPIENTS_PER_DAY);
        budget(format!("{name} under {domain}"), Counted::ExternalUnderProviderDomain, DAY, limit)
    });
    let all = external.map(|limit| budget(name.clone(), Counted::External, DAY, limit));
    all.into_iter().chain(lent).map(|budget| with_reserve(budget, path)).collect()
}

/// Only what the file asks for.
pub(super) fn of_a_smart_host(lane: &LaneName, path: &Path) -> Vec<BudgetSettings> {
    let of = |what: &str, counts, window, limit| budget(format!("{lane}/{what}"), counts, window, limit);
    let messages =
        path.messages_per_minute.as_ref().map(|m| of("messages a minute", Counted::Messages, MINUTE, m.value.0));
    let recipients = path.recipients_per_day.as_ref().map(|r| {
        let budget = of("recipients a day", Counted::Recipients, DAY, r.value.0);
        with_reserve(budget, path)
    });
    let steps: Vec<u64> = path.warm_up.value.iter().map(|step| step.value.0).collect();
    let warm_up = (!steps.is_empty()).then(|| BudgetSettings {
        warm_up: Some(WarmUp { step: DAY, limits: steps }),
        ..of("messages a day", Counted::Messages, DAY, PLENTY)
    });
    [messages, recipients, warm_up].into_iter().flatten().collect()
}

fn budget(name: String, counts: Counted, window: Duration, limit: u64) -> BudgetSettings {
    BudgetSettings { name: BudgetName(Arc::from(name)), counts, window, limit, reserve: 0, warm_up: None }
}

fn with_reserve(budget: BudgetSettings, path: &Path) -> BudgetSettings {
    BudgetSettings { reserve: budget.limit * path.urgent_reserve.value.0 / 100, ..budget }
}

impl Checker<'_> {
    /// Adds a path's budgets to the others. Paths may share one: then the smaller limit holds, and the larger reserve.
    pub(super) fn add_budgets(&mut self, all: &mut Vec<BudgetSettings>, budgets: Vec<BudgetSettings>, place: Place) {
        for budget in budgets {
            let Some(known) = all.iter_mut().find(|known| known.name == budget.name) else {
                all.push(budget);
                continue;
            };
            if known.limit != budget.limit {
                let what = format!(
                    "another path shares the budget `{}` and sets {} where this one sets {}: the smaller holds",
                    known.name, known.limit, budget.limit
                );
                self.sink.warn(place, what, "give both paths the same figure");
            }
            known.limit = known.limit.min(budget.limit);
            known.reserve = known.reserve.max(budget.reserve).min(known.limit - 1);
        }
    }

    /// How many external recipients the tenant may reach in a day; `None`: not counted.
    pub(super) fn external_limit(&mut self, tenant: &Tenant) -> Option<u64> {
        let Tenant { licences, trial, external_recipients_per_day: outright, .. } = tenant;
        if let Some(licences) = &**licences
            && trial.value
        {
            let what = "a tenant is either on `trial` or has paid `licences`";
            self.sink.error(licences.place.max(trial.place), what, "take one of them out");
        }
        let licences = licences.as_ref();
        let paid = licences.map(|n| limits::tenant_external_recipients(u32::try_from(n.value.0).unwrap_or(u32::MAX)));
        let tried = trial.value.then_some(u64::from(limits::TRIAL_EXTERNAL_RECIPIENTS_PER_DAY));
        let follows = tried.or(paid);
        if follows.is_some() && tenant.cloud.value.0 != Cloud::Worldwide {
            let place = licences.map_or(trial.place, |licences| licences.place);
            let what =
                "Microsoft limits a tenant's external recipients in the worldwide cloud only: they are not counted";
            self.sink.warn(place, what, "take it out, or set `external_recipients_per_day` if they shall be counted");
            return outright.as_ref().map(|limit| limit.value.0);
        }
        if let (Some(outright), Some(follows)) = (&**outright, follows) {
            self.is_not_above(outright, follows);
        }
        outright.as_ref().map(|limit| limit.value.0).or(follows)
    }

    fn is_not_above<const MIN: u64, const MAX: u64>(
        &mut self,
        outright: &At<crate::units::Whole<MIN, MAX>>,
        follows: u64,
    ) {
        if outright.value.0 > follows {
            let what = format!("Exchange Online allows this tenant {follows} external recipients a day");
            self.sink.warn(outright.place, what, "external recipients over it will be refused until the next day");
        }
    }
}
