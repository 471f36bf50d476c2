//! DKIM: both of Microsoft's forms, our own selectors, and each way to break them.

use posthouse_doctor::{DkimReport, OwnSelector, Severity, Signature, TargetForm, Way};

use crate::world::{World, find, ids, name, nth, question, remedied, worlds};

async fn dkim(zone: &str, own: Vec<OwnSelector>) -> DkimReport {
    let mut question = question("d.test");
    question.own_selectors = own;
    question.tenant_initial_domain = Some(name("dtest.onmicrosoft.com"));
    let report = World::new(zone).await.report(&question).await.dkim.clone();
    remedied(&report.findings);
    report
}

const OLD: &str = "
selector1._domainkey.d.test CNAME selector1-d-test._domainkey.dtest.onmicrosoft.com
selector2._domainkey.d.test CNAME selector2-d-test._domainkey.dtest.onmicrosoft.com
selector2-d-test._domainkey.dtest.onmicrosoft.com TXT v=DKIM1; p=MIGf
";
const OLD2: &str = "
selector2._domainkey.d.test CNAME selector2-d-test._domainkey.dtest.onmicrosoft.com
selector2-d-test._domainkey.dtest.onmicrosoft.com TXT v=DKIM1; p=MIGf
";
const ONE: &str = "selector1-d-test._domainkey.dtest.onmicrosoft.com";

#[tokio::test]
async fn both_forms_of_target_are_known() {
    let new = "
selector1._domainkey.d.test CNAME selector1-d-test._domainkey.dtest.n-v1.dkim.mail.microsoft
selector2._domainkey.d.test CNAME selector2-d-test._domainkey.dtest.n-v1.dkim.mail.microsoft
selector1-d-test._domainkey.dtest.n-v1.dkim.mail.microsoft TXT v=DKIM1; k=rsa; p=MIGf
selector2-d-test._domainkey.dtest.n-v1.dkim.mail.microsoft TXT v=DKIM1; k=rsa; p=MIGf";
    let old = format!("{OLD}{ONE} TXT v=DKIM1; k=rsa; p=MIGf");
    for (zone, form) in [(old.as_str(), TargetForm::InitialDomain), (new, TargetForm::DkimMailMicrosoft)] {
        let report = dkim(zone, Vec::new()).await;
        assert_eq!(ids(&report.findings), ["dkim-ok"]);
        assert!(report.selectors.iter().all(|facts| facts.form == Some(form) && facts.is_good()), "{report:#?}");
    }
}

#[tokio::test]
async fn each_broken_zone_gives_its_findings() {
    let cases = [
        (String::new(), &["dkim-missing"][..]),
        (OLD.to_owned(), &["dkim-no-key"]),
        (format!("{OLD}{ONE} TXT v=DKIM1; p="), &["dkim-revoked"]),
        (format!("{OLD}{ONE} TXT v=DKIM1; k=rsa"), &["dkim-broken-key"]),
        (format!("{OLD}{ONE} SERVFAIL"), &["dkim-trouble"]),
        (format!("{OLD}{ONE} TXT p=MIGf\n{ONE} TXT p=MIGg"), &["dkim-several"]),
        (
            "selector1._domainkey.d.test CNAME s1.provider.test\ns1.provider.test TXT p=MIGf".to_owned(),
            &["dkim-elsewhere", "dkim-selector-missing"],
        ),
        ("selector1._domainkey.d.test TXT v=DKIM1; p=MIGf".to_owned(), &["dkim-no-alias", "dkim-selector-missing"]),
        (
            "selector1._domainkey.d.test CNAME gone.test\nselector2._domainkey.d.test SERVFAIL".to_owned(),
            &["dkim-broken-target", "dkim-trouble"],
        ),
        (
            "selector1._domainkey.d.test CNAME l.test\nl.test CNAME selector1._domainkey.d.test".to_owned(),
            &["dkim-trouble", "dkim-selector-missing"],
        ),
    ];
    let cases = cases.into_iter().chain([
        // That of the other selector; that of another domain; through another name of one's own.
        (
            "selector1._domainkey.d.test CNAME selector2-d-test._domainkey.dtest.onmicrosoft.com\n".to_owned() + OLD2,
            &["dkim-other-target"][..],
        ),
        (
            format!("selector1._domainkey.d.test CNAME selector1-e-test._domainkey.dtest.onmicrosoft.com\n{OLD2}selector1-e-test._domainkey.dtest.onmicrosoft.com TXT p=MIGf"),
            &["dkim-other-target"],
        ),
        (format!("selector1._domainkey.d.test CNAME own.d.test\nown.d.test CNAME {ONE}\n{ONE} TXT p=MIGf\n{OLD2}"), &["dkim-ok"]),
    ]);
    let cases: Vec<_> = cases.collect();
    let world = worlds(cases.iter().map(|(records, _)| records.as_str())).await;
    for (n, (records, expected)) in cases.into_iter().enumerate() {
        let report = world.report(&question(&nth("d.test", n))).await.dkim.clone();
        remedied(&report.findings);
        assert_eq!(ids(&report.findings), expected, "{records}\n{:#?}", report.findings);
    }
}

