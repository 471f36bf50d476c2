//! A tenant's paths: each a pool of one lane or several, with the budgets that these draw on and the breakers that stop them.

use std::path::PathBuf;
use std::sync::Arc;

use m365::Cloud;
use m365::limits::{PathKind, PathLimits, RECIPIENTS_PER_MX_TRANSACTION, SUBMISSION_PORT};
use queue::{BreakerName, BudgetSettings, LaneName, LaneSettings, PoolSettings, Scope};
use smtp::{AddressPattern, Mailbox};
use transport::{ClientTls, Identity, Rewrite, SmtpKind};

use crate::check::login::Login;
use crate::check::{Checker, budgets};
use crate::config::{Application, Lane};
use crate::problem::Place;
use crate::read::At;
use crate::units::Whole;
use crate::values::HostPort;
use crate::written::{Path, Tenant, TenantMailbox};

/// SMTP relay.
const SMTP: u16 = 25;
/// SMTP with TLS from the first octet.
const SUBMISSIONS: u16 = 465;
/// The domain that Microsoft lends to tenants of the worldwide cloud.
const LENT_DOMAIN: &str = "onmicrosoft.com";

/// What a path comes to.
pub(super) struct Way {
    pub(super) pool: PoolSettings,
    /// Those of the pool, in its order.
    pub(super) lanes: Vec<Lane>,
    /// What they draw on.
    pub(super) budgets: Vec<BudgetSettings>,
}

/// What all lanes of a path have in common.
struct NextHop {
    kind: SmtpKind,
    limits: &'static PathLimits,
    host: String,
    port: u16,
    tls: ClientTls,
    ca: Option<PathBuf>,
    login: Login,
}

