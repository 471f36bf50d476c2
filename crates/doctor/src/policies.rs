//! MTA-STS (RFC 8461) and reports on TLS (RFC 8460): how mail to the domain is protected on its way.
//!
//! Only what stands in the DNS. The policy itself is fetched over HTTPS by senders; here it is not.

use serde::Serialize;

use crate::dmarc::is_uri;
use crate::dns::Dns;
use crate::domain::DomainName;
use crate::finding::Finding;
use crate::tags::Tags;

/// The records at `_mta-sts` and `_smtp._tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MtaStsReport {
    /// At `_mta-sts`.
    pub record: Option<String>,
    /// At `_smtp._tls`: where reports on TLS go.
    pub tls_rpt: Option<String>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

pub(crate) async fn report(dns: &Dns, domain: &DomainName) -> MtaStsReport {
    let (sts, rpt) =
        tokio::join!(record(dns, domain, "_mta-sts", "v=STSv1"), record(dns, domain, "_smtp._tls", "v=TLSRPTv1"));
    let findings = vec![sts_finding(domain, &sts), rpt_finding(domain, &rpt)];
    let first = |found: Result<Vec<String>, String>| found.unwrap_or_default().into_iter().next();
    MtaStsReport { record: first(sts), tls_rpt: first(rpt), findings }
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

fn sts_finding(domain: &DomainName, found: &Result<Vec<String>, String>) -> Finding {
    let name = format!("_mta-sts.{domain}");
    match found.as_deref() {
        Err(trouble) => Finding::trouble("mta-sts-trouble", &name, trouble),
        Ok([]) => Finding::note("mta-sts-none", "no MTA-STS: a sender cannot know that mail to the domain must go by TLS").remedy(
            format!(
                "Optional. Serve a policy at https://mta-sts.{domain}/.well-known/mta-sts.txt that lists the MX hosts, then publish \
                 a TXT record at {name}: v=STSv1; id=<a new value at each change of the policy>;"
            ),
        ),
        Ok([text]) if begins(text, "v=STSv1") && has_id(text) => Finding::ok(
            "mta-sts-ok",
            format!("MTA-STS is announced (the policy at https://mta-sts.{domain}/.well-known/mta-sts.txt was not fetched)"),
        ),
        Ok([_]) => Finding::warning("mta-sts-syntax", format!("the record at {name} cannot be read, or has no valid id=, and is ignored"))
            .remedy("Replace it; id= are up to 32 letters and digits, others at each change of the policy.")
            .record(&name, "TXT", "v=STSv1; id=20260101;"),
        Ok(many) => Finding::warning("mta-sts-several", format!("{name} has {} records; senders ignore them all", many.len()))
            .remedy("Delete all but one."),
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
