//! `posthouse status`: what is going on, what is in the way, and how long the limits will last.

use std::process::ExitCode;

use api::{Breaker, Budget, Counters, Forecast, Incident, Lane, SpoolState};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::{Running, say, say_json, show, story};

/// Whether the relay takes mail, whether mail leaves, and what is in the way
///
/// Lists the listeners, the counters (accepted = queued + handed over + bounced + expired + removed, in recipients) and the
/// spool; what does not work, with its remedy and the time of the next try; trouble that somebody was told of; every path with
/// its permits, and when what waits will have gone; every budget with what is used of it, and limits that refusals have taught.
/// Times are local.
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    running: Running,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let status = self.running.client()?.status().await?;
        if self.json {
            say_json(&status)?;
        } else {
            say(described(&status).join("\n"));
        }
        Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn described(status: &api::Status) -> Vec<String> {
    let uptime = SignedDuration::from_secs(i64::try_from(status.uptime_seconds).unwrap_or(0));
    let now = status.started_at.checked_add(uptime).unwrap_or(status.started_at);
    let mut lines =
        vec![format!("{}: posthouse {}, up {}", status.hostname, status.version, ago(status.uptime_seconds))];
    match status.ready {
        true => lines.push("taking mail".to_owned()),
        false => lines.extend(status.not_ready.iter().map(|why| format!("NOT READY: {why}"))),
    }
    lines.extend(status.listeners.iter().map(|l| format!("  listener {} on {}", l.name, l.address)));
    lines.push(counted(&status.counters));
    lines.extend(spool(&status.spool));
    lines.extend(status.breakers.iter().flat_map(|open| breaker(open, now)));
    let others = status.incidents.iter().filter(|incident| !is_of_a_breaker(incident, &status.breakers));
    lines.extend(others.flat_map(|open| incident(open, now)));
    for pool in status.lanes.chunk_by(|one, other| one.pool == other.pool) {
        let forecast = status.forecasts.iter().find(|forecast| pool.iter().any(|lane| lane.pool == forecast.pool));
        lines.extend(lanes(pool, &status.breakers, forecast, now));
    }
    let told = status.budgets.iter().filter(|budget| !is_of_no_interest(budget));
    lines.extend(told.flat_map(|one| budget(one, &status.forecasts, now)));
    lines
}

fn counted(counters: &Counters) -> String {
    let gap = if counters.conserved { "" } else { "  GAP: not every recipient is accounted for" };
    format!(
        "recipients: {} accepted = {} queued + {} handed over + {} bounced + {} expired + {} removed{gap}\n\
         messages queued: {}, of them held: {}",
        counters.accepted,
        counters.queued,
        counters.handed_over,
        counters.bounced,
        counters.expired,
        counters.removed,
        counters.messages,
        counters.held
    )
}

fn spool(spool: &api::SpoolHealth) -> Vec<String> {
    let state = match spool.state {
        SpoolState::Accepting => "accepting",
        SpoolState::Full => "FULL",
        SpoolState::Closed => "CLOSED",
    };
    let (used, free) = (story::octets(spool.used_bytes), story::octets(spool.free_bytes));
    let mut lines = vec![format!("spool: {state}, uses {used}, {free} free")];
    lines.extend(spool.reason.iter().map(|reason| format!("  {reason}")));
    lines.extend(spool.recovery.iter().map(|line| format!("  at start: {line}")));
    lines
}

fn breaker(open: &Breaker, now: Timestamp) -> Vec<String> {
    let Breaker { scope, name, lanes, pause } = open;
    let mut lines =
        vec![format!("OPEN {scope} {name} since {}: {}: {}", moment(pause.since, now), pause.code, pause.reason)];
    lines.extend(remedy(&pause.remedy));
    lines.push(format!("  next probe {}; stops {}", moment(pause.probe_at, now), lanes.join(", ")));
    lines
}

/// What a breaker's own lines say already.
fn is_of_a_breaker(incident: &Incident, breakers: &[Breaker]) -> bool {
    let about = |breaker: &Breaker| format!("{} {}", breaker.scope, breaker.name);
    incident.kind == "breaker" && breakers.iter().any(|breaker| about(breaker) == incident.about)
}

