//! Messages, settings, and the shortest way from them to a report.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use message::{ContentFacts, HeaderFacts};
use queue::{
    Attempt, AttemptReport, BodyReader, LaneName, LaneVerdict, Message, MessageId, Origin, Outcome, Recipient,
    RecipientState, Transport,
};
use smtp::BodyType;

use super::body::Pieces;
use super::journal::Notes;
use crate::auth::Login;
use crate::{Auth, ClientTls, SmtpKind, SmtpSettings, SmtpTransport, Timeouts};

pub(crate) const TEXT: &str = "Subject: toner\r\n\r\nThe toner is low.\r\n.\r\nReally.\r\n";

/// Ready for mail, all of the common extensions offered.
pub(crate) const HELLO: &str = "
S: 220 mx.test ESMTP
C: EHLO relay.test
S: 250-mx.test greets you
S: 250-PIPELINING
S: 250-SIZE 1000000
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-DSN
S: 250 ENHANCEDSTATUSCODES";

/// One message to anna, taken.
pub(crate) const TAKEN: &str = "
C: MAIL FROM:<printer@contoso.test>*
S: 250 2.1.0 Sender OK
C: RCPT TO:<anna@contoso.test>*
S: 250 2.1.5 Recipient OK
C: DATA
S: 354 Go on
CONTENT
S: 250 2.0.0 Ok: queued as 4B3C9120F7";

pub(crate) fn message(recipients: &[&str]) -> Message {
    let recipient = |path: &&str| Recipient {
        forward_path: path.parse().unwrap(),
        notify: None,
        orcpt: None,
        archive: false,
        state: RecipientState::fresh(),
    };
    Message {
        id: MessageId::from_i64(1).unwrap(),
        accepted_at: Timestamp::UNIX_EPOCH,
        origin: Origin {
            client: "printers".into(),
            user: None,
            peer: "192.0.2.1:1025".parse().unwrap(),
            helo: "printer".to_owned(),
            tls: None,
            session: "1".to_owned(),
        },
        reverse_path: "printer@contoso.test".parse().unwrap(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        size: TEXT.len() as u64,
        header: HeaderFacts { message_id: Some("<1@contoso.test>".to_owned()), ..HeaderFacts::default() },
        content: ContentFacts { longest_line: 17, ..ContentFacts::default() },
        recipients: recipients.iter().map(recipient).collect(),
        urgent: false,
        lane: LaneName("test/smarthost".into()),
        attempts: 0,
        due_at: Timestamp::UNIX_EPOCH,
        hold: None,
        warned: false,
        report_to: None,
        report_of: None,
        story: Vec::new(),
    }
}

pub(crate) fn settings(address: SocketAddr) -> SmtpSettings {
    let long = Duration::from_secs(60);
    SmtpSettings {
        lane: LaneName("test/smarthost".into()),
        kind: SmtpKind::Smarthost,
        host: "127.0.0.1".to_owned(),
        port: address.port(),
        tls: ClientTls::None,
        ca: None,
        hello: "relay.test".to_owned(),
        auth: Auth::None,
        recipients: 500,
        recipients_of_a_domain: None,
        connections: 2,
        timeouts: Timeouts { connect: long, handshake: long, command: long, content: long, end: long },
        messages_per_connection: 50,
        connection_age: Duration::from_secs(600),
        connection_idle: Duration::from_secs(60),
    }
}

pub(crate) fn transport(settings: SmtpSettings) -> SmtpTransport {
    let login = Login::new(&settings.auth);
    SmtpTransport::with_login(settings, m365::Catalogue::builtin(), login).unwrap()
}

/// Tries all recipients with the usual text.
pub(crate) async fn attempt(transport: &SmtpTransport, message: &Message) -> AttemptReport {
    attempt_with(transport, message, Pieces::of(&[TEXT])).await
}

/// In as many transactions as it takes.
pub(crate) async fn attempt_with(transport: &SmtpTransport, message: &Message, body: BodyReader) -> AttemptReport {
    attempt_journalled(transport, message, body, usize::MAX, &Notes::new()).await
}

/// In at most so many transactions, noted in that journal. And sees that each recipient is named once, and that nobody is
/// said to have, or perhaps to have, what the journal does not know of.
pub(crate) async fn attempt_journalled(
    transport: &SmtpTransport,
    message: &Message,
    body: BodyReader,
    transactions: usize,
    journal: &Notes,
) -> AttemptReport {
    let all: Vec<u32> = (0..message.recipients.len() as u32).collect();
    let attempt = Attempt { message, recipients: all.clone(), transactions, journal };
    let report = transport.attempt(attempt, body, Timestamp::UNIX_EPOCH).await;
    let mut named: Vec<u32> = report.results.iter().flat_map(|(recipients, _)| recipients.clone()).collect();
    named.sort_unstable();
    assert_eq!(named, all, "{report:?}");
    let noted = journal.noted().concat();
    for (recipients, outcome) in &report.results {
        let gone = matches!(outcome, Outcome::HandedOver { .. } | Outcome::Unconfirmed { .. });
        assert!(!gone || recipients.iter().all(|index| noted.contains(index)), "{noted:?}: {report:?}");
    }
    report
}

/// What became of one recipient.
pub(crate) fn outcome(report: &AttemptReport, recipient: u32) -> &Outcome {
    &report.results.iter().find(|(recipients, _)| recipients.contains(&recipient)).unwrap().1
}

/// Short names for outcomes: `handed over`, `deferred`, `waiting` (deferred, does not count), `bounced 5.1.1`, `unconfirmed`.
pub(crate) fn named(report: &AttemptReport, recipient: u32) -> String {
    match outcome(report, recipient) {
        Outcome::HandedOver { .. } => "handed over".to_owned(),
        Outcome::Deferred { counts: true, .. } => "deferred".to_owned(),
        Outcome::Deferred { counts: false, .. } => "waiting".to_owned(),
        Outcome::Bounced { status, .. } => format!("bounced {status}"),
        Outcome::Unconfirmed { .. } => "unconfirmed".to_owned(),
    }
}

/// Short names for verdicts.
pub(crate) fn lane(report: &AttemptReport) -> String {
    match &report.lane {
        LaneVerdict::Healthy => "healthy".to_owned(),
        LaneVerdict::Neutral => "neutral".to_owned(),
        LaneVerdict::Rest { .. } => "rest".to_owned(),
        LaneVerdict::Throttled(throttle) => format!("throttled {:?}", throttle.what),
        LaneVerdict::Paused(pause) => format!("paused {:?} {}", pause.scope, pause.code),
    }
}

/// Joins parts of scripts.
pub(crate) fn script(parts: &[&str]) -> String {
    parts.join("\n")
}
