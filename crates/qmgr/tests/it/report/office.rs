//! A relay whose spool keeps the octets of every message, and next hops that say what they are told to say.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use message::dsn::{self, DeliveryStatus};
use posthouse_qmgr::{Handle, QueueManager, ReportSettings, Settings, WatchSettings};
use queue::{
    Attempt, AttemptReport, Body, BodyReader, BodyWriter, BreakerName, Class, Clock, Counters, Filter, FinishedBody,
    Happening, Intake, LaneDepth, LaneName, LaneSettings, LaneVerdict, LastByte, Listing, Message, MessageId,
    NewMessage, Outcome, Pause, Plan, PoolSettings, RemoteReply, RetryPolicy, Routes, Scope, Spend, Spool, SpoolError,
    SpoolHealth, Transport, Unconfirmed,
};
use smtp::{EnhancedStatus, Reply};
use telemetry::{Metrics, Recorded};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::spool::MemorySpool;
use crate::world::{START, VirtualClock, lane, new_message};

/// A spool that keeps octets.
pub(crate) struct Keeper {
    pub(crate) memory: Arc<MemorySpool>,
    octets: Arc<Mutex<HashMap<MessageId, Vec<u8>>>>,
    /// Bodies can be read so many times more.
    pub(crate) readings: AtomicI64,
    /// New mail is refused.
    pub(crate) full: AtomicBool,
    /// Nothing is ever recorded: the process is about to die.
    pub(crate) stuck: AtomicBool,
}

impl Keeper {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: MemorySpool::new(7),
            octets: Arc::default(),
            readings: AtomicI64::new(i64::MAX),
            full: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
        })
    }

    pub(crate) fn octets(&self, id: MessageId) -> Vec<u8> {
        self.octets.lock().unwrap()[&id].clone()
    }

    /// Mail of our own, oldest first.
    pub(crate) fn reports(&self) -> Vec<Message> {
        let mut reports = self.memory.all();
        reports.retain(|message| message.report_of.is_some());
        reports.sort_by_key(|message| message.id);
        reports
    }

    pub(crate) fn text(&self, id: MessageId) -> String {
        String::from_utf8(self.octets(id)).unwrap()
    }

    /// The only report there is.
    pub(crate) fn report(&self) -> (Message, DeliveryStatus) {
        let [report] = &self.reports()[..] else { panic!("not one report: {:#?}", self.reports()) };
        (report.clone(), dsn::read(&self.octets(report.id)).unwrap())
    }
}

struct KeepingWriter {
    inner: Box<dyn BodyWriter>,
    octets: Vec<u8>,
    all: Arc<Mutex<HashMap<MessageId, Vec<u8>>>>,
}

#[async_trait]
impl BodyWriter for KeepingWriter {
    fn id(&self) -> MessageId {
        self.inner.id()
    }
    async fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        self.octets.extend_from_slice(piece);
        self.inner.write(piece).await
    }
    async fn finish(self: Box<Self>) -> Result<FinishedBody, SpoolError> {
        self.all.lock().unwrap().insert(self.inner.id(), self.octets);
        self.inner.finish().await
    }
}

struct Pieces {
    all: VecDeque<Bytes>,
    left: VecDeque<Bytes>,
}

#[async_trait]
impl Body for Pieces {
    fn size(&self) -> u64 {
        self.all.iter().map(|piece| piece.len() as u64).sum()
    }
    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        Ok(self.left.pop_front())
    }
    fn rewind(&mut self) {
        self.left.clone_from(&self.all);
    }
}

