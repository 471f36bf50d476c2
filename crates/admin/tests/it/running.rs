//! A relay without listeners: queue manager, spool in memory, admin servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use admin::{HttpServer, State, UnixServer};
use alert::{Channel, ChannelSettings, Desk};
use api::Client;
use async_trait::async_trait;
use jiff::Timestamp;
use qmgr::{QueueManager, ReportSettings, WatchSettings};
use queue::{
    Attempt, AttemptReport, BodyReader, BreakerName, BudgetName, BudgetSettings, Clock, Counted, LaneName,
    LaneSettings, LaneVerdict, Message, MessageId, NewMessage, Origin, Outcome, Pause, Plan, PoolSettings, Recipient,
    RecipientState, RemoteReply, RetryPolicy, Routes, Scope, Transport, Unconfirmed,
};
use smtp::{EnhancedStatus, Reply};
use telemetry::{IncidentKind, Severity};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::memory::{Memory, Stopped};

pub(crate) const LANE: &str = "contoso/test";

/// The budget that it draws on.
pub(crate) const BUDGET: &str = "contoso/relay@contoso.com/messages a minute";
/// What it needs.
pub(crate) const CREDENTIAL: &str = "contoso/6666";

/// Takes every message at once, but for those from `broken@`: then the application's secret has expired.
struct Willing;

#[async_trait]
impl Transport for Willing {
    async fn attempt(&self, attempt: Attempt<'_>, _: BodyReader, _: Timestamp) -> AttemptReport {
        let reply = Reply::new(250, EnhancedStatus::new(2, 0, 0), "OK");
        let remote =
            RemoteReply { host: "test [127.0.0.1]:25".to_owned(), reply, remote_id: Some("<1@test>".to_owned()) };
        let broken = attempt.message.reverse_path.to_string().starts_with("<broken@");
        let (outcome, lane) = match broken {
            true => (waiting(), LaneVerdict::Paused(expired())),
            false => (Outcome::HandedOver { remote, notifies: false }, LaneVerdict::Healthy),
        };
        AttemptReport {
            results: vec![(attempt.recipients, outcome)],
            lane,
            messages: u32::from(!broken),
            took_ms: 7,
            notes: vec!["on foot".to_owned()],
        }
    }
}

fn expired() -> Pause {
    Pause {
        scope: Scope::Credential,
        reason: "the secret has expired".to_owned(),
        remedy: "make a new one".to_owned(),
        code: "AADSTS7000222".to_owned(),
        probe_after: Duration::from_secs(300),
    }
}

fn waiting() -> Outcome {
    let reason = "no token".to_owned();
    Outcome::Deferred { reason, hint: None, not_before: None, remote: None, counts: false }
}

pub(crate) struct Running {
    pub(crate) client: Client,
    pub(crate) spool: Arc<Memory>,
    pub(crate) listening: Arc<AtomicBool>,
    pub(crate) http: String,
    pub(crate) socket: PathBuf,
    pub(crate) state: State,
    pub(crate) stop_queue: CancellationToken,
    pub(crate) manager: JoinHandle<()>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Running {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let spool = Arc::new(Memory::default());
        let (state, stop_queue, manager) = relay(&spool);
        let (listening, stop) = (Arc::clone(&state.listening), CancellationToken::new());
        let socket = dir.path().join("admin.sock");
        let unix = UnixServer::bind(&socket).await.unwrap();
        let tcp = HttpServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let http = format!("http://{}", tcp.local_address());
        let servers = vec![
            tokio::spawn(unix.run(state.clone(), stop.clone())),
            tokio::spawn(tcp.run(state.clone(), stop.clone())),
        ];
        let client = Client::unix(&socket).unwrap();
        Self { client, spool, listening, http, socket, state, stop_queue, manager, stop, servers, _dir: dir }
    }
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for server in self.servers {
            server.await.unwrap();
        }
    }
    /// Status and text of a page.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = http.get(format!("{}{path}", self.http)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// One channel that goes well and one that does not.
fn alert_settings() -> alert::Settings {
    let channel = |name: &str, program: &str| ChannelSettings {
        name: name.to_owned(),
        channel: Channel::Command { command: vec![program.to_owned()], timeout: Duration::from_secs(30) },
        kinds: vec![IncidentKind::Test],
        severity: Severity::Warning,
    };
    alert::Settings {
        hostname: "relay.contoso.com".to_owned(),
        channels: vec![channel("well", "true"), channel("ill", "false")],
    }
}

/// What the alerts remember, and mail of theirs: nothing, and none.
struct Nothing;

