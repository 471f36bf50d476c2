//! What is said about a domain's SPF record, and the record to paste.

use std::net::IpAddr;

use serde::Serialize;

use super::record::Qualifier;
use super::walk::{Fault, Walk, walk};
use super::{AddressResult, LOOKUPS, MX_HOSTS, VOID_LOOKUPS, evaluate};
use crate::dns::Dns;
use crate::doctor::Way;
use crate::domain::DomainName;
use crate::finding::Finding;

/// An answer with it should fit into a UDP packet of 512 octets. RFC 7208, section 3.4.
const LONG: usize = 450;

/// Who has to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What the clouds in use are included by.
    pub(crate) includes: Vec<&'static str>,
    /// Addresses that mail leaves from towards others.
    pub(crate) addresses: Vec<IpAddr>,
    /// Mail leaves from an address that nobody named.
    pub(crate) unknown_address: bool,
}

impl Wanted {
    pub(crate) fn add(&mut self, way: &Way) {
        match way {
            Way::ExchangeOnline(cloud) => self.includes.push(cloud.spf_include()),
            Way::Direct { address: Some(address), .. } => self.addresses.push(*address),
            Way::Direct { address: None, .. } => self.unknown_address = true,
        }
    }
}

/// The domain's SPF record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpfReport {
    /// As published.
    pub record: Option<String>,
    /// Look-ups of an evaluation that nothing ends early; 10 are allowed (RFC 7208, section 4.6.4).
    pub lookups: u8,
    /// Those of them that found nothing; 2 are allowed.
    pub void_lookups: u8,
    /// Domains that are reached by `include` and `redirect`.
    pub includes: Vec<DomainName>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

pub(crate) async fn report(dns: &Dns, domain: &DomainName, wanted: &Wanted) -> SpfReport {
    let walk = walk(dns, domain).await;
    let mut findings = faults(domain, &walk, wanted);
    findings.extend(missing(dns, domain, &walk, wanted).await);
    if walk.record.is_some() {
        findings.extend(advice(domain, &walk, wanted));
    }
    if findings.is_empty() {
        let words = format!("the record is good and takes {} of {LOOKUPS} look-ups", walk.lookups);
        findings.push(Finding::ok("spf-ok", words));
    }
    SpfReport {
        lookups: walk.lookups,
        void_lookups: walk.void_lookups,
        includes: walk.reached.into_iter().map(|reached| reached.domain).collect(),
        record: walk.record,
        findings,
    }
}

/// What makes the record worthless for everybody, or unknown.
pub(crate) fn faults(domain: &DomainName, walk: &Walk, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(trouble) = &walk.trouble {
        findings.push(Finding::trouble("spf-trouble", &format!("SPF of {domain}, in part or whole,"), trouble));
    } else if walk.record.is_none() && walk.faults.is_empty() {
        findings.push(
            Finding::error(
                "spf-missing",
                format!("{domain} has no SPF record: nobody is named as allowed to send for it"),
            )
            .remedy("Publish this TXT record. Add whoever else sends as this domain before -all.")
            .record(domain, "TXT", fresh(wanted)),
        );
    }
    findings.extend(walk.faults.iter().map(|fault| fault_finding(domain, walk, fault)));
    if walk.lookups > LOOKUPS {
        findings.push(
            Finding::error(
                "spf-lookups",
                format!(
                    "the SPF record takes {} look-ups; after {LOOKUPS} receivers give up (permerror)",
                    walk.lookups
                ),
            )
            .remedy(
                "Remove includes of services that no longer send for you, and replace `a` and `mx` by ip4: and ip6:.",
            ),
        );
    }
    if walk.void_lookups > VOID_LOOKUPS {
        findings.push(
            Finding::error(
                "spf-void-lookups",
                format!(
                    "{} look-ups of the SPF record find nothing; after {VOID_LOOKUPS} receivers give up",
                    walk.void_lookups
                ),
            )
            .remedy("Remove the includes, `a:` and `mx:` whose names do not exist any more."),
        );
    }
    findings
}

/// Who is not allowed to send and should be.
pub(crate) async fn missing(dns: &Dns, domain: &DomainName, walk: &Walk, wanted: &Wanted) -> Vec<Finding> {
    let mut findings: Vec<_> = wanted.unknown_address.then(unknown_address).into_iter().collect();
    if walk.record.is_none() {
        return findings;
    }
    findings.extend(wanted.includes.iter().filter_map(|include| missing_include(domain, walk, include, wanted)));
    for address in &wanted.addresses {
        findings.extend(address_finding(dns, domain, walk, *address, wanted).await);
    }
    findings
}

