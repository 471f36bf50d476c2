//! The thread that owns the database: takes all requests that wait, does them in one transaction, answers.
//!
//! Rows of new messages only wait here at first (see `pending`). An outcome is answered after a synced commit. Claims see
//! every message whose acceptance was answered before they were made, because its row came into the inbox before that.
//!
//! When a transaction fails, each of its requests is tried again by itself, so that one that cannot succeed takes no other
//! with it; on a full disk the reserve is given up first, after any other error the database is opened anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use jiff::Timestamp;
use queue::{Class, LaneName, MessageId, Spend, SpoolError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::embedded::{Leased, Shared};
use crate::files::{self, Point};
use crate::gate::Broken;
use crate::ledger::Sweep;
use crate::pending::Pending;
use crate::row::{Location, Place, Row};
use crate::sync::Taken;
use crate::tables::{Tables, Trouble};
use crate::transaction::{Changes, Claimed, Outcome, Transaction};

/// A commit that need not be on stable storage is followed by one that is within this time.
const SYNC_WITHIN: Duration = Duration::from_secs(1);
/// How long outcomes wait for others to be recorded with.
const GATHER: Duration = Duration::from_millis(2);
/// Tidied up so often even if there is always something else to do.
const TIDY_UNDER_LOAD: Duration = Duration::from_secs(1);
/// How long a failure without an answer to give rests before it is tried again.
pub(crate) const REST: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 1 });

/// What comes in.
#[derive(Debug)]
pub(crate) enum Work {
    /// A message was accepted.
    Row(Box<Row>),
    /// A copy of a record was written.
    Moved(Moved),
    /// A copy of a record could not be written.
    NotMoved(MessageId),
    /// The next record will be here or later.
    Sealed(Place),
    Ask(Ask),
}

/// See [`Work::Moved`].
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) id: MessageId,
    pub(crate) from: Place,
    pub(crate) to: Location,
}

type Reply<T> = oneshot::Sender<Result<T, SpoolError>>;

