//! What is said about a domain's DMARC policy.

use serde::Serialize;

use super::record::{Disposition, Policy, Strictness, is_dmarc, report_host};
use super::tree::{Bad, Tree, tree};
use crate::dns::Dns;
use crate::domain::DomainName;
use crate::finding::Finding;

/// Hosts for reports that are looked up.
const REPORT_HOSTS: usize = 5;

/// The policy that holds for the domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DmarcReport {
    /// Where the record stands: at the domain itself, or further up.
    pub at: Option<DomainName>,
    /// As published.
    pub record: Option<String>,
    /// `none`, `quarantine`, `reject`: what is asked for this domain's mail that fails.
    pub policy: Option<String>,
    /// Of the DKIM domain.
    pub adkim: Option<Strictness>,
    /// Of the reverse-path's domain.
    pub aspf: Option<Strictness>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

pub(crate) async fn report(dns: &Dns, domain: &DomainName) -> DmarcReport {
    let tree = tree(dns, domain).await;
    let mut report = DmarcReport { findings: findings(domain, &tree), ..DmarcReport::default() };
    if let Some((at, policy)) = tree.policy() {
        report.at = Some(at.clone());
        report.record = Some(policy.text.clone());
        report.policy = tree.disposition().map(|disposition| disposition.to_string());
        report.adkim = Some(policy.adkim);
        report.aspf = Some(policy.aspf);
        report.findings.extend(report_findings(dns, &tree, at, policy).await);
    }
    report
}

/// Whether those who are to get reports want them, where that is not the domain's own mail (RFC 9990, section 4).
async fn report_findings(dns: &Dns, tree: &Tree, at: &DomainName, policy: &Policy) -> Vec<Finding> {
    let organisation = tree.organisation();
    let mut hosts: Vec<_> = policy.rua.iter().filter_map(|uri| report_host(uri)).collect();
    hosts.retain(|host| !host.is_in(organisation.as_str()) && !organisation.is_in(host.as_str()));
    hosts.sort_unstable();
    hosts.dedup();
    let mut findings = Vec::new();
    for host in hosts.iter().take(REPORT_HOSTS) {
        let Ok(name) = host.child(&format!("{at}._report._dmarc")) else { continue };
        match dns.text(&name).await.known() {
            Err(trouble) => findings.push(Finding::trouble("dmarc-report-trouble", name.as_str(), &trouble)),
            Ok(texts) if texts.iter().flatten().any(|text| is_dmarc(text)) => {}
            Ok(_) => findings.push(
                Finding::note(
                    "dmarc-report-refused",
                    format!("{host} does not say that it wants reports about {at}: most receivers send none there"),
                )
                .remedy(format!(
                    "Whoever runs {host} has to publish this TXT record; or name an address of {at} in rua=."
                ))
                .record(&name, "TXT", "v=DMARC1"),
            ),
        }
    }
    findings
}

/// All there is to say of it.
pub(crate) fn findings(domain: &DomainName, tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<_> = trouble(tree).into_iter().collect();
    findings.extend(tree.bad.iter().map(|(at, bad)| bad_finding(at, bad)));
    match tree.policy() {
        Some((at, policy)) => findings.extend(policy_findings(domain, at, policy, tree.disposition())),
        None if tree.trouble.is_none() && tree.bad.is_empty() => findings.push(missing(domain, tree)),
        None => {}
    }
    findings
}

/// A question on the way up got no answer.
pub(crate) fn trouble(tree: &Tree) -> Option<Finding> {
    tree.trouble.as_ref().map(|(name, trouble)| Finding::trouble("dmarc-trouble", name.as_str(), trouble))
}

fn missing(domain: &DomainName, tree: &Tree) -> Finding {
    Finding::warning(
        "dmarc-missing",
        format!("neither {domain} nor a domain above it has a DMARC policy; large receivers demand one (Outlook.com: 5.7.515)"),
    )
    .remedy("Publish this TXT record. p=none asks for reports only; read them, then go to quarantine and reject.")
    .record(format!("_dmarc.{}", tree.organisation()), "TXT", proposed(domain))
}

fn proposed(domain: &DomainName) -> String {
    format!("v=DMARC1; p=none; rua=mailto:dmarc@{domain}")
}

fn bad_finding(at: &DomainName, bad: &Bad) -> Finding {
    let name = format!("_dmarc.{at}");
    match bad {
        Bad::Several(records) => {
            Finding::error("dmarc-several", format!("{name} has {records} DMARC records; receivers take none of them"))
                .remedy("Delete all but one.")
        }
        Bad::Broken { text, why } => {
            let shown: String = text.chars().take(200).collect();
            Finding::error("dmarc-syntax", format!("the DMARC record at {name} counts as none: {why} ({shown})"))
                .remedy("Correct it. It begins with v=DMARC1; and its parts are joined by semicolons; for example:")
                .record(name, "TXT", proposed(at))
        }
    }
}

fn policy_findings(
    domain: &DomainName,
    at: &DomainName,
    policy: &Policy,
    disposition: Option<Disposition>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let from = if at == domain { String::new() } else { format!(", inherited from {at}") };
    if let Some(less) = disposition.filter(|_| policy.testing) {
        let asked = if at == domain { policy.p } else { policy.sp };
        findings.push(
            Finding::note(
                "dmarc-testing",
                format!("the policy is {asked}{from}, but on trial (t=y): receivers go no further than {less}"),
            )
            .remedy("Once all your own mail passes, take t=y out."),
        );
    } else if disposition == Some(Disposition::None) {
        findings.push(
            Finding::note("dmarc-none", format!("the policy is none{from}: mail that others forge is not stopped"))
                .remedy("Once all your own mail passes, go to p=quarantine, then to p=reject."),
        );
    } else if let Some(disposition) = disposition {
        findings.push(Finding::ok("dmarc-ok", format!("the policy is {disposition}{from}")));
    }
    if let Some(percent) = &policy.percent {
        findings.push(
            Finding::note("dmarc-pct", format!("pct={percent}: newer receivers do not know it any more (RFC 9989) and apply the policy to all mail, older ones to a part"))
                .remedy("Take it out; to try a policy, write t=y."),
        );
    }
    if policy.rua.is_empty() {
        findings.push(
            Finding::note("dmarc-no-reports", "nobody gets reports: there is no rua=")
                .remedy(format!("Add `rua=mailto:dmarc@{at}`, a mailbox that somebody or something reads.")),
        );
    }
    if !policy.ignored.is_empty() {
        findings.push(
            Finding::warning("dmarc-ignored", format!("receivers ignore `{}`", policy.ignored.join("; "))).remedy(
                "p, sp, np: none, quarantine or reject. adkim, aspf: r or s. rua: mailto:address, joined by commas.",
            ),
        );
    }
    findings
}
