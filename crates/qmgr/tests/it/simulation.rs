//! Seeded histories: mail arrives, everything fails now and then (spool, remotes, the process), operators meddle. Then the
//! faults stop, and everything must come to its end: handed over, bounced, expired or removed, once; held to the promises
//! of no loss, no duplicate without a cause, no bounce for trouble that is ours.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use posthouse_qmgr::{OperatorError, Settings};
use queue::{Happening, Message, MessageId, Outcome, RecipientState, RetryPolicy, Spool};
use tokio::task::JoinHandle;

use crate::relay::{Permits, Relay, routes};
use crate::remote::World;
use crate::world::START;

const LANES: [Permits; 3] = [("alpha", 2, Some(20)), ("beta", 3, None), ("gamma", 1, Some(6))];
const EXPIRE: Duration = Duration::from_secs(240);

#[test]
fn histories_of_the_first_quarter_keep_the_promises() {
    histories(0..600);
}

#[test]
fn histories_of_the_second_quarter_keep_the_promises() {
    histories(600..1_200);
}

#[test]
fn histories_of_the_third_quarter_keep_the_promises() {
    histories(1_200..1_800);
}

#[test]
fn histories_of_the_last_quarter_keep_the_promises() {
    histories(1_800..2_400);
}

fn histories(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let result = catch_unwind(AssertUnwindSafe(|| History::new(seed).play()));
        assert!(result.is_ok(), "the history of seed {seed} went wrong");
    }
}

struct History {
    world: Arc<World>,
    now: Timestamp,
    crashed: BTreeSet<usize>,
    removed: Arc<Mutex<BTreeSet<MessageId>>>,
}

impl History {
    fn new(seed: u64) -> Self {
        Self { world: World::new(seed), now: START, crashed: BTreeSet::new(), removed: Arc::default() }
    }

    fn play(mut self) {
        let random = |below| self.world.random.below(below);
        for _ in 0..random(4) {
            self.trouble(true);
            let crashes = self.world.random.once_in(2);
            self.live(|history, relay| Box::pin(troubled_life(history, relay, crashes)));
            if crashes {
                let life = self.world.ledger().life;
                self.crashed.insert(life);
                self.world.spool.crash();
            }
            self.world.next_life();
            // The machine may have been off for a while.
            let off = if self.world.random.once_in(3) { self.world.random.below(600) } else { 1 };
            self.now += Duration::from_secs(off);
        }
        self.trouble(false);
        self.live(|_, relay| Box::pin(last_life(relay)));
        self.judge();
    }

    fn trouble(&self, on: bool) {
        self.world.troubled.store(on, Ordering::Relaxed);
        self.world.spool.troubled.store(on, Ordering::Relaxed);
    }

    /// One life of the process. When the runtime is dropped, whatever is still under way is gone.
    fn live<F>(&mut self, life: F)
    where
        F: for<'a> FnOnce(&'a Self, Relay) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let last = !self.world.troubled.load(Ordering::Relaxed);
        let without_gamma = !last && self.world.random.once_in(4);
        let lanes = if without_gamma { &LANES[..2] } else { &LANES[..] };
        if without_gamma {
            // What a crash has cut off in a lane that is not configured belongs to no budget.
            self.world.ledger().seen.remove("gamma");
        }
        let moves = self.world.random.once_in(2);
        let window = 1 + self.world.random.below(8) as usize;
        let elapsed = runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let relay = Relay::start_with(&self.world, self.now, lanes, |settings| shape(settings, window, moves));
            life(self, relay).await;
            began.elapsed()
        });
        drop(runtime);
        self.now += elapsed;
    }

    fn judge(&self) {
        let ledger = self.world.ledger();
        assert_eq!(ledger.wrongs, Vec::<String>::new());
        for message in self.world.spool.all() {
            for (recipient, index) in message.recipients.iter().zip(0_u32..) {
                let key = (message.id, index);
                let copies = ledger.taken.get(&key).map(Vec::as_slice).unwrap_or_default();
                let refused = ledger.refused.contains(&key);
                let removed = self.removed.lock().unwrap().contains(&message.id);
                let gave_up = ledger.put_off.get(&key).is_some_and(|at| *at >= message.accepted_at + EXPIRE);
                let right = match &recipient.state {
                    RecipientState::Queued { .. } => false,
                    RecipientState::HandedOver { .. } => copies.iter().any(|copy| copy.told),
                    RecipientState::Bounced { .. } => refused,
                    RecipientState::Expired { .. } => gave_up,
                    RecipientState::Removed { .. } => removed,
                };
                assert!(right, "{key:?} ended without a cause: {message:#?}\n{copies:?}");
                assert!(copies.len() <= 1 || is_in_doubt(&message, index), "{key:?} came twice unseen: {message:#?}");
                // Whoever was told of a copy, and lived to record it, neither sends another nor forgets.
                let known = |copy: &&crate::remote::Copy| copy.told && !self.crashed.contains(&copy.life);
                let known = copies.iter().filter(known).count();
                assert!(known <= 1, "{key:?} came twice without a cause: {copies:?}");
                if known == 1 {
                    assert!(matches!(recipient.state, RecipientState::HandedOver { .. }), "{message:#?}");
                    assert!(copies.last().is_some_and(|copy| copy.told), "{key:?} was sent again: {copies:?}");
                }
            }
        }
    }
}

