//! What is configured of the ways out: pools of lanes, the budgets that they draw on, the breakers that stop them.
//!
//! A *lane* is a path and the mailbox it sends as. A *pool* is one lane, or several that share one queue. A *budget* counts
//! something in a rolling window, and any number of lanes may draw on it. A *breaker* stands for something that several lanes
//! may need (a credential, a tenant, a path, a mailbox): open, it stops them all, but for one probe now and then.
//!
//! In: the configuration. Out: what a message costs, and what an attempt has spent. Never: a state.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smtp::{ForwardPath, Mailbox, ReversePath};

use crate::{LaneName, Message, Outcome};

/// Name of a budget: `contoso/relay@contoso.com/recipients a day`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BudgetName(pub Arc<str>);

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Messages: each MAIL, whatever the server says of it.
    Messages,
    /// Recipients that the server took, or may have taken.
    Recipients,
    /// Of them those outside the tenant's own domains.
    External,
    /// Of these those whose sender is under a domain that the provider lends.
    ExternalUnderProviderDomain,
}

/// A count in a rolling window, and its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// See there.
    pub name: BudgetName,
    /// See there.
    pub counts: Counted,
    /// In any window of this length …
    pub window: Duration,
    /// … at most so many. At least 1.
    pub limit: u64,
    /// The last so many are for urgent mail alone. Below `limit`.
    pub reserve: u64,
    /// A sending address that is new starts with less.
    pub warm_up: Option<WarmUp>,
}

/// Rising limits of a new sending address: the first holds from the first use on, each for `step`; after the last the
/// budget's own limit holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// How long each holds. Default a day.
    pub step: Duration,
    /// Rising, none zero.
    pub limits: Vec<u64>,
}

/// What a breaker stands for, in the order in which an attempt needs them: trouble with one proves that those before it work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The next hop: name, network, TLS, its rules for us.
    Path,
    /// The application, or the user and password.
    Credential,
    /// The organisation at the provider.
    Tenant,
    /// The mailbox that is sent as.
    Mailbox,
}

/// Name of a breaker: `credential contoso/1111…`, `mailbox relay@contoso.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BreakerName {
    /// See there.
    pub scope: Scope,
    /// Which one.
    pub name: Arc<str>,
}

/// What is done about a recipient whose last attempt ended unconfirmed, where the next hop cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unconfirmed {
    /// Tried again by the schedule: perhaps twice, never not at all.
    #[default]
    Resend,
    /// Held until an operator has looked.
    Hold,
}

/// A path and the mailbox it sends as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// Which.
    pub name: LaneName,
    /// Attempts at once, at most. At least 1.
    pub connections: usize,
    /// What it draws on; each is in [`Plan::budgets`].
    pub budgets: Vec<BudgetName>,
    /// What it needs: at most one of each scope.
    pub breakers: Vec<BreakerName>,
    /// See there.
    pub unconfirmed: Unconfirmed,
    /// Whether it carries mail with the null reverse-path.
    pub null_reverse_path: bool,
    /// The mailbox it sends as, if it is bound to one.
    pub mailbox: Option<Mailbox>,
}

/// One lane, or several that share one queue. [`Message::lane`] names the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// That of its lane if it has only one.
    pub name: LaneName,
    /// At least one.
    pub lanes: Vec<LaneSettings>,
    /// Of one tenant are pools with the same name here.
    pub tenant: Arc<str>,
    /// Recipients in these domains are internal. Lower case.
    pub internal_domains: Arc<[String]>,
    /// Senders in this domain or under it are under the provider's own domain: `onmicrosoft.com`. Lower case.
    pub provider_domain: Option<Arc<str>>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names are unique.
    pub budgets: Vec<BudgetSettings>,
    /// In the order of the file; names of pools and of lanes are unique.
    pub pools: Vec<PoolSettings>,
}

/// What a message, or a part of its recipients, counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// See [`Counted`].
    pub messages: u32,
    /// See [`Counted`].
    pub recipients: u32,
    /// See [`Counted`].
    pub external: u32,
    /// See [`Counted`].
    pub external_under_provider_domain: u32,
}

/// An entry of the ledger: so much of a budget was spent then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// Which.
    pub budget: BudgetName,
    /// When the attempt ended.
    pub at: Timestamp,
    /// At least 1.
    pub amount: u32,
}

