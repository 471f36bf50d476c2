//! What the limits come to: pools, lanes, budgets, breakers; and what is said about limits that cannot be.

use std::time::Duration;

use config::{Config, ExpirySource};
use queue::{BudgetSettings, Counted, Unconfirmed};

use crate::bad::check;
use crate::{TEN_LINES, directory, parse};

const DAY: Duration = Duration::from_secs(86_400);

/// The ten lines with other keys of the tenant and of its path.
fn with(tenant: &str, paths: &str) -> Result<Config, config::Errors> {
    let dir = directory();
    let text = TEN_LINES.replace("name = \"contoso\"", &format!("name = \"contoso\"\n{tenant}"));
    let old = "{ kind = \"submission\", mailbox = \"relay@contoso.com\" }";
    parse(&text.replace(old, paths), dir.path())
}

fn budget<'a>(config: &'a Config, name: &str) -> &'a BudgetSettings {
    let found = config.plan.budgets.iter().find(|budget| *budget.name.0 == *name);
    found.unwrap_or_else(|| panic!("no budget {name} in {:?}", config.plan.budgets))
}

fn budgets(config: &Config) -> Vec<String> {
    config.plan.budgets.iter().map(|b| format!("{}: {} ({} kept)", b.name, b.limit, b.reserve)).collect()
}

fn warnings(config: &Config) -> Vec<&str> {
    config.warnings.iter().map(|warning| warning.what.as_str()).collect()
}

#[test]
fn a_mailbox_has_microsofts_limits_unless_told_otherwise() {
    let config = with("", "{ kind = \"submission\", mailbox = \"Relay@contoso.com\" }").unwrap();
    assert_eq!(
        budgets(&config),
        [
            "contoso/relay@contoso.com/messages a minute: 30 (0 kept)",
            "contoso/relay@contoso.com/recipients a day: 10000 (500 kept)",
            "contoso/external recipients a day under onmicrosoft.com: 100 (5 kept)",
        ]
    );
    let minute = budget(&config, "contoso/relay@contoso.com/messages a minute");
    assert_eq!((minute.counts, minute.window), (Counted::Messages, Duration::from_secs(60)));
    let day = budget(&config, "contoso/relay@contoso.com/recipients a day");
    assert_eq!((day.counts, day.window, &day.warm_up), (Counted::Recipients, DAY, &None));
    let lent = budget(&config, "contoso/external recipients a day under onmicrosoft.com");
    assert_eq!((lent.counts, lent.window), (Counted::ExternalUnderProviderDomain, DAY));
    let [pool] = config.plan.pools.as_slice() else { panic!("one pool") };
    let [lane] = pool.lanes.as_slice() else { panic!("one lane") };
    assert_eq!((&pool.name, &*pool.name.0), (&lane.name, "contoso/submission/Relay@contoso.com"));
    assert_eq!((&*pool.tenant, pool.provider_domain.as_deref()), ("contoso", Some("onmicrosoft.com")));
    assert_eq!(*pool.internal_domains, ["contoso.com".to_owned()]);
    assert_eq!((lane.connections, lane.unconfirmed, lane.null_reverse_path), (3, Unconfirmed::Resend, false));
    assert_eq!(lane.mailbox.as_ref().unwrap().as_str(), "Relay@contoso.com");
    assert_eq!(lane.budgets.len(), 3);
    assert_eq!(
        lane.breakers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "path smtp.office365.com:587",
            "credential contoso/66666666-7777-8888-9999-000000000000",
            "tenant contoso",
            "mailbox relay@contoso.com",
        ]
    );
}

#[test]
fn every_limit_of_a_path_can_be_set() {
    let keys = "connections = 2, messages_per_minute = 20, recipients_per_day = 4000, recipients_per_message = 1000, \
                urgent_reserve = 10, unconfirmed = \"hold\"";
    let config = with("", &format!("{{ kind = \"submission\", mailbox = \"a@contoso.com\", {keys} }}")).unwrap();
    assert_eq!(warnings(&config), Vec::<&str>::new());
    assert_eq!(
        budgets(&config)[..2],
        [
            "contoso/a@contoso.com/messages a minute: 20 (0 kept)",
            "contoso/a@contoso.com/recipients a day: 4000 (400 kept)"
        ]
    );
    let lane = &config.plan.pools[0].lanes[0];
    assert_eq!((lane.connections, lane.unconfirmed, config.lanes[0].recipients), (2, Unconfirmed::Hold, 1000));
}

