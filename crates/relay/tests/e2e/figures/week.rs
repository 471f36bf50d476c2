//! Ten thousand recipients in any 24 hours, over a week of bursts and a kill every hour.

use std::time::Duration;

use super::world::{MAILBOX, World, strict};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_week_of_bursts_with_a_kill_every_hour_never_exceeds_the_recipients_of_a_day() {
    let world = World::start(strict(), "").await;
    let mut relay = world.relay().await;
    let mut accepted = 0;
    for hour in 0..7 * 24_u64 {
        // Bursts in working hours, more than a day's budget bears: 1,400 recipients an hour for ten hours.
        if (8..18).contains(&(hour % 24)) {
            for message in 0..28 {
                let recipients = 10 + (message * 7 + usize::try_from(hour).unwrap()) % 81;
                relay.accept(1, recipients).await;
                accepted += recipients as u64;
            }
        }
        // Not on the hour: wherever that finds it.
        tokio::time::sleep(HOUR - Duration::from_millis(hour * 37 % 1_000)).await;
        relay.kill();
        relay = world.relay().await;
    }
    relay.drained(HOUR).await;
    let statistics = world.sandbox.statistics();
    let mailbox = statistics.mailboxes[MAILBOX];
    println!("{accepted} recipients, at most {} in any 24 hours", mailbox.most_recipients_in_a_day);
    assert_eq!(statistics.refused(), 0, "{:?}", statistics.refusals);
    assert_eq!(relay.handed_over().await, accepted);
    assert!(mailbox.most_recipients_in_a_day <= 10_000);
    // The budget was the bottleneck, and used: but for the part that is kept for urgent mail.
    assert!(mailbox.most_recipients_in_a_day >= 9_300, "{mailbox:?}");
    assert!(mailbox.most_messages_in_a_minute <= 30);
}
