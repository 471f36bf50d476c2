//! What people paste, and what they get: the surest meaning first.

use posthouse_m365::{Catalogue, Certainty, Explanation, Move, Origin, Source, for_support};

fn explain(text: &str) -> Vec<Explanation> {
    Catalogue::builtin().explain(text)
}

/// The text is known for certain, as this and nothing else.
#[track_caller]
fn certain(text: &str, code: &str, part: &str) -> Explanation {
    let found = explain(text);
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    let first = found[0].clone();
    assert_eq!((first.certainty, first.code.as_deref()), (Certainty::Certain, Some(code)), "{text}\n{first:#?}");
    assert!(first.meaning.contains(part), "{text}\n{first:#?}");
    first
}

#[test]
fn a_bare_code_with_one_meaning_is_certain() {
    let found = certain("5.7.60", "5.7.60", "not permitted");
    assert_eq!((found.origin, found.whose_move), (Origin::Smtp, Move::Tenant));
    assert!(found.remedy.contains("Add-RecipientPermission") && found.relay.contains("held"), "{found:#?}");
    assert!(found.reference.is_some_and(|page| page.address.as_ref().is_some_and(|at| at.starts_with("https://"))));
    certain("550 5.7.705", "5.7.705", "spam");
    certain("5.7.720", "5.7.700-749", "tenant bans");
}

#[test]
fn a_pasted_reply_is_told_apart_by_its_words_in_whatever_it_is_pasted() {
    let reply = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit \
                 https://aka.ms/smtp_auth_disabled for more information. [AM0PR02CA0001.eurprd02.prod.outlook.com \
                 2026-02-13T12:34:56.789Z 08DC2C8A12345678]";
    for text in [
        reply.to_owned(),
        format!("Nov 20 12:00:00 host postfix/smtp[1]: 4B3C: SASL authentication failed; server said: {reply}"),
        format!("<<< {reply}\n>>> QUIT\n<<< 221 2.0.0 Service closing transmission channel"),
        reply.replace("is disabled", "is\n  disabled"),
    ] {
        certain(&text, "5.7.139", "switched off on this mailbox");
    }
    let multi = "550-5.7.60 SMTP; Client does not have\r\n550 5.7.60 permissions to send as this sender\r\n";
    certain(multi, "5.7.60", "not permitted");
    let blocked =
        "550 5.2.252 Sender throttled due to continuous send as denied errors; STOREDRV.ClientSubmit [Hostname=X]";
    certain(blocked, "5.2.252", "blocks the mailbox");
    certain("554 5.2.252 SendAsDenied; a@b.test not allowed to send as c@b.test", "5.2.252", "no SendAs right");
}

#[test]
fn a_report_of_undeliverable_mail_is_read() {
    let report = "Delivery has failed to these recipients or groups:\n\nbob@contoso.com\n\
                  Diagnostic information for administrators:\n\nGenerating server: AM0PR02MB1.eurprd02.prod.outlook.com\n\n\
                  bob@contoso.com\nRemote server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by \
                  SMTP address lookup'\n\nReporting-MTA: dns;AM0PR02MB1.eurprd02.prod.outlook.com\nAction: failed\n\
                  Status: 5.1.10\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found\n";
    let found = certain(report, "5.1.10", "does not exist");
    assert_eq!(found.whose_move, Move::Sender);
    assert!(found.relay.starts_with("As a rule Microsoft says this in a report"), "{found:#?}");
}

