//! Any octets as a message: the way in and the way out read the same authors, and what leaves can be read in one way only.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use message::{
    Authors, FieldName, HeaderEdits, Plan, Rewriting, ScanLimits, Scanner, Section, Template, authors, outgoing,
};
use smtp::Mailbox;

const ID: &str = "01ARZ3NDEKTSV";
static AUTHOR: LazyLock<Mailbox> = LazyLock::new(|| Mailbox::parse("lane@contoso.test").unwrap());
static REWRITING: LazyLock<Rewriting> = LazyLock::new(|| Rewriting {
    to: Mailbox::parse("noreply@contoso.test").unwrap(),
    display: Template::parse("{name} via {client}").unwrap(),
    reply_to: true,
    keep_in: Some(FieldName::parse("X-Original-From").unwrap()),
});

fn scan(message: &[u8], piece: usize) -> Option<Authors> {
    let mut scanner = Scanner::new(ScanLimits::default(), "relay.test");
    for piece in message.chunks(piece) {
        scanner.push(piece).ok()?;
    }
    Some(scanner.finish().0.authors)
}

fn addresses(authors: &Authors) -> Vec<&str> {
    authors.identities().map(Mailbox::as_str).collect()
}

fuzz_target!(|data: (u8, bool, bool, &[u8])| {
    let (piece, smtputf8, rewrite, message) = (usize::from(data.0) + 1, data.1, data.2, data.3);
    let Some(scanned) = scan(message, piece) else { return };
    let edits = HeaderEdits::default();
    let plan = Plan {
        id: ID,
        host: "relay.test",
        client: "press",
        date: jiff::Timestamp::UNIX_EPOCH,
        author: Some(&AUTHOR),
        rewriting: rewrite.then_some(&*REWRITING),
        edits: &edits,
        smtputf8,
        encoding: None,
    };
    let end = Section::end_of(message, ID, true).unwrap();
    let result = outgoing(&message[..end], &authors(&Section::parse(&message[..end], ID)), &plan);
    let sent = &result.authors;

    assert_eq!((sent.from_trouble, sent.sender_trouble), (None, None));
    if rewrite {
        assert!(sent.identities().all(|mailbox| mailbox.same_as(&REWRITING.to)));
    } else if scanned.from_trouble.is_none() {
        let mut claimed = addresses(&scanned);
        // Of several authors one must be named as the sender.
        claimed.extend((scanned.from.len() > 1 && scanned.sender.is_none()).then(|| AUTHOR.as_str()));
        assert_eq!(addresses(sent), claimed);
    } else {
        assert_eq!(sent.from.len(), 1);
        assert_eq!(sent.from[0].mailbox, *AUTHOR);
    }

    let section = Section::parse(&result.octets, ID);
    assert_eq!(section.fields().iter().filter(|field| field.is("from")).count(), 1);
    let octets: usize = section.fields().iter().map(|field| field.octets().len()).sum();
    assert_eq!(octets + 2, result.octets.len(), "all of it is fields, and the empty line");
    for line in result.octets.strip_suffix(b"\r\n").unwrap().split(|octet| *octet == b'\n') {
        assert!(line.len() <= 999 && !line.contains(&0));
        assert!(line.strip_suffix(b"\r").unwrap_or(line).iter().all(|octet| *octet != b'\r'));
    }
    assert_eq!(scan(&result.octets, piece).as_ref(), Some(sent), "whoever takes it reads the same");
    let again = outgoing(&result.octets, sent, &plan);
    assert_eq!(again.octets, result.octets, "{:?}", again.notes);
});
