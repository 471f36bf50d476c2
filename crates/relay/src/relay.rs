//! One relay, wired: spool, transports, queue manager, listeners, admin. `serve` and `demo` both start it here.
//!
//! Order of starting: spool (recovers what was accepted), alerts, queue manager, admin, listeners: mail is taken only when all
//! the rest can carry it. Stopping is the other way round, but for admin: it answers until the queue manager has stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use config::Config;
use dkim::Keys;
use inbound::Inbound;
use qmgr::QueueManager;
use queue::{Clock, Intake, LaneName, Spool, Transport};
use telemetry::{Incidents, Metrics};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use transport::{Refusals, SmtpSettings, SmtpTransport};

use crate::notices::{QueuePost, SpoolMemory};
use crate::outlook::Outlook;
use crate::system::{self, SystemClock};
use crate::watch::Watch;

/// Between looks at the files of signing keys.
const LOOK_AT_KEYS: Duration = Duration::from_secs(10);

/// A running relay.
pub(crate) struct Relay {
    /// Where it listens, by listener name.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    /// Where metrics and health are served.
    pub(crate) http: Option<SocketAddr>,
    spool: Arc<dyn Spool>,
    ended: CancellationToken,
    stop_inbound: CancellationToken,
    stop_queue: CancellationToken,
    stop_alerts: CancellationToken,
    stop_admin: CancellationToken,
    inbound: JoinHandle<()>,
    manager: JoinHandle<()>,
    alerts: [JoinHandle<()>; 3],
    outlook: JoinHandle<()>,
    admin: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Starts all parts. `inherited`: sockets from the service manager.
    pub(crate) async fn start(config: Config, inherited: Vec<(String, std::net::TcpListener)>) -> anyhow::Result<Self> {
        system::open_as_many_as_permitted();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::default());
        let spool = open_spool(&config, &clock, &metrics).await?;
        let (desk, worker) = alert::Desk::new(config.alerts.clone(), now_of(&clock));
        let keys = signing_keys(&config).await?;
        let lanes = lanes(&config, &clock, &metrics, keys.as_ref())?;
        let watch = Watch::new(&config, &lanes, Arc::new(desk.clone()), Arc::clone(&clock));
        let refusals =
            Refusals::open(Arc::clone(&spool), clock.now()).await.context("cannot read which senders were refused")?;
        let settings = queue_settings(&config, transports(lanes, &Arc::new(refusals))?, Arc::new(desk.clone()));
        let (manager, handle) =
            QueueManager::new(settings, Arc::clone(&spool), Arc::clone(&clock), Arc::clone(&metrics));
        let (memory, post) = (SpoolMemory(Arc::clone(&spool)), QueuePost(handle.clone()));
        let [stop_queue, stop_inbound, stop_alerts, stop_admin] = [(); 4].map(|()| CancellationToken::new());
        let intake: Arc<dyn Intake> = Arc::new(handle.clone());
        let inbound = Inbound::bind(
            config.inbound.clone(),
            inherited,
            Arc::clone(&spool),
            intake,
            config.routes.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        )?;
        let listeners = inbound.local_addresses();
        let listening = Arc::new(AtomicBool::new(true));
        let state = admin::State {
            queue: handle,
            alerts: desk,
            spool: Arc::clone(&spool),
            metrics,
            started_at: clock.now(),
            clock,
            hostname: config.hostname.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listeners: listeners.clone(),
            listening: Arc::clone(&listening),
        };
        let (admin, http) = serve_admin(&config, state, &stop_admin).await?;
        let ended = CancellationToken::new();
        let telling = worker.run(Arc::new(memory), Arc::new(post), stop_alerts.clone());
        let alerts = [
            tokio::spawn(until_end(watch.run(stop_alerts.clone()), ended.clone().drop_guard())),
            tokio::spawn(until_end(watch_keys(keys, stop_alerts.clone()), ended.clone().drop_guard())),
            tokio::spawn(until_end(telling, ended.clone().drop_guard())),
        ];
        // No guard: should it fail, mail goes on.
        let outlook = tokio::spawn(watch_domains(Outlook::new(&config), stop_alerts.clone()));
        let manager = tokio::spawn(until_end(manager.run(stop_queue.clone()), ended.clone().drop_guard()));
        let taking = take_mail(inbound, stop_inbound.clone(), listening);
        let inbound = tokio::spawn(until_end(taking, ended.clone().drop_guard()));
        Ok(Self {
            listeners,
            http,
            spool,
            ended,
            stop_inbound,
            stop_queue,
            stop_alerts,
            stop_admin,
            inbound,
            manager,
            alerts,
            outlook,
            admin,
        })
    }

    /// Returns when a part that should run for ever has ended, by a fault of ours. What is left must be stopped: a relay
    /// that takes mail and sends none helps nobody.
    pub(crate) async fn failed(&self) {
        self.ended.cancelled().await;
    }

    /// Sessions first, then attempts, then what is to be told of them, then the store.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop_inbound.cancel();
        self.inbound.await.context("the listeners failed")?;
        self.stop_queue.cancel();
        self.manager.await.context("the queue manager failed")?;
        self.stop_alerts.cancel();
        for task in self.alerts {
            task.await.context("the alerts failed")?;
        }
        let _ = self.outlook.await;
        self.stop_admin.cancel();
        for server in self.admin {
            let _ = server.await;
        }
        self.spool.close().await.context("the spool could not be closed")?;
        Ok(())
    }
}

