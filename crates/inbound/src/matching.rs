//! Which client entry a session belongs to: the one that fits most specifically.
//!
//! In: the criteria of an entry, and what is known of a session. Out: whether it fits and how specifically; for two entries,
//! whether some session would fit both alike. That is an error of the configuration: nobody could say which one counts.

use std::cmp::max;
use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::condition::{Condition, Criteria, Criterion};
use crate::identity::{CertificatePattern, Fingerprint, NameMatch, NamePattern, PeerCertificate};
use crate::{ClientEntry, User};

/// What is known of a session when it asks to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// IPv4 as IPv4.
    pub(crate) peer: IpAddr,
    /// Its name.
    pub(crate) listener: &'a str,
    pub(crate) helo: &'a str,
    pub(crate) tls: bool,
    pub(crate) user: Option<&'a crate::logins::User>,
    pub(crate) certificate: Option<&'a PeerCertificate>,
}

/// How specifically an entry fits: compared from the first part to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Specificity {
    certificate: CertificateMatch,
    user: bool,
    /// The longest prefix, counted as of IPv6.
    network: Option<u8>,
    helo: NameMatch,
    listener: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum CertificateMatch {
    #[default]
    None,
    Name(NameMatch),
    Pin,
}

impl Specificity {
    /// The criteria that hold.
    pub(crate) fn criteria(&self) -> Criteria {
        let holds = |criterion: &Criterion| match criterion {
            Criterion::Network => self.network.is_some(),
            Criterion::User => self.user,
            Criterion::Certificate => self.certificate != CertificateMatch::None,
            Criterion::Helo => self.helo != NameMatch::None,
            Criterion::Listener => self.listener,
        };
        Criterion::ALL.into_iter().filter(holds).collect()
    }
}

/// The criteria of an entry, ready to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    networks: Vec<IpNet>,
    users: HashSet<String>,
    certificates: Vec<CertificatePattern>,
    helo: Vec<NamePattern>,
    listeners: Vec<String>,
    condition: Condition,
}

impl Matcher {
    pub(crate) fn new(entry: &ClientEntry) -> Self {
        Self {
            networks: entry.networks.iter().map(as_peers_come).collect(),
            users: entry.users.iter().map(|User { name, .. }| name.clone()).collect(),
            certificates: entry.certificates.clone(),
            helo: entry.helo.clone(),
            listeners: entry.listeners.clone(),
            condition: entry.condition.clone().unwrap_or_else(|| Condition::standard(entry.criteria())),
        }
    }

    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// `at`: the entry's index, as users know it.
    pub(crate) fn specificity(&self, at: usize, facts: &Facts<'_>) -> Specificity {
        let prefix = |network: &IpNet| network.prefix_len() + if network.addr().is_ipv4() { 96 } else { 0 };
        let networks = self.networks.iter().filter(|network| network.contains(&facts.peer));
        Specificity {
            certificate: facts.certificate.map(|shown| self.certificate(shown)).unwrap_or_default(),
            user: facts.user.is_some_and(|user| user.entries.contains(&at)),
            network: networks.map(prefix).max(),
            helo: best(&self.helo, facts.helo),
            listener: self.listeners.iter().any(|name| name == facts.listener),
        }
    }

    fn certificate(&self, shown: &PeerCertificate) -> CertificateMatch {
        let fits = |pattern: &CertificatePattern| match pattern {
            CertificatePattern::Pin(pin) if *pin == shown.fingerprint => CertificateMatch::Pin,
            CertificatePattern::Pin(_) => CertificateMatch::None,
            CertificatePattern::Name(name) => {
                let best = shown.names.iter().map(|shown| name.fits(shown)).max().unwrap_or_default();
                if best == NameMatch::None { CertificateMatch::None } else { CertificateMatch::Name(best) }
            }
        };
        self.certificates.iter().map(fits).max().unwrap_or_default()
    }

    /// Whether it lets in a session that fits it so.
    pub(crate) fn lets_in(&self, specificity: &Specificity) -> bool {
        self.condition.holds(specificity.criteria())
    }

