//! A credential that was refused is looked at now and then: when another one lies in its place, whoever holds mail back for
//! it is told at once, and need not wait for the next probe.
//!
//! In: what was refused. Out: that it has been replaced, once. Never: a try of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secret::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::auth::{Login, Proof};

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Watch {
    refused: Mutex<Option<Refused>>,
    replaced: AtomicBool,
}

struct Refused {
    /// `None`: it could not be read, or it is no password.
    password: Option<SecretString>,
    look_at: Instant,
}

impl Watch {
    /// `proof`: what the server did not like; `None`: there was none to show.
    pub(crate) fn refused(&self, proof: Option<&Proof>) {
        let password = match proof {
            Some(Proof::Password { password, .. }) => Some(password.clone()),
            _ => None,
        };
        *self.lock() = Some(Refused { password, look_at: Instant::now() + LOOK_EVERY });
    }

    /// It was accepted.
    pub(crate) fn accepted(&self) {
        self.lock().take();
        self.replaced.store(false, Ordering::Relaxed);
    }

    /// Looks, if it is time to.
    pub(crate) async fn look(&self, login: &Login) {
        let Some(refused) = self.due() else { return };
        let replaced = match login {
            Login::None => false,
            Login::Password { password, .. } => password
                .read()
                .is_ok_and(|now| refused.is_none_or(|refused| refused.expose_secret() != now.expose_secret())),
            Login::XOAuth2 { tokens, .. } => tokens.changed().await,
        };
        if replaced {
            tracing::info!("the credential that was refused has been replaced");
            self.lock().take();
            self.replaced.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it has been replaced since it was asked last.
    pub(crate) fn take_replaced(&self) -> bool {
        self.replaced.swap(false, Ordering::Relaxed)
    }

    /// The refused password, if a look is due.
    fn due(&self) -> Option<Option<SecretString>> {
        let mut refused = self.lock();
        let refused = refused.as_mut().filter(|refused| refused.look_at <= Instant::now())?;
        refused.look_at = Instant::now() + LOOK_EVERY;
        Some(refused.password.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use secret::Secret;

    use super::*;

    fn login(file: &tempfile::NamedTempFile) -> Login {
        Login::Password { username: "relay".to_owned(), password: Secret::File(file.path().to_owned()) }
    }

    async fn noticed(watch: &Watch, login: &Login) -> bool {
        tokio::time::advance(LOOK_EVERY).await;
        watch.look(login).await;
        watch.take_replaced()
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_password_that_was_replaced_is_noticed_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old").unwrap();
        let (login, watch) = (login(&file), Watch::default());
        let proof = login.prepare().await.unwrap();
        std::fs::write(file.path(), "new").unwrap();
        assert!(!noticed(&watch, &login).await, "it was not refused");

        std::fs::write(file.path(), "old").unwrap();
        watch.refused(Some(&proof));
        assert!(!noticed(&watch, &login).await, "still the same");
        std::fs::write(file.path(), "").unwrap();
        assert!(!noticed(&watch, &login).await, "half written");
        std::fs::write(file.path(), "new").unwrap();
        watch.look(&login).await;
        assert!(!watch.take_replaced(), "it was looked at a moment ago");
        assert!(noticed(&watch, &login).await);
        assert!(!noticed(&watch, &login).await, "told once");

        watch.refused(Some(&proof));
        watch.accepted();
        assert!(!noticed(&watch, &login).await, "it works again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_could_not_be_read_is_noticed_when_it_can() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (login, watch) = (login(&file), Watch::default());
        watch.refused(None);
        assert!(!noticed(&watch, &login).await);
        std::fs::write(file.path(), "new").unwrap();
        assert!(noticed(&watch, &login).await);
    }
}
