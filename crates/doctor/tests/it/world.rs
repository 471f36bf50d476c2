//! What the tests share: a doctor that asks a zone of ours, and questions to it.

use std::time::Duration;

use m365::Cloud;
use posthouse_doctor::{Dns, DnsSettings, Doctor, DomainName, DomainQuestion, DomainReport, Finding, Severity};

use crate::server::Server;

/// Part of every zone: what Microsoft publishes, and a domain that is as it should be, in the older form.
pub(crate) const MICROSOFT: &str = "
spf.protection.outlook.com TXT v=spf1 ip4:203.0.113.0/24 -all
spf.protection.office365.us TXT v=spf1 ip4:198.51.100.0/24 -all
contoso.com TXT v=spf1 include:spf.protection.outlook.com -all
contoso.com TXT some-other-service-verification=1
contoso.com MX 0 contoso-com.mail.protection.outlook.com
contoso-com.mail.protection.outlook.com A 203.0.113.25
selector1._domainkey.contoso.com CNAME selector1-contoso-com._domainkey.contoso.onmicrosoft.com
selector2._domainkey.contoso.com CNAME selector2-contoso-com._domainkey.contoso.onmicrosoft.com
selector1-contoso-com._domainkey.contoso.onmicrosoft.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3
selector2-contoso-com._domainkey.contoso.onmicrosoft.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb4
_dmarc.contoso.com TXT v=DMARC1; p=reject; rua=mailto:dmarc@contoso.com
";

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) doctor: Doctor,
}

impl World {
    /// The zone, and Microsoft's.
    pub(crate) async fn new(zone: &str) -> Self {
        let server = Server::start(&format!("{MICROSOFT}\n{zone}")).await;
        let doctor = Doctor::new(dns(&server));
        Self { server, doctor }
    }

    pub(crate) async fn report(&self, question: &DomainQuestion) -> std::sync::Arc<DomainReport> {
        self.doctor.domain(question).await
    }
}

/// Many zones about `d.test` in one server: the nth is about `d.t<n>.test`, and so with all names of theirs, those in the tenant's
/// initial domain `dtest.onmicrosoft.com` included.
pub(crate) async fn worlds<'a>(zones: impl IntoIterator<Item = &'a str>) -> World {
    let zones: Vec<_> = zones.into_iter().enumerate().map(|(n, zone)| nth(zone, n)).collect();
    World::new(&zones.join("\n")).await
}

/// See [`worlds`].
pub(crate) fn nth(text: &str, n: usize) -> String {
    let names =
        [(".test", format!(".t{n}.test")), ("dtest.", format!("dtest{n}.")), ("-test.", format!("-t{n}-test."))];
    names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Long enough that a busy machine never makes a test fail; where time matters, it is moved.
pub(crate) fn dns(server: &Server) -> Dns {
    Dns::new(&DnsSettings { servers: vec![server.address], timeout: Duration::from_secs(20) }).unwrap()
}

pub(crate) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub(crate) fn question(domain: &str) -> DomainQuestion {
    DomainQuestion::new(name(domain), Cloud::Worldwide, "relay.contoso.com")
}

pub(crate) fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.id).collect()
}

pub(crate) fn find<'a>(findings: &'a [Finding], id: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("{id} is not among {findings:#?}"))
}

/// Whatever is bad has a remedy.
pub(crate) fn remedied(findings: &[Finding]) {
    for finding in findings.iter().filter(|finding| finding.severity >= Severity::Warning) {
        assert!(finding.remedy.is_some(), "{finding:?}");
    }
}
