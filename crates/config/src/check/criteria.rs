//! By what a client is known: enough to be somebody, never so little that anybody could be it, and never the same as another.

use inbound::{CertificatePattern, ClientEntry, Criteria, Criterion, OpenRelay, TlsMode};

use crate::check::Checker;
use crate::read::At;
use crate::written::{Client, File};

const OPEN_RELAY: &str = "anybody on the Internet could send mail as you; name only the addresses of your own devices";

impl Client {
    /// Some criterion could not be read, which has been noted: what is left would look like less than was meant.
    fn is_half_read(&self) -> bool {
        let lists = [self.networks.is_unread(), self.users.is_unread(), self.certificates.is_unread()];
        let rest = [self.helo.is_unread(), self.listeners.is_unread(), self.r#match.is_unread()];
        lists.into_iter().chain(rest).any(|unread| unread)
    }
}

impl Checker<'_> {
    pub(super) fn says_who(&mut self, client: &Client) {
        let identities = [&client.networks.value.is_empty(), &client.users.value.is_empty()];
        if client.is_half_read() || !client.certificates.value.is_empty() || identities.contains(&&false) {
            return;
        }
        let remedy =
            "networks = [\"10.20.0.0/16\"], or users = [{ name = \"erp\", password = { file = \"erp.pass\" } }]";
        self.sink.error(
            client.place,
            "a client needs `networks`, `users` or `certificates`: this one is nobody",
            remedy,
        );
    }

    pub(super) fn condition_fits(&mut self, client: &Client, entry: &ClientEntry) {
        let Some(written) = client.r#match.as_ref().filter(|_| !client.is_half_read()) else { return };
        let (given, mentions) = (entry.criteria(), written.value.0.mentions());
        for criterion in
            Criterion::ALL.into_iter().filter(|criterion| given.has(*criterion) != mentions.has(*criterion))
        {
            let (word, key) = (criterion.word(), key(criterion));
            let (what, remedy) = match given.has(criterion) {
                true => (
                    format!("`match` says nothing of {word}, but `{key}` is given"),
                    format!("use {word} in `match`, or take `{key}` out"),
                ),
                false => (
                    format!("`match` speaks of {word}, but there are no `{key}`"),
                    format!("add `{key}`, or take {word} out of `match`"),
                ),
            };
            self.sink.error(written.place, what, remedy);
        }
    }

    pub(super) fn is_no_open_relay(&mut self, client: &Client, entry: &ClientEntry, inbound: &inbound::Settings) {
        // Users that could not be read are noted already, and would look like none at all.
        if client.is_half_read() || client.users.value.len() != entry.users.len() {
            return;
        }
        let alone = inbound::Settings { clients: vec![entry.clone()], ..inbound.clone() };
        let Err(open) = inbound::open_relay(&alone) else { return };
        let place = match &open {
            OpenRelay::Network { network, .. } => {
                client.networks.value.iter().find(|written| written.value == *network).map(|written| written.place)
            }
            OpenRelay::Anybody { .. } => client.r#match.as_ref().map(|condition| condition.place),
        };
        self.sink.error(place.unwrap_or(client.place), open.to_string(), OPEN_RELAY);
    }

    /// The more specific entry counts: there must be one.
    pub(super) fn none_is_like_another(&mut self, clients: &[At<Client>], entries: &[ClientEntry]) {
        let named = |name: &str| {
            let is_it =
                |client: &&At<Client>| client.value.name.as_ref().is_some_and(|written| written.value.0 == name);
            clients.iter().find(is_it).filter(|client| !client.value.is_half_read())
        };
        for tie in inbound::ties(entries) {
            let (Some(first), Some(second)) = (named(&tie.first), named(&tie.second)) else { continue };
            // Two of a name are noted already.
            if tie.first == tie.second {
                continue;
            }
            let line = self.sink.line(first.place).map(|line| format!(" (line {line})")).unwrap_or_default();
            let what = format!(
                "the clients \"{}\"{line} and \"{}\" match some clients equally, by {}: neither is the more specific one",
                tie.first,
                tie.second,
                words(tie.by)
            );
            self.sink.error(
                second.place,
                what,
                "let one of them ask for more: a narrower network, a user, a listener; or make them one",
            );
        }
    }

    pub(super) fn listeners_exist(&mut self, client: &Client, inbound: &inbound::Settings) {
        for name in &client.listeners.value {
            if inbound.listeners.iter().all(|listener| listener.name != name.value.0) {
                let names: Vec<_> = inbound.listeners.iter().map(|listener| listener.name.as_str()).collect();
                let what = format!("`listeners` has \"{}\", but no [[listener]] has this name", name.value.0);
                self.sink.error(name.place, what, format!("there are: {}", names.join(", ")));
            }
        }
    }

    pub(super) fn names_need_authorities(&mut self, client: &Client, file: &File) {
        let name =
            client.certificates.value.iter().find(|written| matches!(written.value, CertificatePattern::Name(_)));
        if let Some(name) = name.filter(|_| file.tls.value.client_ca.is_absent()) {
            self.sink.error(
                name.place,
                format!("`certificates` has the name \"{}\", but nobody vouches for names", name.value),
                "[tls] client_ca = \"devices-ca.pem\": whoever makes your devices' certificates; or \"sha256:…\" of this one",
            );
        }
    }

    pub(super) fn authorities_are_used(&mut self, file: &File, entries: &[ClientEntry]) {
        let mut patterns = entries.iter().flat_map(|entry| &entry.certificates);
        let used = patterns.any(|pattern| matches!(pattern, CertificatePattern::Name(_)));
        if let Some(client_ca) = file.tls.value.client_ca.as_ref().filter(|_| !used) {
            let remedy = "certificates = [\"printer.contoso.com\"] in a [[client]]; or take it out";
            self.sink.warn(client_ca.place, "`client_ca` is of no use: no [[client]] names a certificate", remedy);
        }
    }

    /// A demand that nothing can fulfil would only be found by the device.
    pub(super) fn can_use_tls(&mut self, client: &Client, inbound: &inbound::Settings) {
        let here = |name: &str| {
            let listeners = &client.listeners.value;
            listeners.is_empty() || listeners.iter().any(|written| written.value.0 == name)
        };
        let mut listeners = inbound.listeners.iter().filter(|listener| here(&listener.name)).peekable();
        let demand = match (client.require_tls.value, client.certificates.value.first()) {
            (true, _) => Some(("require_tls", client.require_tls.place)),
            (false, Some(certificate)) => Some(("certificates", certificate.place)),
            (false, None) => None,
        };
        if let Some((key, place)) = demand
            && listeners.peek().is_some()
            && listeners.all(|listener| listener.tls == TlsMode::None)
        {
            let what = format!("`{key}` needs TLS, and no listener that this client may come to offers it");
            self.sink.error(place, what, "tls = \"opportunistic\" in a [[listener]]");
        }
    }
}

fn key(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::Network => "networks",
        Criterion::User => "users",
        Criterion::Certificate => "certificates",
        Criterion::Helo => "helo",
        Criterion::Listener => "listeners",
    }
}

fn words(criteria: Criteria) -> String {
    criteria.iter().map(Criterion::word).collect::<Vec<_>>().join(" and ")
}
