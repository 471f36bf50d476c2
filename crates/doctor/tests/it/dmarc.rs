//! DMARC: the policy that holds, inherited or not, and each way to break it.

use posthouse_doctor::DmarcReport;

use crate::world::{World, find, ids, name, nth, question, remedied, worlds};

async fn dmarc(zone: &str, domain: &str) -> DmarcReport {
    let report = World::new(zone).await.report(&question(domain)).await.dmarc.clone();
    remedied(&report.findings);
    report
}

#[tokio::test]
async fn each_zone_gives_its_findings_and_its_policy() {
    let rua = "rua=mailto:d@d.test";
    let cases = [
        (String::new(), None, &["dmarc-missing"][..]),
        (format!("_dmarc.d.test TXT v=DMARC1; p=none; {rua}"), Some("none"), &["dmarc-none"]),
        (format!("_dmarc.d.test TXT v=DMARC1; p=quarantine; {rua}"), Some("quarantine"), &["dmarc-ok"]),
        ("_dmarc.d.test TXT v=DMARC1; p=reject".to_owned(), Some("reject"), &["dmarc-ok", "dmarc-no-reports"]),
        (format!("_dmarc.d.test TXT v=DMARC1; p=reject; sp=x; {rua}"), Some("reject"), &["dmarc-ok", "dmarc-ignored"]),
        ("_dmarc.d.test TXT v=DMARC1; p=often".to_owned(), None, &["dmarc-syntax"]),
        ("_dmarc.d.test TXT v=dmarc1; p=none".to_owned(), None, &["dmarc-syntax"]),
        ("_dmarc.d.test TXT unrelated".to_owned(), None, &["dmarc-missing"]),
        (
            "_dmarc.d.test TXT v=DMARC1; p=none\n_dmarc.d.test TXT v=DMARC1; p=reject".to_owned(),
            None,
            &["dmarc-several"],
        ),
        ("_dmarc.d.test SERVFAIL".to_owned(), None, &["dmarc-trouble"]),
        (
            format!("_dmarc.d.test TXT v=DMARC1; p=reject; {rua}; mailto:e@d.test"),
            Some("reject"),
            &["dmarc-ok", "dmarc-ignored"],
        ),
        (format!("_dmarc.d.test TXT v=DMARC1; p=reject; t=y; {rua}"), Some("quarantine"), &["dmarc-testing"]),
        (format!("_dmarc.d.test TXT v=DMARC1; p=reject; pct=20; {rua}"), Some("reject"), &["dmarc-ok", "dmarc-pct"]),
        (format!("_dmarc.d.test TXT v=DMARC1; p=reject; pct=100; {rua}"), Some("reject"), &["dmarc-ok"]),
        (
            "_dmarc.d.test TXT v=DMARC1; p=reject; rua=mailto:d@o.test".to_owned(),
            Some("reject"),
            &["dmarc-ok", "dmarc-report-refused"],
        ),
        (
            "_dmarc.d.test TXT v=DMARC1; p=reject; rua=mailto:d@o.test\nd.test._report._dmarc.o.test TXT v=DMARC1"
                .to_owned(),
            Some("reject"),
            &["dmarc-ok"],
        ),
        (
            "_dmarc.d.test TXT v=DMARC1; p=reject; rua=mailto:d@o.test\nd.test._report._dmarc.o.test SERVFAIL"
                .to_owned(),
            Some("reject"),
            &["dmarc-ok", "dmarc-report-trouble"],
        ),
        ("_dmarc.d.test TXT v=DMARC1; p=reject; rua=mailto:d@reports.d.test".to_owned(), Some("reject"), &["dmarc-ok"]),
    ];
    let world = worlds(cases.iter().map(|(records, ..)| records.as_str())).await;
    for (n, (records, policy, expected)) in cases.into_iter().enumerate() {
        let report = world.report(&question(&nth("d.test", n))).await.dmarc.clone();
        remedied(&report.findings);
        assert_eq!((report.policy.as_deref(), ids(&report.findings)), (policy, expected.to_vec()), "{records}");
    }
}

#[tokio::test]
async fn a_subdomain_inherits_sp_from_above() {
    let zone = "_dmarc.d.test TXT v=DMARC1; p=reject; sp=quarantine; aspf=s; rua=mailto:d@d.test";
    let report = dmarc(zone, "a.b.d.test").await;
    assert_eq!((report.at, report.policy.as_deref()), (Some(name("d.test")), Some("quarantine")));
    assert!(find(&report.findings, "dmarc-ok").what.contains("inherited from d.test"));
}
