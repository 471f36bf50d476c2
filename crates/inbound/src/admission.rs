//! Who may relay, and as what.
//!
//! In: the peer's address, the user that AUTH proved, a reverse-path. Out: the client entry and the lane, or a refusal that
//! says what the administrator must add. There is no exception, loopback included.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use queue::{LaneName, Routes};
use smtp::{AddressPattern, AddressPatternError, EnhancedStatus, ForwardPath, Reply, ReversePath};

use crate::ClientEntry;
use crate::logins::User;

const DENIED: EnhancedStatus = EnhancedStatus::new(5, 7, 1);

/// A client entry, ready to be asked.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) size: u64,
    pub(crate) urgent: bool,
    pub(crate) report_to: Option<ForwardPath>,
    networks: Vec<IpNet>,
    has_users: bool,
    require_both: bool,
    senders: Vec<AddressPattern>,
}

impl Entry {
    fn new(settings: &ClientEntry, message_size: u64) -> Result<Self, AddressPatternError> {
        Ok(Self {
            name: settings.name.as_str().into(),
            size: settings.size.unwrap_or(message_size).min(message_size),
            urgent: settings.urgent,
            report_to: settings.report_to.clone(),
            networks: settings.networks.iter().map(as_peers_come).collect(),
            has_users: !settings.users.is_empty(),
            require_both: settings.require_both,
            senders: settings.senders.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        })
    }

    fn lets_in(&self, peer: IpAddr, is_user: bool) -> bool {
        let network = self.networks.iter().any(|network| network.contains(&peer));
        match (self.networks.is_empty(), self.has_users) {
            (false, true) if self.require_both => network && is_user,
            _ => network || is_user,
        }
    }
}

/// Peers with IPv4 come as IPv4, whatever the socket: so must networks.
fn as_peers_come(network: &IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return *network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    let ipv4 = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    ipv4.map_or(*network, IpNet::V4)
}

/// All client entries, in the order of the file.
#[derive(Debug)]
pub(crate) struct Admission {
    entries: Vec<Arc<Entry>>,
}

impl Admission {
    pub(crate) fn new(clients: &[ClientEntry], message_size: u64) -> Result<Self, AddressPatternError> {
        let entries = clients.iter().map(|client| Entry::new(client, message_size).map(Arc::new));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// The first entry that lets this peer in.
    pub(crate) fn entry(&self, peer: IpAddr, user: Option<&User>) -> Result<&Arc<Entry>, Reply> {
        let is_user = |at: usize| user.is_some_and(|user| user.entry == at);
        let mut entries = self.entries.iter().enumerate();
        match entries.find(|(at, entry)| entry.lets_in(peer, is_user(*at))) {
            Some((_, entry)) => Ok(entry),
            None => Err(self.stranger(peer, user)),
        }
    }

    fn stranger(&self, peer: IpAddr, user: Option<&User>) -> Reply {
        let network = IpNet::from(peer);
        let text = match user {
            Some(user) => format!(
                "relaying denied: user {} may not relay from {peer}; its [[client]] entry would need \"{network}\" in networks",
                user.name
            ),
            None if self.entries.iter().any(|entry| entry.has_users) => format!(
                "relaying denied: no client entry of this relay lets {peer} in; log in with AUTH, or have its administrator \
                 add [[client]] networks = [\"{network}\"]"
            ),
            None => format!(
                "relaying denied: no client entry of this relay lets {peer} in; its administrator must add [[client]] \
                 networks = [\"{network}\"]"
            ),
        };
        Reply::new(550, DENIED, text)
    }
}

/// Whether the entry may send as this, and where that goes.
pub(crate) fn lane<'a>(entry: &Entry, routes: &'a Routes, path: &ReversePath) -> Result<&'a LaneName, Reply> {
    let (name, shown) = (&entry.name, address(path));
    if !entry.senders.is_empty() && !may_send(entry, path) {
        let text =
            format!("client \"{name}\" may not send as <{shown}>: senders of its [[client]] entry must allow it");
        return Err(Reply::new(550, DENIED, text));
    }
    routes.lane(path).ok_or_else(|| {
        let text = match path {
            ReversePath::Null => {
                "this relay has no path for mail with the null reverse-path: a [[tenant]] must come first".into()
            }
            ReversePath::Mailbox(mailbox) => {
                format!("this relay has no path for <{shown}>: domains of a [[tenant]] must name {}", mailbox.domain())
            }
        };
        Reply::new(550, DENIED, text)
    })
}

/// The null reverse-path may be used by everybody: notifications have no sender to check.
fn may_send(entry: &Entry, path: &ReversePath) -> bool {
    path.mailbox().is_none_or(|mailbox| entry.senders.iter().any(|pattern| pattern.matches(mailbox)))
}

