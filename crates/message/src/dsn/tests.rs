//! Written and read back; read by somebody else's parser; with everything hostile that may come.

use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;
use smtp::Mailbox;

use super::*;
use crate::AutoSubmitted;

/// Values that a report borrows.
#[derive(Debug)]
struct Case {
    envid: Option<EnvelopeId>,
    orcpt: Option<OriginalRecipient>,
    reverse_path: ReversePath,
    forward_paths: Vec<ForwardPath>,
    reply: Option<Reply>,
    host: String,
    reason: String,
    hint: Option<String>,
    helo: String,
    client: String,
    subject: Option<String>,
    message_id: Option<String>,
    returned: Returned,
    to: String,
    action: Action,
    eight_bit: bool,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_225_595 + seconds).unwrap()
}

impl Case {
    fn new() -> Self {
        Self {
            envid: Some("QQ+2B1".parse().unwrap()),
            orcpt: Some("rfc822;anna+2Bx@example.net".parse().unwrap()),
            reverse_path: "<billing@contoso.com>".parse().unwrap(),
            forward_paths: vec!["<anna@example.net>".parse().unwrap()],
            reply: Some(Reply::new(550, EnhancedStatus::new(5, 1, 1), "User unknown")),
            host: "smtp.office365.com [203.0.113.1]:587".to_owned(),
            reason: "the recipient does not exist: 550 5.1.1 User unknown".to_owned(),
            hint: Some("The address is wrong. Correct it.".to_owned()),
            helo: "erp.contoso.com".to_owned(),
            client: "erp".to_owned(),
            subject: Some("=?utf-8?Q?M=C3=A4rz?=".to_owned()),
            message_id: Some("<4711@erp.contoso.com>".to_owned()),
            returned: Returned::Header { octets: b"Subject: x\r\nTo: y\r\n\r\nbody\r\n".to_vec(), cut: false },
            to: "billing@contoso.com".to_owned(),
            action: Action::Failed,
            eight_bit: true,
        }
    }

    fn report(&self) -> Report<'_> {
        let status = match self.action {
            Action::Failed => EnhancedStatus::new(5, 1, 1),
            Action::Delayed => EnhancedStatus::new(4, 4, 1),
            _ => EnhancedStatus::new(2, 0, 0),
        };
        let recipient = |forward_path| Recipient {
            forward_path,
            original: self.orcpt.as_ref(),
            status,
            reason: &self.reason,
            hint: self.hint.as_deref(),
            remote: self.reply.as_ref().map(|reply| (self.host.as_str(), reply)),
            last_attempt_at: Some(at(-5)),
            retry_until: (self.action == Action::Delayed).then(|| at(86_400)),
        };
        Report {
            letter: Letter {
                from_name: "Mail Delivery System".to_owned(),
                from: Mailbox::parse("postmaster@relay.contoso.com").unwrap(),
                to: vec![self.to.parse().unwrap()],
                subject: subject(self.action, self.subject.as_deref(), false),
                at: at(0),
                message_id: "01ARZ3NDEKTSV@relay.contoso.com".to_owned(),
                auto_submitted: AutoSubmitted::Replied,
                in_reply_to: self.message_id.clone(),
            },
            action: self.action,
            about: About {
                reporting_mta: "relay.contoso.com",
                id: "01ARZ3NDEKTSA".to_owned(),
                envelope_id: self.envid.as_ref(),
                helo: &self.helo,
                peer: Some("10.20.0.7".parse().unwrap()),
                client: &self.client,
                arrived_at: at(-60),
                reverse_path: &self.reverse_path,
                subject: self.subject.as_deref(),
                message_id: self.message_id.as_deref(),
            },
            recipients: self.forward_paths.iter().map(recipient).collect(),
            others: 0,
            returned: self.returned.clone(),
            eight_bit: self.eight_bit,
        }
    }

    fn written(&self) -> String {
        String::from_utf8(self.report().write()).unwrap()
    }
}

