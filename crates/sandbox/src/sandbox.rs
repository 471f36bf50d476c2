//! A running sandbox: started, looked into, stopped.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::ca::{Authority, CaError, NAMES};
use crate::clock::Clock;
use crate::control;
use crate::endpoints::{Account, Endpoints};
use crate::entra::{self, KeyError, TokenKeys};
use crate::exchange::{self, Kind, Listener};
use crate::faults::{ActiveFault, Fault, FaultError};
use crate::files::{self, FileError};
use crate::hidden::Hidden;
use crate::settings::Settings;
use crate::statistics::Statistics;
use crate::store::Message;
use crate::tenant::{App, AppSecret, Tenant};
use crate::world::World;

/// How long [`Sandbox::stop`] waits for sessions to end.
const GRACE: Duration = Duration::from_secs(2);

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is in use, or not this machine's.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// An address that others can reach.
    #[error(
        "{0} is not a loopback address: whoever reaches the control API rules the sandbox. Allow it expressly if that is meant"
    )]
    NotLoopback(SocketAddr),
    /// The certification authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The key for tokens.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The directory.
    #[error(transparent)]
    Files(#[from] FileError),
    /// `identity.json` in the directory.
    #[error("identity.json in the sandbox's directory cannot be read: {0}. Remove it to have a new identity made")]
    Identity(#[from] serde_json::Error),
}

/// See the head of the crate. Dropping it stops it at once; [`Sandbox::stop`] lets sessions end.
pub struct Sandbox {
    world: Arc<World>,
    endpoints: Endpoints,
    stop: DropGuard,
    tasks: TaskTracker,
}

impl Sandbox {
    /// Binds, makes what is missing (CA, keys, identity), serves.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let sockets = Sockets::bind(&settings).await?;
        let directory = settings.directory.as_deref();
        let clock = Clock::start();
        let authority = Authority::open(directory, &settings.names, clock.real())?;
        let keys = TokenKeys::open(directory)?;
        let tenant = with_identity(settings.tenant.clone(), directory)?;
        let endpoints = sockets.endpoints(authority.pem(), &tenant);
        let https = authority.server(None, &[b"h2", b"http/1.1"])?;
        let tls = authority.server(None, &[])?;
        let hosts = NAMES.iter().map(|&name| name.to_owned()).chain(settings.names.iter().cloned()).collect();
        let world = Arc::new(World::new(clock, keys, authority, hosts, &settings, tenant));

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let smtp = |kind, socket| {
            let listener = Listener::new(world.clone(), kind, tls.clone(), stop.clone());
            exchange::serve(listener, socket, settings.sessions, tasks.clone())
        };
        tasks.spawn(smtp(Kind::Submission, sockets.submission.0));
        if let Some((socket, _)) = sockets.smart_host {
            tasks.spawn(smtp(Kind::SmartHost, socket));
        }
        tasks.spawn(entra::serve(world.clone(), sockets.login.0, https, stop.clone(), tasks.clone()));
        tasks.spawn(control::serve(world.clone(), endpoints.clone(), sockets.control.0, stop.clone()));
        tracing::info!(submission = %endpoints.submission, login = %endpoints.login, control = %endpoints.control, "sandbox: started");
        Ok(Self { world, endpoints, stop: stop.drop_guard(), tasks })
    }

    /// Where it is reached, and with what.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What is kept of the messages that arrived, oldest first.
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.world.state().store.all().cloned().collect()
    }

    /// Those that this mailbox submitted.
    pub fn messages_of(&self, mailbox: &str) -> Vec<Arc<Message>> {
        let by =
            |message: &&Arc<Message>| message.mailbox.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(mailbox));
        self.world.state().store.all().filter(by).cloned().collect()
    }

    /// Those with this recipient.
    pub fn messages_for(&self, recipient: &str) -> Vec<Arc<Message>> {
        self.world.state().store.all().filter(|message| message.is_for(recipient)).cloned().collect()
    }

    /// Forgets them; says how many.
    pub fn delete_messages(&self) -> usize {
        self.world.state().store.clear()
    }

    /// Returns once so many messages have arrived since the start, deleted ones included.
    pub async fn arrived(&self, count: u64) {
        let mut arrivals = self.world.arrivals.subscribe();
        // The sender lives in `world`, which `self` holds, so waiting cannot fail.
        let _ = arrivals.wait_for(|arrived| *arrived >= count).await;
    }

    /// Sets a fault; its id clears it.
    pub fn add_fault(&self, fault: Fault) -> Result<u64, FaultError> {
        self.world.state().faults.add(fault)
    }

    /// Clears one fault; false if there is none with this id (any more).
    pub fn remove_fault(&self, id: u64) -> bool {
        self.world.state().faults.remove(id)
    }

    /// Clears all of them, and the counts of addresses like `defer-451-x2@…`.
    pub fn clear_faults(&self) {
        self.world.state().faults.clear();
    }

    /// The faults that are set.
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.world.state().faults.active().to_vec()
    }

    /// The sandbox's clock.
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    /// Moves the clock forward: limits, tokens, secrets and idle sessions age.
    pub fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
    }

    /// What was counted.
    pub fn statistics(&self) -> Statistics {
        self.world.statistics()
    }

    /// Starts the counters anew. Limits go on as they are.
    pub fn reset_statistics(&self) {
        self.world.reset_statistics();
    }

    /// The tenant as it is now.
    pub fn tenant(&self) -> Tenant {
        self.world.state().tenant.clone()
    }

    /// Changes it: mailboxes, applications, switches, limits. Holds from the next command of any session on.
    pub fn change_tenant(&self, change: impl FnOnce(&mut Tenant)) {
        change(&mut self.world.state().tenant);
    }

    /// Stops listening and ends the sessions with 421. Returns when they are over, or after two seconds.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.close();
        let _ = tokio::time::timeout(GRACE, self.tasks.wait()).await;
    }
}

