//! Header sections in and out.

use std::borrow::Cow;

use mail_parser::{Address, MessageParser};
use proptest::prelude::*;

use super::*;
use crate::mime::{Charset, TransferEncoding};
use crate::{ScanLimits, Scanner};

const ID: &str = "01ARZ3NDEKTSV";
const TRACE: &str = "Received: from a ([10.0.0.1])\r\n by relay.test with SMTP\r\n id 01ARZ3NDEKTSV; \
    Fri, 20 Nov 2026 22:32:07 +0000\r\n";
const DATE: &str = "Date: Fri, 20 Nov 2026 22:32:07 +0000\r\n";
/// What every message has here that needs no repair.
const SOUND: &str = "Date: Fri, 20 Nov 2026 22:32:07 +0000\r\nMessage-ID: <1@contoso.test>\r\n";

fn plan<'a>(author: &'a Mailbox, edits: &'a HeaderEdits) -> Plan<'a> {
    Plan {
        id: ID,
        host: "relay.test",
        client: "press",
        date: Timestamp::from_second(1_795_213_927).unwrap(),
        author: Some(author),
        rewriting: None,
        edits,
        smtputf8: false,
        encoding: None,
    }
}

fn author() -> Mailbox {
    Mailbox::parse("lane@contoso.test").unwrap()
}

fn rewriting() -> Rewriting {
    Rewriting {
        to: Mailbox::parse("noreply@contoso.test").unwrap(),
        display: Template::default(),
        reply_to: true,
        keep_in: Some(FieldName::parse("X-Original-From").unwrap()),
    }
}

fn leaving(input: &[u8], plan: &Plan<'_>) -> Outgoing {
    outgoing(input, &authors(&Section::parse(input, plan.id)), plan)
}

fn run_with(input: &[u8], change: impl for<'a> Fn(&mut Plan<'a>)) -> Outgoing {
    let (author, edits) = (author(), HeaderEdits::default());
    let mut plan = plan(&author, &edits);
    change(&mut plan);
    leaving(input, &plan)
}

fn run(input: impl AsRef<[u8]>) -> Outgoing {
    run_with(input.as_ref(), |_| {})
}

fn text(outgoing: &Outgoing) -> Cow<'_, str> {
    String::from_utf8_lossy(&outgoing.octets)
}

/// The sound fields stand before `fields` and `expected`; each change has a note.
#[track_caller]
fn check(fields: impl AsRef<[u8]>, expected: &str) {
    let input = [SOUND.as_bytes(), fields.as_ref(), b"\r\n"].concat();
    let result = run(&input);
    assert_eq!(text(&result), format!("{SOUND}{expected}\r\n"));
    let unchanged = result.octets == input;
    assert_eq!(result.notes.is_empty(), unchanged, "{:?}", result.notes);
    assert_eq!(result.changed_fields.is_empty(), unchanged, "{:?}", result.changed_fields);
}

#[test]
fn what_is_well_formed_leaves_octet_for_octet() {
    for fields in [
        "From: a@b.test\r\n",
        "from:\"M, A\" <a@b.test>,\r\n\tJohn Q. Public <c@d.test>\r\nSender: x@y.test (Daemon)\r\n",
        "From: Team: a@b.test, c@d.test;\r\nSender: c@d.test\r\n",
        "From: =?shift_jis?B?g2WDWINn?= <a@b.test>\r\nTo: undisclosed-recipients:;\r\nX-Empty:\r\n",
        "From: a@[192.0.2.1]\r\nSubject: =?utf-8?q?=C3=A4?=\r\n  and   blanks \r\nReferences: <a@b>\r\n <c@d>\r\n",
        "From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\nReceived: x\r\nReceived: y\r\n",
    ] {
        check(fields, fields);
        let whole = format!("{TRACE}{SOUND}{fields}\r\n");
        assert_eq!(text(&run(&whole)), whole);
    }
}

