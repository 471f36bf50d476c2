//! Who is told of what became of a message, when, and by which way.

mod office;

use std::sync::atomic::Ordering;
use std::time::Duration;

use message::dsn::{self, Action};
use message::{ScanLimits, Scanner};
use posthouse_qmgr::{Notification, NotifyError};
use queue::{Happening, Message, NewMessage, Outcome, RecipientState};
use smtp::{BodyType, EnhancedStatus, ForwardPath, Notify, Ret, ReversePath};

use self::office::{Exit, Keeper, Office, busy, life, refused, taken};
use crate::log::Log;
use crate::world::{START, lane};

const OWNER: &str = "it@contoso.example";

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn owned(new: &mut NewMessage) {
    new.report_to = Some(OWNER.parse().unwrap());
}

fn notify(text: &'static str) -> impl FnOnce(&mut NewMessage) {
    move |new| new.recipients.iter_mut().for_each(|recipient| recipient.notify = Some(text.parse().unwrap()))
}

fn bounced(message: &Message) -> usize {
    let bounced = |state: &RecipientState| matches!(state, RecipientState::Bounced { .. });
    message.recipients.iter().filter(|recipient| bounced(&recipient.state)).count()
}

#[tokio::test(start_paused = true)]
async fn a_bounce_is_reported_to_the_reverse_path_by_mail_that_nothing_answers() {
    let office = Office::start();
    office.alpha().says(vec![taken(false), refused("User unknown"), busy()]);
    let id = office.accept(3, |_| {}).await;
    wait(1).await;
    let (report, status) = office.spool.report();
    assert_eq!(report.reverse_path, ReversePath::Null);
    assert_eq!(report.recipients.len(), 1);
    assert_eq!(report.recipients[0].forward_path.to_string(), "<printer@alpha.example>");
    assert_eq!(report.recipients[0].notify, Some(Notify { success: false, failure: false, delay: false }));
    assert_eq!((report.report_of, report.report_to.clone(), report.urgent), (Some(id), None, false));
    assert_eq!((&*report.origin.client, report.lane.clone()), ("posthouse", lane("alpha")));
    let octets = office.spool.octets(report.id);
    let mut scanner = Scanner::new(ScanLimits::default(), "relay.example");
    scanner.push(&octets).unwrap();
    assert_eq!((report.header.clone(), report.content), scanner.finish());
    assert_eq!((report.body, report.smtputf8, octets.is_ascii()), (BodyType::SevenBit, false, true));
    let [recipient] = &status.recipients[..] else { panic!("{status:#?}") };
    assert_eq!(recipient.recipient, Some(("rfc822".to_owned(), "someone1@example.net".to_owned())));
    assert_eq!((recipient.action, recipient.status), (Some(Action::Failed), Some(EnhancedStatus::new(5, 1, 1))));
    assert_eq!(recipient.log_id, Some(id.to_string()));
    let text = status.text.unwrap();
    for told in
        ["Your message could not", "someone1@example.net", "Correct the address.", "has 2 other recipients", "toner"]
    {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    assert_eq!(office.told(id), [("printer@alpha.example".to_owned(), "failed".to_owned(), Some(report.id))]);
    assert_eq!(status.original.unwrap().header.subject.as_deref(), Some("toner"));
    assert!(matches!(office.message(report.id).recipients[0].state, RecipientState::HandedOver { .. }), "it is sent");
    office.stop().await;
}

#[test]
fn notify_says_who_hears_what() {
    let table = [
        (None, ["failed", "failed", "delayed", "", ""]),
        (Some("NEVER"), ["", "", "", "", ""]),
        (Some("FAILURE"), ["failed", "failed", "", "", ""]),
        (Some("DELAY"), ["", "", "delayed", "", ""]),
        (Some("SUCCESS"), ["", "", "", "relayed", ""]),
        (Some("SUCCESS,FAILURE,DELAY"), ["failed", "failed", "delayed", "relayed", ""]),
    ];
    for (notify, expected) in table {
        let told = ["bounced", "expired", "late", "handed over", "handed over to one that notifies"]
            .map(|what| life(fares(notify, what)));
        assert_eq!(told, expected, "{notify:?}");
    }
}

/// What a message's sender is told when it fares so.
async fn fares(said: Option<&'static str>, what: &str) -> String {
    let office = Office::start();
    let always = match what {
        "bounced" => refused("no"),
        "expired" | "late" => busy(),
        "handed over" => taken(false),
        _ => taken(true),
    };
    *office.alpha().always.lock().unwrap() = Some(always);
    let id = office
        .accept(1, |new| {
            if let Some(text) = said {
                notify(text)(new)
            }
        })
        .await;
    match what {
        "expired" => wait(2 * 3_600).await,
        "late" => wait(31 * 60).await,
        _ => wait(1).await,
    }
    let mut told: Vec<_> = office.told(id).into_iter().map(|(_, action, _)| action).collect();
    // On its way to expiry it is late.
    if what == "expired" {
        told.retain(|action| action != "delayed");
    }
    assert!(told.len() < 2, "{told:?}");
    told.pop().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_reported_with_its_last_trouble() {
    let office = Office::start();
    *office.alpha().always.lock().unwrap() = Some(busy());
    let id = office.accept(1, notify("FAILURE")).await;
    wait(2 * 3_600).await;
    let (report, status) = office.spool.report();
    assert_eq!(report.report_of, Some(id));
    assert_eq!(status.recipients[0].status, Some(EnhancedStatus::new(4, 4, 7)));
    assert_eq!(status.recipients[0].diagnostic.as_ref().unwrap().1, "450 4.2.1 busy");
    assert!(status.text.unwrap().contains("not handed over within 1 hour: the mailbox is busy"));
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_reported_once_and_says_until_when_it_is_tried() {
    let office = Office::start();
    *office.alpha().always.lock().unwrap() = Some(busy());
    office.accept(2, notify("DELAY")).await;
    wait(55 * 60).await;
    let (_, status) = office.spool.report();
    assert_eq!(status.recipients.len(), 2);
    assert_eq!(
        (status.recipients[0].action, status.recipients[0].status),
        (Some(Action::Delayed), Some(EnhancedStatus::new(4, 2, 1)))
    );
    assert_eq!(status.recipients[0].retry_until, Some(START + Duration::from_secs(3_600)));
    assert!(status.text.unwrap().contains("It will be free soon."));
    office.stop().await;
}

#[test]
fn no_delay_is_reported_by_the_lane_that_is_broken() {
    for (exits, reports) in [
        (&[("alpha", "contoso", true, None)][..], 0),
        (&[("alpha", "contoso", true, None), ("beta", "contoso", true, None)], 1),
    ] {
        life(async {
            let office = Office::open(&Keeper::new(), exits);
            office.alpha().closed.store(true, Ordering::Relaxed);
            let id = office.accept(1, |_| {}).await;
            wait(40 * 60).await;
            let late = |event: &queue::StoryEvent| event.what == Happening::Delayed;
            assert!(office.message(id).story.iter().any(late), "{:#?}", office.message(id).story);
            assert_eq!(office.spool.reports().len(), reports);
            assert!(office.spool.reports().iter().all(|report| report.lane == lane("beta")));
            office.stop().await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_null_reverse_path_is_never_answered_not_even_to_an_owner() {
    let office = Office::start();
    office.alpha().says(vec![refused("no")]);
    let id = office
        .accept(1, |new| {
            owned(new);
            new.reverse_path = ReversePath::Null;
        })
        .await;
    wait(3_600).await;
    assert_eq!((bounced(&office.message(id)), office.spool.reports().len()), (1, 0));
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_relay_reports_from_a_mailbox_is_not_answered_either() {
    let office = Office::start();
    *office.alpha().always.lock().unwrap() = Some(refused("no"));
    let octets = b"Auto-Submitted: auto-replied (a report)\r\n\r\nNot delivered\r\n";
    let mut scanner = Scanner::new(ScanLimits::default(), "relay.example");
    scanner.push(octets).unwrap();
    let (header, _) = scanner.finish();
    let id = office.accept_octets(1, octets, |new| new.header = header).await;
    office.accept(1, |new| new.header.auto_submitted = true).await;
    wait(60).await;
    assert_eq!(bounced(&office.message(id)), 1);
    assert!(office.told(id).is_empty());
    assert_eq!(office.spool.reports().len(), 1, "what a machine wrote of itself has somebody who waits for it");
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_fails_is_logged_and_makes_no_other() {
    let (log, _guard) = Log::start();
    let office = Office::open(&Keeper::new(), &[("alpha", "contoso", false, Some("relay@contoso.example"))]);
    office.alpha().says(vec![refused("no")]);
    office.alpha().refuses_reports.store(true, Ordering::Relaxed);
    office.accept(1, |_| {}).await;
    wait(3_600).await;
    let (report, _) = office.spool.report();
    assert_eq!(bounced(&report), 1);
    assert_ne!(report.reverse_path, ReversePath::Null);
    let told = |line: &&String| {
        line.contains("a report of our own was not delivered") && line.contains(&report.id.to_string())
    };
    assert_eq!(log.lines().iter().filter(told).count(), 1);
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_takes_out_is_not_reported() {
    let office = Office::start();
    *office.alpha().always.lock().unwrap() = Some(busy());
    let id = office.accept(1, |_| {}).await;
    wait(1).await;
    office.handle.remove(id).await.unwrap();
    wait(3_600).await;
    assert_eq!(office.spool.reports(), []);
    office.stop().await;
}

/// How many entries, and the text, of a digest.
fn digest(office: &Office, report: &Message) -> (usize, String) {
    let text = office.spool.text(report.id);
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let text = body.replace("=\r\n", "").replace("=3D", "=");
    (text.matches(" -> ").count() - text.matches("From -> To").count(), text)
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_told_three_times_and_then_in_a_digest() {
    let office = Office::start();
    *office.alpha().always.lock().unwrap() = Some(refused("User unknown"));
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(office.accept(1, owned).await);
        wait(10).await;
    }
    let singles = office.spool.reports();
    assert_eq!(singles.len(), 3);
    assert!(singles.iter().all(|report| report.recipients[0].forward_path.to_string() == format!("<{OWNER}>")));
    assert!(dsn::read(&office.spool.octets(singles[0].id)).unwrap().text.unwrap().contains("A message from"));
    assert_eq!(office.told(ids[3]), [(OWNER.to_owned(), "failed".to_owned(), None)]);
    wait(13 * 60).await;
    assert_eq!(office.spool.reports().len(), 3, "not before its time");
    wait(3 * 60).await;
    let reports = office.spool.reports();
    assert_eq!(reports.len(), 4);
    assert_eq!(reports[3].report_of, Some(reports[3].id));
    let (entries, text) = digest(&office, &reports[3]);
    assert_eq!(entries, 7, "{text}");
    assert!(ids[3..].iter().all(|id| text.contains(&id.to_string())) && !text.contains(&ids[2].to_string()));
    assert_eq!(text.matches("Correct the address.").count(), 1, "each cause is explained once");
    assert!(text.contains("<printer@alpha.example> -> <someone0@example.net>"), "{text}");
    wait(3_600).await;
    assert_eq!(office.spool.reports().len(), 4, "it is sent once");
    assert_eq!(office.spool.memory.is_remembered("report/"), [], "nothing is left behind");
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_cause_has_its_single_reports_and_other_addresses_make_no_other_cause() {
    let office = Office::start();
    for n in 0..9 {
        let text = if n % 2 == 0 && n < 8 {
            format!("<someone{n}@example.net> unknown, session {n}A")
        } else {
            "the mailbox is full".to_owned()
        };
        office.alpha().says(vec![refused(&text)]);
        office.accept(1, owned).await;
        wait(1).await;
    }
    assert_eq!(office.spool.reports().len(), 6);
    wait(16 * 60).await;
    let (entries, text) = digest(&office, &office.spool.reports()[6]);
    assert_eq!((entries, text.matches("Cause ").count()), (3, 2), "{text}");
    let first = text.find("Cause 1: 2 recipients failed").unwrap();
    assert!(text.find("mailbox is full").unwrap() > first && text.contains("Cause 2: 1 recipient failed"), "{text}");
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn senders_are_told_of_every_message() {
    let office = Office::start();
    *office.alpha().always.lock().unwrap() = Some(refused("no"));
    for _ in 0..20 {
        office.accept(1, |_| {}).await;
        wait(1).await;
    }
    assert_eq!(office.spool.reports().len(), 20);
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_causes_together_have_a_bound_too() {
    let office = Office::start();
    for n in 0..50_u8 {
        let cause = char::from(b'a' + n % 25).to_string().repeat(1 + usize::from(n) / 25);
        office.alpha().says(vec![refused(&cause)]);
        office.accept(1, owned).await;
        wait(1).await;
    }
    assert_eq!(office.spool.reports().len(), 30);
    wait(16 * 60).await;
    let reports = office.spool.reports();
    let (entries, text) = digest(&office, &reports[30]);
    assert_eq!((reports.len(), entries, text.matches("Cause ").count()), (31, 20, 20), "{text}");
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_mailbox_may_send_is_not_used_up_by_reports_to_one_sender() {
    let office = Office::open(&Keeper::new(), &[("alpha", "contoso", false, Some("relay@contoso.com"))]);
    *office.alpha().always.lock().unwrap() = Some(refused("no"));
    for _ in 0..100 {
        office.accept(1, |_| {}).await;
    }
    while office.spool.memory.queued() > 0 {
        wait(1).await;
    }
    assert_eq!(office.spool.reports().len(), 30, "one for each message, and then no more");
    wait(16 * 60).await;
    let reports = office.spool.reports();
    let (entries, text) = digest(&office, &reports[30]);
    assert_eq!((reports.len(), entries), (31, 70), "{text}");
    assert_eq!(reports[30].recipients[0].forward_path, reports[0].recipients[0].forward_path);
    office.stop().await;
}

#[test]
fn a_digest_survives_the_end_of_the_relay() {
    let spool = Keeper::new();
    let exits: [Exit; 1] = [("alpha", "contoso", true, None)];
    life(async {
        let office = Office::open(&spool, &exits);
        *office.alpha().always.lock().unwrap() = Some(refused("no"));
        for _ in 0..5 {
            office.accept(1, owned).await;
            wait(1).await;
        }
    });
    spool.memory.crash();
    life(async {
        let office = Office::open_at(&spool, START + Duration::from_secs(10), &exits);
        *office.alpha().always.lock().unwrap() = Some(refused("no"));
        office.accept(1, owned).await;
        wait(1).await;
        assert_eq!(office.spool.reports().len(), 3, "single reports are counted over a restart");
        wait(16 * 60).await;
        let (entries, text) = digest(&office, &office.spool.reports()[3]);
        assert_eq!(entries, 3, "{text}");
        office.stop().await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_digest_has_bounds_however_much_fails() {
    let office = Office::start();
    let long = "x".repeat(3_000);
    *office.alpha().always.lock().unwrap() = Some(refused(&long));
    for _ in 0..2_000 {
        office.accept(1, owned).await;
    }
    while office.spool.memory.queued() > 0 {
        wait(1).await;
    }
    assert_eq!(office.spool.reports().len(), 3);
    wait(20 * 60).await;
    let reports = office.spool.reports();
    let (entries, text) = digest(&office, &reports[3]);
    assert!((500..=1_000).contains(&entries) && text.len() < 200_000, "{entries} {}", text.len());
    assert!(text.contains("1997 not delivered") && text.contains(&format!("and {} more", 1_997 - entries)), "{text}");
    office.stop().await;
}

#[test]
fn a_crash_between_report_and_record_makes_a_second_report_never_none() {
    let spool = Keeper::new();
    let exits: [Exit; 1] = [("alpha", "contoso", true, None)];
    let id = life(async {
        let office = Office::open(&spool, &exits);
        office.alpha().says(vec![refused("no")]);
        spool.stuck.store(true, Ordering::Relaxed);
        let id = office.accept(1, |_| {}).await;
        wait(1).await;
        id
    });
    assert_eq!(spool.reports().len(), 1);
    assert_eq!(bounced(&spool.memory.message(id)), 0, "the outcome was not recorded");
    spool.memory.crash();
    spool.stuck.store(false, Ordering::Relaxed);
    life(async {
        let office = Office::open_at(&spool, START + Duration::from_secs(10), &exits);
        *office.alpha().always.lock().unwrap() = Some(refused("no"));
        wait(1_200).await;
        assert_eq!(bounced(&office.message(id)), 1);
        assert_eq!(office.spool.reports().len(), 2);
        office.stop().await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_queued_does_not_hold_up_the_outcome() {
    let (log, _guard) = Log::start();
    let office = Office::start();
    *office.alpha().always.lock().unwrap() = Some(refused("no"));
    office.spool.full.store(true, Ordering::Relaxed);
    let id = office.accept(1, |_| {}).await;
    wait(1).await;
    assert_eq!((bounced(&office.message(id)), office.spool.reports().len(), office.told(id).len()), (1, 0, 0));
    let owed = |line: &&String| line.contains("WARN") && line.contains("is owed") && line.contains(&id.to_string());
    assert_eq!(log.lines().iter().filter(owed).count(), 1, "{:#?}", log.lines());
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_whole_message_goes_back_if_asked_for_and_within_the_limit() {
    let small = "Subject: toner\r\n\r\nGrüße\r\n".as_bytes().to_vec();
    let large = [&b"Subject: toner\r\n\r\n"[..], &b"low\r\n".repeat(300)].concat();
    let table = [
        (Some(Ret::Full), &small, true),
        (Some(Ret::Full), &large, false),
        (Some(Ret::Hdrs), &small, false),
        (None, &small, false),
    ];
    for (ret, octets, whole) in table {
        let office = Office::start();
        office.alpha().says(vec![refused("no")]);
        office.accept_octets(1, octets, |new| new.ret = ret).await;
        wait(1).await;
        let (report, status) = office.spool.report();
        assert_eq!(status.original.unwrap().whole, whole, "{ret:?} {}", octets.len());
        assert_eq!((report.body == BodyType::EightBitMime, report.content.eight_bit_body), (whole, whole));
        assert!(!report.smtputf8);
        office.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_refused_for_its_content_is_not_returned_in_the_same_form() {
    let office = Office::start();
    let refused = Outcome::Bounced {
        status: EnhancedStatus::new(5, 6, 3),
        reason: "the next hop does not take 8BITMIME".to_owned(),
        hint: None,
        remote: None,
    };
    office.alpha().says(vec![refused]);
    office.accept_octets(1, "Subject: x\r\n\r\nü\r\n".as_bytes(), |new| new.ret = Some(Ret::Full)).await;
    wait(1).await;
    let (report, status) = office.spool.report();
    assert_eq!((status.original.unwrap().whole, report.body), (false, BodyType::SevenBit));
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_any_more_is_reported_without_it() {
    let office = Office::start();
    office.alpha().says(vec![refused("no")]);
    office.spool.readings.store(1, Ordering::Relaxed);
    office.accept(1, |new| new.ret = Some(Ret::Full)).await;
    wait(1).await;
    office.spool.readings.store(i64::MAX, Ordering::Relaxed);
    let (_, status) = office.spool.report();
    assert_eq!(status.original, None);
    assert!(status.text.unwrap().contains("Nothing of the message is returned"));
    office.stop().await;
}

#[test]
fn a_report_takes_the_null_reverse_path_where_its_tenant_has_a_lane_for_that() {
    let submission: Exit = ("alpha", "contoso", false, Some("relay@contoso.example"));
    // The pool, the reverse-path, the subject.
    type Leaves = Option<(&'static str, &'static str, &'static str)>;
    let table: [(&[Exit], Leaves); 5] = [
        (&[submission], Some(("alpha", "<relay@contoso.example>", "Notice from the mail relay: Not delivered: toner"))),
        (&[submission, ("beta", "contoso", true, None)], Some(("beta", "<>", "Not delivered: toner"))),
        (
            &[submission, ("beta", "fabrikam", true, None)],
            Some(("alpha", "<relay@contoso.example>", "Notice from the mail relay: Not delivered: toner")),
        ),
        (&[("alpha", "contoso", false, None), ("beta", "fabrikam", true, None)], None),
        (
            &[("alpha", "contoso", false, None), ("beta", "contoso", false, Some("b@contoso.example"))],
            Some(("beta", "<b@contoso.example>", "Notice from the mail relay: Not delivered: toner")),
        ),
    ];
    for (exits, expected) in table {
        life(async {
            let office = Office::open(&Keeper::new(), exits);
            office.alpha().says(vec![refused("no")]);
            office.accept(1, |_| {}).await;
            wait(1).await;
            let reports = office.spool.reports();
            let found =
                reports.first().map(|report| (report.lane.0.to_string(), report.reverse_path.to_string(), report));
            assert_eq!(found.is_some(), expected.is_some(), "{exits:?}");
            if let (Some((by, reverse_path, report)), Some(expected)) = (found, expected) {
                let subject = report.header.subject.clone().unwrap();
                assert_eq!((by.as_str(), reverse_path.as_str(), subject.as_str()), expected);
                let from = report.header.from.clone().unwrap();
                match report.reverse_path.mailbox() {
                    Some(mailbox) => assert_eq!(from, format!("\"Mail relay relay.example\" <{mailbox}>")),
                    None => assert_eq!(from, "Mail Delivery System <postmaster@relay.example>"),
                }
                assert!(dsn::read(&office.spool.octets(report.id)).is_ok());
            }
            office.stop().await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_with_an_address_in_utf8_gets_a_report_in_utf8_and_nobody_else() {
    let office = Office::start();
    office.alpha().says(vec![refused("no"), refused("unbekannt: grün")]);
    office.alpha().says(vec![refused("unbekannt: grün")]);
    office
        .accept(2, |new| {
            new.reverse_path = "<grün@alpha.example>".parse().unwrap();
            new.smtputf8 = true;
        })
        .await;
    wait(1).await;
    office.accept(1, |new| new.recipients[0].forward_path = "<grün@example.net>".parse().unwrap()).await;
    wait(1).await;
    let [utf8, ascii] = &office.spool.reports()[..] else { panic!("two reports") };
    assert_eq!((utf8.smtputf8, utf8.body), (true, BodyType::EightBitMime));
    assert!(office.spool.text(utf8.id).contains("message/global-delivery-status"));
    assert_eq!((ascii.smtputf8, ascii.body), (false, BodyType::SevenBit));
    assert!(office.spool.text(ascii.id).contains("Final-Recipient: utf-8; gr\\x{FC}n@example.net\r\n"));
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_remote_says_cannot_leave_its_place() {
    let office = Office::start();
    let evil = "no\r\n\r\n--x\r\nBcc: <victim@example.org>\r\n\r\n\u{1b}[2J\u{202e}.\r\n.\r\nMAIL FROM:<a@b>";
    office.alpha().says(vec![refused(evil)]);
    office.accept(1, |new| new.header.subject = Some(evil.to_owned())).await;
    wait(1).await;
    let (report, status) = office.spool.report();
    assert_eq!(status.recipients.len(), 1);
    let text = office.spool.text(report.id);
    assert!(!text.contains("\nBcc:") && !text.contains("\n.\r\n") && !text.contains('\u{1b}'), "{text}");
    office.stop().await;
}

fn notification(not_by: &[&str], by: Option<&str>) -> Notification {
    Notification {
        to: vec!["it@fabrikam.example".parse().unwrap()],
        subject: "Störung: der Schlüssel ist abgelaufen".to_owned(),
        text: "Renew it.\n\nThen wait.\u{7}".to_owned(),
        by: by.map(lane),
        not_by: not_by.iter().copied().map(lane).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_notification_takes_a_lane_that_works_the_one_asked_for_or_the_readers_first() {
    let exits: [Exit; 4] = [
        ("alpha", "contoso", false, Some("relay@contoso.example")),
        ("beta", "fabrikam", false, Some("relay@fabrikam.example")),
        ("gamma", "contoso", true, None),
        ("delta", "contoso", false, None),
    ];
    let office = Office::open(&Keeper::new(), &exits);
    let table = [
        (&[][..], None, Some(("beta", "<relay@fabrikam.example>"))),
        (&["beta"], None, Some(("alpha", "<relay@contoso.example>"))),
        (&["beta"], Some("beta"), Some(("alpha", "<relay@contoso.example>"))),
        (&[], Some("gamma"), Some(("gamma", "<>"))),
        (&[], Some("delta"), Some(("beta", "<relay@fabrikam.example>"))),
        (&["alpha", "beta", "gamma"], None, None),
    ];
    for (not_by, by, expected) in table {
        let sent = office.handle.notify(notification(not_by, by)).await;
        match (sent, expected) {
            (Ok(id), Some((by, reverse_path))) => {
                let message = office.message(id);
                assert_eq!((&*message.lane.0, message.reverse_path.to_string().as_str()), (by, reverse_path));
                assert_eq!((message.report_of, message.smtputf8), (Some(id), false));
                assert!(message.header.auto_submitted);
            }
            (Err(NotifyError::NoPath(_)), None) => {}
            (sent, expected) => panic!("{sent:?} {expected:?}"),
        }
    }
    let text = office.spool.text(office.spool.reports()[0].id);
    assert!(
        text.contains("Subject: =?utf-8?Q?St=C3=B6rung") && text.contains("Auto-Submitted: auto-generated\r\n"),
        "{text}"
    );
    assert!(
        text.ends_with("\r\n\r\nRenew it.\r\n\r\nThen wait. \r\n") || text.ends_with("Then wait.=20\r\n"),
        "{text}"
    );
    office.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_notification_passes_by_what_is_stopped() {
    let exits: [Exit; 2] = [
        ("alpha", "fabrikam", false, Some("relay@fabrikam.example")),
        ("beta", "contoso", false, Some("relay@contoso.example")),
    ];
    let office = Office::open(&Keeper::new(), &exits);
    office.alpha().closed.store(true, Ordering::Relaxed);
    office.accept(1, |_| {}).await;
    wait(5).await;
    let id = office.handle.notify(notification(&[], None)).await.unwrap();
    assert_eq!(office.message(id).lane, lane("beta"));
    assert!(matches!(office.handle.notify(notification(&["beta"], None)).await, Err(NotifyError::NoPath(_))));
    let nobody = Notification { to: Vec::<ForwardPath>::new(), ..notification(&[], None) };
    assert!(matches!(office.handle.notify(nobody).await, Err(NotifyError::NoPath(_))));
    office.stop().await;
}
