//! A running queue manager with its spool and its remotes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use posthouse_qmgr::{Handle, QueueManager, ReportSettings, Settings, WatchSettings};
use queue::{
    BreakerName, BudgetName, BudgetSettings, Clock, Counted, Intake, LaneName, LaneSettings, Message, MessageId,
    NewMessage, Plan, PoolSettings, RetryPolicy, Routes, Scope, Spool, Transport, Unconfirmed,
};
use telemetry::{Incidents, Metrics, Recorded};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::remote::{Remote, World};
use crate::world::{START, VirtualClock, lane, new_message};

/// Name, connections, messages a minute.
pub(crate) type Permits = (&'static str, usize, Option<u32>);

pub(crate) struct Relay {
    pub(crate) world: Arc<World>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) handle: Handle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) incidents: Arc<Recorded>,
    pub(crate) remotes: BTreeMap<&'static str, Arc<Remote>>,
    stop: CancellationToken,
    run: JoinHandle<()>,
}

impl Relay {
    pub(crate) fn start(world: &Arc<World>, lanes: &[Permits]) -> Self {
        Self::start_with(world, START, lanes, |_| {})
    }

    pub(crate) fn start_with(
        world: &Arc<World>,
        from: Timestamp,
        lanes: &[Permits],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let clock = Arc::new(VirtualClock::starting_at(from));
        let remotes: BTreeMap<_, _> =
            lanes.iter().map(|permits| (permits.0, remote(world, &clock, *permits))).collect();
        let transport = |(name, remote): (&&str, &Arc<Remote>)| (lane(name), Arc::clone(remote) as Arc<dyn Transport>);
        let incidents = Arc::new(Recorded::default());
        let mut settings = Settings {
            retry: RetryPolicy::default(),
            window: 1_000,
            plan: plan(lanes),
            transports: remotes.iter().map(transport).collect(),
            routes: Routes::default(),
            grace: Duration::from_secs(30),
            history: Duration::from_secs(30 * 86_400),
            incidents: Arc::clone(&incidents) as Arc<dyn Incidents>,
            reports: ReportSettings {
                hostname: "relay.example".to_owned(),
                singles: 3,
                digest: Duration::from_secs(15 * 60),
                full_limit: 1 << 20,
            },
            watch: WatchSettings {
                queue_age: Duration::from_secs(3_600),
                queue_length: 10_000,
                bounce_percent: 10,
                budget_ahead: Duration::from_secs(86_400),
            },
        };
        change(&mut settings);
        let spool: Arc<dyn Spool> = Arc::clone(&world.spool) as _;
        let now: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let metrics = Arc::new(Metrics::default());
        let (manager, handle) = QueueManager::new(settings, spool, now, Arc::clone(&metrics));
        let stop = CancellationToken::new();
        let run = tokio::spawn(manager.run(stop.clone()));
        Self { world: Arc::clone(world), clock, handle, metrics, incidents, remotes, stop, run }
    }

    /// A message to that lane is accepted.
    pub(crate) async fn accept(&self, to: &str, recipients: usize, urgent: bool) -> Option<MessageId> {
        let message = self.spooled(to, recipients, urgent).await?;
        let id = message.id;
        self.handle.arrived(message);
        Some(id)
    }

    /// A message to these addresses is accepted for that lane.
    pub(crate) async fn accept_for(&self, lane: &str, addresses: &[&str]) -> MessageId {
        let to = |message: &mut NewMessage| {
            for (recipient, address) in message.recipients.iter_mut().zip(addresses) {
                recipient.forward_path = format!("<{address}>").parse().unwrap();
            }
        };
        let message = self.spooled_as(lane, addresses.len(), false, to).await.unwrap();
        let id = message.id;
        self.handle.arrived(message);
        id
    }

    /// Accepted, but the queue manager has not heard of it.
    pub(crate) async fn spooled(&self, to: &str, recipients: usize, urgent: bool) -> Option<Message> {
        self.spooled_as(to, recipients, urgent, |_| {}).await
    }

