//! What may have arrived: the journal, what is done after a crash, and what the next hop and the lane's policy say.

use std::sync::atomic::Ordering;
use std::time::Duration;

use posthouse_qmgr::Settings;
use queue::{Happening, Inquiry, Message, RecipientState, RemoteReply, Unconfirmed};
use smtp::{EnhancedStatus, Reply};

use crate::relay::{Permits, Relay, life};
use crate::remote::{Act, World};
use crate::world::{START, handed_over, happenings, seconds, wait};

const ONE: [Permits; 1] = [("alpha", 1, None)];
const TWO: [Permits; 1] = [("alpha", 2, None)];

fn holds(settings: &mut Settings) {
    settings.plan.pools[0].lanes[0].unconfirmed = Unconfirmed::Hold;
}

fn is_unconfirmed(message: &Message) -> bool {
    message
        .recipients
        .iter()
        .all(|recipient| matches!(recipient.state, RecipientState::Queued { unconfirmed: true, .. }))
}

fn arrived(recipients: &[u32]) -> Inquiry {
    let reply = Reply::new(250, EnhancedStatus::new(2, 0, 0), "found");
    let remote = RemoteReply { host: "next.example".to_owned(), reply, remote_id: None };
    Inquiry::Arrived { recipients: recipients.to_vec(), remote }
}

