//! How we prove ourselves to a next hop: what is needed for it, and which mechanism of those offered.
//!
//! In: the settings, what the server offers. Out: credentials for the machine, or why there are none. Never downgraded: a
//! login that is configured and cannot be used pauses the lane. Secrets are read anew for every connection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use entra::{AccessToken, TokenError, TokenSource};
use queue::{LaneVerdict, Pause, Scope};
use secret::{ExposeSecret, Secret};
use smtp::{Credentials, Mechanism};

use crate::classify::{LINK_REST, PROBE};
use crate::refusal::Refusal;
use crate::settings::{Auth, SmtpKind};

/// Where tokens come from.
#[async_trait]
pub(crate) trait Tokens: Send + Sync {
    async fn token(&self) -> Result<AccessToken, TokenError>;
    fn discard(&self, token: &AccessToken) -> bool;
    fn describe(&self, token: &AccessToken) -> String;
    /// What proves the application is another one than what was refused last: true once.
    async fn changed(&self) -> bool;
    /// The next token is asked for even if one was refused just before.
    fn ask_anew(&self);
}

#[async_trait]
impl Tokens for TokenSource {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        Self::token(self).await
    }
    fn discard(&self, token: &AccessToken) -> bool {
        Self::discard(self, token)
    }
    fn describe(&self, token: &AccessToken) -> String {
        Self::describe(token)
    }
    async fn changed(&self) -> bool {
        Self::changed(self).await
    }
    fn ask_anew(&self) {
        Self::ask_anew(self);
    }
}

/// What is configured.
pub(crate) enum Login {
    None,
    Password { username: String, password: Secret },
    XOAuth2 { user: String, tokens: Arc<dyn Tokens> },
}

/// What is at hand for one connection.
pub(crate) enum Proof {
    None,
    Password { username: String, password: secret::SecretString },
    XOAuth2 { user: String, token: AccessToken },
}

impl Login {
    pub(crate) fn ask_anew(&self) {
        if let Self::XOAuth2 { tokens, .. } = self {
            tokens.ask_anew();
        }
    }

    pub(crate) fn new(auth: &Auth) -> Self {
        match auth {
            Auth::None => Self::None,
            Auth::Password { username, password } => {
                Self::Password { username: username.clone(), password: password.clone() }
            }
            Auth::XOAuth2 { user, tokens } => Self::XOAuth2 { user: user.clone(), tokens: tokens.clone() },
        }
    }

    /// Reads the password or gets a token, before anybody is connected to.
    pub(crate) async fn prepare(&self) -> Result<Proof, Box<Refusal>> {
        match self {
            Self::None => Ok(Proof::None),
            Self::Password { username, password } => {
                let read = password.read().map_err(|error| unreadable(&error))?;
                Ok(Proof::Password { username: username.clone(), password: read })
            }
            Self::XOAuth2 { user, tokens } => {
                let token = tokens.token().await.map_err(no_token)?;
                Ok(Proof::XOAuth2 { user: user.clone(), token })
            }
        }
    }

    /// A server refused this proof: true if it was a token, which will not be used again.
    pub(crate) fn discard(&self, proof: &Proof) -> bool {
        let (Self::XOAuth2 { tokens, .. }, Proof::XOAuth2 { token, .. }) = (self, proof) else { return false };
        tokens.discard(token);
        true
    }

    /// What a refused token says of itself.
    pub(crate) fn describe(&self, proof: &Proof) -> Option<String> {
        let (Self::XOAuth2 { tokens, .. }, Proof::XOAuth2 { token, .. }) = (self, proof) else { return None };
        Some(tokens.describe(token))
    }
}

impl Proof {
    pub(crate) fn is_token(&self) -> bool {
        matches!(self, Self::XOAuth2 { .. })
    }

    /// For the machine; `Ok(None)` where no login is configured. Exchange's submission has no PLAIN, and is not offered it.
    pub(crate) fn credentials(
        &self,
        kind: SmtpKind,
        offered: &[Mechanism],
    ) -> Result<Option<Credentials>, Box<Refusal>> {
        let has = |mechanism| offered.contains(&mechanism);
        match self {
            Self::None => Ok(None),
            Self::Password { username, password } if kind == SmtpKind::Smarthost && has(Mechanism::Plain) => {
                Ok(Some(Credentials::Plain {
                    authzid: String::new(),
                    authcid: username.clone(),
                    password: password.expose_secret().to_owned(),
                }))
            }
            Self::Password { username, password } if has(Mechanism::Login) => Ok(Some(Credentials::Login {
                username: username.clone(),
                password: password.expose_secret().to_owned(),
            })),
            Self::XOAuth2 { user, token } if has(Mechanism::XOAuth2) => {
                Ok(Some(Credentials::XOAuth2 { user: user.clone(), token: token.secret.expose_secret().to_owned() }))
            }
            Self::Password { .. } => Err(not_offered("AUTH LOGIN", offered)),
            Self::XOAuth2 { .. } => Err(not_offered("AUTH XOAUTH2", offered)),
        }
    }
}

fn not_offered(wanted: &str, offered: &[Mechanism]) -> Box<Refusal> {
    let offer = if offered.is_empty() { "no login at all".to_owned() } else { format!("only {offered:?}") };
    Refusal::paused(Pause {
        scope: Scope::Path,
        reason: format!("the server does not offer {wanted}: it offers {offer}"),
        remedy:
            "check host, port and `tls` of this path (a login is often offered only after STARTTLS, and only on port \
                 587); if the server cannot do it, configure a login that it offers"
                .to_owned(),
        code: "auth-not-offered".to_owned(),
        probe_after: PROBE,
    })
}

fn unreadable(error: &secret::SecretError) -> Box<Refusal> {
    Refusal::paused(Pause {
        scope: Scope::Credential,
        reason: format!("the password of this path cannot be used: {error}"),
        remedy: "put the password there, readable for this service; it is read again at the next try".to_owned(),
        code: "secret".to_owned(),
        probe_after: Duration::from_secs(60),
    })
}

fn no_token(error: TokenError) -> Box<Refusal> {
    match error {
        TokenError::Unavailable { reason, retry_after } => Refusal::new(
            format!("no access token: {reason}"),
            LaneVerdict::Rest { wait: retry_after.unwrap_or(LINK_REST), reason: format!("no access token: {reason}") },
        ),
        TokenError::Refused { code, reason, remedy, probe_after } => Refusal::paused(Pause {
            scope: Scope::Credential,
            reason: format!("Microsoft gives no access token: {reason}"),
            remedy,
            code,
            probe_after,
        }),
        TokenError::Credential { reason } => Refusal::paused(Pause {
            scope: Scope::Credential,
            reason: format!("our own credential cannot be used: {reason}"),
            remedy:
                "put the secret, certificate or key of the application in its place, readable for this service; it is \
                     read again at the next try"
                    .to_owned(),
            code: "credential".to_owned(),
            probe_after: Duration::from_secs(60),
        }),
    }
}
