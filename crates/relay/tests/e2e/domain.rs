//! `posthouse domain` against a DNS of ours: what is good passes, what is broken fails with the records to paste.

use serde_json::Value;

use crate::harness::dns::DnsServer;
use crate::harness::{command, directory_with};
use crate::signing::NewKey;

/// Mail leaves by Exchange Online and by a smart host; the relay signs on the latter.
struct Site {
    _directory: tempfile::TempDir,
    config: std::path::PathBuf,
    key: NewKey,
}

impl Site {
    fn new() -> Self {
        let text = r#"
            hostname = "relay.contoso.test"
            data_dir = "data"
            [[listener]]
            address = "127.0.0.1:0"
            [[client]]
            name = "devices"
            networks = ["127.0.0.0/8"]
            senders = ["*@contoso.test"]
            [[tenant]]
            name = "contoso"
            id = "contoso.onmicrosoft.com"
            domains = ["contoso.test"]
            credential = { client_id = "66666666-7777-8888-9999-000000000000", client_secret = { file = "secret" } }
            [[tenant.path]]
            kind = "submission"
            mailbox = "relay@contoso.test"
            [[tenant.path]]
            kind = "smarthost"
            address = "192.0.2.1"
            tls = "none"
            "#;
        let (directory, config) = directory_with(text);
        std::fs::write(directory.path().join("secret"), "x").unwrap();
        let key = NewKey::make(&config, &["contoso.test", "--selector", "relay"]);
        std::fs::write(&config, format!("{text}{}", key.signing())).unwrap();
        Self { _directory: directory, config, key }
    }

    /// Exit status, and what is said, with this zone in the DNS.
    fn domain(&self, zone: &str, more: &[&str]) -> (Option<i32>, String) {
        let server = DnsServer::start(zone);
        let before = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, format!("{before}\n{}", server.table())).unwrap();
        let told = command(&[&["domain", "contoso.test", "--config", self.config.to_str().unwrap()], more].concat());
        std::fs::write(&self.config, before).unwrap();
        assert!(told.stderr.is_empty(), "{told:?}");
        (told.status.code(), String::from_utf8(told.stdout).unwrap())
    }

    fn good(&self) -> String {
        GOOD.to_owned() + &self.key.zone()
    }
}

const GOOD: &str = "
spf.protection.outlook.com TXT v=spf1 ip4:203.0.113.0/24 -all
contoso.test TXT v=spf1 include:spf.protection.outlook.com ip4:192.0.2.1 -all
contoso.test MX 0 contoso-test.mail.protection.outlook.com
contoso-test.mail.protection.outlook.com A 203.0.113.25
selector1._domainkey.contoso.test CNAME selector1-contoso-test._domainkey.contoso.onmicrosoft.com
selector2._domainkey.contoso.test CNAME selector2-contoso-test._domainkey.contoso.onmicrosoft.com
selector1-contoso-test._domainkey.contoso.onmicrosoft.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3
selector2-contoso-test._domainkey.contoso.onmicrosoft.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb4
_dmarc.contoso.test TXT v=DMARC1; p=reject; rua=mailto:dmarc@contoso.test
";
/// Nobody is included, Exchange Online's keys are not there, nor is ours, and there is no policy.
const BROKEN: &str = "
spf.protection.outlook.com TXT v=spf1 ip4:203.0.113.0/24 -all
contoso.test TXT v=spf1 ip4:192.0.2.1 -all
contoso.test MX 0 contoso-test.mail.protection.outlook.com
contoso-test.mail.protection.outlook.com A 203.0.113.25
selector1._domainkey.contoso.test CNAME selector1-contoso-test._domainkey.contoso.onmicrosoft.com
selector2._domainkey.contoso.test CNAME selector2-contoso-test._domainkey.contoso.onmicrosoft.com
contoso.onmicrosoft.com TXT there-is-nothing-else
";

#[test]
fn a_good_zone_passes_the_relays_own_key_included() {
    let site = Site::new();
    let (status, told) = site.domain(&site.good(), &[]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.starts_with("contoso.test: mail leaves by Exchange Online (worldwide) and a smart host"), "{told}");
    for id in ["mx-ok", "spf-address-unset", "dkim-ok", "dkim-own-ok", "dmarc-ok"] {
        assert!(told.contains(&format!("[{id}]")), "{id}\n{told}");
    }
    assert!(told.ends_with("contoso.test: nothing wrong\n"), "{told}");
}

#[test]
fn a_broken_zone_fails_with_the_records_to_paste() {
    let site = Site::new();
    let (status, told) = site.domain(BROKEN, &[]);
    assert_eq!(status, Some(1), "{told}");
    for id in ["spf-missing-include", "dkim-no-key", "dkim-own-missing", "dmarc-missing"] {
        assert!(told.contains(&format!("[{id}]")), "{id}\n{told}");
    }
    let (name, value) = &site.key.record;
    for (name, value) in [
        ("contoso.test", "v=spf1 ip4:192.0.2.1 include:spf.protection.outlook.com -all"),
        ("_dmarc.contoso.test", "v=DMARC1; p=none"),
        (name, value),
    ] {
        let record = format!("record: {name} TXT\n               {value}");
        assert!(told.contains(&record), "{record} is not in\n{told}");
    }
}

#[test]
fn a_dns_that_does_not_answer_is_not_good_news() {
    let site = Site::new();
    let names = ["", "selector1._domainkey.", "selector2._domainkey.", "relay._domainkey.", "_dmarc.", "_mta-sts."];
    let zone: String = names.iter().map(|name| format!("{name}contoso.test SERVFAIL\n")).collect();
    let (status, told) = site.domain(&zone, &[]);
    assert_eq!(status, Some(3), "{told}");
    assert!(told.ends_with("contoso.test: nothing wrong in what could be looked up, which is not all\n"), "{told}");
}

#[test]
fn a_policy_that_is_announced_and_not_served_comes_with_the_file_to_serve() {
    let site = Site::new();
    let zone = site.good() + "_mta-sts.contoso.test TXT v=STSv1; id=1;\n";
    let (status, told) = site.domain(&zone, &[]);
    assert_eq!(status, Some(0), "{told}");
    let file = "file: https://mta-sts.contoso.test/.well-known/mta-sts.txt\n               version: STSv1\n";
    let mx = "\n               mx: *.mail.protection.outlook.com\n";
    assert!(["[mta-sts-policy-no-host]", file, mx].iter().all(|part| told.contains(part)), "{told}");
}

#[test]
fn another_key_under_our_selector_is_an_error() {
    let site = Site::new();
    let other = NewKey::make(&site.config, &["contoso.test", "--selector", "other"]);
    let zone = format!("{GOOD}{} TXT {}\n", site.key.record.0, other.record.1);
    let (status, told) = site.domain(&zone, &[]);
    assert!(status == Some(1) && told.contains("[dkim-own-differs]"), "{told}");
}

#[test]
fn programs_get_json() {
    let site = Site::new();
    let ids = |zone: &str, expected| {
        let (status, told) = site.domain(zone, &["--json"]);
        assert_eq!(status, Some(expected), "{told}");
        let report: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(report["domain"], "contoso.test");
        let findings = report["dkim"]["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&site.good(), 0), ["dkim-ok", "dkim-own-ok"]);
    assert_eq!(ids(BROKEN, 1), ["dkim-no-key", "dkim-no-key", "dkim-own-missing"]);
}