#[test]
fn a_message_without_anything_gets_what_it_must_have() {
    let expected =
        |trace: &str| format!("{trace}From: <lane@contoso.test>\r\n{DATE}Message-ID: <{ID}@relay.test>\r\n\r\n");
    for (input, trace) in [("", ""), ("\r\n", ""), (TRACE, TRACE)] {
        assert_eq!(text(&run(input)), expected(trace), "{input:?}");
    }
    let result = run_with(b"", |plan| plan.author = None);
    assert!(text(&result).starts_with("From: <MAILER-DAEMON@relay.test>\r\n"));
    let result = run_with(b"", |plan| (plan.author, plan.host) = (None, "::"));
    assert!(text(&result).starts_with("From: <MAILER-DAEMON@localhost>\r\n"));
}

#[test]
fn dates_and_ids_that_cannot_be_read_are_replaced() {
    const FROM: &str = "From: a@b.test\r\n";
    let table = [
        ("Date: Fri, 20 Nov 2026 22:32:07 +0000\r\n", DATE),
        ("Date: 20 Nov 2026 22:32 GMT (x)\r\n", "Date: 20 Nov 2026 22:32 GMT (x)\r\n"),
        ("Date: Mon, 20 Nov 2026 22:32:07 -0500\r\n", "Date: Mon, 20 Nov 2026 22:32:07 -0500\r\n"),
        ("Date: 2026-11-20T22:32:07Z\r\n", DATE),
        ("Date:\r\n", DATE),
    ];
    for (date, expected) in table {
        let input = format!("Message-ID: <1@x>\r\n{date}{FROM}\r\n");
        assert_eq!(text(&run(&input)), format!("Message-ID: <1@x>\r\n{expected}{FROM}\r\n"));
    }
    let table = [
        ("Message-Id: <1@x>\r\n", "", "Message-Id: <1@x>\r\n"),
        ("Message-ID: 1@x\r\n", "", "Message-ID: <1@x>\r\n"),
        ("Message-ID: <1@x>\r\nMessage-ID: <2@x>\r\n", "", "Message-ID: <1@x>\r\n"),
        ("Message-ID:\r\n", "", "Message-ID: <01ARZ3NDEKTSV@relay.test>\r\n"),
        ("Message-ID: <1 2>\r\n", "X-Original-Message-ID: <1 2>\r\n", "Message-ID: <01ARZ3NDEKTSV@relay.test>\r\n"),
    ];
    for (id, above, expected) in table {
        let input = format!("{DATE}{id}{FROM}\r\n");
        assert_eq!(text(&run(&input)), format!("{above}{DATE}{expected}{FROM}\r\n"));
    }
}

#[test]
fn an_unusable_from_never_leaves() {
    let table = [
        ("From: a@b.test\r\nFrom: c@d.test\r\n", "X-Original-From: a@b.test\r\nX-Original-From: c@d.test\r\n", ""),
        ("From: a@b.test, <c@d.test\r\n", "X-Original-From: a@b.test, <c@d.test\r\n", ""),
        ("From: a@b.test <c@d.test>\r\nX-Original-From: x\r\n", "X-Original-From: a@b.test <c@d.test>\r\n", ""),
        ("From: Press 3\r\n", "X-Original-From: Press 3\r\n", "Press 3 "),
        ("From: \"Büro\"\r\n", "X-Original-From: =?utf-8?Q?=22B=C3=BCro=22?=\r\n", "=?utf-8?Q?B=C3=BCro?= "),
        ("From: a\0@b.test\r\n", "X-Original-From: a @b.test\r\n", ""),
        ("From: ;\r\n", "X-Original-From: ;\r\n", "\";\" "),
    ];
    for (fields, kept, name) in table {
        let result = run(format!("{SOUND}{fields}\r\n"));
        assert_eq!(text(&result), format!("{kept}{SOUND}From: {name}<lane@contoso.test>\r\n\r\n"), "{fields:?}");
        assert_eq!(result.authors.from_trouble, None);
    }
    let result = run(format!("{SOUND}From: a@b.test\r\nSender: x, y@z.test\r\n\r\n"));
    assert_eq!(text(&result), format!("X-Original-Sender: x, y@z.test\r\n{SOUND}From: a@b.test\r\n\r\n"));
}