impl Checker<'_> {
    /// `None`: unusable, which has been noted. `external`: what the tenant's limit of external recipients is.
    pub(super) fn way(
        &mut self,
        tenant: &Tenant,
        path: &Path,
        application: Option<Application>,
        external: Option<u64>,
    ) -> Option<Way> {
        match path.kind.as_ref()?.value.0 {
            SmtpKind::Submission => self.submission(tenant, path, application, external),
            SmtpKind::Smarthost => self.smarthost(tenant, path, application),
        }
    }

    fn submission(
        &mut self,
        tenant: &Tenant,
        path: &Path,
        application: Option<Application>,
        external: Option<u64>,
    ) -> Option<Way> {
        self.keys_of_a_smarthost(path);
        let limits = PathKind::Submission.limits();
        self.within_the_limits_of_a_mailbox(path, limits);
        let login = self.submission_login(tenant, path, application);
        let mailboxes = self.mailboxes(path)?;
        let endpoints = &tenant.endpoints.value;
        let HostPort { host, port } = match &*endpoints.submission {
            Some(submission) => submission.value.clone(),
            None => HostPort { host: tenant.cloud.value.0.submission_host().to_owned(), port: None },
        };
        let next_hop = NextHop {
            kind: SmtpKind::Submission,
            limits,
            host,
            port: port.unwrap_or(SUBMISSION_PORT),
            tls: ClientTls::Required,
            ca: endpoints.ca.as_ref().map(|ca| self.resolve(&ca.value)),
            login: login?,
        };
        let mut way = empty(tenant, path, mailboxes.len())?;
        let shared = budgets::of_a_tenant(&way.pool, external, path);
        for mailbox in &mailboxes {
            let own = format!("submission/{mailbox}");
            let name = if mailboxes.len() > 1 { inside(tenant, &own)? } else { path_name(tenant, path, &own)? };
            let own = budgets::of_a_mailbox(&way.pool.tenant, mailbox, path, next_hop.limits);
            way.add(&next_hop, (tenant, path), name, Some(mailbox), own, &shared);
        }
        way.budgets.extend(shared);
        Some(way)
    }

    fn smarthost(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<Way> {
        self.keys_of_a_submission(path);
        let login = self.smarthost_login(tenant, path, application);
        let ca = path.ca.as_ref().map(|ca| self.roots(ca));
        let tls = path.tls.as_ref().map(|tls| tls.value.0).unwrap_or_default();
        self.warm_up_rises(&path.warm_up.value);
        let Some(address) = &*path.address else {
            if path.address.is_absent() {
                let remedy = "address = \"exchange.example:25\"";
                self.sink.error(path.place, "a path of kind \"smarthost\" needs its `address`", remedy);
            }
            return None;
        };
        let HostPort { host, port } = address.value.clone();
        let port = port.unwrap_or(if tls == ClientTls::Implicit { SUBMISSIONS } else { SMTP });
        let name = path_name(tenant, path, &format!("smarthost/{host}:{port}"))?;
        let (kind, limits) = (SmtpKind::Smarthost, PathKind::Smarthost.limits());
        let next_hop = NextHop { kind, limits, host, port, tls, ca, login: login? };
        let mut way = empty(tenant, path, 1)?;
        let own = budgets::of_a_smart_host(&name, path);
        way.add(&next_hop, (tenant, path), name, path.mailbox.as_ref().map(|mailbox| &mailbox.value.0), own, &[]);
        Some(way)
    }

    /// Those that a submission path sends as, at least one; `None`: none, which has been noted.
    fn mailboxes(&mut self, path: &Path) -> Option<Vec<Mailbox>> {
        let several = &path.mailboxes;
        match &*path.mailbox {
            Some(one) if several.is_absent() => return Some(vec![one.value.0.clone()]),
            Some(_) => {
                let what = "a path has either `mailbox` or `mailboxes`";
                self.sink.error(several.place, what, "move the one into the list of the others");
                return None;
            }
            None if several.value.is_empty() => {
                if path.mailbox.is_absent() && several.is_absent() {
                    let remedy = "mailbox = \"relay@contoso.com\": the mailbox that the relay logs in as";
                    self.sink.error(path.place, "a path of kind \"submission\" needs its `mailbox`", remedy);
                }
                return None;
            }
            None => {}
        }
        if path.username.is_some() {
            self.sink.error(
                several.place,
                "`mailboxes` go with tokens: with `username` all of them would be the same login",
                "give the tenant a `credential` and take `username` and `password` out, or name one `mailbox`",
            );
        }
        let named = several.value.iter().map(|one| (one.value.0.as_str().to_ascii_lowercase(), one.place));
        self.no_twins(named, |name| (format!("the mailbox {name} stands here twice"), "take one out".to_owned()));
        Some(several.value.iter().map(|one| one.value.0.clone()).collect())
    }

    fn keys_of_a_smarthost(&mut self, path: &Path) {
        let mut not_here = |key: &str, place: Option<Place>, remedy: &str| {
            if let Some(place) = place {
                self.sink.error(place, format!("`{key}` belongs to paths of kind \"smarthost\""), remedy);
            }
        };
        let endpoints = "[tenant.endpoints] has `submission` and `ca`; TLS is always required there";
        not_here("address", path.address.as_ref().map(|address| address.place), endpoints);
        not_here("tls", path.tls.as_ref().map(|tls| tls.place), endpoints);
        not_here("ca", path.ca.as_ref().map(|ca| ca.place), endpoints);
        let warm = "take it out: Exchange Online does not judge a mailbox by how long it has been sending";
        not_here("warm_up", Some(path.warm_up.place).filter(|_| !path.warm_up.value.is_empty()), warm);
        let null = "take it out: Exchange Online puts the mailbox's own address in place of the null reverse-path";
        not_here("null_reverse_path", path.null_reverse_path.as_ref().map(|null| null.place), null);
    }

    fn keys_of_a_submission(&mut self, path: &Path) {
        if !path.mailboxes.value.is_empty() {
            let remedy = "make one path for each, or name one `mailbox`";
            self.sink.error(path.mailboxes.place, "`mailboxes` belongs to paths of kind \"submission\"", remedy);
        }
    }

    fn warm_up_rises(&mut self, steps: &[At<Whole<1, 100_000_000>>]) {
        let falls = steps.windows(2).find_map(|pair| match pair {
            [before, after] if after.value.0 <= before.value.0 => Some(after.place),
            _ => None,
        });
        if let Some(place) = falls {
            let remedy = "for example [50, 100, 500, 1000, 5000]: messages on the first, second, … day";
            self.sink.error(place, "`warm_up` must rise from day to day", remedy);
        }
    }

    fn within_the_limits_of_a_mailbox(&mut self, path: &Path, limits: &PathLimits) {
        let mut within = |what: &str, written: Option<(u64, Place)>, limit: Option<u64>| {
            if let (Some((value, place)), Some(limit)) = (written, limit)
                && value > limit
            {
                let what = format!("Exchange Online allows {limit} {what} to a mailbox");
                self.sink.warn(
                    place,
                    what,
                    "what is over it will be refused or delayed; keep this only for servers that allow more",
                );
            }
        };
        let connections = path.connections.as_ref().map(|c| (c.value.0, c.place));
        within("connections", connections, limits.connections_max.map(|most| most as u64));
        let messages = path.messages_per_minute.as_ref().map(|m| (m.value.0, m.place));
        within("messages a minute", messages, limits.messages_per_minute.map(u64::from));
        let recipients = path.recipients_per_day.as_ref().map(|r| (r.value.0, r.place));
        within("recipients a day", recipients, limits.recipients_per_day.map(u64::from));
        let of_a_message = path.recipients_per_message.as_ref().map(|r| (r.value.0, r.place));
        within("recipients a message", of_a_message, limits.recipients_per_message_max.map(|most| most as u64));
    }
}

