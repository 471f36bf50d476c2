//! Refusals at every stage, each with its outcome and its verdict on the lane.

use queue::{LaneVerdict, Outcome};

use super::fixture::{HELLO, TAKEN, attempt, lane, message, named, outcome, script, settings, transport};
use super::server::Server;
use crate::SmtpKind;

/// One message to one recipient over one connection: outcome and verdict.
async fn check(kind: SmtpKind, play: &[&str], wanted: (&str, &str)) {
    let server = Server::start(&[script(play)]).await;
    let transport = transport(crate::SmtpSettings { kind, ..settings(server.address) });
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), wanted, "{play:?}: {report:?}");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn a_message_is_handed_over_with_the_id_it_has_there() {
    let server = Server::start(&[script(&[HELLO, TAKEN])]).await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    let Outcome::HandedOver { remote, .. } = outcome(&report, 0) else { panic!("{report:?}") };
    assert_eq!(remote.remote_id.as_deref(), Some("4B3C9120F7"));
    assert_eq!(remote.host, format!("127.0.0.1 [127.0.0.1]:{}", server.address.port()));
    assert_eq!(remote.reply.to_string(), "250 2.0.0 Ok: queued as 4B3C9120F7");
    assert_eq!(report.lane, LaneVerdict::Healthy);
    assert_eq!(report.messages, 1);
    assert_eq!(transport_counts(&transport), (1, 1));
    drop(transport);
    let contents = server.followed().await;
    let wanted = super::fixture::TEXT.replace("\r\n.\r\n", "\r\n..\r\n") + ".\r\n";
    assert_eq!(String::from_utf8_lossy(&contents[0]), wanted);
}

fn transport_counts(transport: &crate::SmtpTransport) -> (usize, usize) {
    queue::Transport::connections(transport)
}

#[tokio::test]
async fn envelope_and_data_go_out_together_where_pipelining_is_offered() {
    let together = TAKEN.replacen("S: 250 2.1.0", "TOGETHER\nS: 250 2.1.0", 1).replacen(
        "S: 250 2.1.5",
        "TOGETHER\nS: 250 2.1.5",
        1,
    );
    check(SmtpKind::Smarthost, &[HELLO, &together], ("handed over", "healthy")).await;
}

#[tokio::test]
async fn a_server_without_extensions_is_served_one_command_at_a_time() {
    let hello = "S: 220 old.test\nC: EHLO relay.test\nS: 502 what?\nC: HELO relay.test\nS: 250 old.test";
    let taken = TAKEN.replace("test>*", "test>");
    check(SmtpKind::Smarthost, &[hello, &taken], ("handed over", "healthy")).await;
}

#[tokio::test]
async fn a_refusal_before_mail_is_the_lanes_trouble_and_never_bounces() {
    let greeting = "S: 220 mx.test\nC: EHLO relay.test";
    for kind in [SmtpKind::Smarthost, SmtpKind::Submission] {
        check(kind, &["S: 554 5.7.1 Not you"], ("waiting", "paused Path 5.7.1")).await;
        check(kind, &["S: 450 4.3.2 Later"], ("waiting", "rest")).await;
        check(kind, &["S: 421 4.3.2 Busy"], ("waiting", "rest")).await;
    }
    check(SmtpKind::Smarthost, &[greeting, "S: 421 4.3.2 Busy"], ("waiting", "rest")).await;
    let refused = "S: 550 5.5.4 Invalid domain name\nC: HELO relay.test\nS: 501 5.5.4 Invalid domain name";
    check(SmtpKind::Submission, &[greeting, refused], ("waiting", "paused Path 5.5.4")).await;
}

#[tokio::test]
async fn a_refusal_of_the_sender_is_for_all_recipients() {
    let mail = "C: MAIL FROM:<printer@contoso.test>*\nC: RCPT TO:<anna@contoso.test>*\nC: DATA";
    let rest = "S: 503 5.5.1 No\nS: 503 5.5.1 No";
    let cases = [
        ("S: 550 5.1.7 Bad sender", SmtpKind::Smarthost, "bounced 5.1.7", "healthy"),
        ("S: 450 4.1.8 Not now", SmtpKind::Smarthost, "deferred", "neutral"),
        ("S: 530 5.7.0 Authentication required", SmtpKind::Smarthost, "waiting", "paused Credential 5.7.0"),
        ("S: 530 5.7.57 Client not authenticated to send mail", SmtpKind::Submission, "waiting", "paused Path 5.7.57"),
    ];
    for (reply, kind, result, verdict) in cases {
        check(kind, &[HELLO, mail, reply, rest], (result, verdict)).await;
    }
}

