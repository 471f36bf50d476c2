//! A message's story in words: the same for `message` and for `demo`.

use api::{Outcome, RecipientState, Remote, Step, StoryEvent};
use m365::{Catalogue, Certainty};

use super::show;

/// One event as lines: the first says what happened, the others, indented, why and what to do.
pub(super) fn lines(event: &StoryEvent) -> Vec<String> {
    match &event.step {
        Step::Accepted => vec!["accepted: on stable storage, queued".to_owned()],
        Step::Attempted { lane, took_ms, outcomes, notes } => attempted(lane, *took_ms, outcomes, notes),
        Step::Waiting { reason, hint, notes } => waiting(reason, hint.as_deref(), notes),
        Step::Postponed { reason, until } => vec![format!("postponed until {}: {reason}", show::clock(*until))],
        Step::Interrupted { recipients } => {
            vec![format!("the relay ended during an attempt for {}: it may have arrived", recipients.join(", "))]
        }
        Step::Inquired { answer } => vec![format!("asked the next hop whether it had arrived: {answer}")],
        Step::Reported { to, action, by: Some(by) } => vec![format!("told {to} that it is {action}: message {by}")],
        Step::Reported { to, action, by: None } => vec![format!("{to} will be told that it is {action}, in a digest")],
        Step::Delayed => vec!["delayed: older than the warning time".to_owned()],
        Step::Expired => vec!["expired: its time was up".to_owned()],
        Step::Held { reason } => vec![format!("held: {reason}")],
        Step::Released => vec!["released".to_owned()],
        Step::RetryRequested => vec!["retry requested".to_owned()],
        Step::Removed => vec!["removed by an operator".to_owned()],
        Step::Moved { lane } => vec![format!("moved to {lane}")],
        Step::Rescued => vec!["found again in the spool's segments".to_owned()],
        Step::Omitted { events } => vec![format!("({events} events left out)")],
    }
}

fn waiting(reason: &str, hint: Option<&str>, notes: &[String]) -> Vec<String> {
    let mut lines = vec![format!("waiting: {reason}")];
    lines.extend(on_the_way(notes));
    lines.extend(hint.map(|hint| format!("  what to do: {hint}")));
    lines
}

fn on_the_way(notes: &[String]) -> impl Iterator<Item = String> {
    notes.iter().map(|note| format!("  on the way: {note}"))
}

fn attempted(lane: &str, took_ms: u64, outcomes: &[Outcome], notes: &[String]) -> Vec<String> {
    let several = outcomes.len() > 1;
    let mut lines = vec![format!("attempt through {lane}, {}", duration(took_ms))];
    lines.extend(on_the_way(notes));
    for outcome in outcomes {
        let whose = if several { format!(" for {}", outcome.recipients.join(", ")) } else { String::new() };
        lines.push(format!("  {}{whose}: {}", spoken(&outcome.outcome), told(outcome)));
        lines.extend(meaning(outcome).map(|hint| format!("    meaning: {hint}")));
    }
    lines
}

/// What was said of it at the time, else what the catalogue knows for certain of the remote's words.
fn meaning(outcome: &Outcome) -> Option<String> {
    let remote = match (&outcome.hint, &outcome.remote) {
        (Some(hint), _) => return Some(hint.clone()),
        (None, Some(remote)) if remote.code >= 400 => remote,
        (None, _) => return None,
    };
    let status = remote.status.as_deref().unwrap_or_default();
    let known =
        Catalogue::builtin().explain(&format!("{} {status} {}", remote.code, remote.text)).into_iter().next()?;
    (known.certainty == Certainty::Certain).then(|| format!("{} {}", known.meaning, known.remedy))
}

fn told(outcome: &Outcome) -> String {
    match (&outcome.reason, &outcome.remote) {
        (_, Some(remote)) => said(remote),
        (Some(reason), None) => reason.clone(),
        (None, None) => String::new(),
    }
}

/// Who said what, word for word, and the id there where the words do not hold it.
pub(super) fn said(remote: &Remote) -> String {
    let status = remote.status.as_ref().map(|status| format!(" {status}")).unwrap_or_default();
    let words = format!("{} said {}{status} {}", remote.host, remote.code, remote.text);
    match &remote.remote_id {
        Some(id) if !remote.text.contains(id.as_str()) => format!("{words}, id there {id}"),
        _ => words,
    }
}

fn spoken(outcome: &str) -> &str {
    match outcome {
        "handed-over" => "handed over",
        "unconfirmed" => "unconfirmed (it may have arrived; tried again)",
        other => other,
    }
}

