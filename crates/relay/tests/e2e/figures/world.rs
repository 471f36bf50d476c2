//! A sandbox, and a relay that can be killed and started again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use message::{ContentFacts, HeaderFacts};
use qmgr::{Handle, QueueManager};
use queue::{
    Attempt, AttemptReport, BodyReader, Clock, Intake, LaneName, NewMessage, Origin, Recipient, RecipientState, Spool,
};
use sandbox::{Limits, RateExcess, Sandbox};
use telemetry::{Metrics, Recorded};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::spool::StandingStill;

pub(crate) const MAILBOX: &str = "relay@contoso.test";
/// Messages that share a sync.
const AT_ONCE: usize = 200;

/// Exchange refuses what is over the rate, so that nothing goes unnoticed.
pub(crate) fn strict() -> Limits {
    Limits { rate_excess: RateExcess::Refuse, ..Limits::default() }
}

/// The paused clock of the test, with a date.
#[derive(Debug)]
struct PausedClock {
    started_at: Timestamp,
    started: Instant,
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        self.started_at + SignedDuration::try_from(self.started.elapsed()).unwrap()
    }
}

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) incidents: Arc<Recorded>,
    clock: Arc<dyn Clock>,
    _directory: tempfile::TempDir,
    configuration: PathBuf,
}

