//! Access tokens from Microsoft Entra ID: asked for, cached, renewed early, refusals remembered.

mod settings;

pub use settings::{AssertionAlgorithm, Credential, Settings};

/// Gives out tokens of one application for one resource. Cheap to clone by `Arc`.
#[derive(Debug)]
pub struct TokenSource {
    _settings: Settings,
}

/// A token, and when it ends. `Debug` prints no secret.
#[derive(Clone)]
pub struct AccessToken {
    /// Opaque.
    pub secret: secret::SecretString,
    /// It is not given out any more shortly before.
    pub expires_at: jiff::Timestamp,
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// The token endpoint could not be reached, was slow, or answered 429 or 5xx: try again later.
    #[error("{reason}")]
    Unavailable {
        /// In one line.
        reason: String,
        /// No new request is made before: asked for by the endpoint, or our own back-off.
        retry_after: Option<std::time::Duration>,
    },
    /// Refused: somebody must do something. Remembered, and not asked again at message rate.
    #[error("{reason}")]
    Refused {
        /// `AADSTS7000222`, or the OAuth error.
        code: String,
        /// Microsoft's words, first line, with trace and correlation id.
        reason: String,
        /// What to do.
        remedy: String,
        /// No new request is made before, unless the credential changes: what is asked earlier gets this answer again.
        probe_after: std::time::Duration,
    },
    /// Our own secret, certificate or key cannot be read.
    #[error("{reason}")]
    Credential {
        /// In one line.
        reason: String,
    },
}

impl TokenSource {
    /// No request is made yet. Errors: the CA file cannot be read.
    pub fn new(
        settings: Settings,
        clock: std::sync::Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>,
    ) -> Result<Self, TokenError> {
        let _ = (settings, clock);
        todo!()
    }
    /// A token with at least five minutes of life: from the cache, or asked for (one request in flight, all wait for it).
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        todo!()
    }
    /// The server refused this token: do not give it out again. Returns whether it was the cached one.
    pub fn discard(&self, token: &AccessToken) -> bool {
        let _ = token;
        todo!()
    }
    /// What the token says of itself, for the operator's hint after a `535 5.7.3`: audience, roles, expiry. No secret in it.
    pub fn describe(token: &AccessToken) -> String {
        let _ = token;
        todo!()
    }
}
