//! The embedded spool itself: what callers see of the two threads.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use async_trait::async_trait;
use jiff::Timestamp;
use queue::{
    BodyReader, BodyWriter, Class, Clock, Counters, Filter, FinishedBody, LaneDepth, LaneName, LastByte, Listing,
    Message, MessageId, NewMessage, Spend, Spool, SpoolError, SpoolHealth, SpoolState,
};
use telemetry::Metrics;
use tokio::sync::oneshot;

use crate::appender::{Append, Appender, Order};
use crate::body::{self, Finished};
use crate::committer::{Ask, Committer, Work};
use crate::files::{self, Files, System};
use crate::gate::Gate;
use crate::journal::{Journal, Written};
use crate::lease::Leases;
use crate::ledger::Sweep;
use crate::memory::{Memory, Receiving};
use crate::reads::{self, Reader};
use crate::recovery::{self, Recovered, RecoveryError};
use crate::reserve::Room;
use crate::row::{Columns, Location, milliseconds_up, nanoseconds};
use crate::store::{self, Store};
use crate::sync::{Inbox, lock};
use crate::tables::{self, Tables};
use crate::transaction::Outcome;
use crate::{OpenError, Settings, segment, sys};

/// Rows of the history deleted in one transaction.
const PRUNE: u32 = 2000;
/// What was spent so long ago is added up by the second, in milliseconds.
const YOUNG: i64 = 3_600_000;
/// Octets of a key, and of what is remembered under it.
const REMEMBERED: usize = 64 * 1024;

/// The embedded backend. Dropped without [`Spool::close`] it stops as a killed process would: nothing is lost.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    threads: Arc<Mutex<Threads>>,
}

#[derive(Debug, Default)]
struct Threads {
    appender: Option<JoinHandle<()>>,
    committer: Option<JoinHandle<()>>,
}

/// What callers and threads have in common.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) appends: Inbox<Order>,
    pub(crate) works: Inbox<Work>,
    pub(crate) leases: Leases,
    pub(crate) journal: Journal,
    pub(crate) store: Store,
    pub(crate) room: Arc<Room>,
    pub(crate) gate: Gate,
    pub(crate) memory: Memory,
    pub(crate) receiving: Receiving,
    pub(crate) history: u64,
    pub(crate) reader: Reader,
    last_id: Mutex<Option<MessageId>>,
    /// The ledger is added up until then.
    swept: AtomicI64,
    recovery: Vec<String>,
    _lock: File,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dir", &self.dir).field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// A lease on its way to the caller. If he has gone away meanwhile, it ends.
#[derive(Debug)]
pub(crate) struct Leased {
    shared: Weak<Shared>,
    id: MessageId,
}

impl Leased {
    pub(crate) fn new(shared: &Arc<Shared>, id: MessageId) -> Self {
        Self { shared: Arc::downgrade(shared), id }
    }

    /// It has arrived.
    fn keep(mut self) {
        self.shared = Weak::new();
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.leases.end(self.id);
        }
    }
}