#[test]
fn what_readers_could_read_in_two_ways_is_written_anew() {
    let table: &[(&[u8], &str)] = &[
        (b"From: Printer 3 printer3@contoso.test\r\n", "From: Printer 3 <printer3@contoso.test>\r\n"),
        (b"From: <@x.test,@y.test:a@b.test>\r\n", "From: a@b.test\r\n"),
        (
            b"From: Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\r\n",
            "From: Pete <pete@silly.test>\r\n",
        ),
        (b"From: \"a\" . b @ c . test\r\n", ""),
        (b"From: a . b @ c . test\r\n", "From: a.b@c.test\r\n"),
        (b"From: \"a\"@b.test\r\n", "From: a@b.test\r\n"),
        (b"From: , a@b.test,, \r\n", "From: a@b.test\r\n"),
        (b"From: =?utf-8?b?YUBiAA==?= <a@b.test>\r\n", "From: \"a@b\" <a@b.test>\r\n"),
        (b"From: \"x@y.test\": a@b.test;\r\n", "From: a@b.test\r\n"),
        (b"From: \"<x@y.test>\" <a@b.test>\r\n", "From: =?utf-8?Q?=3Cx=40y=2Etest=3E?= <a@b.test>\r\n"),
        (b"From: B\xfcro <a@b.test>\r\n", "From: =?utf-8?Q?B=C3=BCro?= <a@b.test>\r\n"),
        (b"From : a@b.test\r\n", "From: a@b.test\r\n"),
        (b"From: A\r\n \r\n <a@b.test>\r\n", "From: A\r\n <a@b.test>\r\n"),
    ];
    for (fields, expected) in table.iter().filter(|(_, expected)| !expected.is_empty()) {
        check(fields, expected);
    }
}

#[test]
fn of_several_authors_one_is_named_as_the_sender() {
    let (lane, quoted) = (author(), Mailbox::parse("\"x y\"@contoso.test").unwrap());
    let (other, edits) = (Mailbox::parse("ü@contoso.test").unwrap(), HeaderEdits::default());
    let two = "From: a@b.test, c@d.test\r\n";
    let group = "From: Team: a@b.test, c@d.test;\r\n";
    let table = [
        (two, Some(&lane), false, "lane@contoso.test"),
        (two, None, false, "a@b.test"),
        (group, Some(&lane), false, "lane@contoso.test"),
        ("From: a@b.test, c@d.test\r\nSender: x, y\r\n", Some(&lane), false, "lane@contoso.test"),
        (two, Some(&quoted), false, "<\"x y\"@contoso.test>"),
        (two, Some(&other), false, "a@b.test"),
        (two, Some(&other), true, "ü@contoso.test"),
        (two, Some(&quoted), true, "<\"x y\"@contoso.test>"),
    ];
    for (fields, author, smtputf8, sender) in table {
        let input = format!("{SOUND}{fields}\r\n");
        let result = leaving(input.as_bytes(), &Plan { author, smtputf8, ..plan(&lane, &edits) });
        let added = format!("Sender: {sender}\r\n");
        assert!(text(&result).contains(&added) && result.changed_fields.contains(&"sender".to_owned()), "{fields}");
        assert!(result.notes.iter().any(|note| note.contains("several authors")), "{:?}", result.notes);
    }
    for fields in ["From: Team: a@b.test;\r\n", "From: a@b.test, c@d.test\r\nSender: c@d.test\r\n"] {
        check(fields, fields);
    }
}

