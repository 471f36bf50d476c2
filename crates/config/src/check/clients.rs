//! Who may relay. Nothing here may make an open relay, and nobody may send as a domain that has no way out.

use inbound::{ClientEntry, User, Verifier};
use smtp::ForwardPath;

use crate::check::Checker;
use crate::read::At;
use crate::units::size_words;
use crate::values::SenderPattern;
use crate::words::{Bounces, OneOf};
use crate::written::{self, Client, File, Limits, Tenant};

impl Checker<'_> {
    /// In the order of the file.
    pub(super) fn clients(&mut self, file: &File, inbound: &inbound::Settings) -> Vec<ClientEntry> {
        let clients = &file.client.value;
        let named = clients.iter().filter_map(|c| c.value.name.as_ref()).map(|name| (&name.value.0, name.place));
        self.no_twins(named, |name| (format!("two clients have the name \"{name}\""), "each has its own".to_owned()));
        clients.iter().filter_map(|client| self.client(&client.value, file, inbound)).collect()
    }

    fn client(&mut self, client: &Client, file: &File, inbound: &inbound::Settings) -> Option<ClientEntry> {
        self.says_who(client);
        self.senders_have_a_tenant(&client.senders.value, &file.tenant.value);
        self.size_is_within(client, &file.limits.value);
        let users = self.users(client);
        let entry = ClientEntry {
            name: client.name.as_ref()?.value.0.clone(),
            networks: client.networks.value.iter().map(|network| network.value).collect(),
            users,
            require_both: client.require_both.value,
            senders: client.senders.value.iter().map(|sender| sender.value.0.clone()).collect(),
            owner: client.owner.as_ref().map(|owner| owner.value.0.to_string()),
            report_to: self.report_to(client),
            size: client.size.as_ref().map(At::octets),
            urgent: client.urgent.value,
        };
        self.is_no_open_relay(client, &entry, inbound);
        Some(entry)
    }

    /// Who hears of bounces; `None`: the reverse-path.
    fn report_to(&mut self, client: &Client) -> Option<ForwardPath> {
        let bounces = client.bounces.as_ref();
        if let Some(At { value: OneOf(Bounces::Owner), place }) = bounces
            && client.owner.is_absent()
        {
            let remedy = "add `owner`, for example owner = \"it@contoso.com\"";
            self.sink.error(*place, "`bounces` go to an owner that is not named", remedy);
        }
        let to_sender = bounces.is_some_and(|bounces| bounces.value.0 == Bounces::Sender);
        let owner = client.owner.as_ref().filter(|_| !to_sender);
        owner.map(|owner| ForwardPath::Mailbox(owner.value.0.clone()))
    }

    fn is_no_open_relay(&mut self, client: &Client, entry: &ClientEntry, inbound: &inbound::Settings) {
        // Entries that could not be read are noted already, and would look like none at all.
        if client.users.is_unread() || client.users.value.len() != entry.users.len() {
            return;
        }
        let alone = inbound::Settings { clients: vec![entry.clone()], ..inbound.clone() };
        if let Err(open) = inbound::open_relay(&alone) {
            let place = client.networks.value.iter().find(|network| network.value == open.network);
            self.sink.error(place.map_or(client.place, |network| network.place), open.to_string(), OPEN_RELAY);
        }
    }

    fn says_who(&mut self, client: &Client) {
        if client.networks.is_unread() || client.users.is_unread() {
            return;
        }
        let (networks, users) = (!client.networks.is_absent(), !client.users.is_absent());
        if !networks && !users {
            let remedy =
                "networks = [\"10.20.0.0/16\"], or users = [{ name = \"erp\", password = { file = \"erp.pass\" } }]";
            self.sink.error(client.place, "a client needs `networks` or `users`: this one is nobody", remedy);
        } else if client.require_both.value && !(networks && users) {
            let remedy = "add the other, or take `require_both` out";
            self.sink.error(client.require_both.place, "`require_both` needs `networks` and `users`", remedy);
        }
    }

    fn users(&mut self, client: &Client) -> Vec<User> {
        let named = client
            .users
            .value
            .iter()
            .filter_map(|user| user.value.name.as_ref())
            .map(|name| (&name.value.0, name.place));
        self.no_twins(named, |name| (format!("the user \"{name}\" stands here twice"), "take one out".to_owned()));
        client.users.value.iter().filter_map(|user| self.user(&user.value)).collect()
    }

    fn user(&mut self, user: &written::User) -> Option<User> {
        let password = match (&*user.password, &*user.password_hash) {
            (Some(password), None) => Verifier::Secret(self.secret(password)),
            (None, Some(hash)) => Verifier::Argon2id(hash.value.0.clone()),
            _ if user.password.is_unread() || user.password_hash.is_unread() => return None,
            _ => {
                self.sink.error(
                    user.place,
                    "a user needs either `password` or `password_hash`",
                    "password = { file = \"erp.pass\" }, or password_hash = \"$argon2id$…\"",
                );
                return None;
            }
        };
        Some(User { name: user.name.as_ref()?.value.0.clone(), password })
    }

    fn size_is_within(&mut self, client: &Client, limits: &Limits) {
        if let Some(size) = &*client.size
            && size.octets() > limits.message_size.octets()
        {
            let all = size_words(limits.message_size.octets());
            let what = format!("`size` is over the limit of all clients, which is {all}");
            self.sink.error(size.place, what, "raise `message_size` in [limits], or lower this");
        }
    }

    fn senders_have_a_tenant(&mut self, senders: &[At<SenderPattern>], tenants: &[At<Tenant>]) {
        let domains: Vec<&str> = tenants
            .iter()
            .flat_map(|t| t.value.domains.iter())
            .flat_map(|d| &d.value)
            .map(|d| d.value.0.as_str())
            .collect();
        for sender in senders {
            let Some((domain, below)) = sender.value.domain() else { continue };
            let domain = domain.to_lowercase();
            let owned = domains.iter().any(|own| match below {
                true => own.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.')),
                false => *own == domain,
            });
            if !owned {
                let meant = if below { format!("no subdomain of {domain}") } else { format!("no domain {domain}") };
                let what =
                    format!("`senders` has \"{}\", but there is {meant} in any tenant's `domains`", sender.value.0);
                self.sink.error(
                    sender.place,
                    what,
                    "mail from there would have no way out: add the domain to its tenant",
                );
            }
        }
    }
}

const OPEN_RELAY: &str = "anybody on the Internet could send mail as you; name only the addresses of your own devices";
