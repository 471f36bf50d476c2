//! What is said about a domain's DMARC policy.

use serde::Serialize;

use super::record::{Disposition, Policy, Strictness};
use super::tree::{Bad, Tree, tree};
use crate::dns::Dns;
use crate::domain::DomainName;
use crate::finding::Finding;

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
    }
    report
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
    if disposition == Some(Disposition::None) {
        findings.push(
            Finding::note("dmarc-none", format!("the policy is none{from}: mail that others forge is not stopped"))
                .remedy("Once all your own mail passes, go to p=quarantine, then to p=reject."),
        );
    } else if let Some(disposition) = disposition {
        findings.push(Finding::ok("dmarc-ok", format!("the policy is {disposition}{from}")));
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
