//! Alerts, what is watched, reports: what these keys come to, and what is said about bad ones.

use std::time::Duration;

use alert::{Channel, Facility, Server, SyslogTarget, WebhookFormat};
use config::Config;
use secret::Secret;
use telemetry::{IncidentKind, Severity};

use crate::bad::check;
use crate::{TEN_LINES, directory, parse};

const MINUTE: Duration = Duration::from_secs(60);

fn with(dir: &std::path::Path, more: &str) -> Config {
    parse(&format!("{TEN_LINES}{more}"), dir).unwrap()
}

/// What is said about the ten lines with these at their end, which begin at line 14.
fn said(more: &str, expected: &str) {
    let path = "path = [{ kind = \"submission\", mailbox = \"relay@contoso.com\" }]";
    check(&[("path", &format!("{path}\n{more}"))], expected);
}

#[test]
fn each_alert_reaches_its_channel() {
    let dir = directory();
    std::fs::write(dir.path().join("page"), "#!/bin/sh\n").unwrap();
    let config = with(
        dir.path(),
        r#"
[[tenant]]
name = "local"
domains = ["fabrikam.com"]
[[tenant.path]]
name = "on-premises"
kind = "smarthost"
address = "h.example"

[[alert]]
name = "teams"
webhook = { url = { file = "hook" }, format = "teams", ca = "ca.pem" }
kinds = ["breaker", "queue-age"]
severity = "critical"

[[alert]]
name = "collector"
syslog = { to = "tcp://192.0.2.10", facility = "local3" }

[[alert]]
name = "pager"
command = ["./page", "--team", "mail"]

[[alert]]
name = "mail"
mail = { to = ["it@contoso.com"], path = "local/on-premises" }
"#
        .replace("{ file = \"hook\" }", "\"https://hooks.example/secret\"")
        .as_str(),
    );
    assert_eq!(config.alerts.hostname, "relay.contoso.com");
    let [teams, collector, pager, mail] = config.alerts.channels.as_slice() else { panic!("four channels") };
    assert_eq!((teams.name.as_str(), teams.severity), ("teams", Severity::Critical));
    assert_eq!(teams.kinds, [IncidentKind::Breaker, IncidentKind::QueueAge]);
    let Channel::Webhook { url: Secret::Inline(_), format: WebhookFormat::Teams, ca } = &teams.channel else {
        panic!("{:?}", teams.channel)
    };
    assert_eq!(*ca, Some(dir.path().join("ca.pem")));
    assert!(!format!("{config:?}").contains("hooks.example"), "the address is a secret");
    let Channel::Syslog { to, facility } = &collector.channel else { panic!("{:?}", collector.channel) };
    assert_eq!(
        (to, *facility),
        (&SyslogTarget::Tcp(Server { host: "192.0.2.10".to_owned(), port: 601 }), Facility::Local(3))
    );
    assert_eq!((collector.kinds.as_slice(), collector.severity), ([].as_slice(), Severity::Warning));
    let Channel::Command { command, timeout } = &pager.channel else { panic!("{:?}", pager.channel) };
    let program = dir.path().join("./page").display().to_string();
    assert_eq!(
        (command.as_slice(), *timeout),
        ([program.as_str(), "--team", "mail"].map(str::to_owned).as_slice(), MINUTE / 2)
    );
    let Channel::Mail { to, by } = &mail.channel else { panic!("{:?}", mail.channel) };
    assert_eq!((to.as_slice(), by.as_deref()), (["it@contoso.com".to_owned()].as_slice(), Some("local/on-premises")));
}

#[test]
fn an_alert_goes_in_exactly_one_way_and_has_a_name_of_its_own() {
    let forms = "hint: webhook = { url = { file = \"…\" } }, syslog = { to = \"udp://192.0.2.10\" }, command = [\"/path\"] or mail = { to = [\"it@contoso.com\"] }";
    said(
        "[[alert]]\nname = \"a\"\n[[alert]]\nname = \"a\"\ncommand = [\"true\"]\nsyslog = { to = \"/dev/log\" }\n[[alert]]\ncommand = [\"true\"]",
        &format!(
            "
14: an alert goes in exactly one way
  {forms}
16: an alert goes in exactly one way
  {forms}
17: two alerts have the name \"a\"
  hint: each has its own
20: [[alert]] needs the key `name`
  hint: for example: name = \"operations\""
        ),
    );
}

