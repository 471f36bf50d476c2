//! Idle connections, and how many there may be.
//!
//! In: sessions that can carry another message. Out: the one used last (the others may then grow old and go). A connection
//! holds one of the permits from before it is opened until it is closed, so that the server never sees more of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::session::Session;
use crate::settings::SmtpSettings;

/// How long a server may take to answer QUIT.
const BYE: Duration = Duration::from_secs(2);

/// So many messages refused one after another, and the connection is not used again: servers count errors.
const REFUSALS: u32 = 3;

/// See the head of this file.
pub(crate) struct Pool {
    idle: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
    size: usize,
    messages: u32,
    age: Duration,
    rest: Duration,
}

impl Pool {
    pub(crate) fn new(settings: &SmtpSettings) -> Self {
        let size = settings.connections.max(1);
        Self {
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(size)),
            size,
            messages: settings.messages_per_connection.max(1),
            age: settings.connection_age,
            rest: settings.connection_idle,
        }
    }

    /// An idle connection that is worth trying.
    pub(crate) fn take(&self) -> Option<Session> {
        loop {
            let mut session = self.idle().pop()?;
            if !self.is_fresh(&session) {
                close(session);
            } else if session.is_quiet() {
                return Some(session);
            }
        }
    }

    /// One idle connection turned out dead: the others were open as long, and are not trusted either.
    pub(crate) fn clear(&self) {
        self.idle().clear();
    }

    /// The right to open another connection; `None` if none came free in time.
    pub(crate) async fn permit(&self, limit: Duration) -> Option<OwnedSemaphorePermit> {
        timeout(limit, self.permits.clone().acquire_owned()).await.ok()?.ok()
    }

    /// A message is done: keep the connection, or close it if it has had its share.
    pub(crate) fn give(&self, session: Session) {
        if self.is_fresh(&session) { self.idle().push(session) } else { close(session) }
    }

    /// Whether it may carry another message.
    pub(crate) fn is_fresh(&self, session: &Session) -> bool {
        let offered = session.client.extensions().limit_messages.unwrap_or(u32::MAX).max(1);
        session.messages < self.messages.min(offered)
            && session.refusals < REFUSALS
            && session.opened_at.elapsed() < self.age
            && session.used_at.elapsed() < self.rest
    }

    /// Closes what is too old, and drops what the server closed.
    pub(crate) async fn tend(&self) {
        let mut closing: JoinSet<()> = {
            let mut idle = self.idle();
            let old: Vec<_> = idle.extract_if(.., |session| !self.is_fresh(session)).collect();
            idle.retain_mut(Session::is_quiet);
            old.into_iter().map(|session| session.bye(BYE)).collect()
        };
        while closing.join_next().await.is_some() {}
    }

    /// Open, and of them idle.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let idle = self.idle().len();
        (self.size.saturating_sub(self.permits.available_permits()), idle)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without anybody waiting for it, but for those who want its permit.
fn close(session: Session) {
    tokio::spawn(session.bye(BYE));
}

#[cfg(test)]
impl Pool {
    /// As if time had passed for the idle connections.
    pub(crate) fn make_older(&self, age: Duration, idle: Duration) {
        for session in self.idle().iter_mut() {
            session.opened_at -= age;
            session.used_at -= idle;
        }
    }
}
