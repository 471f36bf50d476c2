//! Configuration that would let strangers relay is refused before it is used.
//!
//! The rule is held in the worst case: a stranger who has neither user nor certificate, but gives the right name in EHLO and
//! comes to the right listener. An entry that lets such a stranger in from a network may name
//! - networks inside the ranges that no stranger can come from: RFC 1918, 100.64.0.0/10 (RFC 6598), loopback, link-local,
//!   unique local IPv6 (RFC 4193);
//! - of public space single IPv4 addresses, and IPv6 networks of one link (/64) or less, which cannot be listed one by one.
//!
//! Anything wider is an open relay, however well meant; so is an entry that lets in without any network, user or certificate.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::Settings;
use crate::condition::{Criteria, Criterion};
use crate::matching::Matcher;

/// Who could relay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRelay {
    /// From a network.
    #[error(
        "client {client:?} would make an open relay: {network} is public, and whoever comes from there would need no login; \
         name single addresses, or demand more (match = \"network and user\")"
    )]
    Network {
        /// Name of the client entry.
        client: String,
        /// The network.
        network: IpNet,
    },
    /// From anywhere.
    #[error(
        "client {client:?} would make an open relay: match = \"{condition}\" lets in whoever gives the right name in EHLO or \
         comes to the right listener, and that proves nothing; demand network, user or certificate as well"
    )]
    Anybody {
        /// Name of the client entry.
        client: String,
        /// Its `match`.
        condition: String,
    },
}

/// Finds the first client entry that would make an open relay; see the rule at the head of this file.
pub fn open_relay(settings: &Settings) -> Result<(), OpenRelay> {
    for entry in &settings.clients {
        let matcher = Matcher::new(entry);
        let forged: Criteria = [Criterion::Helo, Criterion::Listener].into_iter().collect();
        if matcher.condition().holds(forged) {
            let condition = matcher.condition().to_string();
            return Err(OpenRelay::Anybody { client: entry.name.clone(), condition });
        }
        let from_a_network = forged.or([Criterion::Network].into_iter().collect());
        let open = entry.networks.iter().find(|network| !closed(network));
        if let Some(network) = open.filter(|_| matcher.condition().holds(from_a_network)) {
            return Err(OpenRelay::Network { client: entry.name.clone(), network: *network });
        }
    }
    Ok(())
}

/// Whether only known machines can come from here.
fn closed(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => closed_v4(network),
        IpNet::V6(network) => closed_v6(network),
    }
}

fn closed_v4(network: &Ipv4Net) -> bool {
    let private = [
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
    ];
    let inside = |(octets, length): &([u8; 4], u8)| {
        Ipv4Net::new((*octets).into(), *length).is_ok_and(|range| range.contains(network))
    };
    network.prefix_len() == 32 || private.iter().any(inside)
}

/// IPv4 in two guises, each a /96: mapped, and as the clients of a translator appear (RFC 6052).
const IPV4: [Ipv6Addr; 2] = [Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)];