/// A path without lanes yet. `None`: the tenant has no name, which has been noted.
fn empty(tenant: &Tenant, path: &Path, mailboxes: usize) -> Option<Way> {
    let name = &tenant.name.as_ref()?.value.0;
    let domains = tenant.domains.iter().flat_map(|domains| &domains.value).chain(&tenant.internal_domains.value);
    let lends = tenant.cloud.value.0 == Cloud::Worldwide && path.kind.as_ref()?.value.0 == SmtpKind::Submission;
    let pool = PoolSettings {
        name: if mailboxes > 1 { path_name(tenant, path, "submission")? } else { LaneName(Arc::from("")) },
        lanes: Vec::new(),
        tenant: Arc::from(name.as_str()),
        internal_domains: domains.map(|domain| domain.value.0.clone()).collect(),
        provider_domain: lends.then(|| Arc::from(LENT_DOMAIN)),
    };
    Some(Way { pool, lanes: Vec::new(), budgets: Vec::new() })
}

impl Way {
    /// One more lane, which draws on its own budgets and on shared ones. A pool without a name takes the lane's.
    fn add(
        &mut self,
        next_hop: &NextHop,
        (tenant, path): (&Tenant, &Path),
        name: LaneName,
        mailbox: Option<&Mailbox>,
        own: Vec<BudgetSettings>,
        shared: &[BudgetSettings],
    ) {
        if self.pool.name.0.is_empty() {
            self.pool.name = name.clone();
        }
        let connections = path.connections.as_ref().map_or(next_hop.limits.connections, |c| c.number());
        let recipients = next_hop.limits.recipients_per_message.unwrap_or(usize::MAX);
        self.lanes.push(Lane {
            name: name.clone(),
            tenant: self.pool.tenant.to_string(),
            kind: next_hop.kind,
            host: next_hop.host.clone(),
            port: next_hop.port,
            tls: next_hop.tls,
            ca: next_hop.ca.clone(),
            auth: next_hop.login.of(mailbox),
            identity: Identity {
                mailbox: mailbox.cloned(),
                others: mailbox.map(|mailbox| known_senders(tenant, mailbox)).unwrap_or_default(),
                rewrite: path.rewrite.as_ref().map_or(next_hop.rewrite(), |rewrite| rewrite.value.0),
            },
            signs: next_hop.kind == SmtpKind::Smarthost,
            connections,
            recipients: path.recipients_per_message.as_ref().map_or(recipients, |r| r.number()),
            recipients_of_a_domain: recipients_of_a_domain(&next_hop.host),
        });
        self.pool.lanes.push(LaneSettings {
            name,
            connections,
            budgets: own.iter().chain(shared).map(|budget| budget.name.clone()).collect(),
            breakers: next_hop.breakers(&self.pool.tenant, mailbox),
            unconfirmed: path.unconfirmed.value.0,
            null_reverse_path: match &*path.null_reverse_path {
                Some(written) => written.value && next_hop.limits.null_reverse_path,
                None => next_hop.limits.null_reverse_path,
            },
            mailbox: mailbox.cloned(),
        });
        self.budgets.extend(own);
    }
}

