//! Configuration that would let strangers relay is refused before it is used.
//!
//! The rule: a client entry that lets in without AUTH (it has no users, or either network or user is enough) may name
//! - networks inside the ranges that no stranger can come from: RFC 1918, 100.64.0.0/10 (RFC 6598), loopback, link-local,
//!   unique local IPv6 (RFC 4193);
//! - of public space single IPv4 addresses, and IPv6 networks of one link (/64) or less, which cannot be listed one by one.
//!
//! Anything wider is an open relay, however well meant.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::Settings;

/// Who could relay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "client {client:?} would make an open relay: {network} is public, and nobody from there would need AUTH; name single \
     addresses, or demand users as well (require_both = true)"
)]
pub struct OpenRelay {
    /// Name of the client entry.
    pub client: String,
    /// The network.
    pub network: IpNet,
}

/// Finds the first client entry that would make an open relay; see the rule at the head of this file.
pub fn open_relay(settings: &Settings) -> Result<(), OpenRelay> {
    for entry in settings.clients.iter().filter(|entry| entry.users.is_empty() || !entry.require_both) {
        if let Some(network) = entry.networks.iter().find(|network| !closed(network)) {
            return Err(OpenRelay { client: entry.name.clone(), network: *network });
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
