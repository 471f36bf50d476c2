//! Delayed mail is marked, also where nobody tries it.

use queue::{Clock, Message};

use crate::relay::{Permits, Relay};
use crate::remote::World;
use crate::world::{START, happenings, seconds, wait};

const ONE: [Permits; 1] = [("alpha", 1, None)];
const WARN: u64 = 4 * 3_600;

fn marks(message: &Message) -> usize {
    happenings(message).iter().filter(|happening| **happening == "delayed").count()
}

#[tokio::test(start_paused = true)]
async fn mail_behind_an_open_breaker_is_marked_once_in_the_window_and_beyond() {
    let world = World::new(1);
    let relay = Relay::start_with(&world, START, &ONE, |settings| settings.window = 4);
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = Some(START + seconds(9 * 86_400));
    for _ in 0..300 {
        relay.accept("alpha", 1, false).await.unwrap();
    }
    wait(60).await;
    let held = relay.accept("alpha", 1, false).await.unwrap();
    relay.handle.hold(held, "by the test".to_owned()).await.unwrap();
    wait(WARN - 120).await;
    assert!(world.spool.all().iter().all(|message| marks(message) == 0));
    let late = relay.accept("alpha", 1, false).await.unwrap();
    wait(240).await;
    for message in world.spool.all() {
        let expected = usize::from(![held, late].contains(&message.id));
        assert_eq!((marks(&message), message.warned), (expected, expected == 1), "{message:#?}");
        assert_eq!(message.attempts, 0);
    }
    relay.stop().await;

    world.next_life();
    let relay = Relay::start_with(&world, START + seconds(2 * WARN), &ONE, |_| {});
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = Some(START + seconds(9 * 86_400));
    wait(300).await;
    let marked = world.spool.all().into_iter().filter(|message| marks(message) == 1).count();
    assert_eq!(marked, 301, "the late one too, none twice");
    *relay.remotes["alpha"].refuses_until.lock().unwrap() = None;
    relay.handle.release(held).await.unwrap();
    assert!(relay.drained_within(seconds(3_600)).await, "marks take nothing out of the queue");
    assert!(relay.clock.now() > START);
    relay.stop().await;
}
