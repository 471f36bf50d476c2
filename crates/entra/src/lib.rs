//! Access tokens from Microsoft Entra ID: asked for, cached, renewed early, refusals remembered.
//!
//! In: an application, its credential, a scope, a clock. Out: tokens, or why there is none and what to do.
//! Invariants: one request in flight at most, all waiters share its result; trouble with the network or the credential
//! never takes away a token that still has life; a refusal is not asked for again at message rate, yet a new credential is
//! tried at once; no secret, token or assertion is ever in a log, an error or a `Debug`.

mod answer;
mod assertion;
mod cache;
mod claims;
mod credential;
mod endpoint;
mod settings;
mod source;

pub use settings::{AssertionAlgorithm, Credential, Settings};
pub use source::TokenSource;

/// A token, and when it ends. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// Opaque.
    pub secret: secret::SecretString,
    /// It is not given out any more shortly before.
    pub expires_at: jiff::Timestamp,
}

/// A refusal that stands: no token has come since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRefusal {
    /// `AADSTS7000222`, or the OAuth error.
    pub code: String,
    /// Microsoft's words.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// Since when.
    pub since: jiff::Timestamp,
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

impl TokenError {
    pub(crate) fn credential(reason: impl Into<String>) -> Self {
        Self::Credential { reason: reason.into() }
    }

    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }
}
