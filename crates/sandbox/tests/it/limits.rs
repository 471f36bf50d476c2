//! A mailbox's limits, with the virtual clock.

use std::time::Duration;

use posthouse_sandbox::{Limits, Mailbox, RateExcess, Sandbox, Settings, Tenant};

use crate::talk::{Talk, start};

async fn limited(limits: Limits) -> Sandbox {
    let mailbox = Mailbox::new("relay@contoso.test").password("relay-password");
    let tenant = Tenant { mailboxes: vec![mailbox], limits, ..Tenant::default() };
    Sandbox::start(Settings { tenant, ..Settings::default() }).await.unwrap()
}

#[tokio::test]
async fn the_fourth_message_at_the_same_time_is_refused_after_data() {
    let sandbox = start().await;
    let mut talks = Vec::new();
    for _ in 0..4 {
        let mut talk = Talk::relay(&sandbox).await;
        talk.say("MAIL FROM:<relay@contoso.test>").await;
        talk.say("RCPT TO:<bob@example.com>").await;
        assert!(talk.say("DATA").await.starts_with("354 "));
        talks.push(talk);
    }
    let refusal = talks[3].say("From: relay@contoso.test\r\n\r\nfour\r\n.").await;
    assert!(
        refusal.starts_with("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending"),
        "{refusal}"
    );
    for talk in &mut talks[..3] {
        assert!(talk.say("From: relay@contoso.test\r\n\r\nthree\r\n.").await.starts_with("250 "));
    }
    assert!(talks[3].send_to("bob@example.com").await.starts_with("250 "));
    let statistics = sandbox.statistics();
    assert_eq!(statistics.refusals["432 4.3.2"], 1);
    let relay = statistics.mailboxes["relay@contoso.test"];
    assert_eq!((relay.most_submissions, relay.most_sessions, relay.sessions), (4, 4, 4));
    sandbox.stop().await;
}

#[tokio::test]
async fn idle_sessions_count_where_the_strict_rule_is_chosen() {
    let sandbox = limited(Limits { concurrent_submissions: 1, count_idle_sessions: true, ..Limits::default() }).await;
    let mut first = Talk::relay(&sandbox).await;
    assert!(first.send_to("bob@example.com").await.starts_with("250 "));
    let _second = Talk::relay(&sandbox).await;
    assert!(first.send_to("bob@example.com").await.starts_with("432 4.3.2"));
    sandbox.stop().await;
}

#[tokio::test]
async fn the_message_over_the_rate_is_stored_and_its_reply_waits_for_the_minute() {
    let sandbox = limited(Limits { messages_per_minute: 2, ..Limits::default() }).await;
    let mut talk = Talk::relay(&sandbox).await;
    assert!(talk.send_to("one@example.com").await.starts_with("250 "));
    assert!(talk.send_to("two@example.com").await.starts_with("250 "));
    let third = tokio::spawn(async move { talk.send_to("three@example.com").await });
    sandbox.arrived(3).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!third.is_finished());
    sandbox.advance(Duration::from_secs(60));
    assert!(third.await.unwrap().starts_with("250 "));
    let messages = sandbox.messages();
    let slot = messages[2].replied_at.duration_since(messages[0].received_at);
    assert_eq!((slot.as_secs(), messages[0].replied_at), (60, messages[0].received_at));
    let statistics = sandbox.statistics();
    let relay = statistics.mailboxes["relay@contoso.test"];
    assert_eq!((relay.delayed, relay.most_messages_in_a_minute, statistics.refused()), (1, 3, 0));
    sandbox.stop().await;
}

#[tokio::test]
async fn the_message_over_the_rate_is_refused_where_that_is_chosen() {
    let limits = Limits { messages_per_minute: 1, rate_excess: RateExcess::Refuse, ..Limits::default() };
    let sandbox = limited(limits).await;
    let mut talk = Talk::relay(&sandbox).await;
    assert!(talk.send_to("one@example.com").await.starts_with("250 "));
    assert!(talk.send_to("two@example.com").await.starts_with("554 5.2.2 Submission quota exceeded"));
    sandbox.advance(Duration::from_secs(60));
    assert!(talk.send_to("two@example.com").await.starts_with("250 "));
    sandbox.stop().await;
}