#[test]
fn a_pool_has_a_lane_for_each_mailbox_and_one_queue() {
    let pool = "{ kind = \"submission\", mailboxes = [\"a@contoso.com\", \"b@contoso.com\"] }";
    let config = with("", pool).unwrap();
    let [pool] = config.plan.pools.as_slice() else { panic!("one pool") };
    assert_eq!(&*pool.name.0, "contoso/submission");
    let lanes: Vec<_> = pool.lanes.iter().map(|lane| lane.name.to_string()).collect();
    assert_eq!(lanes, ["contoso/submission/a@contoso.com", "contoso/submission/b@contoso.com"]);
    assert_eq!(config.lanes.iter().map(|lane| lane.name.to_string()).collect::<Vec<_>>(), lanes);
    assert_eq!(config.routes.lane(&"<x@contoso.com>".parse().unwrap()), Some(&pool.name));
    let shared = &config.plan.budgets.iter().filter(|budget| budget.name.0.starts_with("contoso/external")).count();
    assert_eq!((config.plan.budgets.len(), *shared), (5, 1));
    assert_ne!(pool.lanes[0].breakers[3], pool.lanes[1].breakers[3]);
    assert_eq!(pool.lanes[0].breakers[..3], pool.lanes[1].breakers[..3]);
    let config::LaneAuth::Token { user, .. } = &config.lanes[1].auth else { panic!("a token") };
    assert_eq!(user, "b@contoso.com");
}

#[test]
fn a_pool_has_the_name_of_its_path_and_one_mailbox_is_no_pool() {
    let config = with("", "{ name = \"bulk\", kind = \"submission\", mailboxes = [\"a@x.de\", \"b@x.de\"] }").unwrap();
    assert_eq!(&*config.plan.pools[0].name.0, "contoso/bulk");
    assert_eq!(&*config.plan.pools[0].lanes[0].name.0, "contoso/submission/a@x.de");
    let config = with("", "{ name = \"bulk\", kind = \"submission\", mailboxes = [\"a@x.de\"] }").unwrap();
    assert_eq!(
        (&*config.plan.pools[0].name.0, &*config.plan.pools[0].lanes[0].name.0),
        ("contoso/bulk", "contoso/bulk")
    );
}

#[test]
fn paths_through_one_mailbox_share_its_budgets_and_the_smaller_limit_holds() {
    let paths = "{ kind = \"submission\", mailbox = \"a@x.de\", recipients_per_day = 5000 }, \
                 { name = \"second\", kind = \"submission\", mailbox = \"A@X.de\", recipients_per_day = 4000, urgent_reserve = 50 }";
    let config = with("", paths).unwrap();
    assert_eq!(config.plan.budgets.len(), 3);
    let day = budget(&config, "contoso/a@x.de/recipients a day");
    assert_eq!((day.limit, day.reserve), (4000, 2000));
    assert_eq!(config.plan.pools[0].lanes[0].budgets, config.plan.pools[1].lanes[0].budgets);
    assert_eq!(
        warnings(&config),
        [
            "mail of this tenant goes by its first path: this one carries reports, alerts, and mail of clients that name it",
            "another path shares the budget `contoso/a@x.de/recipients a day` and sets 5000 where this one sets 4000: the smaller holds",
        ]
    );
}

#[test]
fn external_recipients_are_counted_for_the_whole_tenant_where_its_limit_is_known() {
    let one = "{ kind = \"submission\", mailbox = \"a@x.de\" }";
    let name = "contoso/external recipients a day";
    for (keys, limit) in [
        ("licences = 25", 14_259),
        ("trial = true", 500),
        ("external_recipients_per_day = 77", 77),
        ("licences = 25\nexternal_recipients_per_day = 1000", 1000),
    ] {
        let config = with(keys, one).unwrap();
        let budget = budget(&config, name);
        assert_eq!((budget.limit, budget.counts, budget.window), (limit, Counted::External, DAY), "{keys}");
        assert!(config.plan.pools[0].lanes[0].budgets.iter().any(|own| *own.0 == *name));
        assert_eq!(warnings(&config), Vec::<&str>::new());
    }
    let config = with("licences = 1\nexternal_recipients_per_day = 20000", one).unwrap();
    assert_eq!(warnings(&config), ["Exchange Online allows this tenant 10000 external recipients a day"]);
    let config = with("trial = true", "{ kind = \"smarthost\", address = \"h.example\" }").unwrap();
    let said = "external recipients are counted on paths of kind \"submission\", and this tenant has none";
    assert_eq!((warnings(&config), config.plan.budgets.len()), (vec![said], 0));
    let config = with("licences = 1\ncloud = \"dod\"", one).unwrap();
    let said = "Microsoft limits a tenant's external recipients in the worldwide cloud only: they are not counted";
    assert_eq!((warnings(&config), config.plan.budgets.len()), (vec![said], 2));
    assert_eq!(config.plan.pools[0].provider_domain, None);
    check(
        &[("domains", "domains = [\"contoso.com\"]\ntrial = true\nlicences = 5")],
        "
13: a tenant is either on `trial` or has paid `licences`
  hint: take one of them out",
    );
}