/// What wants an answer. Each is described at the method of `Spool` that asks it.
#[derive(Debug)]
pub(crate) enum Ask {
    Record {
        outcome: Box<Outcome>,
        reply: Reply<()>,
    },
    ClaimDue {
        lane: LaneName,
        class: Class,
        now: Timestamp,
        most: usize,
        reply: Reply<Vec<(Leased, String)>>,
    },
    Claim {
        id: MessageId,
        reply: Reply<(Leased, String)>,
    },
    NextDue {
        lane: LaneName,
        class: Class,
        reply: Reply<Option<Timestamp>>,
    },
    /// Everything that came before is in the database when this is answered.
    Settle {
        reply: Reply<()>,
    },
    Prune {
        before: i64,
        most: u32,
        reply: Reply<u64>,
    },
    /// Deletes the oldest of the history; asked by nobody but the committer.
    Forget {
        most: u64,
    },
    NoteEnd {
        broken: Broken,
        done: SyncSender<bool>,
    },
    Moved(Moved),
    Sweep {
        sweep: Sweep,
        reply: Reply<Option<Sweep>>,
    },
    Remember {
        key: String,
        value: Option<String>,
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

impl Ask {
    /// Its answer promises that it will survive a power cut.
    fn must_last(&self) -> bool {
        matches!(
            self,
            Self::Record { .. }
                | Self::Prune { .. }
                | Self::NoteEnd { .. }
                | Self::Remember { .. }
                | Self::Close { .. }
        )
    }
}

/// What a request came to.
#[derive(Debug)]
pub(crate) enum Done {
    Unit,
    Failed(SpoolError),
    Claimed(Vec<Claimed>),
    Instant(Option<Timestamp>),
    Number(u64),
    Swept(Option<Sweep>),
}

/// A commit that failed, and may have taken effect all the same.
#[derive(Debug)]
struct Doubt {
    /// The turn of the mark if it has.
    turn: i64,
    outcomes: Vec<(MessageId, (String, Vec<Spend>))>,
}

impl Doubt {
    fn of(turn: i64, asks: &[Ask]) -> Self {
        let outcome = |ask: &Ask| match ask {
            Ask::Record { outcome, .. } => Some((outcome.id, (outcome.document.clone(), outcome.spent.clone()))),
            _ => None,
        };
        Self { turn, outcomes: asks.iter().filter_map(outcome).collect() }
    }
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tables: Option<Tables>,
    pub(crate) pending: Pending,
    /// The mark as last committed.
    pub(crate) mark: Place,
    pub(crate) moving: HashSet<MessageId>,
    /// Not deleted yet, because a backup runs or the system refused.
    pub(crate) dead: Vec<u64>,
    pub(crate) freed: Vec<MessageId>,
    /// Deleted; their rows go with the next transaction.
    pub(crate) deleted: Vec<u64>,
    /// A segment may have become deletable.
    pub(crate) loosened: bool,
    pub(crate) more_to_tidy: bool,
    unsynced_since: Option<Instant>,
    doubtful: bool,
    doubt: Option<Doubt>,
    /// Outcomes in the database whose commit was taken for a failure.
    untold: HashMap<MessageId, (String, Vec<Spend>)>,
    rest_until: Option<Instant>,
    pub(crate) verify_at: Option<Instant>,
    pub(crate) tidied_at: Option<Instant>,
    /// Rows of the history, once counted.
    pub(crate) history: Option<u64>,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, tables: Tables, mark: Place) -> Self {
        Self {
            shared,
            tables: Some(tables),
            pending: Pending::new(mark),
            mark,
            moving: HashSet::new(),
            dead: Vec::new(),
            freed: Vec::new(),
            deleted: Vec::new(),
            loosened: true,
            more_to_tidy: true,
            unsynced_since: None,
            doubtful: false,
            doubt: None,
            untold: HashMap::new(),
            rest_until: None,
            verify_at: None,
            tidied_at: None,
            history: None,
        }
    }

    /// Until the inbox ends.
    pub(crate) fn run(mut self) {
        let mut work = Vec::new();
        loop {
            match self.shared.works.take(&mut work, self.patience()) {
                Taken::Over => return,
                Taken::Items => {
                    self.gather(&mut work);
                    let asks = self.sort(work.drain(..));
                    self.transact(asks);
                    self.verify();
                    if self.tidied_at.is_none_or(|at| at.elapsed() >= TIDY_UNDER_LOAD) {
                        self.tidy();
                    }
                }
                Taken::Nothing => {
                    self.transact(Vec::new());
                    self.verify();
                    self.tidy();
                }
            }
        }
    }

    /// Nobody at the other end of a connection waits for an outcome to be recorded: under load they are taken together.
    fn gather(&self, work: &mut Vec<Work>) {
        let recorded = |work: &Work| matches!(work, Work::Row(_) | Work::Ask(Ask::Record { .. }));
        if self.shared.leases.count() > 1 && work.iter().all(recorded) {
            std::thread::sleep(GATHER);
            self.shared.works.take(work, Duration::ZERO);
        }
    }

    fn patience(&self) -> Duration {
        const QUIET: Duration = Duration::from_secs(1);
        const TIDYING: Duration = Duration::from_millis(50);
        let tidying = if self.more_to_tidy || self.shared.gate.is_closed() { TIDYING } else { QUIET };
        let rows = self.pending.due_in(Instant::now()).map_or(QUIET, |wait| wait.max(TIDYING));
        tidying.min(rows)
    }

    /// Rows are taken in at once; they were acknowledged and can no longer fail.
    fn sort(&mut self, work: impl Iterator<Item = Work>) -> Vec<Ask> {
        let (now, mut asks) = (Instant::now(), Vec::new());
        for item in work {
            match item {
                Work::Row(row) => self.pending.push(*row, now),
                Work::Sealed(place) => self.pending.passed(place),
                Work::NotMoved(id) => {
                    self.moving.remove(&id);
                }
                Work::Moved(moved) => {
                    self.pending.passed(moved.to.end());
                    asks.push(Ask::Moved(moved));
                }
                Work::Ask(ask) => asks.push(ask),
            }
        }
        asks
    }

    /// Does all of it, in one transaction if that is possible.
    pub(crate) fn transact(&mut self, asks: Vec<Ask>) {
        let now = Instant::now();
        let resting = self.rest_until.is_some_and(|until| now < until);
        let passed = self.pending.is_empty() && self.pending.mark() != self.mark;
        let due = !resting && (passed || self.pending.is_due(now) || self.sync_due(now));
        if asks.is_empty() && !due {
            return;
        }
        match self.attempt(&asks, !resting) {
            Ok(done) => self.answer(asks, done),
            Err(trouble) => self.apart(asks, trouble),
        }
        self.delete_dead();
    }

    fn sync_due(&self, now: Instant) -> bool {
        self.unsynced_since.is_some_and(|since| now.duration_since(since) >= SYNC_WITHIN)
    }

    fn apart(&mut self, asks: Vec<Ask>, trouble: Trouble) {
        self.recover(&trouble);
        self.rest_until = Some(Instant::now() + REST);
        if asks.is_empty() {
            // What is wrong has been said; this is tried again every second.
            tracing::debug!(?trouble, "rows could not be written; their messages are safe in the segments");
        }
        for ask in asks {
            match self.attempt(std::slice::from_ref(&ask), false) {
                Ok(done) => self.answer(vec![ask], done),
                Err(trouble) => {
                    self.recover(&trouble);
                    self.answer(vec![ask], vec![Done::Failed(trouble.into())]);
                }
            }
        }
    }

    /// Puts things right as far as possible before the next attempt.
    pub(crate) fn recover(&mut self, trouble: &Trouble) {
        self.doubtful = true;
        self.history = None;
        match trouble {
            Trouble::Full(_) => {
                self.shared.room.give_up();
            }
            Trouble::Broken(reason) => {
                self.shared.gate.close(reason, None);
                self.reopen();
            }
            Trouble::Refused(_) => {}
        }
    }

    /// A connection after an error knows less than it thinks. Whether its last commit took effect is open.
    fn reopen(&mut self) -> bool {
        self.tables = None;
        self.shared.reader.close();
        let opened = files::allowed(&*self.shared.files, Point::OpenDatabase)
            .map_err(|error| error.to_string())
            .and_then(|()| Tables::open(&self.shared.dir).map_err(|error| error.to_string()));
        match opened {
            Ok(tables) => self.tables = Some(tables),
            Err(error) => tracing::debug!(error, "the spool's database cannot be opened again; trying on"),
        }
        self.tables.is_some()
    }

    /// One transaction. After an error nothing has changed.
    pub(crate) fn attempt(&mut self, asks: &[Ask], overdue: bool) -> Result<Vec<Done>, Trouble> {
        let now = Instant::now();
        if self.tables.is_none() && !self.reopen() {
            return Err(Trouble::Broken("the database is not open".to_owned()));
        }
        self.resolve_doubt()?;
        let Some(tables) = self.tables.as_mut() else {
            return Err(Trouble::Broken("the database is not open".to_owned()));
        };
        let sync_due = self.unsynced_since.is_some_and(|since| now.duration_since(since) >= SYNC_WITHIN);
        let synced = sync_due || asks.iter().any(Ask::must_last);
        tables.begin(synced)?;
        let (leases, doubtful, untold) = (&self.shared.leases, self.doubtful, &self.untold);
        let mut transaction =
            Transaction { tables, pending: &mut self.pending, leases, doubtful, untold, changes: Changes::default() };
        // A commit that changes nothing syncs nothing: the mark is written if only for the sync.
        let last_mark = (!synced).then_some(self.mark);
        let plan = Plan { overdue: overdue.then_some(now), deleted: &self.deleted, last_mark };
        let files = &*self.shared.files;
        let mut doubt = None;
        let result = apply(&mut transaction, asks, &plan).and_then(|done| {
            let committed = commit(files, transaction.tables, synced);
            committed.inspect_err(|_| doubt = transaction.changes.turn).map(|()| done)
        });
        let changes = transaction.changes;
        match result {
            Ok((done, mark)) => {
                self.committed(changes, mark, synced, now);
                Ok(done)
            }
            Err(trouble) => {
                tables.roll_back();
                self.pending.roll_back();
                self.doubt = doubt.map(|turn| Doubt::of(turn, asks));
                changes.leased.iter().for_each(|id| self.shared.leases.end(*id));
                Err(trouble)
            }
        }
    }

    /// Looks whether a commit that failed has taken effect.
    fn resolve_doubt(&mut self) -> Result<(), Trouble> {
        let Some(doubt) = self.doubt.take() else { return Ok(()) };
        match self.tables.as_ref().map_or(Ok(None), |tables| tables.turn().map(Some)) {
            Ok(Some(turn)) if turn == doubt.turn => self.untold.extend(doubt.outcomes),
            Ok(Some(_)) => {}
            unknown => {
                self.doubt = Some(doubt);
                return unknown.map(|_| ());
            }
        }
        Ok(())
    }

    fn committed(&mut self, changes: Changes, mark: Place, synced: bool, now: Instant) {
        self.pending.commit();
        // Before the lease ends: whoever has the next writes to the journal anew.
        self.shared.journal.recorded(&changes.ended);
        for id in changes.ended {
            self.untold.remove(&id);
            self.shared.leases.end(id);
        }
        for (id, location) in changes.relocated {
            self.shared.leases.moved(id, location);
        }
        self.freed.extend(changes.freed);
        self.history = self.history.map(|rows| rows.saturating_add_signed(changes.history));
        let wrote =
            changes.history != 0 || !changes.segments.is_empty() || !self.deleted.is_empty() || mark != self.mark;
        self.deleted.clear();
        self.loosened |= changes.loosened || mark.segment > self.mark.segment;
        self.mark = mark;
        self.unsynced_since = if synced { None } else { self.unsynced_since.or(wrote.then_some(now)) };
        self.more_to_tidy |= wrote;
        if self.pending.is_empty() {
            self.doubtful = false;
        }
    }

    /// What a synced commit no longer needs is deleted; before that its deletion could outlive the commit.
    pub(crate) fn delete_dead(&mut self) {
        if self.unsynced_since.is_some() {
            return;
        }
        if std::mem::take(&mut self.loosened)
            && let Some(tables) = &self.tables
            && let Ok(dead) = tables.dead_segments(self.mark.segment)
        {
            self.dead = dead;
            self.dead.retain(|segment| !self.deleted.contains(segment));
        }
        if self.dead.is_empty() && self.freed.is_empty() {
            return;
        }
        let (dead, freed, deleted) = (&mut self.dead, &mut self.freed, &mut self.deleted);
        self.shared.store.deleting(|files| {
            freed.retain(|id| !files.big(*id));
            dead.retain(|segment| {
                let gone = files.segment(*segment);
                if gone {
                    deleted.push(*segment);
                }
                !gone
            });
        });
    }

    /// Writes and syncs something, so that what a failed commit may have left behind is overwritten.
    pub(crate) fn prove(&mut self, broken: &[Broken]) -> Result<(), Trouble> {
        let asks = broken.iter().map(|broken| {
            let (done, _) = std::sync::mpsc::sync_channel(1);
            Ask::NoteEnd { broken: *broken, done }
        });
        let (reply, _) = oneshot::channel();
        let asks: Vec<_> = asks.chain(std::iter::once(Ask::Prune { before: i64::MIN, most: 0, reply })).collect();
        self.attempt(&asks, true).map(|_| ())
    }

    fn answer(&mut self, asks: Vec<Ask>, done: Vec<Done>) {
        for (ask, done) in asks.into_iter().zip(done) {
            match ask {
                Ask::Record { outcome, reply } => {
                    let failed = matches!(done, Done::Failed(_));
                    // Nobody is left to try it again, so the message must be free for others.
                    if reply.send(done.unit()).is_err() && failed {
                        self.shared.leases.end(outcome.id);
                    }
                }
                Ask::ClaimDue { reply, .. } => {
                    let _ = reply.send(done.claimed(&self.shared));
                }
                Ask::Claim { id, reply } => {
                    let claimed = done.claimed(&self.shared);
                    let _ = reply.send(claimed.and_then(|mut all| all.pop().ok_or(SpoolError::NotFound(id))));
                }
                Ask::NextDue { reply, .. } => {
                    let _ = reply.send(done.instant());
                }
                Ask::Settle { reply } | Ask::Remember { reply, .. } | Ask::Close { reply } => {
                    let _ = reply.send(done.unit());
                }
                Ask::Prune { reply, .. } => {
                    let _ = reply.send(done.number());
                }
                Ask::Sweep { reply, .. } => {
                    let _ = reply.send(done.swept());
                }
                Ask::NoteEnd { done: noted, .. } => {
                    let _ = noted.send(done.unit().is_ok());
                }
                Ask::Moved(moved) => {
                    self.moving.remove(&moved.id);
                }
                Ask::Forget { .. } => {}
            }
        }
    }
}

/// What a transaction does besides the requests.
struct Plan<'a> {
    overdue: Option<Instant>,
    deleted: &'a [u64],
    /// The mark need not be written if it is still there.
    last_mark: Option<Place>,
}