#[test]
fn an_ambiguous_code_gives_its_meanings_best_first() {
    let found = explain("4.3.2");
    assert!(found.len() > 3 && found.iter().all(|one| one.certainty == Certainty::Possible), "{found:#?}");
    assert!(
        found[0].text.as_deref().is_some_and(|text| text.contains("Concurrent")),
        "the commonest first: {found:#?}"
    );
    let found = explain("432 4.3.2");
    assert!(found[0].text.as_deref().is_some_and(|text| text.contains("Concurrent")), "{found:#?}");
    let found = explain("432");
    assert!((2..=8).contains(&found.len()), "{found:#?}");
    assert!(found.iter().all(|one| one.certainty == Certainty::Possible), "{found:#?}");
    let words = "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending";
    let found = certain(words, "4.3.2", "parallel");
    assert_eq!(found.whose_move, Move::Nobody);
    // A wording that is new: the row of the code, not for certain.
    let found = explain("535 5.7.139 Authentication unsuccessful, something new");
    assert_eq!((found.len(), found[0].certainty), (1, Certainty::Likely), "{found:#?}");
}

#[test]
fn errors_of_entra_are_known_by_number_by_name_and_in_json() {
    let json = r#"{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys for app
        '1111' are expired.\r\nTrace ID: 6b0bdfcc-0000-0000-0000-000000000000","error_codes":[7000222],"timestamp":"x"}"#;
    for text in ["AADSTS7000222", json, "AADSTS7000222: The provided client secret keys for app '1111' are expired."] {
        let found = certain(text, "AADSTS7000222", "expired");
        assert_eq!((found.origin, found.whose_move), (Origin::Entra, Move::Tenant));
        assert!(found.remedy.contains("Certificates & secrets"), "{found:#?}");
    }
    certain("invalid_client", "invalid_client", "rejected");
    let unknown = explain("invalid_client: AADSTS99999999: new");
    assert_eq!(unknown.len(), 2, "{unknown:#?}");
    assert_eq!(unknown[0].code.as_deref(), Some("invalid_client"));
    assert!(unknown[1].remedy.contains("error?code=99999999"), "{unknown:#?}");
}

#[test]
fn errors_of_graph_are_known_by_name_and_told_apart_by_their_words() {
    certain("ErrorSendAsDenied", "ErrorSendAsDenied", "SendAs");
    certain("errorsendasdenied", "ErrorSendAsDenied", "SendAs");
    let json = r#"{"error":{"code":"ErrorAccessDenied","message":"Access to OData is disabled: [RAOP] : Blocked by tenant
        configured AppOnly AccessPolicy settings.","innerError":{"request-id":"6b0bdfcc-1111-2222-3333-444444444444"}}}"#;
    certain(json, "ErrorAccessDenied", "access policy");
    let other = r#"HTTP/1.1 403 Forbidden {"error":{"code":"ErrorAccessDenied","message":"Access is denied."}}"#;
    assert_eq!(explain(other)[0].certainty, Certainty::Likely);
    let found = explain("MailboxConcurrency");
    assert!(found[0].meaning.contains("4 parallel"), "{found:#?}");
    assert!(explain("429").iter().any(|one| one.origin == Origin::Entra), "a bare HTTP status");
}

#[test]
fn our_own_refusals_are_known_with_the_key_that_cures_them() {
    let denied = "550 5.7.1 relaying denied: no client entry of this relay lets 192.0.2.7 in; its administrator must add \
                  [[client]] networks = [\"192.0.2.7/32\"]";
    let found = certain(denied, "5.7.1", "no [[client]] entry");
    assert_eq!((found.origin, found.whose_move), (Origin::Relay, Move::Relay));
    assert!(found.keys.contains(&"client.networks".to_owned()) && found.remedy.contains("`networks`"), "{found:#?}");
    let loose = explain("relaying denied: no client entry of this relay lets 192.0.2.7 in");
    assert_eq!((loose[0].origin, loose[0].certainty), (Origin::Relay, Certainty::Likely), "{loose:#?}");
    assert!(explain("550 5.7.1").iter().any(|one| one.origin == Origin::Relay), "a bare code may be ours too");
}

