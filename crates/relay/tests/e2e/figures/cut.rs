//! The connection ends at every octet, in turn: never lost, and twice only where the receiver had truly taken it.

use std::time::Duration;

use sandbox::{Action, Fault, Limits, Step};

use super::world::{World, strict};

/// Longer than the message of [`super::world::Relay::accept`] with what the relay adds.
const CONTENT: u64 = 400;
/// Longer than the reply to a message that was taken.
const REPLY: usize = 160;

async fn copies(world: &World, faults: impl Iterator<Item = Fault>) -> Vec<u64> {
    let relay = world.relay().await;
    let mut all = Vec::new();
    for fault in faults {
        let before = world.sandbox.statistics().messages;
        let id = world.sandbox.add_fault(fault.once()).unwrap();
        relay.accept(1, 1).await;
        relay.drained(Duration::from_secs(1)).await;
        world.sandbox.remove_fault(id);
        all.push(world.sandbox.statistics().messages - before);
    }
    assert_eq!(relay.handed_over().await, all.len() as u64);
    all
}

#[tokio::test(start_paused = true)]
async fn a_connection_dropped_at_any_octet_of_the_content_loses_nothing_and_doubles_nothing() {
    let world = World::start(Limits { recipients_per_day: 0, ..strict() }, "").await;
    let faults = (0..CONTENT).map(|octets| Fault::at(Step::Content).action(Action::DisconnectAfter(octets)));
    let copies = copies(&world, faults).await;
    assert!(copies.iter().all(|copies| *copies == 1), "{copies:?}");
    assert!(world.sandbox.statistics().faults > 100, "the faults struck");
}

#[tokio::test(start_paused = true)]
async fn a_reply_cut_at_any_octet_makes_a_second_copy_and_a_whole_one_does_not() {
    let world = World::start(Limits { recipients_per_day: 0, ..strict() }, "").await;
    let faults = (0..REPLY).map(|octets| Fault::at(Step::End).action(Action::CutReply(octets)));
    let copies = copies(&world, faults).await;
    let whole = copies.iter().position(|copies| *copies == 1).unwrap_or(REPLY);
    println!("the reply has {whole} octets");
    assert!((20..REPLY).contains(&whole), "{copies:?}");
    assert!(copies[..whole].iter().all(|copies| *copies == 2), "{copies:?}");
    assert!(copies[whole..].iter().all(|copies| *copies == 1), "{copies:?}");
}