#[test]
fn unknown_kinds_formats_and_facilities_name_the_nearest() {
    said(
        "[[alert]]\nname = \"a\"\nsyslog = { to = \"/dev/log\", facility = \"local9\" }\nkinds = [\"braker\", \"test\"]\nseverity = \"high\"\n[[alert]]\nname = \"b\"\nwebhook = { url = \"https://h.example\", format = \"Slack\" }",
        "
16: `facility` cannot be \"local9\"; did you mean \"local0\"?
  hint: known here: \"mail\", \"daemon\", \"user\", \"local0\", \"local1\", \"local2\", \"local3\", \"local4\", \"local5\", \"local6\", \"local7\"
17: `kinds` cannot be \"braker\"; did you mean \"breaker\"?
  hint: known here: \"breaker\", \"message\", \"queue-age\", \"queue-length\", \"budget\", \"expiry\", \"bounces\", \"disk\", \"clock\", \"conservation\", \"fault\"
17: `kinds` cannot be \"test\"
  hint: known here: \"breaker\", \"message\", \"queue-age\", \"queue-length\", \"budget\", \"expiry\", \"bounces\", \"disk\", \"clock\", \"conservation\", \"fault\"
18: `severity` cannot be \"high\"
  hint: known here: \"warning\", \"critical\"
21: `format` cannot be \"Slack\"; did you mean \"slack\"?
  hint: known here: \"json\", \"teams\", \"slack\"",
    );
}

#[test]
fn what_an_alert_names_is_there() {
    said(
        "[[alert]]\nname = \"a\"\nwebhook = { url = \"hooks.example\" }\n[[alert]]\nname = \"b\"\nsyslog = { to = \"tls://logs.example\" }\n[[alert]]\nname = \"c\"\ncommand = [\"./nothing\"]\n[[alert]]\nname = \"d\"\nmail = { to = [], path = \"contoso/submision\" }",
        "
16: the webhook's `url` is no web address
  hint: https://…, on one line
19: `to` is not a syslog server: \"tls://logs.example\"
  hint: for example \"udp://192.0.2.10:514\", \"tcp://logs.example:601\" or \"/dev/log\"
22: there is no program DIR/./nothing
  hint: the first word is the program, the others are its arguments: [\"/usr/local/bin/page\", \"mail\"]
25: `to` is empty
  hint: to = [\"it@contoso.com\"]
25: `path` is none of the paths here: \"contoso/submision\"
  hint: known here: \"contoso/submission/relay@contoso.com\"",
    );
    said(
        "[[alert]]\nname = \"d\"\nmail = { to = [\"it@contoso.com\"], path = \"contoso/submission/rely@contoso.com\" }",
        "
16: `path` is none of the paths here: \"contoso/submission/rely@contoso.com\"; did you mean \"contoso/submission/relay@contoso.com\"?
  hint: known here: \"contoso/submission/relay@contoso.com\"",
    );
}

#[test]
fn a_path_that_cannot_be_read_is_not_said_to_be_missing() {
    check(
        &[(
            "path",
            "path = [{ kind = \"submission\" }]\n[[alert]]\nname = \"d\"\nmail = { to = [\"it@contoso.com\"], path = \"contoso/x\" }",
        )],
        "
13: a path of kind \"submission\" needs its `mailbox`
  hint: mailbox = \"relay@contoso.com\": the mailbox that the relay logs in as",
    );
}

#[test]
fn alerts_that_may_not_arrive_are_warned_of() {
    let dir = directory();
    let config = with(
        dir.path(),
        "[[alert]]\nname = \"a\"\nmail = { to = [\"it@contoso.com\"] }\n[[alert]]\nname = \"b\"\nwebhook = { url = \"http://127.0.0.1:9/\" }",
    );
    let warnings: Vec<_> = config.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "this mail goes by the only path that there is: it cannot tell when that path is broken",
            "the webhook's address is not under TLS: whoever is on the way can read it and the notices",
        ]
    );
}

