//! Who may relay, by which client entry, and what that entry demands first.
//!
//! In: what is known of a session. Out: the entry that fits it most specifically, or a refusal that says what the administrator
//! must add or the device must do. There is no exception, loopback included.

use std::fmt::Write;
use std::sync::Arc;

use ipnet::IpNet;
use queue::LaneName;
use smtp::{AddressPattern, EnhancedStatus, ForwardPath, Mailbox, Reply};

use crate::condition::Criterion;
use crate::incoming::{Refusal, too_large};
use crate::matching::{Facts, Matcher, Specificity};
use crate::usage::Usage;
use crate::{ClientEntry, PlusAddresses, Priority, RecipientMap};

pub(crate) const DENIED: EnhancedStatus = EnhancedStatus::new(5, 7, 1);
const SECURITY: EnhancedStatus = EnhancedStatus::new(5, 7, 0);
/// Entries that one line of the log tells of.
const TOLD: usize = 8;

/// A client entry, ready to be asked. Its rights are in `rights`, what it has used up in `usage`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) size: u64,
    pub(crate) priority: Priority,
    pub(crate) report_to: Option<ForwardPath>,
    pub(crate) archive: Option<Mailbox>,
    pub(crate) lane: Option<LaneName>,
    pub(crate) senders: Vec<AddressPattern>,
    pub(crate) recipients: Vec<AddressPattern>,
    /// Lower case.
    pub(crate) internal_only: Option<Vec<String>>,
    pub(crate) recipient_map: RecipientMap,
    pub(crate) plus_addresses: PlusAddresses,
    pub(crate) recipients_per_message: Option<u64>,
    pub(crate) usage: Usage,
    require_tls: bool,
    matcher: Matcher,
}

impl Entry {
    pub(crate) fn new(settings: &ClientEntry, message_size: u64) -> Self {
        let lower = |domains: &Vec<String>| domains.iter().map(|domain| domain.to_lowercase()).collect();
        Self {
            name: settings.name.as_str().into(),
            size: settings.size.unwrap_or(message_size).min(message_size),
            priority: settings.priority,
            report_to: settings.report_to.clone(),
            archive: settings.archive.clone(),
            lane: settings.lane.clone(),
            senders: settings.senders.clone(),
            recipients: settings.recipients.clone(),
            internal_only: settings.internal_only.as_ref().map(lower),
            recipient_map: settings.recipient_map.clone(),
            plus_addresses: settings.plus_addresses,
            recipients_per_message: settings.recipients_per_message,
            usage: Usage::new(settings.messages_per_minute, settings.recipients_per_day),
            require_tls: settings.require_tls,
            matcher: Matcher::new(settings),
        }
    }

    /// SIZE of MAIL.
    pub(crate) fn has_room_for(&self, size: Option<u64>) -> Result<(), Refusal> {
        if size.is_some_and(|size| size > self.size) {
            return Err(too_large(&self.name, self.size));
        }
        Ok(())
    }

    /// TLS comes before anything else that it may do.
    pub(crate) fn demand(&self, facts: &Facts<'_>) -> Result<(), Reply> {
        if !self.require_tls || facts.tls {
            return Ok(());
        }
        let text = format!("Send STARTTLS first: require_tls of the [[client]] entry \"{}\" demands it", self.name);
        Err(Reply::new(530, SECURITY, text))
    }
}

/// All client entries.
#[derive(Debug)]
pub(crate) struct Admission {
    entries: Vec<Arc<Entry>>,
}

/// An entry and how well it fits a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit<'a> {
    pub(crate) entry: &'a Arc<Entry>,
    pub(crate) specificity: Specificity,
    pub(crate) lets_in: bool,
}

impl Admission {
    pub(crate) fn new(clients: &[ClientEntry], message_size: u64) -> Self {
        Self { entries: clients.iter().map(|client| Arc::new(Entry::new(client, message_size))).collect() }
    }

    /// The entry that lets this session in and fits it most specifically.
    pub(crate) fn entry(&self, facts: &Facts<'_>) -> Result<&Arc<Entry>, Reply> {
        let mut best: Option<Fit<'_>> = None;
        let mut equal = None;
        for fit in self.fits(facts).filter(|fit| fit.lets_in) {
            match best {
                Some(before) if fit.specificity < before.specificity => {}
                Some(before) if fit.specificity == before.specificity => equal = Some(fit),
                _ => (best, equal) = (Some(fit), None),
            }
        }
        match (best, equal) {
            (Some(best), None) => Ok(best.entry),
            (Some(best), Some(equal)) => Err(ambiguous(&best, &equal)),
            (None, _) => Err(self.stranger(facts)),
        }
    }

    /// Every entry with how it fits, in the order of the file.
    pub(crate) fn fits<'a>(&'a self, facts: &Facts<'_>) -> impl Iterator<Item = Fit<'a>> {
        self.entries.iter().enumerate().map(|(at, entry)| {
            let specificity = entry.matcher.specificity(at, facts);
            Fit { entry, specificity, lets_in: entry.matcher.lets_in(&specificity) }
        })
    }