/// What holds for every report, whatever is in it.
fn is_sound(octets: &[u8], recipients: usize, utf8: bool, parts: usize) {
    for line in octets.strip_suffix(b"\r\n").expect("a last line end").split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(line.len() <= 998, "{} octets: {}", line.len(), String::from_utf8_lossy(line));
        assert!(!line.contains(&b'\r') && !line.contains(&0), "{}", String::from_utf8_lossy(line));
    }
    let bare =
        octets.iter().zip(std::iter::once(&0).chain(octets)).any(|(octet, before)| *octet == b'\n' && *before != b'\r');
    assert!(!bare, "a bare line end");
    let read = read(octets).unwrap();
    assert_eq!(read.recipients.len(), recipients);
    let theirs = MessageParser::default().parse(octets).unwrap();
    let multipart = theirs.part(0).unwrap();
    let PartType::Multipart(children) = &multipart.body else { panic!("no multipart") };
    assert_eq!(children.len(), parts);
    let kind = theirs.part(children[1]).unwrap().content_type().unwrap();
    let expected = if utf8 { "global-delivery-status" } else { "delivery-status" };
    assert_eq!((kind.ctype(), kind.subtype()), ("message", Some(expected)));
    assert_eq!(theirs.header_values("To").count(), 1);
    let names = ["bcc", "cc", "x-evil", "received"];
    assert!(!theirs.headers().iter().any(|header| names.contains(&header.name().to_ascii_lowercase().as_str())));
}

/// The message within, as another parser sees it.
fn inner(octets: &[u8]) -> String {
    let theirs = MessageParser::default().parse(octets).unwrap();
    let part = theirs.parts.iter().find(|part| matches!(part.body, PartType::Message(_))).unwrap();
    let range = part.raw_body_offset() as usize..part.raw_end_offset() as usize;
    String::from_utf8_lossy(&octets[range]).into_owned()
}

#[test]
fn a_failure_reads_as_this() {
    let written = Case::new().written();
    let expected = "Date: Sat, 21 Nov 2026 01:46:35 +0000\r\n\
        From: Mail Delivery System <postmaster@relay.contoso.com>\r\n\
        To: billing@contoso.com\r\n\
        Subject: =?utf-8?Q?Not_delivered=3A_M=C3=A4rz?=\r\n\
        Message-ID: <01ARZ3NDEKTSV@relay.contoso.com>\r\n\
        In-Reply-To: <4711@erp.contoso.com>\r\n\
        References: <4711@erp.contoso.com>\r\n\
        Auto-Submitted: auto-replied\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=delivery-status;\r\n \
        boundary=\"=_01ARZ3NDEKTSVrelaycontosocom_0\"\r\n\
        \r\n\
        --=_01ARZ3NDEKTSVrelaycontosocom_0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\
        \r\n\
        This is the mail relay relay.contoso.com. Your message could not be\r\n\
        delivered to this recipient:\r\n\
        \r\n    anna@example.net\r\n\
        \r\n  Why: the recipient does not exist: 550 5.1.1 User unknown\r\n\
        \r\n  What to do: The address is wrong. Correct it.\r\n\
        \r\n  Said by: smtp.office365.com\r\n\
        \r\nThe relay does not try again. Once the cause is removed, send the\r\n\
        message again. If you cannot do that, show this to whoever runs the\r\n\
        relay.\r\n\
        \r\nThe message:\r\n  \
        Id at the relay: 01ARZ3NDEKTSA\r\n  \
        From:            billing@contoso.com\r\n  \
        Subject:         M=C3=A4rz\r\n  \
        Received:        2026-11-21 01:45:35 UTC, from \"erp\" [10.20.0.7]\r\n  \
        Message-ID:      <4711@erp.contoso.com>\r\n\
        \r\nThe header section of the message is attached. This notice was written\r\n\
        by a machine; nobody reads answers to it.\r\n\r\n\
        \r\n--=_01ARZ3NDEKTSVrelaycontosocom_0\r\n\
        Content-Type: message/delivery-status\r\n\
        \r\n\
        Original-Envelope-Id: QQ+1\r\n\
        Reporting-MTA: dns; relay.contoso.com\r\n\
        Received-From-MTA: dns; erp.contoso.com\r\n\
        Arrival-Date: Sat, 21 Nov 2026 01:45:35 +0000\r\n\
        \r\n\
        Original-Recipient: rfc822; anna+x@example.net\r\n\
        Final-Recipient: rfc822; anna@example.net\r\n\
        Action: failed\r\n\
        Status: 5.1.1\r\n\
        Remote-MTA: dns; smtp.office365.com\r\n\
        Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\
        Last-Attempt-Date: Sat, 21 Nov 2026 01:46:30 +0000\r\n\
        Final-Log-ID: 01ARZ3NDEKTSA\r\n\
        \r\n--=_01ARZ3NDEKTSVrelaycontosocom_0\r\n\
        Content-Type: text/rfc822-headers\r\n\
        Content-Transfer-Encoding: 7bit\r\n\
        \r\n\
        Subject: x\r\n\
        To: y\r\n\
        \r\n--=_01ARZ3NDEKTSVrelaycontosocom_0--\r\n";
    assert_eq!(written, expected, "{written}");
    is_sound(written.as_bytes(), 1, false, 3);
}

