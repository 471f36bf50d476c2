//! MTA-STS (RFC 8461) and reports on TLS (RFC 8460): how mail to the domain is protected on its way.
//!
//! What stands in the DNS; and the policy itself (`sts`), if it is announced and somebody is there to fetch it.

use serde::Serialize;

use crate::dmarc::is_uri;
use crate::dns::Dns;
use crate::domain::DomainName;
use crate::finding::Finding;
use crate::mx::MxReport;
use crate::sts::{self, Announced, PolicyFacts, PolicyFetch};
use crate::tags::Tags;

/// A record to begin with.
const FIRST: &str = "v=STSv1; id=1;";

/// The records at `_mta-sts` and `_smtp._tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MtaStsReport {
    /// At `_mta-sts`.
    pub record: Option<String>,
    /// At `_smtp._tls`: where reports on TLS go.
    pub tls_rpt: Option<String>,
    /// What senders find at `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`, if it was fetched and can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFacts>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

pub(crate) async fn report(
    dns: &Dns,
    fetch: Option<&dyn PolicyFetch>,
    domain: &DomainName,
    mx: &MxReport,
) -> MtaStsReport {
    let (sts, rpt) =
        tokio::join!(record(dns, domain, "_mta-sts", "v=STSv1"), record(dns, domain, "_smtp._tls", "v=TLSRPTv1"));
    let announced = sts.as_ref().is_ok_and(|texts| !texts.is_empty());
    let mut findings = vec![sts_finding(domain, mx, &sts, fetch.is_some())];
    let mut policy = None;
    if let Some(fetch) = fetch.filter(|_| announced) {
        let (facts, about_it) = sts::report(dns, fetch, &Announced { domain, mx }).await;
        policy = facts;
        findings.extend(about_it);
    }
    findings.push(rpt_finding(domain, &rpt));
    let first = |found: Result<Vec<String>, String>| found.unwrap_or_default().into_iter().next();
    MtaStsReport { record: first(sts), tls_rpt: first(rpt), policy, findings }
}

/// TXT records there that begin so; all others are to be ignored (RFC 8461 §3.1, RFC 8460 §3). Without one, those that were meant to.
async fn record(dns: &Dns, domain: &DomainName, labels: &str, version: &str) -> Result<Vec<String>, String> {
    let name = domain.child(labels).map_err(|error| error.to_string())?;
    let texts = dns.text(&name).await.known()?.unwrap_or_default();
    let (good, other): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| begins(text, version));
    let meant = |text: &String| text.to_ascii_lowercase().starts_with(&version.to_ascii_lowercase());
    Ok(if good.is_empty() { other.into_iter().filter(meant).collect() } else { good })
}

/// The version as it is written here, and nothing more of it.
fn begins(text: &str, version: &str) -> bool {
    text.strip_prefix(version).is_some_and(|rest| rest.trim_start().starts_with(';'))
}

fn sts_finding(domain: &DomainName, mx: &MxReport, found: &Result<Vec<String>, String>, fetched: bool) -> Finding {
    let name = format!("_mta-sts.{domain}");
    match found.as_deref() {
        Err(trouble) => Finding::trouble("mta-sts-trouble", &name, trouble),
        Ok([]) => {
            let finding = Finding::note(
                "mta-sts-none",
                "no MTA-STS: a sender cannot know that mail to the domain must go by TLS",
            )
            .remedy(format!(
                "Optional. Serve a policy that lists the MX hosts at https://mta-sts.{domain}{}, then publish this TXT \
                         record, with a new id at each change of the policy.",
                <dyn PolicyFetch>::PATH
            ))
            .record(&name, "TXT", FIRST);
            match sts::proposed(domain, mx) {
                Some(file) => finding.file(file),
                None => finding,
            }
        }
        Ok([text]) if begins(text, "v=STSv1") && has_id(text) => Finding::ok(
            "mta-sts-ok",
            format!("MTA-STS is announced{}", if fetched { "" } else { " (the policy itself was not fetched)" }),
        ),
        Ok([_]) => Finding::warning(
            "mta-sts-syntax",
            format!("the record at {name} cannot be read, or has no valid id=, and is ignored"),
        )
        .remedy("Replace it; id= are up to 32 letters and digits, others at each change of the policy.")
        .record(&name, "TXT", FIRST),
        Ok(many) => {
            Finding::warning("mta-sts-several", format!("{name} has {} records; senders ignore them all", many.len()))
                .remedy("Delete all but one.")
        }
    }
}

/// RFC 8461 §3.1: 1 to 32 letters and digits.
fn has_id(text: &str) -> bool {
    let id = |tags: Tags| {
        let id = tags.value("id")?;
        Some((1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    Tags::parse(text).ok().and_then(id).unwrap_or(false)
}

fn rpt_finding(domain: &DomainName, found: &Result<Vec<String>, String>) -> Finding {
    let name = format!("_smtp._tls.{domain}");
    let has_rua = |text: &String| Tags::parse(text).is_ok_and(|tags| tags.value("rua").is_some_and(is_report_address));
    match found.as_deref() {
        Err(trouble) => Finding::trouble("tls-rpt-trouble", &name, trouble),
        Ok([]) => Finding::note("tls-rpt-none", "nobody is told when senders fail to reach the domain by TLS").remedy(
            format!("Optional: a TXT record at {name}: v=TLSRPTv1; rua=mailto:<a mailbox that somebody reads>"),
        ),
        Ok([text]) if begins(text, "v=TLSRPTv1") && has_rua(text) => {
            Finding::ok("tls-rpt-ok", "reports on TLS are asked for")
        }
        Ok(_) => {
            Finding::warning("tls-rpt-syntax", format!("the record at {name} is not one record with a valid rua="))
                .remedy("v=TLSRPTv1; rua=mailto:<a mailbox that somebody reads>")
        }
    }
}

fn is_report_address(rua: &str) -> bool {
    rua.split(',').map(str::trim).all(|uri| {
        is_uri(uri) && ["mailto:", "https:"].iter().any(|scheme| uri.to_ascii_lowercase().starts_with(scheme))
    })
}