#[tokio::test]
async fn a_refused_recipient_does_not_hinder_the_others() {
    let play = "
C: MAIL FROM:<printer@contoso.test>*
C: RCPT TO:<anna@contoso.test>*
C: RCPT TO:<bert@contoso.test>*
C: RCPT TO:<carl@contoso.test>*
C: DATA
S: 250 2.1.0 OK
S: 550 5.1.1 Unknown
S: 250 2.1.5 OK
S: 450 4.2.1 Greylisted
S: 354 Go on
CONTENT
S: 250 2.0.0 OK <new@outlook.test> [Hostname=AM0.test]";
    let server = Server::start(&[script(&[HELLO, play])]).await;
    let transport = transport(settings(server.address));
    let message = message(&["anna@contoso.test", "bert@contoso.test", "carl@contoso.test"]);
    let report = attempt(&transport, &message).await;
    assert_eq!(named(&report, 0), "bounced 5.1.1");
    assert_eq!(named(&report, 1), "handed over");
    assert_eq!(named(&report, 2), "deferred");
    assert_eq!(lane(&report), "healthy");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn when_every_recipient_is_refused_no_content_is_sent() {
    let play = "
C: MAIL FROM:<printer@contoso.test>*
C: RCPT TO:<anna@contoso.test>*
C: DATA
S: 250 2.1.0 OK
S: 550 5.1.1 Unknown
S: 503 5.5.1 No recipients";
    check(SmtpKind::Smarthost, &[HELLO, play], ("bounced 5.1.1", "healthy")).await;
}

#[tokio::test]
async fn a_login_that_is_missed_late_bounces_nobody() {
    let mail = "C: MAIL FROM:<printer@contoso.test>*\nC: RCPT TO:<anna@contoso.test>*\nC: DATA\nS: 250 2.1.0 OK";
    let rcpt = "S: 530 5.7.0 Authentication required\nS: 503 5.5.1 No";
    check(SmtpKind::Smarthost, &[HELLO, mail, rcpt], ("waiting", "paused Credential 5.7.0")).await;
}

#[tokio::test]
async fn data_and_the_final_dot_can_be_refused() {
    let data = TAKEN.split("S: 354").next().unwrap();
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    check(SmtpKind::Smarthost, &[HELLO, data, "S: 451 4.3.0 No"], ("deferred", "neutral")).await;
    check(SmtpKind::Smarthost, &[HELLO, data, "S: 554 5.3.0 No"], ("bounced 5.3.0", "healthy")).await;
    check(SmtpKind::Smarthost, &[HELLO, end, "S: 451 4.3.0 No"], ("deferred", "neutral")).await;
    check(SmtpKind::Smarthost, &[HELLO, end, "S: 554 No"], ("bounced 5.0.0", "healthy")).await;
    check(SmtpKind::Smarthost, &[HELLO, end, "S: 421 4.3.2 Going down\nCLOSE"], ("deferred", "rest")).await;
}

#[tokio::test]
async fn microsofts_answers_are_judged_by_the_catalogue_and_not_by_their_digit() {
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    let cases = [
        (
            "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
            "waiting",
            "throttled Connections",
        ),
        (
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed",
            "waiting",
            "throttled Of(Recipients)",
        ),
        ("554 5.2.252 SendAsDenied; a@b.test not allowed to send as c@d.test", "waiting", "healthy"),
        ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", "waiting", "healthy"),
        ("550 5.7.1 Client does not have permissions to send as this sender", "waiting", "healthy"),
        ("550 5.2.252 Sender throttled due to continuous send as denied errors", "waiting", "paused Mailbox 5.2.252"),
        ("550 5.2.251 Sender throttled due to continuous mailbox full errors", "waiting", "paused Mailbox 5.2.251"),
        ("554 5.6.0 Corrupt message content", "bounced 5.6.0", "healthy"),
        ("552 5.3.4 Message size exceeds fixed maximum message size", "bounced 5.3.4", "healthy"),
        ("451 4.7.0 Temporary server error. Please try again later. PRX4", "deferred", "neutral"),
    ];
    for (reply, result, verdict) in cases {
        let reply = format!("S: {reply}");
        check(SmtpKind::Submission, &[HELLO, end, &reply], (result, verdict)).await;
    }
    // The same words of another server mean what their first digit says.
    check(SmtpKind::Smarthost, &[HELLO, end, "S: 554 5.2.252 SendAsDenied"], ("bounced 5.2.252", "healthy")).await;
}

#[tokio::test]
async fn a_throttle_says_what_happened_what_to_do_and_how_long_to_wait() {
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    let reply = "S: 554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed";
    let server = Server::start(&[script(&[HELLO, end, reply])]).await;
    let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, ..settings(server.address) });
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    let LaneVerdict::Throttled(throttle) = &report.lane else { panic!("{report:?}") };
    assert!(throttle.reason.contains("SubmissionQuotaExceeded"), "{throttle:?}");
    assert!(throttle.remedy.contains("Wait"), "{throttle:?}");
    assert_eq!((throttle.code.as_str(), throttle.wait), ("5.2.0", None), "by the ledger");
    let Outcome::Deferred { hint: Some(hint), not_before: None, counts: false, .. } = outcome(&report, 0) else {
        panic!("{report:?}")
    };
    assert!(hint.contains("recipient-per-day") && hint.contains(&throttle.remedy), "{hint}");
    drop(transport);
    server.followed().await;
}

