//! SPF: good records, and each way to break one.

use std::net::IpAddr;

use m365::Cloud;
use posthouse_doctor::{Severity, Signature, SpfReport, Way};

use crate::world::{World, find, ids, name, nth, question, remedied, worlds};

async fn spf(zone: &str, domain: &str) -> SpfReport {
    let report = World::new(zone).await.report(&question(domain)).await.spf.clone();
    remedied(&report.findings);
    report
}

#[tokio::test]
async fn a_good_record_is_good_and_its_look_ups_are_counted() {
    let report = spf("", "contoso.com").await;
    assert_eq!((ids(&report.findings), report.lookups, report.void_lookups), (vec!["spf-ok"], 1, 0));
    assert_eq!(report.includes, [name("spf.protection.outlook.com")]);
}

#[tokio::test]
async fn each_broken_zone_gives_its_findings() {
    let many: String = (1..=10).map(|n| format!("i{n}.test TXT v=spf1 -all\n")).collect();
    let eleven: String = (1..=10).map(|n| format!("include:i{n}.test ")).collect();
    let hosts: String = (1..=11).map(|n| format!("many.test MX {n} h{n}.test\n")).collect();
    let m = "include:spf.protection.outlook.com";
    let cases = [
        (String::new(), &["spf-missing"][..]),
        (format!("d.test TXT v=spf1 {m} -all\nd.test TXT v=spf1 mx -all"), &["spf-several"]),
        ("d.test TXT v=spf1 ip4:192.0.2.1 -all".to_owned(), &["spf-missing-include"]),
        (format!("d.test TXT v=spf1 {m} ip4:300.0.0.1 -all"), &["spf-syntax"]),
        ("d.test TXT v=spf1 ip4:300.0.0.1 -all".to_owned(), &["spf-syntax", "spf-missing-include"]),
        (format!("{many}d.test TXT v=spf1 {m} {eleven}-all"), &["spf-lookups"]),
        (format!("{many}d.test TXT v=spf1 {eleven}{m} -all"), &["spf-lookups", "spf-include-late"]),
        (format!("d.test TXT v=spf1 {m} include:l.test -all\nl.test TXT v=spf1 include:d.test -all"), &["spf-loop"]),
        (format!("d.test TXT v=spf1 redirect=r.test\nr.test TXT v=spf1 {m} -all"), &["spf-ok"]),
        (format!("d.test TXT v=spf1 include:n.test ~all\nn.test TXT v=spf1 {m} -all"), &["spf-ok"]),
        (format!("d.test TXT v=spf1 -{m} -all"), &["spf-missing-include"]),
        (format!("d.test TXT v=spf1 {m} include:gone.test -all"), &["spf-include-broken"]),
        (format!("d.test TXT v=spf1 {m} a:g1.test a:g2.test mx:g3.test -all"), &["spf-void-lookups"]),
        (format!("{hosts}d.test TXT v=spf1 {m} mx:many.test -all"), &["spf-mx-hosts"]),
        (format!("d.test TXT v=spf1 {m} +all"), &["spf-pass-all"]),
        (format!("d.test TXT v=spf1 {m} ?all"), &["spf-neutral-all"]),
        (format!("d.test TXT v=spf1 {m}"), &["spf-no-all"]),
        (format!("d.test TXT v=spf1 {m} ptr ip4=192.0.2.1 -all"), &["spf-ptr", "spf-ignored-term"]),
        ("d.test TXT v=spf1 include:%{d}.spf.host.test -all".to_owned(), &["spf-include-unknown", "spf-macros"]),
        (format!("d.test TXT v=spf1 {m} a:192.0.2.1 -all"), &["spf-syntax"]),
        (format!("d.test TXT v=spf1 {m} include:bücher.test -all"), &["spf-syntax"]),
        (format!("d.test TXT v=spf1 {m} include:%d.test -all"), &["spf-syntax"]),
        (format!("d.test TXT v=spf1 {m} ip4:192.0.2.0/08 -all"), &["spf-syntax"]),
        (format!("d.test TXT v=spf1 mx -all\nd.test TXT v=spf1 {m} -all\nd.test MX 0 m.test"), &["spf-several"]),
        ("d.test TXT v=spf1 redirect=r.test\nr.test TXT v=spf1 ip4:203.0.113.0/24 -all".to_owned(), &["spf-include-copied"]),
        ("d.test TXT v=spf1 include:%{d}._s.test -all\nd.test._s.test TXT v=spf1 include:spf.protection.outlook.com -all".to_owned(), &["spf-macros"]),
        (format!("d.test TXT v=spf1 {m} -all redirect=gone.test"), &["spf-redirect-ignored"]),
        (format!("d.test TXT v=spf1 {m} redirect=gone.test"), &["spf-include-broken"]),
        ("d.test SERVFAIL".to_owned(), &["spf-trouble"]),
        (format!("d.test TXT v=spf1 include:bad.test {m} -all\nbad.test SERVFAIL"), &["spf-trouble"]),
        (
            "d.test TXT v=spf1 include:bad.test -all\nbad.test SERVFAIL".to_owned(),
            &["spf-trouble", "spf-include-unknown"],
        ),
    ];
    let world = worlds(cases.iter().map(|(records, _)| records.as_str())).await;
    for (n, (records, expected)) in cases.into_iter().enumerate() {
        let report = world.report(&question(&nth("d.test", n))).await.spf.clone();
        remedied(&report.findings);
        assert_eq!(ids(&report.findings), expected, "{records}\n{:#?}", report.findings);
    }
}