#[test]
fn repairs_of_other_fields() {
    const FROM: &str = "From: a@b.test\r\n";
    let long_word = "x".repeat(1_000);
    let table: &[(&[u8], &str)] = &[
        (b"Bcc: x@y.test\r\nReturn-Path: <a@b>\r\nResent-Bcc: z@y.test\r\n", ""),
        (b"X-MS-Exchange-Organization-SCL: -1\r\nx-ms-exchange-organization-a: b\r\n", ""),
        (b"Subject: a\r\nSubject: b\r\nTo: a@b.test\r\nTo: c@d.test\r\n", "Subject: a\r\nTo: a@b.test\r\n"),
        (b"To: Anna anna@b.test, \"B\" <b@b.test>\r\n", "To: Anna <anna@b.test>, B <b@b.test>\r\n"),
        (b"Subject: a\0b\x07\r\n", "Subject: a b \r\n"),
        (b"Subject: a\nX: b\rY: c\r\n", "Subject: a\r\nX: b\r\nY: c\r\n"),
        (b"Subject: a\r\n\t \r\n b\r\n", "Subject: a\r\n b\r\n"),
        ("Subject: Störung\r\n".as_bytes(), "Subject: =?utf-8?Q?St=C3=B6rung?=\r\n"),
        (b"Subject: St\xf6rung\r\n", "Subject: =?utf-8?Q?St=C3=B6rung?=\r\n"),
        ("To: Büro <a@b.test>, ü@b.test\r\n".as_bytes(), "To: =?utf-8?Q?B=C3=BCro?= <a@b.test>, ü@b.test\r\n"),
    ];
    for (fields, expected) in table {
        check([FROM.as_bytes(), fields].concat(), &format!("{FROM}{expected}"));
    }
    let ids = run(format!("{SOUND}{FROM}References: <ü@b.test>\r\nIn-Reply-To: <a@b> <ü@b>\r\n\r\n"));
    assert_eq!(text(&ids), format!("{SOUND}{FROM}In-Reply-To: <a@b>\r\n\r\n"));
    let name = "N".repeat(990);
    let result = run(format!("{SOUND}{FROM}{name}: {}\r\n\r\n", "v".repeat(500)));
    assert_eq!(text(&result), format!("{SOUND}{FROM}{name}:\r\n {}\r\n\r\n", "v".repeat(500)));
    let result = run(format!("{SOUND}{FROM}Content-Type: text/plain\r\n\r\n"));
    assert_eq!(text(&result), format!("MIME-Version: 1.0\r\n{SOUND}{FROM}Content-Type: text/plain\r\n\r\n"));
    let result =
        run(format!("{SOUND}{FROM}Subject: {long_word}\r\nX: {} {}\r\n\r\n", "a".repeat(600), "b".repeat(600)));
    assert!(text(&result).contains("\r\nX: a") && text(&result).contains("\r\n bbb"));
    assert!(result.octets.split(|octet| *octet == b'\n').all(|line| line.len() <= 999));
    let read = MessageParser::default().parse(&result.octets).unwrap();
    assert_eq!(read.subject(), Some(long_word.as_str()));
}

#[test]
fn values_that_exchange_would_refuse_are_shortened() {
    const FROM: &str = "From: a@b.test\r\n";
    let to = (0..2_000).map(|n| format!("Recipient <r{n}@b.test>")).collect::<Vec<_>>().join(",\r\n ");
    let references = (0..2_000).map(|n| format!("<{n}.0123456789@b.test>")).collect::<Vec<_>>().join("\r\n ");
    let subject = "word ".repeat(8_000);
    let input =
        format!("{SOUND}{FROM}To: {to}\r\nReferences: {references}\r\nSubject: {subject}\r\nX-Long: {subject}\r\n\r\n");
    let result = run(input);
    let section = Section::parse(&result.octets, ID);
    let value = |name: &str| {
        section.fields().iter().find(|field| field.is(name)).map(|field| crate::encoding::text_of(&field.unfolded()))
    };
    let to = value("to").unwrap();
    assert!(
        (29_000..32_768).contains(&to.len()) && to.trim().starts_with("Recipient <r0@") && to.ends_with('>'),
        "{}",
        to.len()
    );
    let ids = value("references").unwrap();
    let ids: Vec<_> = ids.split_whitespace().collect();
    assert_eq!((ids.len(), ids[0], ids[20]), (21, "<0.0123456789@b.test>", "<1999.0123456789@b.test>"));
    assert!(value("subject").unwrap().len() < 30_000);
    assert_eq!(value("x-long"), None);
    assert_eq!(run(&result.octets).octets, result.octets);
}