    /// The same, changed before it is accepted.
    pub(crate) async fn spooled_as(
        &self,
        to: &str,
        recipients: usize,
        urgent: bool,
        change: impl FnOnce(&mut NewMessage),
    ) -> Option<Message> {
        let body = self.world.spool.body_writer(None).unwrap();
        let mut new = new_message(body.id(), self.clock.now(), to, recipients, urgent);
        change(&mut new);
        let body = body.finish().await.unwrap();
        self.world.spool.enqueue(new, body).await.ok()
    }

    pub(crate) fn message(&self, id: MessageId) -> Message {
        self.world.spool.message(id)
    }

    /// Until nothing is queued any more; false if that takes longer.
    pub(crate) async fn drained_within(&self, limit: Duration) -> bool {
        let drained = async {
            while self.world.spool.queued() > 0 {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        tokio::time::timeout(limit, drained).await.is_ok()
    }

    /// The graceful stop.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.wrongs_are_none();
        self.run.await.unwrap();
        assert_eq!(self.world.ledger().wrongs, Vec::<String>::new());
        let leased = self.world.spool.leased();
        let messages: Vec<_> = leased.iter().map(|id| self.world.spool.message(*id)).collect();
        assert_eq!(leased, [], "leases are given back: {messages:#?}");
    }

    pub(crate) fn wrongs_are_none(&self) {
        assert_eq!(self.world.ledger().wrongs, Vec::<String>::new());
    }
}

/// One life of the process. What is under way at its end is gone, as after a kill.
pub(crate) fn life<F: Future>(life: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(life)
}

fn remote(world: &Arc<World>, clock: &Arc<VirtualClock>, permits: Permits) -> Arc<Remote> {
    let (lane, connections, messages_per_minute) = permits;
    Arc::new(Remote {
        world: Arc::clone(world),
        clock: Arc::clone(clock),
        lane,
        connections,
        messages_per_minute,
        script: Mutex::new(VecDeque::new()),
        refuses_until: Mutex::new(None),
        open: Mutex::new(0),
        abandoned: CancellationToken::new(),
        replaced: AtomicBool::new(false),
        asked_anew: AtomicUsize::new(0),
        answers: Mutex::default(),
    })
}

/// Each lane a pool of its own, with a path and a credential of its own.
pub(crate) fn plan(lanes: &[Permits]) -> Plan {
    let budget = |(name, _, limit): &Permits| {
        let (window, limit) = (Duration::from_secs(60), u64::from((*limit)?));
        let name = minute(name);
        Some(BudgetSettings { name, counts: Counted::Messages, window, limit, reserve: 0, warm_up: None })
    };
    Plan {
        budgets: lanes.iter().filter_map(budget).collect(),
        pools: lanes.iter().map(|permits| pool(*permits)).collect(),
    }
}

/// The budget of messages a minute.
pub(crate) fn minute(of: &str) -> BudgetName {
    BudgetName(format!("{of}/messages a minute").into())
}

fn pool((name, connections, per_minute): Permits) -> PoolSettings {
    let breaker = |scope| BreakerName { scope, name: name.into() };
    let settings = LaneSettings {
        name: lane(name),
        connections,
        budgets: per_minute.map(|_| minute(name)).into_iter().collect(),
        breakers: vec![breaker(Scope::Path), breaker(Scope::Credential)],
        unconfirmed: Unconfirmed::Resend,
        null_reverse_path: true,
        mailbox: None,
    };
    let internal_domains = Arc::from([format!("{name}.example")]);
    PoolSettings {
        name: lane(name),
        lanes: vec![settings],
        tenant: name.into(),
        internal_domains,
        provider_domain: None,
    }
}

/// `lane`.example goes to lane.
pub(crate) fn routes(pairs: &[(&str, &str)]) -> Routes {
    let domains: Vec<(String, LaneName)> =
        pairs.iter().map(|(domain, to)| (format!("{domain}.example"), lane(to))).collect();
    Routes::new(domains, None)
}
