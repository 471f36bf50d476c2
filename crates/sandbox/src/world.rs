//! Everything that the endpoints and the control API share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ca::{Authority, CaError, TlsFault};
use crate::clock::Clock;
use crate::enforcement::Enforcement;
use crate::entra::{Seen, TokenKeys};
use crate::faults::Faults;
use crate::settings::Retention;
use crate::statistics::Statistics;
use crate::store::Store;
use crate::tenant::Tenant;

/// One sandbox.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) keys: TokenKeys,
    pub(crate) authority: Authority,
    /// Names of the endpoints.
    pub(crate) hosts: Vec<String>,
    pub(crate) retention: Retention,
    pub(crate) address_faults: bool,
    /// Messages taken so far.
    pub(crate) arrivals: watch::Sender<u64>,
    state: Mutex<State>,
    sequence: AtomicU64,
    flawed: Mutex<HashMap<TlsFault, Arc<rustls::ServerConfig>>>,
}

/// What changes.
pub(crate) struct State {
    pub(crate) tenant: Tenant,
    pub(crate) faults: Faults,
    pub(crate) store: Store,
    pub(crate) seen: Seen,
    pub(crate) statistics: Statistics,
    pub(crate) enforcement: Enforcement,
}

impl World {
    pub(crate) fn new(
        clock: Clock,
        keys: TokenKeys,
        authority: Authority,
        hosts: Vec<String>,
        settings: &crate::Settings,
        tenant: Tenant,
    ) -> Self {
        Self {
            clock,
            keys,
            authority,
            hosts,
            retention: settings.retention,
            address_faults: settings.address_faults,
            arrivals: watch::Sender::new(0),
            state: Mutex::new(State {
                tenant,
                faults: Faults::default(),
                store: Store::new(settings.retention),
                seen: Seen::default(),
                statistics: Statistics::default(),
                enforcement: Enforcement::default(),
            }),
            sequence: AtomicU64::new(0x08DD_0000_0000_0000),
            flawed: Mutex::new(HashMap::new()),
        }
    }

    /// For a moment; never over an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next id of a session or a message.
    pub(crate) fn next_id(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// A TLS server with this flaw, made when first needed.
    pub(crate) fn flawed_tls(&self, flaw: TlsFault) -> Result<Arc<rustls::ServerConfig>, CaError> {
        let mut flawed = self.flawed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = flawed.get(&flaw) {
            return Ok(server.clone());
        }
        let server = self.authority.server(Some(flaw), &[])?;
        flawed.insert(flaw, server.clone());
        Ok(server)
    }

    /// All counters as of now.
    pub(crate) fn statistics(&self) -> Statistics {
        let now = self.clock.now();
        let mut state = self.state();
        let state = &mut *state;
        let mut statistics = state.statistics.clone();
        statistics.faults = state.faults.struck();
        for mailbox in &state.tenant.mailboxes {
            let of_mailbox = state.enforcement.statistics(&mailbox.address, now);
            statistics.mailboxes.insert(mailbox.address.clone(), of_mailbox);
        }
        statistics.tenant = state.enforcement.tenant_statistics(now);
        statistics
    }

    /// Starts the counters anew. Limits go on as they are.
    pub(crate) fn reset_statistics(&self) {
        let mut state = self.state();
        state.statistics = Statistics::default();
        state.faults.reset_struck();
        state.enforcement.reset_statistics();
    }
}
