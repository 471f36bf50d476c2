//! By which pool mail of our own leaves, and as whom.
//!
//! A real report has the null reverse-path (RFC 3461 §6), so that nothing ever answers it. Where no path carries that, it is a
//! notification from the relay's own mailbox.

use queue::{LaneName, LaneSettings, Message, PoolSettings};
use smtp::{ForwardPath, Mailbox, ReversePath};

use super::Notification;
use crate::context::Context;

/// A way for mail of our own.
pub(super) struct Carrier {
    pub(super) pool: LaneName,
    pub(super) from: Mailbox,
    pub(super) reverse_path: ReversePath,
    /// It comes from an ordinary mailbox.
    pub(super) notice: bool,
}

/// Of the tenant of that message; `None`: it has none.
pub(super) fn of_report(context: &Context, message: &Message) -> Option<Carrier> {
    of_tenant(context, tenant(context, message)?)
}

/// Whose the message is.
pub(super) fn tenant<'a>(context: &'a Context, message: &Message) -> Option<&'a str> {
    let plan = &context.plan;
    let pool = plan.pool(&message.lane).or_else(|| plan.pool(context.routes.lane(&message.reverse_path)?))?;
    Some(&pool.tenant)
}

/// The null reverse-path first, then what works, then the order of the file.
pub(super) fn of_tenant(context: &Context, tenant: &str) -> Option<Carrier> {
    let pools = context.plan.pools.iter().filter(|pool| &*pool.tenant == tenant);
    let carriers = pools.filter_map(|pool| carrier(context, pool, |_| true));
    carriers.min_by_key(|carrier| (carrier.notice, is_stopped(context, &carrier.pool)))
}

/// The way that was asked for first, then the recipients' tenant, then the order of the file. An error says why there is none.
pub(super) fn of_notification(context: &Context, notification: &Notification) -> Result<Carrier, String> {
    if notification.to.is_empty() {
        return Err("it names nobody to write to".to_owned());
    }
    let may = |lane: &LaneSettings| !notification.not_by.contains(&lane.name) && !context.is_stopped(&lane.name);
    let pools = context.plan.pools.iter().filter(|pool| !notification.not_by.contains(&pool.name));
    let found = pools.filter_map(|pool| {
        let asked_for = notification.by.as_ref().is_some_and(|by| names(pool, by));
        let at_home = notification.to.iter().any(|to| is_at_home(pool, to));
        Some(((!asked_for, !at_home), carrier(context, pool, may)?))
    });
    match found.min_by_key(|(rank, _)| *rank) {
        Some((_, carrier)) => Ok(carrier),
        None if context.plan.pools.iter().any(|pool| carrier(context, pool, |_| true).is_some()) => {
            Err("all paths that could are stopped, or are those that it tells of".to_owned())
        }
        None => Err("none sends as a mailbox of its own or carries the null reverse-path".to_owned()),
    }
}

/// Whether nothing goes by any lane of the pool.
pub(super) fn is_stopped(context: &Context, pool: &LaneName) -> bool {
    let lanes = context.plan.pool(pool).map(|pool| pool.lanes.as_slice()).unwrap_or_default();
    lanes.iter().all(|lane| context.is_stopped(&lane.name))
}

/// As whom mail of our own goes by that pool, if it can. `may`: lanes of it that may be counted on. Which of them takes the
/// message is not known beforehand, so all must carry the null reverse-path, if any is to.
fn carrier(context: &Context, pool: &PoolSettings, may: impl Fn(&LaneSettings) -> bool) -> Option<Carrier> {
    let mailbox = |lane: &LaneSettings| lane.mailbox.clone();
    let stopped = |lane: &&LaneSettings| context.is_stopped(&lane.name);
    if !pool.lanes.iter().any(&may) {
        return None;
    }
    let null = pool.lanes.iter().all(|lane| lane.null_reverse_path);
    let mut bound = pool.lanes.iter().filter(|lane| may(lane) && lane.mailbox.is_some());
    let bound = bound.clone().find(|lane| !stopped(lane)).or_else(|| bound.next()).and_then(mailbox);
    let from = match bound {
        Some(mailbox) => mailbox,
        None if null => postmaster(&context.reports.hostname)?,
        None => return None,
    };
    let reverse_path = if null { ReversePath::Null } else { ReversePath::Mailbox(from.clone()) };
    Some(Carrier { pool: pool.name.clone(), from, reverse_path, notice: !null })
}

/// RFC 5321 §4.5.1
fn postmaster(hostname: &str) -> Option<Mailbox> {
    Mailbox::parse(&format!("postmaster@{hostname}")).or_else(|_| Mailbox::parse("postmaster@localhost")).ok()
}

fn names(pool: &PoolSettings, by: &LaneName) -> bool {
    pool.name == *by || pool.lanes.iter().any(|lane| lane.name == *by)
}

fn is_at_home(pool: &PoolSettings, to: &ForwardPath) -> bool {
    to.mailbox().is_some() && !pool.is_external(to)
}
