//! What a server does not offer: nobody's message is changed in silence.

use message::ContentFacts;
use queue::{Message, Outcome};
use smtp::{BodyType, Notify, Ret};

use super::fixture::{HELLO, TAKEN, attempt, lane, message, named, outcome, script, settings, transport};
use super::server::Server;

/// Nothing but ESMTP.
const BARE: &str = "
S: 220 old.test
C: EHLO relay.test
S: 250 old.test";

fn eight_bit(message: Message) -> Message {
    Message { content: ContentFacts { eight_bit_body: true, ..message.content }, ..message }
}

fn anna() -> Message {
    message(&["anna@contoso.test"])
}

async fn check(hello: &str, message: &Message, mail: &str, wanted: &[&str]) -> Vec<String> {
    let taken = TAKEN.replacen("C: MAIL FROM:<printer@contoso.test>*", &format!("C: MAIL FROM:<{mail}"), 1);
    let taken = if mail.is_empty() { String::new() } else { taken };
    let server = Server::start(&[script(&[hello, &taken])]).await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, message).await;
    drop(transport);
    server.followed().await;
    for (recipient, wanted) in wanted.iter().enumerate() {
        assert_eq!(named(&report, recipient as u32), *wanted, "{report:?}");
    }
    assert_eq!(lane(&report), "healthy");
    assert_eq!(report.messages, u32::from(!mail.is_empty()));
    report.notes
}

#[tokio::test]
async fn eight_bit_content_needs_8bitmime() {
    check(HELLO, &eight_bit(anna()), "printer@contoso.test> SIZE=49 BODY=8BITMIME", &["handed over"]).await;
    check(BARE, &eight_bit(anna()), "", &["bounced 5.6.3"]).await;
    // Declared, but not so: it can go as it is.
    let declared = Message { body: BodyType::EightBitMime, ..anna() };
    let notes = check(BARE, &declared, "printer@contoso.test>", &["handed over"]).await;
    assert_eq!(notes, ["BODY=8BITMIME left out: the message is 7-bit"]);
    let needed = Message { body: BodyType::EightBitMime, ..eight_bit(anna()) };
    let notes = check(HELLO, &needed, "printer@contoso.test> SIZE=49 BODY=8BITMIME", &["handed over"]).await;
    assert!(notes.is_empty(), "{notes:?}");
    let header = ContentFacts { eight_bit_header: true, ..anna().content };
    check(BARE, &Message { content: header, ..anna() }, "", &["bounced 5.6.3"]).await;
}

#[tokio::test]
async fn addresses_and_header_sections_in_utf_8_need_smtputf8() {
    let to_both = Message { smtputf8: true, ..message(&["anna@contoso.test", "jörg@contoso.test"]) };
    let from = Message { smtputf8: true, reverse_path: "jörg@contoso.test".parse().unwrap(), ..anna() };
    let header = ContentFacts { eight_bit_header: true, ..anna().content };
    let header = Message { smtputf8: true, content: header, ..anna() };
    let without = HELLO.replace("S: 250-SMTPUTF8\n", "");

    let notes = check(HELLO, &from, "jörg@contoso.test> SIZE=49 SMTPUTF8", &["handed over"]).await;
    assert!(notes.is_empty(), "{notes:?}");
    check(&without, &from, "", &["bounced 5.6.7"]).await;
    check(&without, &header, "", &["bounced 5.6.7"]).await;
    // Only the recipient who needs it is lost.
    check(&without, &to_both, "printer@contoso.test> SIZE=49", &["handed over", "bounced 5.6.7"]).await;
    // Asked for and not needed: not asked for onwards.
    let needless = Message { smtputf8: true, ..anna() };
    let notes = check(&without, &needless, "printer@contoso.test> SIZE=49", &["handed over"]).await;
    assert_eq!(notes, ["SMTPUTF8 left out: nothing there needs it"]);
    // Not asked for, from a careless device: 8-bit, and left to the receiver.
    check(
        &without,
        &Message { smtputf8: false, ..header },
        "printer@contoso.test> SIZE=49 BODY=8BITMIME",
        &["handed over"],
    )
    .await;
}

