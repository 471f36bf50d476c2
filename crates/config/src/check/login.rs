//! How the lanes of a path prove themselves.

use secret::Secret;
use smtp::Mailbox;
use transport::ClientTls;

use crate::check::Checker;
use crate::config::{Application, LaneAuth};
use crate::written::{Path, Tenant};

/// What all lanes of a path log in with.
pub(super) enum Login {
    /// Nothing.
    None,
    /// Of one user.
    Password { username: String, password: Secret },
    /// Of an application, as each lane's mailbox.
    Token { client_id: String, application: Application },
}

impl Login {
    /// As this mailbox, where it matters.
    pub(super) fn of(&self, mailbox: Option<&Mailbox>) -> LaneAuth {
        match self {
            Self::None => LaneAuth::None,
            Self::Password { username, password } => {
                LaneAuth::Password { username: username.clone(), password: password.clone() }
            }
            Self::Token { application, .. } => LaneAuth::Token {
                user: mailbox.map(|mailbox| mailbox.as_str().to_owned()).unwrap_or_default(),
                application: *application,
            },
        }
    }

    /// Whose it is: user name or application.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Password { username, .. } => Some(username),
            Self::Token { client_id, .. } => Some(client_id),
        }
    }
}

impl Checker<'_> {
    /// `None`: unusable, which has been noted.
    pub(super) fn submission_login(
        &mut self,
        tenant: &Tenant,
        path: &Path,
        application: Option<Application>,
    ) -> Option<Login> {
        let Some(login) = self.password(path) else { return self.token(tenant, path, application) };
        if login.is_ok() {
            self.sink.warn(
                path.username.as_ref().map_or(path.place, |username| username.place),
                "Microsoft switches user name and password for SMTP off: by default at the end of December 2026, then for good",
                "register an application and give the tenant a `credential`; then take `username` and `password` out",
            );
        }
        login.ok()
    }

    /// The same.
    pub(super) fn smarthost_login(
        &mut self,
        tenant: &Tenant,
        path: &Path,
        application: Option<Application>,
    ) -> Option<Login> {
        let tls = path.tls.as_ref().map(|tls| tls.value.0).unwrap_or_default();
        let in_the_clear = matches!(tls, ClientTls::None | ClientTls::Opportunistic);
        let login = match self.password(path) {
            Some(login) => login.ok(),
            None if path.mailbox.is_some() => self.token(tenant, path, application),
            None => return Some(Login::None),
        };
        if in_the_clear {
            self.sink.error(
                path.tls.as_ref().map_or(path.place, |tls| tls.place),
                "this path logs in, but its TLS is not verified: whoever is on the way could read the login",
                "tls = \"required\" or \"implicit\", with `ca` if the server's certificate is not publicly trusted",
            );
        }
        login
    }

    /// `None`: the path has no password. `Some(Err)`: half of one, noted.
    fn password(&mut self, path: &Path) -> Option<Result<Login, ()>> {
        match (&*path.username, &*path.password) {
            _ if path.username.is_unread() || path.password.is_unread() => Some(Err(())),
            (None, None) => None,
            (Some(username), Some(password)) => {
                let password = self.secret(password);
                Some(Ok(Login::Password { username: username.value.0.clone(), password }))
            }
            (username, password) => {
                let place =
                    username.as_ref().map(|u| u.place).or(password.as_ref().map(|p| p.place)).unwrap_or(path.place);
                self.sink.error(place, "`username` and `password` go together", "add the other, or take this one out");
                Some(Err(()))
            }
        }
    }

    fn token(&mut self, tenant: &Tenant, path: &Path, application: Option<Application>) -> Option<Login> {
        if tenant.credential.is_absent() {
            self.sink.error(
                path.place,
                "this path logs in with a token, but its tenant has no `credential`",
                "credential = { client_id = \"…\", client_secret = { file = \"secret\" } }, or `username` and `password` in the path",
            );
        }
        let client_id = tenant.credential.as_ref()?.value.client_id.as_ref()?.value.0.clone();
        Some(Login::Token { client_id, application: application? })
    }
}