/// What is said to the final dot of one message to one recipient, by submission.
async fn at_end(reply: &str) -> queue::AttemptReport {
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    let server = Server::start(&[script(&[HELLO, end, &format!("S: {reply}")])]).await;
    let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, ..settings(server.address) });
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    drop(transport);
    server.followed().await;
    report
}

#[tokio::test]
async fn too_much_slows_the_lane_down_and_bounces_nothing_whatever_its_digit() {
    let recipients = "throttled Of(Recipients)";
    for (reply, verdict, wait) in [
        ("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/x", "throttled Connections", Some(5)),
        ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "throttled Connections", Some(5)),
        (
            "421 4.3.2 The maximum number of concurrent connections has exceeded a limit",
            "throttled Connections",
            Some(60),
        ),
        ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", recipients, None),
        ("554 5.2.2 Submission quota exceeded", "throttled Unknown", Some(60)),
        ("550 5.1.90 You have reached your daily limit for message recipients", recipients, None),
        ("550 5.7.232 Your trial tenant has exceeded its daily limit", "throttled Of(External)", None),
        ("550 5.7.233 Your tenant has exceeded its daily limit", "throttled Of(External)", None),
        ("550 5.7.236 Too much from onmicrosoft.com", "throttled Of(ExternalUnderProviderDomain)", None),
        ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]", "throttled Unknown", Some(60)),
        ("451 4.7.500 Server busy. Please try again in 5 minutes", "throttled Unknown", Some(300)),
        ("451 4.7.650 The mail server has been temporarily rate limited", "throttled Unknown", Some(60)),
    ] {
        let report = at_end(reply).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", verdict), "{reply}");
        let LaneVerdict::Throttled(throttle) = &report.lane else { unreachable!() };
        assert_eq!(throttle.wait.map(|wait| wait.as_secs()), wait, "{reply}");
        // Mail within the tenant goes on.
        let external = reply.starts_with("550 5.7.23");
        let Outcome::Deferred { not_before, counts: false, .. } = outcome(&report, 0) else { panic!("{report:?}") };
        assert_eq!(not_before.is_some(), external, "{report:?}");
        assert!(throttle.reason.contains(reply) && !throttle.remedy.is_empty(), "{throttle:?}");
    }
}

#[tokio::test]
async fn what_is_paused_is_as_large_as_the_trouble() {
    for (reply, verdict, probe) in [
        ("550 5.2.252 Sender throttled due to continuous send as denied errors", "paused Mailbox 5.2.252", 1800),
        ("550 5.2.253 Sender throttled due to continuous invalid license errors", "paused Mailbox 5.2.253", 1800),
        ("550 5.2.259 Sender throttled due to continuous new errors", "paused Mailbox 5.2.259", 1800),
        ("554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceeded", "paused Mailbox 5.2.2", 300),
        ("550 5.1.8 Access denied, bad outbound sender", "paused Mailbox 5.1.8", 300),
        ("550 5.7.705 Access denied, tenant has exceeded threshold", "paused Tenant 5.7.705", 300),
        ("550 5.7.750 Client blocked from sending from unregistered domains", "paused Tenant 5.7.750", 300),
        ("503 5.5.1 Bad sequence of commands", "paused Path 5.5.1", 300),
    ] {
        let report = at_end(reply).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", verdict), "{reply}");
        let LaneVerdict::Paused(pause) = &report.lane else { unreachable!() };
        assert_eq!(pause.probe_after.as_secs(), probe, "{reply}");
    }
}

