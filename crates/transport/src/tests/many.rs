//! More recipients than a server takes at once.

use queue::{Message, Outcome, RecipientState};

use super::body::{Endless, Pieces};
use super::fixture::{
    HEADER, HELLO, TEXT, attempt, attempt_journalled, attempt_with, lane, message, named, outcome, script, settings,
    transport,
};
use super::journal::Notes;
use super::server::Server;
use crate::SmtpKind;

const NAMES: [&str; 4] = ["anna@contoso.test", "bert@contoso.test", "carl@contoso.test", "dora@contoso.test"];

fn four() -> Message {
    message(&NAMES)
}

/// A pipelined transaction: each recipient with its reply, then the rest.
fn transaction(recipients: &[(&str, &str)], end: &str) -> String {
    let mut lines = vec!["C: MAIL FROM:<printer@contoso.test>*".to_owned()];
    lines.extend(recipients.iter().map(|(name, _)| format!("C: RCPT TO:<{name}@contoso.test>*")));
    lines.push("C: DATA\nS: 250 2.1.0 OK".to_owned());
    lines.extend(recipients.iter().map(|(_, reply)| format!("S: {reply}")));
    lines.push(format!("S: 354 Go on\nCONTENT\nS: {end}"));
    lines.join("\n")
}

const OK: &str = "250 2.1.5 OK";
const TAKEN: &str = "250 2.0.0 Ok: queued as 4B3C9120F7";
const TOO_MANY: &str = "452 4.5.3 Too many recipients";

const REFUSED: &str = "550 5.5.3 Too many recipients";
const IN_TWO: &str = "sent in 2 transactions: too many recipients for one";

async fn all_handed_over(kind: SmtpKind, play: &[&str], notes: &[&str]) {
    let server = Server::start(&[script(play)]).await;
    let transport = transport(crate::SmtpSettings { kind, ..settings(server.address) });
    let report = attempt(&transport, &four()).await;
    for recipient in 0..4 {
        assert_eq!(named(&report, recipient), "handed over", "{report:?}");
    }
    assert_eq!(lane(&report), "healthy");
    assert_eq!(report.notes, notes);
    drop(transport);
    for content in server.followed().await {
        assert_eq!(content.len(), TEXT.len() + 4);
    }
}

#[tokio::test]
async fn recipients_beyond_rcptmax_get_a_transaction_of_their_own() {
    let hello = HELLO.replace("S: 250-DSN", "S: 250-LIMITS RCPTMAX=3");
    let first = transaction(&[("anna", OK), ("bert", OK), ("carl", OK)], TAKEN);
    all_handed_over(SmtpKind::Smarthost, &[&hello, &first, &transaction(&[("dora", OK)], TAKEN)], &[IN_TWO]).await;
}

#[tokio::test]
async fn recipients_refused_for_their_number_get_a_transaction_of_their_own() {
    let first = transaction(&[("anna", OK), ("bert", OK), ("carl", TOO_MANY), ("dora", TOO_MANY)], TAKEN);
    let second = transaction(&[("carl", OK), ("dora", OK)], TAKEN);
    for kind in [SmtpKind::Smarthost, SmtpKind::Submission] {
        all_handed_over(kind, &[HELLO, &first, &second], &[IN_TWO]).await;
    }
}

#[tokio::test]
async fn a_message_refused_for_its_recipients_number_is_sent_in_halves() {
    let all = NAMES.map(|name| (name.split('@').next().unwrap(), OK));
    let refused = transaction(&all, REFUSED);
    let halves = [transaction(&all[..2], TAKEN), transaction(&all[2..], TAKEN)];
    let note = format!("4 recipients at once were too many (the message was refused: {REFUSED}): sent in halves");
    all_handed_over(SmtpKind::Submission, &[HELLO, &refused, &halves[0], &halves[1]], &[&note, IN_TWO]).await;
}

#[tokio::test]
async fn a_single_recipient_is_never_too_many() {
    for (reply, wanted) in [(TOO_MANY, "deferred"), (REFUSED, "bounced 5.5.3")] {
        let play = transaction(&[("anna", reply)], TAKEN)
            .replace("S: 354 Go on\nCONTENT\n", "")
            .replace(TAKEN, "503 5.5.1 No");
        let server = Server::start(&[script(&[HELLO, &play])]).await;
        let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, ..settings(server.address) });
        let report = attempt(&transport, &message(&NAMES[..1])).await;
        assert_eq!(named(&report, 0), wanted, "{report:?}");
        drop(transport);
        server.followed().await;
    }
}