#[test]
fn what_is_watched_has_defaults_and_can_be_set() {
    let dir = directory();
    let config = with(dir.path(), "");
    let watch = &config.watch;
    assert_eq!((watch.queue_age, watch.queue_length, watch.bounce_percent), (60 * MINUTE, 10_000, 10));
    assert_eq!((watch.budget_ahead, config.watch_times.clock_skew), (24 * 60 * MINUTE, 5 * MINUTE));
    assert_eq!(config.watch_times.expiry_days, [60, 30, 14, 7, 1]);
    let config = with(
        dir.path(),
        "[watch]\nqueue_age = \"10m\"\nqueue_length = 5\nbounce_percent = 50\nbudget_ahead = \"2h\"\nclock_skew = \"30s\"\nexpiry_days = [3, 90, 3]\n",
    );
    let watch = &config.watch;
    assert_eq!((watch.queue_age, watch.queue_length, watch.bounce_percent), (10 * MINUTE, 5, 50));
    assert_eq!((watch.budget_ahead, config.watch_times.clock_skew), (120 * MINUTE, MINUTE / 2));
    assert_eq!(config.watch_times.expiry_days, [90, 3]);
    said(
        "[watch]\nqueue_age = \"1s\"\nqueue_length = 0\nbounce_percent = 101\nbudget_ahead = 5\nclock_skew = \"2d\"\nexpiry_days = [-1]\nqueue_legth = 1",
        "
15: `queue_age` must lie between 1m and 30d
  hint: choose a value in that range, or leave the key out for its default
16: `queue_length` must be a whole number from 1 to 1000000000
17: `bounce_percent` must be a whole number from 1 to 100
18: `budget_ahead` must be a duration with its unit, not an integer
  hint: durations look like \"30s\", \"15m\", \"1h 30m\" or \"3d\"
19: `clock_skew` must lie between 1s and 1d
  hint: choose a value in that range, or leave the key out for its default
20: `expiry_days` must be a whole number from 0 to 3650
21: unknown key `queue_legth` in [watch]; did you mean `queue_length`?",
    );
}

#[test]
fn reports_have_defaults_and_can_be_set() {
    let dir = directory();
    let reports = with(dir.path(), "").reports;
    assert_eq!(reports.hostname, "relay.contoso.com");
    assert_eq!((reports.singles, reports.digest, reports.full_limit), (3, 15 * MINUTE, 1 << 20));
    let reports = with(dir.path(), "[reports]\nsingles = 0\ndigest = \"1h\"\nfull_limit = \"64 KiB\"\n").reports;
    assert_eq!((reports.singles, reports.digest, reports.full_limit), (0, 60 * MINUTE, 64 << 10));
    said(
        "[reports]\nsingles = 1001\ndigest = \"0s\"\nfull_limit = \"1 GiB\"",
        "
15: `singles` must be a whole number from 0 to 1000
16: `digest` must lie between 1s and 1d
  hint: choose a value in that range, or leave the key out for its default
17: `full_limit` must lie between 1 KiB and 150 MiB
  hint: choose a value in that range, or leave the key out for its default",
    );
}

#[test]
fn bounces_go_to_the_owner_if_there_is_one_unless_the_file_says_otherwise() {
    let dir = directory();
    let report_to = |keys: &str| {
        let text = TEN_LINES.replace("name = \"printers\"", &format!("name = \"printers\"\n{keys}"));
        parse(&text, dir.path()).unwrap().inbound.clients[0].report_to.as_ref().map(ToString::to_string)
    };
    assert_eq!(report_to(""), None);
    assert_eq!(report_to("owner = \"it@contoso.com\"").as_deref(), Some("<it@contoso.com>"));
    assert_eq!(report_to("owner = \"it@contoso.com\"\nbounces = \"owner\"").as_deref(), Some("<it@contoso.com>"));
    assert_eq!(report_to("owner = \"it@contoso.com\"\nbounces = \"sender\""), None);
    assert_eq!(report_to("bounces = \"sender\""), None);
    check(
        &[("senders", "bounces = \"owner\"")],
        "
7: `bounces` go to an owner that is not named
  hint: add `owner`, for example owner = \"it@contoso.com\"",
    );
}

#[test]
fn the_alerts_of_the_operations_page_are_good() {
    let dir = directory();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md")).unwrap();
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0));
    let alerts: Vec<_> = blocks.filter(|block| block.contains("[[alert]]")).collect();
    assert!(!alerts.is_empty());
    let second = "\"relay@contoso.com\" }, { name = \"on-premises\", kind = \"smarthost\", address = \"h.example\" }]";
    let two_paths = TEN_LINES.replace("\"relay@contoso.com\" }]", second);
    for alert in alerts {
        // Files that the page names are not here.
        let errors =
            parse(&format!("{two_paths}{alert}"), dir.path()).map_or_else(|errors| errors.errors, |_| Vec::new());
        let missing = |what: &str| what.starts_with("cannot read ") || what.starts_with("there is no program ");
        assert!(errors.iter().all(|error| missing(&error.what)), "{alert}\n{errors:?}");
    }
}
