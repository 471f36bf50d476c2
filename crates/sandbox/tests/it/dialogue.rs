//! Transcripts of the submission endpoint, line for line as Exchange Online says them.

use std::time::Duration;

use posthouse_sandbox::Settings;

use crate::talk::{Talk, start};

const HOST: &str = "SBX0PR01CA0001.outlook.office365.com";

#[tokio::test]
async fn the_dialogue_before_and_after_starttls_is_exchanges() {
    let sandbox = start().await;
    let mut talk = Talk::connect(sandbox.endpoints().submission).await;
    let greeting = talk.hear().await;
    let rest = greeting.strip_prefix(&format!("220 {HOST} Microsoft ESMTP MAIL Service ready at ")).unwrap();
    assert!(rest.contains(" +0000 [08DD") && rest.ends_with(']'), "{greeting}");
    assert_eq!(
        talk.say("EHLO relay.contoso.test").await,
        format!(
            "250-{HOST} Hello [127.0.0.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-DSN\r\n\
             250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250 SMTPUTF8"
        )
    );
    assert_eq!(talk.say("MAIL FROM:<relay@contoso.test>").await, "530 5.7.0 Must issue a STARTTLS command first");
    assert_eq!(talk.say("AUTH LOGIN").await, "530 5.7.0 Must issue a STARTTLS command first");
    assert_eq!(talk.say("STARTTLS").await, "220 2.0.0 SMTP server ready");

    let mut talk = Talk::encrypted(sandbox.endpoints()).await;
    assert_eq!(talk.say("MAIL FROM:<relay@contoso.test>").await, "503 5.5.2 Send hello first");
    assert_eq!(
        talk.say("EHLO relay.contoso.test").await,
        format!(
            "250-{HOST} Hello [127.0.0.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-DSN\r\n\
             250-ENHANCEDSTATUSCODES\r\n250-AUTH LOGIN XOAUTH2\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n\
             250 SMTPUTF8"
        )
    );
    let refusal = talk.say("MAIL FROM:<relay@contoso.test>").await;
    assert!(refusal.starts_with(&format!("530 5.7.57 Client not authenticated to send mail. [{HOST} ")), "{refusal}");
    assert_eq!(talk.say("AUTH PLAIN AGEAYg==").await, "504 5.7.4 Unrecognized authentication type");
    assert_eq!(talk.say("AUTH CRAM-MD5").await, "504 5.7.4 Unrecognized authentication type");
    assert_eq!(talk.say("FROB").await, "500 5.3.3 Unrecognized command");
    assert_eq!(talk.say("QUIT").await, "221 2.0.0 Service closing transmission channel");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_transaction_has_exchanges_replies_and_a_new_message_id() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    assert_eq!(talk.say("DATA").await, "503 5.5.2 Need mail command");
    assert_eq!(talk.say("MAIL FROM:<relay@contoso.test> SIZE=100").await, "250 2.1.0 Sender OK");
    assert_eq!(talk.say("DATA").await, "503 5.5.2 Need rcpt command");
    assert_eq!(talk.say("RCPT TO:<bob@example.com>").await, "250 2.1.5 Recipient OK");
    assert_eq!(talk.say("DATA").await, "354 Start mail input; end with <CRLF>.<CRLF>");
    let reply = talk.say("From: relay@contoso.test\r\n\r\nhello\r\n.").await;
    let id = reply.strip_prefix("250 2.0.0 OK <").unwrap().split_once('>').unwrap();
    assert!(id.0.ends_with("@SBX0PR01MB0001.sandbox.PROD.OUTLOOK.COM"), "{reply}");
    assert_eq!(id.1, " [Hostname=SBX0PR01MB0001.sandbox.PROD.OUTLOOK.COM]");
    assert_eq!(sandbox.messages()[0].message_id.as_deref(), Some(id.0));
    sandbox.stop().await;
}

#[tokio::test]
async fn ehlo_needs_a_host_name() {
    let sandbox = start().await;
    let mut talk = Talk::connect(sandbox.endpoints().submission).await;
    talk.hear().await;
    for name in ["under_score", "a..b", "bücher.test"] {
        assert_eq!(talk.say(&format!("EHLO {name}")).await, "501 5.5.4 Invalid domain name", "{name}");
    }
    assert_eq!(talk.say("HELO relay").await, format!("250 {HOST} Hello [127.0.0.1]"));
    sandbox.stop().await;
}

#[tokio::test]
async fn an_idle_session_is_closed_after_five_minutes_of_the_virtual_clock() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    sandbox.advance(Duration::from_secs(299));
    assert_eq!(talk.say("NOOP").await, "250 2.0.0 OK");
    sandbox.advance(Duration::from_secs(301));
    assert_eq!(talk.hear().await, "421 4.4.1 Connection timed out. Total session duration: 00:10:00");
    assert_eq!(talk.hear().await, "");
    sandbox.stop().await;
}

#[tokio::test]
async fn more_sessions_than_there_are_places_are_turned_away() {
    let settings = Settings { sessions: 1, ..Settings::default() };
    let sandbox = posthouse_sandbox::Sandbox::start(settings).await.unwrap();
    let mut first = Talk::connect(sandbox.endpoints().submission).await;
    first.hear().await;
    let refusal = Talk::connect(sandbox.endpoints().submission).await.hear().await;
    assert!(refusal.starts_with("421 4.3.2 The maximum number of concurrent connections"), "{refusal}");
    sandbox.stop().await;
}

#[tokio::test]
async fn stopping_tells_idle_sessions() {
    let sandbox = start().await;
    let mut talk = Talk::relay(&sandbox).await;
    sandbox.stop().await;
    assert_eq!(talk.hear().await, "421 4.3.2 Service not active");
}

#[tokio::test]
async fn the_smart_host_takes_everything_without_tls_and_auth() {
    let settings = Settings { smart_host: Some("127.0.0.1:0".parse().unwrap()), ..Settings::default() };
    let sandbox = posthouse_sandbox::Sandbox::start(settings).await.unwrap();
    let mut talk = Talk::connect(sandbox.endpoints().smart_host.unwrap()).await;
    talk.hear().await;
    let hello = talk.say("EHLO under_score").await;
    assert!(!hello.contains("STARTTLS") && !hello.contains("AUTH"), "{hello}");
    let content = "From: anybody@nowhere.test\r\nMessage-ID: <kept@x>\r\n\r\nhello";
    assert_eq!(talk.send("", &["bob@example.com"], content).await, "250 2.0.0 OK");
    let message = &sandbox.messages()[0];
    assert_eq!((message.mailbox.as_deref(), message.reverse_path.as_str()), (None, ""));
    assert_eq!(message.raw().unwrap(), format!("{content}\r\n").as_bytes());
    sandbox.stop().await;
}