fn apply(transaction: &mut Transaction<'_>, asks: &[Ask], plan: &Plan<'_>) -> Result<(Vec<Done>, Place), Trouble> {
    let mut done = Vec::with_capacity(asks.len());
    for segment in plan.deleted {
        transaction.tables.forget_segment(*segment)?;
    }
    for ask in asks {
        done.push(apply_one(transaction, ask)?);
    }
    if let Some(now) = plan.overdue {
        transaction.write_overdue_rows(now)?;
    }
    let clean = asks.iter().any(|ask| matches!(ask, Ask::Close { .. }));
    let mark = transaction.finish(plan.last_mark, clean)?;
    Ok((done, mark))
}

fn apply_one(transaction: &mut Transaction<'_>, ask: &Ask) -> Result<Done, Trouble> {
    Ok(match ask {
        Ask::Record { outcome, .. } => transaction.record(outcome)?.map_or_else(Done::Failed, |()| Done::Unit),
        Ask::ClaimDue { lane, class, now, most, .. } => {
            Done::Claimed(transaction.claim_due(lane, *class, *now, *most)?)
        }
        Ask::Claim { id, .. } => {
            transaction.claim(*id)?.map_or_else(Done::Failed, |claimed| Done::Claimed(vec![claimed]))
        }
        Ask::NextDue { lane, class, .. } => Done::Instant(transaction.next_due(lane, *class)?),
        Ask::Settle { .. } | Ask::Close { .. } => {
            transaction.write_all_rows()?;
            Done::Unit
        }
        Ask::Prune { before, most, .. } => Done::Number(transaction.prune(*before, *most)?),
        Ask::Sweep { sweep, .. } => Done::Swept(transaction.tables.sweep(sweep)?),
        Ask::Remember { key, value, .. } => {
            transaction.tables.remember(key, value.as_deref())?;
            Done::Unit
        }
        Ask::Forget { most } => Done::Number(transaction.forget(*most)?),
        Ask::NoteEnd { broken, .. } => {
            transaction.end_segment(*broken)?;
            Done::Unit
        }
        Ask::Moved(moved) => {
            transaction.relocate(moved.id, moved.from, &moved.to)?;
            Done::Unit
        }
    })
}

