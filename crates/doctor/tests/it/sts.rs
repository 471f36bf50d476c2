//! The MTA-STS policy: each answer that a web server may give, and what is said of it.

use std::future::ready;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use posthouse_doctor::{DomainName, FetchError, MtaStsReport, PolicyAnswer, PolicyFetch, Severity};

use crate::world::{World, find, ids, name, question, remedied};

/// A web server that gives one answer, and notes what it was asked.
#[derive(Debug)]
struct Web {
    answer: Result<PolicyAnswer, FetchError>,
    asked: Mutex<Vec<(DomainName, Vec<IpAddr>)>>,
}

impl PolicyFetch for Web {
    fn fetch<'a>(
        &'a self,
        host: &'a DomainName,
        addresses: &'a [IpAddr],
    ) -> Pin<Box<dyn Future<Output = Result<PolicyAnswer, FetchError>> + Send + 'a>> {
        self.asked.lock().unwrap().push((host.clone(), addresses.to_vec()));
        Box::pin(ready(self.answer.clone()))
    }
}

fn page(status: u16, kind: &str, body: &str) -> Result<PolicyAnswer, FetchError> {
    let (location, content_type) = ((status / 100 == 3).then(|| "https://w.test/".to_owned()), Some(kind.to_owned()));
    Ok(PolicyAnswer { status, location, content_type, body: body.as_bytes().to_vec() })
}

fn policy(body: &str) -> Result<PolicyAnswer, FetchError> {
    page(200, "text/plain; charset=utf-8", body)
}

const GOOD: &str = "version: STSv1\nmode: enforce\nmx: a.test\nmx: *.m.test\nmax_age: 604800\n";
const ZONE: &str = "
d.test MX 0 a.test
d.test MX 5 b.m.test
a.test A 192.0.2.1
b.m.test A 192.0.2.2
_mta-sts.d.test TXT v=STSv1; id=20260101;
mta-sts.d.test CNAME web.test
web.test A 192.0.2.80
";

async fn asked(zone: &str, answer: Result<PolicyAnswer, FetchError>) -> (MtaStsReport, Vec<(DomainName, Vec<IpAddr>)>) {
    let web = Arc::new(Web { answer, asked: Mutex::default() });
    let World { server: _server, doctor } = World::new(zone).await;
    let report = doctor.fetching(Arc::clone(&web) as Arc<dyn PolicyFetch>).domain(&question("d.test")).await;
    remedied(&report.mta_sts.findings);
    let asked = web.asked.lock().unwrap().clone();
    (report.mta_sts.clone(), asked)
}

#[tokio::test]
async fn each_answer_gives_its_findings() {
    let without = |line: &str| policy(&GOOD.replace(line, ""));
    let unreachable = Err(FetchError::Unreachable("connection refused".to_owned()));
    for (answer, expected) in [
        (policy(GOOD), &["mta-sts-policy-ok"][..]),
        (policy(&GOOD.replace('\n', "\r\n")), &["mta-sts-policy-ok"]),
        (page(404, "text/html", ""), &["mta-sts-policy-missing"]),
        (page(503, "text/plain", GOOD), &["mta-sts-policy-missing"]),
        (page(301, "text/plain", GOOD), &["mta-sts-policy-redirect"]),
        (page(200, "text/html", GOOD), &["mta-sts-policy-type"]),
        (page(200, "", GOOD), &["mta-sts-policy-type"]),
        (policy("<html>"), &["mta-sts-policy-syntax"]),
        (without("version: STSv1\n"), &["mta-sts-policy-syntax"]),
        (without("max_age: 604800\n"), &["mta-sts-policy-syntax"]),
        (policy(&GOOD.replace("604800", "31557601")), &["mta-sts-policy-syntax"]),
        (policy(&GOOD.replace("604800", "3600")), &["mta-sts-policy-ok", "mta-sts-policy-age"]),
        (policy(&GOOD.replace("enforce", "testing")), &["mta-sts-policy-testing"]),
        (policy("version: STSv1\nmode: none\nmax_age: 86400\n"), &["mta-sts-policy-off"]),
        (without("mx: a.test\n"), &["mta-sts-policy-ok", "mta-sts-mx-unlisted"]),
        (policy(&GOOD.replace("*.m.test", "*.test")), &["mta-sts-policy-ok", "mta-sts-mx-unlisted"]),
        (policy(&GOOD.replace("mx: a", "mx: c.test\nmx: a")), &["mta-sts-policy-ok", "mta-sts-mx-unused"]),
        (Err(FetchError::Certificate("expired".to_owned())), &["mta-sts-policy-certificate"]),
        (Err(FetchError::TooLong), &["mta-sts-policy-long"]),
        (unreachable, &["mta-sts-policy-trouble"]),
    ] {
        let (report, addresses) = asked(ZONE, answer.clone()).await;
        let expected: Vec<_> = ["mta-sts-ok"].iter().chain(expected).chain(&["tls-rpt-none"]).copied().collect();
        assert_eq!(ids(&report.findings), expected, "{answer:?}\n{report:#?}");
        assert_eq!(addresses, [(name("mta-sts.d.test"), vec!["192.0.2.80".parse().unwrap()])]);
    }
}

