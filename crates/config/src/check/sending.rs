//! What a client's entry says of its mail on the way out: as whom it goes, what is edited in its header section.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::inbound::ClientEntry;
use message::{FieldName, HeaderEdits};
use queue::LaneName;
use smtp::Mailbox;
use transport::{ClientRules, Clients, Keeping, Rewrite};

use crate::check::Checker;
use crate::check::tenants::Tenants;
use crate::config::Lane;
use crate::read::{At, Map};
use crate::written::{Client, File, Headers};

impl Checker<'_> {
    /// By name of the entry.
    pub(super) fn sending(&mut self, file: &File, entries: &[ClientEntry], tenants: &Tenants) -> Clients {
        let mut rules = BTreeMap::new();
        for client in file.client.value.iter().map(|client| &client.value) {
            let Some(name) = client.name.as_ref().map(|name| name.value.0.as_str()) else { continue };
            let entry = entries.iter().find(|entry| entry.name == name);
            self.there_is_somebody_to_send_as(client, entry.and_then(|entry| entry.lane.as_ref()), tenants);
            let rewritten = &client.rewritten.value;
            let of_it = ClientRules {
                rewrite: client.rewrite.as_ref().map(|rewrite| rewrite.value.0),
                rewrite_to: client.rewrite_to.as_ref().map(|to| to.value.0.clone()),
                keeping: Keeping {
                    display: rewritten.display.value.0.clone(),
                    reply_to: rewritten.reply_to.value,
                    field: rewritten.field.value.0.clone(),
                },
                edits: self.edits(&client.headers.value),
            };
            rules.insert(Arc::from(name), of_it);
        }
        Arc::new(rules)
    }

    /// Whatever a sender is rewritten to, the path must be allowed to send as.
    fn there_is_somebody_to_send_as(&mut self, client: &Client, chosen: Option<&LaneName>, tenants: &Tenants) {
        let mut lanes = tenants.lanes.iter().filter(|lane| takes_mail(lane, chosen, tenants));
        if let Some(to) = &*client.rewrite_to {
            if let Some(lane) = lanes.find(|lane| !lane.identity.may_send_as(&to.value.0)) {
                let mailbox = lane.identity.mailbox.as_ref().map(Mailbox::to_string).unwrap_or_default();
                let what =
                    format!("`rewrite_to` is {}, but {mailbox} is not known to be allowed to send as it", to.value.0);
                let remedy = format!(
                    "name it in the tenant: mailbox = [{{ address = \"{mailbox}\", granted = [\"{}\"] }}]",
                    to.value.0
                );
                self.sink.error(to.place, what, remedy);
            }
        } else if let Some(rewrite) = client.rewrite.as_ref().filter(|rewrite| rewrite.value.0 == Rewrite::Always)
            && let Some(lane) = lanes.find(|lane| lane.identity.mailbox.is_none())
        {
            let what = format!("`rewrite` needs an address to rewrite to: the path {} has no mailbox", lane.name);
            self.sink.error(rewrite.place, what, "rewrite_to = \"scan@contoso.com\"");
        }
    }

    fn edits(&mut self, headers: &Headers) -> HeaderEdits {
        let add = self.fields(&headers.add.value);
        let replace = self.fields(&headers.replace.value);
        let remove = headers.remove.value.iter().map(|field| field.value.0.clone()).collect();
        // Each by itself was good.
        HeaderEdits::new(add, replace, remove).unwrap_or_default()
    }

    fn fields(&mut self, map: &Map) -> Vec<(FieldName, String)> {
        map.0.iter().filter_map(|(name, value)| self.field(name, value)).collect()
    }

    fn field(&mut self, name: &At<String>, value: &At<String>) -> Option<(FieldName, String)> {
        let parsed = FieldName::parse(&name.value).map_err(|error| (name.place, error));
        let pair = parsed.map(|name| (name, value.value.clone())).and_then(|pair| {
            let alone = HeaderEdits::new(vec![pair.clone()], Vec::new(), Vec::new());
            alone.map(|_| pair).map_err(|error| (value.place, error))
        });
        match pair {
            Ok(pair) => Some(pair),
            Err((place, error)) => {
                let remedy = "for example X-Department = \"Finance\"; who a message is from is set by `rewrite` and `rewrite_to`";
                self.sink.error(place, format!("`{}`: {error}", name.value), remedy);
                None
            }
        }
    }
}

/// Whether mail of the client may go by this lane: it is in the pool that the client chose, or in the first of its tenant.
fn takes_mail(lane: &Lane, chosen: Option<&LaneName>, tenants: &Tenants) -> bool {
    let Some((pool, _)) = tenants.plan.lane(&lane.name) else { return false };
    match chosen {
        Some(chosen) => pool.name == *chosen,
        None => tenants
            .plan
            .pools
            .iter()
            .find(|first| first.tenant == pool.tenant)
            .is_some_and(|first| first.name == pool.name),
    }
}