#[tokio::test]
async fn a_body_of_several_pieces_is_read_again_for_the_others() {
    let first = transaction(&[("anna", OK), ("bert", OK), ("carl", TOO_MANY), ("dora", TOO_MANY)], TAKEN);
    let second = transaction(&[("carl", OK), ("dora", OK)], TAKEN);
    let server = Server::start(&[script(&[HELLO, &first, &second])]).await;
    let transport = transport(settings(server.address));
    let report = attempt_with(&transport, &four(), Pieces::of(&[HEADER, "one\r\n", "two\r\n"])).await;
    let results: Vec<_> = (0..4).map(|recipient| named(&report, recipient)).collect();
    assert_eq!(results, ["handed over"; 4]);
    assert_eq!(lane(&report), "healthy");
    drop(transport);
    let contents = server.followed().await;
    assert_eq!(String::from_utf8_lossy(&contents[0]), format!("{HEADER}one\r\ntwo\r\n.\r\n"));
    assert_eq!(contents[0], contents[1]);
}

#[tokio::test]
async fn what_was_learnt_of_a_server_is_kept_for_the_next_attempt() {
    let all = NAMES.map(|name| (name.split('@').next().unwrap(), OK));
    let refused = transaction(&all, REFUSED);
    let (one, two) = (transaction(&all[..2], TAKEN), transaction(&all[2..], TAKEN));
    let server = Server::start(&[script(&[HELLO, &refused, &one, &two, &one, &two])]).await;
    let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, ..settings(server.address) });
    let large = || Box::new(Endless::new(2));
    for messages in [3, 2] {
        let report = attempt_with(&transport, &four(), large()).await;
        let results: Vec<_> = (0..4).map(|recipient| named(&report, recipient)).collect();
        assert_eq!((results.as_slice(), report.messages), (&["handed over"; 4].map(str::to_owned)[..], messages));
    }
    drop(transport);
    server.followed().await;
}

fn with(address: std::net::SocketAddr, recipients: usize, of_a_domain: Option<usize>) -> crate::SmtpSettings {
    crate::SmtpSettings { recipients, recipients_of_a_domain: of_a_domain, ..settings(address) }
}

#[tokio::test]
async fn more_recipients_than_the_path_allows_get_a_transaction_of_their_own() {
    let first = transaction(&[("anna", OK), ("bert", OK), ("carl", OK)], TAKEN);
    for hello in [HELLO.to_owned(), HELLO.replace("S: 250-DSN", "S: 250-LIMITS RCPTMAX=100")] {
        let server = Server::start(&[script(&[&hello, &first, &transaction(&[("dora", OK)], TAKEN)])]).await;
        let transport = transport(with(server.address, 3, None));
        let report = attempt(&transport, &four()).await;
        assert!((0..4).all(|recipient| named(&report, recipient) == "handed over"), "{report:?}");
        assert_eq!((report.messages, &report.notes[..]), (2, &[IN_TWO.to_owned()][..]));
        drop(transport);
        server.followed().await;
    }
}

#[tokio::test]
async fn more_recipients_of_one_domain_than_allowed_wait_for_the_next_transaction_others_do_not() {
    let play = |names: &[&str]| {
        let mut play = "C: MAIL FROM:<printer@contoso.test>*\n".to_owned();
        names.iter().for_each(|name| play += &format!("C: RCPT TO:<{name}>*\n"));
        play += "C: DATA\nS: 250 2.1.0 OK\n";
        names.iter().for_each(|_| play += "S: 250 2.1.5 OK\n");
        play + "S: 354 Go on\nCONTENT\nS: 250 2.0.0 OK"
    };
    let (anna, bert, carl) = ("anna@contoso.test", "bert@CONTOSO.test", "carl@contoso.test");
    let (dora, emil) = ("dora@elsewhere.test", "emil@elsewhere.test");
    let first = play(&[anna, bert, dora, emil]);
    let server = Server::start(&[script(&[HELLO, &first, &play(&[carl])])]).await;
    let transport = transport(with(server.address, 4, Some(2)));
    let report = attempt(&transport, &message(&[anna, bert, carl, dora, emil])).await;
    assert!((0..5).all(|recipient| named(&report, recipient) == "handed over"), "{report:?}");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn no_more_transactions_are_taken_than_granted_and_a_refused_one_is_one() {
    let all = NAMES.map(|name| (name.split('@').next().unwrap(), OK));
    let plays = [
        // Two are granted, four would be needed.
        (script(&[HELLO, &transaction(&all[..1], TAKEN), &transaction(&all[1..2], TAKEN)]), 1, 2, 2),
        // The refusal of all four counts, and half of them are served.
        (script(&[HELLO, &transaction(&all, REFUSED), &transaction(&all[..2], TAKEN)]), 500, 2, 2),
        (script(&[HELLO, &transaction(&all, REFUSED)]), 500, 1, 0),
    ];
    for (play, recipients, granted, served) in plays {
        let server = Server::start(&[play]).await;
        let wanted = with(server.address, recipients, None);
        let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, ..wanted });
        let body = Pieces::of(&[TEXT]);
        let notes = Notes::new();
        let report = attempt_journalled(&transport, &four(), body, granted, &notes).await;
        assert_eq!(report.messages, granted as u32);
        for recipient in 0..4 {
            let wanted = if recipient < served { "handed over" } else { "waiting" };
            assert_eq!(named(&report, recipient), wanted, "{report:?}");
        }
        for (_, outcome) in &report.results {
            let Outcome::Deferred { not_before, .. } = outcome else { continue };
            assert!(not_before.is_some_and(|at| at.as_second() < 60), "they may go at once: {report:?}");
        }
        drop(transport);
        server.followed().await;
    }
}