#[test]
fn what_is_written_is_read() {
    let read = read(Case::new().written().as_bytes()).unwrap();
    let address = |address: &str| Some(("rfc822".to_owned(), address.to_owned()));
    let recipient = RecipientStatus {
        original: address("anna+x@example.net"),
        recipient: address("anna@example.net"),
        action: Some(Action::Failed),
        status: Some(EnhancedStatus::new(5, 1, 1)),
        remote_mta: Some("smtp.office365.com".to_owned()),
        diagnostic: Some(("smtp".to_owned(), "550 5.1.1 User unknown".to_owned())),
        last_attempt_at: Some(at(-5)),
        log_id: Some("01ARZ3NDEKTSA".to_owned()),
        retry_until: None,
    };
    assert_eq!(read.recipients, [recipient]);
    assert_eq!(read.envelope_id.as_deref(), Some("QQ+1"));
    assert_eq!(read.reporting_mta.as_deref(), Some("relay.contoso.com"));
    assert_eq!(read.arrived_at, Some(at(-60)));
    assert!(read.text.unwrap().contains("Subject:         März\n"));
    let original = read.original.unwrap();
    assert_eq!((original.whole, original.header.subject.as_deref()), (false, Some("x")));
}

#[test]
fn a_delay_says_that_nothing_need_be_done_and_until_when_it_is_tried() {
    let written = Case { action: Action::Delayed, ..Case::new() }.written();
    assert!(written.contains("Subject: =?utf-8?Q?Delayed=3A_M=C3=A4rz?=\r\n"));
    assert!(written.contains("Action: delayed\r\nStatus: 4.4.1\r\n"));
    assert!(written.contains("Will-Retry-Until: Sun, 22 Nov 2026 01:46:35 +0000\r\n"));
    assert!(written.contains("You need not do anything") && written.contains("2026-11-22 01:46:35 UTC"), "{written}");
}

#[test]
fn somebody_else_than_the_sender_is_told_whose_message_it_was() {
    let written = Case { to: "it@contoso.com".to_owned(), ..Case::new() }.written();
    assert!(written.contains("A message from\r\nbilling@contoso.com (\"erp\") could not be delivered"), "{written}");
}

#[test]
fn a_whole_message_is_returned_with_its_octets() {
    let message = "From: a\r\nSubject: b\r\n\r\n--=_01ARZ3NDEKTSVrelaycontosocom_0--\r\nGrüße\r\n";
    let case = Case { returned: Returned::Message(message.into()), ..Case::new() };
    let written = case.report().write();
    is_sound(&written, 1, false, 3);
    assert_eq!(inner(&written), message, "the boundary is not one that occurs in it");
    let text = String::from_utf8(written).unwrap();
    assert!(text.contains("_1\"\r\nContent-Transfer-Encoding: 8bit\r\n"), "{text}");
    assert!(read(text.as_bytes()).unwrap().original.unwrap().whole);
    assert!(!Case { eight_bit: false, ..case }.written().contains("message/rfc822"));
}

