//! Faults of each kind, by the lib and by recipient.

use std::time::{Duration, Instant};

use posthouse_sandbox::{Action, Fault, Step, TlsFault};

use crate::talk::{Talk, start};

#[tokio::test]
async fn any_reply_at_any_step_so_often_as_asked() {
    let sandbox = start().await;
    let endpoints = sandbox.endpoints();
    for step in [Step::Connect, Step::Hello, Step::Starttls] {
        sandbox.add_fault(Fault::at(step).reply("421 4.3.2 Service not active").once()).unwrap();
        let (_, reply) = Talk::try_encrypted(endpoints).await;
        assert!(!reply.starts_with("220 2.0.0"), "{step:?}: {reply}");
        assert!(Talk::try_encrypted(endpoints).await.0.is_some(), "{step:?} is over");
    }
    sandbox.add_fault(Fault::at(Step::Auth).reply("454 4.7.0 Temporary authentication failure").once()).unwrap();
    let mut talk = Talk::encrypted(endpoints).await;
    talk.say("EHLO relay.test").await;
    let refusal = talk.try_login("relay@contoso.test", "relay-password").await;
    assert_eq!(refusal, "454 4.7.0 Temporary authentication failure");
    let mut talk = Talk::relay(&sandbox).await;
    for (step, reply) in [
        (Step::Mail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        (Step::Rcpt, "550 5.1.10 RESOLVER.ADR.RecipientNotFound"),
        (Step::Data, "451 4.7.0 Temporary server error. Please try again later. PRX2"),
        (Step::End, "554 5.6.0 Corrupt message content"),
    ] {
        sandbox.add_fault(Fault::at(step).reply(reply).times(2)).unwrap();
        assert_eq!(talk.send_to("bob@example.com").await, reply);
        assert_eq!(talk.send_to("bob@example.com").await, reply);
        assert!(talk.send_to("bob@example.com").await.starts_with("250 "), "{step:?} is over");
    }
    assert_eq!(sandbox.messages().len(), 4);
    let statistics = sandbox.statistics();
    assert_eq!((statistics.faults, statistics.refused()), (12, 0), "{statistics:?}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_reply_of_several_lines_and_a_positive_one_of_choice() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    sandbox.add_fault(Fault::at(Step::Rcpt).reply("550 5.1.1 one\n550 5.1.1 two").once()).unwrap();
    assert_eq!(talk.send_to("bob@example.com").await, "550-5.1.1 one\r\n550 5.1.1 two");
    sandbox.add_fault(Fault::at(Step::End).reply("250 2.6.0 Queued").once()).unwrap();
    assert_eq!(talk.send_to("bob@example.com").await, "250 2.6.0 Queued");
    assert_eq!(sandbox.messages().len(), 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_connection_breaks_before_or_after_the_message_is_stored() {
    let sandbox = start().await;
    for (action, stored) in [(Action::Disconnect, 0), (Action::StoreThenDisconnect, 1)] {
        sandbox.add_fault(Fault::at(Step::End).action(action).once()).unwrap();
        let mut talk = Talk::relay(&sandbox).await;
        assert_eq!(talk.send_to("bob@example.com").await, "");
        assert_eq!(sandbox.messages().len(), stored);
    }
    sandbox.add_fault(Fault::at(Step::End).action(Action::StoreThenReply("451 4.7.0 x".to_owned())).once()).unwrap();
    assert_eq!(Talk::relay(&sandbox).await.send_to("bob@example.com").await, "451 4.7.0 x");
    assert_eq!(sandbox.messages().len(), 2);
    sandbox.add_fault(Fault::at(Step::End).action(Action::CutReply(9)).once()).unwrap();
    assert_eq!(Talk::relay(&sandbox).await.send_to("bob@example.com").await, "250 2.0.0");
    assert_eq!(sandbox.messages().len(), 3);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_connection_breaks_at_any_step_without_a_word() {
    let sandbox = start().await;
    for step in [Step::Mail, Step::Rcpt, Step::Data] {
        sandbox.add_fault(Fault::at(step).action(Action::Disconnect).once()).unwrap();
        let mut talk = Talk::relay(&sandbox).await;
        assert_eq!(talk.send_to("bob@example.com").await, "", "{step:?}");
    }
    sandbox.add_fault(Fault::at(Step::Connect).action(Action::Disconnect).once()).unwrap();
    assert_eq!(Talk::connect(sandbox.endpoints().submission).await.hear().await, "");
    assert!(sandbox.messages().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn the_connection_breaks_at_any_octet_of_content_or_session() {
    let sandbox = start().await;
    let content = "From: relay@contoso.test\r\n\r\nhello\r\n";
    for octets in [0, 1, 20, content.len() as u64 - 1] {
        sandbox.add_fault(Fault::at(Step::Content).action(Action::DisconnectAfter(octets)).once()).unwrap();
        let mut talk = Talk::relay(&sandbox).await;
        assert_eq!(talk.send("relay@contoso.test", &["bob@example.com"], content.trim_end()).await, "", "{octets}");
    }
    assert!(sandbox.messages().is_empty());
    sandbox.add_fault(Fault::at(Step::Connect).action(Action::DisconnectAfter(30)).once()).unwrap();
    let mut talk = Talk::connect(sandbox.endpoints().submission).await;
    assert!(talk.hear().await.starts_with("220 "));
    assert!(talk.say("EHLO relay.test").await.starts_with("250-"));
    assert_eq!(talk.say("NOOP").await, "250 2.0.0 OK", "23 octets so far");
    assert_eq!(talk.say("NOOP EXTRA").await, "");
    sandbox.stop().await;
}

#[tokio::test]
async fn tls_fails_in_five_ways() {
    let sandbox = start().await;
    for (flaw, text) in [
        (TlsFault::Close, ""),
        (TlsFault::Garbage, ""),
        (TlsFault::Untrusted, "BadSignature"),
        (TlsFault::WrongName, "NotValidForName"),
        (TlsFault::Expired, "Expired"),
    ] {
        sandbox.add_fault(Fault::at(Step::Tls).action(Action::Tls(flaw)).once()).unwrap();
        let (talk, error) = Talk::try_encrypted(sandbox.endpoints()).await;
        assert!(talk.is_none(), "{flaw:?}");
        assert!(
            error.contains(text) || (flaw == TlsFault::Untrusted && error.contains("UnknownIssuer")),
            "{flaw:?}: {error}"
        );
    }
    assert!(Talk::try_encrypted(sandbox.endpoints()).await.0.is_some());
    sandbox.stop().await;
}

#[tokio::test]
async fn a_fault_strikes_only_whom_it_is_for() {
    let sandbox = start().await;
    sandbox.add_fault(Fault::at(Step::End).reply("451 4.7.0 mailbox").mailbox("billing@*")).unwrap();
    sandbox.add_fault(Fault::at(Step::End).reply("451 4.7.0 recipient").recipient("*@slow.test")).unwrap();
    sandbox
        .add_fault(Fault::at(Step::Mail).reply("451 4.7.0 never at MAIL").reverse_path("relay@contoso.test"))
        .unwrap();
    let mut relay = Talk::relay(&sandbox).await;
    assert!(relay.send_to("bob@example.com").await.starts_with("250 "));
    assert_eq!(relay.send_to("bob@slow.test").await, "451 4.7.0 recipient");
    let mut billing = Talk::login(sandbox.endpoints(), "billing@contoso.test", "billing-password").await;
    let content = "From: billing@contoso.test\r\n\r\nhello";
    assert_eq!(billing.send("billing@contoso.test", &["bob@example.com"], content).await, "451 4.7.0 mailbox");
    sandbox.clear_faults();
    assert!(billing.send("billing@contoso.test", &["bob@example.com"], content).await.starts_with("250 "));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_delay_holds_the_reply_back() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    let wait = Duration::from_millis(300);
    for step in [Step::Mail, Step::Content, Step::End] {
        sandbox.add_fault(Fault::at(step).delay(wait).once()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the wait is in real time")]
        let began = Instant::now();
        assert!(talk.send_to("bob@example.com").await.starts_with("250 "));
        assert!(began.elapsed() >= wait, "{step:?}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn recipients_ask_for_faults_by_their_address() {
    let sandbox = start().await;
    for (recipient, reply) in [
        ("defer-451@any.test", "451 4.7.0 "),
        ("bounce-550@any.test", "550 5.1.10 "),
        ("bounce-550-5.7.1@any.test", "550 5.7.1 "),
        ("bounce-554-5.6.0-at-end@any.test", "554 5.6.0 "),
        ("defer-451-at-data@any.test", "451 4.7.0 "),
        ("throttle-432@any.test", "432 4.3.2 Concurrent connections limit exceeded"),
        ("drop-at-rcpt@any.test", ""),
        ("drop-at-data@any.test", ""),
        ("drop-at-end@any.test", ""),
        ("drop-after-10@any.test", ""),
        ("slow-10ms@any.test", "250 2.0.0 OK"),
    ] {
        let got = Talk::relay(&sandbox).await.send_to(recipient).await;
        assert!(if reply.is_empty() { got.is_empty() } else { got.starts_with(reply) }, "{recipient}: {got}");
    }
    assert_eq!(sandbox.messages().len(), 1);
    assert_eq!(Talk::relay(&sandbox).await.send_to("drop-at-stored@any.test").await, "");
    assert_eq!(sandbox.messages().len(), 2);
    let mut talk = Talk::relay(&sandbox).await;
    for expected in ["451", "451", "250"] {
        assert!(talk.send_to("defer-451-x2@any.test").await.starts_with(expected));
    }
    sandbox.stop().await;
}
