//! Random histories of operations, held against a model after every restart and now and then between.

use std::collections::{BTreeMap, HashSet};

use queue::{Class, Filter, LaneName, Message, MessageId, RecipientState, Spool};

use super::{Backend, FixedClock, LANE, body_of, bounced, deferred, handed_over, later, new_message, read};

const SEEDS: u64 = 6;
const STEPS: u32 = 150;
const CLASSES: [Class; 3] = [Class::Urgent, Class::New, Class::Deferred];

/// What the spool should contain.
#[derive(Debug, Default)]
struct Model {
    queued: BTreeMap<MessageId, Message>,
    settled: BTreeMap<MessageId, Message>,
    leased: HashSet<MessageId>,
    pruned: [u64; 5],
}

/// Steele and Vigna's SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, from: impl ExactSizeIterator<Item = T>) -> Option<T> {
        let length = from.len() as u64;
        if length == 0 { None } else { from.skip(usize::try_from(self.below(length)).unwrap()).map(Some).next()? }
    }
}

pub async fn random_histories_match_a_model(backend: &dyn Backend) {
    let (mut model, mut spool) = (Model::default(), backend.open().await);
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        for step in 0..STEPS {
            if random.below(60) == 0 {
                if random.below(3) == 0 {
                    spool.close().await.unwrap();
                }
                drop(spool);
                spool = backend.open().await;
                model.leased.clear();
                compare(&*spool, &model, seed, step).await;
            }
            one_step(&*spool, &mut model, &mut random).await;
            if random.below(40) == 0 {
                compare(&*spool, &model, seed, step).await;
            }
        }
    }
    compare(&*spool, &model, SEEDS, 0).await;
}

async fn one_step(spool: &dyn Spool, model: &mut Model, random: &mut Random) {
    match random.below(10) {
        0..=3 => accept(spool, model, random).await,
        4 => claim_line(spool, model, random).await,
        5 => {
            if let Some(id) = random.pick(model.queued.keys().copied().collect::<Vec<_>>().into_iter()) {
                assert_eq!(spool.claim(id).await.is_ok(), model.leased.insert(id), "a lease, or one already");
            }
        }
        6 => {
            if let Some(id) = random.pick(model.leased.clone().into_iter().collect::<Vec<_>>().into_iter()) {
                spool.release(id);
                model.leased.remove(&id);
            }
        }
        7 if random.below(10) == 0 => prune(spool, model).await,
        _ => record(spool, model, random).await,
    }
}

async fn accept(spool: &dyn Spool, model: &mut Model, random: &mut Random) {
    let size = if random.below(40) == 0 { 1_100_000 } else { usize::try_from(random.below(5000)).unwrap() };
    let mut writer = spool.body_writer(None).unwrap();
    writer.write(&body_of(size)).await.unwrap();
    let mut new = new_message(writer.id(), LANE, 1 + usize::try_from(random.below(3)).unwrap());
    new.urgent = random.below(4) == 0;
    new.hold = (random.below(8) == 0).then(|| "no path".to_owned());
    let body = writer.finish().await.unwrap();
    let message = spool.enqueue(new, body).await.unwrap();
    model.leased.insert(message.id);
    model.queued.insert(message.id, message);
}

async fn claim_line(spool: &dyn Spool, model: &mut Model, random: &mut Random) {
    let class = random.pick(CLASSES.into_iter()).unwrap();
    let (now, most) = (later(random.below(60).cast_signed()), usize::try_from(random.below(6)).unwrap());
    let mut expected: Vec<_> = line(model, class).filter(|message| message.due_at <= now).cloned().collect();
    expected.sort_by_key(|message| (message.due_at, message.id));
    expected.truncate(most);
    assert_eq!(spool.claim_due(&LaneName(LANE.into()), class, now, most).await.unwrap(), expected);
    model.leased.extend(expected.into_iter().map(|message| message.id));
}

/// Who may be claimed in a line.
fn line(model: &Model, class: Class) -> impl Iterator<Item = &Message> {
    model.queued.values().filter(move |message| {
        message.class() == class
            && &*message.lane.0 == LANE
            && message.hold.is_none()
            && !model.leased.contains(&message.id)
    })
}

async fn record(spool: &dyn Spool, model: &mut Model, random: &mut Random) {
    let Some(id) = random.pick(model.leased.iter().copied().collect::<Vec<_>>().into_iter()) else { return };
    let message = model.queued.get(&id).unwrap().clone();
    let message = match random.below(6) {
        0 => handed_over(message, 1),
        1 | 2 => handed_over(message, usize::MAX),
        3 => bounced(message),
        4 => {
            let mut message = message;
            message.hold = None;
            message
        }
        _ => deferred(message, later(random.below(60).cast_signed())),
    };
    spool.record(message.clone()).await.unwrap();
    model.leased.remove(&id);
    if message.is_settled() {
        model.queued.remove(&id);
        model.settled.insert(id, message);
    } else {
        model.queued.insert(id, message);
    }
}

async fn prune(spool: &dyn Spool, model: &mut Model) {
    let pruned = spool.prune_history(FixedClock::START + jiff::SignedDuration::from_hours(1)).await.unwrap();
    assert_eq!(pruned, model.settled.len() as u64);
    let counts = count(model.settled.values());
    model.pruned.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
    model.settled.clear();
}

/// Recipients: all, queued, handed over, bounced, expired or removed.
fn count<'a>(messages: impl Iterator<Item = &'a Message>) -> [u64; 5] {
    let mut counts = [0; 5];
    for recipient in messages.flat_map(|message| &message.recipients) {
        let which = match recipient.state {
            RecipientState::Queued { .. } => 1,
            RecipientState::HandedOver { .. } => 2,
            RecipientState::Bounced { .. } => 3,
            RecipientState::Expired { .. } | RecipientState::Removed { .. } => 4,
        };
        counts.iter_mut().enumerate().filter(|(at, _)| *at == 0 || *at == which).for_each(|(_, count)| *count += 1);
    }
    counts
}

async fn compare(spool: &dyn Spool, model: &Model, seed: u64, step: u32) {
    let at = format!("seed {seed}, step {step}");
    let counters = spool.counters().await.unwrap();
    let mut expected = count(model.queued.values().chain(model.settled.values()));
    expected.iter_mut().zip(model.pruned).for_each(|(sum, more)| *sum += more);
    let found = [counters.accepted, counters.queued, counters.handed_over, counters.bounced, 0];
    assert_eq!((found, counters.conserved()), (expected, true), "{at}");
    let held = model.queued.values().filter(|message| message.hold.is_some()).count();
    assert_eq!((counters.messages, counters.held), (model.queued.len() as u64, held as u64), "{at}");
    let listed = spool.list(&Filter::default(), None, 1000).await.unwrap().messages;
    assert!(listed.iter().eq(model.queued.values()), "{at}");
    let settled = spool.history(&Filter::default(), None, 1000).await.unwrap().messages;
    assert!(settled.iter().rev().eq(model.settled.values()), "{at}");
    for class in CLASSES {
        let due = line(model, class).map(|message| message.due_at).min();
        assert_eq!(spool.next_due(&LaneName(LANE.into()), class).await.unwrap(), due, "{at}");
    }
    for message in model.queued.values() {
        let body = read(spool, message.id).await.unwrap();
        assert!(body == body_of(usize::try_from(message.size).unwrap()), "{at}: {}", message.id);
    }
}