fn address(path: &ReversePath) -> &str {
    match path {
        ReversePath::Null => "",
        ReversePath::Mailbox(mailbox) => mailbox.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{User as UserSettings, Verifier};

    fn client(name: &str, networks: &[&str], users: &[&str], require_both: bool) -> ClientEntry {
        let user = |name: &&str| UserSettings { name: (*name).into(), password: Verifier::Argon2id(String::new()) };
        ClientEntry {
            name: name.into(),
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            users: users.iter().map(user).collect(),
            require_both,
            senders: Vec::new(),
            owner: None,
            report_to: None,
            size: None,
            urgent: false,
        }
    }

    fn found(clients: &[ClientEntry], peer: &str, entry_of_user: Option<usize>) -> Option<String> {
        let admission = Admission::new(clients, 1).unwrap();
        let user = entry_of_user.map(|entry| User { name: "erp".into(), entry });
        admission.entry(peer.parse().unwrap(), user.as_ref()).ok().map(|entry| entry.name.to_string())
    }

    #[test]
    fn networks_and_users_let_in_by_this_table() {
        let (inside, outside) = ("10.1.2.3", "192.0.2.1");
        //          networks       users  both   net    user   net+user neither
        let table = [
            (vec!["10.0.0.0/8"], vec![], false, true, false, true, false),
            (vec![], vec!["erp"], false, false, true, true, false),
            (vec!["10.0.0.0/8"], vec!["erp"], false, true, true, true, false),
            (vec!["10.0.0.0/8"], vec!["erp"], true, false, false, true, false),
            (vec![], vec!["erp"], true, false, true, true, false),
            (vec!["10.0.0.0/8"], vec![], true, true, false, true, false),
            (vec![], vec![], false, false, false, false, false),
        ];
        for (networks, users, both, by_network, by_user, by_both, by_neither) in table {
            let clients = [client("it", &networks, &users, both)];
            let user = (!users.is_empty()).then_some(0);
            let let_in = |peer, user| found(&clients, peer, user).is_some();
            assert_eq!(let_in(inside, None), by_network, "{clients:?}");
            assert_eq!(let_in(outside, user), by_user, "{clients:?}");
            assert_eq!(let_in(inside, user), by_both, "{clients:?}");
            assert_eq!(let_in(outside, None), by_neither, "{clients:?}");
        }
    }

    #[test]
    fn the_first_entry_that_matches_lets_in_and_loopback_is_no_exception() {
        let clients = [
            client("one", &["10.1.0.0/16"], &[], false),
            client("two", &["10.0.0.0/8"], &[], false),
            client("three", &[], &["erp"], false),
        ];
        assert_eq!(found(&clients, "10.1.0.1", None).as_deref(), Some("one"));
        assert_eq!(found(&clients, "10.2.0.1", None).as_deref(), Some("two"));
        assert_eq!(found(&clients, "10.2.0.1", Some(2)).as_deref(), Some("two"));
        assert_eq!(found(&clients, "192.0.2.1", Some(2)).as_deref(), Some("three"));
        assert_eq!(found(&clients, "127.0.0.1", None), None);
        assert_eq!(found(&clients, "::1", None), None);
    }

    #[test]
    fn a_network_of_mapped_addresses_is_the_network_of_ipv4() {
        let clients = [client("one", &["::ffff:10.1.0.0/112"], &[], false)];
        assert_eq!(found(&clients, "10.1.2.3", None).as_deref(), Some("one"));
        assert_eq!(found(&clients, "10.2.2.3", None), None);
    }

    #[test]
    fn a_stranger_is_told_its_address_and_what_to_add() {
        let admission = Admission::new(&[client("one", &["10.1.0.0/16"], &[], false)], 1).unwrap();
        let text = admission.entry("10.9.2.3".parse().unwrap(), None).unwrap_err().text();
        assert!(text.contains("lets 10.9.2.3 in") && text.contains(r#"networks = ["10.9.2.3/32"]"#), "{text}");
        assert!(!text.contains("AUTH"), "{text}");
    }

    #[test]
    fn the_senders_of_an_entry_and_the_domains_of_the_tenants_bound_the_reverse_path() {
        let lane_name = LaneName("contoso/submission".into());
        let routes = Routes::new([("contoso.com".to_owned(), lane_name.clone())], Some(lane_name));
        let entry = |senders: &[&str]| {
            let senders = senders.iter().map(|text| (*text).to_owned()).collect();
            Entry::new(&ClientEntry { senders, ..client("erp", &[], &[], false) }, 1).unwrap()
        };
        let verdict = |senders: &[&str], path: &str| {
            lane(&entry(senders), &routes, &path.parse().unwrap()).map(|_| ()).map_err(|reply| reply.to_string())
        };
        assert_eq!(verdict(&[], "<any@contoso.com>"), Ok(()));
        assert_eq!(verdict(&["billing@contoso.com"], "<billing@contoso.com>"), Ok(()));
        assert_eq!(verdict(&["billing@contoso.com"], "<>"), Ok(()));
        let refused = verdict(&["billing@contoso.com"], "<boss@contoso.com>").unwrap_err();
        assert!(
            refused.starts_with("550 5.7.1") && refused.contains("\"erp\"") && refused.contains("senders"),
            "{refused}"
        );
        let refused = verdict(&["*"], "<a@fabrikam.com>").unwrap_err();
        assert!(refused.contains("domains of a [[tenant]] must name fabrikam.com"), "{refused}");
    }
}
