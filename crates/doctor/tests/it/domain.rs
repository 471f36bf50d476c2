//! The whole report, and the sections about arriving mail and our addresses.

use m365::Cloud;
use posthouse_doctor::{DomainReport, Severity};

use crate::world::{World, find, ids, name, question, remedied};

async fn report(zone: &str) -> std::sync::Arc<DomainReport> {
    let report = World::new(zone).await.report(&question("d.test")).await;
    for (_, findings) in report.sections() {
        remedied(findings);
    }
    report
}

#[tokio::test]
async fn a_good_domain_has_nothing_worse_than_a_note() {
    let report = World::new("").await.report(&question("contoso.com")).await;
    assert!(report.severity() <= Severity::Note, "{report:#?}");
    let all: Vec<_> = report.findings().map(|finding| finding.id).collect();
    assert_eq!(all, ["mx-ok", "spf-ok", "dkim-ok", "dmarc-ok", "mta-sts-none", "tls-rpt-none", "dane-none"]);
}

#[tokio::test]
async fn a_domain_that_answers_nothing_has_no_error() {
    let trouble =
        ["d.test", "selector1._domainkey.d.test", "selector2._domainkey.d.test", "_dmarc.d.test", "_mta-sts.d.test"];
    let zone: String = trouble.iter().map(|name| format!("{name} SERVFAIL\n")).collect();
    let report = report(&zone).await;
    assert!(report.severity() <= Severity::Note, "{report:#?}");
}

#[tokio::test]
async fn mx_hosts_are_told_apart() {
    for (records, expected) in [
        ("d.test A 192.0.2.1", "mx-missing"),
        ("", "mx-no-domain"),
        ("d.test MX 0 .", "mx-null"),
        ("d.test MX 0 d-test.mail.protection.outlook.com", "mx-ok"),
        ("d.test MX 0 d-test.n-v1.mx.microsoft", "mx-ok"),
        ("d.test MX 10 d-test.mail.protection.outlook.com\nd.test MX 5 filter.test", "mx-mixed"),
        ("d.test MX 0 filter.test", "mx-elsewhere"),
        ("d.test MX 0 d-test.mail.protection.office365.us", "mx-other-cloud"),
        ("d.test SERVFAIL", "mx-trouble"),
    ] {
        let hosts = records.lines().filter_map(|line| line.split_once(" MX ")?.1.split_once(' '));
        let hosts: String =
            hosts.filter(|(_, host)| *host != ".").map(|(_, host)| format!("{host} A 192.0.2.1\n")).collect();
        assert_eq!(ids(&report(&format!("{hosts}{records}")).await.mx.findings), [expected], "{records}");
    }
    let mut dod = question("d.test");
    dod.cloud = Cloud::Dod;
    let report =
        World::new("d.test MX 0 d-test.mail.protection.office365.us\nd-test.mail.protection.office365.us A 192.0.2.1")
            .await
            .report(&dod)
            .await;
    assert_eq!((ids(&report.mx.findings), report.mx.hosts[0].cloud), (vec!["mx-ok"], Some(Cloud::Dod)));
}

#[tokio::test]
async fn dane_is_seen_at_each_mx_host() {
    let mx = "d.test MX 0 a.test\nd.test MX 5 b.test\n";
    for (records, expected) in [
        ("", "dane-none"),
        ("_25._tcp.a.test TLSA", "dane-some"),
        ("_25._tcp.a.test TLSA\n_25._tcp.b.test TLSA", "dane-present"),
    ] {
        assert_eq!(ids(&report(&format!("{mx}{records}")).await.dane.findings), [expected], "{records}");
    }
    let trouble = report(&format!("{mx}_25._tcp.a.test SERVFAIL")).await;
    assert_eq!(ids(&trouble.dane.findings), ["dane-trouble", "dane-none"]);
}

#[tokio::test]
async fn mx_hosts_must_be_hosts() {
    let fine = "d.test MX 0 a.test\na.test A 192.0.2.1\n";
    let many: String = (1..=12).map(|n| format!("d.test MX {n} a.test\n")).collect();
    let eleven: String = (0..=10).map(|n| format!("d.test MX {n} h{n}.test\nh{n}.test A 192.0.2.1\n")).collect();
    for (records, expected) in [
        (fine.to_owned(), &["mx-elsewhere"][..]),
        ("d.test MX 0 d-test.mail.protection.outlook.com".to_owned(), &["mx-ok", "mx-dangling"]),
        (format!("{fine}d.test MX 5 gone.test"), &["mx-elsewhere", "mx-dangling"]),
        (format!("{fine}d.test MX 5 b.test\nb.test TXT no-address"), &["mx-elsewhere", "mx-dangling"]),
        (format!("{fine}d.test MX 5 b.test\nb.test CNAME a.test"), &["mx-elsewhere", "mx-alias"]),
        (format!("{fine}d.test MX 5 b.test\nb.test SERVFAIL"), &["mx-elsewhere", "mx-host-trouble"]),
        (format!("{fine}d.test MX 5 192.0.2.1"), &["mx-elsewhere", "mx-address"]),
        (format!("{fine}d.test MX 0 ."), &["mx-elsewhere", "mx-null-mixed"]),
        (format!("{fine}{many}"), &["mx-elsewhere"]),
        (eleven, &["mx-elsewhere", "mx-many"]),
    ] {
        let report = report(&records).await;
        assert_eq!(ids(&report.mx.findings), expected, "{records}\n{:#?}", report.mx.findings);
    }
}

