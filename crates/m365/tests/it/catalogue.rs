//! The built-in table: every row can be reached by the answer it describes, and answers that look alike are told apart.

use posthouse_m365::{About, Action, Breaker, Catalogue, Class, Evidence, Excess, Row, Source, Where};
use smtp::client::Stage;
use smtp::{EnhancedStatus, Reply, ReplyCode};

/// As the parser of the client machine gives it.
fn reply(code: u16, status: Option<(u8, u16, u16)>, text: &str) -> Reply {
    Reply {
        code: ReplyCode::new(code).unwrap(),
        status: status.map(|(class, subject, detail)| EnhancedStatus::new(class, subject, detail)),
        lines: vec![text.to_owned().into()],
    }
}

fn status(text: &str) -> Option<(u8, u16, u16)> {
    let mut parts = text.split('.').map(|part| part.parse::<u16>().unwrap());
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    Some((u8::try_from(class).unwrap(), subject, detail))
}

/// First and last code that the row speaks of.
fn codes(row: &Row) -> Vec<Option<(u8, u16, u16)>> {
    if row.code == "*" {
        return vec![None, Some((4, 0, 0)), Some((5, 0, 0))];
    }
    match row.code.split_once('-') {
        None => vec![status(&row.code)],
        Some((first, last)) => {
            let (class, subject, detail) = status(first).unwrap();
            vec![Some((class, subject, detail)), Some((class, subject, last.parse().unwrap()))]
        }
    }
}

fn replies(row: &Row, class: u8) -> Vec<u16> {
    match row.reply.as_deref() {
        None => vec![u16::from(class) * 100 + 50],
        Some("4xx") => vec![450, 451],
        Some(written) => written.split('/').map(|code| code.parse().unwrap()).collect(),
    }
}

#[test]
fn every_smtp_row_is_reached_by_its_own_reply() {
    let catalogue = Catalogue::builtin();
    let rows: Vec<&Row> = catalogue.rows().iter().filter(|row| row.source == Source::Smtp).collect();
    assert_eq!(rows.len(), 188);
    for row in rows {
        let tagged = format!(
            "{} [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-02-13T12:34:56.789Z 08DC2C8A12345678]",
            row.text.as_deref().expect("every SMTP row has a text")
        );
        for code in codes(row) {
            for number in replies(row, code.map_or(4, |(class, ..)| class)) {
                let found = catalogue.smtp(row.where_, &reply(number, code, &tagged));
                assert!(found.is_some_and(|found| std::ptr::eq(found, row)), "{row:#?}\nfound {found:#?}");
            }
        }
    }
}

#[test]
fn every_entra_row_is_reached_by_its_own_answer() {
    let catalogue = Catalogue::builtin();
    let rows: Vec<&Row> = catalogue.rows().iter().filter(|row| row.source == Source::Entra).collect();
    assert_eq!(rows.len(), 131);
    for row in rows {
        let found = match row.code.as_str() {
            "429" => catalogue.entra("", "", 429),
            "5xx" => catalogue.entra("", "", 503),
            code if code.starts_with("AADSTS") => {
                catalogue.entra(row.reply.as_deref().unwrap(), &format!("{code}: Text of it. Trace ID: 1"), 400)
            }
            error => catalogue.entra(error, "no number here", 400),
        };
        assert!(found.is_some_and(|found| std::ptr::eq(found, row)), "{row:#?}\nfound {found:#?}");
    }
}

#[test]
fn every_graph_row_is_reached_by_its_own_answer() {
    let catalogue = Catalogue::builtin();
    let rows: Vec<&Row> = catalogue.rows().iter().filter(|row| row.source == Source::Graph).collect();
    assert_eq!(rows.len(), 59);
    for row in rows {
        let status: u16 = row.reply.as_deref().unwrap().parse().unwrap();
        let code = if row.code == "200" { "" } else { &row.code };
        let found = catalogue.graph(status, code, row.text.as_deref().unwrap());
        assert!(found.is_some_and(|found| std::ptr::eq(found, row)), "{row:#?}\nfound {found:#?}");
    }
}

