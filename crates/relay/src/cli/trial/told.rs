//! What `posthouse try` prints for people: a line for each decision, its subject in a column of its own.

use doctor::{Forecast, Outcome, Severity, Verdict};

use super::lane::{BudgetReport, Face, LaneReport, SentAs};
use super::{RelayReport, Report};
use crate::cli::domain::{finding, printable};
use crate::cli::status::grouped;

/// Columns of a subject.
const SUBJECT: usize = 13;
/// From here on a limit is none.
const NO_LIMIT: u64 = 1_000_000_000;

/// See the head of this file.
pub(super) fn told(report: &Report) -> String {
    let mut lines = Vec::new();
    for step in &report.steps {
        lines.push(line(step.subject, &step.words));
        if step.subject == "header" {
            lines.push(line("", &report.header));
        }
        lines.extend(step.reply.iter().map(|reply| line("", &format!("REFUSED: {reply}"))));
    }
    lines.extend(report.urgent.then(|| line("priority", "urgent: it goes before other mail")));
    lines.push(line("reply", &report.reply));
    lines.extend(relay(&report.relay));
    for lane in &report.lanes {
        lines.push(String::new());
        lines.push(printable(&format!("path {}: {}", lane.name, lane.next_hop)));
        lines.extend(on_a_lane(lane).into_iter().map(|line| format!("  {line}")));
    }
    lines.push(String::new());
    lines.push(summary(report).to_owned());
    lines.join("\n")
}

fn line(subject: &str, words: &str) -> String {
    format!("{subject:<SUBJECT$}{}", printable(words))
}

fn relay(relay: &RelayReport) -> Vec<String> {
    let trouble = relay.trouble.join("; ");
    match (relay.answers, trouble.is_empty()) {
        (true, true) => vec![line("relay", "runs, and takes mail")],
        (true, false) => vec![line("relay", &format!("runs, but takes no mail now: {trouble}"))],
        (false, _) => {
            let unknown = "what is used of budgets, does not work, or was refused before is not known";
            vec![line("relay", &format!("{trouble}: {unknown}"))]
        }
    }
}

fn summary(report: &Report) -> &'static str {
    match (report.accepted, report.held) {
        (false, _) => "refused; nothing was sent",
        (true, true) => "accepted, and then held; nothing was sent",
        (true, false) => "accepted; nothing was sent",
    }
}

fn on_a_lane(lane: &LaneReport) -> Vec<String> {
    let mut lines = match &lane.sent_as {
        SentAs::AsItIs => vec![line("sent as", "it is")],
        SentAs::Rewritten { to, why } => vec![line("sent as", &format!("{to}: {why}"))],
        SentAs::Held { reason, remedy } => {
            vec![line("sent as", &format!("HELD: {reason}")), line("", &format!("hint: {remedy}"))]
        }
    };
    lines.extend(before_and_after(&lane.before, lane.after.as_ref()));
    lines.extend(lane.changes.iter().map(|change| line("changed", change)));
    lines.push(line("signed", &lane.signing));
    lines.extend(lane.budgets.iter().map(|one| line("budget", &budget(one))));
    lines.extend(lane.in_the_way.iter().map(|obstacle| line("in the way", obstacle)));
    lines.extend(lane.forecast.iter().flat_map(forecast));
    lines.extend(lane.forecast_trouble.iter().map(|why| line("forecast", &format!("none: {why}"))));
    lines
}

fn before_and_after(before: &Face, after: Option<&Face>) -> Vec<String> {
    let pairs = [
        ("reverse-path", Some(&before.reverse_path), after.map(|after| &after.reverse_path)),
        ("From", before.from.as_ref(), after.and_then(|after| after.from.as_ref())),
        ("Sender", before.sender.as_ref(), after.and_then(|after| after.sender.as_ref())),
        ("Reply-To", before.reply_to.as_ref(), after.and_then(|after| after.reply_to.as_ref())),
    ];
    let shown = |value: Option<&String>| value.map_or("(none)", String::as_str).to_owned();
    let mut lines = Vec::new();
    for (subject, old, new) in pairs {
        match after {
            _ if old.is_none() && new.is_none() => {}
            Some(_) if old != new => {
                lines.push(line(subject, &format!("before  {}", shown(old))));
                lines.push(line("", &format!("after   {}", shown(new))));
            }
            _ => lines.push(line(subject, &shown(old))),
        }
    }
    lines
}

fn budget(budget: &BudgetReport) -> String {
    let BudgetReport { name, takes, limit, reserve, used, waits } = budget;
    let limit = if *limit < NO_LIMIT { grouped(*limit) } else { "no limit".to_owned() };
    let used = used.map_or_else(|| format!("of {limit}"), |used| format!("{} of {limit} used", grouped(used)));
    let kept = if *reserve > 0 { format!(" ({} kept for urgent mail)", grouped(*reserve)) } else { String::new() };
    let waits = if *waits == Some(true) { ": it WAITS until there is room" } else { "" };
    format!("{name}: takes {takes}, {used}{kept}{waits}")
}

