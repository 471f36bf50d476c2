//! What a client may do: as whom, to whom, by which way, how much.

use inbound::RecipientMap;
use queue::{LaneName, PoolSettings};

use crate::check::Checker;
use crate::check::clients::Around;
use crate::read::At;
use crate::units::size_words;
use crate::values::Pattern;
use crate::written::{Client, Limits, Tenant};

impl Checker<'_> {
    /// The pool that takes all its mail; `None`: it goes by its senders, or what is wrong has been noted.
    pub(super) fn lane_of(&mut self, client: &Client, around: Around<'_>) -> Option<LaneName> {
        let tenant = self.tenant_of(client, around)?;
        let name = &tenant.value.name.as_ref()?.value.0;
        let of_it = |pool: &&PoolSettings| *pool.tenant == **name;
        let pools: Vec<_> = around.plan.pools.iter().filter(of_it).map(|pool| &pool.name).collect();
        let Some(path) = &*client.path else { return pools.first().map(|pool| (*pool).clone()) };
        let wanted = format!("{name}/{}", path.value.0);
        let found = pools.iter().find(|pool| *pool.0 == *wanted);
        // A path that could not be read may be the one.
        if found.is_none() && pools.len() == tenant.value.path.value.len() {
            let known: Vec<_> = pools.iter().filter_map(|pool| pool.0.split_once('/')).map(|(_, path)| path).collect();
            let what = format!("`path` is \"{}\", but the tenant \"{name}\" has no such path", path.value.0);
            self.sink.error(path.place, what, format!("there are: {}", known.join(", ")));
        }
        found.map(|pool| (*pool).clone())
    }

    fn tenant_of<'a>(&mut self, client: &Client, around: Around<'a>) -> Option<&'a At<Tenant>> {
        let tenants = &around.file.tenant.value;
        match (&*client.tenant, &*client.path) {
            (Some(wanted), _) => {
                let is_it =
                    |tenant: &&At<Tenant>| tenant.value.name.as_ref().is_some_and(|name| name.value == wanted.value);
                let found = tenants.iter().find(is_it);
                if found.is_none() {
                    let names: Vec<_> =
                        tenants.iter().filter_map(|t| t.value.name.as_ref()).map(|n| n.value.0.as_str()).collect();
                    let what = format!("`tenant` is \"{}\", but no [[tenant]] has this name", wanted.value.0);
                    self.sink.error(wanted.place, what, format!("there are: {}", names.join(", ")));
                }
                found
            }
            (None, Some(path)) if client.tenant.is_absent() => match tenants.as_slice() {
                [only] => Some(only),
                _ => {
                    let remedy = "tenant = \"contoso\": the one whose path this is";
                    self.sink.error(path.place, "`path` needs `tenant`: there are several", remedy);
                    None
                }
            },
            _ => None,
        }
    }

    /// For `internal_only`.
    pub(super) fn internal_domains(&mut self, client: &Client, around: Around<'_>) -> Option<Vec<String>> {
        if !client.internal_only.value {
            return None;
        }
        // What is wrong with the names has been noted by then.
        let is_its = |tenant: &&At<Tenant>| match (&*client.tenant, &*tenant.value.name) {
            (Some(wanted), Some(name)) => wanted.value == name.value,
            _ => true,
        };
        let tenants = around.file.tenant.value.iter().filter(is_its).map(|tenant| &tenant.value);
        let domains = tenants.flat_map(|tenant| {
            let domains = tenant.domains.iter().flat_map(|domains| &domains.value);
            domains.chain(&tenant.internal_domains.value)
        });
        Some(domains.map(|domain| domain.value.0.clone()).collect())
    }

    pub(super) fn recipient_map(&mut self, client: &Client) -> RecipientMap {
        let mut map = RecipientMap::default();
        for (from, to) in &client.recipient_map.value.0 {
            if let Err(error) = map.add(&from.value, &to.value) {
                let remedy = "\"old@contoso.com\" = \"new@contoso.com\", or \"*@old.example\" = \"*@contoso.com\"";
                self.sink.error(from.place, format!("`recipient_map`: {error}"), remedy);
            }
        }
        map
    }

    pub(super) fn limits_are_within(&mut self, client: &Client, limits: &Limits) {
        if let Some(size) = &*client.size
            && size.octets() > limits.message_size.octets()
        {
            let all = size_words(limits.message_size.octets());
            let what = format!("`size` is over the limit of all clients, which is {all}");
            self.sink.error(size.place, what, "raise `message_size` in [limits], or lower this");
        }
        if let Some(recipients) = &*client.recipients_per_message
            && recipients.value.0 > limits.recipients.value.0
        {
            let all = limits.recipients.value.0;
            let what = format!("`recipients_per_message` is over the limit of all clients, which is {all}");
            self.sink.error(recipients.place, what, "raise `recipients` in [limits], or lower this");
        }
    }

    pub(super) fn senders_have_a_tenant(&mut self, senders: &[At<Pattern>], tenants: &[At<Tenant>]) {
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
                    format!("`senders` has \"{}\", but there is {meant} in any tenant's `domains`", sender.value.text);
                self.sink.error(
                    sender.place,
                    what,
                    "mail from there would have no way out: add the domain to its tenant, or name the `tenant` it goes by",
                );
            }
        }
    }
}