#[test]
fn every_row_speaks_for_itself() {
    for row in Catalogue::builtin().rows() {
        for text in [&row.meaning, &row.fix].into_iter().chain(&row.note) {
            assert!(text.len() > 10 && text.ends_with(['.', '?', ')']), "{text:?} in {row:#?}");
            let refers = ["As above", "As 4.", "As 5.", "As AADSTS", "m365"].iter().any(|word| text.contains(word));
            assert!(!refers, "{text:?} in {row:#?}");
        }
        let named = row.reference.is_some() || row.evidence != Evidence::Doc;
        assert!(named, "documented, but where? {row:#?}");
    }
}

/// Where, stage, reply, status, text → code of the row, action.
#[track_caller]
fn check(where_: Where, stage: Stage, number: u16, code: &str, text: &str, row: Option<&str>, action: Action) {
    let catalogue = Catalogue::builtin();
    let code = if code.is_empty() { None } else { status(code) };
    let verdict = catalogue.verdict(where_, stage, &reply(number, code, text));
    assert_eq!(verdict.row.map(|row| row.code.as_str()), row, "{number} {code:?} {text}");
    assert_eq!(verdict.action, action, "{number} {code:?} {text}");
}

#[test]
fn one_refusal_to_send_as_and_the_block_of_the_mailbox_are_told_apart_by_the_reply() {
    let denied = "SendAsDenied; relay@contoso.com not allowed to send as boss@contoso.com; \
        STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message";
    let blocked =
        "Sender throttled due to continuous send as denied errors; STOREDRV.ClientSubmit.Exception:SendAsDenied";
    let class = |number, text| {
        let catalogue = Catalogue::builtin();
        let row = catalogue.smtp(Where::Submission, &reply(number, Some((5, 2, 252)), text)).unwrap();
        assert_eq!(row.action, Action::StopSender);
        row.class
    };
    for text in [denied, blocked] {
        assert_eq!(class(554, text), Class::Config, "{text}");
        assert_eq!(class(550, text), Class::Throttle, "{text}");
    }
}

