//! What good files come to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::LaneAuth;
use secret::Secret;
use transport::{Auth, ClientTls, SmtpKind};

use crate::{TEN_LINES, directory, parse};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn ten_lines_are_a_working_relay() {
    let dir = directory();
    let config = parse(TEN_LINES, dir.path()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.hostname, "relay.contoso.com");
    assert_eq!(config.data_dir, Path::new("/var/lib/posthouse"));
    assert_eq!(config.spool.dir, Path::new("/var/lib/posthouse/spool"));
    assert_eq!((config.spool.reserve, config.spool.memory), (256 << 20, 64 << 20));
    let listener = config.inbound.listeners.first().unwrap();
    assert_eq!(
        (listener.name.as_str(), listener.tls, listener.auth_without_tls),
        ("0.0.0.0:25", inbound::TlsMode::Opportunistic, false)
    );
    let client = config.inbound.clients.first().unwrap();
    assert_eq!(
        (client.name.as_str(), client.senders.as_slice()),
        ("printers", ["*@contoso.com".parse().unwrap()].as_slice())
    );
    assert_eq!(client.report_to, None);
    let lane = config.lanes.first().unwrap();
    assert_eq!(lane.name.to_string(), "contoso/submission/relay@contoso.com");
    assert_eq!((lane.connections, lane.recipients, lane.recipients_of_a_domain), (3, 500, None));
    assert_eq!(
        (lane.host.as_str(), lane.port, lane.tls, lane.kind),
        ("smtp.office365.com", 587, ClientTls::Required, SmtpKind::Submission)
    );
    assert_eq!(config.routes.lane(&"<printer@CONTOSO.com>".parse().unwrap()), Some(&lane.name));
    assert_eq!(config.routes.lane(&"<>".parse().unwrap()), Some(&lane.name));
    assert_eq!(
        config.retry.intervals.iter().map(|wait| wait.as_secs() / 60).collect::<Vec<_>>(),
        [1, 5, 15, 30, 60, 120, 240]
    );
    assert_eq!(
        (config.retry.expire, config.retry.warn, config.retry.jitter_percent),
        (72 * 60 * MINUTE, 240 * MINUTE, 10)
    );
    assert_eq!(config.admin.socket.as_deref(), Some(Path::new("/var/lib/posthouse/admin.sock")));
    assert_eq!((config.admin.address, config.log.filter.as_str(), config.log.format), (None, "info", None));
}

#[test]
fn defaults_of_the_bounds_are_those_of_the_listeners() {
    let dir = directory();
    let config = parse(TEN_LINES, dir.path()).unwrap();
    assert_eq!(format!("{:?}", config.inbound.limits), format!("{:?}", inbound::Limits::default()));
}

const FULL: &str = r#"
hostname = "relay.contoso.com"
data_dir = "state"

[spool]
kind = "embedded"
reserve = "1 GiB"
memory = "16 MiB"

[tls]
certificate = "relay.pem"
key = "relay.key"

[[listener]]
name = "office"
address = "[::]:465"
tls = "implicit"

