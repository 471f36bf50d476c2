//! What a finding asks to be published is published, and the DNS is asked again: then it is good.

use posthouse_doctor::{DomainQuestion, DomainReport, OwnSelector, Record, Severity, Way};

use crate::world::{World, name, question};

/// The zone once `record` is in it, in place of what was of its kind there.
fn pasted(zone: &str, record: &Record) -> String {
    let family = |value: &str| value.split([' ', ';']).next().unwrap().to_owned();
    let replaced = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let (at, kind, value) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
        let same = record.kind != "TXT" || family(value) == family(&record.value);
        at == Some(record.name.as_str()) && kind == Some(record.kind) && same
    };
    let kept: Vec<_> = zone.lines().filter(|line| !replaced(line)).collect();
    format!("{}\n{} {} {}", kept.join("\n"), record.name, record.kind, record.value)
}

fn records(report: &DomainReport) -> Vec<(&'static str, Record)> {
    report.findings().filter_map(|finding| Some((finding.id, finding.record.clone()?))).collect()
}

/// All that is to be pasted, in the order in which it is told. Returns the report before and the one after.
async fn mended(zone: &str, question: &DomainQuestion) -> (DomainReport, DomainReport) {
    let before = World::new(zone).await.report(question).await;
    let zone = records(&before).iter().fold(zone.to_owned(), |zone, (_, record)| pasted(&zone, record));
    let after = World::new(&zone).await.report(question).await;
    let wrong: Vec<_> = after.findings().filter(|finding| finding.severity >= Severity::Warning).collect();
    for (id, record) in records(&before) {
        assert!(wrong.iter().all(|finding| finding.id != id), "{record:?} did not help:\n{wrong:#?}\n{zone}");
    }
    ((*before).clone(), (*after).clone())
}

const TWO_ADDRESSES: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

fn by_ourselves_too() -> DomainQuestion {
    let mut question = question("d.test");
    let direct = |address: &str| Way::Direct { address: Some(address.parse().unwrap()), signs: Vec::new() };
    question.ways = TWO_ADDRESSES.map(direct).into();
    question.ways.push(Way::ExchangeOnline(question.cloud));
    question
}

#[tokio::test]
async fn spf_records() {
    let m = "include:spf.protection.outlook.com";
    for zone in [
        "",
        "d.test TXT v=spf1 -all",
        "d.test TXT v=spf1 mx ~all\nd.test MX 0 m.test\nm.test A 192.0.2.77",
        &format!("d.test TXT v=spf1 {m} +all"),
        &format!("d.test TXT v=spf1 {m}"),
        &format!("d.test TXT v=spf1 ?{m} ?all"),
        &format!("d.test TXT v=spf1 -{m} -all"),
        "d.test TXT v=spf1 ip4:300.0.0.1 ip4:192.0.2.9 -all",
        "d.test TXT v=spf1 a:192.0.2.9 -all",
        &format!("d.test TXT v=spf1 {m} -all\nd.test TXT v=spf1 ip4:192.0.2.9 -all"),
        &format!("d.test TXT v=spf1 ip4:192.0.2.9 -all\nd.test TXT v=spf1 {m} ~all"),
        "d.test TXT v=spf1 redirect=r.test\nr.test TXT v=spf1 ip4:192.0.2.9 -all",
        "d.test TXT v=spf1 redirect=r.test\nr.test TXT v=spf1 ip4:192.0.2.9",
        "d.test TXT v=spf1 redirect=r.test\nr.test TXT v=spf1 +all",
        "d.test TXT v=spf1 redirect=r.test redirect=q.test\nr.test TXT v=spf1 -all",
        &format!("d.test TXT v=spf1 ip4:300.{} -all", "1".repeat(120)),
        &format!("{}d.test TXT v=spf1 {} {m} -all", tens("i"), terms("i")),
    ] {
        let (before, after) = mended(zone, &by_ourselves_too()).await;
        let missing = |report: &DomainReport| report.spf.findings.iter().any(|f| f.id.starts_with("spf-missing"));
        assert!(!missing(&after), "{zone}\n{:#?}\n{:#?}", before.spf, after.spf);
    }
}

fn tens(prefix: &str) -> String {
    (1..=11).map(|n| format!("{prefix}{n}.test TXT v=spf1 -all\n")).collect()
}

fn terms(prefix: &str) -> String {
    (1..=11).map(|n| format!("include:{prefix}{n}.test")).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn nothing_to_paste_forbids_mail_by_a_way_whose_address_is_not_known() {
    let mut question = question("d.test");
    question.ways = vec![Way::Direct { address: None, signs: Vec::new() }];
    let (before, _) = mended("", &question).await;
    let record = before.spf.findings.iter().find_map(|finding| finding.record.clone()).unwrap();
    assert_eq!(record.value, "v=spf1 ~all");
}

#[tokio::test]
async fn dmarc_records() {
    for zone in ["", "_dmarc.d.test TXT v=DMARC1; p=often", "_dmarc.d.test TXT v=dmarc1; p=none"] {
        mended(zone, &question("d.test")).await;
    }
    mended("", &question("a.b.d.test")).await;
}

#[tokio::test]
async fn dkim_records() {
    let mut question = question("d.test");
    question.tenant_initial_domain = Some(name("dtest.onmicrosoft.com"));
    let value = Some("v=DKIM1; k=ed25519; p=11qYAYKx".to_owned());
    question.own_selectors = vec![OwnSelector { selector: "s".to_owned(), value }];
    let keys = "
selector1-d-test._domainkey.dtest.onmicrosoft.com TXT v=DKIM1; p=MIGf
selector2-d-test._domainkey.dtest.onmicrosoft.com TXT v=DKIM1; p=MIGf";
    for zone in ["", "\ns._domainkey.d.test TXT v=DKIM1; k=ed25519; s=tlsrpt; p=11qYAYKx"] {
        mended(&format!("{keys}{zone}"), &question).await;
    }
}

#[tokio::test]
async fn records_of_our_addresses() {
    let mut question = question("contoso.com");
    question.addresses = TWO_ADDRESSES.map(|address| address.parse().unwrap()).into();
    for zone in [
        "relay.contoso.com A 192.0.2.1\nrelay.contoso.com AAAA 2001:db8::1",
        "1.2.0.192.in-addr.arpa PTR other.test\nrelay.contoso.com AAAA 2001:db8::1",
    ] {
        mended(zone, &question).await;
    }
}