fn closed_v6(network: &Ipv6Net) -> bool {
    for ipv4 in IPV4.into_iter().filter_map(|first| Ipv6Net::new(first, 96).ok()) {
        if ipv4.contains(network) {
            let [.., a, b, c, d] = network.addr().octets();
            return Ipv4Net::new([a, b, c, d].into(), network.prefix_len() - 96)
                .is_ok_and(|network| closed_v4(&network));
        }
        if network.contains(&ipv4) {
            return false;
        }
    }
    let private = [(0xfc00, 7), (0xfe80, 10)];
    let inside = |(first, length): &(u16, u8)| {
        let range = Ipv6Net::new([*first, 0, 0, 0, 0, 0, 0, 0].into(), *length);
        range.is_ok_and(|range| range.contains(network))
    };
    network.prefix_len() >= 64 || private.iter().any(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::tests::entry;
    use crate::{ClientEntry, Limits, TlsSettings};

    #[test]
    fn the_worst_case_of_each_condition_is_tried() {
        for (line, open) in [
            ("network=10.0.0.0/8", false),
            ("network=0.0.0.0/0", true),
            ("network=0.0.0.0/0 helo=a.b listener=x", true),
            ("network=0.0.0.0/0 user=erp", true),
            ("network=0.0.0.0/0 user=erp match=network and user", false),
            ("network=0.0.0.0/0 certificate=a.b match=network and certificate", false),
            ("network=0.0.0.0/0 user=erp helo=a.b match=network and (user or helo)", true),
            ("network=10.0.0.0/8 user=erp helo=a.b match=network and (user or helo)", false),
            ("network=10.0.0.0/8 helo=a.b match=network or helo", true),
            ("user=erp listener=x match=user or listener", true),
            ("helo=a.b match=helo", true),
            ("helo=a.b", false),
            ("user=erp", false),
            ("certificate=a.b", false),
        ] {
            let settings = Settings {
                hostname: String::new(),
                listeners: Vec::new(),
                clients: vec![entry(line)],
                tls: TlsSettings { certificate: None, key: None, client_ca: None, state_dir: "".into() },
                limits: Limits::default(),
            };
            assert_eq!(open_relay(&settings).is_err(), open, "{line}");
        }
    }

    proptest::proptest! {
        /// Strangers: from public addresses that no entry names alone; without user and certificate; with the right name in
        /// EHLO or another, at any listener.
        #[test]
        fn what_is_no_open_relay_lets_no_stranger_in(
            networks in proptest::sample::subsequence(
                vec!["10.0.0.0/8", "203.0.113.7/32", "203.0.113.0/24", "0.0.0.0/0", "2001:db8:1:2::/64", "2001:db8::/32", "::/0",
                    "::ffff:0:0/96", "::ffff:203.0.113.0/120"], 1..3),
            words in proptest::collection::vec(
                (proptest::sample::select(vec!["and", "or"]), proptest::sample::select(Criterion::ALL.to_vec())), 1..6),
            parentheses in proptest::prelude::any::<bool>(),
        ) {
            let half = words.len() / 2;
            let text = words.iter().enumerate().map(|(at, (word, criterion))| match at {
                0 if parentheses => format!("({}", criterion.word()),
                0 => criterion.word().to_owned(),
                at if parentheses && at == half => format!("{word} {})", criterion.word()),
                _ => format!("{word} {}", criterion.word()),
            });
            let text = text.collect::<Vec<_>>().join(" ");
            let text = if text.contains('(') && !text.contains(')') { format!("{text})") } else { text };
            let line = format!("user=erp certificate=a.b helo=a.b listener=x match={text}");
            let client = ClientEntry { networks: networks.iter().map(|one| one.parse().unwrap()).collect(), ..entry(&line) };
            let admission = crate::admission::Admission::new(std::slice::from_ref(&client), 1);
            let mut let_in = false;
            for peer in ["203.0.113.9", "198.51.100.1", "2001:db8:9::1", "2a00::1"] {
                for (helo, listener) in [("a.b", "x"), ("a.b", "y"), ("c.d", "x"), ("c.d", "y")] {
                    let peer = peer.parse().unwrap();
                    let facts = crate::matching::Facts { peer, listener, helo, tls: true, user: None, certificate: None };
                    let_in |= admission.entry(&facts).is_ok();
                }
            }
            let settings = Settings {
                hostname: String::new(),
                listeners: Vec::new(),
                clients: vec![client],
                tls: TlsSettings { certificate: None, key: None, client_ca: None, state_dir: "".into() },
                limits: Limits::default(),
            };
            proptest::prop_assert_eq!(open_relay(&settings).is_err(), let_in, "{:?} {}", networks, line);
        }
    }

    #[test]
    fn only_networks_of_known_machines_are_let_in_without_auth() {
        let closed_ones = [
            "10.0.0.0/8",
            "10.20.0.0/16",
            "172.16.0.0/12",
            "192.168.1.0/24",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "203.0.113.7/32",
            "::1/128",
            "fc00::/7",
            "fd12:3456::/32",
            "fe80::/10",
            "2001:db8:1:2::/64",
            "2001:db8::1/128",
            "::ffff:10.0.0.0/104",
            "64:ff9b::10.0.0.0/104",
        ];
        let open_ones = [
            "0.0.0.0/0",
            "10.0.0.0/7",
            "172.16.0.0/11",
            "203.0.113.0/24",
            "203.0.113.6/31",
            "128.0.0.0/1",
            "::/0",
            "2000::/3",
            "2001:db8::/48",
            "2001:db8::/63",
            "::ffff:0.0.0.0/96",
            "::ffff:203.0.113.0/120",
            "::/64",
            "64:ff9b::/96",
            "64:ff9b::/64",
            "64:ff9b::203.0.113.0/120",
        ];
        for network in closed_ones {
            assert!(closed(&network.parse().unwrap()), "{network}");
        }
        for network in open_ones {
            assert!(!closed(&network.parse().unwrap()), "{network}");
        }
    }
}