#[tokio::test]
async fn recipients_of_a_day_run_out_and_come_back() {
    let sandbox = limited(Limits { recipients_per_day: 3, ..Limits::default() }).await;
    let mut talk = Talk::relay(&sandbox).await;
    let content = "From: relay@contoso.test\r\n\r\nhello";
    let two = ["a@example.com", "b@example.com"];
    assert!(talk.send("relay@contoso.test", &two, content).await.starts_with("250 "));
    let refusal = talk.send("relay@contoso.test", &two, content).await;
    assert!(
        refusal.starts_with("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
        "{refusal}"
    );
    assert!(talk.send_to("c@example.com").await.starts_with("250 "), "one is left");
    drop(talk);
    sandbox.advance(Duration::from_secs(86_399 - 5));
    let mut talk = Talk::relay(&sandbox).await;
    assert!(talk.send_to("d@example.com").await.starts_with("554 5.2.0"));
    sandbox.advance(Duration::from_secs(10));
    assert!(talk.send("relay@contoso.test", &two, content).await.starts_with("250 "));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_over_the_mailboxs_size_is_refused_declared_or_not() {
    let sandbox = limited(Limits { message_size: 1000, ..Limits::default() }).await;
    let mut talk = Talk::relay(&sandbox).await;
    let refusal = "552 5.3.4 Message size exceeds fixed maximum message size";
    assert_eq!(talk.say("MAIL FROM:<relay@contoso.test> SIZE=1001").await, refusal);
    let large = format!("From: relay@contoso.test\r\n\r\n{}", "x\r\n".repeat(1000));
    assert_eq!(talk.send("relay@contoso.test", &["bob@example.com"], &large).await, refusal);
    assert!(talk.send_to("bob@example.com").await.starts_with("250 "));
    assert_eq!(talk.say("MAIL FROM:<relay@contoso.test> SIZE=157286401").await, refusal);
    let statistics = sandbox.statistics();
    assert_eq!((statistics.refusals["552 5.3.4"], statistics.messages), (3, 1));
    sandbox.stop().await;
}

#[tokio::test]
async fn surplus_recipients_are_refused_and_the_others_served() {
    let sandbox = limited(Limits { recipients_per_message: 3, ..Limits::default() }).await;
    let mut talk = Talk::relay(&sandbox).await;
    talk.say("MAIL FROM:<relay@contoso.test>").await;
    for number in 0..3 {
        assert_eq!(talk.say(&format!("RCPT TO:<{number}@example.com>")).await, "250 2.1.5 Recipient OK");
    }
    for number in 3..50 {
        assert_eq!(talk.say(&format!("RCPT TO:<{number}@example.com>")).await, "452 4.5.3 Too many recipients");
    }
    talk.say("DATA").await;
    assert!(talk.say("From: relay@contoso.test\r\n\r\nhello\r\n.").await.starts_with("250 "));
    assert_eq!(sandbox.messages()[0].recipients.len(), 3);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_full_mailbox_sends_nothing_and_is_blocked_if_it_goes_on() {
    let sandbox = limited(Limits { refusals_until_block: 2, ..Limits::default() }).await;
    sandbox.change_tenant(|tenant| tenant.mailboxes[0].full = true);
    let mut talk = Talk::relay(&sandbox).await;
    for _ in 0..2 {
        assert!(talk.send_to("bob@example.com").await.starts_with("554 5.2.2 mailbox full; STOREDRV.Submission"));
    }
    assert!(
        talk.send_to("bob@example.com")
            .await
            .starts_with("550 5.2.251 Sender throttled due to continuous mailbox full")
    );
    sandbox.stop().await;
}

#[tokio::test]
async fn header_fields_and_header_sections_have_limits() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    let field = format!("From: relay@contoso.test\r\nX-Long: {}\r\n\r\nx", "y\r\n ".repeat(10_000));
    let refusal = talk.send("relay@contoso.test", &["bob@example.com"], &field).await;
    assert!(refusal.starts_with("554 5.6.211 Invalid MIME Content: Single text value size"), "{refusal}");
    let section = format!("From: relay@contoso.test\r\n{}\r\nx", "X-Many: yes\r\n".repeat(25_000));
    let refusal = talk.send("relay@contoso.test", &["bob@example.com"], &section).await;
    assert_eq!(refusal, "552 5.3.4 Header size exceeds fixed maximum size");
    sandbox.stop().await;
}

#[tokio::test]
async fn without_limits_a_mailbox_takes_what_comes() {
    let sandbox = limited(Limits::off()).await;
    let mut talk = Talk::relay(&sandbox).await;
    for _ in 0..100 {
        assert!(talk.send_to("bob@example.com").await.starts_with("250 "));
    }
    assert_eq!(sandbox.statistics().messages, 100);
    sandbox.stop().await;
}