#[test]
fn a_report_stays_ascii_whatever_the_recipient_and_uses_utf8_where_its_own_reader_does() {
    let reply = Reply::new(550, EnhancedStatus::new(5, 1, 1), "Empfänger unbekannt");
    let forward_paths = vec!["<grün@bücher.example>".parse().unwrap()];
    let orcpt = Some("utf-8;grün@bücher.example".parse().unwrap());
    let case = Case { reply: Some(reply), forward_paths, orcpt, ..Case::new() };
    let plain = case.written();
    assert!(plain.is_ascii());
    assert!(plain.contains("Final-Recipient: utf-8; gr\\x{FC}n@b\\x{FC}cher.example\r\n"), "{plain}");
    assert!(plain.contains("Diagnostic-Code: smtp; 550 5.1.1 Empf\\x{E4}nger unbekannt\r\n"));
    let returned = Returned::Header { octets: "Subject: ü\r\n".into(), cut: false };
    let case = Case { to: "grün@contoso.com".to_owned(), returned, ..case };
    let global = case.written();
    is_sound(global.as_bytes(), 1, true, 3);
    assert!(global.contains("Final-Recipient: utf-8; grün@bücher.example\r\n"), "{global}");
    assert!(
        global
            .contains("Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: ü\r\n")
    );
    for text in [plain, global] {
        let read = read(text.as_bytes()).unwrap();
        assert_eq!(read.recipients[0].recipient, Some(("utf-8".to_owned(), "grün@bücher.example".to_owned())));
        assert_eq!(read.recipients[0].original, Some(("utf-8".to_owned(), "grün@bücher.example".to_owned())));
    }
}

#[test]
fn what_a_remote_says_stays_text() {
    let evil =
        "no\r\n\r\n--=_01ARZ3NDEKTSVrelaycontosocom_0\r\nContent-Type: text/html\r\n\r\n<b>\r\nX-Evil: 1\u{85}\u{2028}";
    let mut reply = Reply::new(550, EnhancedStatus::new(5, 1, 1), evil);
    reply.lines.extend([evil.into(), "\0\u{1b}[2J".into()]);
    let case = Case {
        reply: Some(reply),
        host: format!("a\r\nX-Evil: 1 {evil}"),
        reason: evil.to_owned(),
        hint: Some(evil.to_owned()),
        helo: evil.to_owned(),
        client: evil.to_owned(),
        subject: Some(evil.to_owned()),
        message_id: Some(format!("<a\r\nX-Evil: 1@{evil}>")),
        envid: Some("a+0D+0AX-Evil:+201".parse().unwrap()),
        orcpt: Some("rfc822;a+0D+0A+0D+0AX-Evil:+201".parse().unwrap()),
        ..Case::new()
    };
    let written = case.written();
    is_sound(written.as_bytes(), 1, false, 3);
    assert!(
        !written.contains("\nX-Evil") && written.contains("Original-Recipient: rfc822; a+0D+0A+0D+0AX-Evil:+201\r\n")
    );
    assert!(written.contains("Received-From-MTA: dns; no\r\n"), "{written}");
}

#[test]
fn a_thousand_recipients_are_all_in_the_fields_and_few_in_the_text() {
    let path = |n: usize| format!("<someone{n}@example.net>").parse().unwrap();
    let reply = Reply::new(550, EnhancedStatus::new(5, 1, 1), "x ".repeat(5_000));
    let case = Case { forward_paths: (0..1_000).map(path).collect(), reply: Some(reply), ..Case::new() };
    let written = case.report().write();
    is_sound(&written, 1_000, false, 3);
    assert!(written.len() < 1_500_000, "{}", written.len());
    let text = read(&written).unwrap().text.unwrap();
    assert!(text.contains("and 980 more") && text.len() < 10_000);
}

#[test]
fn nothing_returned_is_said() {
    let case = Case { returned: Returned::Nothing("its bytes are damaged on disk".to_owned()), ..Case::new() };
    let written = case.written();
    is_sound(written.as_bytes(), 1, false, 2);
    assert!(read(written.as_bytes()).unwrap().text.unwrap().contains("its bytes are damaged on disk"));
}