#[tokio::test]
async fn the_file_that_is_to_be_served_is_good_once_it_is() {
    let page_404 = page(404, "text/html", "");
    let unlisted = policy(&GOOD.replace("mx: a.test", "mx: c.test"));
    let short = policy(&GOOD.replace("604800", "60"));
    for answer in [
        page_404,
        unlisted,
        short,
        policy("mode none"),
        Err(FetchError::TooLong),
        policy(&GOOD.replace("enforce", "none")),
    ] {
        let (before, _) = asked(ZONE, answer.clone()).await;
        let file = before.findings.iter().find_map(|finding| finding.file.clone()).unwrap();
        assert_eq!(file.url, "https://mta-sts.d.test/.well-known/mta-sts.txt");
        let (after, _) = asked(ZONE, policy(&file.text)).await;
        let unwanted = ["mta-sts-mx-unlisted", "mta-sts-mx-unused", "mta-sts-policy-age"];
        assert!(
            after.policy.is_some() && !ids(&after.findings).iter().any(|id| unwanted.contains(id)),
            "{answer:?}\n{after:#?}"
        );
    }
}

#[tokio::test]
async fn the_file_for_exchange_online_names_its_hosts_as_microsoft_does() {
    for (host, expected) in [
        ("d-test.mail.protection.outlook.com", "*.mail.protection.outlook.com"),
        ("d-test.n-v1.mx.microsoft", "d-test.n-v1.mx.microsoft"),
    ] {
        let (report, asked) = asked(&format!("d.test MX 0 {host}\n{host} A 192.0.2.1"), policy(GOOD)).await;
        let none = find(&report.findings, "mta-sts-none");
        let expected = format!("version: STSv1\nmode: testing\nmx: {expected}\nmax_age: 604800\n");
        assert_eq!(none.file.as_ref().map(|file| file.text.as_str()), Some(expected.as_str()));
        assert_eq!(none.record.as_ref().map(|record| record.value.as_str()), Some("v=STSv1; id=1;"));
        assert!(asked.is_empty(), "nobody fetches what is not announced");
    }
}

#[tokio::test]
async fn where_there_is_no_host_nothing_is_fetched_and_trouble_is_not_absence() {
    let elsewhere = ZONE.replace("mta-sts.d.test CNAME web.test\n", "");
    for (more, expected) in [
        ("", "mta-sts-policy-no-host"),
        ("mta-sts.d.test TXT no-address", "mta-sts-policy-no-host"),
        ("mta-sts.d.test SERVFAIL", "mta-sts-policy-trouble"),
        ("mta-sts.d.test CNAME l.test\nl.test CNAME mta-sts.d.test", "mta-sts-policy-trouble"),
    ] {
        let (report, asked) = asked(&format!("{elsewhere}{more}"), policy(GOOD)).await;
        assert_eq!(ids(&report.findings), ["mta-sts-ok", expected, "tls-rpt-none"], "{more}");
        assert!(asked.is_empty());
    }
}

#[tokio::test]
async fn how_bad_an_unlisted_host_is_depends_on_the_mode_and_unknown_hosts_are_not_judged() {
    for (mode, severity) in [("enforce", Severity::Error), ("testing", Severity::Warning)] {
        let (report, _) = asked(ZONE, policy(&GOOD.replace("mx: a.test\n", "").replace("enforce", mode))).await;
        let unlisted = find(&report.findings, "mta-sts-mx-unlisted");
        assert!(unlisted.severity == severity && unlisted.what.contains("hosts a.test:"), "{unlisted:?}");
        assert!(unlisted.file.as_ref().is_some_and(|file| file.text.contains(&format!("mode: {mode}\n"))));
    }
    let unknown = ZONE.replace("d.test MX 0 a.test\nd.test MX 5 b.m.test", "d.test SERVFAIL");
    let (report, _) = asked(&unknown, policy(GOOD)).await;
    assert_eq!(ids(&report.findings), ["mta-sts-ok", "mta-sts-policy-ok", "tls-rpt-none"]);
}
