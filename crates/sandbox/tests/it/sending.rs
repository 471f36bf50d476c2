//! Who may sign in, who may send as whom, and what is kept of a message.

use std::time::Duration;

use posthouse_sandbox::{App, Mailbox, Sandbox};

use crate::talk::{Talk, start, token};

async fn greeted(sandbox: &Sandbox) -> Talk {
    let mut talk = Talk::encrypted(sandbox.endpoints()).await;
    talk.say("EHLO relay.test").await;
    talk
}

#[tokio::test]
async fn a_token_signs_in_to_a_mailbox_until_it_expires() {
    let sandbox = start().await;
    let token = token(&sandbox).await;
    assert!(token.len() > 512, "as long as real ones");
    assert_eq!(
        greeted(&sandbox).await.xoauth2("relay@contoso.test", &token).await,
        "235 2.7.0 Authentication successful"
    );
    sandbox.advance(Duration::from_secs(3598));
    assert!(greeted(&sandbox).await.xoauth2("relay@contoso.test", &token).await.starts_with("235 "));
    sandbox.advance(Duration::from_secs(1));
    let refusal = greeted(&sandbox).await.xoauth2("relay@contoso.test", &token).await;
    assert!(
        refusal.starts_with("535 5.7.3 Authentication unsuccessful [SBX0PR01CA0001.outlook.office365.com "),
        "{refusal}"
    );
    assert_eq!(sandbox.statistics().refusals["535 5.7.3"], 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_token_is_no_good_for_a_mailbox_without_right_switch_or_existence() {
    let sandbox = start().await;
    let token = token(&sandbox).await;
    sandbox.change_tenant(|tenant| {
        let without_right = Mailbox { apps: Some(vec!["another".to_owned()]), ..Mailbox::new("a@contoso.test") };
        let switched_off = Mailbox { smtp_auth: Some(false), ..Mailbox::new("b@contoso.test") };
        tenant.mailboxes.extend([without_right, switched_off]);
    });
    for (user, token, reply) in [
        ("a@contoso.test", token.as_str(), "535 5.7.3 Authentication unsuccessful ["),
        ("nobody@contoso.test", &token, "535 5.7.3 Authentication unsuccessful ["),
        ("relay@contoso.test", "not.a.token", "535 5.7.3 Authentication unsuccessful ["),
        (
            "b@contoso.test",
            &token,
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox",
        ),
    ] {
        let refusal = greeted(&sandbox).await.xoauth2(user, token).await;
        assert!(refusal.starts_with(reply), "{user}: {refusal}");
    }
    sandbox.change_tenant(|tenant| tenant.apps[0] = App::default());
    let refusal = greeted(&sandbox).await.xoauth2("relay@contoso.test", &token).await;
    assert!(refusal.starts_with("535 5.7.3"), "{refusal}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_malformed_answer_to_auth_gets_the_reply_that_hides_it() {
    let sandbox = start().await;
    let mut talk = greeted(&sandbox).await;
    assert_eq!(
        talk.say("AUTH XOAUTH2 bm9uc2Vuc2U=").await,
        "451 4.7.0 Temporary server error. Please try again later. PRX4"
    );
    assert_eq!(talk.say("AUTH LOGIN ***").await, "451 4.7.0 Temporary server error. Please try again later. PRX4");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_taken_afterwards() {
    let sandbox = start().await;
    let mut talk = greeted(&sandbox).await;
    let refusal = talk.try_login("relay@contoso.test", "wrong").await;
    assert!(
        refusal.starts_with("535 5.7.139 Authentication unsuccessful, the user credentials were incorrect"),
        "{refusal}"
    );
    assert_eq!(talk.try_login("relay@contoso.test", "relay-password").await, "235 2.7.0 Authentication successful");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_mailbox_sends_as_itself_its_grants_and_nobody_else() {
    let sandbox = start().await;
    let endpoints = sandbox.endpoints();
    let mut billing = Talk::login(endpoints, "billing@contoso.test", "billing-password").await;
    let mut send =
        async |header: &str| billing.send("x@y.test", &["bob@example.com"], &format!("{header}\r\n\r\nhello")).await;
    assert!(send("From: Billing <billing@contoso.test>").await.starts_with("250 2.0.0 OK <"));
    for header in [
        "From: relay@contoso.test",
        "From: invoices@contoso.test",
        "From: billing@contoso.test\r\nSender: relay@contoso.test",
        "From: =?utf-8?q?billing=40contoso=2Etest?= <relay@contoso.test>",
        "From: billing@contoso.test, relay@contoso.test\r\nSender: billing@contoso.test",
    ] {
        let refusal = send(header).await;
        assert!(
            refusal.starts_with("554 5.2.252 SendAsDenied; billing@contoso.test not allowed to send as "),
            "{refusal}"
        );
        assert!(refusal.contains("STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"));
    }
    assert_eq!(
        send("From: billing@contoso.test, relay@contoso.test").await,
        "550 5.1.20 Multiple From addresses are not allowed"
    );
    sandbox.change_tenant(|tenant| tenant.send_from_alias = true);
    assert!(send("From: invoices@contoso.test").await.starts_with("250 "));
    sandbox.change_tenant(|tenant| tenant.mailboxes[1].send_as.push("relay@contoso.test".to_owned()));
    assert!(send("From: relay@contoso.test").await.starts_with("250 "));
    assert_eq!(sandbox.messages_of("billing@contoso.test").len(), 3);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_mailbox_that_looks_at_the_reverse_path_refuses_a_foreign_one_at_mail_and_is_not_blocked_for_it() {
    const REFUSED: &str = "550 5.7.60 SMTP; Client does not have permissions to send as this sender";
    let sandbox = start().await;
    let mut billing = Talk::login(sandbox.endpoints(), "billing@contoso.test", "billing-password").await;
    assert_eq!(billing.say("MAIL FROM:<relay@contoso.test>").await, "250 2.1.0 Sender OK", "unless told to look");
    billing.say("RSET").await;
    sandbox.change_tenant(|tenant| {
        tenant.limits.refusals_until_block = 2;
        tenant.mailboxes[1].checks_reverse_path = true;
    });
    for foreign in ["relay@contoso.test", "invoices@contoso.test", "x@y.test"] {
        assert_eq!(billing.say(&format!("MAIL FROM:<{foreign}>")).await, REFUSED);
        assert_eq!(billing.say("RCPT TO:<bob@example.com>").await, "503 5.5.2 Need mail command");
    }
    assert_eq!(sandbox.statistics().refusals["550 5.7.60"], 3);
    for own in ["", "Billing@contoso.test"] {
        let reply = billing.send(own, &["bob@example.com"], "From: billing@contoso.test\r\n\r\nhello").await;
        assert!(reply.starts_with("250 "), "{own}: {reply}");
    }
    sandbox.change_tenant(|tenant| {
        tenant.send_from_alias = true;
        tenant.mailboxes[1].send_as.push("relay@*".to_owned());
    });
    for granted in ["relay@contoso.test", "invoices@contoso.test"] {
        let reply = billing.send(granted, &["bob@example.com"], "From: billing@contoso.test\r\n\r\nhello").await;
        assert!(reply.starts_with("250 "), "{granted}: {reply}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn addresses_in_utf8_follow_the_same_rules() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    for (from, reply) in [("grüße@contoso.test", "250 2.0.0 OK <"), ("grüße@fabrikam.test", "554 5.2.252 SendAsDenied")]
    {
        assert_eq!(talk.say(&format!("MAIL FROM:<{from}> SMTPUTF8")).await, "250 2.1.0 Sender OK");
        assert_eq!(talk.say("RCPT TO:<käufer@bücher.example>").await, "250 2.1.5 Recipient OK");
        talk.say("DATA").await;
        let got = talk.say(&format!("From: Bücherstube <{from}>\r\n\r\nSchöne Grüße!\r\n.")).await;
        assert!(got.starts_with(reply), "{got}");
    }
    assert_eq!(sandbox.messages_for("käufer@bücher.example").len(), 1);
    assert!(sandbox.messages()[0].parameters.smtputf8);
    sandbox.stop().await;
}

#[tokio::test]
async fn continuous_send_as_denials_block_the_mailbox_for_a_while() {
    let sandbox = start().await;
    let mut billing = Talk::login(sandbox.endpoints(), "billing@contoso.test", "billing-password").await;
    for _ in 0..10 {
        let refusal = billing.send("x@y.test", &["bob@example.com"], "From: ceo@contoso.test\r\n\r\nhello").await;
        assert!(refusal.starts_with("554 5.2.252 SendAsDenied"), "{refusal}");
    }
    let mut send =
        async || billing.send("x@y.test", &["bob@example.com"], "From: billing@contoso.test\r\n\r\nhello").await;
    assert!(send().await.starts_with("550 5.2.252 Sender throttled due to continuous SendAsDenied errors"));
    for _ in 0..7 {
        sandbox.advance(Duration::from_secs(260));
        assert!(send().await.starts_with("5") || sandbox.messages().len() == 1);
    }
    assert_eq!(sandbox.messages().len(), 1, "after half an hour");
    sandbox.stop().await;
}

#[tokio::test]
async fn what_arrived_is_kept_with_envelope_parameters_and_both_ids() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    let before = sandbox.clock().now();
    assert_eq!(
        talk.say("MAIL FROM:<erp@contoso.test> SIZE=500 BODY=8BITMIME RET=HDRS ENVID=q1").await,
        "250 2.1.0 Sender OK"
    );
    assert_eq!(
        talk.say("RCPT TO:<bob@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@example.com").await,
        "250 2.1.5 Recipient OK"
    );
    assert_eq!(talk.say("RCPT TO:<eve@example.com> NOTIFY=NEVER").await, "250 2.1.5 Recipient OK");
    talk.say("DATA").await;
    let content = "From: erp@contoso.test\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <mine@erp>\r\n\r\n..dot\r\nlast\r\n";
    assert!(talk.say(&format!("{content}.")).await.starts_with("250 "));
    sandbox.arrived(1).await;
    let message = &sandbox.messages_for("EVE@example.com")[0];
    assert_eq!(message.mailbox.as_deref(), Some("relay@contoso.test"));
    assert_eq!(message.reverse_path, "erp@contoso.test");
    assert_eq!((message.hello.as_str(), message.subject.as_deref()), ("relay.test", Some("grüße")));
    assert!(message.tls.as_ref().unwrap().starts_with("TLSv1_3"));
    assert_eq!((message.parameters.size, message.parameters.envid.as_deref()), (Some(500), Some("q1")));
    assert_eq!(message.recipients[0].notify.as_deref(), Some("SUCCESS,FAILURE"));
    assert_eq!(message.recipients[0].orcpt.as_deref(), Some("rfc822;bob@example.com"));
    assert_eq!(message.recipients[1].notify.as_deref(), Some("NEVER"));
    assert_eq!(message.size, content.len() as u64 - 1);
    assert!(message.received_at >= before);
    assert_eq!(message.original_message_id.as_deref(), Some("<mine@erp>"));
    let raw = String::from_utf8(message.raw().unwrap()).unwrap();
    assert!(raw.contains(&format!("\r\nMessage-ID: <{}>\r\n", message.message_id.as_ref().unwrap())), "{raw}");
    assert!(raw.contains("\r\nX-Microsoft-Original-Message-ID: <mine@erp>\r\n"), "{raw}");
    assert!(raw.starts_with("Received: from relay.test") && raw.ends_with("\r\n\r\n.dot\r\nlast\r\n"), "{raw}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_of_20_mb_arrives_whole_by_data_and_by_bdat() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    let line = format!("{}\r\n", "0123456789abcdef".repeat(4));
    let body = line.repeat(20 * 1024 * 1024 / line.len());
    let content = format!("From: relay@contoso.test\r\n\r\n{body}");
    assert!(talk.send("relay@contoso.test", &["bob@example.com"], content.trim_end()).await.starts_with("250 "));
    talk.say("MAIL FROM:<relay@contoso.test>").await;
    talk.say("RCPT TO:<bob@example.com>").await;
    talk.write(format!("BDAT {} LAST\r\n{content}", content.len()).as_bytes()).await;
    assert!(talk.hear().await.starts_with("250 2.0.0 OK <"));
    for message in sandbox.messages() {
        assert_eq!(message.size, content.len() as u64);
        assert!(message.raw().unwrap().ends_with(body.as_bytes()));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        let digest: String = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(message.body_sha256, digest);
    }
    assert_eq!(sandbox.messages().len(), 2);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_cut_off_leaves_nothing_behind() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    talk.say("MAIL FROM:<relay@contoso.test>").await;
    talk.say("RCPT TO:<bob@example.com>").await;
    talk.say("DATA").await;
    talk.write(b"From: relay@contoso.test\r\n\r\nhalf").await;
    drop(talk);
    let mut talk = Talk::relay(&sandbox).await;
    assert!(talk.send_to("bob@example.com").await.starts_with("250 "));
    assert_eq!(sandbox.messages().len(), 1);
    sandbox.stop().await;
}