/// Whether the story says that a copy may have arrived unseen.
fn is_in_doubt(message: &Message, index: u32) -> bool {
    message.story.iter().any(|event| match &event.what {
        Happening::Interrupted { recipients } => recipients.contains(&index),
        Happening::Attempted { results, .. } => {
            let unconfirmed = results.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Unconfirmed { .. }));
            unconfirmed.flat_map(|(indices, _)| indices).any(|known| *known == index)
        }
        Happening::Omitted { .. } => true,
        _ => false,
    })
}

/// Everything quicker than usual.
fn shape(settings: &mut Settings, window: usize, moves: bool) {
    let seconds = Duration::from_secs;
    settings.window = window;
    settings.retry = RetryPolicy {
        intervals: vec![seconds(5), seconds(20), seconds(60)],
        jitter_percent: 10,
        expire: EXPIRE,
        warn: seconds(60),
    };
    if moves {
        settings.routes = routes(&[("gamma", "beta")]);
    }
}

async fn troubled_life(history: &History, relay: Relay, crashes: bool) {
    let random = |below| relay.world.random.below(below);
    let mut words = Vec::new();
    for _ in 0..random(30) {
        tokio::time::sleep(Duration::from_millis(random(4_000))).await;
        let lane = LANES[random(3) as usize].0;
        let recipients = 1 + random(3) as usize;
        match random(4) {
            0 => words.extend(word(history, &relay)),
            1 if random(3) == 0 => drop(relay.handle.probe(&crate::world::lane(lane)).await),
            _ => drop(relay.accept(lane, recipients, random(5) == 0).await),
        }
    }
    if crashes {
        return;
    }
    relay.world.spool.troubled.store(false, Ordering::Relaxed);
    if random(2) == 0 {
        for word in words {
            // An attempt may hang for 80 seconds, and others stand before it.
            tokio::time::timeout(Duration::from_secs(600), word).await.expect("a word was never answered").unwrap();
        }
    }
    relay.stop().await;
}

/// An operator's word on a random message, and what it must come to.
fn word(history: &History, relay: &Relay) -> Option<JoinHandle<()>> {
    let messages = relay.world.spool.all();
    let id = messages.get(relay.world.random.below(messages.len().max(1) as u64) as usize)?.id;
    let (handle, world, which) = (relay.handle.clone(), Arc::clone(&relay.world), relay.world.random.below(8));
    if which == 0 {
        history.removed.lock().unwrap().insert(id);
    }
    Some(tokio::spawn(async move {
        let result = match which {
            0 => handle.remove(id).await,
            1..=2 => handle.hold(id, "by the test".to_owned()).await,
            3..=5 => handle.release(id).await,
            _ => handle.retry(id).await,
        };
        let right = |message: &Message| match which {
            0 => message.is_settled(),
            1..=2 => message.hold.is_some(),
            3..=5 => message.hold.is_none(),
            _ => message.hold.is_none() && !message.is_settled(),
        };
        match result {
            Ok(message) if !right(&message) => world.wrong(format!("word {which} came to {message:?}")),
            Err(error @ (OperatorError::NotFound(_) | OperatorError::Busy(_) | OperatorError::NoLane(_))) => {
                world.wrong(format!("word {which}: {error}"));
            }
            _ => {}
        }
    }))
}

/// Nothing fails any more: all mail must come to its end.
async fn last_life(relay: Relay) {
    let held = |message: &&Message| message.hold.is_some() && !message.is_settled();
    for message in relay.world.spool.all().iter().filter(held) {
        relay.handle.release(message.id).await.unwrap();
    }
    for lane in ["alpha", "beta", "gamma"] {
        relay.accept(lane, 2, false).await.unwrap();
    }
    assert!(relay.drained_within(Duration::from_secs(3_600)).await, "stuck: {:#?}", relay.world.spool.all());
    assert!(relay.world.spool.counters().await.unwrap().conserved());
    relay.stop().await;
}