#[test]
fn with_smtputf8_only_what_is_not_utf8_is_encoded() {
    let fields = "From: Büro <ü@b.test>\r\nSubject: Störung\r\n";
    let input = [SOUND.as_bytes(), fields.as_bytes(), b"X: \xfc\r\n\r\n"].concat();
    let result = run_with(&input, |plan| plan.smtputf8 = true);
    assert_eq!(text(&result), format!("{SOUND}{fields}X: =?utf-8?Q?=C3=BC?=\r\n\r\n"));
    assert!(result.eight_bit);
}

#[test]
fn rewriting_keeps_who_wrote() {
    let rewriting = rewriting();
    let go = |fields: &str| {
        let (author, edits) = (author(), HeaderEdits::default());
        let plan = Plan { rewriting: Some(&rewriting), ..plan(&author, &edits) };
        let result = leaving(format!("{SOUND}{fields}\r\n").as_bytes(), &plan);
        assert_eq!(leaving(&result.octets, &plan).octets, result.octets, "{fields}");
        text(&result).into_owned()
    };
    let table = [
        (
            "From: Anna <anna@a.test>\r\n",
            "Reply-To: Anna <anna@a.test>\r\n",
            "X-Original-From: Anna <anna@a.test>\r\n",
            "From: Anna <noreply@contoso.test>\r\n",
        ),
        (
            "From: Anna <anna@a.test>, b@b.test\r\nSender: c@c.test\r\nReply-To: d@d.test\r\nX-Original-From: forged\r\n",
            "",
            "X-Original-From-Sender: c@c.test\r\nX-Original-From: Anna <anna@a.test>, b@b.test\r\n",
            "From: \"Anna, b@b.test\" <noreply@contoso.test>\r\nReply-To: d@d.test\r\n",
        ),
        ("From: X <NoReply@contoso.test>\r\n", "", "", "From: X <NoReply@contoso.test>\r\n"),
        (
            "From: ü@a.test\r\n",
            "",
            "X-Original-From: =?utf-8?Q?=C3=BC=40a=2Etest?=\r\n",
            "From: =?utf-8?Q?=C3=BC=40a=2Etest?= <noreply@contoso.test>\r\n",
        ),
        (
            "From: =?shift_jis?B?g2WDWINn?= <anna@a.test>\r\n",
            "Reply-To: anna@a.test\r\n",
            "X-Original-From: =?shift_jis?B?g2WDWINn?= <anna@a.test>\r\n",
            "From: \"anna@a.test\" <noreply@contoso.test>\r\n",
        ),
        (
            "From: Press\r\n",
            "Reply-To: lane@contoso.test\r\n",
            "X-Original-From: Press\r\n",
            "From: \"lane@contoso.test\" <noreply@contoso.test>\r\n",
        ),
    ];
    for (fields, reply_to, kept, expected) in table {
        assert_eq!(go(fields), format!("{kept}{reply_to}{SOUND}{expected}\r\n"), "{fields}");
    }
}

#[test]
fn edits_are_made_and_made_once() {
    let name = |text: &str| FieldName::parse(text).unwrap();
    let edits = HeaderEdits::new(
        vec![(name("X-Site"), "Köln".to_owned())],
        vec![(name("Subject"), "[press] done".to_owned()), (name("Reply-To"), "Büro <a@b.test>".to_owned())],
        vec![name("X-Mailer")],
    );
    let (author, edits) = (author(), edits.unwrap());
    let plan = plan(&author, &edits);
    let result = leaving(format!("{SOUND}From: a@b.test\r\nsubject: x\r\nX-Mailer: y\r\n\r\n").as_bytes(), &plan);
    let expected = format!(
        "Reply-To: =?utf-8?Q?B=C3=BCro?= <a@b.test>\r\nX-Site: =?utf-8?Q?K=C3=B6ln?=\r\n\
        {SOUND}From: a@b.test\r\nSubject: [press] done\r\n\r\n"
    );
    assert_eq!(text(&result), expected);
    assert_eq!(leaving(&result.octets, &plan).notes, Vec::<String>::new());
}