#[test]
fn recipients_in_accepted_domains_are_internal() {
    let keys = "internal_domains = [\"Contoso.onmicrosoft.com\", \"fabrikam.com\"]";
    let config = with(keys, "{ kind = \"submission\", mailbox = \"a@x.de\" }").unwrap();
    let pool = &config.plan.pools[0];
    assert!(!pool.is_external(&"<a@CONTOSO.com>".parse().unwrap()));
    assert!(!pool.is_external(&"<a@contoso.onmicrosoft.com>".parse().unwrap()));
    assert!(pool.is_external(&"<a@example.com>".parse().unwrap()));
    assert_eq!(config.routes.lane(&"<a@fabrikam.com>".parse().unwrap()), None, "they are no sender domains");
}

#[test]
fn a_smart_host_has_the_budgets_that_it_is_given() {
    let config = with("", "{ kind = \"smarthost\", address = \"h.example\" }").unwrap();
    let lane = &config.plan.pools[0].lanes[0];
    assert_eq!((config.plan.budgets.len(), lane.connections, lane.null_reverse_path), (0, 20, true));
    assert_eq!(lane.breakers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["path h.example:25"]);
    assert_eq!((config.plan.pools[0].provider_domain.as_deref(), &lane.mailbox), (None, &None));

    let keys = "messages_per_minute = 100, recipients_per_day = 200, warm_up = [50, 100], null_reverse_path = false, \
                recipients_per_message = 10, username = \"u\", password = { file = \"secret\" }";
    let address = "address = \"contoso-com.mail.protection.outlook.com\"";
    let config = with("", &format!("{{ name = \"out\", kind = \"smarthost\", {address}, {keys} }}")).unwrap();
    assert_eq!(
        budgets(&config),
        [
            "contoso/out/messages a minute: 100 (0 kept)",
            "contoso/out/recipients a day: 200 (10 kept)",
            "contoso/out/messages a day: 1000000000 (0 kept)",
        ]
    );
    let warm_up = budget(&config, "contoso/out/messages a day").warm_up.as_ref().unwrap();
    assert_eq!((warm_up.step, warm_up.limits.as_slice()), (DAY, [50, 100].as_slice()));
    let lane = &config.plan.pools[0].lanes[0];
    assert_eq!((lane.budgets.len(), lane.null_reverse_path, &*lane.breakers[1].name), (3, false, "contoso/u"));
    assert_eq!((config.lanes[0].recipients, config.lanes[0].recipients_of_a_domain), (10, Some(200)));
}

#[test]
fn limits_above_microsofts_are_warned_of() {
    let keys = "connections = 4, messages_per_minute = 31, recipients_per_day = 10001, recipients_per_message = 1001";
    let config = with("", &format!("{{ kind = \"submission\", mailbox = \"a@x.de\", {keys} }}")).unwrap();
    assert_eq!(
        warnings(&config),
        [
            "Exchange Online allows 3 connections to a mailbox",
            "Exchange Online allows 30 messages a minute to a mailbox",
            "Exchange Online allows 10000 recipients a day to a mailbox",
            "Exchange Online allows 1000 recipients a message to a mailbox",
        ]
    );
}

#[test]
fn keys_of_the_other_kind_of_path_are_refused_with_what_holds_there() {
    check(
        &[(
            "path",
            "path = [{ kind = \"submission\", mailbox = \"a@x.de\", warm_up = [1], null_reverse_path = true }, { kind = \"smarthost\", address = \"h.example\", mailboxes = [\"a@x.de\"] }]",
        )],
        "
13: `warm_up` belongs to paths of kind \"smarthost\"
  hint: take it out: Exchange Online does not judge a mailbox by how long it has been sending
13: `null_reverse_path` belongs to paths of kind \"smarthost\"
  hint: take it out: Exchange Online puts the mailbox's own address in place of the null reverse-path
13: `mailboxes` belongs to paths of kind \"submission\"
  hint: make one path for each, or name one `mailbox`",
    );
}