    /// For the log: the entries that came nearest, what of each held, and what it asks for.
    pub(crate) fn considered(&self, facts: &Facts<'_>) -> String {
        let mut fits: Vec<_> = self.fits(facts).collect();
        fits.sort_by_key(|fit| std::cmp::Reverse((fit.lets_in, fit.specificity.criteria().len(), fit.specificity)));
        let mut text = String::new();
        for fit in fits.iter().take(TOLD) {
            let _ = write!(text, "{}{}", if text.is_empty() { "" } else { "; " }, fit.words());
        }
        if fits.len() > TOLD {
            let _ = write!(text, "; and {} more", fits.len() - TOLD);
        }
        text
    }

    /// Who could be let in by proving more is told so; all others learn their address and the key, no entry's name.
    fn stranger(&self, facts: &Facts<'_>) -> Reply {
        let Facts { peer, helo, listener, .. } = facts;
        let network = IpNet::from(*peer);
        let fits: Vec<_> = self.fits(facts).collect();
        let with = |criterion| fits.iter().any(|fit| fit.entry.matcher.would_let_in(&fit.specificity, criterion));
        let (login, certificate) = (facts.user.is_none() && with(Criterion::User), with(Criterion::Certificate));
        if login || certificate {
            return authentication_required(facts, login, certificate);
        }
        if let Some(user) = facts.user {
            let text = format!(
                "relaying denied: user {} may not relay from {peer}; its [[client]] entry would need \"{network}\" in networks, \
                 or another match",
                user.name
            );
            return Reply::new(550, DENIED, text);
        }
        let known = fits.iter().any(|fit| fit.specificity.criteria().has(Criterion::Network));
        let text = if known {
            format!(
                "relaying denied: no client entry of this relay lets {peer} in as {} at listener {listener}; helo, listeners or \
                 match of its [[client]] entry must allow it",
                shown(helo)
            )
        } else {
            format!(
                "relaying denied: no client entry of this relay lets {peer} in; its administrator must add [[client]] \
                 networks = [\"{network}\"]"
            )
        };
        Reply::new(550, DENIED, text)
    }
}

impl Fit<'_> {
    /// `printers: network holds, wants network and user`.
    pub(crate) fn words(&self) -> String {
        let held: Vec<_> = self.specificity.criteria().iter().map(Criterion::word).collect();
        let held = if held.is_empty() { "nothing".to_owned() } else { held.join(", ") };
        let condition = self.entry.matcher.condition();
        format!("{}: {held} of ({condition}){}", self.entry.name, if self.lets_in { ", lets in" } else { "" })
    }
}

/// RFC 4954 §6. A certificate that was shown and was no help is named: the device cannot see why otherwise.
fn authentication_required(facts: &Facts<'_>, login: bool, certificate: bool) -> Reply {
    let how = match (login, certificate, facts.tls) {
        (true, true, _) => "log in with AUTH, or show a client certificate that a [[client]] entry names",
        (true, false, false) => "log in with AUTH, after STARTTLS if it is not offered before",
        (true, false, true) => "log in with AUTH",
        (false, _, false) => "send STARTTLS and show a client certificate that a [[client]] entry names",
        (false, _, true) => "show a client certificate that a [[client]] entry names in certificates",
    };
    let network = IpNet::from(facts.peer);
    let mut text = format!(
        "Authentication required: {how}; or the administrator adds [[client]] networks = [\"{network}\"] for {}",
        facts.peer
    );
    if let Some(shown) = facts.certificate.filter(|_| certificate) {
        let _ = write!(text, ". The certificate shown has sha256:{}", shown.fingerprint);
        if let Some(distrust) = &shown.distrust {
            let _ = write!(text, " and its names do not count: {distrust}");
        }
    }
    Reply::new(530, SECURITY, text)
}

/// The configuration is checked for this, but a certificate can bear names of two entries.
fn ambiguous(one: &Fit<'_>, two: &Fit<'_>) -> Reply {
    let text = format!(
        "relaying denied: the [[client]] entries \"{}\" and \"{}\" fit this client equally; one of them must ask for more",
        one.entry.name, two.entry.name
    );
    Reply::new(550, DENIED, text)
}