/// What became of a recipient, in one line.
pub(super) fn state(state: &RecipientState) -> String {
    match state {
        RecipientState::Queued { last: None, .. } => "queued".to_owned(),
        RecipientState::Queued { last: Some(last), unconfirmed: false } => format!("queued, last: {last}"),
        RecipientState::Queued { last: Some(last), unconfirmed: true } => {
            format!("queued, may have arrived already, last: {last}")
        }
        RecipientState::HandedOver { remote, .. } => format!("handed over: {}", said(remote)),
        RecipientState::Bounced { reason, .. } => format!("bounced: {reason}"),
        RecipientState::Expired { reason, .. } => format!("expired: {reason}"),
        RecipientState::Removed { .. } => "removed by an operator".to_owned(),
    }
}

fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

/// Octets as a person reads them.
pub(super) fn octets(octets: u64) -> String {
    const LARGER: [&str; 3] = ["MiB", "GiB", "TiB"];
    if octets < 1024 {
        return format!("{octets} B");
    }
    let mut tenths = octets * 10 / 1024;
    let mut unit = "KiB";
    for larger in LARGER {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_written_with_the_largest_fitting_unit() {
        for (n, text) in
            [(999, "999 B"), (1024, "1.0 KiB"), (1_536, "1.5 KiB"), (35 << 20, "35.0 MiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(octets(n), text);
        }
    }

    #[test]
    fn a_hand_over_is_told_with_the_id_there_once() {
        let said = |text: &str, remote_id: Option<&str>| {
            let (host, status) = ("h".to_owned(), Some("2.0.0".to_owned()));
            let remote_id = remote_id.map(str::to_owned);
            said(&Remote { host, code: 250, status, text: text.to_owned(), remote_id })
        };
        let exchange = "OK <1@b.test> [Hostname=AM0.test]";
        assert_eq!(said(exchange, Some("1@b.test")), "h said 250 2.0.0 OK <1@b.test> [Hostname=AM0.test]");
        assert_eq!(said("Ok: queued as 4B3C", Some("4B3C")), "h said 250 2.0.0 Ok: queued as 4B3C");
        assert_eq!(said("accepted", Some("4B3C")), "h said 250 2.0.0 accepted, id there 4B3C");
        assert_eq!(said("OK <thanks>", None), "h said 250 2.0.0 OK <thanks>");
    }

    #[test]
    fn a_wait_is_told_with_what_happened_on_the_way_and_with_its_meaning() {
        let event: StoryEvent = serde_json::from_value(serde_json::json!({
            "at": "2026-11-20T12:00:00Z", "event": "waiting", "reason": "refused", "hint": "renew the secret",
            "notes": ["a fresh token was taken"]
        }))
        .unwrap();
        let wanted = ["waiting: refused", "  on the way: a fresh token was taken", "  what to do: renew the secret"];
        assert_eq!(lines(&event), wanted);
    }

    #[test]
    fn a_refusal_that_nobody_explained_is_told_with_what_the_catalogue_knows_for_certain() {
        let told = |code: u16, status: &str, text: &str| {
            let event: StoryEvent = serde_json::from_value(serde_json::json!({
                "at": "2026-11-20T12:00:00Z", "event": "attempted", "lane": "contoso/next", "took_ms": 5,
                "outcomes": [{"outcome": "bounced", "recipients": ["<a@b.test>"], "reason": "refused",
                    "remote": {"host": "h", "code": code, "status": status, "text": text}}]
            }))
            .unwrap();
            lines(&event).join("\n")
        };
        let known = told(550, "5.1.10", "RESOLVER.ADR.RecipientNotFound");
        assert!(known.contains("    meaning: Recipient does not exist"), "{known}");
        assert!(!told(450, "4.7.1", "Greylisted").contains("meaning"));
    }

    #[test]
    fn a_refusal_is_told_with_its_meaning() {
        let event: StoryEvent = serde_json::from_value(serde_json::json!({
            "at": "2026-11-20T12:00:00Z", "event": "attempted", "lane": "contoso/submission", "took_ms": 1250,
            "notes": ["an idle connection had died"],
            "outcomes": [{"outcome": "deferred", "recipients": ["<a@b.test>"], "reason": "throttled", "hint": "wait",
                "remote": {"host": "h", "code": 432, "status": "4.3.2", "text": "Concurrent connections limit exceeded"}}]
        }))
        .unwrap();
        assert_eq!(
            lines(&event),
            [
                "attempt through contoso/submission, 1.2 s",
                "  on the way: an idle connection had died",
                "  deferred: h said 432 4.3.2 Concurrent connections limit exceeded",
                "    meaning: wait"
            ]
        );
    }
}
