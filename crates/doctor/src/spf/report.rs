//! What is said about a domain's SPF record, and the record to paste.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::record::{Qualifier, Record, Target, ends, is_spf, terms};
use super::walk::{Fault, Walk, walk};
use super::{AddressResult, LOOKUPS, MX_HOSTS, VOID_LOOKUPS, evaluate};
use crate::dns::Dns;
use crate::doctor::Way;
use crate::domain::DomainName;
use crate::finding::Finding;

/// Networks of a cloud that are looked for, one by one, in a record that does not include it.
const NETWORKS: usize = 40;
/// After this no more of them is.
const LONGEST: Duration = Duration::from_secs(20);
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
    let senders = Senders::look(dns, domain, &walk, wanted).await;
    let mut findings = faults_and_missing(domain, &walk, wanted, &senders);
    if walk.record.is_some() {
        findings.extend(advice(domain, &walk, &senders));
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

/// What is wrong with the record, and who is not allowed to send and should be.
pub(crate) async fn causes(dns: &Dns, domain: &DomainName, walk: &Walk, wanted: &Wanted) -> Vec<Finding> {
    let senders = Senders::look(dns, domain, walk, wanted).await;
    faults_and_missing(domain, walk, wanted, &senders)
}

fn faults_and_missing(domain: &DomainName, walk: &Walk, wanted: &Wanted, senders: &Senders) -> Vec<Finding> {
    let mut findings = faults(domain, walk, wanted, senders);
    findings.extend(wanted.unknown_address.then(unknown_address));
    findings.extend(senders.findings(domain, walk));
    findings
}

/// What makes the record worthless for everybody, or unknown.
fn faults(domain: &DomainName, walk: &Walk, wanted: &Wanted, senders: &Senders) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(trouble) = &walk.trouble {
        findings.push(Finding::trouble("spf-trouble", &format!("SPF of {domain}, in part or whole,"), trouble));
    } else if walk.record.is_none() && walk.faults.is_empty() {
        findings.push(
            Finding::error(
                "spf-missing",
                format!("{domain} has no SPF record: nobody is named as allowed to send for it"),
            )
            .remedy("Publish this TXT record. Add whoever else sends as this domain before its last term.")
            .record(domain, "TXT", fresh(wanted)),
        );
    }
    findings.extend(walk.faults.iter().map(|fault| fault_finding(domain, walk, fault, senders)));
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

/// Who should be allowed to send, and whether they are.
#[derive(Default)]
struct Senders {
    includes: Vec<(&'static str, Included)>,
    addresses: Vec<(IpAddr, AddressResult)>,
    /// The domain's own record cannot be read: what it would say of an address is not known.
    broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Included {
    Yes,
    /// Evaluators give up before.
    Late,
    /// Its networks pass, without an include of it.
    Copied,
    Unknown,
    No,
}

impl Senders {
    async fn look(dns: &Dns, domain: &DomainName, walk: &Walk, wanted: &Wanted) -> Self {
        let mut senders = Self::default();
        if walk.record.is_none() {
            return senders;
        }
        senders.broken = walk.own_record_is_broken(domain);
        for include in &wanted.includes {
            senders.includes.push((include, included(dns, domain, walk, include).await));
        }
        for address in &wanted.addresses {
            senders.addresses.push((*address, evaluate(dns, domain, *address).await));
        }
        senders
    }

    /// The one record in which all of them are allowed.
    fn record(&self, walk: &Walk) -> String {
        let includes = |which| {
            let those = self.includes.iter().filter(move |(_, included)| *included == which);
            those.map(|(include, _)| format!("include:{include}"))
        };
        // Where everybody passes, they might pass for no other reason.
        let open = walk.all == Some(Qualifier::Pass);
        let fails = |result| match result {
            AddressResult::Fail | AddressResult::SoftFail | AddressResult::Neutral | AddressResult::None => true,
            AddressResult::Pass => open,
            AddressResult::PermError => self.broken,
            AddressResult::Unknown => false,
        };
        let addresses = self.addresses.iter().filter(|(_, result)| fails(*result)).map(|(address, _)| term(*address));
        with(
            walk,
            &includes(Included::Late).collect::<Vec<_>>(),
            &includes(Included::No).chain(addresses).collect::<Vec<_>>(),
        )
    }

    fn findings(&self, domain: &DomainName, walk: &Walk) -> Vec<Finding> {
        let record = self.record(walk);
        let includes = self.includes.iter().filter_map(|(include, is)| include_finding(domain, include, *is, &record));
        let addresses = self.addresses.iter();
        let addresses =
            addresses.filter_map(|(address, result)| address_finding(domain, walk, *address, *result, &record));
        includes.chain(addresses).collect()
    }
}

async fn included(dns: &Dns, domain: &DomainName, walk: &Walk, include: &str) -> Included {
    match walk.reaches(include) {
        Some(reached) if reached.in_time || walk.own_record_is_broken(domain) => Included::Yes,
        Some(_) => Included::Late,
        None if walk.trouble.is_some() => Included::Unknown,
        None => match passes_as_copied(dns, domain, include).await {
            Some(true) if walk.macros => Included::Yes,
            Some(true) => Included::Copied,
            Some(false) if !walk.macros => Included::No,
            _ => Included::Unknown,
        },
    }
}

/// Whether each network of the record `include` may send for the domain; `None`: it cannot be told.
pub(crate) async fn passes_as_copied(dns: &Dns, domain: &DomainName, include: &str) -> Option<bool> {
    let name = DomainName::parse(include).ok()?;
    let texts = dns.text(&name).await.known().ok()??;
    let (record, _) = Record::readable(texts.iter().find(|text| is_spf(text))?);
    let networks: Vec<_> = record.networks().take(NETWORKS).collect();
    let started = Instant::now();
    for address in &networks {
        match evaluate(dns, domain, *address).await {
            _ if started.elapsed() > LONGEST => return None,
            AddressResult::Pass => {}
            AddressResult::Unknown => return None,
            _ => return Some(false),
        }
    }
    (!networks.is_empty()).then_some(true)
}

fn fault_finding(domain: &DomainName, walk: &Walk, fault: &Fault, senders: &Senders) -> Finding {
    let whose = |at: &DomainName| match at == domain {
        true => "Correct the TXT record.".to_owned(),
        false => format!("Tell whoever runs {at}, or remove its include if they do not send for you any more."),
    };
    match fault {
        Fault::Several { domain: at, records } => {
            let finding = Finding::error(
                "spf-several",
                format!("{at} has {records} SPF records; receivers take none of them (permerror)"),
            );
            match at == domain {
                true => finding.remedy("Put this one, which joins them, in their place.").record(
                    domain,
                    "TXT",
                    senders.record(walk),
                ),
                false => finding.remedy(whose(at)),
            }
        }
        Fault::Syntax { domain: at, term } => Finding::error(
            "spf-syntax",
            format!("`{term}` in the SPF record of {at} cannot be read; receivers drop the whole record (permerror)"),
        )
        .remedy(whose(at)),
        Fault::NoRecord { domain: at, from, term } => Finding::error(
            "spf-include-broken",
            format!("the SPF record of {from} refers to {at}, which has none; receivers give up there (permerror)"),
        )
        .remedy(match from == domain {
            true => format!("Remove {term}{at}, or correct its name."),
            false => whose(from),
        }),
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
    .remedy("Ask whoever runs the smart host what it sends from; the SPF record must name that.")
}

const REPLACE: &str = "Replace the TXT record by this one.";

fn include_finding(domain: &DomainName, include: &str, is: Included, record: &str) -> Option<Finding> {
    Some(match is {
        Included::Yes => return None,
        Included::Late => {
            Finding::error("spf-include-late", format!("receivers give up before they come to include:{include}"))
                .remedy("Put it first, behind v=spf1; then see to the rest of the record.")
                .record(domain, "TXT", record)
        }
        Included::Copied => Finding::note(
            "spf-include-copied",
            format!("the networks of {include} are allowed today, but by a copy of them: it goes stale when Microsoft adds one"),
        )
        .remedy(format!("Unless somebody keeps the copy up to date, write include:{include} in place of it.")),
        Included::Unknown => Finding::note(
            "spf-include-unknown",
            format!("whether {include} is included was not seen: not all of the record could be followed"),
        ),
        Included::No => Finding::error(
            "spf-missing-include",
            format!("the SPF record does not allow what {include} names: mail that Exchange Online sends fails SPF"),
        )
        .remedy(REPLACE)
        .record(domain, "TXT", record),
    })
}

fn address_finding(
    domain: &DomainName,
    walk: &Walk,
    address: IpAddr,
    result: AddressResult,
    record: &str,
) -> Option<Finding> {
    let why = match result {
        AddressResult::Pass => return None,
        // Why has been said.
        AddressResult::PermError if !walk.alive() => return None,
        AddressResult::Unknown if walk.trouble.is_some() => return None,
        AddressResult::PermError => {
            return Some(
                Finding::error(
                    "spf-missing-address",
                    format!("mail from our address {address} meets a broken record (permerror)"),
                )
                .remedy("Correct the record; what is wrong with it shows only for this address."),
            );
        }
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
    let what = format!("mail from our address {address} {why}: SPF does not pass");
    Some(Finding::error("spf-missing-address", what).remedy(REPLACE).record(domain, "TXT", record))
}

/// Nothing fails by it today.
fn advice(domain: &DomainName, walk: &Walk, senders: &Senders) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Where the record redirects, what becomes of everybody else stands over there.
    let elsewhere = redirect(walk);
    let amend = |finding: Finding, remedy: &str| match &elsewhere {
        Some(target) => finding.remedy(format!("Have whoever runs {target} end the record there with -all or ~all.")),
        None => finding.remedy(remedy).record(domain, "TXT", senders.record(walk)),
    };
    match walk.all {
        Some(Qualifier::Pass) => findings.push(amend(
            Finding::error("spf-pass-all", "`+all` lets the whole world send as this domain"),
            "End the record with -all or ~all.",
        )),
        Some(Qualifier::Neutral) => findings.push(
            Finding::note("spf-neutral-all", "`?all` says nothing about everybody else")
                .remedy("End the record with ~all, later with -all."),
        ),
        None if walk.trouble.is_none() && !walk.macros && walk.faults.is_empty() => findings.push(amend(
            Finding::warning("spf-no-all", "the record does not say what becomes of everybody else"),
            "End the record with ~all or -all.",
        )),
        _ => {}
    }
    let (own, _) = Record::readable(&walk.joined);
    if own.redirect.is_some() && own.all().is_some() {
        findings.push(
            Finding::note(
                "spf-redirect-ignored",
                "the record has both `all` and redirect=: receivers ignore the latter",
            )
            .remedy("Take one of them out (RFC 7208, section 6.1)."),
        );
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

/// Whose record this one goes over to.
fn redirect(walk: &Walk) -> Option<String> {
    let (record, _) = Record::readable(&walk.joined);
    match record.redirect.clone().filter(|_| record.all().is_none())? {
        Target::Name(name) => Some(name.to_string()),
        Target::Macros(text) => Some(text),
        Target::Same => None,
    }
}

fn term(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("ip4:{address}"),
        IpAddr::V6(address) => format!("ip6:{address}"),
    }
}

/// Nobody whose address is not known is forbidden to send.
fn fresh(wanted: &Wanted) -> String {
    let includes = wanted.includes.iter().map(|include| format!("include:{include}"));
    let terms: Vec<_> = includes.chain(wanted.addresses.iter().copied().map(term)).collect();
    let end = if wanted.unknown_address { "~all" } else { "-all" };
    [&["v=spf1".to_owned()], terms.as_slice(), &[end.to_owned()]].concat().join(" ")
}

/// The record as published, with these terms too: first, or before what ends it. It ends with what it ended with, never with
/// `+all`, and with `~all` if with nothing. What cannot be read is left out, and so is what says something else of these terms.
fn with(walk: &Walk, first: &[String], last: &[String]) -> String {
    let bare = |term: &str| term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
    let ours = |term: &str| first.iter().chain(last).any(|ours| *ours == bare(term));
    let readable = |term: &str| Record::parse(&format!("v=spf1 {term}")).is_ok();
    let kept = terms(&walk.joined).filter(|term| !ours(term) && readable(term));
    let (end, body): (Vec<&str>, Vec<&str>) = kept.partition(|term| ends(term));
    let end = match end.iter().find(|term| bare(term) == "all") {
        Some(all) if matches!(all.to_ascii_lowercase().as_str(), "+all" | "all") => "~all",
        Some(all) => all,
        None => end.first().copied().unwrap_or("~all"),
    };
    let strings = |terms: &[String]| terms.to_vec();
    let owned = |terms: Vec<&str>| terms.into_iter().map(str::to_owned).collect::<Vec<_>>();
    [vec!["v=spf1".to_owned()], strings(first), owned(body), strings(last), vec![end.to_owned()]].concat().join(" ")
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
                "v=spf1 ?include:SPF.protection.outlook.com ip4:300.0.0.1 a -all",
                false,
                "v=spf1 a include:spf.protection.outlook.com -all",
            ),
            (
                "v=spf1 a include:spf.protection.outlook.com -all",
                true,
                "v=spf1 include:spf.protection.outlook.com a -all",
            ),
        ] {
            let walk = Walk { joined: record.to_owned(), ..Walk::default() };
            let (ours, none) = ([spf.clone()], []);
            let (first, last): (&[String], &[String]) = if first { (&ours, &none) } else { (&none, &ours) };
            assert_eq!(with(&walk, first, last), result);
        }
    }

    #[test]
    fn a_fresh_record_names_includes_and_addresses() {
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let wanted = Wanted { includes: vec!["spf.protection.outlook.com"], addresses, unknown_address: false };
        assert_eq!(fresh(&wanted), "v=spf1 include:spf.protection.outlook.com ip4:192.0.2.1 ip6:2001:db8::1 -all");
        assert_eq!(fresh(&Wanted { unknown_address: true, ..Wanted::default() }), "v=spf1 ~all");
    }
}