#[test]
fn of_a_field_that_may_stand_once_the_added_one_counts() {
    let name = |text: &str| FieldName::parse(text).unwrap();
    let added = |texts: [(&str, &str); 2]| {
        HeaderEdits::new(texts.map(|(field, value)| (name(field), value.to_owned())).to_vec(), vec![], vec![]).unwrap()
    };
    let (author, edits) = (author(), added([("Reply-To", "a@b.test"), ("reply-to", "c@d.test")]));
    let plan = plan(&author, &edits);
    let result = leaving(b"", &plan);
    let expected =
        format!("reply-to: c@d.test\r\nFrom: <lane@contoso.test>\r\n{DATE}Message-ID: <{ID}@relay.test>\r\n");
    assert_eq!(text(&result), format!("{expected}\r\n"));
    let result = leaving(format!("{SOUND}From: a@b.test\r\nReply-To: x@y.test\r\n\r\n").as_bytes(), &plan);
    assert_eq!(text(&result), format!("{SOUND}From: a@b.test\r\nreply-to: c@d.test\r\n\r\n"));
}

#[test]
fn the_body_of_a_single_part_is_declared_as_it_leaves() {
    let new = NewEncoding { encoding: TransferEncoding::QuotedPrintable, charset: Some(Charset::Utf8) };
    let (author, edits) = (author(), HeaderEdits::default());
    let plan = Plan { encoding: Some(new), ..plan(&author, &edits) };
    let result = leaving(format!("{SOUND}From: a@b.test\r\n\r\n").as_bytes(), &plan);
    let expected = format!(
        "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n\
        {SOUND}From: a@b.test\r\n\r\n"
    );
    assert_eq!(text(&result), expected);
    assert_eq!(leaving(&result.octets, &plan).octets, result.octets);
}

#[test]
fn a_first_line_that_begins_with_a_blank_is_never_a_field() {
    let result = run(TRACE);
    assert!(result.octets.ends_with(b"\r\n\r\n"));
    let input = format!("{TRACE} From: evil@b.test\r\nFrom: evil@b.test\r\n\r\n");
    let end = Section::end_of(input.as_bytes(), ID, true).unwrap();
    assert_eq!(end, TRACE.len());
    let mut scanner = Scanner::new(ScanLimits::default(), "relay.test");
    scanner.push(&input.as_bytes()[end..]).unwrap();
    assert_eq!(scanner.finish().0.authors.from, []);
}

/// What a lenient reader finds in all fields of this name.
fn theirs(octets: &[u8], name: &str) -> Vec<String> {
    let Some(message) = MessageParser::default().parse(octets) else { return Vec::new() };
    let fields = message.headers().iter().filter(|header| header.name.as_str().eq_ignore_ascii_case(name));
    let lists = fields.map(|header| match header.value.as_address() {
        Some(Address::List(list)) => list.clone(),
        Some(Address::Group(groups)) => groups.iter().flat_map(|group| group.addresses.clone()).collect(),
        None => Vec::new(),
    });
    lists.flatten().map(|address| address.address.unwrap_or_default().into_owned()).collect()
}

fn mailboxes<'a>(authors: impl IntoIterator<Item = &'a crate::Author>) -> Vec<String> {
    authors.into_iter().map(|author| author.mailbox.to_string()).collect()
}

/// Words that header sections are made of, and worse.
const WORDS: [&str; 52] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "X-Original-From",
    "Bcc",
    "References",
    "Content-Type",
    " ",
    " ",
    "\t",
    ":",
    ": ",
    "\r",
    "\n",
    "\r\n",
    "\r\n ",
    "\r\n\r\n",
    "<",
    ">",
    "@",
    ",",
    ";",
    ".",
    "(",
    ")",
    "\"",
    "\\",
    "[",
    "]",
    "a",
    "b.test",
    "a@b.test",
    "a@b.test",
    "<c@d.test>",
    "<c@d.test>",
    "\"x y\"",
    "=?utf-8?q?=40?=",
    "=?",
    "?=",
    "ü",
    "＠",
    "\0",
    "\u{7}",
    "\r\nFrom: ",
    "\r\nFrom: a@b.test\r\n",
    "\r\nSender: ",
    "(x)",
    "\u{a0}",
];