#[tokio::test]
async fn what_a_server_takes_at_once_is_kept_in_mind_after_a_452() {
    let first = transaction(&[("anna", OK), ("bert", OK), ("carl", TOO_MANY), ("dora", TOO_MANY)], TAKEN);
    let second = transaction(&[("carl", OK), ("dora", OK)], TAKEN);
    let third = transaction(&[("anna", OK), ("bert", OK)], TAKEN);
    let server = Server::start(&[script(&[HELLO, &first, &second, &third, &second])]).await;
    let transport = transport(settings(server.address));
    for _ in 0..2 {
        let report = attempt(&transport, &four()).await;
        assert!((0..4).all(|recipient| named(&report, recipient) == "handed over"), "{report:?}");
        assert_eq!(report.messages, 2);
    }
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn a_bad_recipient_fails_alone_wherever_it_stands() {
    for bad in 0..4 {
        for (reply, wanted) in [("550 5.1.1 Unknown", "bounced 5.1.1"), ("450 4.2.1 Not now", "deferred")] {
            let mut all = NAMES.map(|name| (name.split('@').next().unwrap(), OK));
            all[bad].1 = reply;
            let server = Server::start(&[script(&[HELLO, &transaction(&all, TAKEN)])]).await;
            let transport = transport(settings(server.address));
            let report = attempt(&transport, &four()).await;
            for recipient in 0..4 {
                let wanted = if recipient == bad { wanted } else { "handed over" };
                assert_eq!(named(&report, recipient as u32), wanted, "{report:?}");
            }
            assert_eq!(lane(&report), "healthy");
            drop(transport);
            server.followed().await;
        }
    }
}

#[tokio::test]
async fn after_a_refusal_that_would_come_again_the_other_recipients_are_not_tried() {
    let all = NAMES.map(|name| (name.split('@').next().unwrap(), OK));
    for (reply, named_as, lane_as) in [
        ("550 5.2.252 Sender throttled due to continuous send as denied errors", "waiting", "paused Mailbox 5.2.252"),
        ("554 5.2.252 SendAsDenied; relay not allowed to send as printer", "waiting", "healthy"),
        ("432 4.3.2 Concurrent connections limit exceeded.", "waiting", "throttled Connections"),
        ("451 4.7.0 Temporary server error. Please try again later. PRX4", "deferred", "healthy"),
    ] {
        let goes_on = transaction(&all[2..], TAKEN);
        let second = if named_as == "deferred" { goes_on.as_str() } else { "REST" };
        let server = Server::start(&[script(&[HELLO, &transaction(&all[..2], reply), second])]).await;
        let wanted = crate::SmtpSettings { kind: SmtpKind::Submission, ..with(server.address, 2, None) };
        let transport = transport(wanted);
        let report = attempt(&transport, &four()).await;
        let last = if named_as == "deferred" { "handed over" } else { "waiting" };
        assert_eq!((named(&report, 0).as_str(), named(&report, 3).as_str()), (named_as, last), "{reply}: {report:?}");
        assert_eq!(lane(&report), lane_as, "{reply}");
        drop(transport);
        server.followed().await;
    }
}

#[tokio::test]
async fn recipients_that_had_no_turn_may_go_at_once_and_go_before_those_that_were_put_off() {
    let first = transaction(&[("anna", OK), ("bert", OK)], "451 4.3.0 Later");
    let second = transaction(&[("carl", OK), ("dora", OK)], TAKEN);
    let server = Server::start(&[script(&[HELLO, &first, &second])]).await;
    let transport = transport(with(server.address, 2, None));
    let mut message = four();
    let report = attempt_journalled(&transport, &message, Pieces::of(&[TEXT]), 1, &Notes::new()).await;
    let results: Vec<_> = (0..4).map(|recipient| named(&report, recipient)).collect();
    assert_eq!(results, ["deferred", "deferred", "waiting", "waiting"]);
    let Outcome::Deferred { not_before, .. } = outcome(&report, 3) else { panic!("{report:?}") };
    assert!(not_before.is_some_and(|at| at.as_second() < 60), "{report:?}");

    for recipient in &mut message.recipients[..2] {
        recipient.state = RecipientState::Queued { last: Some("451 4.3.0 Later".to_owned()), unconfirmed: false };
    }
    let report = attempt_journalled(&transport, &message, Pieces::of(&[TEXT]), 1, &Notes::new()).await;
    let results: Vec<_> = (0..4).map(|recipient| named(&report, recipient)).collect();
    assert_eq!(results, ["waiting", "waiting", "handed over", "handed over"]);
    drop(transport);
    server.followed().await;
}