#[tokio::test]
async fn remedies_name_the_commands_and_the_record() {
    let report = dkim("", Vec::new()).await;
    let finding = find(&report.findings, "dkim-missing");
    let remedy = finding.remedy.as_deref().unwrap();
    assert!(remedy.contains("Get-DkimSigningConfig -Identity d.test | fl Selector1CNAME,Selector2CNAME"), "{remedy}");
    let record = finding.record.clone().unwrap();
    assert_eq!((record.name.as_str(), record.kind), ("selector1._domainkey.d.test", "CNAME"));
    assert_eq!(record.value, ONE);
    let report = dkim(OLD, Vec::new()).await;
    let remedy = find(&report.findings, "dkim-no-key").remedy.clone().unwrap();
    assert!(remedy.contains("Set-DkimSigningConfig -Identity d.test -Enabled $true"), "{remedy}");
}

#[tokio::test]
async fn our_own_selectors_must_hold_our_key() {
    let zone = "
good._domainkey.d.test TXT v=DKIM1; k=ed25519; p=11qY AYKx
other._domainkey.d.test TXT v=DKIM1; k=ed25519; p=AAAA
bad._domainkey.d.test SERVFAIL";
    let own = |selector: &str| OwnSelector {
        selector: selector.to_owned(),
        value: Some("v=DKIM1; k=ed25519; p=11qYAYKx".to_owned()),
    };
    let any = OwnSelector { selector: "other".to_owned(), value: None };
    let report = dkim(zone, vec![own("good"), own("other"), own("gone"), own("bad"), any]).await;
    let expected =
        ["dkim-missing", "dkim-own-ok", "dkim-own-differs", "dkim-own-missing", "dkim-own-trouble", "dkim-own-ok"];
    assert_eq!(ids(&report.findings), expected);
    let record = find(&report.findings, "dkim-own-missing").record.clone().unwrap();
    assert_eq!(
        (record.name.as_str(), record.value.as_str()),
        ("gone._domainkey.d.test", "v=DKIM1; k=ed25519; p=11qYAYKx")
    );
}

#[tokio::test]
async fn a_record_that_forbids_what_we_do_with_the_key_is_not_ours() {
    let zone = "
type._domainkey.d.test TXT v=DKIM1; k=rsa; p=11qYAYKx
hash._domainkey.d.test TXT v=DKIM1; k=ed25519; h=sha1; p=11qYAYKx
use._domainkey.d.test TXT v=DKIM1; k=ed25519; s=tlsrpt; p=11qYAYKx
test._domainkey.d.test TXT v=DKIM1; k=ed25519; t=y; p=11qYAYKx
fine._domainkey.d.test TXT v=DKIM1; k=ed25519; h=sha1:sha256; s=email; t=s; p=11qYAYKx";
    let own = |selector: &str| OwnSelector {
        selector: selector.to_owned(),
        value: Some("v=DKIM1; k=ed25519; p=11qYAYKx".to_owned()),
    };
    let report = dkim(zone, ["type", "hash", "use", "test", "fine"].map(own).into()).await;
    let expected = [
        "dkim-missing",
        "dkim-own-unusable",
        "dkim-own-unusable",
        "dkim-own-unusable",
        "dkim-own-testing",
        "dkim-own-ok",
    ];
    assert_eq!(ids(&report.findings), expected, "{:#?}", report.findings);
}

#[tokio::test]
async fn a_tenants_initial_domain_is_signed_for_without_anybody_doing_anything() {
    let report = World::new("dtest.onmicrosoft.com A 192.0.2.1").await.report(&question("dtest.onmicrosoft.com")).await;
    assert_eq!(ids(&report.dkim.findings), ["dkim-initial-domain"]);
}

#[tokio::test]
async fn where_microsoft_does_not_send_its_selectors_are_a_note() {
    let mut question = question("d.test");
    question.ways = vec![Way::Direct { address: None, signs: Vec::new() }];
    let report = World::new("").await.report(&question).await;
    assert_eq!(find(&report.dkim.findings, "dkim-missing").severity, Severity::Note);
}

#[tokio::test]
async fn a_key_of_the_domain_above_that_signs_on_a_way_is_looked_at_where_it_is() {
    let zone = "s._domainkey.d.test TXT v=DKIM1; k=ed25519; p=11qYAYKx";
    let selector = OwnSelector { selector: "s".to_owned(), value: Some("v=DKIM1; k=ed25519; p=11qYAYKx".to_owned()) };
    let signs = vec![Signature { domain: name("d.test"), selector: selector.clone() }];
    let way = Way::Direct { address: None, signs };
    for (domain, own, selectors) in [
        ("x.d.test", Vec::new(), 2),
        // Named twice, looked at once.
        ("d.test", vec![selector], 3),
    ] {
        let mut question = question(domain);
        question.own_selectors = own;
        question.ways = vec![way.clone(), way.clone()];
        let report = World::new(zone).await.report(&question).await;
        assert_eq!(ids(&report.dkim.findings), ["dkim-missing", "dkim-own-ok"], "{domain}");
        assert_eq!(report.dkim.selectors.len(), selectors, "{domain}");
    }
}
