//! `posthouse explain`: what a refusal means and what to do about it, or the whole story of one message.
//!
//! A code or a text is explained from the tables in the binary: no configuration, no running relay. An id is asked of the
//! running relay, also for what the message waits for now and what happens next.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, bail};
use api::{Lane, Status};
use clap::Args;
use jiff::Timestamp;
use m365::{Catalogue, Certainty, Evidence, Explanation};
use serde::Serialize;

use super::{Running, say, say_json, show};

/// Octets that are read from standard input.
const LONGEST: u64 = 64 * 1024;

/// What a refusal means, whose move it is, what to do, what the relay does by itself
///
/// Give it a code (5.7.60, 432), a reply or lines of a log in quotes, AADSTS7000222, an error of Microsoft Graph, or a report
/// of undeliverable mail on standard input (-). It needs neither configuration nor a running relay.
///
/// Given the id of a message (13 letters and digits), it asks the running relay for the whole story: session, envelope,
/// attempts with the verbatim replies, what the message waits for now, what happens next and when.
///
/// Exit status 1: nothing is known of it.
#[derive(Args)]
pub(super) struct Explain {
    /// A code, a text, or the id of a message; - reads standard input
    #[arg(value_name = "CODE-OR-TEXT|ID", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    running: Running,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let text = self.text()?;
        let explanations = Catalogue::builtin().explain(&text);
        if explanations.is_empty() && text.trim().parse::<queue::MessageId>().is_ok() {
            return self.message(text.trim()).await;
        }
        if explanations.is_empty() {
            bail!(
                "nothing in it is an answer of a mail server, of Microsoft Entra or of Microsoft Graph\n  hint: give the code \
                 (5.7.60, AADSTS7000222) or the whole reply, in quotes"
            );
        }
        let support = m365::for_support(&text);
        match self.json {
            true => say_json(&Printed { explanations: &explanations, for_support: &support })?,
            false => say(described(&explanations, &support)),
        }
        let known = explanations.iter().any(|one| one.certainty != Certainty::FirstDigit);
        Ok(if known { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn text(&self) -> anyhow::Result<String> {
        if self.words != ["-"] {
            return Ok(self.words.join(" "));
        }
        let mut octets = Vec::new();
        std::io::stdin().lock().take(LONGEST).read_to_end(&mut octets).context("standard input cannot be read")?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    async fn message(&self, id: &str) -> anyhow::Result<ExitCode> {
        let client = self.running.client()?;
        let message = client.message(id).await?;
        let next = what_next(&message, &client.status().await?, now());
        if self.json {
            say_json(&Told { message: &message, next: &next })?;
        } else {
            say(show::told(&message));
            say(format!("\nnext:\n  {}", next.join("\n  ")));
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[expect(clippy::disallowed_methods, reason = "whether a message is due is seen from now")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// `--json` of a text.
#[derive(Serialize)]
struct Printed<'a> {
    explanations: &'a [Explanation],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    for_support: &'a [String],
}

/// `--json` of a message.
#[derive(Serialize)]
struct Told<'a> {
    message: &'a api::Message,
    next: &'a [String],
}

fn described(explanations: &[Explanation], support: &[String]) -> String {
    let mut parts: Vec<String> = Vec::new();
    if explanations.len() > 1 {
        parts.push(format!("{} meanings, the surest first.", explanations.len()));
    }
    parts.extend(explanations.iter().map(one));
    if !support.is_empty() {
        parts.push(format!("Microsoft's support may ask for: {}", support.join(", ")));
    }
    parts.join("\n\n")
}

fn one(explanation: &Explanation) -> String {
    let range = explanation.code.as_ref().filter(|code| !explanation.answer.contains(code.as_str()) && *code != "*");
    let under = range.map(|code| format!(" (listed as {code})")).unwrap_or_default();
    let mut lines = vec![format!("{}{under}, said by {}", explanation.answer, explanation.origin)];
    lines.push(format!("  how sure:      {}", sureness(explanation.certainty)));
    lines.extend(explanation.text.iter().map(|text| format!("  usual words:   {text}")));
    lines.push(format!("  meaning:       {}", explanation.meaning));
    lines.extend(explanation.note.iter().map(|note| format!("                 {note}")));
    lines.push(format!("  whose move:    {}", explanation.whose_move));
    lines.push(format!("  what to do:    {}", explanation.remedy));
    lines.push(format!("  the relay:     {}", explanation.relay));
    if !explanation.keys.is_empty() {
        lines.push(format!("  configuration: {}", explanation.keys.join(", ")));
    }
    lines.extend(source(explanation).map(|source| format!("  source:        {source}")));
    lines.join("\n")
}

fn sureness(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Certain => "certain",
        Certainty::Likely => "likely; other words may go with it",
        Certainty::Possible => "one of several meanings; the whole reply would tell",
        Certainty::FirstDigit => "unknown; this is what its first digit says",
    }
}

fn source(explanation: &Explanation) -> Option<String> {
    let evidence = match explanation.evidence? {
        Evidence::Doc => "documented",
        Evidence::Field => "from public logs and issues",
        Evidence::Recall => "not confirmed: a hint",
    };
    let Some(page) = &explanation.reference else { return Some(evidence.to_owned()) };
    let address = page.address.as_ref().map(|address| format!(", {address}")).unwrap_or_default();
    Some(format!("{}{address} ({evidence})", page.title))
}

/// What it waits for, what happens when, what an operator can do.
fn what_next(message: &api::Message, status: &Status, now: Timestamp) -> Vec<String> {
    let summary = &message.summary;
    if message.settled {
        return vec!["nothing more happens: every recipient is settled, and its bytes are gone".to_owned()];
    }
    if summary.held.is_some() {
        return vec![format!(
            "nothing happens until somebody decides: `posthouse release {0}` sends it, `posthouse remove {0}` gives it up",
            summary.id
        )];
    }
    let lanes: Vec<&Lane> =
        status.lanes.iter().filter(|lane| lane.pool == summary.lane || lane.name == summary.lane).collect();
    let mut lines = plan(&summary.lane, &lanes);
    let obstacles = obstacles(status, &lanes);
    let waits = !obstacles.is_empty();
    lines.extend(obstacles);
    match summary.due_at {
        Some(due_at) if due_at > now => {
            lines.push(format!("next attempt at {}, attempt {}", show::clock(due_at), summary.attempts + 1));
        }
        Some(_) if waits => lines.push("due: it goes as soon as that is over".to_owned()),
        _ => lines.push("due: it goes as soon as its turn comes".to_owned()),
    }
    lines.extend(forecast(status, &summary.lane));
    lines.push(format!("`posthouse retry {}` tries it at once; after `[queue] expire` it is given up", summary.id));
    lines
}

fn plan(pool: &str, lanes: &[&Lane]) -> Vec<String> {
    let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
    match names.as_slice() {
        [] => vec![format!("it is meant for {pool}, which is neither configured nor known")],
        [only] if *only == pool => vec![format!("goes through {pool}")],
        names => vec![format!("goes through the pool {pool}, by whichever has most left: {}", names.join(", "))],
    }
    .into_iter()
    .chain(lanes.iter().filter(|lane| !lane.configured).map(|lane| {
        format!("{} is not configured any more: put it back into the configuration, or remove the message", lane.name)
    }))
    .collect()
}

fn obstacles(status: &Status, lanes: &[&Lane]) -> Vec<String> {
    let mut lines = Vec::new();
    let ours = |names: &[String]| names.iter().any(|name| lanes.iter().any(|lane| lane.name == *name));
    for breaker in status.breakers.iter().filter(|breaker| ours(&breaker.lanes)) {
        let (scope, name, pause) = (&breaker.scope, &breaker.name, &breaker.pause);
        lines.push(format!(
            "waits because the {scope} {name} does not work, since {} ({}): {}",
            show::clock(pause.since),
            pause.code,
            pause.reason
        ));
        lines.push(format!("  remedy: {}", pause.remedy));
        lines.push(format!(
            "  one message is tried at {}; `posthouse retry --path \"{scope} {name}\"` tries one now",
            show::clock(pause.probe_at)
        ));
    }
    for lane in lanes {
        if let Some(resting) = &lane.resting {
            let reason = resting.reason.as_deref().unwrap_or("after trouble");
            lines.push(format!("{} rests until {}: {reason}", lane.name, show::clock(resting.until)));
        }
    }
    let drawn_on = |name: &String| lanes.iter().any(|lane| lane.budgets.contains(name));
    for budget in status.budgets.iter().filter(|budget| drawn_on(&budget.name)) {
        if let Some(free_at) = budget.free_at {
            let (name, used, limit) = (&budget.name, budget.used, budget.limit);
            lines.push(format!("waits for {name}: {used} of {limit} are used, more at {}", show::clock(free_at)));
        }
    }
    lines
}

fn forecast(status: &Status, pool: &str) -> Option<String> {
    let forecast = status.forecasts.iter().find(|forecast| forecast.pool == pool)?;
    let drained_at = forecast.drained_at?;
    Some(format!("{} messages wait there, the last goes at about {}", forecast.messages, show::clock(drained_at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(more: serde_json::Value) -> api::Message {
        let mut message = json!({
            "id": "0D5M3K8Q2V7XA", "accepted_at": "2026-11-20T12:00:00Z", "client": "erp", "reverse_path": "<a@b.test>",
            "recipients": [{"forward_path": "<c@d.test>", "state": "queued"}], "size": 1, "urgent": false,
            "lane": "contoso", "attempts": 2, "due_at": "2026-11-20T12:10:00Z", "settled": false,
            "peer": "192.0.2.1:1", "helo": "printer", "session": "s", "smtputf8": false, "story": []
        });
        let more = more.as_object().unwrap().clone();
        message.as_object_mut().unwrap().extend(more);
        serde_json::from_value(message).unwrap()
    }

    fn status(more: serde_json::Value) -> Status {
        let lane = |name: &str| {
            json!({
                "name": name, "pool": "contoso", "configured": true, "active": 0, "connection_permits": 1,
                "connection_ceiling": 3, "used_this_minute": 0, "budgets": ["contoso/external a day"],
                "open_connections": 0, "idle_connections": 0, "queued": 1, "waiting": {"urgent": 0, "new": 0, "deferred": 1}
            })
        };
        let mut status = json!({
            "version": "1", "hostname": "h", "started_at": "2026-11-20T11:00:00Z", "uptime_seconds": 1, "ready": true,
            "not_ready": [], "listeners": [], "counters": api::Counters::default(),
            "spool": {"state": "accepting", "free_bytes": 1, "used_bytes": 1, "recovery": []},
            "lanes": [lane("contoso/a@b.test"), lane("contoso/c@b.test")]
        });
        let more = more.as_object().unwrap().clone();
        status.as_object_mut().unwrap().extend(more);
        serde_json::from_value(status).unwrap()
    }

    fn told(message: &api::Message, status: &Status) -> String {
        what_next(message, status, "2026-11-20T12:05:00Z".parse().unwrap()).join("\n")
    }

    #[test]
    fn a_message_that_waits_is_told_with_the_breaker_the_budget_and_the_time() {
        let pause = json!({
            "scope": "mailbox", "name": "a@b.test", "lanes": ["contoso/a@b.test"], "code": "5.2.251", "reason": "blocked",
            "remedy": "Empty Sent Items.", "since": "2026-11-20T12:00:00Z", "probe_at": "2026-11-20T12:30:00Z"
        });
        let budget = json!({
            "name": "contoso/external a day", "counts": "external", "window_seconds": 86_400, "limit": 500, "ceiling": 500,
            "floor": 1, "reserve": 25, "used": 500, "free_at": "2026-11-20T18:00:00Z"
        });
        let forecast = json!({"pool": "contoso", "messages": 312, "drained_at": "2026-11-20T18:30:00Z"});
        let status = status(json!({"breakers": [pause], "budgets": [budget], "forecasts": [forecast]}));
        let text = told(&message(json!({})), &status);
        for part in [
            "the pool contoso",
            "contoso/a@b.test, contoso/c@b.test",
            "the mailbox a@b.test does not work",
            "retry --path \"mailbox a@b.test\"",
            "5.2.251",
            "Empty Sent Items.",
            "500 of 500 are used",
            "attempt 3",
            "312 messages wait",
            "posthouse retry 0D5M3K8Q2V7XA",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_settled_or_held_is_told_so() {
        let settled = told(&message(json!({"settled": true, "due_at": null})), &status(json!({})));
        assert!(settled.contains("nothing more happens"), "{settled}");
        let held = json!({"held": {"reason": "unconfirmed", "at": "2026-11-20T12:00:00Z"}});
        assert!(told(&message(held), &status(json!({}))).contains("posthouse release 0D5M3K8Q2V7XA"));
        let gone = told(&message(json!({"lane": "old"})), &status(json!({})));
        assert!(gone.contains("neither configured nor known"), "{gone}");
    }

    #[test]
    fn an_explanation_says_everything_in_lines() {
        let explanations =
            Catalogue::builtin().explain("550 5.7.60 SMTP; Client does not have permissions to send as this sender");
        let text = described(&explanations, &["ATTR35".to_owned()]);
        for part in [
            "550 5.7.60, said by",
            "how sure:      certain",
            "meaning:",
            "whose move:    the administrator of the tenant",
            "Add-RecipientPermission",
            "the relay:",
            "https://learn.microsoft.com/",
            "(documented)",
            "ATTR35",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let several = described(&Catalogue::builtin().explain("5.7.139"), &[]);
        assert!(several.contains("meanings, the surest first") && several.contains("one of several"), "{several}");
    }
}