/// Takes the lock that only one process can have; it ends with the file.
pub(crate) fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let io = |error| OpenError::Io { what: "lock", path: path.clone(), error };
    let file = sys::lock_file(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Makes the directories that a spool has.
pub(crate) fn make_dirs(dir: &Path) -> Result<(), OpenError> {
    for path in [dir.to_owned(), segment::dir(dir), store::big_dir(dir)] {
        sys::private_dir(&path).map_err(|error| OpenError::Io { what: "make the directory", path, error })?;
    }
    Ok(())
}

impl Embedded {
    /// Opens the spool, makes it if there is none, recovers it if it was not closed.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        Self::open_with(settings, clock, metrics, Arc::new(System))
    }

    pub(crate) fn open_with(
        settings: Settings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        files: Arc<dyn Files>,
    ) -> Result<Self, OpenError> {
        let Settings { dir, reserve, memory, history } = settings;
        make_dirs(&dir)?;
        let lock = take_lock(&dir)?;
        let (tables, Recovered { mark, last_id, journal, lines }) = open_database(&dir)?;
        let journal = Journal::open(&dir, Arc::clone(&files), journal).map_err(|error| OpenError::Io {
            what: "open the journal in",
            path: dir.clone(),
            error,
        })?;
        for path in [Some(&*dir), dir.parent()].into_iter().flatten().filter(|path| !path.as_os_str().is_empty()) {
            let synced = sys::sync_dir(path);
            synced.map_err(|error| OpenError::Io { what: "sync the directory", path: path.to_owned(), error })?;
        }
        lines.iter().for_each(|line| tracing::warn!(dir = %dir.display(), "recovery: {line}"));
        let store = Store::open(&dir).map_err(|error| OpenError::Io { what: "read", path: dir.clone(), error })?;
        let shared = Arc::new(Shared {
            room: Arc::new(Room::open(&dir, Arc::clone(&files), reserve)),
            reader: Reader::new(&dir),
            clock,
            metrics,
            files,
            appends: Inbox::new(),
            works: Inbox::new(),
            leases: Leases::new(memory / 4),
            journal,
            store,
            gate: Gate::default(),
            memory: Memory::new(memory),
            receiving: Receiving::default(),
            history,
            last_id: Mutex::new(last_id),
            swept: AtomicI64::new(i64::MIN),
            recovery: lines,
            _lock: lock,
            dir,
        });
        let appender = Appender::new(Arc::clone(&shared), mark.segment);
        let committer = Committer::new(Arc::clone(&shared), tables, mark);
        let mut threads = Threads::default();
        let started = spawn("spool-append", || appender.run())
            .and_then(|thread| {
                threads.appender = Some(thread);
                spawn("spool-commit", || committer.run())
            })
            .map(|thread| threads.committer = Some(thread));
        let embedded = Self { shared, threads: Arc::new(Mutex::new(threads)) };
        match started {
            Ok(()) => Ok(embedded),
            Err(error) => Err(OpenError::Io { what: "start a thread for", path: embedded.shared.dir.clone(), error }),
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T, SpoolError>>) -> Ask) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.shared.works.push(Work::Ask(ask(reply))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Asks the database when everything that came before is in it.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        self.ask(|reply| Ask::Settle { reply }).await?;
        let shared = Arc::clone(&self.shared);
        let answer = tokio::task::spawn_blocking(move || question(&shared.reader)).await;
        answer.map_err(|error| SpoolError::Failed(error.to_string()))?
    }

    /// The journal needs more room than it has of its own: settling goes on, so the reserve is given up for it.
    async fn write_without_reserve(&self, entry: LastByte) -> Result<Written, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let again = move || {
            shared.room.give_up();
            shared.journal.write(&entry)
        };
        let written = tokio::task::spawn_blocking(again).await;
        written.map_err(std::io::Error::other).flatten().map_err(unwritten)
    }

    async fn locate(&self, id: MessageId) -> Result<Location, SpoolError> {
        if let Some((location, _)) = self.shared.leases.find(id) {
            return Ok(location);
        }
        self.read(move |reader| reader.location(id)).await?.ok_or(SpoolError::NotFound(id))
    }

    async fn open_body(&self, id: MessageId, at: Location) -> std::io::Result<BodyReader> {
        let file = if at.big {
            let shared = Arc::clone(&self.shared);
            let opened = tokio::task::spawn_blocking(move || shared.store.big(id)).await;
            Arc::new(opened.map_err(std::io::Error::other).flatten()?)
        } else {
            self.shared.store.segment(at.place.segment)?
        };
        Ok(Box::new(body::Reader::of_file(id, file, at.body_at, at.size, at.checksum)))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn closed() -> SpoolError {
    SpoolError::Closed("Posthouse is stopping".to_owned())
}

fn unwritten(error: std::io::Error) -> SpoolError {
    let what = format!("the journal of attempts cannot be written: {error}");
    if files::is_full(&error) { SpoolError::Full(what) } else { SpoolError::Failed(what) }
}

fn open_database(dir: &Path) -> Result<(Tables, Recovered), OpenError> {
    let path = tables::path(dir);
    let io = |error| OpenError::Io { what: "recover", path: dir.to_owned(), error };
    if !path.exists() && !segment::list(dir).map_err(io)?.is_empty() {
        return Err(OpenError::DatabaseMissing { dir: dir.to_owned() });
    }
    let mut tables = Tables::open(dir)?;
    match recovery::recover(dir, &mut tables) {
        Ok(recovered) => Ok((tables, recovered)),
        Err(RecoveryError::Io(error)) => Err(io(error)),
        Err(error @ RecoveryError::Database(_)) => Err(OpenError::Database { path, error: error.to_string() }),
    }
}

fn document(message: &Message) -> Result<String, SpoolError> {
    serde_json::to_string(message).map_err(|error| SpoolError::Failed(format!("message {}: {error}", message.id)))
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.appends.abandon();
        self.shared.works.abandon();
        let mut threads = lock(&self.threads);
        for thread in [threads.appender.take(), threads.committer.take()].into_iter().flatten() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Spool for Embedded {
    fn body_writer(&self, expected: Option<u64>) -> Result<Box<dyn BodyWriter>, SpoolError> {
        let shared = &self.shared;
        shared.gate.check()?;
        let promise = shared.room.admit(expected.unwrap_or(0))?;
        let random = u32::try_from(sys::random() >> 32).unwrap_or(0);
        let mut last = lock(&shared.last_id);
        let id = MessageId::next(*last, shared.clock.now(), random);
        *last = Some(id);
        Ok(Box::new(body::Writer::new(Arc::clone(shared), id, promise, expected)))
    }

    async fn enqueue(&self, message: NewMessage, body: FinishedBody) -> Result<Message, SpoolError> {
        let foreign = || SpoolError::Failed("the body was made by another spool, or for another message".to_owned());
        let body = body.downcast::<Finished>().map_err(|_| foreign())?;
        if !Arc::ptr_eq(&body.shared, &self.shared) || body.id != message.id {
            return Err(foreign());
        }
        if message.recipients.is_empty() {
            return Err(SpoolError::Failed(format!("message {} has no recipient", message.id)));
        }
        self.shared.gate.check()?;
        let message = Message::accepted(message, body.size);
        let (reply, answer) = oneshot::channel();
        let append = Append::new(document(&message)?, Columns::of(&message), *body, reply);
        self.shared.appends.push(Order::Append(Box::new(append))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())??.keep();
        Ok(message)
    }

    async fn claim_due(
        &self,
        lane: &LaneName,
        class: Class,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<Message>, SpoolError> {
        let lane = lane.clone();
        let claimed = self.ask(|reply| Ask::ClaimDue { lane, class, now, most: max, reply }).await?;
        let mut messages = Vec::with_capacity(claimed.len());
        for (leased, document) in claimed {
            let id = leased.id;
            // Given out again it would be claimed again and again; it stays leased until the next start.
            leased.keep();
            match reads::parse(id, &document) {
                Ok(message) => messages.push(message),
                Err(error) => tracing::error!(%id, %error, "a queued message cannot be read and is not tried"),
            }
        }
        Ok(messages)
    }

    async fn claim(&self, id: MessageId) -> Result<Message, SpoolError> {
        let (leased, document) = self.ask(|reply| Ask::Claim { id, reply }).await?;
        let message = reads::parse(id, &document)?;
        leased.keep();
        Ok(message)
    }

    async fn ledger(&self, since: Timestamp) -> Result<Vec<Spend>, SpoolError> {
        self.read(move |reader| reader.ledger(milliseconds_up(since))).await
    }

    async fn prune_ledger(&self, before: Timestamp) -> Result<(), SpoolError> {
        let shared = &self.shared;
        let (from, to) = (shared.swept.load(Ordering::Relaxed), milliseconds_up(shared.clock.now()) - YOUNG);
        let sweep = Sweep::new(milliseconds_up(before), from, to);
        let until = sweep.to;
        let mut next = Some(sweep);
        while let Some(sweep) = next {
            next = self.ask(|reply| Ask::Sweep { sweep, reply }).await?;
        }
        shared.swept.store(until, Ordering::Relaxed);
        Ok(())
    }

    async fn journal(&self, entry: LastByte, synced: bool) -> Result<(), SpoolError> {
        let written = match self.shared.journal.write(&entry) {
            Err(error) if files::is_full(&error) => self.write_without_reserve(entry).await?,
            written => written.map_err(unwritten)?,
        };
        if synced {
            let shared = Arc::clone(&self.shared);
            let synced = tokio::task::spawn_blocking(move || shared.journal.sync(written)).await;
            synced.map_err(std::io::Error::other).flatten().map_err(unwritten)?;
        }
        Ok(())
    }

    async fn interrupted(&self) -> Result<Vec<LastByte>, SpoolError> {
        Ok(self.shared.journal.found())
    }

    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), SpoolError> {
        let octets = key.len().max(value.map_or(0, str::len));
        if octets > REMEMBERED {
            let key: String = key.chars().take(100).collect();
            return Err(SpoolError::Failed(format!(
                "`{key}` is too long to be remembered: {octets} octets, at most {REMEMBERED} are possible"
            )));
        }
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.ask(|reply| Ask::Remember { key, value, reply }).await
    }

    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, SpoolError> {
        let prefix = prefix.to_owned();
        self.read(move |reader| reader.remembered(&prefix)).await
    }

    async fn record_spending(&self, message: Message, spent: Vec<Spend>) -> Result<(), SpoolError> {
        let settled_at = message.is_settled().then(|| nanoseconds(self.shared.clock.now()));
        let outcome = Box::new(Outcome {
            id: message.id,
            columns: Columns::of(&message),
            document: document(&message)?,
            settled_at,
            spent,
            journal: self.shared.journal.next(),
        });
        drop(message);
        self.ask(|reply| Ask::Record { outcome, reply }).await
    }

    fn release(&self, id: MessageId) {
        self.shared.journal.released(id);
        self.shared.leases.end(id);
    }

    async fn next_due(&self, lane: &LaneName, class: Class) -> Result<Option<Timestamp>, SpoolError> {
        let lane = lane.clone();
        self.ask(|reply| Ask::NextDue { lane, class, reply }).await
    }

    async fn body(&self, id: MessageId) -> Result<BodyReader, SpoolError> {
        if let Some((_, Some(octets))) = self.shared.leases.find(id) {
            return Ok(Box::new(body::Reader::of_octets(id, octets)));
        }
        let at = self.locate(id).await?;
        match self.open_body(id, at).await {
            Ok(body) => Ok(body),
            Err(error) => {
                // It may have been moved, or settled, between the two steps.
                let now = self.read(move |reader| reader.location(id)).await?.ok_or(SpoolError::NotFound(id))?;
                // Only what is gone is damage; anything else, such as too many open files, may pass.
                let missing = |error: std::io::Error| match error.kind() {
                    std::io::ErrorKind::NotFound => SpoolError::Damaged { id, what: "its body is gone".to_owned() },
                    _ => SpoolError::Failed(format!("the body of {id} cannot be opened: {error}")),
                };
                if now == at { Err(missing(error)) } else { self.open_body(id, now).await.map_err(missing) }
            }
        }
    }

    async fn find(&self, id: MessageId) -> Result<Message, SpoolError> {
        self.read(move |reader| reader.find(id)).await?.ok_or(SpoolError::NotFound(id))
    }

    async fn list(&self, filter: &Filter, after: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        let filter = filter.clone();
        self.read(move |reader| reader.list(&filter, after, max)).await
    }

    async fn history(&self, filter: &Filter, before: Option<MessageId>, max: usize) -> Result<Listing, SpoolError> {
        let filter = filter.clone();
        self.read(move |reader| reader.history(&filter, before, max)).await
    }

    async fn lanes(&self) -> Result<Vec<LaneDepth>, SpoolError> {
        self.read(Reader::lanes).await
    }

    async fn counters(&self) -> Result<Counters, SpoolError> {
        self.read(Reader::counters).await
    }

    fn health(&self) -> SpoolHealth {
        let shared = &self.shared;
        let state = match shared.gate.check() {
            Err(SpoolError::Closed(reason)) => SpoolState::Closed { reason },
            Err(other) => SpoolState::Closed { reason: other.to_string() },
            Ok(()) => shared.room.full().unwrap_or(SpoolState::Accepting),
        };
        let database =
            ["spool.db", "spool.db-wal"].map(|name| shared.dir.join(name).metadata().map_or(0, |file| file.len()));
        SpoolHealth {
            state,
            free_bytes: shared.room.free(),
            reserve_bytes: shared.room.wanted(),
            used_bytes: shared.store.used() + database.iter().sum::<u64>(),
            recovery: shared.recovery.clone(),
        }
    }

    async fn prune_history(&self, before: Timestamp) -> Result<u64, SpoolError> {
        let before = nanoseconds(before);
        let mut pruned = 0;
        loop {
            let some = self.ask(|reply| Ask::Prune { before, most: PRUNE, reply }).await?;
            pruned += some;
            if some < u64::from(PRUNE) {
                return Ok(pruned);
            }
        }
    }

    async fn close(&self) -> Result<(), SpoolError> {
        self.shared.gate.close_for_good();
        self.shared.appends.finish();
        join(&self.threads, |threads| threads.appender.take()).await;
        let written = self.ask(|reply| Ask::Close { reply }).await;
        self.shared.works.finish();
        let shared = Arc::clone(&self.shared);
        let _ = tokio::task::spawn_blocking(move || shared.journal.close()).await;
        // The last connection to close empties SQLite's log; that must be the one that can write.
        self.shared.reader.close();
        join(&self.threads, |threads| threads.committer.take()).await;
        written
    }
}

async fn join(threads: &Arc<Mutex<Threads>>, which: fn(&mut Threads) -> Option<JoinHandle<()>>) {
    let thread = which(&mut lock(threads));
    if let Some(thread) = thread {
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

#[cfg(test)]
impl Embedded {
    /// At once, not within the second.
    pub(crate) fn look_for_room(&self) {
        self.shared.room.look();
    }

    /// Where a message is, if it is leased or has a row.
    pub(crate) fn location(&self, id: MessageId) -> Option<Location> {
        self.shared.leases.find(id).map(|(at, _)| at).or_else(|| self.shared.reader.location(id).unwrap())
    }
}
