//! A burst to one mailbox drains at the mailbox's limit, and Exchange never has to refuse.

use std::time::Duration;

use super::world::{MAILBOX, World, strict};

#[tokio::test(start_paused = true)]
async fn a_burst_of_5000_messages_drains_at_the_permitted_rate_without_a_refusal() {
    const MESSAGES: u64 = 5_000;
    let world = World::start(strict(), "").await;
    let relay = world.relay().await;
    let began = world.now();
    relay.accept(MESSAGES as usize, 1).await;
    relay.drained(Duration::from_secs(1)).await;
    let minutes = world.now().duration_since(began).as_secs_f64() / 60.0;
    // The first minute's messages go at once; from then on 30 a minute.
    let rate = (MESSAGES - 30) as f64 / minutes;
    let statistics = world.sandbox.statistics();
    println!("{MESSAGES} messages in {minutes:.1} minutes: {rate:.2} a minute");
    assert_eq!(statistics.refused(), 0, "{:?}", statistics.refusals);
    assert_eq!(statistics.messages, MESSAGES);
    let mailbox = statistics.mailboxes[MAILBOX];
    assert_eq!(mailbox.most_messages_in_a_minute, 30);
    assert!((0.98 * 30.0..=30.0).contains(&rate), "{rate:.2} messages a minute");
}
