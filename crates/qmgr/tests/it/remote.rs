//! The other side: next hops that behave, misbehave or do as a test tells them, and remember everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use queue::{
    Attempt, AttemptReport, BodyReader, Clock, Excess, Happening, Inquiry, LaneVerdict, Message, MessageId, Outcome,
    Pause, RemoteReply, Scope, Throttle, Transport,
};
use smtp::{EnhancedStatus, Reply};
use tokio_util::sync::CancellationToken;

use crate::spool::MemorySpool;
use crate::world::{Random, VirtualClock};

/// What the remotes of all lanes remember, through all lives of the relay.
pub(crate) struct World {
    pub(crate) spool: Arc<MemorySpool>,
    pub(crate) random: Random,
    /// Anything may go wrong.
    pub(crate) troubled: AtomicBool,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// What went against a promise; empty at the end.
    pub(crate) wrongs: Vec<String>,
    /// Copies taken of a message for a recipient, in order.
    pub(crate) taken: BTreeMap<(MessageId, u32), Vec<Copy>>,
    /// Final verdicts said.
    pub(crate) refused: BTreeSet<(MessageId, u32)>,
    /// When an attempt last ended with a transient verdict on the message, or unconfirmed.
    pub(crate) put_off: BTreeMap<(MessageId, u32), Timestamp>,
    /// Messages seen by a lane.
    pub(crate) seen: BTreeMap<String, VecDeque<Seen>>,
    /// Attempts under way.
    under_way: BTreeSet<MessageId>,
    /// Ids in the order of their attempts.
    pub(crate) order: Vec<MessageId>,
    pub(crate) life: usize,
}

/// A MAIL.
pub(crate) struct Seen {
    id: MessageId,
    at: Timestamp,
    /// The last byte came.
    whole: bool,
}

/// One copy that the remote has taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    /// Of the relay, when it was taken.
    pub(crate) life: usize,
    /// The relay was told so.
    pub(crate) told: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            spool: MemorySpool::new(seed ^ 0x5eed),
            random: Random::new(seed),
            troubled: AtomicBool::new(false),
            ledger: Mutex::default(),
        })
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn wrong(&self, what: String) {
        self.ledger().wrongs.push(what);
    }

    /// The relay starts anew: what was under way is gone. What broke off between MAIL and the last byte, and was not recorded
    /// before a crash, the relay cannot know of; beyond its connections, such messages are not held against it.
    pub(crate) fn next_life(&self) {
        let mut ledger = self.ledger();
        ledger.life += 1;
        ledger.seen.values_mut().for_each(|seen| seen.retain(|seen| seen.whole));
        ledger.under_way.clear();
    }
}

/// The next hop of one lane.
pub(crate) struct Remote {
    pub(crate) world: Arc<World>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) lane: &'static str,
    pub(crate) connections: usize,
    pub(crate) messages_per_minute: Option<u32>,
    /// Told what to do; by its mood otherwise.
    pub(crate) script: Mutex<VecDeque<Act>>,
    /// Its credentials are refused until then.
    pub(crate) refuses_until: Mutex<Option<Timestamp>>,
    pub(crate) open: Mutex<usize>,
    pub(crate) abandoned: CancellationToken,
    /// What it says of messages that it is asked for, in turn; then that it cannot be asked.
    pub(crate) answers: Mutex<VecDeque<Inquiry>>,
    /// Its credential was replaced.
    pub(crate) replaced: AtomicBool,
    /// How often it was told to ask anew.
    pub(crate) asked_anew: AtomicUsize,
}

/// What the remote does with one attempt.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Take,
    /// Takes it after so long.
    TakeAfter(Duration),
    /// Says nothing, and nothing was sent: it knows so when it is abandoned.
    Silent,
    PutOff,
    /// Its sender is refused, whatever the words: it waits half an hour without counting.
    SetAside(&'static str),
    Refuse,
    /// The link breaks after the last byte; whether it was taken.
    Break(bool),
    Throttle(Duration),
    Pause(Duration),
    /// No link.
    Unreachable,
    /// After the last byte; whether it was taken.
    Panic(bool),
    /// Before anything was sent.
    PanicEarly,
    /// The last byte is on its way, for ever.
    Hang,
    /// Every recipient fares differently.
    Mixed,
}

