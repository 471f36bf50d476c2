//! What every task of the queue manager shares, and what the tasks tell the loop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use queue::{
    BreakerName, Class, Clock, Cost, LaneDepth, LaneName, LaneVerdict, Message, MessageId, Plan, Refill, RetryPolicy,
    Routes, Spend, Spool, SpoolError, Transport,
};
use telemetry::{Incidents, Metrics};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::memory::Memory;
use crate::stuck::Stuck;
use crate::ways::Ways;
use crate::words::Word;
use crate::{Event, OperatorError, Report, ReportSettings};

pub(crate) struct Context {
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) retry: RetryPolicy,
    pub(crate) routes: Routes,
    pub(crate) plan: Plan,
    /// The plan by name.
    pub(crate) ways: Ways,
    pub(crate) transports: BTreeMap<LaneName, Arc<dyn Transport>>,
    pub(crate) incidents: Arc<dyn Incidents>,
    pub(crate) reports: ReportSettings,
    /// Whoever changes what the spool remembers of digests has this.
    pub(crate) digests: tokio::sync::Mutex<()>,
    pub(crate) inputs: mpsc::UnboundedSender<Input>,
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) tasks: TaskTracker,
    /// No new work: background tasks end.
    pub(crate) stopping: CancellationToken,
    /// The grace period is over: attempts are dropped.
    pub(crate) abandon: CancellationToken,
    /// Outcomes that the spool has refused to store so far; while there are any, nothing starts.
    pub(crate) unstored: AtomicUsize,
    /// The spool has not stored all before the relay stopped.
    pub(crate) unfinished: AtomicBool,
    /// What must survive a restart.
    pub(crate) memory: Memory,
    /// Incidents about queued messages.
    pub(crate) stuck: Stuck,
    /// Recipients of our own mail (reports, alerts) settled since the start: they say nothing about that of others.
    pub(crate) own_settled: AtomicU64,
    /// Of them bounced or expired.
    pub(crate) own_lost: AtomicU64,
    /// Breakers that are open, with the lanes that they stop.
    pub(crate) stopped: Mutex<BTreeMap<BreakerName, Vec<LaneName>>>,
}

/// What the relay knew before it was started.
pub(crate) struct Restored {
    pub(crate) spent: Vec<Spend>,
    pub(crate) remembered: Vec<(String, String)>,
}

/// To the loop. What holds a lease is given back if the loop is no longer there.
pub(crate) enum Input {
    /// What was known before the start: from now on things may start.
    Restored(Restored),
    /// Just accepted, leased.
    Arrived(Box<Message>),
    /// An operator wants it tried now; leased.
    Urged(Box<Message>),
    /// An operator's word.
    Word(Word),
    /// Answer to a fetch; the messages are leased. With them, when there is more.
    Claimed(Refill, Result<(Vec<Message>, Option<Timestamp>), SpoolError>),
    /// An attempt is over; what it came to is being recorded.
    Ended(Ended),
    /// A task is done with a message and has given the lease back.
    Done(MessageId, Serial, Option<Due>),
    /// A message has come to a lane by another way.
    Due(Due),
    Probe(LaneName, oneshot::Sender<Result<(), OperatorError>>),
    /// With the depth of the lanes, for forecasts.
    Status(Vec<LaneDepth>, oneshot::Sender<Report>),
}

/// What an attempt says about its lane.
pub(crate) struct Ended {
    pub(crate) id: MessageId,
    pub(crate) serial: Serial,
    pub(crate) lane: LaneName,
    pub(crate) verdict: LaneVerdict,
    pub(crate) used: Cost,
}

/// Which of the tasks that have had a message.
pub(crate) type Serial = u64;

/// Where a message stands in the spool from now on, and when it is due.
pub(crate) struct Due {
    pub(crate) lane: LaneName,
    pub(crate) class: Class,
    pub(crate) at: Timestamp,
}

impl Due {
    /// `None` if it will not be tried: settled or held.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let waits = !message.is_settled() && message.hold.is_none();
        waits.then(|| Self { lane: message.lane.clone(), class: message.class(), at: message.due_at })
    }
}

impl Context {
    /// Tells the loop; if it has ended, leases go back to the spool and whoever waits for an answer hears of it.
    pub(crate) fn tell(&self, input: Input) {
        if let Err(refused) = self.inputs.send(input) {
            self.give_back(refused.0);
        }
    }

    /// What the loop does with an input once it has stopped.
    pub(crate) fn give_back(&self, input: Input) {
        match input {
            Input::Arrived(message) | Input::Urged(message) => self.spool.release(message.id),
            Input::Claimed(_, Ok((messages, _))) => messages.iter().for_each(|message| self.spool.release(message.id)),
            Input::Word(word) => word.answer(Err(OperatorError::Stopped)),
            Input::Probe(_, answer) => drop(answer.send(Err(OperatorError::Stopped))),
            Input::Restored(_)
            | Input::Status(..)
            | Input::Claimed(..)
            | Input::Ended(..)
            | Input::Done(..)
            | Input::Due(_) => {}
        }
    }

    /// A breaker opened (with the lanes that it stops) or closed.
    pub(crate) fn note_breaker(&self, name: &BreakerName, lanes: Option<Vec<LaneName>>) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        match lanes {
            Some(lanes) => stopped.insert(name.clone(), lanes),
            None => stopped.remove(name),
        };
    }

    /// Whether something that the lane needs is open.
    pub(crate) fn is_stopped(&self, lane: &LaneName) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.values().any(|lanes| lanes.contains(lane))
    }

    /// Publishes what `event` makes, if anybody listens.
    pub(crate) fn publish(&self, event: impl FnOnce() -> Event) {
        if self.events.receiver_count() > 0 {
            // An error means that the last listener has just gone.
            let _ = self.events.send(Arc::new(event()));
        }
    }
}
