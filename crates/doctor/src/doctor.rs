//! The doctor: everything that the DNS says of a domain, in sections, kept for a while.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use m365::Cloud;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::addresses::{self, PtrReport};
use crate::cache::{Cache, KEPT, TROUBLE_KEPT};
use crate::dkim::{self, DkimReport, Expected};
use crate::dmarc::{self, DmarcReport};
use crate::dns::Dns;
use crate::domain::DomainName;
use crate::finding::{Finding, Severity};
use crate::forecast::{self, Forecast, Sending};
use crate::mx::{self, DaneReport, MxReport};
use crate::policies::{self, MtaStsReport};
use crate::spf::{self, SpfReport, Wanted};
use crate::sts::PolicyFetch;

/// Examinations at once; others wait their turn.
const AT_ONCE: usize = 8;

/// Who asks the DNS, and what it said lately.
#[derive(Debug)]
pub struct Doctor {
    dns: Dns,
    fetch: Option<Arc<dyn PolicyFetch>>,
    reports: Cache<DomainQuestion, DomainReport>,
    forecasts: Cache<Sending, Forecast>,
    turns: Semaphore,
}

/// How mail leaves, as receivers see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Microsoft sends and signs: submission, High Volume Email, Graph, and what a connector passes on to others.
    ExchangeOnline(Cloud),
    /// A smart host, or straight to the MX host.
    Direct {
        /// The address that receivers see, the relay's or the smart host's; `None`: not known. Of several addresses, each is a way.
        address: Option<IpAddr>,
        /// With which key the relay signs, if it does.
        signs: Vec<Signature>,
    },
}

/// A key that the relay signs with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// `d=`.
    pub domain: DomainName,
    /// `s=`, and the record that belongs there.
    pub selector: OwnSelector,
}

/// A selector that the relay signs with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnSelector {
    /// `s=`.
    pub selector: String,
    /// The TXT record that belongs there; `None`: any key will do.
    pub value: Option<String>,
}

/// Which domain, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DomainQuestion {
    /// The sender domain.
    pub domain: DomainName,
    /// Of its tenant.
    pub cloud: Cloud,
    /// `contoso.onmicrosoft.com`: lets the DKIM records be told beforehand.
    pub tenant_initial_domain: Option<DomainName>,
    /// Selectors of this domain that the relay signs with. What signs on its ways is looked at too, of whatever domain it is.
    pub own_selectors: Vec<OwnSelector>,
    /// Our public addresses, for PTR.
    pub addresses: Vec<IpAddr>,
    /// What the relay says in EHLO.
    pub hello: String,
    /// How the domain's mail leaves. Empty: by Exchange Online.
    pub ways: Vec<Way>,
}

/// What was found, by topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainReport {
    /// Of which.
    pub domain: DomainName,
    /// Where its mail arrives.
    pub mx: MxReport,
    /// Who may send as it.
    pub spf: SpfReport,
    /// Keys of its signatures.
    pub dkim: DkimReport,
    /// What is asked for mail that fails.
    pub dmarc: DmarcReport,
    /// TLS of incoming mail, and reports on it.
    pub mta_sts: MtaStsReport,
    /// Certificates of its MX hosts.
    pub dane: DaneReport,
    /// Names of our addresses.
    pub ptr: PtrReport,
}

impl DomainReport {
    /// All, section by section.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sections().into_iter().flat_map(|(_, findings)| findings)
    }

    /// Title and findings of each, in the order for reading.
    pub fn sections(&self) -> [(&'static str, &[Finding]); 7] {
        [
            ("MX", &self.mx.findings),
            ("SPF", &self.spf.findings),
            ("DKIM", &self.dkim.findings),
            ("DMARC", &self.dmarc.findings),
            ("MTA-STS", &self.mta_sts.findings),
            ("DANE", &self.dane.findings),
            ("PTR", &self.ptr.findings),
        ]
    }

    /// Whether something could not be found out because it gave no answer.
    pub fn is_in_doubt(&self) -> bool {
        self.findings().any(Finding::is_trouble)
    }

    /// The worst of all.
    pub fn severity(&self) -> Severity {
        self.findings().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
    }
}