#[async_trait]
impl Spool for Keeper {
    fn body_writer(&self, expected: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError> {
        let inner = self.memory.body_writer(expected)?;
        Ok(Box::new(KeepingWriter { inner, octets: Vec::new(), all: Arc::clone(&self.octets) }))
    }
    async fn enqueue(&self, message: NewMessage, body: FinishedBody) -> Result<Message, SpoolError> {
        match self.full.load(Ordering::Relaxed) {
            true => Err(SpoolError::Full("by the test".to_owned())),
            false => self.memory.enqueue(message, body).await,
        }
    }
    async fn record_spending(&self, message: Message, spent: Vec<Spend>) -> Result<(), SpoolError> {
        if self.stuck.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.memory.record_spending(message, spent).await
    }
    async fn body(&self, id: MessageId) -> Result<BodyReader, SpoolError> {
        if self.readings.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return Err(SpoolError::Damaged { id, what: "by the test".to_owned() });
        }
        self.memory.body(id).await?;
        let pieces: VecDeque<_> = self.octets(id).chunks(60_000).map(Bytes::copy_from_slice).collect();
        Ok(Box::new(Pieces { left: pieces.clone(), all: pieces }))
    }
    async fn claim_due(
        &self,
        lane: &LaneName,
        class: Class,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<Message>, SpoolError> {
        self.memory.claim_due(lane, class, now, max).await
    }
    async fn claim(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.memory.claim(id).await
    }
    async fn ledger(&self, since: Timestamp) -> Result<Vec<Spend>, SpoolError> {
        self.memory.ledger(since).await
    }
    async fn prune_ledger(&self, before: Timestamp) -> Result<(), SpoolError> {
        self.memory.prune_ledger(before).await
    }
    async fn journal(&self, entry: LastByte, synced: bool) -> Result<(), SpoolError> {
        Spool::journal(&*self.memory, entry, synced).await
    }
    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError> {
        self.memory.interrupted().await
    }
    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), SpoolError> {
        assert!(value.is_none_or(|value| value.len() <= 64 << 10), "{key} has {} octets", value.unwrap().len());
        self.memory.remember(key, value).await
    }
    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, SpoolError> {
        self.memory.remembered(prefix).await
    }
    fn release(&self, id: MessageId) {
        self.memory.release(id);
    }
    async fn next_due(&self, lane: &LaneName, class: Class) -> Result<Option<Timestamp>, SpoolError> {
        self.memory.next_due(lane, class).await
    }
    async fn find(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.memory.find(id).await
    }
    async fn list(&self, filter: &Filter, after: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        self.memory.list(filter, after, max).await
    }
    async fn history(&self, filter: &Filter, before: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        self.memory.history(filter, before, max).await
    }
    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        self.memory.lanes().await
    }
    async fn counters(&self) -> Result<Counters, SpoolError> {
        self.memory.counters().await
    }
    fn health(&self) -> SpoolHealth {
        self.memory.health()
    }
    async fn prune_history(&self, before: Timestamp) -> Result<u64, SpoolError> {
        self.memory.prune_history(before).await
    }
    async fn close(&self) -> Result<(), SpoolError> {
        self.memory.close().await
    }
}

/// What a next hop says of one attempt: an outcome for each recipient of the message, by index.
pub(crate) type Said = Vec<Outcome>;

/// A next hop.
pub(crate) struct Hop {
    script: Mutex<VecDeque<Said>>,
    /// Said of everything, once the script is at its end.
    pub(crate) always: Mutex<Option<Outcome>>,
    /// It refuses us.
    pub(crate) closed: AtomicBool,
    /// Reports too are treated by the script.
    pub(crate) refuses_reports: AtomicBool,
    /// Messages that came here.
    pub(crate) seen: Mutex<Vec<MessageId>>,
}

impl Hop {
    pub(crate) fn says(&self, said: Said) {
        self.script.lock().unwrap().push_back(said);
    }

    fn say(&self, message: &Message) -> Said {
        if message.report_of.is_some() {
            let refuses = self.refuses_reports.load(Ordering::Relaxed);
            return vec![if refuses { refused("no such mailbox") } else { taken(false) }];
        }
        if let Some(said) = self.script.lock().unwrap().pop_front() {
            return said;
        }
        vec![self.always.lock().unwrap().clone().unwrap_or_else(|| taken(false))]
    }
}

