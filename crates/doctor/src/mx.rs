//! Where the domain's mail arrives, and whether certificates there are pinned in the DNS (DANE, RFC 7672).

use m365::Cloud;
use serde::Serialize;

use crate::dns::{Answer, Dns, Mx};
use crate::domain::DomainName;
use crate::finding::Finding;

/// MX hosts that are looked up.
const HOSTS: usize = 10;

/// The domain's MX records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MxReport {
    /// The most preferred first.
    pub hosts: Vec<MxFacts>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

/// One MX record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MxFacts {
    /// The lower the better.
    pub preference: u16,
    /// The host.
    pub host: DomainName,
    /// Whose cloud that is, if it is one of Exchange Online's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
}

/// TLSA records at the MX hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DaneReport {
    /// Of how many MX hosts something is known.
    pub hosts: usize,
    /// How many of them have TLSA records that are of use for mail.
    pub with_records: usize,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

pub(crate) async fn report(dns: &Dns, domain: &DomainName, cloud: Cloud) -> MxReport {
    match dns.mx(domain).await {
        Answer::Trouble(trouble) => {
            only(Finding::trouble("mx-trouble", &format!("the MX records of {domain}"), &trouble))
        }
        Answer::NoName => only(
            Finding::error("mx-no-domain", format!("{domain} does not exist"))
                .remedy("Mind the spelling; see whether the domain is still registered and delegated."),
        ),
        Answer::NoData => only(
            Finding::warning("mx-missing", format!("{domain} has no MX record: replies and reports go to a host of that name, if there is one, else nowhere"))
                .remedy(
                    "Publish the MX record that the Microsoft 365 admin center names for the domain (Settings > Domains). If \
                     nobody there reads mail, say so by a null MX.",
                ),
        ),
        Answer::Found(records) => {
            let null = records.iter().any(|mx| mx.host.is_none());
            let mut report = judged(domain, records, cloud);
            if null && !report.hosts.is_empty() {
                report.findings.push(
                    Finding::warning("mx-null-mixed", format!("{domain} has a null MX beside others: it says both that it takes mail and that it does not"))
                        .remedy("Delete the MX record that names the root (RFC 7505, section 3)."),
                );
            }
            if report.names().len() > HOSTS {
                let what = format!("there are {} MX hosts; only the first {HOSTS} were looked up", report.names().len());
                report.findings.push(Finding::note("mx-many", what).remedy("Few senders try more than a handful: keep the best."));
            }
            for host in report.looked_up() {
                report.findings.extend(host_finding(dns, &host).await);
            }
            report
        }
    }
}

impl MxReport {
    /// Each host once, as many as are looked up.
    fn looked_up(&self) -> Vec<DomainName> {
        let mut hosts = self.names();
        hosts.truncate(HOSTS);
        hosts
    }

    pub(crate) fn names(&self) -> Vec<DomainName> {
        let mut hosts: Vec<DomainName> = Vec::new();
        for mx in &self.hosts {
            if !hosts.contains(&mx.host) {
                hosts.push(mx.host.clone());
            }
        }
        hosts
    }
}

/// RFC 5321, section 5.1: an MX names a host that has addresses and is no alias.
async fn host_finding(dns: &Dns, host: &DomainName) -> Option<Finding> {
    if host.as_str().parse::<std::net::IpAddr>().is_ok() {
        let what = format!("an MX record names the address {host}: senders look for a host of that name and find none");
        return Some(Finding::warning("mx-address", what).remedy("Name a host that has this address."));
    }
    let (alias, addresses) = tokio::join!(dns.alias(host), dns.addresses(host));
    let what = match (alias, addresses) {
        (_, Answer::Trouble(trouble)) => return Some(Finding::trouble("mx-host-trouble", host.as_str(), &trouble)),
        (_, Answer::NoName) => format!("the MX host {host} does not exist"),
        (_, Answer::NoData) => format!("the MX host {host} has no address"),
        (Answer::Found(target), _) => {
            let what = format!("the MX host {host} is an alias (CNAME) of {target}, which some senders refuse");
            return Some(Finding::warning("mx-alias", what).remedy(format!("Name {target} in the MX record.")));
        }
        _ => return None,
    };
    Some(
        Finding::warning("mx-dangling", what)
            .remedy("Mind the spelling; mail waits or is lost there. Correct the MX record, or delete it."),
    )
}

fn only(finding: Finding) -> MxReport {
    MxReport { hosts: Vec::new(), findings: vec![finding] }
}

