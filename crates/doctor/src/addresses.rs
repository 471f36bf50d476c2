//! Our public addresses: what their PTR records say, and whether the names lead back.
//!
//! Exchange Online demands a PTR of IPv6 addresses (`5.7.25`); elsewhere mail from an address without one is junk.

use std::net::IpAddr;

use serde::Serialize;

use crate::dns::Dns;
use crate::domain::DomainName;
use crate::finding::Finding;

/// Names of one address that are looked up.
const NAMES: usize = 10;

/// All our addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PtrReport {
    /// In the order of the configuration.
    pub addresses: Vec<AddressFacts>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressFacts {
    /// Which.
    pub address: IpAddr,
    /// What its PTR records say.
    pub names: Vec<DomainName>,
    /// Those of them that lead back to it.
    pub confirmed: Vec<DomainName>,
}

pub(crate) async fn report(dns: &Dns, addresses: &[IpAddr], hello: &str) -> PtrReport {
    let mut report = PtrReport::default();
    for address in addresses {
        let mut facts = AddressFacts { address: *address, names: Vec::new(), confirmed: Vec::new() };
        let trouble = look(dns, &mut facts).await.err();
        report.findings.push(match trouble {
            Some(trouble) => Finding::trouble("ptr-trouble", &format!("the names of {address}"), &trouble),
            None => judged(&facts, hello),
        });
        report.addresses.push(facts);
    }
    report
}

async fn look(dns: &Dns, facts: &mut AddressFacts) -> Result<(), String> {
    facts.names = dns.reverse(facts.address).await.known()?.unwrap_or_default();
    let mut trouble = Ok(());
    for name in facts.names.iter().take(NAMES) {
        match dns.addresses_like(name, facts.address).await.known() {
            Ok(found) if found.iter().flatten().any(|found| *found == facts.address) => {
                facts.confirmed.push(name.clone())
            }
            Ok(_) => {}
            Err(error) => trouble = Err(error),
        }
    }
    if facts.confirmed.is_empty() { trouble } else { Ok(()) }
}

fn judged(facts: &AddressFacts, hello: &str) -> Finding {
    let address = facts.address;
    let list = |names: &[DomainName]| names.iter().map(DomainName::as_str).collect::<Vec<_>>().join(", ");
    let forward = format!("{hello} must have an A or AAAA record with {address}, too.");
    let ask = format!("Ask whoever gave you the address (provider, cloud) to set it; {forward}");
    let to_hello = |finding: Finding| finding.record(reverse_name(address), "PTR", hello);
    if facts.names.is_empty() {
        let what = format!("{address} has no PTR record");
        return to_hello(match address {
            IpAddr::V4(_) => Finding::warning("ptr-missing", format!("{what}: many receivers distrust it")).remedy(ask),
            IpAddr::V6(_) => Finding::error("ptr-missing-v6", format!("{what}: Exchange Online refuses it (5.7.25)"))
                .remedy(format!("{ask} Or send over IPv4.")),
        });
    }
    let [first, ..] = facts.confirmed.as_slice() else {
        let what = format!("{address} is called {}, but that name does not lead back to it", list(&facts.names));
        return Finding::warning("ptr-unconfirmed", what)
            .remedy(format!("Publish this record, or have the PTR record changed to a name that leads to {address}."))
            .record(facts.names.first().map_or(hello, DomainName::as_str), host_kind(address), address.to_string());
    };
    if facts.confirmed.iter().any(|name| hello.trim_end_matches('.').eq_ignore_ascii_case(name.as_str())) {
        return Finding::ok(
            "ptr-ok",
            format!("{address} is called {first}, which leads back to it and is our name in EHLO"),
        );
    }
    to_hello(
        Finding::note(
            "ptr-not-hello",
            format!("{address} is called {}, but the relay says {hello} in EHLO", list(&facts.confirmed)),
        )
        .remedy(format!("Set `hostname` to {first}, or have the PTR record changed; then {forward}")),
    )
}

fn host_kind(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "A" } else { "AAAA" }
}

fn reverse_name(address: IpAddr) -> String {
    hickory_resolver::proto::rr::Name::from(address).to_ascii().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_to_ask_for_has_the_reverse_name() {
        let facts = AddressFacts { address: "192.0.2.7".parse().unwrap(), names: Vec::new(), confirmed: Vec::new() };
        let record = judged(&facts, "relay.contoso.com").record.unwrap();
        assert_eq!((record.name.as_str(), record.value.as_str()), ("7.2.0.192.in-addr.arpa", "relay.contoso.com"));
    }
}
