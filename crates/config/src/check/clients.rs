//! Clients: each entry as a whole. Who they are is in `criteria`, what they may do in `rights`.

use inbound::{ClientEntry, User, Verifier};
use queue::Plan;
use smtp::ForwardPath;

use crate::check::Checker;
use crate::read::At;
use crate::words::{Bounces, OneOf};
use crate::written::{self, Client, File};

/// What the checks of a client look at besides itself.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) file: &'a File,
    /// All but the clients.
    pub(super) inbound: &'a inbound::Settings,
    pub(super) plan: &'a Plan,
}

impl Checker<'_> {
    /// In the order of the file.
    pub(super) fn clients(&mut self, file: &File, inbound: &inbound::Settings, plan: &Plan) -> Vec<ClientEntry> {
        let clients = &file.client.value;
        let named = clients.iter().filter_map(|c| c.value.name.as_ref()).map(|name| (&name.value.0, name.place));
        self.no_twins(named, |name| (format!("two clients have the name \"{name}\""), "each has its own".to_owned()));
        let around = Around { file, inbound, plan };
        let entries: Vec<_> = clients.iter().filter_map(|client| self.client(&client.value, around)).collect();
        self.none_is_like_another(clients, &entries);
        self.authorities_are_used(file, &entries);
        entries
    }

    fn client(&mut self, client: &Client, around: Around<'_>) -> Option<ClientEntry> {
        self.says_who(client);
        self.listeners_exist(client, around.inbound);
        self.names_need_authorities(client, around.file);
        self.limits_are_within(client, &around.file.limits.value);
        let lane = self.lane_of(client, around);
        if client.tenant.is_absent() && client.path.is_absent() {
            self.senders_have_a_tenant(&client.senders.value, &around.file.tenant.value);
        }
        let users = self.users(client);
        let recipient_map = self.recipient_map(client);
        let patterns = |patterns: &[At<crate::values::Pattern>]| {
            patterns.iter().map(|pattern| pattern.value.pattern.clone()).collect()
        };
        let entry = ClientEntry {
            networks: client.networks.value.iter().map(|network| network.value).collect(),
            users,
            certificates: client.certificates.value.iter().map(|certificate| certificate.value.clone()).collect(),
            helo: client.helo.value.iter().map(|name| name.value.clone()).collect(),
            listeners: client.listeners.value.iter().map(|name| name.value.0.clone()).collect(),
            condition: client.r#match.as_ref().map(|condition| condition.value.0.clone()),
            require_tls: client.require_tls.value,
            senders: patterns(&client.senders.value),
            recipients: patterns(&client.recipients.value),
            internal_only: self.internal_domains(client, around),
            recipient_map,
            plus_addresses: client.plus_addresses.value.0,
            archive: client.archive.as_ref().map(|archive| archive.value.0.clone()),
            lane,
            owner: client.owner.as_ref().map(|owner| owner.value.0.to_string()),
            report_to: self.report_to(client),
            size: client.size.as_ref().map(At::octets),
            recipients_per_message: client.recipients_per_message.as_ref().map(|number| number.value.0),
            recipients_per_day: client.recipients_per_day.as_ref().map(|number| number.value.0),
            messages_per_minute: client.messages_per_minute.as_ref().map(|number| number.value.0),
            priority: client.priority.value.0,
            ..ClientEntry::named(&client.name.as_ref()?.value.0)
        };
        self.condition_fits(client, &entry);
        self.is_no_open_relay(client, &entry, around.inbound);
        self.can_use_tls(client, around.inbound);
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
                    "password = { file = \"erp.pass\" }, or password_hash = \"$argon2id$…\" as `posthouse password` prints it",
                );
                return None;
            }
        };
        Some(User { name: user.name.as_ref()?.value.0.clone(), password })
    }
}