#[test]
fn a_refusal_of_one_sender_is_told_from_trouble_of_the_mailbox() {
    let about = |number, code, text| {
        let found = Catalogue::builtin();
        let row = found.smtp(Where::Submission, &reply(number, status(code), text)).unwrap();
        assert_eq!(row.action, Action::StopSender, "{text}");
        row.about
    };
    for (number, code, text) in [
        (554, "5.2.252", "SendAsDenied; relay@contoso.com not allowed to send as boss@contoso.com"),
        (550, "5.7.60", "SMTP; Client does not have permissions to send as this sender"),
        (550, "5.7.1", "Client does not have permissions to send as this sender"),
    ] {
        assert_eq!(about(number, code, text), Some(About::Sender), "{text}");
    }
    for (number, code, text) in [
        (550, "5.2.252", "Sender throttled due to continuous send as denied errors"),
        (550, "5.2.251", "Sender throttled due to continuous mailbox full errors"),
        (554, "5.2.2", "mailbox full; STOREDRV.Submission.Exception:QuotaExceededException"),
        (554, "5.2.0", "STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
    ] {
        assert_eq!(about(number, code, text), None, "{text}");
    }
}

#[test]
fn sign_ins_refused_for_different_reasons_give_different_remedies() {
    let catalogue = Catalogue::builtin();
    let remedy = |text| {
        let refused = reply(535, Some((5, 7, 139)), text);
        let verdict = catalogue.verdict(Where::Submission, Stage::Auth, &refused);
        assert_eq!(verdict.action, Action::StopRoute, "{text}");
        verdict.row.unwrap().fix.as_str()
    };
    let remedies = std::collections::HashSet::from([
        remedy(
            "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
        ),
        remedy(
            "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled",
        ),
        remedy(
            "Authentication unsuccessful, basic authentication is disabled. [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM]",
        ),
        remedy("Authentication unsuccessful, user is locked by your organization's security defaults policy."),
        remedy("Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully."),
        remedy("Authentication unsuccessful, the user credentials were incorrect."),
        remedy("Authentication unsuccessful, something new."),
    ]);
    assert_eq!(remedies.len(), 7);
}

#[test]
fn both_wordings_of_the_connection_limit_slow_down() {
    for text in [
        "Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=X]",
        "STOREDRV.ClientSubmit; sender thread limit exceeded",
    ] {
        check(Where::Submission, Stage::End, 432, "4.3.2", text, Some("4.3.2"), Action::SlowDown);
    }
    let recipient = "STOREDRV.Deliver; recipient thread limit exceeded";
    check(Where::Submission, Stage::End, 432, "4.3.2", recipient, Some("4.3.2"), Action::SlowDown);
}

#[test]
fn a_used_up_quota_never_bounces_but_another_failed_submission_does() {
    let (submission, end) = (Where::Submission, Stage::End);
    let quota = "STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception";
    check(submission, end, 554, "5.2.0", quota, Some("5.2.0"), Action::StopSender);
    let other = "STOREDRV.Submission.Exception:InvalidRecipientsException";
    check(submission, end, 554, "5.2.0", other, Some("5.2.0"), Action::Bounce);
    let full = "mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded";
    check(submission, end, 554, "5.2.2", full, Some("5.2.2"), Action::StopSender);
    check(submission, end, 554, "5.2.2", "mailbox full; STOREDRV.Deliver", Some("5.2.2"), Action::Bounce);
    // Listed for reports alone; live it is the same quota.
    let daily = "Your message can't be sent because you've reached your daily limit for message recipients";
    check(submission, Stage::Rcpt, 550, "5.1.90", daily, Some("5.1.90"), Action::StopSender);
}

#[test]
fn trouble_of_the_front_end_is_tried_again_whatever_it_calls_itself() {
    let prx =
        "Temporary server error. Please try again later. PRX4 NextHop: [AM0PR01MB1234.eurprd01.prod.exchangelabs.com]";
    check(Where::Submission, Stage::Auth, 451, "4.7.0", prx, Some("4.7.0"), Action::Retry);
    check(Where::Submission, Stage::Mail, 451, "4.7.0", "Temporary server error", Some("4.7.0"), Action::Retry);
    check(Where::Submission, Stage::Greeting, 421, "4.3.2", "Service not available", Some("4.3.2"), Action::Retry);
}

#[test]
fn a_token_that_is_refused_is_fetched_anew_and_a_password_too_is_said_to_be_wrong() {
    let text =
        "Authentication unsuccessful [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-02-13T12:34:56.789Z 08DC2C8A]";
    check(Where::Submission, Stage::Auth, 535, "5.7.3", text, Some("5.7.3"), Action::RefreshToken);
    check(Where::Hve, Stage::Auth, 535, "5.7.3", text, Some("5.7.3"), Action::RefreshToken);
    check(Where::Hve, Stage::Auth, 501, "5.5.124", "Invalid arguments", Some("5.5.121-127"), Action::RefreshToken);
}

#[test]
fn without_a_row_the_first_digit_decides_and_before_any_message_nothing_bounces() {
    let any = Where::Submission;
    check(any, Stage::Rcpt, 450, "4.9.9", "later", None, Action::Retry);
    check(any, Stage::Rcpt, 550, "5.9.9", "no", None, Action::Bounce);
    check(any, Stage::End, 554, "", "transaction failed", None, Action::Bounce);
    for stage in [Stage::Greeting, Stage::Hello, Stage::StartTls, Stage::Auth] {
        check(any, stage, 554, "", "no", None, Action::StopRoute);
        check(any, stage, 454, "4.9.9", "later", None, Action::StopRoute);
        check(any, stage, 550, "5.7.1", "Access denied", Some("5.7.1"), Action::StopRoute);
    }
}

#[test]
fn the_first_digit_is_trusted_over_the_enhanced_code() {
    // 4.3.2 in a 554: no row for a full folder, so permanent.
    check(Where::Submission, Stage::End, 554, "4.3.2", "mailbox busy", None, Action::Bounce);
    let folder = "mailbox busy; STOREDRV.Deliver.Exception:StoragePermanentException.MapiExceptionMaxObjsExceeded";
    check(Where::Submission, Stage::End, 554, "4.3.2", folder, Some("4.3.2"), Action::Bounce);
    // 5.x.z in a 4yz.
    check(Where::Submission, Stage::End, 450, "5.1.1", "User unknown", None, Action::Retry);
    check(Where::Ndr, Stage::End, 450, "4.4.7", "in the queue", None, Action::Retry);
}

#[test]
fn a_code_that_stands_in_the_text_alone_is_found() {
    check(
        Where::Submission,
        Stage::End,
        554,
        "",
        "5.2.2 mailbox full; STOREDRV.Submission",
        Some("5.2.2"),
        Action::StopSender,
    );
    check(
        Where::Mx,
        Stage::Rcpt,
        550,
        "",
        "#5.7.606 Access denied, banned sending IP [192.0.2.1]",
        Some("5.7.606-649"),
        Action::SwitchRoute,
    );
}

#[test]
fn text_alone_matches_where_the_code_is_unknown_or_missing() {
    let text = "The mail server [192.0.2.1] has exceeded the maximum number of connections";
    check(Where::Direct, Stage::Greeting, 421, "", text, Some("*"), Action::SlowDown);
    check(Where::Direct, Stage::Greeting, 421, "4.9.9", text, Some("*"), Action::SlowDown);
}

#[test]
fn a_host_name_in_the_tag_is_no_word_of_the_refusal() {
    let text = "Unable to do it [ATTR12.eurprd02.prod.outlook.com 2026-02-13T12:34:56.789Z 08DC2C8A]";
    check(Where::Mx, Stage::Mail, 450, "4.7.1", text, None, Action::Retry);
}

#[test]
fn a_refusal_over_several_lines_is_read_as_one() {
    let mut refusal = reply(535, Some((5, 7, 139)), "Authentication unsuccessful, SmtpClientAuthentication is");
    refusal.lines.push("disabled for the Tenant.".into());
    refusal.lines.push("Visit https://aka.ms/smtp_auth_disabled [AM0PR02CA0001.eurprd02.prod.outlook.com]".into());
    let catalogue = Catalogue::builtin();
    let row = catalogue.smtp(Where::Submission, &refusal).unwrap();
    assert!(row.text.as_ref().unwrap().contains("disabled for the Tenant"), "{row:#?}");
}

#[test]
fn of_an_unknown_server_only_what_holds_anywhere_is_believed() {
    let listed = "Service unavailable, Client host [192.0.2.1] blocked using Spamhaus";
    let catalogue = Catalogue::builtin();
    let row = |where_| catalogue.smtp(where_, &reply(550, Some((5, 7, 1)), listed)).unwrap().action;
    assert_eq!(row(Where::Any), Action::Bounce);
    assert_eq!(row(Where::Mx), Action::SwitchRoute);
    // Our address on a block list is not the sender's fault, whichever path says it.
    assert_eq!(row(Where::Submission), Action::SwitchRoute);
}

#[test]
fn with_no_other_path_our_set_up_pauses_and_the_message_bounces() {
    let catalogue = Catalogue::builtin();
    let act = |number, code, text| {
        catalogue.verdict(Where::Submission, Stage::End, &reply(number, status(code), text)).without_other_path()
    };
    assert_eq!(act(550, "5.7.64", "TenantAttribution; Relay Access Denied"), Action::StopRoute);
    assert_eq!(act(552, "5.3.4", "Message size exceeds fixed maximum message size"), Action::Bounce);
    assert_eq!(act(450, "4.9.9", "later"), Action::Retry);
}

#[test]
fn no_row_lets_a_refusal_with_a_wait_or_a_stop_bounce() {
    let catalogue = Catalogue::builtin();
    for row in catalogue.rows().iter().filter(|row| row.source == Source::Smtp) {
        let kept = matches!(row.action, Action::SlowDown | Action::StopRoute | Action::StopSender | Action::Retry);
        for code in codes(row).into_iter().filter(|_| kept) {
            for number in replies(row, code.map_or(4, |(class, ..)| class)) {
                let refused = reply(number, code, row.text.as_deref().unwrap());
                let verdict = catalogue.verdict(row.where_, Stage::End, &refused);
                assert_ne!(verdict.without_other_path(), Action::Bounce, "{row:#?}");
            }
        }
    }
}

#[test]
fn a_positive_reply_is_known_to_no_row() {
    let catalogue = Catalogue::builtin();
    let text = "maximum number of messages per connection";
    assert!(catalogue.smtp(Where::Mx, &reply(250, Some((2, 0, 0)), text)).is_none());
    assert!(catalogue.smtp(Where::Mx, &reply(354, None, text)).is_none());
}

#[test]
fn the_first_known_number_of_an_entra_error_wins_over_its_name() {
    let catalogue = Catalogue::builtin();
    let code = |error, text, status| catalogue.entra(error, text, status).map(|row| row.code.as_str());
    assert_eq!(
        code("invalid_client", "AADSTS7000222: The provided client secret keys are expired.", 401),
        Some("AADSTS7000222")
    );
    assert_eq!(
        code("invalid_client", "AADSTS99999999: new. AADSTS7000215: Invalid client secret", 401),
        Some("AADSTS7000215")
    );
    assert_eq!(code("invalid_client", "AADSTS99999999: new.", 401), Some("invalid_client"));
    assert_eq!(code("invalid_client", "AADSTS", 401), Some("invalid_client"));
    assert_eq!(code("", "<html>", 502), Some("5xx"));
    assert_eq!(code("new_error", "", 400), None);
}

#[test]
fn graphs_answer_is_told_by_its_text_and_without_a_code_by_its_status() {
    let catalogue = Catalogue::builtin();
    let action = |status, code, text| catalogue.graph(status, code, text).map(|row| row.action);
    assert_eq!(action(403, "ErrorAccessDenied", "Access to OData is disabled: [RAOP]"), Some(Action::StopSender));
    assert_eq!(action(401, "UnknownError", ""), Some(Action::RefreshToken));
    assert_eq!(action(502, "UnknownError", ""), Some(Action::Retry));
    assert_eq!(action(418, "UnknownError", ""), None);
    assert_eq!(action(200, "", ""), Some(Action::SwitchRoute));
}

/// Source, code, part of the text or of the meaning → breaker, excess, about.
#[track_caller]
fn meant(source: Source, code: &str, part: &str) -> (Option<Breaker>, Option<Excess>, Option<About>) {
    let catalogue = Catalogue::builtin();
    let agrees = |row: &&Row| {
        row.source == source
            && row.code == code
            && (row.text.as_deref().unwrap_or_default().contains(part) || row.meaning.contains(part))
    };
    let rows: Vec<&Row> = catalogue.rows().iter().filter(agrees).collect();
    let [row] = rows[..] else { panic!("{code} {part:?}: {} rows", rows.len()) };
    (row.breaker(), row.excess(), row.about)
}

#[test]
fn a_refusal_stops_what_it_is_about_and_no_more() {
    for (code, part, breaker) in [
        ("5.7.705", "", Breaker::Tenant),
        ("5.7.708", "", Breaker::Tenant),
        ("5.7.750", "", Breaker::Tenant),
        ("5.7.700-749", "", Breaker::Tenant),
        ("5.7.501", "", Breaker::Mailbox),
        ("5.1.8", "", Breaker::Mailbox),
        ("5.2.251", "", Breaker::Mailbox),
        ("5.2.252", "Sender throttled", Breaker::Mailbox),
        ("5.2.250-259", "", Breaker::Mailbox),
        ("5.2.2", "SENDING", Breaker::Mailbox),
        // Another mailbox may have its own setting, or the right that this one lacks.
        ("5.7.139", "disabled for the Tenant", Breaker::Mailbox),
        ("5.7.139", "disabled for the Mailbox", Breaker::Mailbox),
        ("5.7.3", "Authentication unsuccessful", Breaker::Mailbox),
        ("5.7.139", "credentials were incorrect", Breaker::Credential),
        ("5.7.139", "basic authentication", Breaker::Credential),
        ("5.7.30", "", Breaker::Credential),
        ("5.7.143", "", Breaker::Credential),
        ("5.7.57", "", Breaker::Path),
        ("4.7.66", "", Breaker::Path),
        ("5.7.64", "", Breaker::Path),
    ] {
        assert_eq!(meant(Source::Smtp, code, part), (Some(breaker), None, None), "{code} {part}");
    }
    for row in Catalogue::builtin().rows().iter().filter(|row| row.source == Source::Entra) {
        let stops = matches!(row.action, Action::StopRoute | Action::RefreshToken);
        assert_eq!(row.breaker(), stops.then_some(Breaker::Credential), "{row:#?}");
        assert_eq!(row.excess(), None, "{row:#?}");
    }
    assert_eq!(meant(Source::Graph, "AccessDenied", ""), (Some(Breaker::Credential), None, None));
    assert_eq!(meant(Source::Graph, "ErrorQuotaExceeded", ""), (Some(Breaker::Mailbox), None, None));
}

#[test]
fn too_much_is_told_by_what_was_too_much_and_opens_no_breaker() {
    for (code, part, excess) in [
        ("4.3.2", "aka.ms/concurrent_sending", Excess::Connections),
        ("4.3.2", "sender thread limit", Excess::Connections),
        ("*", "IB007", Excess::Connections),
        ("5.2.0", "SubmissionQuotaExceeded", Excess::Recipients),
        // It does not say whether the day's recipients are used up, or the minute's messages.
        ("5.2.2", "Submission quota", Excess::Unknown),
        ("5.1.90", "", Excess::Recipients),
        ("5.7.232", "", Excess::External),
        ("5.7.233", "", Excess::External),
        ("5.7.236", "", Excess::ExternalUnderProviderDomain),
        ("4.7.500", "", Excess::Unknown),
        ("4.7.501-649", "", Excess::Unknown),
        ("5.7.508", "", Excess::Unknown),
    ] {
        assert_eq!(meant(Source::Smtp, code, part), (None, Some(excess), None), "{code} {part}");
    }
    assert_eq!(meant(Source::Graph, "ApplicationThrottled", "parallel"), (None, Some(Excess::Connections), None));
    assert_eq!(meant(Source::Graph, "TooManyRequests", ""), (None, Some(Excess::Unknown), None));
    for (code, part) in [("4.3.2", "recipient thread limit"), ("5.2.121", ""), ("5.2.122", "")] {
        assert_eq!(meant(Source::Smtp, code, part), (None, None, Some(About::Recipient)), "{code} {part}");
    }
}

#[test]
fn every_row_that_keeps_mail_says_what_waits_and_only_one_thing() {
    for row in Catalogue::builtin().rows() {
        let said = [row.breaker().is_some(), row.excess().is_some(), row.about.is_some()];
        let said = said.into_iter().filter(|said| *said).count();
        let expected = match row.action {
            // The token endpoint counts requests for tokens; no lane has too many of them.
            Action::SlowDown if row.source == Source::Entra => 0,
            Action::SlowDown | Action::StopRoute | Action::StopSender | Action::RefreshToken => 1,
            Action::SwitchRoute if row.class == Class::Config => 1,
            Action::SwitchRoute | Action::Retry | Action::Bounce | Action::Split => 0,
        };
        assert_eq!(said, expected, "{row:#?}");
    }
}