#[tokio::test]
async fn a_recipient_that_gets_too_much_waits_alone() {
    for (reply, wait) in [
        ("554 5.2.121 The sender has exceeded the limit for messages to this recipient", 3600),
        ("554 5.2.122 The recipient has exceeded their limit", 3600),
        ("432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", 60),
    ] {
        let report = at_end(reply).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", "healthy"), "{reply}");
        let Outcome::Deferred { not_before: Some(not_before), .. } = outcome(&report, 0) else { panic!("{report:?}") };
        assert!((wait..wait + 60).contains(&not_before.as_second()), "the attempt began at 0: {not_before}");
    }
}

#[tokio::test]
async fn any_server_can_say_that_it_is_too_much() {
    let at_mail = "C: MAIL FROM:<printer@contoso.test>*\nC: RCPT TO:<anna@contoso.test>*\nC: DATA\nS: 450 4.7.1 Error: too \
                   much mail from 192.0.2.1\nS: 503 5.5.1 No\nS: 503 5.5.1 No";
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    for (play, wanted) in [
        (&["S: 421 4.7.0 mx.test Error: too many connections from 192.0.2.1"][..], "throttled Connections"),
        (&[HELLO, at_mail], "throttled Of(Messages)"),
        (&[HELLO, end, "S: 454 Throttling failure: Maximum sending rate exceeded"], "throttled Unknown"),
        (&[HELLO, end, "S: 421 4.3.2 Too many concurrent sessions\nCLOSE"], "throttled Connections"),
    ] {
        check(SmtpKind::Smarthost, play, ("waiting", wanted)).await;
    }
}

#[tokio::test]
async fn an_external_recipient_that_is_too_much_holds_up_no_internal_one() {
    let play = "
C: MAIL FROM:<printer@contoso.test>*
C: RCPT TO:<anna@contoso.test>*
C: RCPT TO:<bert@elsewhere.test>*
C: DATA
S: 250 2.1.0 OK
S: 250 2.1.5 OK
S: 550 5.7.233 Your tenant has exceeded its daily limit for sending email to external recipients
S: 354 Go on
CONTENT
S: 250 2.0.0 OK <new@outlook.test> [Hostname=AM0.test]";
    let server = Server::start(&[script(&[HELLO, play])]).await;
    let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, ..settings(server.address) });
    let report = attempt(&transport, &message(&["anna@contoso.test", "bert@elsewhere.test"])).await;
    assert_eq!((named(&report, 0).as_str(), named(&report, 1).as_str()), ("handed over", "waiting"));
    assert_eq!(lane(&report), "throttled Of(External)");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn a_server_that_says_when_to_come_again_is_given_the_time() {
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    let play = script(&[HELLO, end, "S: 451 4.7.1 Greylisted, try again in 300 seconds"]);
    let server = Server::start(&[play]).await;
    let transport = transport(settings(server.address));
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    let Outcome::Deferred { not_before: Some(not_before), counts: true, .. } = outcome(&report, 0) else {
        panic!("{report:?}")
    };
    assert!((300..360).contains(&not_before.as_second()), "{not_before}");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn a_message_whose_sender_is_refused_waits_half_an_hour_and_says_what_to_do() {
    let mail = "C: MAIL FROM:<printer@contoso.test>*\nC: RCPT TO:<anna@contoso.test>*\nC: DATA";
    let at_mail = script(&[mail, "S: 550 5.7.60 SMTP; Client does not have permissions to send as this sender"]);
    let at_mail = script(&[&at_mail, "S: 503 5.5.1 No\nS: 503 5.5.1 No"]);
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    let at_end = script(&[end, "S: 554 5.2.252 SendAsDenied; a@b.test not allowed to send as c@d.test"]);
    for play in [at_mail, at_end] {
        let server = Server::start(&[script(&[HELLO, &play])]).await;
        let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, ..settings(server.address) });
        let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
        let Outcome::Deferred { hint: Some(hint), not_before: Some(not_before), counts: false, remote, .. } =
            outcome(&report, 0)
        else {
            panic!("{report:?}")
        };
        assert!(hint.contains("Grant SendAs") && hint.contains("not"), "{hint}");
        assert!((1800..1860).contains(&not_before.as_second()), "the attempt began at 0: {not_before}");
        assert!(remote.is_some());
        assert_eq!(report.messages, 1);
        assert_eq!(report.lane, LaneVerdict::Healthy);
        drop(transport);
        server.followed().await;
    }
}