fn commit(files: &dyn files::Files, tables: &Tables, synced: bool) -> Result<(), Trouble> {
    files::allowed(files, Point::Commit).map_err(|error| trouble_of(&error))?;
    tables.commit()?;
    files::allowed(files, Point::Committed { synced }).map_err(|error| trouble_of(&error))
}

fn trouble_of(error: &std::io::Error) -> Trouble {
    let text = format!("database: {error}");
    if files::is_full(error) { Trouble::Full(text) } else { Trouble::Broken(text) }
}

impl From<Trouble> for SpoolError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full(text) => Self::Full(text),
            Trouble::Broken(text) => Self::Closed(text),
            Trouble::Refused(text) => Self::Failed(text),
        }
    }
}

impl Done {
    fn unit(self) -> Result<(), SpoolError> {
        match self {
            Self::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    fn instant(self) -> Result<Option<Timestamp>, SpoolError> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Instant(instant) => Ok(instant),
            _ => Ok(None),
        }
    }

    fn number(self) -> Result<u64, SpoolError> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Number(number) => Ok(number),
            _ => Ok(0),
        }
    }

    fn swept(self) -> Result<Option<Sweep>, SpoolError> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Swept(next) => Ok(next),
            _ => Ok(None),
        }
    }

    fn claimed(self, shared: &Arc<Shared>) -> Result<Vec<(Leased, String)>, SpoolError> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Claimed(all) => {
                Ok(all.into_iter().map(|claimed| (Leased::new(shared, claimed.id), claimed.document)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}
