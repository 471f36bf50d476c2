//! What a server does not offer: nobody's message is changed in silence.

use queue::{Message, Outcome};
use smtp::{BodyType, Notify, Ret};

use super::body::Pieces;
use super::fixture::{HELLO, TAKEN, attempt, attempt_with, lane, message, named, outcome, script, settings, transport};
use super::server::Server;

/// Nothing but ESMTP.
const BARE: &str = "
S: 220 old.test
C: EHLO relay.test
S: 250 old.test";

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
    assert_eq!(lane(&report), if mail.is_empty() { "neutral" } else { "healthy" });
    assert_eq!(report.messages, u32::from(!mail.is_empty()));
    report.notes
}

/// Sends this text, with what would have been found in it.
async fn sent(hello: &str, text: &'static str, change: impl FnOnce(&mut Message)) -> (queue::AttemptReport, String) {
    let mut message = anna();
    let mut scanner = message::Scanner::new(message::ScanLimits::default(), "relay.test");
    scanner.push(text.as_bytes()).unwrap();
    (message.header, message.content) = scanner.finish();
    message.size = text.len() as u64;
    change(&mut message);
    let server = Server::start(&[script(&[hello, TAKEN])]).await;
    let transport = transport(settings(server.address));
    let report = attempt_with(&transport, &message, Pieces::of(&[text])).await;
    drop(transport);
    let content = if report.messages == 0 { String::new() } else { text_of(&server.followed().await[0]) };
    (report, content)
}

fn text_of(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

const GREETINGS: &str = "From: <printer@contoso.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
    Message-ID: <1@contoso.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\nViele Grüße aus dem Lager in der Stadt\r\n";

#[tokio::test]
async fn eight_bit_content_goes_as_it_is_with_8bitmime_and_encoded_without() {
    let (report, content) = sent(HELLO, GREETINGS, |_| {}).await;
    assert_eq!((named(&report, 0).as_str(), report.notes.len()), ("handed over", 0), "{report:?}");
    assert_eq!(content, format!("{GREETINGS}.\r\n"));
    let (report, content) = sent(BARE, GREETINGS, |_| {}).await;
    assert_eq!(named(&report, 0), "handed over", "{report:?}");
    assert!(
        content.is_ascii() && content.contains("\r\nViele Gr=C3=BC=C3=9Fe aus dem Lager in der Stadt\r\n"),
        "{content}"
    );
    assert!(content.contains("Content-Transfer-Encoding: quoted-printable\r\n"), "{content}");
    assert!(report.notes.iter().any(|note| note.contains("quoted-printable")), "{report:?}");
    // Declared, but not so: it can go as it is.
    let declared = Message { body: BodyType::EightBitMime, ..anna() };
    let notes = check(BARE, &declared, "printer@contoso.test>", &["handed over"]).await;
    assert_eq!(notes, ["BODY=8BITMIME left out: the message is 7-bit"]);
}

#[tokio::test]
async fn what_is_signed_is_not_encoded_for_a_server_that_lacks_8bitmime_but_returned() {
    const SIGNED: &str = "DKIM-Signature: v=1; a=rsa-sha256; d=contoso.test; s=s; h=from; bh=eA==; b=eA==\r\n\
        From: <printer@contoso.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <1@contoso.test>\r\n\
        MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n";
    let (report, _) = sent(BARE, SIGNED, |_| {}).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("bounced 5.6.3", "neutral"), "{report:?}");
    let (report, content) = sent(HELLO, SIGNED, |_| {}).await;
    assert_eq!((named(&report, 0).as_str(), report.notes.len()), ("handed over", 0), "{report:?}");
    assert_eq!(content, format!("{SIGNED}.\r\n"));
    // It is broken anyway: From must become ASCII.
    let broken: &'static str = Box::leak(SIGNED.replace("From: <", "From: Büro <").into_boxed_str());
    let (report, content) = sent(BARE, broken, |_| {}).await;
    assert_eq!((named(&report, 0).as_str(), content.is_ascii()), ("handed over", true), "{report:?}");
    let noted = "no longer holds: DKIM-Signature of contoso.test (from was changed)";
    assert!(report.notes.iter().any(|note| note == noted), "{report:?}");
}

#[tokio::test]
async fn header_sections_in_utf_8_are_encoded_where_smtputf8_was_not_asked_for_or_is_not_offered() {
    const UTF8: &str = "From: Grüße <printer@contoso.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
        Message-ID: <1@contoso.test>\r\nSubject: Tönér\r\n\r\nText\r\n";
    let without = HELLO.replace("S: 250-SMTPUTF8\n", "");
    for (hello, asked, plain) in
        [(HELLO, true, false), (HELLO, false, true), (&*without, true, true), (BARE, false, true)]
    {
        let (report, content) = sent(hello, UTF8, |message| message.smtputf8 = asked).await;
        assert_eq!(named(&report, 0), "handed over", "{report:?}");
        assert_eq!(content.is_ascii(), plain, "{content}");
        if !plain {
            assert_eq!(content, format!("{UTF8}.\r\n"));
        }
    }
}