impl Cost {
    /// Its part that a budget counts.
    pub fn of(&self, counted: Counted) -> u32 {
        match counted {
            Counted::Messages => self.messages,
            Counted::Recipients => self.recipients,
            Counted::External => self.external,
            Counted::ExternalUnderProviderDomain => self.external_under_provider_domain,
        }
    }
}

impl PoolSettings {
    /// Whether a recipient is outside the tenant's domains.
    pub fn is_external(&self, to: &ForwardPath) -> bool {
        match to {
            ForwardPath::Postmaster => false,
            ForwardPath::Mailbox(mailbox) => {
                let domain = mailbox.domain();
                !self.internal_domains.iter().any(|internal| internal.eq_ignore_ascii_case(domain))
            }
        }
    }

    /// Whether a sender is under the provider's own domain.
    pub fn is_under_provider_domain(&self, from: &ReversePath) -> bool {
        let (Some(lent), ReversePath::Mailbox(mailbox)) = (&self.provider_domain, from) else { return false };
        let domain = mailbox.domain().to_ascii_lowercase();
        domain.strip_suffix(&**lent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Whether a message with this reverse-path may leave under the provider's own domain: with it, or with that of a mailbox of
    /// ours where its sender is rewritten.
    pub fn may_leave_under_provider_domain(&self, reverse_path: &ReversePath) -> bool {
        let under = |mailbox: &Mailbox| self.is_under_provider_domain(&ReversePath::Mailbox(mailbox.clone()));
        self.provider_domain.is_some()
            && (self.is_under_provider_domain(reverse_path)
                || self.lanes.iter().filter_map(|lane| lane.mailbox.as_ref()).any(under))
    }

    /// What its recipients still queued cost, in one transaction, and in one more for the copy of an archive.
    pub fn cost(&self, message: &Message) -> Cost {
        let queued = || message.recipients.iter().filter(|recipient| recipient.state.is_queued());
        let both = queued().any(|recipient| recipient.archive) && queued().any(|recipient| !recipient.archive);
        self.cost_of(message, queued().map(|recipient| &recipient.forward_path), 1 + u32::from(both))
    }

    /// What an attempt has used up. `messages`: transactions that reached MAIL.
    pub fn used(&self, message: &Message, results: &[(Vec<u32>, Outcome)], messages: u32) -> Cost {
        let taken = |outcome: &Outcome| matches!(outcome, Outcome::HandedOver { .. } | Outcome::Unconfirmed { .. });
        let indices = results.iter().filter(|(_, outcome)| taken(outcome)).flat_map(|(indices, _)| indices);
        let recipients = indices.filter_map(|index| message.recipients.get(usize::try_from(*index).ok()?));
        self.cost_of(message, recipients.map(|recipient| &recipient.forward_path), messages)
    }

    fn cost_of<'a>(&self, message: &Message, recipients: impl Iterator<Item = &'a ForwardPath>, messages: u32) -> Cost {
        let mut cost = Cost { messages, ..Cost::default() };
        for forward_path in recipients {
            cost.recipients += 1;
            cost.external += u32::from(self.is_external(forward_path));
        }
        if self.may_leave_under_provider_domain(&message.reverse_path) {
            cost.external_under_provider_domain = cost.external;
        }
        cost
    }
}

impl Plan {
    /// The pool of that name.
    pub fn pool(&self, name: &LaneName) -> Option<&PoolSettings> {
        self.pools.iter().find(|pool| pool.name == *name)
    }

    /// The lane of that name, with its pool.
    pub fn lane(&self, name: &LaneName) -> Option<(&PoolSettings, &LaneSettings)> {
        self.pools.iter().find_map(|pool| Some((pool, pool.lanes.iter().find(|lane| lane.name == *name)?)))
    }

    /// What an attempt in that lane has spent, for the ledger. Empty if the lane draws on no budget.
    pub fn spends(&self, lane: &LaneName, used: Cost, at: Timestamp) -> Vec<Spend> {
        let Some((_, lane)) = self.lane(lane) else { return Vec::new() };
        let budgets = lane.budgets.iter().filter_map(|name| self.budgets.iter().find(|budget| budget.name == *name));
        budgets
            .map(|budget| Spend { budget: budget.name.clone(), at, amount: used.of(budget.counts) })
            .filter(|spend| spend.amount > 0)
            .collect()
    }
}

impl fmt::Display for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "path",
            Self::Credential => "credential",
            Self::Tenant => "tenant",
            Self::Mailbox => "mailbox",
        })
    }
}

/// `mailbox relay@contoso.com`
impl fmt::Display for BreakerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scope, self.name)
    }
}