fn forecast(forecast: &Forecast) -> Vec<String> {
    let policy = forecast.policy.as_ref().map(|policy| format!(" (policy: {policy})")).unwrap_or_default();
    let mut lines = vec![
        line("SPF", &verdict(&forecast.spf)),
        line("DKIM", &verdict(&forecast.dkim)),
        line("DMARC", &format!("{}{policy}", verdict(&forecast.dmarc))),
    ];
    let causes = forecast.causes.iter().filter(|cause| cause.severity != Severity::Ok);
    lines.extend(causes.flat_map(finding));
    lines
}

fn verdict(verdict: &Verdict) -> String {
    let result = match verdict.result {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::None => "none",
        Outcome::Unknown => "unknown",
    };
    let aligned = match (verdict.result, verdict.aligned) {
        (Outcome::Pass, false) => ", not aligned",
        _ => "",
    };
    format!("{result}{aligned}: {}", verdict.words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::trial::Step;
    use crate::cli::trial::lane::tests::rewritten;

    fn report() -> Report {
        let step = |subject, words: &str, reply: Option<&str>| Step {
            subject,
            passed: reply.is_none(),
            words: words.to_owned(),
            reply: reply.map(str::to_owned),
        };
        Report {
            accepted: true,
            held: false,
            steps: vec![
                step("client", "printers", None),
                step("recipient", "<x@fabrikam.test>", Some("550 5.7.1 no")),
                step("header", "From and Sender", None),
            ],
            reply: "250 2.0.0 OK queued".to_owned(),
            header: "taken to be From: scan@printer.local".to_owned(),
            client: None,
            pool: None,
            urgent: false,
            recipients: Vec::new(),
            relay: RelayReport { answers: false, trouble: vec!["no socket".to_owned()] },
            lanes: vec![rewritten()],
        }
    }

    #[test]
    fn every_decision_has_a_line_and_what_changes_is_shown_before_and_after() {
        assert_eq!(
            told(&report()),
            "client       printers\n\
             recipient    <x@fabrikam.test>\n\
             \x20            REFUSED: 550 5.7.1 no\n\
             header       From and Sender\n\
             \x20            taken to be From: scan@printer.local\n\
             reply        250 2.0.0 OK queued\n\
             relay        no socket: what is used of budgets, does not work, or was refused before is not known\n\
             \n\
             path contoso/submission/relay@contoso.test: submission smtp.office365.com:587, mailbox relay@contoso.test\n\
             \x20 sent as      relay@contoso.test: it is foreign\n\
             \x20 reverse-path before  <scan@printer.local>\n\
             \x20              after   <relay@contoso.test>\n\
             \x20 From         before  scan\u{fffd}@printer.local\n\
             \x20              after   <relay@contoso.test>\n\
             \x20 Sender       before  scan@printer.local\n\
             \x20              after   (none)\n\
             \x20 Reply-To     before  (none)\n\
             \x20              after   scan@printer.local\n\
             \x20 changed      a Date was added\n\
             \x20 signed       by Microsoft\n\
             \x20 budget       a day: takes 2, 9,499 of 10,000 used (500 kept for urgent mail): it WAITS until there is room\n\
             \x20 budget       a minute: takes 1, of 30\n\
             \x20 in the way   path next does not work\n\
             \x20 forecast     none: no resolver\n\
             \n\
             accepted; nothing was sent"
        );
    }

    #[test]
    fn verdicts_are_told_with_their_words_and_the_causes_with_their_remedies() {
        let verdict = |result, aligned, words: &str| Verdict { result, aligned, words: words.to_owned() };
        let cause = doctor::Finding {
            id: "spf-missing-include",
            severity: Severity::Error,
            what: "it is not included".to_owned(),
            remedy: Some("Include it.".to_owned()),
            record: None,
            file: None,
        };
        let lines = forecast(&Forecast {
            spf: verdict(Outcome::Fail, true, "not included"),
            dkim: verdict(Outcome::Pass, false, "signed as another"),
            dmarc: verdict(Outcome::Fail, false, "nothing is aligned"),
            policy: Some("reject".to_owned()),
            causes: vec![cause],
        });
        assert_eq!(
            lines,
            [
                "SPF          FAIL: not included",
                "DKIM         pass, not aligned: signed as another",
                "DMARC        FAIL: nothing is aligned (policy: reject)",
                "  error      it is not included [spf-missing-include]",
                "             remedy: Include it.",
            ]
        );
    }
}