#[tokio::test]
async fn eleven_look_ups_are_counted_as_eleven() {
    let many: String = (1..=11).map(|n| format!("i{n}.test TXT v=spf1 -all\n")).collect();
    let terms: String = (1..=11).map(|n| format!("include:i{n}.test ")).collect();
    let report = spf(&format!("{many}d.test TXT v=spf1 {terms}-all"), "d.test").await;
    assert_eq!((report.lookups, report.includes.len()), (11, 11));
}

#[tokio::test]
async fn the_record_to_paste_keeps_the_rest() {
    let report = spf("d.test TXT v=spf1 mx ip4:192.0.2.1 ~all\nd.test MX 0 m.test", "d.test").await;
    let record = find(&report.findings, "spf-missing-include").record.clone().unwrap();
    assert_eq!((record.name.as_str(), record.kind), ("d.test", "TXT"));
    assert_eq!(record.value, "v=spf1 mx ip4:192.0.2.1 include:spf.protection.outlook.com ~all");
}

#[tokio::test]
async fn each_cloud_has_its_include() {
    let world = World::new("").await;
    let mut us = question("contoso.com");
    us.cloud = Cloud::GccHigh;
    let report = world.report(&us).await;
    let finding = find(&report.spf.findings, "spf-missing-include");
    assert!(finding.what.contains("spf.protection.office365.us"), "{finding:?}");
}

#[tokio::test]
async fn addresses_that_send_themselves_are_evaluated() {
    let zone = "d.test TXT v=spf1 a:out.test include:sub.test -all\nsub.test TXT v=spf1 ip6:2001:db8::/32 -all\nout.test A 192.0.2.1";
    let world = World::new(zone).await;
    for (address, expected) in
        [("192.0.2.1", &["spf-ok"][..]), ("2001:db8::5", &["spf-ok"]), ("192.0.2.2", &["spf-missing-address"])]
    {
        let address: IpAddr = address.parse().unwrap();
        let mut question = question("d.test");
        question.ways = vec![Way::Direct { address: Some(address), signs: Vec::<Signature>::new() }];
        let report = world.report(&question).await;
        assert_eq!(ids(&report.spf.findings), expected, "{address}");
    }
}

#[tokio::test]
async fn trouble_is_no_error_and_no_absence() {
    let report = spf("d.test SERVFAIL", "d.test").await;
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Note), "{report:?}");
}

#[tokio::test]
async fn a_record_that_includes_ever_more_comes_to_an_end() {
    let all: String = (0..12).map(|n| format!("include:i{n}.test ")).collect();
    let zone: String = (0..12).map(|n| format!("i{n}.test TXT v=spf1 {all}-all\n")).collect();
    let world = World::new(&format!("{zone}d.test TXT v=spf1 {all}-all")).await;
    let report = world.report(&question("d.test")).await;
    assert!(ids(&report.spf.findings).contains(&"spf-loop") && report.spf.lookups > 10, "{:?}", report.spf);
    assert!(world.server.questions() < 100, "{}", world.server.questions());
}
