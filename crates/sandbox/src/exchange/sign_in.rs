//! AUTH: who may sign in as which mailbox, and with what.

use std::sync::Arc;

use smtp::{Credentials, Reply};

use super::words::{self, Stamp};
use crate::tenant::{Mailbox, Tenant};
use crate::world::World;

/// A session signed in to a mailbox. Dropping it takes the session off the mailbox's count.
pub(crate) struct SignedIn {
    world: Arc<World>,
    mailbox: String,
}

impl SignedIn {
    fn new(world: &Arc<World>, mailbox: String) -> Self {
        world.state().enforcement.open_session(&mailbox);
        Self { world: world.clone(), mailbox }
    }

    /// Its address.
    pub(crate) fn mailbox(&self) -> &str {
        &self.mailbox
    }
}

impl Drop for SignedIn {
    fn drop(&mut self) {
        self.world.state().enforcement.close_session(&self.mailbox);
    }
}

/// The name that is tried, right or wrong.
pub(crate) fn user(credentials: &Credentials) -> &str {
    match credentials {
        Credentials::Plain { authcid, .. } => authcid,
        Credentials::Login { username, .. } => username,
        Credentials::XOAuth2 { user, .. } => user,
    }
}

/// The verdict.
pub(crate) fn sign_in(world: &Arc<World>, credentials: &Credentials, stamp: Stamp) -> Result<SignedIn, Reply> {
    let mailbox = match credentials {
        Credentials::Plain { .. } => Err(words::unknown_mechanism()),
        Credentials::Login { username, password } => by_password(&world.state().tenant, username, password, stamp),
        Credentials::XOAuth2 { user, token } => by_token(world, user, token, stamp),
    }?;
    Ok(SignedIn::new(world, mailbox))
}

fn by_password(tenant: &Tenant, username: &str, password: &str, stamp: Stamp) -> Result<String, Reply> {
    let mailbox = tenant
        .mailbox(username)
        .filter(|mailbox| mailbox.password.as_ref().is_some_and(|known| known.as_str() == password))
        .ok_or_else(|| words::wrong_password(stamp))?;
    check_switch(tenant, mailbox, stamp)?;
    let policy = mailbox.basic_auth.unwrap_or(tenant.basic_auth);
    match words::basic_auth_refused(policy, stamp) {
        Some(refusal) => Err(refusal),
        None => Ok(mailbox.address.clone()),
    }
}

fn by_token(world: &World, user: &str, token: &str, stamp: Stamp) -> Result<String, Reply> {
    let state = world.state();
    let tenant = &state.tenant;
    let refuse = |reason: &str| {
        tracing::info!(user, reason, "sandbox: the token is refused with 535 5.7.3");
        words::token_refused(stamp)
    };
    let claims = world
        .keys
        .verify(token, |name| tenant.is_called(name), world.clock.now())
        .map_err(|flaw| refuse(&flaw.to_string()))?;
    let mailbox = tenant.mailbox(user).ok_or_else(|| refuse("there is no such mailbox"))?;
    let app = tenant.app(&claims.appid).ok_or_else(|| refuse("the application is gone"))?;
    let has_right =
        mailbox.apps.as_ref().is_none_or(|apps| apps.iter().any(|id| id.eq_ignore_ascii_case(&app.client_id)));
    if !has_right {
        return Err(refuse("the application has no right on the mailbox"));
    }
    check_switch(tenant, mailbox, stamp)?;
    Ok(mailbox.address.clone())
}

/// `SmtpClientAuthenticationDisabled`, which governs passwords and tokens alike.
fn check_switch(tenant: &Tenant, mailbox: &Mailbox, stamp: Stamp) -> Result<(), Reply> {
    match mailbox.smtp_auth {
        Some(true) => Ok(()),
        Some(false) => Err(words::smtp_auth_disabled(false, stamp)),
        None if tenant.smtp_auth => Ok(()),
        None => Err(words::smtp_auth_disabled(true, stamp)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::BasicAuth;

    fn attempt(change: impl FnOnce(&mut Tenant), user: &str, password: &str) -> Result<String, String> {
        let mut tenant =
            Tenant { mailboxes: vec![Mailbox::new("relay@contoso.test").password("right")], ..Tenant::default() };
        change(&mut tenant);
        let stamp = Stamp { session: 1, at: jiff::Timestamp::UNIX_EPOCH };
        by_password(&tenant, user, password, stamp).map_err(|reply| reply.to_string())
    }

    #[test]
    fn a_password_signs_in_only_where_every_switch_allows_it() {
        let relay = "relay@contoso.test";
        assert_eq!(attempt(|_| (), "Relay@contoso.test", "right"), Ok(relay.to_owned()));
        for (change, text) in [
            (
                (|tenant| tenant.smtp_auth = false) as fn(&mut Tenant),
                "SmtpClientAuthentication is disabled for the Tenant",
            ),
            (
                |tenant| tenant.mailboxes[0].smtp_auth = Some(false),
                "SmtpClientAuthentication is disabled for the Mailbox",
            ),
            (
                |tenant| tenant.basic_auth = BasicAuth::DisabledByPolicy,
                "535 5.7.139 Authentication unsuccessful, basic authentication is disabled",
            ),
            (
                |tenant| tenant.basic_auth = BasicAuth::SecurityDefaults,
                "user is locked by your organization's security defaults policy",
            ),
            (|tenant| tenant.basic_auth = BasicAuth::ConditionalAccess, "did not meet the criteria"),
            (
                |tenant| tenant.basic_auth = BasicAuth::Retired,
                "550 5.7.30 Basic authentication is not supported for Client Submission",
            ),
            (|tenant| tenant.mailboxes[0].password = None, "the user credentials were incorrect"),
        ] {
            let refusal = attempt(change, relay, "right").unwrap_err();
            assert!(refusal.contains(text), "{refusal}");
        }
        for (user, password) in [(relay, "wrong"), ("other@contoso.test", "right"), ("", "")] {
            assert!(attempt(|_| (), user, password).unwrap_err().contains("the user credentials were incorrect"));
        }
    }

    #[test]
    fn a_mailbox_may_sign_in_where_the_tenant_forbids_it_but_the_mailbox_does_not() {
        let change = |tenant: &mut Tenant| {
            tenant.smtp_auth = false;
            tenant.mailboxes[0].smtp_auth = Some(true);
        };
        assert!(attempt(change, "relay@contoso.test", "right").is_ok());
    }
}