#[tokio::test]
async fn a_message_larger_than_the_server_takes_is_not_sent() {
    check(HELLO, &Message { size: 1_000_001, ..anna() }, "", &["bounced 5.3.4"]).await;
    let no_limit = HELLO.replace("SIZE 1000000", "SIZE 0");
    check(&no_limit, &Message { size: 1_000_001, ..anna() }, "printer@contoso.test> SIZE=1000001", &["handed over"])
        .await;
}

#[tokio::test]
async fn a_binary_message_goes_as_text_if_it_is_text() {
    let binary = Message { body: BodyType::BinaryMime, ..eight_bit(anna()) };
    let notes = check(HELLO, &binary, "printer@contoso.test> SIZE=49 BODY=8BITMIME", &["handed over"]).await;
    assert_eq!(notes, ["BODY=BINARYMIME left out: the message is text, and went as such"]);
    for content in [
        ContentFacts { nul: true, ..binary.content },
        ContentFacts { bare_line_ends: true, ..binary.content },
        ContentFacts { longest_line: 999, ..binary.content },
    ] {
        check(HELLO, &Message { content, ..binary.clone() }, "", &["bounced 5.6.1"]).await;
    }
}

#[tokio::test]
async fn dsn_is_passed_on_where_it_is_offered_and_left_out_where_not() {
    let mut asking = Message { ret: Some(Ret::Hdrs), envid: Some("QQ314159".to_owned().try_into().unwrap()), ..anna() };
    asking.recipients[0].notify = Some(Notify { success: true, failure: true, delay: false });
    asking.recipients[0].orcpt = Some("rfc822;anna@example.test".to_owned().try_into().unwrap());
    let server = Server::start(&[script(&[
        HELLO,
        &TAKEN.replace(
            "RCPT TO:<anna@contoso.test>*",
            "RCPT TO:<anna@contoso.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;anna@example.test",
        ),
    ])])
    .await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, &asking).await;
    assert_eq!((named(&report, 0).as_str(), report.notes.len()), ("handed over", 0));
    assert!(notifies(&report, 0));
    drop(transport);
    server.followed().await;
    let notes = check(BARE, &asking, "printer@contoso.test>", &["handed over"]).await;
    let left_out = "RET, ENVID, NOTIFY, ORCPT left out: 127.0.0.1 does not offer DSN, so reports may not come";
    assert_eq!(notes, [left_out]);
}

#[tokio::test]
async fn who_sees_to_notifications_is_told_for_each_recipient() {
    let mut asking = message(&["anna@contoso.test", "be+rt=x@contoso.test", "carl@contoso.test", "jörg@contoso.test"]);
    (asking.smtputf8, asking.ret) = (true, Some(Ret::Full));
    for (recipient, success, failure) in [(0, false, false), (1, false, true), (3, true, false)] {
        asking.recipients[recipient].notify = Some(Notify { success, failure, delay: false });
    }
    // The address as the client gave it goes along where somebody will be notified.
    let rcpt = "
C: MAIL FROM:<printer@contoso.test> SIZE=49 SMTPUTF8 RET=FULL
C: RCPT TO:<anna@contoso.test> NOTIFY=NEVER
C: RCPT TO:<be+rt=x@contoso.test> NOTIFY=FAILURE ORCPT=rfc822;be+2Brt+3Dx@contoso.test
C: RCPT TO:<carl@contoso.test>
C: RCPT TO:<jörg@contoso.test> NOTIFY=SUCCESS
C: DATA
S: 250 2.1.0 OK
S: 250 2.1.5 OK
S: 250 2.1.5 OK
S: 250 2.1.5 OK
S: 250 2.1.5 OK
S: 354 Go on
CONTENT
S: 250 2.0.0 OK";
    for (hello, told) in
        [(HELLO.to_owned(), [true, true, false, true]), (HELLO.replace("S: 250-DSN\n", ""), [false; 4])]
    {
        let without = [" RET=FULL", " NOTIFY=NEVER", " NOTIFY=FAILURE", " NOTIFY=SUCCESS"];
        let without = without.iter().fold(rcpt.to_owned(), |play, words| play.replace(words, ""));
        let without = without.replace(" ORCPT=rfc822;be+2Brt+3Dx@contoso.test", "");
        let play = if told[0] { rcpt } else { &without };
        let server = Server::start(&[script(&[&hello, play])]).await;
        let transport = transport(settings(server.address));
        let report = attempt(&transport, &asking).await;
        for (recipient, told) in told.into_iter().enumerate() {
            assert_eq!(named(&report, recipient as u32), "handed over", "{report:?}");
            assert_eq!(notifies(&report, recipient as u32), told, "{recipient}: {report:?}");
        }
        drop(transport);
        server.followed().await;
    }
}