fn incident(open: &Incident, now: Timestamp) -> Vec<String> {
    let Incident { kind, severity, what, since, code, .. } = open;
    let code = code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
    let mut lines = vec![format!("{} {kind} since {}: {code}{what}", severity.to_uppercase(), moment(*since, now))];
    lines.extend(remedy(&open.remedy));
    lines
}

fn remedy(remedy: &str) -> Option<String> {
    (!remedy.is_empty()).then(|| format!("  remedy: {remedy}"))
}

/// The lanes of one pool; a pool of one lane is not told apart from it.
fn lanes(pool: &[Lane], breakers: &[Breaker], forecast: Option<&Forecast>, now: Timestamp) -> Vec<String> {
    let drained = forecast.and_then(|forecast| forecast.drained_at);
    let drained = drained.map(|at| format!(", drained by {}", moment(at, now))).unwrap_or_default();
    match pool {
        [] => Vec::new(),
        [lane] => {
            let mut lines =
                vec![format!("path {}: {} queued{drained}, {}", lane.name, grouped(lane.queued), work(lane))];
            lines.extend(in_the_way(lane, breakers, now));
            lines
        }
        [first, ..] => {
            let mut lines = vec![format!("pool {}: {} queued{drained}", first.pool, grouped(first.queued))];
            for lane in pool {
                lines.push(format!("  path {}: {}", lane.name, work(lane)));
                lines.extend(in_the_way(lane, breakers, now).into_iter().map(|line| format!("  {line}")));
            }
            lines
        }
    }
}

fn work(lane: &Lane) -> String {
    let learnt = match lane.connection_permits < lane.connection_ceiling {
        true => format!(" ({} configured)", lane.connection_ceiling),
        false => String::new(),
    };
    let (active, permits, open) = (lane.active, lane.connection_permits, lane.open_connections);
    format!("{active}/{permits} attempts under way{learnt}, {open} connections")
}

fn in_the_way(lane: &Lane, breakers: &[Breaker], now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    if !lane.configured {
        lines.push("  NOT CONFIGURED any more, but mail waits for it".to_owned());
    }
    if let Some(resting) = &lane.resting {
        lines.push(format!(
            "  resting until {}: {}",
            to_the_second(resting.until, now),
            resting.reason.as_deref().unwrap_or("")
        ));
    }
    lines.extend(lane.refused_senders.iter().map(|refused| {
        format!("  may not send as {} (tried again {}): {}", refused.sender, moment(refused.until, now), refused.reason)
    }));
    let stopping = breakers.iter().filter(|breaker| breaker.lanes.contains(&lane.name));
    lines.extend(stopping.map(|breaker| format!("  STOPPED by {} {}", breaker.scope, breaker.name)));
    lines
}

/// A budget that nothing has ever needed: most tenants send nothing under the provider's domain.
fn is_of_no_interest(budget: &Budget) -> bool {
    budget.counts == "external-under-provider-domain" && budget.used == 0 && budget.limit == budget.ceiling
}

/// From here on a limit is none: what is left of a warm-up that is over.
const NO_LIMIT: u64 = 1_000_000_000;
/// In a shorter window something becomes free all the time.
const LONG_WINDOW: u64 = 3_600;

fn budget(budget: &Budget, forecasts: &[Forecast], now: Timestamp) -> Vec<String> {
    let mut line = format!("budget {}: {}", budget.name, grouped(budget.used));
    if budget.limit < NO_LIMIT {
        line.push_str(&format!(" of {}", grouped(budget.limit)));
    }
    if budget.reserve > 0 {
        line.push_str(&format!(" ({} kept for urgent mail)", grouped(budget.reserve)));
    }
    let free_at = budget.free_at.filter(|_| budget.window_seconds >= LONG_WINDOW);
    if let Some(free_at) = free_at {
        let why = match budget.used + budget.reserve >= budget.limit {
            true => "used up, there is more",
            false => "refused although not used up, tried again",
        };
        line.push_str(&format!("; {why} at {}", moment(free_at, now)));
    }
    for forecast in forecasts {
        let Some(short) = forecast.short.as_ref().filter(|short| short.budget == budget.name) else { continue };
        if free_at.is_none() {
            line.push_str(&format!("; ends at {} at this rate", moment(short.at, now)));
        }
        line.push_str(&format!("; {} messages wait", grouped(forecast.messages)));
        line.push_str(&forecast.drained_at.map(|at| format!(", drained by {}", moment(at, now))).unwrap_or_default());
    }
    let mut lines = vec![line];
    if budget.limit < budget.ceiling {
        lines.push(format!(
            "  learnt: {} are configured, no refusal brings it below {}",
            grouped(budget.ceiling),
            grouped(budget.floor)
        ));
    }
    lines.extend(budget.learnt.iter().map(|learnt| format!("  at {}: {}", moment(learnt.at, now), learnt.reason)));
    lines
}