fn judged(domain: &DomainName, mut records: Vec<Mx>, cloud: Cloud) -> MxReport {
    records.sort_by_key(|mx| mx.preference);
    let facts = |mx: &Mx| {
        let host = mx.host.clone()?;
        Some(MxFacts { preference: mx.preference, cloud: cloud_of(&host, cloud), host })
    };
    let hosts: Vec<_> = records.iter().filter_map(facts).collect();
    let ours = hosts.iter().filter(|mx| mx.cloud == Some(cloud)).count();
    let names = || hosts.iter().map(|mx| mx.host.as_str()).collect::<Vec<_>>().join(", ");
    let finding = if hosts.is_empty() {
        Finding::warning("mx-null", format!("{domain} takes no mail (null MX): replies and reports to its senders are lost, and some receivers refuse it as a sender"))
            .remedy("Fine for a domain that only sends, if nobody is to answer. Otherwise publish an MX record.")
    } else if let Some(other) = hosts.iter().find_map(|mx| mx.cloud.filter(|c| *c != cloud)) {
        Finding::warning(
            "mx-other-cloud",
            format!("the MX hosts ({}) are those of the cloud `{other}`, not of `{cloud}`", names()),
        )
        .remedy("Compare `cloud` of the [[tenant]] with where the tenant really is.")
    } else if ours == hosts.len() {
        Finding::ok("mx-ok", format!("mail for the domain goes to Exchange Online: {}", names()))
    } else if ours > 0 {
        Finding::note("mx-mixed", format!("some MX hosts are Exchange Online's, others are not: {}", names()))
    } else {
        Finding::note(
            "mx-elsewhere",
            format!("mail for the domain goes to {}, not directly to Exchange Online", names()),
        )
    };
    MxReport { hosts, findings: vec![finding] }
}

/// Clouds share suffixes; the tenant's own is asked first.
fn cloud_of(host: &DomainName, own: Cloud) -> Option<Cloud> {
    let serves = |cloud: &Cloud| cloud.mx_suffixes().iter().any(|suffix| host.is_in(suffix));
    std::iter::once(own).chain(Cloud::ALL).find(serves)
}

/// What there is to say of the hosts that `mx` found.
pub(crate) async fn dane(dns: &Dns, mx: &MxReport) -> DaneReport {
    let mut report = DaneReport::default();
    for host in mx.looked_up() {
        let Ok(name) = host.child("_25._tcp") else { continue };
        match dns.tlsa(&name).await.known() {
            Ok(found) => {
                report.hosts += 1;
                let records = found.unwrap_or_default();
                match records.iter().any(|usable| *usable) {
                    false if !records.is_empty() => report.findings.push(unusable(&name)),
                    usable => report.with_records += usize::from(usable),
                }
            }
            Err(trouble) => report.findings.push(Finding::trouble("dane-trouble", name.as_str(), &trouble)),
        }
    }
    report.findings.extend(dane_finding(&report, mx));
    report
}

fn unusable(name: &DomainName) -> Finding {
    Finding::warning(
        "dane-unusable",
        format!("the TLSA records at {name} have usages that mean nothing to mail: senders ignore them"),
    )
    .remedy("Publish them with usage 3 (DANE-EE), or 2 (DANE-TA); RFC 7672, section 3.1.")
}

fn dane_finding(report: &DaneReport, mx: &MxReport) -> Option<Finding> {
    let (hosts, with) = (mx.names().len(), report.with_records);
    if report.hosts == 0 || (with == 0 && report.findings.iter().any(|finding| finding.id == "dane-unusable")) {
        return None;
    }
    if with == hosts {
        let what = "every MX host has TLSA records (whether DNSSEC validates them was not checked; without it senders ignore them)";
        return Some(Finding::ok("dane-present", what));
    }
    let what = match with {
        0 => "no MX host that was asked about has TLSA records: incoming mail is not protected by DANE".to_owned(),
        _ => format!("{with} of {hosts} MX hosts have TLSA records: incoming mail is protected by DANE only there"),
    };
    let finding = Finding::note(if with == 0 { "dane-none" } else { "dane-some" }, what);
    let exchange = mx.hosts.iter().any(|mx| mx.cloud.is_some());
    Some(match exchange {
        false => finding,
        true => finding.remedy(
            "Optional. Exchange Online does it for MX hosts under mx.microsoft, in a zone with DNSSEC: \
             `Enable-DnssecForVerifiedDomain`, publish the new MX that it prints, then `Enable-SmtpDaneInbound`.",
        ),
    })
}