#[tokio::test]
async fn a_sender_in_envelope_and_header_section_is_refused_once_and_for_a_day() {
    let end = TAKEN.rsplit_once("S: 250").unwrap().0;
    let play = script(&[HELLO, end, "S: 554 5.2.252 SendAsDenied; a@b.test not allowed to send as c@d.test"]);
    let server = Server::start(&[play]).await;
    let identity = relay_mailbox(&["*@contoso.test"]);
    let submission = crate::SmtpSettings { kind: SmtpKind::Submission, identity, ..settings(server.address) };
    let transport = transport(submission);
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    assert!(report.hold.is_some(), "{report:?}");
    let refused = queue::Transport::refused_senders(&transport, jiff::Timestamp::UNIX_EPOCH);
    let [refused] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(refused.sender, "printer@contoso.test");
    let day = 86_400;
    assert!((day..day + 60).contains(&refused.until.as_second()), "the attempt began at 0: {}", refused.until);
    drop(transport);
    server.followed().await;
}

fn relay_mailbox(others: &[&str]) -> crate::Identity {
    crate::Identity {
        mailbox: Some("relay@contoso.test".parse().unwrap()),
        others: others.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        ..Default::default()
    }
}

#[tokio::test]
async fn mail_of_a_client_that_is_gone_provokes_no_refusal_until_an_operator_releases_it() {
    let server = Server::start(&[script(&[HELLO, TAKEN])]).await;
    let identity = relay_mailbox(&[]);
    let transport = transport(crate::SmtpSettings { kind: SmtpKind::Submission, identity, ..settings(server.address) });
    let mut message = message(&["anna@contoso.test"]);
    let said = |what| queue::StoryEvent { at: jiff::Timestamp::UNIX_EPOCH, what };
    message.note(said(queue::Happening::RetryRequested));
    let report = attempt(&transport, &message).await;
    let held = report.hold.as_deref().unwrap_or_default();
    assert!(held.contains("no [[client]] \"printers\" any more") && held.contains("posthouse release"), "{report:?}");
    assert_eq!((report.messages, named(&report, 0).as_str()), (0, "waiting"));
    message.note(said(queue::Happening::Released));
    let report = attempt(&transport, &message).await;
    assert_eq!(named(&report, 0), "handed over");
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn nobody_there_rests_the_lane() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let transport = transport(settings(socket.local_addr().unwrap()));
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", "rest"));
    assert_eq!(report.messages, 0);
    assert_eq!(transport_counts(&transport), (0, 0));
}

#[tokio::test]
async fn a_recipient_that_the_message_does_not_have_shifts_nobody_elses_reply() {
    let server = Server::start(&[script(&[HELLO, TAKEN])]).await;
    let transport = transport(settings(server.address));
    let message = message(&["anna@contoso.test"]);
    let journal = super::journal::Notes::new();
    let attempt = queue::Attempt { message: &message, recipients: vec![7, 0, 0], transactions: 1, journal: &journal };
    let body = super::body::Pieces::of(&[super::fixture::TEXT]);
    let report = queue::Transport::attempt(&transport, attempt, body, jiff::Timestamp::UNIX_EPOCH).await;
    assert_eq!((named(&report, 0).as_str(), named(&report, 7).as_str()), ("handed over", "deferred"));
    drop(transport);
    server.followed().await;
}

#[tokio::test]
async fn a_damaged_body_is_never_ended() {
    use super::body::Pieces;
    let play = "
C: MAIL FROM:<printer@contoso.test>*
C: RCPT TO:<anna@contoso.test>*
C: DATA
S: 250 2.1.0 OK
S: 250 2.1.5 OK
S: 354 Go on
HOLD";
    let server = Server::start(&[script(&[HELLO, play])]).await;
    let transport = transport(settings(server.address));
    let message = message(&["anna@contoso.test"]);
    let body = Pieces::damaged_after(&["Subject: x\r\n\r\n"]);
    let report = super::fixture::attempt_with(&transport, &message, body).await;
    assert_eq!(
        (named(&report, 0).as_str(), lane(&report).as_str()),
        ("waiting", "neutral"),
        "never the message's fault"
    );
    assert_eq!(transport_counts(&transport), (0, 0), "the connection is closed");
    let unread = super::fixture::attempt_with(&transport, &message, Pieces::damaged_after(&[])).await;
    assert_eq!(named(&unread, 0), "waiting");
    assert_eq!(unread.messages, 0);
    server.followed().await;
}