/// What the file says that a mailbox may send as besides itself.
fn known_senders(tenant: &Tenant, mailbox: &Mailbox) -> Vec<AddressPattern> {
    let of_it = |known: &&At<TenantMailbox>| known.value.address.as_ref().is_some_and(|at| at.value.0.same_as(mailbox));
    let entries = tenant.mailbox.value.iter().filter(of_it);
    let named = entries.flat_map(|entry| {
        let aliases = entry.value.aliases.value.iter().map(|alias| alias.value.0.to_string());
        aliases.chain(entry.value.granted.value.iter().map(|pattern| pattern.value.text.clone()))
    });
    named.filter_map(|pattern| pattern.parse().ok()).collect()
}

impl NextHop {
    /// Exchange Online judges senders by the mailbox that logged in; of other servers nobody knows what they do.
    fn rewrite(&self) -> Rewrite {
        match self.kind {
            SmtpKind::Submission => Rewrite::WhenRefusedOtherwise,
            SmtpKind::Smarthost => Rewrite::Never,
        }
    }

    fn breakers(&self, tenant: &str, mailbox: Option<&Mailbox>) -> Vec<BreakerName> {
        let address = match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host.to_ascii_lowercase(), self.port),
        };
        let credential = self.login.name().map(|login| (Scope::Credential, format!("{tenant}/{login}")));
        let tenant = (self.kind == SmtpKind::Submission).then(|| (Scope::Tenant, tenant.to_owned()));
        let mailbox = mailbox.map(|mailbox| (Scope::Mailbox, mailbox.as_str().to_ascii_lowercase()));
        let all = [Some((Scope::Path, address)), credential, tenant, mailbox].into_iter().flatten();
        all.map(|(scope, name)| BreakerName { scope, name: Arc::from(name) }).collect()
    }
}

/// A smart host may be the MX host of a tenant: that one has a limit of its own.
fn recipients_of_a_domain(host: &str) -> Option<usize> {
    let host = host.to_ascii_lowercase();
    let under = |suffix: &&str| host.strip_suffix(*suffix).is_some_and(|rest| rest.ends_with('.'));
    let mx = Cloud::ALL.iter().flat_map(|cloud| cloud.mx_suffixes()).any(under);
    mx.then_some(RECIPIENTS_PER_MX_TRANSACTION)
}

/// `tenant/path name`, or `tenant/kind/mailbox`.
fn path_name(tenant: &Tenant, path: &Path, otherwise: &str) -> Option<LaneName> {
    inside(tenant, path.name.as_ref().map_or(otherwise, |name| name.value.0.as_str()))
}

fn inside(tenant: &Tenant, name: &str) -> Option<LaneName> {
    let tenant = &tenant.name.as_ref()?.value.0;
    Some(LaneName(Arc::from(format!("{tenant}/{name}"))))
}