    /// What it gives and a session lacks, but could show by logging in or by a certificate: whether that would let it in.
    pub(crate) fn would_let_in(&self, specificity: &Specificity, with: Criterion) -> bool {
        let given = match with {
            Criterion::User => !self.users.is_empty(),
            Criterion::Certificate => !self.certificates.is_empty(),
            _ => false,
        };
        given && self.condition.holds(specificity.criteria().or([with].into_iter().collect()))
    }

    /// The criteria that one session could fulfil in both, each as specifically in one as in the other.
    fn shared(&self, other: &Self) -> Criteria {
        let shared = |criterion: &Criterion| match criterion {
            Criterion::Network => share_addresses(&self.networks, &other.networks),
            Criterion::User => !self.users.is_disjoint(&other.users),
            Criterion::Certificate => self.certificates.iter().any(|pattern| other.certificates.contains(pattern)),
            Criterion::Helo => self.helo.iter().any(|pattern| other.helo.contains(pattern)),
            Criterion::Listener => self.listeners.iter().any(|name| other.listeners.contains(name)),
        };
        Criterion::ALL.into_iter().filter(shared).collect()
    }
}

fn best(patterns: &[NamePattern], name: &str) -> NameMatch {
    patterns.iter().map(|pattern| pattern.fits(name)).fold(NameMatch::None, max)
}

/// Peers with IPv4 come as IPv4, whatever the socket: so must networks.
pub(crate) fn as_peers_come(network: &IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return *network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    let ipv4 = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    ipv4.map_or(*network, IpNet::V4)
}

/// Whether some address has the same longest prefix in both: in a network of both that longer ones do not cover.
fn share_addresses(one: &[IpNet], two: &[IpNet]) -> bool {
    one.iter().filter(|network| two.contains(network)).any(|network| {
        let longer = |other: &&IpNet| *other != network && network.contains(*other);
        let longer: Vec<IpNet> = one.iter().chain(two).filter(longer).copied().collect();
        !IpNet::aggregate(&longer).contains(network)
    })
}

/// Two entries that some session would fit alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    /// Name of the earlier entry.
    pub first: String,
    /// Name of the later entry.
    pub second: String,
    /// What that session would be known by in both.
    pub by: Criteria,
}

/// All pairs of entries of which neither is the more specific one for some session. What a session shows that only one of the
/// two asks for decides for that one, so only what both ask for alike can tie. A certificate is taken to bear one name.
pub fn ties(clients: &[ClientEntry]) -> Vec<Tie> {
    let matchers: Vec<Matcher> = clients.iter().map(Matcher::new).collect();
    let mut ties = Vec::new();
    for (at, (second, matcher)) in clients.iter().zip(&matchers).enumerate() {
        for (first, earlier) in clients.iter().zip(&matchers).take(at) {
            // Conditions only grow with what holds: if all that can be shared does not fit both, nothing does.
            let by = matcher.shared(earlier);
            if matcher.condition.holds(by) && earlier.condition.holds(by) {
                ties.push(Tie { first: first.name.clone(), second: second.name.clone(), by });
            }
        }
    }
    ties
}

impl ClientEntry {
    /// The criteria that are given.
    pub fn criteria(&self) -> Criteria {
        let given = |criterion: &Criterion| match criterion {
            Criterion::Network => !self.networks.is_empty(),
            Criterion::User => !self.users.is_empty(),
            Criterion::Certificate => !self.certificates.is_empty(),
            Criterion::Helo => !self.helo.is_empty(),
            Criterion::Listener => !self.listeners.is_empty(),
        };
        Criterion::ALL.into_iter().filter(given).collect()
    }
}

/// For tests elsewhere and for `trial`.
impl PeerCertificate {
    /// One that a trusted authority made out for these names.
    pub fn trusted(fingerprint: Fingerprint, names: Vec<String>) -> Self {
        Self { fingerprint, names, distrust: None }
    }
}

#[cfg(test)]
pub(crate) mod tests;