#[tokio::test]
async fn dane_is_not_said_of_hosts_that_nobody_asked_about() {
    let all = |n: usize| -> String {
        (0..n).map(|n| format!("d.test MX {n} h{n}.test\nh{n}.test A 192.0.2.1\n_25._tcp.h{n}.test TLSA\n")).collect()
    };
    assert_eq!(ids(&report(&all(9)).await.dane.findings), ["dane-present"]);
    assert_eq!(ids(&report(&all(12)).await.dane.findings), ["dane-some"]);
    let trouble = format!("{}d.test MX 5 b.test\n_25._tcp.b.test SERVFAIL", all(1));
    assert_eq!(ids(&report(&trouble).await.dane.findings), ["dane-trouble", "dane-some"]);
    // Usages for certificates of public authorities mean nothing to mail (RFC 7672, section 3.1.3).
    let unusable = report("d.test MX 0 a.test\na.test A 192.0.2.1\n_25._tcp.a.test TLSA PKIX").await;
    assert_eq!(ids(&unusable.dane.findings), ["dane-unusable"]);
}

#[tokio::test]
async fn mta_sts_and_tls_reports_are_read() {
    for (records, expected) in [
        ("", ["mta-sts-none", "tls-rpt-none"]),
        (
            "_mta-sts.d.test TXT v=STSv1; id=20260101;\n_smtp._tls.d.test TXT v=TLSRPTv1; rua=mailto:t@d.test",
            ["mta-sts-ok", "tls-rpt-ok"],
        ),
        (
            "_mta-sts.d.test TXT v=STSv1; id=2026-01-01\n_smtp._tls.d.test TXT v=TLSRPTv1; rua=t@d.test",
            ["mta-sts-syntax", "tls-rpt-syntax"],
        ),
        (
            "_mta-sts.d.test TXT v=STSv1; id=1\n_mta-sts.d.test TXT v=STSv1; id=2\n_smtp._tls.d.test SERVFAIL",
            ["mta-sts-several", "tls-rpt-trouble"],
        ),
        (
            "_mta-sts.d.test TXT v=STSv12; id=1\n_smtp._tls.d.test TXT v=TLSRPTv1; rua=mailto:",
            ["mta-sts-syntax", "tls-rpt-syntax"],
        ),
        (
            "_mta-sts.d.test TXT v=stsv1; id=1\n_smtp._tls.d.test TXT v=TLSRPTv1; rua=mailto:d.test",
            ["mta-sts-syntax", "tls-rpt-syntax"],
        ),
    ] {
        assert_eq!(ids(&report(records).await.mta_sts.findings), expected, "{records}");
    }
}

#[tokio::test]
async fn names_of_our_addresses_must_lead_back_and_be_our_name() {
    let zone = "
1.2.0.192.in-addr.arpa PTR relay.contoso.com
relay.contoso.com A 192.0.2.1
2.2.0.192.in-addr.arpa PTR elsewhere.test
elsewhere.test A 192.0.2.99
3.2.0.192.in-addr.arpa PTR other.test
other.test A 192.0.2.3
4.2.0.192.in-addr.arpa SERVFAIL
6.2.0.192.in-addr.arpa PTR bad.test
bad.test SERVFAIL";
    let mut question = question("contoso.com");
    let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "2001:db8::1"];
    question.addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let report = World::new(zone).await.report(&question).await;
    let expected =
        ["ptr-ok", "ptr-unconfirmed", "ptr-not-hello", "ptr-trouble", "ptr-missing", "ptr-trouble", "ptr-missing-v6"];
    assert_eq!(ids(&report.ptr.findings), expected);
    assert_eq!(report.ptr.addresses[0].confirmed, [name("relay.contoso.com")]);
    assert_eq!(find(&report.ptr.findings, "ptr-missing-v6").severity, Severity::Error);
}

#[tokio::test]
async fn a_name_leads_back_by_an_address_of_the_same_kind_or_nothing_is_known() {
    let reverse = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    let zone =
        format!("{reverse} PTR relay.contoso.com\nrelay.contoso.com A 192.0.2.1\nrelay.contoso.com SERVFAIL AAAA");
    let mut question = question("contoso.com");
    question.addresses = vec!["2001:db8::1".parse().unwrap()];
    let report = World::new(&zone).await.report(&question).await;
    assert_eq!(ids(&report.ptr.findings), ["ptr-trouble"]);
}

#[tokio::test]
async fn a_report_is_kept_for_its_question_alone() {
    let world = World::new("").await;
    let first = world.report(&question("contoso.com")).await;
    let asked = world.server.questions();
    assert_eq!(world.report(&question("contoso.com")).await, first);
    assert_eq!(world.server.questions(), asked);
    world.report(&question("fabrikam.com")).await;
    assert!(world.server.questions() > asked);
}