#[tokio::test]
async fn addresses_in_utf_8_need_smtputf8() {
    let to_both = Message { smtputf8: true, ..message(&["anna@contoso.test", "jörg@contoso.test"]) };
    let from = Message { smtputf8: true, reverse_path: "jörg@contoso.test".parse().unwrap(), ..anna() };
    let without = HELLO.replace("S: 250-SMTPUTF8\n", "");
    let notes = check(HELLO, &from, "jörg@contoso.test> SIZE=147 SMTPUTF8", &["handed over"]).await;
    assert!(notes.is_empty(), "{notes:?}");
    check(&without, &from, "", &["bounced 5.6.7"]).await;
    // Only the recipient who needs it is lost.
    check(&without, &to_both, "printer@contoso.test> SIZE=147", &["handed over", "bounced 5.6.7"]).await;
    // Asked for and not needed: not asked for onwards.
    let needless = Message { smtputf8: true, ..anna() };
    let notes = check(&without, &needless, "printer@contoso.test> SIZE=147", &["handed over"]).await;
    assert_eq!(notes, ["SMTPUTF8 left out: nothing there needs it"]);
}

#[tokio::test]
async fn a_message_larger_than_the_server_takes_is_not_sent() {
    let tight = HELLO.replace("SIZE 1000000", "SIZE 146");
    check(&tight, &anna(), "", &["bounced 5.3.4"]).await;
    let no_limit = HELLO.replace("SIZE 1000000", "SIZE 0");
    check(&no_limit, &anna(), "printer@contoso.test> SIZE=147", &["handed over"]).await;
}

#[tokio::test]
async fn what_smtp_does_not_carry_is_encoded_and_decodes_to_the_same_octets() {
    const BROKEN: &str = "From: <printer@contoso.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
        Message-ID: <1@contoso.test>\r\n\r\none\ntwo\0\r\n.\nthree\r\n";
    let (report, content) = sent(HELLO, BROKEN, |message| message.body = BodyType::BinaryMime).await;
    assert_eq!(named(&report, 0), "handed over", "{report:?}");
    let unstuffed = content.strip_suffix(".\r\n").unwrap().replace("\r\n..", "\r\n.");
    let parsed = mail_parser::MessageParser::default().parse(unstuffed.as_bytes()).unwrap();
    assert_eq!(parsed.body_text(0).unwrap(), "one\ntwo\0\r\n.\nthree\r\n", "{content}");
    assert!(!content.replace("\r\n", "").contains(['\r', '\n', '\0']), "{content:?}");
    assert!(content.contains("MIME-Version: 1.0\r\n"), "{content}");
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
C: MAIL FROM:<printer@contoso.test> SIZE=147 SMTPUTF8 RET=FULL
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
async fn a_message_without_an_id_or_a_date_gets_the_same_ones_every_time_and_their_octets_are_counted() {
    const NAMELESS: &str = "From: <printer@contoso.test>\r\nSubject: x\r\n\r\nText\r\n";
    let mut contents = Vec::new();
    for _ in 0..2 {
        let (report, content) = sent(HELLO, NAMELESS, |_| {}).await;
        assert_eq!(named(&report, 0), "handed over");
        contents.push(content);
    }
    assert_eq!(contents[0], contents[1]);
    let id = format!("Message-ID: <{}@relay.test>\r\n", anna().id);
    assert!(contents[0].contains(&id) && contents[0].contains("Date: Thu, "), "{}", contents[0]);
    let tight = HELLO.replace("SIZE 1000000", &format!("SIZE {}", contents[0].len() - 4));
    assert_eq!(named(&sent(&tight, NAMELESS, |_| {}).await.0, 0), "bounced 5.3.4");
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
        .replace("<printer@contoso.test>*", "<printer@contoso.test> SIZE=147 SMTPUTF8")
        .replace("<anna@contoso.test>*", "<anna@contoso.test> ORCPT=utf-8;jörg@example.test");
    let without = TAKEN
        .replace("<printer@contoso.test>*", "<printer@contoso.test> SIZE=147")
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

#[tokio::test]
async fn a_header_section_too_long_to_be_signed_is_returned_and_does_not_rest_the_lane() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    dkim::write_new(&file, &dkim::generate(dkim::Algorithm::Ed25519Sha256, 0).unwrap()).unwrap();
    let (domain, selector) = ("contoso.test".parse().unwrap(), "s".parse().unwrap());
    let keys = dkim::Keys::load(&[dkim::KeySettings { domain, selector, file, sign: true, seal: false }]).unwrap();
    let text: &'static str =
        Box::leak(format!("{}{}", format!("X: {}\r\n", "x ".repeat(400)).repeat(1_400), GREETINGS).into_boxed_str());
    let server = Server::start(&[script(&[HELLO])]).await;
    let settings = crate::SmtpSettings { keys: Some(std::sync::Arc::new(keys)), ..settings(server.address) };
    let mut message = anna();
    message.size = text.len() as u64;
    let report = attempt_with(&transport(settings), &message, Pieces::of(&[text])).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("bounced 5.6.3", "neutral"), "{report:?}");
}