impl DomainQuestion {
    /// For a domain of which nothing else is known: its mail leaves by Exchange Online.
    pub fn new(domain: DomainName, cloud: Cloud, hello: impl Into<String>) -> Self {
        Self {
            domain,
            cloud,
            tenant_initial_domain: None,
            own_selectors: Vec::new(),
            addresses: Vec::new(),
            hello: hello.into(),
            ways: Vec::new(),
        }
    }

    fn microsoft_sends(&self) -> bool {
        self.ways.is_empty() || self.ways.iter().any(|way| matches!(way, Way::ExchangeOnline(_)))
    }

    /// All that the relay signs this domain's mail with, each once.
    fn signatures(&self) -> Vec<Signature> {
        let own = self.own_selectors.iter().cloned();
        let own = own.map(|selector| Signature { domain: self.domain.clone(), selector });
        let on_its_ways = self.ways.iter().flat_map(|way| match way {
            Way::Direct { signs, .. } => signs.as_slice(),
            Way::ExchangeOnline(_) => &[],
        });
        let mut all = Vec::new();
        for signature in own.chain(on_its_ways.cloned()) {
            if !all.contains(&signature) {
                all.push(signature);
            }
        }
        all
    }

    /// Whom SPF has to name.
    fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        if self.ways.is_empty() {
            wanted.includes.push(self.cloud.spf_include());
        }
        self.ways.iter().for_each(|way| wanted.add(way));
        wanted.includes.sort_unstable();
        wanted.includes.dedup();
        wanted.addresses.sort_unstable();
        wanted.addresses.dedup();
        wanted
    }
}

impl Doctor {
    /// Knows nothing yet, and asks nobody but the DNS.
    pub fn new(dns: Dns) -> Self {
        Self {
            dns,
            fetch: None,
            reports: Cache::default(),
            forecasts: Cache::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Looks at MTA-STS policies too, where they are announced.
    pub fn fetching(self, fetch: Arc<dyn PolicyFetch>) -> Self {
        Self { fetch: Some(fetch), ..self }
    }

    /// Everything that the DNS says of a domain. Kept for ten minutes, for five if the DNS made trouble.
    pub async fn domain(&self, question: &DomainQuestion) -> Arc<DomainReport> {
        if let Some(report) = self.reports.look(question) {
            return report;
        }
        let report = {
            let _turn = self.turns.acquire().await;
            examine(&self.dns, self.fetch.as_deref(), question).await
        };
        let time = kept(report.findings());
        self.reports.keep(question, report, time)
    }

    /// Would SPF, DKIM and DMARC pass? Kept as long.
    pub async fn forecast(&self, sending: &Sending) -> Arc<Forecast> {
        if let Some(forecast) = self.forecasts.look(sending) {
            return forecast;
        }
        let forecast = {
            let _turn = self.turns.acquire().await;
            forecast::forecast(&self.dns, sending).await
        };
        let time = kept(&forecast.causes);
        self.forecasts.keep(sending, forecast, time)
    }
}

fn kept<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Duration {
    let doubtful = |finding: &Finding| finding.is_trouble() || finding.id.ends_with("-unknown");
    if findings.into_iter().any(doubtful) { TROUBLE_KEPT } else { KEPT }
}

async fn examine(dns: &Dns, fetch: Option<&dyn PolicyFetch>, question: &DomainQuestion) -> DomainReport {
    let domain = &question.domain;
    let expected = Expected {
        microsoft: question.microsoft_sends(),
        initial_domain: question.tenant_initial_domain.as_ref(),
        own: &question.signatures(),
    };
    let wanted = question.wanted();
    let arriving = async {
        let mx = mx::report(dns, domain, question.cloud).await;
        let (dane, mta_sts) = tokio::join!(mx::dane(dns, &mx), policies::report(dns, fetch, domain, &mx));
        (mx, dane, mta_sts)
    };
    let ((mx, dane, mta_sts), spf, dkim, dmarc, ptr) = tokio::join!(
        arriving,
        spf::report(dns, domain, &wanted),
        dkim::report(dns, domain, &expected),
        dmarc::report(dns, domain),
        addresses::report(dns, &question.addresses, &question.hello),
    );
    DomainReport { domain: domain.clone(), mx, spf, dkim, dmarc, mta_sts, dane, ptr }
}
