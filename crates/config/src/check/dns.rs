//! How the DNS is asked, and what of it is watched: resolvers, our addresses, the sender domains.

use std::net::IpAddr;

use doctor::{DomainName, OwnSelector, Signature, Way};
use m365::Cloud;
use transport::SmtpKind;

use crate::check::Checker;
use crate::check::dkim::Usable;
use crate::config::{DnsSettings, SenderDomain};
use crate::read::At;
use crate::written::{Dns, File, Path, Tenant};

impl Checker<'_> {
    pub(super) fn dns(&mut self, dns: &Dns) -> DnsSettings {
        let servers = dns.servers.value.iter().map(|server| (server.value, server.place));
        self.no_twins(servers, |server| (format!("the resolver {server} is named twice"), "once is enough".to_owned()));
        let addresses = dns.addresses.value.iter().map(|address| (address.value, address.place));
        self.no_twins(addresses, |address| {
            (format!("the address {address} is named twice"), "once is enough".to_owned())
        });
        for address in dns.addresses.value.iter().filter(|address| !is_public(address.value)) {
            self.sink.warn(
                address.place,
                format!("receivers never see {}: it is no public address", address.value),
                "name the address that your network shows to the outside",
            );
        }
        DnsSettings {
            resolver: doctor::DnsSettings {
                servers: dns.servers.value.iter().map(|server| server.value).collect(),
                timeout: dns.timeout.duration(),
            },
            addresses: dns.addresses.value.iter().map(|address| address.value).collect(),
            warn: dns.warn.value,
        }
    }
}

/// Good enough for a warning: neither private, nor a provider's (RFC 6598), nor of the link, nor of this machine, nor nobody's.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let of_provider = matches!(address.octets(), [100, 64..=127, ..]);
            !(of_provider
                || address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified())
        }
        IpAddr::V6(address) => {
            !(address.is_unique_local()
                || address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_unspecified())
        }
    }
}

/// In the order of the file. A name that cannot stand in the DNS is left out: nothing can be asked about it.
pub(super) fn sender_domains(file: &File, keys: &[Usable]) -> Vec<SenderDomain> {
    file.tenant.value.iter().flat_map(|tenant| of_a_tenant(&tenant.value, keys)).collect()
}

fn of_a_tenant(tenant: &Tenant, keys: &[Usable]) -> Vec<SenderDomain> {
    let cloud = tenant.cloud.value.0;
    let of = |domain: DomainName| SenderDomain {
        ways: ways(tenant, cloud, &signatures(&domain, keys)),
        domain,
        tenant: tenant.name.as_ref().map(|name| name.value.0.clone()).unwrap_or_default(),
        cloud,
        initial_domain: initial_domain(tenant, cloud),
    };
    let written = tenant.domains.iter().flat_map(|domains| &domains.value);
    written.filter_map(|domain| DomainName::parse(&domain.value.0).ok()).map(of).collect()
}

/// In the order of the paths, none twice.
fn ways(tenant: &Tenant, cloud: Cloud, signs: &[Signature]) -> Vec<Way> {
    let mut ways = Vec::new();
    for way in tenant.path.value.iter().filter_map(|path| way(&path.value, cloud, signs)) {
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways
}

/// What receivers see of a path. A smart host's own address stands nowhere in the file.
fn way(path: &Path, cloud: Cloud, signs: &[Signature]) -> Option<Way> {
    Some(match path.kind.as_ref()?.value.0 {
        SmtpKind::Submission => Way::ExchangeOnline(cloud),
        SmtpKind::Smarthost => Way::Direct { address: None, signs: signs.to_vec() },
    })
}

/// What the relay signs a domain's mail with where it is the last to touch it.
fn signatures(domain: &DomainName, keys: &[Usable]) -> Vec<Signature> {
    let that_sign = |domain: &str| {
        let keys = keys.iter().filter(|key| key.settings.sign && key.settings.domain.as_str() == domain);
        keys.filter_map(signature).collect()
    };
    ::dkim::signers(domain.as_str(), that_sign)
}

fn signature(key: &Usable) -> Option<Signature> {
    let selector = OwnSelector { selector: key.settings.selector.to_string(), value: Some(key.record.clone()) };
    Some(Signature { domain: DomainName::parse(key.settings.domain.as_str()).ok()?, selector })
}

/// Wherever the file happens to name it.
fn initial_domain(tenant: &Tenant, cloud: Cloud) -> Option<DomainName> {
    let domains = tenant.domains.iter().flat_map(|domains| &domains.value).chain(&tenant.internal_domains.value);
    let names = domains.map(|domain: &At<_>| domain.value.0.as_str());
    let all = names.chain(tenant.id.as_ref().map(|id| id.value.0.as_str()));
    // One label before the suffix: `contoso.mail.onmicrosoft.com` is not it.
    let is_initial = |name: &DomainName| {
        let prefix = name.as_str().strip_suffix(cloud.initial_domain_suffix()).and_then(|rest| rest.strip_suffix('.'));
        prefix.is_some_and(|prefix| !prefix.is_empty() && !prefix.contains('.'))
    };
    all.filter_map(|name| DomainName::parse(name).ok()).find(is_initial)
}
