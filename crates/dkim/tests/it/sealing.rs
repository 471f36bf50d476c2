//! ARC sets, verified by mail-auth and dkimpy.

use posthouse_dkim::{Arrival, Sealed, SignError};

use crate::dkimpy;
use crate::judge::{chain_verdict, verdicts};
use crate::site::{NOW, Site};

/// From elsewhere: the relay has no key of its author.
const SECTION: &str = "Received: from a by b; Fri, 20 Nov 2026 22:32:07 +0000\r\nFrom: b@example.test\r\n\
    To: c@contoso.test\r\nSubject: Angebot\r\n\t 12\r\n";
const BODY: &str = "Guten Tag \t\r\n\r\nfreundliche  Grüße\r\n\r\n";

fn arrival(user: Option<&str>) -> Arrival {
    Arrival { server: "relay.contoso.test".to_owned(), user: user.map(str::to_owned) }
}

fn seal(before: &str, section: &str, user: Option<&str>) -> Result<Sealed, SignError> {
    let mut sealing = Site::contoso().keys.sealing().unwrap();
    sealing.header(section.as_bytes());
    BODY.as_bytes().chunks(3).for_each(|piece| sealing.body(piece));
    sealing.finish(before.as_bytes(), &arrival(user), jiff::Timestamp::from_second(NOW).unwrap())
}

fn sealed(before: &str, section: &str, user: Option<&str>) -> String {
    let Sealed::Set(set) = seal(before, section, user).unwrap() else { panic!("{section} was not sealed") };
    [std::str::from_utf8(&set).unwrap(), before, section, "\r\n", BODY].concat()
}

#[test]
fn the_first_set_verifies_and_says_how_the_message_came() {
    let records = Site::contoso().records();
    for (user, said) in [
        (None, "i=1; relay.contoso.test;\r\n\tnone\r\n"),
        (Some("erp"), "i=1; relay.contoso.test;\r\n\tauth=pass smtp.auth=erp\r\n"),
        (Some("a \"b\""), "smtp.auth=\"a \\\"b\\\"\"\r\n"),
    ] {
        let message = sealed("", SECTION, user);
        assert!(message.contains(said), "{message}");
        assert!(message.contains("\r\nARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed;"), "{message}");
        assert!(message.starts_with("ARC-Seal: i=1; a=rsa-sha256; cv=none; d=contoso.test; s=rsa; t="), "{message}");
        assert_eq!(chain_verdict(message.as_bytes(), &records), "pass 1", "{message}");
        if dkimpy::installed() {
            assert_eq!(dkimpy::verdicts(message.as_bytes(), &records), ["arc pass success"], "{message}");
        }
    }
}

#[test]
fn tampering_with_message_or_set_is_noticed() {
    let message = sealed("", SECTION, Some("erp"));
    for (from, to) in
        [("Grüße", "Gruesse"), ("Angebot", "Auftrag"), ("smtp.auth=erp", "smtp.auth=crm"), ("cv=none", "cv=pass")]
    {
        assert!(message.contains(from), "{from}");
        let changed = message.replacen(from, to, 1);
        let verdict = chain_verdict(changed.as_bytes(), &Site::contoso().records());
        assert!(!verdict.starts_with("pass"), "{from} → {to}: {verdict}");
    }
}

#[test]
fn a_signature_of_our_own_is_covered_and_both_verify() {
    let section = SECTION.replace("b@example.test", "b@contoso.test");
    let fields = Site::contoso().fields(section.as_bytes(), [BODY.as_bytes()]).unwrap();
    let message = sealed(std::str::from_utf8(&fields).unwrap(), &section, None);
    let records = Site::contoso().records();
    assert_eq!(verdicts(message.as_bytes(), &records), ["rsa pass", "ed pass"]);
    assert_eq!(chain_verdict(message.as_bytes(), &records), "pass 1");
    let changed = message.replacen("DKIM-Signature: v=1;", "DKIM-Signature: v=2;", 1);
    assert!(!chain_verdict(changed.as_bytes(), &records).starts_with("pass"));
}

#[test]
fn what_was_sealed_before_goes_on_as_it_is() {
    for field in ["ARC-Seal", "arc-message-signature", "ARC-Authentication-Results"] {
        let section = format!("{field}: i=1; x\r\n{SECTION}");
        assert_eq!(seal("", &section, None), Ok(Sealed::SealedBefore), "{field}");
    }
}

#[test]
fn without_from_nothing_is_sealed() {
    assert_eq!(seal("", "To: c@contoso.test\r\n", None), Err(SignError::NoFrom));
}
