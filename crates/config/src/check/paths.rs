//! A tenant's paths, each a lane.

use std::sync::Arc;

use m365::limits;
use queue::{LaneName, LaneSettings};
use transport::{ClientTls, SmtpKind};

use crate::check::Checker;
use crate::config::{Application, Lane, LaneAuth};
use crate::problem::Place;
use crate::values::HostPort;
use crate::written::{Path, Tenant};

/// SMTP relay.
const SMTP: u16 = 25;
/// SMTP with TLS from the first octet.
const SUBMISSIONS: u16 = 465;

impl Checker<'_> {
    /// `None`: unusable, which has been noted.
    pub(super) fn lane(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<Lane> {
        match path.kind.as_ref()?.value.0 {
            SmtpKind::Submission => self.submission(tenant, path, application),
            SmtpKind::Smarthost => self.smarthost(tenant, path, application),
        }
    }

    fn submission(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<Lane> {
        self.keys_of_a_smarthost(path);
        let auth = self.submission_auth(tenant, path, application);
        self.within_the_limits_of_a_mailbox(path);
        let endpoints = &tenant.endpoints.value;
        let Some(mailbox) = &*path.mailbox else {
            if path.mailbox.is_absent() {
                let remedy = "mailbox = \"relay@contoso.com\": the mailbox that the relay logs in as";
                self.sink.error(path.place, "a path of kind \"submission\" needs its `mailbox`", remedy);
            }
            return None;
        };
        let HostPort { host, port } = match &*endpoints.submission {
            Some(submission) => submission.value.clone(),
            None => HostPort { host: tenant.cloud.value.0.submission_host().to_owned(), port: None },
        };
        Some(Lane {
            settings: LaneSettings {
                name: lane_name(tenant, path, &format!("submission/{}", mailbox.value.0))?,
                connections: path.connections.as_ref().map_or(limits::CONNECTIONS_PER_MAILBOX, |c| c.number()),
                messages_per_minute: Some(per_minute(path).unwrap_or(limits::MESSAGES_PER_MINUTE)),
            },
            tenant: tenant.name.as_ref()?.value.0.clone(),
            kind: SmtpKind::Submission,
            host,
            port: port.unwrap_or(limits::SUBMISSION_PORT),
            tls: ClientTls::Required,
            ca: endpoints.ca.as_ref().map(|ca| self.resolve(&ca.value)),
            auth: auth?,
        })
    }

    fn smarthost(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<Lane> {
        let auth = self.smarthost_auth(tenant, path, application);
        let ca = path.ca.as_ref().map(|ca| self.roots(ca));
        let tls = path.tls.as_ref().map(|tls| tls.value.0).unwrap_or_default();
        let Some(address) = &*path.address else {
            if path.address.is_absent() {
                let remedy = "address = \"exchange.example:25\"";
                self.sink.error(path.place, "a path of kind \"smarthost\" needs its `address`", remedy);
            }
            return None;
        };
        let HostPort { host, port } = address.value.clone();
        let port = port.unwrap_or(if tls == ClientTls::Implicit { SUBMISSIONS } else { SMTP });
        Some(Lane {
            settings: LaneSettings {
                name: lane_name(tenant, path, &format!("smarthost/{host}:{port}"))?,
                connections: path.connections.as_ref().map_or(20, |connections| connections.number()),
                messages_per_minute: per_minute(path),
            },
            tenant: tenant.name.as_ref()?.value.0.clone(),
            kind: SmtpKind::Smarthost,
            host,
            port,
            tls,
            ca,
            auth: auth?,
        })
    }

    fn submission_auth(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<LaneAuth> {
        if let Some(auth) = self.password(path) {
            if auth.is_ok() {
                self.sink.warn(
                    path.username.as_ref().map_or(path.place, |username| username.place),
                    "Microsoft switches user name and password for SMTP off: by default at the end of December 2026, then for good",
                    "register an application and give the tenant a `credential`; then take `username` and `password` out",
                );
            }
            return auth.ok();
        }
        self.token(tenant, path, application)
    }

    fn smarthost_auth(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<LaneAuth> {
        let tls = path.tls.as_ref().map(|tls| tls.value.0).unwrap_or_default();
        let in_the_clear = matches!(tls, ClientTls::None | ClientTls::Opportunistic);
        let auth = match self.password(path) {
            Some(auth) => auth.ok(),
            None if path.mailbox.is_some() => self.token(tenant, path, application),
            None => return Some(LaneAuth::None),
        };
        if in_the_clear {
            self.sink.error(
                path.tls.as_ref().map_or(path.place, |tls| tls.place),
                "this path logs in, but its TLS is not verified: whoever is on the way could read the login",
                "tls = \"required\" or \"implicit\", with `ca` if the server's certificate is not publicly trusted",
            );
        }
        auth
    }

    /// `None`: the path has no password. `Some(Err)`: half of one, noted.
    fn password(&mut self, path: &Path) -> Option<Result<LaneAuth, ()>> {
        match (&*path.username, &*path.password) {
            _ if path.username.is_unread() || path.password.is_unread() => Some(Err(())),
            (None, None) => None,
            (Some(username), Some(password)) => {
                let password = self.secret(password);
                Some(Ok(LaneAuth::Password { username: username.value.0.clone(), password }))
            }
            (username, password) => {
                let place =
                    username.as_ref().map(|u| u.place).or(password.as_ref().map(|p| p.place)).unwrap_or(path.place);
                self.sink.error(place, "`username` and `password` go together", "add the other, or take this one out");
                Some(Err(()))
            }
        }
    }

    fn token(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<LaneAuth> {
        if tenant.credential.is_absent() {
            self.sink.error(
                path.place,
                "this path logs in with a token, but its tenant has no `credential`",
                "credential = { client_id = \"…\", client_secret = { file = \"secret\" } }, or `username` and `password` in the path",
            );
        }
        let user = path.mailbox.as_ref()?.value.0.to_string();
        Some(LaneAuth::Token { user, application: application? })
    }

    fn keys_of_a_smarthost(&mut self, path: &Path) {
        let mut not_here = |key: &str, place: Option<Place>| {
            if let Some(place) = place {
                let what = format!("`{key}` belongs to paths of kind \"smarthost\"");
                self.sink.error(
                    place,
                    what,
                    "[tenant.endpoints] has `submission` and `ca`; TLS is always required there",
                );
            }
        };
        not_here("address", path.address.as_ref().map(|address| address.place));
        not_here("tls", path.tls.as_ref().map(|tls| tls.place));
        not_here("ca", path.ca.as_ref().map(|ca| ca.place));
    }

    fn within_the_limits_of_a_mailbox(&mut self, path: &Path) {
        let over = |what: &str, limit: u64| (format!("Exchange Online allows {limit} {what} to a mailbox"), REMEDY);
        if let Some(connections) = &*path.connections
            && connections.number() > limits::CONNECTIONS_PER_MAILBOX
        {
            let (what, remedy) = over("connections", limits::CONNECTIONS_PER_MAILBOX as u64);
            self.sink.warn(connections.place, what, remedy);
        }
        if let Some(messages) = &*path.messages_per_minute
            && messages.value.0 > u64::from(limits::MESSAGES_PER_MINUTE)
        {
            let (what, remedy) = over("messages a minute", u64::from(limits::MESSAGES_PER_MINUTE));
            self.sink.warn(messages.place, what, remedy);
        }
    }
}

const REMEDY: &str = "what is over it will be refused or delayed; keep this only for servers that allow more";

fn per_minute(path: &Path) -> Option<u32> {
    path.messages_per_minute.as_ref().map(|messages| u32::try_from(messages.value.0).unwrap_or(u32::MAX))
}

/// `tenant/path name`, or `tenant/kind/mailbox`.
fn lane_name(tenant: &Tenant, path: &Path, otherwise: &str) -> Option<LaneName> {
    let tenant = &tenant.name.as_ref()?.value.0;
    let path = path.name.as_ref().map_or(otherwise, |name| name.value.0.as_str());
    Some(LaneName(Arc::from(format!("{tenant}/{path}"))))
}