#[test]
fn an_unknown_answer_is_explained_by_its_first_digit() {
    for (text, part) in [
        ("450 4.9.9 later", "Refused for now"),
        ("550 5.9.9 never", "Refused for good"),
        ("5.1.99", "about an address"),
        ("550", "give the whole reply"),
        ("535", "login is wrong"),
        ("250 2.0.0 OK", "The server said yes"),
    ] {
        let found = explain(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert_eq!((found[0].certainty, &found[0].code), (Certainty::FirstDigit, &None), "{text}");
        assert!(found[0].meaning.contains(part), "{text}: {found:#?}");
    }
    for text in ["", "   ", "hello", "What is this?", "port 587"] {
        assert_eq!(explain(text), [], "{text}");
    }
}

#[test]
fn what_microsofts_support_asks_for_is_picked_out() {
    let text = "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) \
                [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-02-13T12:34:56.789Z 08DC2C8A] ATTR35";
    assert_eq!(
        for_support(text),
        ["AS(201806281)", "[AM0PR02CA0001.eurprd02.prod.outlook.com 2026-02-13T12:34:56.789Z 08DC2C8A]", "ATTR35"]
    );
    assert_eq!(
        for_support("Trace ID: 6b0bdfcc-1111-2222-3333-444444444444"),
        ["Trace ID: 6b0bdfcc-1111-2222-3333-444444444444"]
    );
    assert!(for_support("nothing [here]").is_empty());
}

#[test]
fn every_row_explains_its_own_reply() {
    let catalogue = Catalogue::builtin();
    for row in catalogue.rows() {
        let first = row.code.split_once('-').map_or(row.code.as_str(), |(first, _)| first);
        let text = match row.source {
            Source::Smtp => {
                let number = row.reply.as_deref().map_or("550", |reply| reply.split('/').next().unwrap_or_default());
                let number = number.replace("xx", "50");
                let code = if row.code == "*" { "" } else { first };
                format!("{number} {code} {}", row.text.as_deref().unwrap_or_default())
            }
            Source::Graph | Source::Entra if row.code.parse::<u16>().is_ok() => row.code.clone(),
            Source::Graph => format!("{} {}", row.code, row.text.as_deref().unwrap_or_default()),
            Source::Entra => row.code.clone(),
        };
        if row.code == "5xx" {
            continue; // No text holds it.
        }
        let found = explain(&text);
        let known = found.iter().any(|one| one.code.as_ref() == Some(&row.code) && one.meaning == row.meaning);
        assert!(known, "{text}\n{row:#?}\n{found:#?}");
    }
}

#[test]
fn no_text_makes_it_panic_or_run_on() {
    let nasty = [
        "5.7.60".repeat(50_000),
        "550-\n".repeat(50_000),
        "\u{0}\u{feff}550 5.7.\u{661}60".to_owned(),
        "AADSTS".repeat(50_000),
        "AADSTS1 AADSTS2 AADSTS3 ".repeat(10_000),
        "{\"error\":".repeat(50_000),
        "é".repeat(70_000),
        format!("{}5.7.60", "x".repeat(65_534)),
        "[".repeat(100_000),
        "a_b ".repeat(50_000),
        "432 4.3.2 x\n5.7.1 y\n".repeat(20_000),
    ];
    for text in &nasty {
        assert!(explain(text).len() <= 12);
        assert!(for_support(text).len() <= 12);
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_explained_without_panic(text in "(?s).{0,200}") {
            prop_assert!(explain(&text).len() <= 12);
        }

        #[test]
        fn text_made_of_what_replies_are_made_of_is_explained_without_panic(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("550".to_owned()), Just("5.7.60".to_owned()), Just("-".to_owned()), Just(" ".to_owned()),
                    Just("\n".to_owned()), Just("smtp;".to_owned()), Just("AADSTS".to_owned()), Just("4.3.2".to_owned()),
                    Just("é".to_owned()), Just(".".to_owned()), "[0-9]{1,4}", "[a-zA-Z_]{1,12}"
                ],
                0..40,
            )
        ) {
            let text = pieces.concat();
            prop_assert!(explain(&text).len() <= 12);
        }
    }
}
