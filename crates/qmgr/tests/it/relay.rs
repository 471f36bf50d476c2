//! A running queue manager with its spool and its remotes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use posthouse_qmgr::{Handle, QueueManager, Settings};
use queue::{Clock, Intake, LaneName, LaneSettings, Message, MessageId, RetryPolicy, Routes, Spool, Transport};
use telemetry::Metrics;
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
        let transport = |permits: &Permits| {
            let transport: Arc<dyn Transport> = Arc::clone(&remotes[permits.0]) as _;
            let (name, connections, messages_per_minute) = *permits;
            (LaneSettings { name: lane(name), connections, messages_per_minute }, transport)
        };
        let mut settings = Settings {
            retry: RetryPolicy::default(),
            window: 1_000,
            lanes: lanes.iter().map(transport).collect(),
            routes: Routes::default(),
            grace: Duration::from_secs(30),
            history: Duration::from_secs(30 * 86_400),
        };
        change(&mut settings);
        let spool: Arc<dyn Spool> = Arc::clone(&world.spool) as _;
        let now: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let metrics = Arc::new(Metrics::default());
        let (manager, handle) = QueueManager::new(settings, spool, now, Arc::clone(&metrics));
        let stop = CancellationToken::new();
        let run = tokio::spawn(manager.run(stop.clone()));
        Self { world: Arc::clone(world), clock, handle, metrics, remotes, stop, run }
    }

    /// A message to that lane is accepted.
    pub(crate) async fn accept(&self, to: &str, recipients: usize, urgent: bool) -> Option<MessageId> {
        let message = self.spooled(to, recipients, urgent).await?;
        let id = message.id;
        self.handle.arrived(message);
        Some(id)
    }

    /// Accepted, but the queue manager has not heard of it.
    pub(crate) async fn spooled(&self, to: &str, recipients: usize, urgent: bool) -> Option<Message> {
        let body = self.world.spool.body_writer(None).unwrap();
        let new = new_message(body.id(), self.clock.now(), to, recipients, urgent);
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
    })
}

/// `lane`.example goes to lane.
pub(crate) fn routes(pairs: &[(&str, &str)]) -> Routes {
    let domains: Vec<(String, LaneName)> =
        pairs.iter().map(|(domain, to)| (format!("{domain}.example"), lane(to))).collect();
    Routes::new(domains, None)
}