#[tokio::test(start_paused = true)]
async fn the_journal_knows_the_recipients_before_their_last_byte_goes_and_forgets_them_with_the_outcome() {
    for (change, synced) in [((|_| {}) as fn(&mut Settings), false), (holds, true)] {
        let relay = Relay::start_with(&World::new(1), START, &ONE, change);
        relay.remotes["alpha"].does([Act::TakeAfter(seconds(30))]);
        let id = relay.accept("alpha", 3, false).await.unwrap();
        wait(5).await;
        let journal = relay.world.spool.journal();
        let [(entry, was_synced)] = &journal[..] else { panic!("{journal:?}") };
        assert_eq!((entry.id, &entry.recipients[..], &*entry.lane.0), (id, &[0, 1, 2][..], "alpha"));
        assert_eq!(*was_synced, synced, "only where an operator must look");
        assert!(relay.drained_within(seconds(30)).await);
        assert_eq!(relay.world.spool.journal(), []);
        relay.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_entry_in_the_journal_the_last_byte_does_not_go() {
    let relay = Relay::start(&World::new(1), &ONE);
    wait(1).await;
    let id = relay.accept("alpha", 1, false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    relay.world.spool.closed.store(true, Ordering::Relaxed);
    wait(5).await;
    assert_eq!(relay.world.ledger().order, [id], "it was on its way");
    assert!(relay.world.ledger().taken.is_empty());
    relay.world.spool.closed.store(false, Ordering::Relaxed);
    assert!(relay.drained_within(seconds(100)).await);
    assert_eq!(relay.world.ledger().taken[&(id, 0)].len(), 1);
    assert!(!relay.message(id).story.iter().any(|event| format!("{event:?}").contains("Unconfirmed")));
    relay.stop().await;
}

#[test]
fn after_a_crash_what_may_have_arrived_is_unconfirmed_and_what_had_not_left_is_not() {
    let world = World::new(1);
    let (gone, kept) = life(async {
        let relay = Relay::start(&world, &TWO);
        relay.remotes["alpha"].does([Act::Hang, Act::Silent]);
        let ids = (relay.accept("alpha", 2, false).await.unwrap(), relay.accept("alpha", 1, false).await.unwrap());
        wait(5).await;
        ids
    });
    world.spool.crash();
    world.next_life();
    life(async {
        let relay = Relay::start_with(&world, START + seconds(10), &TWO, |_| {});
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(is_unconfirmed(&relay.message(gone)), "{:?}", relay.message(gone));
        assert!(!is_unconfirmed(&relay.message(kept)));
        assert_eq!(happenings(&relay.message(gone)), ["accepted", "interrupted"]);
        assert!(relay.drained_within(seconds(70)).await, "it is sent again");
        assert_eq!(happenings(&relay.message(gone)), ["accepted", "interrupted", "attempted"]);
        assert_eq!(happenings(&relay.message(kept)), ["accepted", "attempted"]);
        relay.stop().await;
    });
}

#[test]
fn after_a_crash_a_lane_that_holds_has_an_operator_look() {
    let world = World::new(1);
    let id = life(async {
        let relay = Relay::start_with(&world, START, &ONE, holds);
        relay.remotes["alpha"].does([Act::Hang]);
        let id = relay.accept("alpha", 1, false).await.unwrap();
        wait(5).await;
        id
    });
    world.spool.crash();
    world.next_life();
    life(async {
        let relay = Relay::start_with(&world, START + seconds(10), &ONE, holds);
        wait(7_200).await;
        assert_eq!(world.ledger().order, [id], "it is not sent again by itself");
        assert!(relay.message(id).hold.is_some());
        relay.handle.release(id).await.unwrap();
        assert!(relay.drained_within(seconds(70)).await);
        relay.stop().await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_holds_does_not_send_twice_by_itself_and_resends_once_released() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, holds);
    relay.remotes["alpha"].does([Act::Break(true)]);
    let id = relay.accept("alpha", 1, false).await.unwrap();
    wait(7_200).await;
    assert_eq!(relay.world.ledger().order, [id]);
    assert!(is_unconfirmed(&relay.message(id)) && relay.message(id).hold.is_some());
    relay.handle.release(id).await.unwrap();
    assert!(relay.drained_within(seconds(5)).await);
    assert_eq!(relay.world.ledger().taken[&(id, 0)].len(), 2);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_next_hop_that_has_it_is_not_sent_it_again() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::Break(true)]);
    relay.remotes["alpha"].answers.lock().unwrap().push_back(arrived(&[0, 1]));
    let id = relay.accept("alpha", 2, false).await.unwrap();
    assert!(relay.drained_within(seconds(70)).await);
    let message = relay.message(id);
    assert!(handed_over(&message));
    assert_eq!(happenings(&message), ["accepted", "attempted", "inquired"]);
    let Happening::Inquired { answer } = &message.story[2].what else { panic!("{message:?}") };
    assert_eq!(answer, "it has arrived: 250 found");
    assert_eq!(relay.world.ledger().taken[&(id, 0)].len(), 1);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_next_hop_that_has_it_for_some_is_sent_it_for_the_others() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::Break(true)]);
    relay.remotes["alpha"].answers.lock().unwrap().push_back(arrived(&[1]));
    let id = relay.accept("alpha", 2, false).await.unwrap();
    assert!(relay.drained_within(seconds(70)).await);
    let copies = |recipient| relay.world.ledger().taken[&(id, recipient)].len();
    assert_eq!((copies(0), copies(1)), (2, 1));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_before_the_next_hop_could_be_asked() {
    let relay = Relay::start(&World::new(1), &ONE);
    relay.remotes["alpha"].does([Act::Break(false)]);
    let later = Inquiry::Later { reason: "the trace is not ready".to_owned() };
    relay.remotes["alpha"].answers.lock().unwrap().extend([later.clone(), later, Inquiry::NotArrived]);
    let id = relay.accept("alpha", 1, false).await.unwrap();
    wait(100).await;
    assert_eq!(relay.world.ledger().order, [id]);
    assert_eq!((relay.message(id).attempts, relay.message(id).hold.is_some()), (1, false));
    assert!(relay.drained_within(seconds(120)).await);
    assert_eq!(happenings(&relay.message(id)), ["accepted", "attempted", "waiting", "inquired", "attempted"]);
    assert_eq!(relay.world.ledger().taken[&(id, 0)].len(), 1);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_holds_asks_first_where_it_can() {
    let relay = Relay::start_with(&World::new(1), START, &ONE, holds);
    relay.remotes["alpha"].does([Act::Break(false)]);
    relay.remotes["alpha"].answers.lock().unwrap().extend([Inquiry::NotArrived, Inquiry::NotArrived]);
    let id = relay.accept("alpha", 1, false).await.unwrap();
    assert!(relay.drained_within(seconds(70)).await, "{:?}", relay.message(id));
    assert!(handed_over(&relay.message(id)));
    relay.stop().await;
}