#[test]
fn mailboxes_are_named_once_and_in_one_way() {
    check(
        &[("path", "path = [{ kind = \"submission\", mailbox = \"a@x.de\", mailboxes = [\"b@x.de\"] }]")],
        "
13: a path has either `mailbox` or `mailboxes`
  hint: move the one into the list of the others",
    );
    check(
        &[("path", "path = [{ kind = \"submission\", mailboxes = [] }]")],
        "
13: a path of kind \"submission\" needs its `mailbox`
  hint: mailbox = \"relay@contoso.com\": the mailbox that the relay logs in as",
    );
    check(
        &[(
            "path",
            "path = [{ kind = \"submission\", mailboxes = [\"b@x.de\", \"B@x.de\"], username = \"u\", password = { file = \"secret\" } }]",
        )],
        "
13: `mailboxes` go with tokens: with `username` all of them would be the same login
  hint: give the tenant a `credential` and take `username` and `password` out, or name one `mailbox`
13: the mailbox b@x.de stands here twice
  hint: take one out",
    );
    check(
        &[(
            "path",
            "path = [{ kind = \"submission\", mailboxes = [\"a@x.de\", \"b@x.de\"] }, { name = \"two\", kind = \"submission\", mailboxes = [\"c@x.de\", \"b@x.de\"] }]",
        )],
        "
13: two paths make the lane contoso/submission/b@x.de
  hint: give one of them a `name`; a mailbox can be in one pool only",
    );
}

#[test]
fn a_warm_up_rises() {
    check(
        &[("path", "path = [{ kind = \"smarthost\", address = \"h.example\", warm_up = [50, 50] }]")],
        "
13: `warm_up` must rise from day to day
  hint: for example [50, 100, 500, 1000, 5000]: messages on the first, second, … day",
    );
    check(
        &[("path", "path = [{ kind = \"smarthost\", address = \"h.example\", warm_up = [0] }]")],
        "
13: `warm_up` must be a whole number from 1 to 100000000",
    );
}

#[test]
fn ranges_and_words_of_the_limits_are_held() {
    check(
        &[(
            "path",
            "path = [{ kind = \"submission\", mailbox = \"a@x.de\", recipients_per_day = 0, recipients_per_message = 0, urgent_reserve = 91, unconfirmed = \"held\" }]",
        )],
        "
13: `recipients_per_day` must be a whole number from 1 to 100000000
13: `recipients_per_message` must be a whole number from 1 to 10000
13: `urgent_reserve` must be a whole number from 0 to 90
13: `unconfirmed` cannot be \"held\"; did you mean \"hold\"?
  hint: known here: \"resend\", \"hold\"",
    );
    check(
        &[("domains", "domains = [\"contoso.com\"]\nlicences = 0\ntrial = 1\ninternal_domains = [\"x\"]")],
        "
12: `licences` must be a whole number from 1 to 10000000
13: `trial` must be true or false, not an integer
14: `internal_domains` is not a domain: \"x\"
  hint: for example \"contoso.com\"; international names in their xn-- form or as UTF-8",
    );
}

#[test]
fn what_ends_on_a_day_is_known() {
    let dir = directory();
    let text = TEN_LINES.replace("client_secret =", "expires = \"2027-01-31\", client_secret =");
    let config = parse(&text, dir.path()).unwrap();
    let [secret] = config.expiring.as_slice() else { panic!("{:?}", config.expiring) };
    assert_eq!(secret.what, "client secret of contoso/66666666-7777-8888-9999-000000000000");
    assert_eq!(secret.source, ExpirySource::Date("2027-01-31".parse().unwrap()));

    let text = TEN_LINES
        .replace("client_secret = { file = \"secret\" }", "certificate = \"app.pem\", key = \"app.key\"")
        .replace("[[listener]]", "tls = { certificate = \"relay.pem\", key = \"relay.key\" }\n[[listener]]");
    let config = parse(&text, dir.path()).unwrap();
    let [listeners, application] = config.expiring.as_slice() else { panic!("{:?}", config.expiring) };
    assert_eq!(listeners.what, "TLS certificate of the listeners");
    assert_eq!(listeners.source, ExpirySource::Certificate(dir.path().join("relay.pem")));
    assert_eq!(application.what, "certificate of contoso/66666666-7777-8888-9999-000000000000");
    assert_eq!(application.source, ExpirySource::Certificate(dir.path().join("app.pem")));
    assert_eq!(parse(TEN_LINES, dir.path()).unwrap().expiring, []);
}

#[test]
fn only_a_client_secret_is_given_its_end_and_as_a_day() {
    check(
        &[(
            "credential",
            "credential = { client_id = \"x\", certificate = \"app.pem\", key = \"app.key\", expires = \"2027-01-31\" }",
        )],
        "
12: `expires` is for a `client_secret`
  hint: take it out: the certificate says itself when it ends",
    );
    check(
        &[(
            "credential",
            "credential = { client_id = \"x\", client_secret = { file = \"secret\" }, expires = \"31.1.2027\" }",
        )],
        "
12: `expires` is not a day: \"31.1.2027\"
  hint: year, month and day, as in \"2027-01-31\"",
    );
}