fn fault_finding(domain: &DomainName, walk: &Walk, fault: &Fault) -> Finding {
    let whose = |at: &DomainName| match at == domain {
        true => "Correct the TXT record.".to_owned(),
        false => format!("Tell whoever runs {at}, or remove its include if they do not send for you any more."),
    };
    match fault {
        Fault::Several { domain: at, records } => Finding::error(
            "spf-several",
            format!("{at} has {records} SPF records; receivers take none of them (permerror)"),
        )
        .remedy(match at == domain {
            true => "Join their mechanisms in one record, with one `-all` or `~all` at its end, and delete the others."
                .to_owned(),
            false => whose(at),
        }),
        Fault::Syntax { domain: at, term } => Finding::error(
            "spf-syntax",
            format!("`{term}` in the SPF record of {at} cannot be read; receivers drop the whole record (permerror)"),
        )
        .remedy(whose(at)),
        Fault::NoRecord { domain: at } => Finding::error(
            "spf-include-broken",
            format!("the SPF record of {domain} includes {at}, which has none; receivers give up there (permerror)"),
        )
        .remedy(format!("Remove include:{at}, or correct its name.")),
        Fault::ManyHosts { domain: at, hosts } => Finding::error(
            "spf-mx-hosts",
            format!(
                "`mx` in the SPF record comes to {hosts} hosts of {at}; after {MX_HOSTS} receivers give up (permerror)"
            ),
        )
        .remedy("Replace it by ip4: and ip6: with the addresses that really send."),
        Fault::Loop { domain: at } => Finding::error(
            "spf-loop",
            format!(
                "the SPF record of {at} includes itself, after {} look-ups receivers give up (permerror)",
                walk.lookups
            ),
        )
        .remedy(whose(at)),
    }
}

fn unknown_address() -> Finding {
    Finding::note(
        "spf-address-unset",
        "whether SPF passes cannot be told: the address that receivers will see is not known",
    )
    .remedy("Set `addresses` of [dns] to the relay's public addresses; of a smart host, ask whoever runs it.")
}

fn missing_include(domain: &DomainName, walk: &Walk, include: &str, wanted: &Wanted) -> Option<Finding> {
    match walk.reaches(include) {
        Some(reached) if reached.in_time || walk.own_record_is_broken(domain) => None,
        Some(_) => Some(
            Finding::error("spf-include-late", format!("receivers give up before they come to include:{include}"))
                .remedy("Put it first, behind v=spf1; then see to the rest of the record.")
                .record(domain, "TXT", with(walk, &[format!("include:{include}")], true)),
        ),
        None if walk.trouble.is_some() || walk.macros => Some(Finding::note(
            "spf-include-unknown",
            format!("whether {include} is included was not seen: not all of the record could be followed"),
        )),
        None => Some(
            Finding::error(
                "spf-missing-include",
                format!("the SPF record does not include {include}: mail that Exchange Online sends fails SPF"),
            )
            .remedy("Replace the TXT record by this one.")
            .record(domain, "TXT", with(walk, &missing_terms(walk, wanted), false)),
        ),
    }
}

async fn address_finding(
    dns: &Dns,
    domain: &DomainName,
    walk: &Walk,
    address: IpAddr,
    wanted: &Wanted,
) -> Option<Finding> {
    let why = match evaluate(dns, domain, address).await {
        AddressResult::Pass => return None,
        // Why has been said.
        AddressResult::PermError if !walk.alive() => return None,
        AddressResult::PermError => "meets a broken record (permerror)",
        AddressResult::Unknown if walk.trouble.is_some() => return None,
        AddressResult::Unknown => {
            return Some(Finding::note(
                "spf-address-unknown",
                format!("whether {address} may send could not be found out: the DNS made trouble"),
            ));
        }
        AddressResult::Fail => "fails (-all)",
        AddressResult::SoftFail => "fails softly (~all)",
        AddressResult::Neutral | AddressResult::None => "is neither allowed nor forbidden",
    };
    let mut terms = missing_terms(walk, wanted);
    terms.push(term(address));
    Some(
        Finding::error("spf-missing-address", format!("mail from our address {address} {why}: SPF does not pass"))
            .remedy("Replace the TXT record by this one.")
            .record(domain, "TXT", with(walk, &terms, false)),
    )
}