[[client]]
name = "erp"
users = [
  { name = "erp", password = { file = "erp.pass" } },
  { name = "old", password_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$U2x1Z2dpc2ggYnV0IHNhZmUsIHRoaXMgaXMgYSBoYXNo" },
]
networks = ["10.20.0.7", "fd00::/8"]
match = "network and user"
senders = ["billing@contoso.com", "*@*.com"]
owner = "it@contoso.com"
size = "30 MiB"
priority = "urgent"

[[tenant]]
name = "contoso"
id = "contoso.onmicrosoft.com"
cloud = "gcc-high"
domains = ["contoso.com", "Contoso.DE"]

[tenant.credential]
client_id = "66666666-7777-8888-9999-000000000000"
certificate = "app.pem"
key = "app.key"
algorithm = "RS256"

[tenant.endpoints]
login = "https://login.example:8443/"
submission = "smtp.example:1587"
ca = "ca.pem"

[[tenant.path]]
kind = "submission"
mailbox = "relay@contoso.com"
connections = 2
messages_per_minute = 20

[[tenant]]
name = "local"
domains = ["fabrikam.com"]

[[tenant.path]]
name = "on-premises"
kind = "smarthost"
address = "[2001:db8::1]:2525"
tls = "opportunistic"
connections = 40

[queue]
retry = ["30s", "1h 30m"]
expire = "2d"
warn = "1h"
jitter = 0
history = "30d"
window = 50

[limits]
message_size = 31457280
grace = "5s"

[admin]
socket = "run/admin.sock"
address = "127.0.0.1:8025"

[log]
level = "info,posthouse_entra=debug"
format = "json"
"#;

#[test]
fn the_larger_shape_reaches_every_component() {
    let dir = directory();
    let config = parse(FULL, dir.path()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.inbound.tls.certificate, Some(dir.path().join("relay.pem")));
    let client = config.inbound.clients.first().unwrap();
    assert_eq!(client.users.len(), 2);
    assert_eq!(client.report_to, Some("<it@contoso.com>".parse().unwrap()));
    assert_eq!((client.size, client.priority), (Some(30 << 20), inbound::Priority::Urgent));
    assert_eq!(client.condition.as_ref().map(ToString::to_string).as_deref(), Some("network and user"));
    assert_eq!(client.networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.20.0.7/32", "fd00::/8"]);
    let [submission, smarthost] = config.lanes.as_slice() else { panic!("two lanes") };
    assert_eq!((submission.host.as_str(), submission.port), ("smtp.example", 1587));
    assert_eq!(submission.ca, Some(dir.path().join("ca.pem")));
    assert_eq!(submission.connections, 2);
    assert_eq!(smarthost.name.to_string(), "local/on-premises");
    assert_eq!(
        (smarthost.host.as_str(), smarthost.port, smarthost.tls),
        ("2001:db8::1", 2525, ClientTls::Opportunistic)
    );
    assert_eq!((smarthost.connections, smarthost.recipients), (40, 100));
    assert!(matches!(smarthost.auth, LaneAuth::None));
    assert_eq!(config.routes.lane(&"<a@contoso.de>".parse().unwrap()), Some(&submission.name));
    assert_eq!(config.routes.lane(&"<a@fabrikam.com>".parse().unwrap()), Some(&smarthost.name));
    assert_eq!(config.routes.lane(&"<a@elsewhere.com>".parse().unwrap()), None);
    assert_eq!(config.retry.intervals, [MINUTE / 2, 90 * MINUTE]);
    assert_eq!((config.window, config.history, config.grace), (50, 30 * 24 * 60 * MINUTE, Duration::from_secs(5)));
    assert_eq!((config.inbound.limits.message_size, config.inbound.limits.grace), (30 << 20, Duration::from_secs(5)));
    assert_eq!(config.admin.address, Some("127.0.0.1:8025".parse().unwrap()));
    assert_eq!(config.log.format, Some(telemetry::LogFormat::Json));
}

#[test]
fn paths_are_relative_to_the_file() {
    let dir = directory();
    std::fs::write(dir.path().join("posthouse.toml"), FULL).unwrap();
    let file = dir.path().join("posthouse.toml");
    let config = config::load(&file).unwrap();
    assert_eq!(config.spool.dir, dir.path().join("state/spool"));
    assert_eq!(config.inbound.tls.state_dir, dir.path().join("state"));
    assert_eq!(config.admin.socket, Some(dir.path().join("run/admin.sock")));
    assert_eq!(config::admin_socket(&file).unwrap(), dir.path().join("run/admin.sock"));
    let config = parse(&TEN_LINES.replace("{ file = \"secret\" }", "{ file = \"./secret\" }"), dir.path()).unwrap();
    config
        .transports(
            |application| {
                let entra::Credential::ClientSecret(Secret::File(path)) = &application.credential else {
                    panic!("a file")
                };
                assert_eq!(*path, dir.path().join("./secret"));
                Err::<entra::TokenSource, _>(())
            },
            None,
        )
        .unwrap_err();
}

#[test]
fn the_admin_socket_is_found_in_a_file_with_errors_elsewhere() {
    let dir = directory();
    let file = dir.path().join("posthouse.toml");
    std::fs::write(&file, "data_dir = \"state\"\nlistner = 3\n").unwrap();
    assert_eq!(config::admin_socket(&file).unwrap(), dir.path().join("state/admin.sock"));
    let error = config::admin_socket(&PathBuf::from("/nowhere/posthouse.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/posthouse.toml: cannot read the configuration: "), "{error}");
}

#[test]
fn an_application_is_asked_for_once_with_the_values_of_its_tenant() {
    let dir = directory();
    let mut seen = Vec::new();
    let second = "\n[[tenant.path]]\nkind = \"smarthost\"\nmailbox = \"relay@contoso.com\"\naddress = \"smtp.example:587\"\n\n[[tenant]]\nname = \"local\"";
    let text = FULL.replacen("\n[[tenant]]\nname = \"local\"", second, 1);
    let config = parse(&text, dir.path()).unwrap();
    assert_eq!(config.lanes.iter().filter(|lane| matches!(lane.auth, LaneAuth::Token { .. })).count(), 2);
    let stopped = config.transports(
        |application| {
            seen.push((
                application.authority.clone(),
                application.tenant.clone(),
                application.scope.clone(),
                application.ca.clone(),
            ));
            Err::<entra::TokenSource, _>("enough")
        },
        None,
    );
    assert_eq!(stopped.unwrap_err(), "enough");
    let ca = Some(dir.path().join("ca.pem"));
    let scope = "https://outlook.office365.us/.default";
    assert_eq!(
        seen,
        [("https://login.example:8443".to_owned(), "contoso.onmicrosoft.com".to_owned(), scope.to_owned(), ca)]
    );
}

#[test]
fn a_smart_host_needs_no_credential_and_no_token() {
    let dir = directory();
    let text = TEN_LINES
        .replace("id = \"11111111-2222-3333-4444-555555555555\"\n", "")
        .replace("credential = { client_id = \"66666666-7777-8888-9999-000000000000\", client_secret = { file = \"secret\" } }\n", "")
        .replace("kind = \"submission\", mailbox = \"relay@contoso.com\"", "kind = \"smarthost\", address = \"127.0.0.1:2525\", tls = \"none\"");
    let config = parse(&text, dir.path()).unwrap();
    let transports = config.transports(|_| Err::<entra::TokenSource, _>("there is no application"), None).unwrap();
    let (lane, smtp) = transports.first().unwrap();
    assert_eq!(lane.to_string(), "contoso/smarthost/127.0.0.1:2525");
    assert_eq!(
        (smtp.host.as_str(), smtp.port, smtp.tls, smtp.hello.as_str()),
        ("127.0.0.1", 2525, ClientTls::None, "relay.contoso.com")
    );
    assert!(matches!(smtp.auth, Auth::None));
}

#[test]
fn what_is_risky_but_possible_is_a_warning() {
    let dir = directory();
    let text = TEN_LINES
        .replace("hostname = \"relay.contoso.com\"", "hostname = \"relay\"")
        .replace("mailbox = \"relay@contoso.com\"", "mailbox = \"relay@contoso.com\", connections = 4, messages_per_minute = 31, username = \"r\", password = { env = \"POSTHOUSE_NO_SUCH_VARIABLE\" }");
    let warnings: Vec<_> =
        parse(&text, dir.path()).unwrap().warnings.into_iter().map(|w| (w.place.map(|p| p.0), w.what)).collect();
    let expected = [
        (Some(1), "`hostname` \"relay\" has no domain; some servers refuse such a name in EHLO"),
        (Some(13), "Exchange Online allows 3 connections to a mailbox"),
        (Some(13), "Exchange Online allows 30 messages a minute to a mailbox"),
        (
            Some(13),
            "Microsoft switches user name and password for SMTP off: by default at the end of December 2026, then for good",
        ),
        (Some(13), "the environment variable POSTHOUSE_NO_SUCH_VARIABLE is not set"),
    ];
    assert_eq!(warnings.iter().map(|(line, what)| (*line, what.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
#[cfg(unix)]
fn a_secret_that_everybody_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory();
    std::fs::set_permissions(dir.path().join("secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = parse(TEN_LINES, dir.path()).unwrap().warnings;
    let path = dir.path().join("secret").display().to_string();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings.first().unwrap().to_string(),
        format!("posthouse.toml:12: everybody on this machine can read the secret in {path}\n  hint: chmod 600 {path}")
    );
}

#[test]
fn the_example_of_the_reference_page_is_a_good_file() {
    let dir = directory();
    let page = config::reference_markdown();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    parse(example, dir.path()).unwrap();
}

#[test]
fn the_committed_reference_page_is_the_generated_one() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    assert!(page == config::reference_markdown(), "docs/configuration.md is stale: run `cargo xtask generate`");
}

#[test]
fn clients_have_their_criteria_rights_and_ways() {
    let dir = directory();
    let client = r#"
[[client]]
name = "devices"
networks = ["10.20.0.0/16"]
users = [{ name = "erp", password = { file = "erp.pass" } }]
certificates = ["*.devices.contoso.com", "sha256:0101010101010101010101010101010101010101010101010101010101010101"]
helo = ["*.contoso.com"]
listeners = ["office"]
match = "network and (user or certificate) and helo and listener"
require_tls = true
senders = ["*"]
tenant = "local"
recipients = ["*@fabrikam.com", "*@*.example"]
internal_only = true
recipient_map = { "old@fabrikam.com" = "new@fabrikam.com", "*@old.example" = "*@fabrikam.com" }
plus_addresses = "strip"
archive = "journal@fabrikam.com"
recipients_per_message = 20
recipients_per_day = 500
messages_per_minute = 10
priority = "normal"

[[client]]
name = "all tenants"
networks = ["10.30.0.0/16"]
internal_only = true
tenant = "contoso"
path = "submission/relay@contoso.com"
"#;
    let text = FULL
        .replace("\n[[tenant]]\nname = \"contoso\"", &format!("{client}\n[[tenant]]\nname = \"contoso\""))
        .replace("key = \"relay.key\"", "key = \"relay.key\"\nclient_ca = \"ca.pem\"")
        .replace(
            "domains = [\"fabrikam.com\"]",
            "domains = [\"fabrikam.com\"]\ninternal_domains = [\"fabrikam.onmicrosoft.com\"]",
        );
    let config = parse(&text, dir.path()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.inbound.tls.client_ca, Some(dir.path().join("ca.pem")));
    let [_, devices, all] = config.inbound.clients.as_slice() else { panic!("three clients") };
    assert_eq!(devices.criteria().len(), 5);
    assert_eq!(devices.lane.as_ref().map(ToString::to_string).as_deref(), Some("local/on-premises"));
    assert_eq!(
        devices.internal_only.as_deref(),
        Some(["fabrikam.com", "fabrikam.onmicrosoft.com"].map(str::to_owned).as_slice())
    );
    assert!(devices.require_tls && !devices.recipient_map.is_empty());
    assert_eq!((devices.priority, devices.plus_addresses), (inbound::Priority::Normal, inbound::PlusAddresses::Strip));
    assert_eq!(devices.archive.as_ref().map(smtp::Mailbox::as_str), Some("journal@fabrikam.com"));
    assert_eq!(
        (devices.recipients_per_message, devices.recipients_per_day, devices.messages_per_minute),
        (Some(20), Some(500), Some(10))
    );
    assert_eq!(devices.recipients.len(), 2);
    assert_eq!(all.lane.as_ref().map(ToString::to_string).as_deref(), Some("contoso/submission/relay@contoso.com"));
    assert_eq!(all.internal_only.as_deref(), Some(["contoso.com", "contoso.de"].map(str::to_owned).as_slice()));
}

#[test]
fn the_truth_table_of_the_reference_page_is_this_one() {
    let page = config::reference_markdown();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| –") || line.starts_with("| yes")).collect();
    //   network user certificate listener | or, and, and (or), (or) and listener
    let expected = [
        ("----", "----"),
        ("y---", "y---"),
        ("-y--", "y---"),
        ("yy--", "yyy-"),
        ("--y-", "----"),
        ("y-y-", "y-y-"),
        ("-yy-", "y---"),
        ("yyy-", "yyy-"),
        ("---y", "----"),
        ("y--y", "y--y"),
        ("-y-y", "y--y"),
        ("yy-y", "yyyy"),
        ("--yy", "----"),
        ("y-yy", "y-yy"),
        ("-yyy", "y--y"),
        ("yyyy", "yyyy"),
    ];
    assert_eq!(rows.len(), expected.len());
    for (row, (held, let_in)) in rows.iter().zip(expected) {
        let short = row.replace("yes", "y").replace('–', "-").replace(['|', ' '], "");
        assert_eq!(short, format!("{held}{let_in}"), "{row}");
    }
    for condition in ["network or user", "network and user", "network and (user or certificate)"] {
        assert!(page.contains(&format!("| `{condition}` ")), "{condition}");
    }
}