/// `9,312`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

/// Local time: to the minute on the same day, else with its day.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    on_its_day(at, now, "%H:%M")
}

/// The same, for what is near.
fn to_the_second(at: Timestamp, now: Timestamp) -> String {
    on_its_day(at, now, "%H:%M:%S")
}

fn on_its_day(at: Timestamp, now: Timestamp, form: &str) -> String {
    let zone = jiff::tz::TimeZone::system();
    let (local, today) = (at.to_zoned(zone.clone()), now.to_zoned(zone).date());
    if local.date() == today { local.strftime(form).to_string() } else { show::clock(at) }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// At noon of a day in whatever zone the machine is in.
    fn at(time: &str) -> Timestamp {
        let local: jiff::civil::DateTime = format!("2026-11-20T{time}:00").parse().unwrap();
        local.to_zoned(jiff::tz::TimeZone::system()).unwrap().timestamp()
    }

    fn status(change: impl FnOnce(&mut Value)) -> api::Status {
        let mut status = json!({
            "version": "1.2.3", "hostname": "relay.contoso.com", "started_at": at("12:00"), "uptime_seconds": 7200,
            "ready": true, "not_ready": [], "listeners": [],
            "counters": {"accepted": 9, "queued": 9, "handed_over": 0, "bounced": 0, "expired": 0, "removed": 0,
                "conserved": true, "messages": 9, "held": 0},
            "spool": {"state": "accepting", "free_bytes": 1, "used_bytes": 1, "recovery": []},
            "lanes": [lane("contoso/submission/relay@contoso.com", "contoso/submission/relay@contoso.com")],
        });
        change(&mut status);
        serde_json::from_value(status).unwrap()
    }

    fn lane(name: &str, pool: &str) -> Value {
        json!({"name": name, "pool": pool, "configured": true, "active": 2, "connection_permits": 3,
            "connection_ceiling": 3, "used_this_minute": 0, "open_connections": 3, "idle_connections": 1, "queued": 312,
            "waiting": {"urgent": 0, "new": 0, "deferred": 0}})
    }

    fn budget_of(used: u64, limit: u64) -> Value {
        json!({"name": "contoso/relay@contoso.com/recipients a day", "counts": "recipients", "window_seconds": 86_400,
            "limit": limit, "ceiling": 10_000, "floor": 100, "reserve": 500, "used": used})
    }

    /// All lines after those about the spool.
    fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
        let lines = described(&status(change));
        assert_eq!(lines[4..], *expected);
    }

    #[test]
    fn a_budget_is_told_with_its_reserve_its_end_and_when_the_queue_is_drained() {
        check(
            |status| {
                status["budgets"] = json!([budget_of(9_312, 10_000)]);
                status["forecasts"] = json!([{"pool": "contoso/submission/relay@contoso.com", "messages": 312,
                    "drained_at": at("16:05"),
                    "short": {"budget": "contoso/relay@contoso.com/recipients a day", "at": at("15:40")}}]);
            },
            &[
                "path contoso/submission/relay@contoso.com: 312 queued, drained by 16:05, 2/3 attempts under way, 3 connections",
                "budget contoso/relay@contoso.com/recipients a day: 9,312 of 10,000 (500 kept for urgent mail); ends at 15:40 at this rate; 312 messages wait, drained by 16:05",
            ],
        );
    }

    #[test]
    fn a_limit_learnt_is_told_with_what_taught_it() {
        check(
            |status| {
                status["budgets"] = json!([budget_of(400, 400)]);
                status["budgets"][0]["free_at"] = json!(at("15:40"));
                status["budgets"][0]["learnt"] = json!({"reason": "554 5.2.0 quota exceeded", "at": at("13:55")});
                status["lanes"][0]["connection_permits"] = json!(1);
            },
            &[
                "path contoso/submission/relay@contoso.com: 312 queued, 2/1 attempts under way (3 configured), 3 connections",
                "budget contoso/relay@contoso.com/recipients a day: 400 of 400 (500 kept for urgent mail); used up, there is more at 15:40",
                "  learnt: 10,000 are configured, no refusal brings it below 100",
                "  at 13:55: 554 5.2.0 quota exceeded",
            ],
        );
    }

    #[test]
    fn a_budget_that_waits_is_told_with_why_and_not_that_it_will_end() {
        let pool = "contoso/submission/relay@contoso.com";
        let path = "path contoso/submission/relay@contoso.com: 312 queued, 2/3 attempts under way, 3 connections";
        for (used, why) in [(9_500, "used up, there is more"), (11, "refused although not used up, tried again")] {
            let told = format!(
                "budget contoso/relay@contoso.com/recipients a day: {} of 10,000 (500 kept for urgent mail); {why} at 15:40; 312 messages wait",
                grouped(used)
            );
            check(
                |status| {
                    status["budgets"] = json!([budget_of(used, 10_000)]);
                    status["budgets"][0]["free_at"] = json!(at("15:40"));
                    let short = json!({"budget": "contoso/relay@contoso.com/recipients a day", "at": at("14:00")});
                    status["forecasts"] = json!([{"pool": pool, "messages": 312, "short": short}]);
                },
                &[path, &told],
            );
        }
    }

    #[test]
    fn what_does_not_work_is_told_once_with_its_remedy_and_what_it_stops() {
        let paths = "contoso/submission/relay@contoso.com";
        check(
            |status| {
                status["breakers"] = json!([{"scope": "credential", "name": "contoso/6666", "lanes": [paths],
                    "code": "AADSTS7000222", "reason": "the secret has expired", "remedy": "make a new one",
                    "since": at("13:00"), "probe_at": at("14:05")}]);
                status["incidents"] = json!([
                    {"kind": "breaker", "about": "credential contoso/6666", "severity": "critical", "what": "x",
                        "remedy": "y", "since": at("13:00")},
                    {"kind": "queue-age", "about": "the queue", "severity": "warning", "what": "mail waits for 2 h",
                        "remedy": "", "since": "2026-11-18T12:00:00Z"},
                ]);
            },
            &[
                "OPEN credential contoso/6666 since 13:00: AADSTS7000222: the secret has expired",
                "  remedy: make a new one",
                "  next probe 14:05; stops contoso/submission/relay@contoso.com",
                &format!(
                    "WARNING queue-age since {}: mail waits for 2 h",
                    show::clock("2026-11-18T12:00:00Z".parse().unwrap())
                ),
                "path contoso/submission/relay@contoso.com: 312 queued, 2/3 attempts under way, 3 connections",
                "  STOPPED by credential contoso/6666",
            ],
        );
    }

    #[test]
    fn lanes_of_one_pool_stand_under_it() {
        check(
            |status| {
                status["lanes"] = json!([
                    lane("contoso/submission/a@x.de", "contoso/bulk"),
                    lane("contoso/submission/b@x.de", "contoso/bulk")
                ]);
                status["lanes"][1]["resting"] = json!({"until": at("14:01"), "reason": "451 4.7.500 busy"});
            },
            &[
                "pool contoso/bulk: 312 queued",
                "  path contoso/submission/a@x.de: 2/3 attempts under way, 3 connections",
                "  path contoso/submission/b@x.de: 2/3 attempts under way, 3 connections",
                "    resting until 14:01:00: 451 4.7.500 busy",
            ],
        );
    }

    #[test]
    fn numbers_are_written_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