/// Nothing fails by it today.
fn advice(domain: &DomainName, walk: &Walk, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = Vec::new();
    match walk.all {
        Some(Qualifier::Pass) => findings.push(
            Finding::error("spf-pass-all", "`+all` lets the whole world send as this domain")
                .remedy("End the record with -all or ~all.")
                .record(domain, "TXT", with(walk, &[], false)),
        ),
        Some(Qualifier::Neutral) => findings.push(
            Finding::note("spf-neutral-all", "`?all` says nothing about everybody else")
                .remedy("End the record with ~all, later with -all."),
        ),
        None if walk.trouble.is_none() && !walk.macros && walk.faults.is_empty() => findings.push(
            Finding::warning("spf-no-all", "the record does not say what becomes of everybody else")
                .remedy("End the record with ~all or -all.")
                .record(domain, "TXT", with(walk, &missing_terms(walk, wanted), false)),
        ),
        _ => {}
    }
    if walk.ptr {
        findings.push(
            Finding::warning("spf-ptr", "the record uses `ptr`, which is slow, unreliable and should not be published")
                .remedy("Replace it by ip4: and ip6: (RFC 7208, section 5.5)."),
        );
    }
    if !walk.mistaken.is_empty() {
        let terms = walk.mistaken.join(" ");
        findings.push(
            Finding::warning("spf-ignored-term", format!("`{terms}` is ignored: mechanisms are written with a colon"))
                .remedy(format!("Write `{}`.", terms.replace('=', ":"))),
        );
    }
    if walk.macros {
        findings
            .push(Finding::note("spf-macros", "an include or a redirect with macros differs from message to message"));
    }
    let octets = walk.record.as_ref().map_or(0, String::len);
    if octets > LONG {
        findings.push(
            Finding::note(
                "spf-long",
                format!("the record has {octets} octets: answers need TCP, which some cannot do"),
            )
            .remedy("Keep it below 450 octets: move parts to a name of their own and include that."),
        );
    }
    if (LOOKUPS - 1..=LOOKUPS).contains(&walk.lookups) {
        findings.push(Finding::note(
            "spf-lookups-close",
            format!("the record takes {} of {LOOKUPS} look-ups: one more include, also within an included one, and it breaks", walk.lookups),
        ));
    }
    findings
}

fn missing_terms(walk: &Walk, wanted: &Wanted) -> Vec<String> {
    let missing = wanted.includes.iter().filter(|include| walk.reaches(include).is_none());
    missing.map(|include| format!("include:{include}")).collect()
}

fn term(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("ip4:{address}"),
        IpAddr::V6(address) => format!("ip6:{address}"),
    }
}

fn fresh(wanted: &Wanted) -> String {
    let includes = wanted.includes.iter().map(|include| format!("include:{include}"));
    let terms: Vec<_> = includes.chain(wanted.addresses.iter().copied().map(term)).collect();
    [&["v=spf1".to_owned()], terms.as_slice(), &["-all".to_owned()]].concat().join(" ")
}

/// The record as published, with these terms too: first, or before what ends it. It ends with what it ended with, never with
/// `+all`, and with `~all` if with nothing.
fn with(walk: &Walk, terms: &[String], first: bool) -> String {
    let record = walk.record.as_deref().unwrap_or_default();
    let ends = |term: &str| {
        let bare = term.trim_start_matches(['+', '-', '~', '?']);
        bare.eq_ignore_ascii_case("all") || term.to_ascii_lowercase().starts_with("redirect=")
    };
    let kept = record.split(' ').skip(1).filter(|term| !term.is_empty() && !terms.iter().any(|t| t == term));
    let (mut end, body): (Vec<&str>, Vec<&str>) = kept.partition(|term| ends(term));
    end.retain(|term| !matches!(term.to_ascii_lowercase().as_str(), "+all" | "all"));
    if end.is_empty() {
        end.push("~all");
    }
    let terms = terms.iter().map(String::as_str);
    let all: Vec<&str> = match first {
        true => std::iter::once("v=spf1").chain(terms).chain(body).chain(end).collect(),
        false => std::iter::once("v=spf1").chain(body).chain(terms).chain(end).collect(),
    };
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_to_paste_keeps_what_stands_there_and_ends_as_it_did() {
        let spf = "include:spf.protection.outlook.com".to_owned();
        for (record, first, result) in [
            ("v=spf1 mx -all", false, "v=spf1 mx include:spf.protection.outlook.com -all"),
            ("v=spf1 mx ~ALL exp=e.test", true, "v=spf1 include:spf.protection.outlook.com mx exp=e.test ~ALL"),
            ("v=spf1 a +all", false, "v=spf1 a include:spf.protection.outlook.com ~all"),
            ("v=spf1 redirect=x.test", false, "v=spf1 include:spf.protection.outlook.com redirect=x.test"),
            ("v=spf1", false, "v=spf1 include:spf.protection.outlook.com ~all"),
            (
                "v=spf1 a include:spf.protection.outlook.com -all",
                true,
                "v=spf1 include:spf.protection.outlook.com a -all",
            ),
        ] {
            let walk = Walk { record: Some(record.to_owned()), ..Walk::default() };
            assert_eq!(with(&walk, std::slice::from_ref(&spf), first), result);
        }
    }

    #[test]
    fn a_fresh_record_names_includes_and_addresses() {
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let wanted = Wanted { includes: vec!["spf.protection.outlook.com"], addresses, unknown_address: false };
        assert_eq!(fresh(&wanted), "v=spf1 include:spf.protection.outlook.com ip4:192.0.2.1 ip6:2001:db8::1 -all");
    }
}