#[tokio::test]
async fn a_message_without_an_id_gets_one_and_its_octets_are_counted() {
    let mut nameless = anna();
    nameless.header.message_id = None;
    let field = format!("Message-ID: <{}@relay.test>\r\n", nameless.id);
    let size = nameless.size + field.len() as u64;
    let mail =
        TAKEN.replace("MAIL FROM:<printer@contoso.test>*", &format!("MAIL FROM:<printer@contoso.test> SIZE={size}"));
    let server = Server::start(&[script(&[HELLO, &mail, &mail])]).await;
    let transport = transport(settings(server.address));
    for _ in 0..2 {
        assert_eq!(named(&attempt(&transport, &nameless).await, 0), "handed over");
    }
    drop(transport);
    let contents = server.followed().await;
    assert_eq!(contents[0], contents[1]);
    let text = super::fixture::TEXT.replace("\r\n.\r\n", "\r\n..\r\n");
    assert_eq!(String::from_utf8_lossy(&contents[0]), format!("{field}{text}.\r\n"));
    // With them it may be too large.
    let tight = HELLO.replace("SIZE 1000000", &format!("SIZE {}", size - 1));
    check(&tight, &nameless, "", &["bounced 5.3.4"]).await;
}

/// Whether the next hop was told who wants which notifications.
fn notifies(report: &queue::AttemptReport, recipient: u32) -> bool {
    matches!(outcome(report, recipient), Outcome::HandedOver { notifies: true, .. })
}

#[tokio::test]
async fn an_original_recipient_in_utf_8_goes_only_with_smtputf8() {
    let mut asking = Message { smtputf8: true, ..anna() };
    asking.recipients[0].orcpt = Some("utf-8;jörg@example.test".to_owned().try_into().unwrap());
    let with = TAKEN
        .replace("<printer@contoso.test>*", "<printer@contoso.test> SIZE=49 SMTPUTF8")
        .replace("<anna@contoso.test>*", "<anna@contoso.test> ORCPT=utf-8;jörg@example.test");
    let without = TAKEN
        .replace("<printer@contoso.test>*", "<printer@contoso.test> SIZE=49")
        .replace("<anna@contoso.test>*", "<anna@contoso.test>");
    for (hello, taken, notes) in [
        (HELLO.to_owned(), with, &[][..]),
        (
            HELLO.replace("S: 250-SMTPUTF8\n", ""),
            without,
            &[
                "SMTPUTF8 left out: nothing there needs it",
                "ORCPT left out where it is not ASCII: the message goes without SMTPUTF8",
            ][..],
        ),
    ] {
        let server = Server::start(&[script(&[&hello, &taken])]).await;
        let transport = transport(settings(server.address));
        let report = attempt(&transport, &asking).await;
        drop(transport);
        server.followed().await;
        assert_eq!(named(&report, 0), "handed over");
        assert_eq!(report.notes, notes);
    }
}