#[async_trait]
impl Transport for Hop {
    async fn attempt(&self, attempt: Attempt<'_>, mut body: BodyReader, _now: Timestamp) -> AttemptReport {
        while let Ok(Some(_)) = body.next().await {}
        tokio::time::sleep(Duration::from_millis(20)).await;
        if self.closed.load(Ordering::Relaxed) {
            let results = vec![(attempt.recipients.clone(), trouble("535 5.7.139 no"))];
            return AttemptReport { results, lane: paused(), messages: 0, took_ms: 20, notes: Vec::new(), hold: None };
        }
        self.seen.lock().unwrap().push(attempt.message.id);
        let said = self.say(attempt.message);
        let of = |index: &u32| (vec![*index], said[*index as usize % said.len()].clone());
        let results = attempt.recipients.iter().map(of).collect();
        AttemptReport { results, lane: LaneVerdict::Healthy, messages: 1, took_ms: 20, notes: Vec::new(), hold: None }
    }
}

fn paused() -> LaneVerdict {
    LaneVerdict::Paused(Pause {
        scope: Scope::Path,
        reason: "535 5.7.139 no".to_owned(),
        remedy: "renew the secret".to_owned(),
        code: "5.7.139".to_owned(),
        probe_after: Duration::from_secs(300),
    })
}

pub(crate) fn remote(code: u16, status: EnhancedStatus, text: &str) -> RemoteReply {
    let host = "next.example [203.0.113.1]:25".to_owned();
    RemoteReply { host, reply: Reply::new(code, status, text.to_owned()), remote_id: None }
}

pub(crate) fn refused(text: &str) -> Outcome {
    let status = EnhancedStatus::new(5, 1, 1);
    Outcome::Bounced {
        status,
        reason: format!("the recipient was refused: {text}"),
        hint: Some("There is no such mailbox. Correct the address.".to_owned()),
        remote: Some(remote(550, status, text)),
    }
}

pub(crate) fn taken(notifies: bool) -> Outcome {
    Outcome::HandedOver { remote: remote(250, EnhancedStatus::new(2, 6, 0), "queued"), notifies }
}

pub(crate) fn busy() -> Outcome {
    Outcome::Deferred {
        reason: "the mailbox is busy".to_owned(),
        hint: Some("It will be free soon.".to_owned()),
        not_before: None,
        remote: Some(remote(450, EnhancedStatus::new(4, 2, 1), "busy")),
        counts: true,
    }
}

fn trouble(reason: &str) -> Outcome {
    Outcome::Deferred { reason: reason.to_owned(), hint: None, not_before: None, remote: None, counts: false }
}

/// A pool of one lane: its name, its tenant, whether it carries the null reverse-path, its mailbox.
pub(crate) type Exit = (&'static str, &'static str, bool, Option<&'static str>);

pub(crate) struct Office {
    pub(crate) spool: Arc<Keeper>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) handle: Handle,
    pub(crate) hops: BTreeMap<&'static str, Arc<Hop>>,
    stop: CancellationToken,
    run: JoinHandle<()>,
}

impl Office {
    /// One lane, `alpha`, that carries the null reverse-path.
    pub(crate) fn start() -> Self {
        Self::open(&Keeper::new(), &[("alpha", "contoso", true, None)])
    }

    pub(crate) fn open(spool: &Arc<Keeper>, exits: &[Exit]) -> Self {
        Self::open_at(spool, START, exits)
    }

