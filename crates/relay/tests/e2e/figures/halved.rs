//! The far side halves a limit without a word.

use std::time::Duration;

use sandbox::Limits;

use super::world::{MAILBOX, World, strict};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn with_the_rate_halved_at_the_far_side_the_governor_settles_at_it_and_few_are_refused() {
    let world = World::start(Limits { recipients_per_day: 0, ..strict() }, "recipients_per_day = 100000").await;
    let relay = world.relay().await;
    relay.accept(24_000, 1).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.sandbox.statistics().refused(), 0);
    let halved = Limits { messages_per_minute: 15, recipients_per_day: 0, ..strict() };
    world.sandbox.change_tenant(|tenant| tenant.limits = halved);
    world.sandbox.reset_statistics();
    tokio::time::sleep(10 * Duration::from_secs(60)).await;
    let settled = world.sandbox.statistics();
    const HOURS: u32 = 6;
    tokio::time::sleep(HOURS * HOUR).await;
    let after = world.sandbox.statistics();
    let rate = (after.messages - settled.messages) as f64 / f64::from(HOURS * 60);
    let refused = after.refused() as f64 / (after.messages + after.refused()) as f64;
    println!("{rate:.2} of 15 a minute; refused {} of {} ({:.2} %)", after.refused(), after.messages, refused * 100.0);
    assert!((13.5..=15.0).contains(&rate), "{rate:.2} messages a minute");
    assert!(refused < 0.01, "{:?}", after.refusals);
    assert_eq!(after.mailboxes[MAILBOX].blocked, None);

    // Back to what it was: it is found in time.
    world.sandbox.change_tenant(|tenant| tenant.limits = Limits { recipients_per_day: 0, ..strict() });
    let mut hours = 0;
    loop {
        let before = world.sandbox.statistics().messages;
        tokio::time::sleep(HOUR).await;
        hours += 1;
        let rate = (world.sandbox.statistics().messages - before) as f64 / 60.0;
        if rate >= 29.0 {
            break;
        }
        assert!(hours < 12, "{rate:.2} messages a minute, {:?}", relay.status().await.budgets);
    }
    println!("in hour {hours} after it was lifted it is at its limit again");
}