/// A name from outside, in a reply: cut.
fn shown(helo: &str) -> &str {
    let end = helo.char_indices().nth(64).map_or(helo.len(), |(at, _)| at);
    helo.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerCertificate;
    use crate::logins::User;
    use crate::matching::tests::entry;

    /// The reply to a session from 10.1.2.3 or 192.0.2.1 that these entries get; the name of the entry that lets it in.
    fn verdict(
        lines: &[&str],
        peer: &str,
        user: Option<&[usize]>,
        shown: Option<&PeerCertificate>,
        tls: bool,
    ) -> String {
        let clients: Vec<_> = lines.iter().map(|line| entry(line)).collect();
        let user = user.map(|entries| User { name: "erp".into(), entries: entries.into() });
        let facts = Facts {
            peer: peer.parse().unwrap(),
            listener: "office",
            helo: "copier",
            tls,
            user: user.as_ref(),
            certificate: shown,
        };
        let admission = Admission::new(&clients, 1);
        match admission.entry(&facts).and_then(|entry| entry.demand(&facts).map(|()| entry)) {
            Ok(entry) => entry.name.to_string(),
            Err(reply) => reply.to_string(),
        }
    }

    #[test]
    fn loopback_is_no_exception() {
        for peer in ["127.0.0.1", "::1"] {
            assert!(verdict(&["network=10.0.0.0/8"], peer, None, None, false).starts_with("550 5.7.1"), "{peer}");
        }
    }

    #[test]
    fn a_stranger_is_told_its_address_and_what_to_add_and_no_name_of_an_entry() {
        let text = verdict(&["network=10.1.0.0/16"], "10.9.2.3", None, None, false);
        assert!(text.contains("lets 10.9.2.3 in") && text.contains(r#"networks = ["10.9.2.3/32"]"#), "{text}");
        assert!(!text.contains("AUTH") && !text.contains("network="), "{text}");
    }

    #[test]
    fn whoever_could_prove_more_is_told_how() {
        let trusted = "certificate=p.contoso.com";
        let unknown = PeerCertificate {
            fingerprint: "00".repeat(32).parse().unwrap(),
            names: Vec::new(),
            distrust: Some("UnknownIssuer".into()),
        };
        let both = "network=10.0.0.0/8 user=erp match=network and user";
        for (lines, peer, user, shown, expected, words) in [
            (&["user=erp"][..], "192.0.2.1", None, None, "530 5.7.0", "log in with AUTH"),
            (&[both], "10.1.2.3", None, None, "530 5.7.0", "log in with AUTH"),
            (&[both], "192.0.2.1", None, None, "550 5.7.1", "networks = [\"192.0.2.1/32\"]"),
            (&[both], "192.0.2.1", Some(&[0][..]), None, "550 5.7.1", "user erp may not relay from 192.0.2.1"),
            (&[trusted], "192.0.2.1", None, None, "530 5.7.0", "client certificate"),
            (&[trusted], "192.0.2.1", None, Some(&unknown), "530 5.7.0", "UnknownIssuer"),
            (&[trusted, "user=erp"], "192.0.2.1", None, None, "530 5.7.0", "log in with AUTH, or show"),
            (&["network=10.0.0.0/8 helo=a.b"], "10.1.2.3", None, None, "550 5.7.1", "in as copier at listener office"),
        ] {
            let text = verdict(lines, peer, user, shown, true);
            assert!(text.starts_with(expected) && text.contains(words), "{lines:?} {text}");
        }
    }

    #[test]
    fn an_entry_that_demands_tls_says_so_once_it_is_known_who_asks() {
        let clients = [ClientEntry { require_tls: true, ..entry("network=10.0.0.0/8") }];
        let admission = Admission::new(&clients, 1);
        let facts = |tls| Facts {
            peer: "10.1.2.3".parse().unwrap(),
            listener: "office",
            helo: "copier",
            tls,
            user: None,
            certificate: None,
        };
        let entry = admission.entry(&facts(false)).unwrap();
        assert!(entry.demand(&facts(false)).unwrap_err().to_string().starts_with("530 5.7.0 Send STARTTLS first"));
        assert_eq!(entry.demand(&facts(true)), Ok(()));
    }

    #[test]
    fn a_certificate_with_the_names_of_two_entries_is_of_neither() {
        let shown = PeerCertificate::trusted("00".repeat(32).parse().unwrap(), vec!["a.b".into(), "c.d".into()]);
        let lines = ["certificate=a.b", "certificate=c.d"];
        let text = verdict(&lines, "192.0.2.1", None, Some(&shown), true);
        assert!(text.starts_with("550 5.7.1") && lines.iter().all(|line| text.contains(line)), "{text}");
        let three = ["certificate=a.b", "certificate=c.d", "certificate=a.b user=erp match=certificate and user"];
        assert_eq!(verdict(&three, "192.0.2.1", Some(&[2]), Some(&shown), true), three[2]);
    }

    #[test]
    fn the_log_tells_which_entries_came_near() {
        let clients: Vec<_> = ["network=192.168.0.0/16", "network=10.0.0.0/8 user=erp match=network and user"]
            .iter()
            .map(|line| ClientEntry { name: line.split(' ').next().unwrap().to_owned(), ..entry(line) })
            .collect();
        let facts = Facts {
            peer: "10.1.2.3".parse().unwrap(),
            listener: "office",
            helo: "copier",
            tls: false,
            user: None,
            certificate: None,
        };
        assert_eq!(
            Admission::new(&clients, 1).considered(&facts),
            "network=10.0.0.0/8: network of (network and user); network=192.168.0.0/16: nothing of (network)"
        );
    }
}