#[test]
fn a_report_of_exchange_is_read() {
    let text = "From: <postmaster@contoso.onmicrosoft.com>\r\nContent-Type: multipart/report;\r\n report-type=\"delivery-status\"; \
        Boundary=\"c9\"\r\nX: y\r\n\r\n--c9\r\nContent-Type: multipart/alternative; differences=Content-Type;\r\n boundary=d1\r\n\r\n\
        --d1\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nYour message=\r\n \
        couldn't be delivered.\r\n--d1\r\nContent-Type: text/html\r\n\r\n<p>\r\n--d1--\r\n--c9\r\nContent-Type: \
        message/delivery-status\r\n\r\nReporting-MTA: dns;AM0.eurprd01.prod.outlook.com\r\nReceived-From-MTA: dns;AM1\r\n\
        Arrival-Date: Sat, 21 Nov 2026 01:45:35 +0000\r\n\r\nFinal-Recipient: rfc822;nobody@contoso.com\r\nAction: failed\r\n\
        Status: 5.1.10\r\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient\r\n not found\r\n\
        X-Display-Name: nobody\r\n\r\n--c9\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <1@contoso.com>\r\n\r\nhello\r\n--c9--\r\n";
    let read = read(text.as_bytes()).unwrap();
    assert_eq!(read.reporting_mta.as_deref(), Some("AM0.eurprd01.prod.outlook.com"));
    assert_eq!(read.text.as_deref(), Some("Your message couldn't be delivered."));
    assert_eq!(read.recipients[0].status, Some(EnhancedStatus::new(5, 1, 10)));
    let diagnostic = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found";
    assert_eq!(read.recipients[0].diagnostic, Some(("smtp".to_owned(), diagnostic.to_owned())));
    let original = read.original.unwrap();
    assert_eq!((original.whole, original.header.message_id.as_deref()), (true, Some("<1@contoso.com>")));
}

#[test]
fn ordinary_mail_is_no_report() {
    assert_eq!(read(b"Subject: x\r\n\r\nFinal-Recipient: rfc822; a@b\r\n"), Err(ReadError::NoStatus));
    let text = "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n";
    assert_eq!(read(text.as_bytes()), Err(ReadError::NoRecipient));
    let text = "Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\n";
    assert_eq!(read(text.as_bytes()).unwrap().recipients.len(), 1, "without fields about the message");
}

const PIECES: &[&[u8]] = &[
    b"Content-Type: multipart/report; boundary=a\r\n\r\n",
    b"--a\r\n",
    b"\r\n--a--\r\n",
    b"\n",
    b"\r",
    b"Content-Type: message/delivery-status\r\n\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Final-Recipient: utf-8; \\x{FC}@b\r\n",
    b"Action: failed\n",
    b" folded\r\n",
    b"\xff\x00:",
    b"QWN0aW9uOiBmYWlsZWQ=",
    b"=41=\r\n=",
];

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[ -~\\r\\n\\t\\x00\\x1b]{0,80}",
        Just("--=_01ARZ3NDEKTSVrelaycontosocom_0--\r\n".to_owned()),
        "[a-z]{900,1100}",
        "( x){0,300}",
        "=\\?utf-8\\?[qb]\\?[a-zA-Z=0-9_]{0,20}\\?=",
    ]
}

fn path() -> impl Strategy<Value = ForwardPath> {
    let mailbox = "[a-zü+=]{1,20}@[a-zü]{1,30}\\.example|\"[ -!#-\\[\\]-~]{1,20}\"@x|\"(\\\\\\\\|ü){1,20}\"@ü";
    prop_oneof![mailbox.prop_filter_map("no mailbox", |text| text.parse().ok()), Just(ForwardPath::Postmaster)]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Action::Failed), Just(Action::Delayed), Just(Action::Relayed)]
}

