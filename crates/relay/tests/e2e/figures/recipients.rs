//! A message to more recipients than go into one transaction.

use std::time::Duration;

use sandbox::{Fault, Limits, Step};

use super::world::{World, strict};

const THOUSAND: usize = 1_000;

async fn seconds_for_a_thousand(world: &World) -> i64 {
    let relay = world.relay().await;
    let began = world.now();
    relay.accept(1, THOUSAND).await;
    relay.drained(Duration::from_secs(1)).await;
    assert_eq!(relay.handed_over().await, THOUSAND as u64);
    world.now().duration_since(began).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_recipients_leave_within_seconds_a_hundred_at_a_time() {
    let world = World::start(strict(), "recipients_per_message = 100").await;
    let took = seconds_for_a_thousand(&world).await;
    println!("1,000 recipients, 100 at a time: {took} s");
    assert_eq!(world.sandbox.statistics().messages, 10);
    assert!(took < 30, "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_only_learnt_from_refusals_makes_nobody_wait() {
    let limits = Limits { recipients_per_message: 300, ..strict() };
    let world = World::start(limits, "recipients_per_message = 1000").await;
    let refused = "550 5.5.3 Too many recipients";
    world.sandbox.add_fault(Fault::at(Step::End).reply(refused).times(2)).unwrap();
    let took = seconds_for_a_thousand(&world).await;
    println!("1,000 recipients, the limit learnt: {took} s");
    assert!(took < 30, "{took} s");
}