#[async_trait]
impl alert::Memory for Nothing {
    async fn remember(&self, _: &str, _: Option<&str>) -> Result<(), String> {
        Ok(())
    }
    async fn remembered(&self, _: &str) -> Result<Vec<(String, String)>, String> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl alert::Post for Nothing {
    async fn mail(&self, _: alert::Mail) -> Result<(), String> {
        Err("there is no mail here".to_owned())
    }
}

/// One path with one lane.
fn plan() -> Plan {
    let name = BudgetName(BUDGET.into());
    let lane = LaneSettings {
        name: LaneName(LANE.into()),
        connections: 3,
        budgets: vec![name.clone()],
        breakers: vec![BreakerName { scope: Scope::Credential, name: CREDENTIAL.into() }],
        unconfirmed: Unconfirmed::Resend,
        null_reverse_path: true,
        mailbox: None,
    };
    let budget = BudgetSettings {
        name,
        counts: Counted::Messages,
        window: Duration::from_secs(60),
        limit: 30,
        reserve: 0,
        warm_up: None,
    };
    let pool = PoolSettings {
        name: LaneName(LANE.into()),
        lanes: vec![lane],
        tenant: "contoso".into(),
        internal_domains: Arc::new(["contoso.com".to_owned()]),
        provider_domain: None,
    };
    Plan { budgets: vec![budget], pools: vec![pool] }
}

fn relay(spool: &Arc<Memory>) -> (State, CancellationToken, JoinHandle<()>) {
    let (alerts, worker) = Desk::new(alert_settings(), Arc::new(|| Stopped.now()));
    let settings = qmgr::Settings {
        retry: RetryPolicy {
            intervals: vec![Duration::from_secs(60)],
            jitter_percent: 0,
            expire: Duration::from_secs(86_400),
            warn: Duration::from_secs(14_400),
        },
        window: 100,
        plan: plan(),
        transports: [(LaneName(LANE.into()), Arc::new(Willing) as Arc<dyn Transport>)].into(),
        routes: Routes::new([("contoso.com".to_owned(), LaneName(LANE.into()))], None),
        grace: Duration::from_secs(1),
        history: Duration::from_secs(86_400),
        incidents: Arc::new(alerts.clone()),
        reports: ReportSettings {
            hostname: "relay.contoso.com".to_owned(),
            singles: 3,
            digest: Duration::from_secs(900),
            full_limit: 1 << 20,
        },
        watch: WatchSettings {
            queue_age: Duration::from_secs(3_600),
            queue_length: 10_000,
            bounce_percent: 10,
            budget_ahead: Duration::from_secs(86_400),
        },
    };
    let (clock, metrics) = (Arc::new(Stopped), Arc::new(telemetry::Metrics::default()));
    let spool: Arc<dyn queue::Spool> = Arc::<Memory>::clone(spool);
    let (manager, queue) = QueueManager::new(settings, Arc::clone(&spool), clock.clone(), Arc::clone(&metrics));
    let stop = CancellationToken::new();
    tokio::spawn(worker.run(Arc::new(Nothing), Arc::new(Nothing), stop.clone()));
    let state = State {
        queue,
        alerts,
        spool,
        metrics,
        started_at: clock.now() - jiff::SignedDuration::from_secs(90),
        clock,
        hostname: "relay.contoso.com".to_owned(),
        version: "1.2.3".to_owned(),
        listeners: vec![("office".to_owned(), "127.0.0.1:2525".parse().unwrap())],
        listening: Arc::new(AtomicBool::new(true)),
    };
    (state, stop.clone(), tokio::spawn(manager.run(stop)))
}

/// Queued, due in an hour.
pub(crate) fn message(number: i64, sender: &str) -> Message {
    let now = Stopped.now();
    let recipient = |path: &str| Recipient {
        forward_path: path.parse().unwrap(),
        notify: None,
        orcpt: None,
        archive: false,
        state: RecipientState::fresh(),
    };
    let new = NewMessage {
        id: MessageId::from_i64(number).unwrap(),
        accepted_at: now,
        origin: Origin {
            client: "printers".into(),
            user: None,
            peer: "10.20.0.7:4711".parse().unwrap(),
            helo: "printer".to_owned(),
            tls: None,
            session: "S1".to_owned(),
        },
        reverse_path: sender.parse().unwrap(),
        body: smtp::BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        recipients: vec![recipient("<anna@contoso.com>"), recipient("<ben@contoso.com>")],
        header: message::HeaderFacts { subject: Some("a test".to_owned()), ..Default::default() },
        content: message::ContentFacts::default(),
        urgent: false,
        lane: LaneName(LANE.into()),
        hold: None,
        report_to: None,
        report_of: None,
    };
    Message { due_at: now + jiff::SignedDuration::from_secs(3600), ..Message::accepted(new, 26) }
}