fn returned() -> impl Strategy<Value = Returned> {
    let octets = proptest::collection::vec(
        prop_oneof![
            hostile().prop_map(String::into_bytes),
            Just(b"\r\n".to_vec()),
            Just(b"Subject: x\r\n".to_vec()),
            Just(b"\xff\r\n".to_vec()),
        ],
        0..8,
    );
    let octets = octets.prop_map(|pieces| pieces.concat());
    prop_oneof![
        hostile().prop_map(Returned::Nothing),
        (octets.clone(), any::<bool>()).prop_map(|(octets, cut)| Returned::Header { octets, cut }),
        octets.prop_map(Returned::Message),
    ]
}

prop_compose! {
    fn case()(
        words in proptest::collection::vec(hostile(), 8),
        paths in proptest::collection::vec(path(), 1..4),
        reply in proptest::option::of(proptest::collection::vec(hostile(), 1..4)),
        returned in returned(),
        orcpt in proptest::option::of("rfc822;[a-z+2B]{1,9}|utf-8;(ü|\\\\x\\{FC\\}|a){1,80}"),
        envid in proptest::option::of("(a|\\+0D|\\+0A|\\+20|\\+FC){1,20}"),
        to in path(),
        action in action(),
        eight_bit in any::<bool>(),
    ) -> Case {
        let mut words = words.into_iter();
        let mut word = || words.next().unwrap();
        let reply = reply.map(|lines| Reply {
            lines: lines.into_iter().map(Into::into).collect(),
            ..Reply::new(550, EnhancedStatus::new(5, 1, 1), "")
        });
        Case {
            envid: envid.and_then(|text| text.parse().ok()),
            orcpt: orcpt.and_then(|text| text.parse().ok()),
            reverse_path: "<billing@contoso.com>".parse().unwrap(),
            forward_paths: paths,
            reply,
            host: word(),
            reason: word(),
            hint: Some(word()),
            helo: word(),
            client: word(),
            subject: Some(word()),
            message_id: Some(word()),
            returned,
            to: to.to_string(),
            action,
            eight_bit,
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_from_outside_a_report_is_sound_and_reads_back(case in case()) {
        let report = case.report();
        let utf8 = report.letter.needs_utf8();
        let written = report.write();
        let parts = if matches!(case.returned, Returned::Nothing(_)) { 2 } else { 3 };
        is_sound(&written, case.forward_paths.len(), utf8, parts);
        let eight_bit = !written.is_ascii();
        prop_assert!(!eight_bit || utf8 || (case.eight_bit && matches!(case.returned, Returned::Message(_))));
        let read = read(&written).unwrap();
        for (recipient, path) in read.recipients.iter().zip(&case.forward_paths) {
            let (_, address) = recipient.recipient.clone().unwrap();
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            let expected = path.mailbox().map_or("postmaster", Mailbox::as_str);
            prop_assert_eq!(squeezed(&address), squeezed(expected));
            prop_assert_eq!(recipient.action, Some(case.action));
            prop_assert_eq!(recipient.last_attempt_at, Some(at(-5)));
            prop_assert_eq!(recipient.log_id.as_deref(), Some("01ARZ3NDEKTSA"));
            if let (Some(reply), false) = (&case.reply, utf8) {
                let said = squeezed(&crate::encoding::ascii(&crate::encoding::clean(&reply.to_string())));
                let diagnostic = squeezed(&recipient.diagnostic.clone().unwrap().1);
                prop_assert!(diagnostic == said || said.len() > 4_000, "{} {}", diagnostic, said);
            }
        }
    }

    #[test]
    fn a_whole_message_keeps_its_lines(lines in proptest::collection::vec("[ -~]{0,100}", 0..20)) {
        let message = format!("Subject: x\r\n\r\n{}\r\n", lines.join("\r\n"));
        let case = Case { returned: Returned::Message(message.clone().into()), ..Case::new() };
        let written = case.report().write();
        prop_assert_eq!(inner(&written), message);
    }

    #[test]
    fn any_octets_are_read_without_harm(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24)
    ) {
        let octets = pieces.concat();
        if let Ok(status) = read(&octets) {
            prop_assert!(!status.recipients.is_empty());
        }
    }
}