/// Counts an attempt as under way, whatever ends it.
struct UnderWay<'a> {
    remote: &'a Remote,
    id: MessageId,
    recipients: Vec<u32>,
    /// The last byte was on its way.
    sent: AtomicBool,
    over: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // Dropped half-way it counts as unconfirmed.
        if !self.over && self.sent.load(Ordering::Relaxed) {
            self.remote.unconfirmed(self.id, &self.recipients);
        }
        self.remote.world.ledger().under_way.remove(&self.id);
        *self.remote.open.lock().unwrap() -= 1;
    }
}

impl Remote {
    pub(crate) fn does(self: &Arc<Self>, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().unwrap().extend(acts);
    }

    fn enter(&self, attempt: &Attempt<'_>) -> UnderWay<'_> {
        let message = attempt.message;
        let mut open = self.open.lock().unwrap();
        *open += 1;
        if *open > self.connections {
            self.world.wrong(format!("{} attempts at once in lane {}", *open, self.lane));
        }
        let mut ledger = self.world.ledger();
        ledger.order.push(message.id);
        if !ledger.under_way.insert(message.id) {
            ledger.wrongs.push(format!("{} is tried twice at once", message.id));
        }
        drop(ledger);
        self.check(attempt);
        let recipients = attempt.recipients.clone();
        UnderWay { remote: self, id: message.id, recipients, sent: AtomicBool::new(false), over: false }
    }

    fn check(&self, attempt: &Attempt<'_>) {
        let message = attempt.message;
        let queued = |index: &u32| message.recipients[*index as usize].state.is_queued();
        let right = [
            (message.hold.is_none(), "it is held"),
            (!attempt.recipients.is_empty(), "it has no recipient to try"),
            (attempt.recipients.iter().all(queued), "a recipient is settled"),
            (self.world.spool.leased().contains(&message.id), "it is not leased"),
            (self.is_as_stored(message), "it is not as it is stored"),
            (message.due_at <= self.clock.now(), "it is not due"),
        ];
        for (_, what) in right.iter().filter(|(right, _)| !right) {
            self.world.wrong(format!("{} is tried although {what}", message.id));
        }
    }

    /// But for what the next hop, asked right before the attempt, has said.
    fn is_as_stored(&self, message: &Message) -> bool {
        let inquired = matches!(message.story.last().map(|event| &event.what), Some(Happening::Inquired { .. }));
        inquired || self.world.spool.message(message.id) == *message
    }

    fn act(&self) -> Act {
        if let Some(act) = self.script.lock().unwrap().pop_front() {
            return act;
        }
        let now = self.clock.now();
        if self.refuses_until.lock().unwrap().is_some_and(|until| until > now) {
            return Act::Pause(Duration::from_secs(5));
        }
        if !self.world.troubled.load(Ordering::Relaxed) {
            return Act::Take;
        }
        let random = &self.world.random;
        match random.below(40) {
            0..=4 => Act::PutOff,
            5 => Act::Refuse,
            6..=8 => Act::Break(random.once_in(2)),
            9 => Act::Throttle(Duration::from_secs(random.below(20))),
            10 => {
                *self.refuses_until.lock().unwrap() = Some(now + Duration::from_secs(random.below(90)));
                Act::Pause(Duration::from_secs(1 + random.below(10)))
            }
            11..=12 => Act::Unreachable,
            13 if random.once_in(3) => Act::PanicEarly,
            13 => Act::Panic(random.once_in(2)),
            14..=18 => Act::Mixed,
            19 => Act::TakeAfter(Duration::from_secs(random.below(80))),
            _ => Act::Take,
        }
    }

    fn see_mail(&self, id: MessageId) {
        let now = self.clock.now();
        let mut ledger = self.world.ledger();
        let seen = ledger.seen.entry(self.lane.to_owned()).or_default();
        seen.retain(|seen| seen.at + Duration::from_secs(60) > now);
        seen.push_back(Seen { id, at: now, whole: false });
        let count = seen.len();
        if let Some(limit) = self.messages_per_minute.filter(|limit| count > *limit as usize) {
            ledger.wrongs.push(format!("{count} messages in a minute in lane {}, allowed are {limit}", self.lane));
        }
    }

    fn see_last_byte(&self, id: MessageId) {
        let mut ledger = self.world.ledger();
        let seen = ledger.seen.get_mut(self.lane).into_iter().flatten().rev().find(|seen| seen.id == id);
        seen.into_iter().for_each(|seen| seen.whole = true);
    }

    fn take(&self, id: MessageId, recipient: u32) {
        let mut ledger = self.world.ledger();
        let life = ledger.life;
        ledger.taken.entry((id, recipient)).or_default().push(Copy { life, told: false });
    }

    /// From now on the relay knows.
    fn tell_taken(&self, id: MessageId, recipient: u32) -> Outcome {
        let mut ledger = self.world.ledger();
        ledger.taken.get_mut(&(id, recipient)).unwrap().last_mut().unwrap().told = true;
        Outcome::HandedOver { remote: reply(250, EnhancedStatus::new(2, 0, 0), "taken"), notifies: false }
    }

    fn unconfirmed(&self, id: MessageId, recipients: &[u32]) {
        let now = self.clock.now();
        self.world.ledger().put_off.extend(recipients.iter().map(|recipient| ((id, *recipient), now)));
    }

    fn put_off(&self, id: MessageId, recipient: u32) -> Outcome {
        self.world.ledger().put_off.insert((id, recipient), self.clock.now());
        let status = EnhancedStatus::new(4, 2, 2);
        Outcome::Deferred {
            reason: "mailbox busy".to_owned(),
            hint: None,
            not_before: None,
            remote: Some(reply(450, status, "busy")),
            counts: true,
        }
    }

    fn set_aside(&self, words: &'static str) -> Outcome {
        Outcome::Deferred {
            reason: format!("the message was refused: {words}"),
            hint: Some("No right to send as this sender. Grant it.".to_owned()),
            not_before: Some(self.clock.now() + Duration::from_secs(1_800)),
            remote: Some(reply(554, EnhancedStatus::new(5, 2, 252), words)),
            counts: false,
        }
    }

    fn refuse(&self, id: MessageId, recipient: u32) -> Outcome {
        self.world.ledger().refused.insert((id, recipient));
        let status = EnhancedStatus::new(5, 1, 1);
        let reason = "no such mailbox".to_owned();
        Outcome::Bounced { status, reason, hint: None, remote: Some(reply(550, status, "no such mailbox")) }
    }

    async fn pass(
        &self,
        act: Act,
        attempt: &Attempt<'_>,
        under_way: &UnderWay<'_>,
    ) -> (Vec<(Vec<u32>, Outcome)>, LaneVerdict, bool) {
        let (id, recipients) = (attempt.message.id, attempt.recipients.as_slice());
        let each = |outcome: &dyn Fn(u32) -> Outcome| recipients.iter().map(|r| (vec![*r], outcome(*r))).collect();
        let all = |outcome: Outcome| vec![(recipients.to_vec(), outcome)];
        match act {
            Act::Silent => {
                self.abandoned.cancelled().await;
                return (all(lane_trouble("the relay stopped")), LaneVerdict::Neutral, false);
            }
            Act::Unreachable => {
                let rest = LaneVerdict::Rest { wait: Duration::from_secs(2), reason: "no link".to_owned() };
                return (all(lane_trouble("no link")), rest, false);
            }
            Act::Pause(probe_after) => {
                let pause = Pause {
                    scope: Scope::Credential,
                    reason: "535 5.7.139 no".to_owned(),
                    remedy: "renew the secret".to_owned(),
                    code: "5.7.139".to_owned(),
                    probe_after,
                };
                return (all(lane_trouble("credentials refused")), LaneVerdict::Paused(pause), false);
            }
            _ => self.see_mail(id),
        }
        let takes = |recipient: u32| match act {
            Act::Take | Act::TakeAfter(_) | Act::Break(true) | Act::Panic(true) => true,
            Act::Mixed => (id.to_i64() + i64::from(recipient)) % 3 == 0,
            _ => false,
        };
        if let Act::PanicEarly = act {
            resume_unwind(Box::new("on purpose"));
        }
        if let Err(error) = attempt.journal.last_byte(recipients).await {
            return (all(lane_trouble(&error.to_string())), LaneVerdict::Neutral, true);
        }
        under_way.sent.store(true, Ordering::Relaxed);
        self.see_last_byte(id);
        match act {
            Act::TakeAfter(long) => tokio::time::sleep(long).await,
            Act::Hang => std::future::pending().await,
            _ => {}
        }
        recipients.iter().filter(|r| takes(**r)).for_each(|r| self.take(id, *r));
        // The answer is on its way.
        self.pause().await;
        match act {
            Act::Throttle(wait) => {
                let throttle = Throttle {
                    what: Excess::Connections,
                    wait: Some(wait),
                    reason: "432 4.3.2 slow down".to_owned(),
                    remedy: "nothing".to_owned(),
                    code: "4.3.2".to_owned(),
                };
                (all(lane_trouble("throttled")), LaneVerdict::Throttled(throttle), true)
            }
            Act::Break(_) => {
                self.unconfirmed(id, recipients);
                (all(Outcome::Unconfirmed { cause: "link broke".to_owned() }), LaneVerdict::Neutral, true)
            }
            // Without the hook: nothing is printed.
            Act::Panic(_) => resume_unwind(Box::new("on purpose")),
            Act::PutOff => (each(&|r| self.put_off(id, r)), LaneVerdict::Healthy, true),
            Act::SetAside(words) => (all(self.set_aside(words)), LaneVerdict::Healthy, true),
            Act::Refuse => (each(&|r| self.refuse(id, r)), LaneVerdict::Healthy, true),
            _ => {
                let outcome = |r: u32| match takes(r) {
                    true => self.tell_taken(id, r),
                    false if r.is_multiple_of(2) => self.put_off(id, r),
                    false => self.refuse(id, r),
                };
                (each(&outcome), LaneVerdict::Healthy, true)
            }
        }
    }

    async fn pause(&self) {
        if self.world.troubled.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(self.world.random.below(400))).await;
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn lane_trouble(reason: &str) -> Outcome {
    Outcome::Deferred { reason: reason.to_owned(), hint: None, not_before: None, remote: None, counts: false }
}

fn reply(code: u16, status: EnhancedStatus, text: &'static str) -> RemoteReply {
    RemoteReply { host: "next.example".to_owned(), reply: Reply::new(code, status, text), remote_id: None }
}

#[async_trait]
impl Transport for Remote {
    async fn attempt(&self, attempt: Attempt<'_>, mut body: BodyReader, now: Timestamp) -> AttemptReport {
        let mut under_way = self.enter(&attempt);
        let read = async {
            while body.next().await?.is_some() {}
            Ok::<(), queue::SpoolError>(())
        };
        let unread = read.await.err();
        self.pause().await;
        let (results, lane, reached_mail) = match unread {
            None => {
                let act = self.act();
                self.pass(act, &attempt, &under_way).await
            }
            Some(error) => {
                (vec![(attempt.recipients.clone(), lane_trouble(&error.to_string()))], LaneVerdict::Neutral, false)
            }
        };
        under_way.over = true;
        let took = self.clock.now().duration_since(now);
        let took_ms = took.as_millis().try_into().unwrap();
        AttemptReport { results, lane, messages: u32::from(reached_mail), took_ms, notes: Vec::new(), hold: None }
    }

    async fn inquire(&self, _message: &Message, _recipients: &[u32], _now: Timestamp) -> Inquiry {
        self.answers.lock().unwrap().pop_front().unwrap_or(Inquiry::Unknown)
    }

    fn credential_replaced(&self) -> bool {
        self.replaced.swap(false, Ordering::Relaxed)
    }

    fn ask_anew(&self) {
        self.asked_anew.fetch_add(1, Ordering::Relaxed);
    }

    fn abandon(&self) {
        self.abandoned.cancel();
    }

    fn connections(&self) -> (usize, usize) {
        (*self.open.lock().unwrap(), 0)
    }
}