/// Tells by the guard that the work has ended, also by a panic.
async fn until_end(work: impl Future<Output = ()>, ended: DropGuard) {
    work.await;
    drop(ended);
}

/// `/readyz` says no as soon as the listeners stop, for whatever reason.
async fn take_mail(inbound: Inbound, stop: CancellationToken, listening: Arc<AtomicBool>) {
    let ending = Arc::clone(&listening);
    let told = stop.clone();
    let watch = tokio::spawn(async move {
        told.cancelled().await;
        ending.store(false, Ordering::Relaxed);
    });
    inbound.run(stop).await;
    listening.store(false, Ordering::Relaxed);
    watch.abort();
}

/// The API on its Unix socket; metrics and health over HTTP where an address is given.
async fn serve_admin(
    config: &Config,
    state: admin::State,
    stop: &CancellationToken,
) -> anyhow::Result<(Vec<JoinHandle<()>>, Option<SocketAddr>)> {
    let mut servers = Vec::new();
    #[cfg(unix)]
    if let Some(socket) = &config.admin.socket {
        let server = admin::UnixServer::bind(socket).await?;
        servers.push(tokio::spawn(server.run(state.clone(), stop.clone())));
    }
    let mut http = None;
    if let Some(address) = config.admin.address {
        let server = admin::HttpServer::bind(address).await?;
        http = Some(server.local_address());
        servers.push(tokio::spawn(server.run(state, stop.clone())));
    }
    Ok((servers, http))
}

/// Opening reads files and may recover for a while: off the runtime's threads.
async fn open_spool(config: &Config, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<dyn Spool>> {
    let (settings, clock, metrics) = (config.spool.clone(), Arc::clone(clock), Arc::clone(metrics));
    let dir = settings.dir.clone();
    let spool = tokio::task::spawn_blocking(move || spool::Embedded::open(settings, clock, metrics))
        .await?
        .with_context(|| format!("cannot open the spool in {}", dir.display()))?;
    Ok(Arc::new(spool))
}

fn now_of(clock: &Arc<dyn Clock>) -> Arc<dyn Fn() -> jiff::Timestamp + Send + Sync> {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now())
}

fn queue_settings(config: &Config, transports: Transports, incidents: Arc<dyn Incidents>) -> qmgr::Settings {
    qmgr::Settings {
        retry: config.retry.clone(),
        window: config.window,
        plan: config.plan.clone(),
        transports,
        routes: config.routes.clone(),
        history: config.history,
        grace: config.grace,
        incidents,
        reports: config.reports.clone(),
        watch: config.watch.clone(),
    }
}

/// The keys that sign; `None` without any. Reads files.
async fn signing_keys(config: &Config) -> anyhow::Result<Option<Arc<Keys>>> {
    if config.dkim.is_empty() {
        return Ok(None);
    }
    let settings = config.dkim.clone();
    let keys = tokio::task::spawn_blocking(move || Keys::load(&settings)).await?;
    Ok(Some(Arc::new(keys.context("cannot sign (DKIM)")?)))
}

/// Takes up key files that have been replaced.
async fn watch_keys(keys: Option<Arc<Keys>>, stop: CancellationToken) {
    let Some(keys) = keys else { return stop.cancelled().await };
    let look = async {
        loop {
            tokio::time::sleep(LOOK_AT_KEYS).await;
            let keys = Arc::clone(&keys);
            // A panic in there leaves the old keys.
            let _ = tokio::task::spawn_blocking(move || keys.look()).await;
        }
    };
    stop.run_until_cancelled(look).await;
}

/// Logs what is wrong with sender domains.
async fn watch_domains(outlook: Option<Outlook<doctor::Doctor>>, stop: CancellationToken) {
    if let Some(outlook) = outlook {
        outlook.run(stop).await;
    }
}

type Lanes = Vec<(LaneName, SmtpSettings)>;
type Transports = BTreeMap<LaneName, Arc<dyn Transport>>;

/// Lanes of one application share its tokens.
fn lanes(
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    keys: Option<&Arc<Keys>>,
) -> anyhow::Result<Lanes> {
    let source = |settings: &entra::Settings| {
        let source = entra::TokenSource::new(settings.clone(), now_of(clock))?;
        Ok::<_, entra::TokenError>(source.with_metrics(Arc::clone(metrics)))
    };
    Ok(config.transports(source, keys)?)
}

fn transports(lanes: Lanes, refusals: &Arc<Refusals>) -> anyhow::Result<Transports> {
    let catalogue = m365::Catalogue::builtin();
    let transport = |(lane, settings): (LaneName, SmtpSettings)| {
        let transport = SmtpTransport::new(settings, Arc::clone(&catalogue), Arc::clone(refusals))
            .with_context(|| format!("cannot set up the path {lane}"))?;
        Ok((lane, Arc::new(transport) as Arc<dyn Transport>))
    };
    lanes.into_iter().map(transport).collect()
}