/// A From or Sender that is close to one that can be used.
const OF_ADDRESSES: [&str; 34] = [
    " ",
    " ",
    ",",
    ", ",
    "a",
    "Q.",
    ".",
    "@",
    "<",
    ">",
    "(x)",
    "(",
    ")",
    ":",
    ";",
    "G:",
    "a@b.test",
    "<a@b.test>",
    "<c@d.test>",
    "\"q\"",
    "\"x y\"",
    "\"<e@f.test>\"",
    "\"g@h.test\"",
    "\"k\"@b.test",
    "<@r.test:a@b.test>",
    "=?utf-8?q?=C3=A4?=",
    "=?utf-8?q?=40,=3C?=",
    "=?iso-8859-1?B?5A==?=",
    "ü",
    "m@[10.0.0.1]",
    "\r\n ",
    "\\",
    "(a@b.test)",
    "-",
];

fn addresses() -> impl Strategy<Value = String> {
    let words =
        proptest::collection::vec(prop::sample::select(&OF_ADDRESSES[..]), 0..7).prop_map(|words| words.concat());
    (prop_oneof![Just("From"), Just("From: a@b.test\r\nSender")], words)
        .prop_map(|(name, words)| format!("{name}: {words}\r\n\r\n"))
}

fn sections() -> impl Strategy<Value = String> {
    let start =
        prop_oneof![Just(""), Just("From: "), Just("Sender: "), Just("From: a@b.test\r\nSender: "), Just("To: ")];
    let words = proptest::collection::vec(prop::sample::select(&WORDS[..]), 0..16).prop_map(|words| words.concat());
    (start, words, prop_oneof![Just(""), Just("\r\n"), Just("\r\n\r\n")]).prop_map(|(a, b, c)| format!("{a}{b}{c}"))
}