    pub(crate) fn open_at(spool: &Arc<Keeper>, from: Timestamp, exits: &[Exit]) -> Self {
        let clock = Arc::new(VirtualClock::starting_at(from));
        let hops: BTreeMap<_, _> = exits.iter().map(|exit| (exit.0, Arc::new(hop()))).collect();
        let transport = |(name, hop): (&&str, &Arc<Hop>)| (lane(name), Arc::clone(hop) as Arc<dyn Transport>);
        let settings = Settings {
            retry: retry(),
            window: 1_000,
            plan: Plan { budgets: Vec::new(), pools: exits.iter().map(pool).collect() },
            transports: hops.iter().map(transport).collect(),
            routes: Routes::default(),
            grace: Duration::from_secs(5),
            history: Duration::from_secs(30 * 86_400),
            incidents: Arc::new(Recorded::default()),
            reports: ReportSettings {
                hostname: "relay.example".to_owned(),
                singles: 3,
                digest: Duration::from_secs(15 * 60),
                full_limit: 1_000,
            },
            watch: WatchSettings {
                queue_age: Duration::from_secs(3_600),
                queue_length: 10_000,
                bounce_percent: 10,
                budget_ahead: Duration::from_secs(86_400),
            },
        };
        let now: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let spooled: Arc<dyn Spool> = Arc::clone(spool) as _;
        let (manager, handle) = QueueManager::new(settings, spooled, now, Arc::new(Metrics::default()));
        let stop = CancellationToken::new();
        let run = tokio::spawn(manager.run(stop.clone()));
        Self { spool: Arc::clone(spool), clock, handle, hops, stop, run }
    }

    pub(crate) fn alpha(&self) -> &Hop {
        &self.hops["alpha"]
    }

    /// A message to the lane `alpha` is accepted.
    pub(crate) async fn accept(&self, recipients: usize, change: impl FnOnce(&mut NewMessage)) -> MessageId {
        self.accept_octets(recipients, b"Subject: toner\r\nMessage-ID: <1@contoso.com>\r\n\r\nlow\r\n", change).await
    }

    pub(crate) async fn accept_octets(
        &self,
        recipients: usize,
        octets: &[u8],
        change: impl FnOnce(&mut NewMessage),
    ) -> MessageId {
        let mut body = self.spool.body_writer(None).unwrap();
        body.write(octets).await.unwrap();
        let id = body.id();
        let mut new = new_message(id, self.clock.now(), "alpha", recipients, false);
        new.header.subject = Some("toner".to_owned());
        new.header.message_id = Some("<1@contoso.com>".to_owned());
        change(&mut new);
        let body = body.finish().await.unwrap();
        let message = self.spool.memory.enqueue(new, body).await.unwrap();
        self.handle.arrived(message);
        id
    }

    pub(crate) fn message(&self, id: MessageId) -> Message {
        self.spool.memory.message(id)
    }

    /// Whom the story of a message says were told, and of what.
    pub(crate) fn told(&self, id: MessageId) -> Vec<(String, String, Option<MessageId>)> {
        let told = |event: &queue::StoryEvent| match &event.what {
            Happening::Reported { to, action, by } => Some((to.clone(), action.clone(), *by)),
            _ => None,
        };
        self.message(id).story.iter().filter_map(told).collect()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.run.await.unwrap();
        assert_eq!(self.spool.memory.leased(), [], "leases are given back");
    }
}

pub(crate) fn retry() -> RetryPolicy {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    RetryPolicy { intervals: vec![minutes(10)], jitter_percent: 0, expire: minutes(60), warn: minutes(25) }
}

fn hop() -> Hop {
    Hop {
        script: Mutex::default(),
        always: Mutex::default(),
        closed: AtomicBool::new(false),
        refuses_reports: AtomicBool::new(false),
        seen: Mutex::default(),
    }
}

fn pool((name, tenant, null_reverse_path, mailbox): &Exit) -> PoolSettings {
    let settings = LaneSettings {
        name: lane(name),
        connections: 2,
        budgets: Vec::new(),
        breakers: vec![BreakerName { scope: Scope::Path, name: (*name).into() }],
        unconfirmed: Unconfirmed::Resend,
        null_reverse_path: *null_reverse_path,
        mailbox: mailbox.map(|mailbox| mailbox.parse().unwrap()),
    };
    let internal_domains = Arc::from([format!("{tenant}.example")]);
    PoolSettings {
        name: lane(name),
        lanes: vec![settings],
        tenant: (*tenant).into(),
        internal_domains,
        provider_domain: None,
    }
}

/// One life of the process: at its end everything under way is gone.
pub(crate) fn life<F: Future>(life: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(life)
}