type Bound = (TcpListener, SocketAddr);

/// Bound and with their addresses, before anything is served.
struct Sockets {
    submission: Bound,
    login: Bound,
    control: Bound,
    smart_host: Option<Bound>,
}

impl Sockets {
    async fn bind(settings: &Settings) -> Result<Self, StartError> {
        Ok(Self {
            submission: bind(settings.submission, settings).await?,
            login: bind(settings.login, settings).await?,
            control: bind(settings.control, settings).await?,
            smart_host: match settings.smart_host {
                Some(address) => Some(bind(address, settings).await?),
                None => None,
            },
        })
    }

    fn endpoints(&self, ca_pem: &str, tenant: &Tenant) -> Endpoints {
        let app = tenant.apps.first();
        let secret = app.and_then(|app| app.secrets.first());
        Endpoints {
            login: format!("https://localhost:{}", self.login.1.port()),
            login_address: self.login.1,
            submission: self.submission.1,
            submission_host: "localhost".to_owned(),
            smart_host: self.smart_host.as_ref().map(|(_, address)| *address),
            control: format!("http://{}", self.control.1),
            ca_pem: ca_pem.to_owned(),
            tenant_id: tenant.id.clone(),
            domains: tenant.domains.clone(),
            client_id: app.map(|app| app.client_id.clone()).unwrap_or_default(),
            client_secret: secret.map(|secret| secret.value.clone()).unwrap_or_default(),
            mailboxes: Account::all(tenant),
        }
    }
}

async fn bind(address: SocketAddr, settings: &Settings) -> Result<Bound, StartError> {
    if !address.ip().is_loopback() && !settings.allow_remote {
        return Err(StartError::NotLoopback(address));
    }
    let failed = |cause| StartError::Bind { address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The first application's, kept over restarts.
#[derive(Serialize, Deserialize)]
struct Identity {
    client_id: String,
    object_id: String,
    client_secret: Hidden,
}

impl Identity {
    fn fresh() -> Self {
        Self {
            client_id: Uuid::new_v4().to_string(),
            object_id: Uuid::new_v4().to_string(),
            client_secret: format!("{}~{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into(),
        }
    }
}

/// Fills in what the settings leave open.
fn with_identity(mut tenant: Tenant, directory: Option<&Path>) -> Result<Tenant, StartError> {
    let identity = files::load_or_make::<StartError>(directory, "identity.json", || {
        Ok(serde_json::to_string_pretty(&Identity::fresh())?)
    })?;
    let mut identity: Option<Identity> = Some(serde_json::from_str(&identity)?);
    if tenant.apps.is_empty() {
        tenant.apps.push(App { name: "relay".to_owned(), roles: vec!["SMTP.SendAsApp".to_owned()], ..App::default() });
    }
    for app in &mut tenant.apps {
        let identity = identity.take().unwrap_or_else(Identity::fresh);
        if app.client_id.is_empty() {
            app.client_id = identity.client_id;
        }
        if app.object_id.is_empty() {
            app.object_id = identity.object_id;
        }
        if app.secrets.is_empty() && app.certificates.is_empty() {
            app.secrets.push(AppSecret { value: identity.client_secret, expires_at: None });
        }
    }
    Ok(tenant)
}