impl World {
    /// `path`: further keys of the path, as TOML lines.
    pub(crate) async fn start(limits: Limits, path: &str) -> Self {
        let settings = sandbox::Settings::default();
        let tenant = sandbox::Tenant { limits, ..settings.tenant };
        let retention = sandbox::Retention { messages: 10, ..settings.retention };
        let sandbox = Sandbox::start(sandbox::Settings { tenant, retention, ..settings }).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let endpoints = sandbox.endpoints();
        let listen = "127.0.0.1:0".parse().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        endpoints.write_files(&data).unwrap();
        let text = with_path_keys(&endpoints.configuration(listen, &data), path);
        let configuration = directory.path().join("posthouse.toml");
        std::fs::write(&configuration, text).unwrap();
        let clock = PausedClock { started_at: sandbox.clock().now(), started: Instant::now() };
        Self { sandbox, incidents: Arc::default(), clock: Arc::new(clock), _directory: directory, configuration }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A relay on this world's spool.
    pub(crate) async fn relay(&self) -> Relay {
        let config = config::load(&self.configuration).unwrap();
        let metrics = Arc::new(Metrics::default());
        let spool = Arc::new(StandingStill::new(self.open(&config.spool, &metrics).await));
        let settings = qmgr::Settings {
            retry: config.retry.clone(),
            window: config.window,
            transports: self.transports(&config),
            plan: config.plan.clone(),
            routes: config.routes.clone(),
            grace: config.grace,
            history: config.history,
            incidents: Arc::clone(&self.incidents) as Arc<dyn telemetry::Incidents>,
            reports: config.reports.clone(),
            watch: config.watch.clone(),
        };
        let (manager, handle) =
            QueueManager::new(settings, Arc::clone(&spool) as Arc<dyn Spool>, Arc::clone(&self.clock), metrics);
        let stop = CancellationToken::new();
        tokio::spawn(manager.run(stop.clone()));
        let pool = config.plan.pools[0].name.clone();
        Relay { spool, handle, stop, pool, clock: Arc::clone(&self.clock) }
    }

    /// A spool that was killed a moment ago may still be held by what was under way.
    async fn open(&self, settings: &spool::Settings, metrics: &Arc<Metrics>) -> spool::Embedded {
        loop {
            let (settings, clock, metrics) = (settings.clone(), Arc::clone(&self.clock), Arc::clone(metrics));
            let opened = tokio::task::spawn_blocking(move || spool::Embedded::open(settings, clock, metrics));
            match opened.await.unwrap() {
                Ok(spool) => return spool,
                Err(spool::OpenError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn transports(&self, config: &config::Config) -> std::collections::BTreeMap<LaneName, Arc<dyn queue::Transport>> {
        let source = |settings: &entra::Settings| {
            let clock = Arc::clone(&self.clock);
            entra::TokenSource::new(settings.clone(), Arc::new(move || clock.now()))
        };
        let transport = |(lane, settings): (LaneName, transport::SmtpSettings)| {
            let catalogue = m365::Catalogue::builtin();
            let made =
                transport::SmtpTransport::new(settings, catalogue, Arc::new(transport::Refusals::forgetful())).unwrap();
            (lane, Arc::new(Unhurried(made)) as Arc<dyn queue::Transport>)
        };
        config.transports(source, None).unwrap().into_iter().map(transport).collect()
    }
}

/// Into the inline table of the one path.
fn with_path_keys(configuration: &str, keys: &str) -> String {
    let head = "path = [{ kind = \"submission\"";
    assert!(configuration.contains(head), "{configuration}");
    let keys: String = keys.lines().map(|key| format!(", {key}")).collect();
    configuration.replacen(head, &format!("{head}{keys}"), 1)
}

pub(crate) struct Relay {
    spool: Arc<StandingStill>,
    handle: Handle,
    stop: CancellationToken,
    pool: LaneName,
    clock: Arc<dyn Clock>,
}

impl Relay {
    /// As if so many devices had sent mail at once, each to so many recipients.
    pub(crate) async fn accept(&self, messages: usize, recipients: usize) {
        for begun in (0..messages).step_by(AT_ONCE) {
            let at_once = (begun..messages.min(begun + AT_ONCE)).map(|_| self.accept_one(recipients));
            futures_util::future::join_all(at_once).await;
        }
    }

    async fn accept_one(&self, recipients: usize) {
        let content = b"From: relay@contoso.test\r\nTo: all@example.com\r\nSubject: figures\r\n\r\nText.\r\n";
        let mut writer = self.spool.body_writer(None).unwrap();
        let id = writer.id();
        writer.write(content).await.unwrap();
        let body = writer.finish().await.unwrap();
        let recipient = |number| Recipient {
            forward_path: format!("<r{number}@example.com>").parse().unwrap(),
            // Reports would be mail of their own.
            notify: Some(smtp::Notify { success: false, failure: false, delay: false }),
            orcpt: None,
            archive: false,
            state: RecipientState::fresh(),
        };
        let message = NewMessage {
            id,
            accepted_at: self.clock.now(),
            origin: Origin {
                client: "figures".into(),
                user: None,
                peer: "127.0.0.1:40000".parse().unwrap(),
                helo: "figures".to_owned(),
                tls: None,
                session: "figures".to_owned(),
            },
            reverse_path: format!("<{MAILBOX}>").parse().unwrap(),
            body: smtp::BodyType::default(),
            smtputf8: false,
            ret: None,
            envid: None,
            recipients: (0..recipients).map(recipient).collect(),
            header: HeaderFacts::default(),
            content: ContentFacts::default(),
            urgent: false,
            lane: self.pool.clone(),
            hold: None,
            report_to: None,
            report_of: None,
        };
        let message = self.spool.enqueue(message, body).await.unwrap();
        self.handle.arrived(message);
    }

    /// Recipients still queued.
    pub(crate) async fn queued(&self) -> u64 {
        let counters = self.spool.counters().await.unwrap();
        assert!(counters.conserved(), "{counters:?}");
        counters.queued
    }

    pub(crate) async fn handed_over(&self) -> u64 {
        self.spool.counters().await.unwrap().handed_over
    }

    /// Looks so often until nothing waits.
    pub(crate) async fn drained(&self, every: Duration) {
        while self.queued().await > 0 {
            tokio::time::sleep(every).await;
        }
    }

    pub(crate) async fn status(&self) -> qmgr::Report {
        self.handle.status().await
    }

    /// Ends at once, whatever is under way: nothing is written any more, no last byte goes.
    pub(crate) fn kill(self) {
        self.spool.kill();
        self.stop.cancel();
    }
}

/// Holds the clock while a conversation is under way: for as long as one takes over the loopback, so that no timer of it
/// runs out before its answer. What takes longer waits for the clock itself, and gets it.
struct Unhurried(transport::SmtpTransport);

const CONVERSATION: Duration = Duration::from_millis(200);

#[async_trait]
impl queue::Transport for Unhurried {
    async fn attempt(&self, attempt: Attempt<'_>, body: BodyReader, now: Timestamp) -> AttemptReport {
        let (over, ended) = std::sync::mpsc::channel::<()>();
        let held = tokio::task::spawn_blocking(move || ended.recv_timeout(CONVERSATION));
        let report = self.0.attempt(attempt, body, now).await;
        drop(over);
        let _ = held.await;
        report
    }
    async fn tend(&self) {
        self.0.tend().await;
    }
    fn abandon(&self) {
        self.0.abandon();
    }
    fn connections(&self) -> (usize, usize) {
        self.0.connections()
    }
}