/// Header fields as a careful client writes them: one From, then some of the others.
fn well_formed() -> impl Strategy<Value = Vec<String>> {
    const MAILBOX: &str = "([A-Z][a-z]{0,9}( [A-Z]\\.)?( [A-Z][a-z]{1,9})? |\"[A-Za-z,.@ ]{1,20}\" |=\\?utf-8\\?B\\?w6TDtg==\\?= )<[a-z]{1,8}(\\.[a-z0-9]{1,5})?@[a-z]{2,8}\\.test>";
    let list = || proptest::collection::vec(MAILBOX, 1..4).prop_map(|list| list.join(",\r\n "));
    let other = prop_oneof![
        list().prop_map(|list| format!("To: {list}\r\n")),
        list().prop_map(|list| format!("Cc: G: {list};\r\n")),
        list().prop_map(|list| format!("Reply-To: {list}\r\n")),
        "References: <[a-z]{3,9}@[a-z]{2,5}>(\r\n\t<[a-z]{3,9}@[a-z]{2,5}>){0,4}\r\n",
        "In-Reply-To: <[a-z]{3,9}@[a-z]{2,5}>\r\n",
        Just("MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n charset=\"utf-8\"\r\n".to_owned()),
        "List-Unsubscribe: <https://[a-z]{2,9}\\.test/[a-z]{0,40}>\r\n",
        "X-[A-Z][a-z]{2,5}:( [!-~]{1,60}){0,6}(\r\n\t[!-~ ]{0,60}x){0,2}\r\n",
    ];
    let from = prop_oneof![
        MAILBOX.prop_map(|mailbox| format!("From: {mailbox}\r\n")),
        (list(), MAILBOX).prop_map(|(list, sender)| format!("From: {list}\r\nSender: {sender}\r\n")),
    ];
    (from, proptest::collection::vec(other, 0..6)).prop_map(|(from, others)| {
        let mut seen = Vec::new();
        let once = |field: &String| {
            let name = field.split(':').next().unwrap_or_default().to_owned();
            let first = !seen.contains(&name);
            seen.push(name);
            first
        };
        std::iter::once(from).chain(others.into_iter().filter(once)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn everybody_reads_the_same_authors(fields in prop_oneof![sections(), addresses()], smtputf8: bool, traced: bool, rewrite: bool) {
        let input = if traced { format!("{TRACE}{fields}") } else { fields.clone() };
        let end = Section::end_of(input.as_bytes(), ID, true).unwrap();
        let (author, edits, rewriting) = (author(), HeaderEdits::default(), rewriting());
        let plan = Plan { smtputf8, rewriting: rewrite.then_some(&rewriting), ..plan(&author, &edits) };
        let result = leaving(&input.as_bytes()[..end], &plan);

        let mut scanner = Scanner::new(ScanLimits::default(), "relay.test");
        scanner.push(fields.as_bytes()).unwrap();
        let scanned = scanner.finish().0.authors;
        let sent = &result.authors;
        prop_assert_eq!(sent.from_trouble, None);
        prop_assert_eq!(sent.sender_trouble, None);
        match (&plan.rewriting, scanned.from_trouble) {
            (Some(rewriting), _) => prop_assert!(sent.identities().all(|mailbox| mailbox.same_as(&rewriting.to))),
            (None, Some(_)) => prop_assert!(sent.from.iter().all(|sent| sent.mailbox == author)),
            (None, None) => prop_assert_eq!(mailboxes(&sent.from), mailboxes(&scanned.from)),
        }
        if !rewrite {
            let lacking = scanned.sender.is_none() && scanned.from.len() > 1;
            let sender = if lacking { vec![author.to_string()] } else { mailboxes(&scanned.sender) };
            prop_assert_eq!(mailboxes(&sent.sender), sender);
        }

        prop_assert_eq!(theirs(&result.octets, "from"), mailboxes(&sent.from), "{}", text(&result));
        prop_assert_eq!(theirs(&result.octets, "sender"), mailboxes(&sent.sender), "{}", text(&result));

        let lines: Vec<_> = result.octets.strip_suffix(b"\r\n\r\n").unwrap().split(|octet| *octet == b'\n').collect();
        prop_assert!(lines.iter().all(|line| line.len() <= 999 && !line.trim_ascii().is_empty() && !line.contains(&0)));
        prop_assert!(lines[..lines.len() - 1].iter().all(|line| line.iter().position(|octet| *octet == b'\r') == Some(line.len() - 1)));

        let again = leaving(&result.octets, &plan);
        prop_assert_eq!(text(&again), text(&result));
        prop_assert_eq!(again.notes, Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn well_formed_messages_leave_octet_for_octet(fields in well_formed()) {
        let input = format!("{TRACE}{SOUND}{}\r\n", fields.concat());
        let result = run(&input);
        prop_assert_eq!(text(&result), input.as_str());
        prop_assert!(result.notes.is_empty() && result.changed_fields.is_empty());
    }

    #[test]
    fn a_rewritten_message_says_the_same_to_its_reader(fields in well_formed(), subject in "[a-zäöü€ ]{1,90}") {
        let input = format!("{SOUND}{}Subject: {subject}\r\n\r\nbody\r\n", fields.concat());
        let end = Section::end_of(input.as_bytes(), ID, true).unwrap();
        let rewriting = rewriting();
        let (author, edits) = (author(), HeaderEdits::default());
        let result = leaving(&input.as_bytes()[..end], &Plan { rewriting: Some(&rewriting), ..plan(&author, &edits) });
        let output = [&result.octets[..], &input.as_bytes()[end..]].concat();

        let changed = ["From", "Sender", "Reply-To", "X-Original-From", "X-Original-From-Sender", "Subject"];
        let said = |octets: &[u8]| {
            let message = MessageParser::default().parse(octets).unwrap();
            let kept = message.headers().iter().filter(|header| !changed.contains(&header.name.as_str()));
            let fields: Vec<_> = kept.map(|header| format!("{} {:?}", header.name.as_str(), header.value)).collect();
            let subject = message.subject().map(|subject| subject.split_whitespace().collect::<Vec<_>>().join(" "));
            (fields, subject, message.body_text(0).map(Cow::into_owned))
        };
        prop_assert_eq!(said(&output), said(input.as_bytes()));
        prop_assert_eq!(theirs(&output, "from"), ["noreply@contoso.test"]);
        if !fields.iter().any(|field| field.starts_with("Reply-To")) {
            prop_assert_eq!(theirs(&output, "reply-to"), theirs(input.as_bytes(), "from"));
        }
    }
}
