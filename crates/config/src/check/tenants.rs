//! Tenants: their domains, their application, their paths, and what follows from it for routing.

use queue::{LaneName, Plan, PoolSettings, Routes};
use transport::SmtpKind;

use crate::check::Checker;
use crate::check::paths::Way;
use crate::config::{Application, Expiring, ExpirySource, Lane};
use crate::problem::Place;
use crate::read::{At, Many};
use crate::values::is_domain;
use crate::written::{Credential, Tenant};

/// What the tenants come to.
#[derive(Default)]
pub(super) struct Tenants {
    pub(super) plan: Plan,
    pub(super) lanes: Vec<Lane>,
    pub(super) routes: Routes,
    pub(super) applications: Vec<entra::Settings>,
    pub(super) expiring: Vec<Expiring>,
}

impl Checker<'_> {
    /// All of them, in the order of the file.
    pub(super) fn tenants(&mut self, tenants: &Many<Tenant>) -> Tenants {
        if tenants.is_absent() {
            let remedy = "add [[tenant]] with name, id, domains, credential and path: mail must have somewhere to go";
            self.sink.error(tenants.place, "there is no [[tenant]]", remedy);
        }
        self.nothing_is_claimed_twice(&tenants.value);
        let mut all = Tenants::default();
        let mut by_domain = Vec::new();
        for tenant in &tenants.value {
            if let Some(first) = self.tenant(&tenant.value, &mut all) {
                by_domain.extend(domains(&tenant.value).map(|(domain, _)| (domain.to_owned(), first.clone())));
            }
        }
        let otherwise: Option<LaneName> = by_domain.first().map(|(_, pool)| pool.clone());
        all.routes = Routes::new(by_domain, otherwise);
        all
    }

    fn nothing_is_claimed_twice(&mut self, tenants: &[At<Tenant>]) {
        let names = tenants.iter().filter_map(|t| t.value.name.as_ref()).map(|name| (&name.value.0, name.place));
        self.no_twins(names, |name| (format!("two tenants have the name \"{name}\""), "each has its own".to_owned()));
        let domains = tenants.iter().flat_map(|tenant| domains(&tenant.value));
        self.no_twins(domains, |domain| {
            let remedy = "a sender domain goes by one tenant: take it out of the other's `domains`";
            (format!("the domain {domain} is claimed twice"), remedy.to_owned())
        });
        for tenant in tenants {
            if let Some(domains) = &*tenant.value.domains
                && domains.value.is_empty()
            {
                self.sink.error(domains.place, "`domains` is empty", "name the sender domains that go by this tenant");
            }
        }
    }

    /// The pool that takes its mail.
    fn tenant(&mut self, tenant: &Tenant, all: &mut Tenants) -> Option<LaneName> {
        let application = self.application(tenant).map(|settings| {
            all.applications.push(settings);
            Application(all.applications.len() - 1)
        });
        all.expiring.extend(self.expiring(tenant));
        let external = self.external_limit(tenant);
        let paths = &tenant.path;
        if paths.is_absent() {
            let remedy = "add: path = [{ kind = \"submission\", mailbox = \"relay@contoso.com\" }]";
            self.sink.error(tenant.place, "the tenant has no `path`: its mail has nowhere to go", remedy);
        }
        if let Some(second) = paths.value.get(1) {
            self.sink.warn(
                second.place,
                "mail of this tenant goes by its first path: this one carries reports, alerts, and mail of clients that name it",
                "path = \"…\" of a [[client]] names it; another order makes another path the first",
            );
        }
        self.mailboxes_are_sent_as(tenant);
        let mut ways = Vec::new();
        for path in &paths.value {
            ways.extend(self.way(tenant, &path.value, application, external).map(|way| (way, path.place)));
        }
        let names = ways.iter().flat_map(|(way, place)| names(&way.pool).map(|name| (name.to_string(), *place)));
        self.no_twins(names, |name| {
            let remedy = "give one of them a `name`; a mailbox can be in one pool only";
            (format!("two paths make the lane {name}"), remedy.to_owned())
        });
        let counts = |way: &Way| way.lanes.iter().any(|lane| lane.kind == SmtpKind::Submission);
        if external.is_some() && ways.len() == paths.value.len() && !ways.iter().any(|(way, _)| counts(way)) {
            self.sink.warn(
                tenant.place,
                "external recipients are counted on paths of kind \"submission\", and this tenant has none",
                "take `licences`, `trial` and `external_recipients_per_day` out",
            );
        }
        let first = ways.first().map(|(way, _)| way.pool.name.clone());
        for (way, place) in ways {
            self.add_budgets(&mut all.plan.budgets, way.budgets, place);
            all.plan.pools.push(way.pool);
            all.lanes.extend(way.lanes);
        }
        first
    }

    /// What is said of a mailbox that no path sends as would do nothing.
    fn mailboxes_are_sent_as(&mut self, tenant: &Tenant) {
        let known = tenant.mailbox.value.iter().filter_map(|known| Some((known.value.address.as_ref()?, known.place)));
        let known: Vec<_> = known.map(|(at, place)| (at.value.0.as_str().to_ascii_lowercase(), place)).collect();
        self.no_twins(known.clone(), |address| {
            (format!("the mailbox {address} stands here twice"), "make one entry of the two".to_owned())
        });
        let paths = tenant.path.value.iter().map(|path| &path.value);
        let sent_as: Vec<String> = paths
            .flat_map(|path| path.mailbox.iter().chain(path.mailboxes.value.iter()))
            .map(|mailbox| mailbox.value.0.as_str().to_ascii_lowercase())
            .collect();
        for (address, place) in known.into_iter().filter(|(address, _)| !sent_as.contains(address)) {
            let remedy = "name it in `mailbox` or `mailboxes` of a path, or take the entry out";
            self.sink.error(place, format!("no path of this tenant sends as {address}"), remedy);
        }
    }

    /// What of its credential ends on a certain day.
    fn expiring(&mut self, tenant: &Tenant) -> Option<Expiring> {
        let credential = &tenant.credential.as_ref()?.value;
        let name = tenant.name.as_ref()?.value.0.clone();
        let whose = format!("{name}/{}", credential.client_id.as_ref()?.value.0);
        match (&*credential.expires, &*credential.certificate) {
            (Some(expires), Some(_)) => {
                let remedy = "take it out: the certificate says itself when it ends";
                self.sink.error(expires.place, "`expires` is for a `client_secret`", remedy);
                None
            }
            (Some(expires), None) => Some(Expiring {
                what: format!("client secret of {whose}"),
                tenant: Some(name),
                source: ExpirySource::Date(expires.value.0),
            }),
            (None, Some(certificate)) => Some(Expiring {
                what: format!("certificate of {whose}"),
                tenant: Some(name),
                source: ExpirySource::Certificate(self.resolve(&certificate.value)),
            }),
            (None, None) => None,
        }
    }

    /// `None`: it has none, or it is unusable, which has been noted.
    fn application(&mut self, tenant: &Tenant) -> Option<entra::Settings> {
        let endpoints = &tenant.endpoints.value;
        let ca = endpoints.ca.as_ref().map(|ca| self.roots(ca));
        let written = tenant.credential.as_ref()?;
        let credential = self.credential(written);
        let id = self.tenant_id(tenant, written.place);
        let client_id = written.value.client_id.as_ref()?;
        if !client_id.value.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("`client_id` is no application id: \"{}\"", client_id.value.0);
            self.sink.error(client_id.place, what, "the application (client) id from the application's overview page");
            return None;
        }
        let cloud = tenant.cloud.value.0;
        Some(entra::Settings {
            authority: endpoints.login.as_ref().map_or_else(|| cloud.login().to_owned(), |login| login.value.0.clone()),
            tenant: id?,
            client_id: client_id.value.0.clone(),
            credential: credential?,
            scope: cloud.smtp_scope().to_owned(),
            ca,
        })
    }

    fn tenant_id(&mut self, tenant: &Tenant, credential: Place) -> Option<String> {
        let remedy = "the directory (tenant) id from the application's overview page, or a verified domain such as \"contoso.onmicrosoft.com\"";
        let Some(id) = &*tenant.id else {
            if tenant.id.is_absent() {
                self.sink.error(credential, "a tenant with a `credential` needs its `id`", remedy);
            }
            return None;
        };
        let text = &id.value.0;
        if !is_domain(text) || !text.is_ascii() {
            self.sink.error(id.place, format!("`id` is neither a directory id nor a domain: \"{text}\""), remedy);
            return None;
        }
        Some(text.clone())
    }

    fn credential(&mut self, written: &At<Credential>) -> Option<entra::Credential> {
        let Credential { client_secret, certificate, key, algorithm, .. } = &written.value;
        match (&**client_secret, &**certificate, &**key) {
            (Some(secret), None, None) => Some(entra::Credential::ClientSecret(self.secret(secret))),
            (None, Some(certificate), Some(key)) => {
                let (certificate, key) = self.pair(certificate, key);
                Some(entra::Credential::Certificate { certificate, key, algorithm: algorithm.value.0 })
            }
            _ if client_secret.is_unread() || certificate.is_unread() || key.is_unread() => None,
            _ => {
                self.sink.error(
                    written.place,
                    "`credential` needs either `client_secret`, or `certificate` and `key`",
                    "client_secret = { file = \"secret\" }, or certificate = \"app.pem\" and key = \"app.key\"",
                );
                None
            }
        }
    }
}

/// Each once: a pool of one lane has its name.
fn names(pool: &PoolSettings) -> impl Iterator<Item = &LaneName> {
    let lanes = pool.lanes.iter().map(|lane| &lane.name);
    lanes.chain(Some(&pool.name).filter(|name| pool.lanes.iter().all(|lane| lane.name != **name)))
}

fn domains(tenant: &Tenant) -> impl Iterator<Item = (&str, Place)> {
    tenant.domains.iter().flat_map(|domains| &domains.value).map(|domain| (domain.value.0.as_str(), domain.place))
}
