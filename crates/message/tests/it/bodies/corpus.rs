//! The bodies of `tests/corpus/bodies`, each with one oddity, and some too large to be kept there.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use message::mime::TopPart;

use super::reference::{self, Top};
use super::{Through, check};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/bodies")
}

/// Names and octets, in the order of the names.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let paths = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "eml")).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn checked(message: &[u8], seven_bit: bool) -> Through {
    let (section, body) = reference::split(message, false);
    let top = reference::top(section);
    let ours = TopPart::of(section);
    assert_eq!(
        (ours.content_type.is_some(), ours.content_transfer_encoding.is_some()),
        (top.content_type.is_some(), top.encoding.is_some())
    );
    let places = [0, 1, body.len() / 2, body.len().saturating_sub(1)];
    let last = places.map(|cut| check(&top, body, cut, seven_bit));
    last.into_iter().next_back().unwrap()
}

/// What a plan says, in lines.
fn told(through: &Through) -> String {
    let mut told = String::new();
    let plan = &through.plan;
    if let Some(why) = plan.refusal() {
        writeln!(told, "    refused: {why}").unwrap();
    }
    if plan.breaks_signed_part() {
        writeln!(told, "    a signature is broken").unwrap();
    }
    if let Some(top) = plan.top() {
        let charset = top.charset.map(|charset| format!(", charset={charset}")).unwrap_or_default();
        writeln!(told, "    top: {}{charset}", top.encoding).unwrap();
    }
    plan.notes().iter().for_each(|note| writeln!(told, "    {note}").unwrap());
    told
}

#[test]
fn every_oddity_ends_as_it_is_told() {
    let mut all = String::new();
    for (name, message) in corpus() {
        let (eight, seven) = (told(&checked(&message, false)), told(&checked(&message, true)));
        let same = if eight.is_empty() { "    as it came\n" } else { &eight };
        write!(all, "{name}\n{same}").unwrap();
        if seven != eight {
            write!(all, "  in 7-bit\n{seven}").unwrap();
        }
    }
    let expected = fs::read_to_string(directory().join("expected.txt")).unwrap();
    assert!(all == expected, "expected.txt is not what came out, which is:\n{all}");
}

/// Text and octets of all parts, with those of messages in it.
fn read_by_another(message: &Message) -> Vec<String> {
    let mut read = Vec::new();
    for part in &message.parts {
        let media = part.content_type().map(|it| format!("{}/{}", it.ctype(), it.subtype().unwrap_or_default()));
        let media = media.unwrap_or("text/plain".to_owned()).to_ascii_lowercase();
        match &part.body {
            PartType::Message(inner) => read.extend(read_by_another(inner)),
            PartType::Multipart(_) => read.push(media),
            _ => read.push(format!("{media} {}", part.contents().escape_ascii())),
        }
    }
    read
}

fn read(message: &[u8]) -> Vec<String> {
    read_by_another(&MessageParser::default().parse(message).unwrap())
}

/// With nothing in its header section but what is said of the body.
fn message_of(top: &Top, body: &[u8]) -> Vec<u8> {
    let mut message = b"MIME-Version: 1.0\r\n".to_vec();
    for (name, value) in [("Content-Type", &top.content_type), ("Content-Transfer-Encoding", &top.encoding)] {
        if let Some(value) = value {
            message.extend([name.as_bytes(), b": ", value.trim_ascii(), b"\r\n"].concat());
        }
    }
    [&message, &b"\r\n"[..], body].concat()
}

/// What `mail_parser` reads in another way than we do, or not at all; after re-encoding it reads what we read.
const READ_OTHERWISE: [(&str, &str); 13] = [
    ("base64-with-footer", "takes base64 with anything else in it for text"),
    ("boundary-prefix-of-another", "takes a line that begins like a delimiter for one"),
    ("content-like-a-delimiter", "the same"),
    ("cr-only-multipart", "does not decode base64 with CR"),
    ("duplicate-fields", "takes the last field"),
    ("missing-final-boundary", "takes a line end after the last part for a part of it"),
    ("missing-inner-final-boundary", "reads on past an outer delimiter"),
    ("nul-in-base64", "takes base64 with anything else in it for text"),
    ("part-without-empty-line", "skips lines that are no fields"),
    ("quoted-printable-broken", "takes broken quoted-printable for text"),
    ("quoted-printable-soft-breaks", "reads LF as CRLF"),
    ("multipart-without-boundary", "its line ends become CRLF"),
    ("multipart-without-parts", "its line ends become CRLF"),
];
/// Their line ends become CRLF, and that is all.
const LINES: [&str; 4] = ["delivery-status", "partial", "signed-lf", "uuencode"];

#[test]
fn mail_parser_reads_the_same_before_and_after() {
    for (name, message) in corpus() {
        let (section, body) = reference::split(&message, false);
        for seven_bit in [false, true] {
            let through = checked(&message, seven_bit);
            if through.plan.refusal().is_some() || READ_OTHERWISE.iter().any(|(other, _)| *other == name) {
                continue;
            }
            let before = read(&message_of(&reference::top(section), body));
            let after = read(&message_of(&through.top, &through.body));
            let lines = |read: &[String]| read.iter().map(|part| part.replace("\\r\\n", "\\n")).collect::<Vec<_>>();
            if LINES.contains(&name.as_str()) {
                assert_eq!(lines(&before), lines(&after), "{name}");
            } else {
                assert_eq!(before, after, "{name}, {seven_bit}");
            }
        }
    }
}

#[test]
fn mail_parser_reads_what_we_meant() {
    let table = [
        ("missing-inner-final-boundary", vec!["multipart/mixed", "multipart/mixed", "text/plain one\\ntwo\\r\\n"]),
        ("missing-final-boundary", vec!["multipart/mixed", "text/plain Gr", "text/plain one\\ntwo"]),
        ("nul-in-base64", vec!["image/png \\x89PNG\\r\\n\\x1a\\n"]),
        ("part-without-empty-line", vec!["multipart/mixed", "text/plain this is no field\\nthis neither\\r\\n"]),
    ];
    for (name, expected) in table {
        let message = corpus().into_iter().find(|(other, _)| other == name).unwrap().1;
        let through = checked(&message, false);
        let after = read(&message_of(&through.top, &through.body));
        for (part, expected) in after.iter().zip(expected) {
            assert!(part.starts_with(expected), "{name}: {part} is not {expected}");
        }
    }
}

#[test]
fn what_lies_beyond_the_limits_passes_or_is_refused() {
    let top = Top { content_type: Some(b"multipart/mixed; boundary=b1".to_vec()), encoding: None };
    let parts = |count, last: &str| {
        format!("{}--b1\r\n\r\n{last}\r\n--b1--\r\n", "--b1\r\n\r\nx\r\n".repeat(count)).into_bytes()
    };
    let field = |count| format!("--b1\r\n{}\r\nx\ny\r\n--b1--\r\n", "X-Line: 01234567\r\n".repeat(count)).into_bytes();
    let lf_first = [b"--b1\r\n\r\nline\nwith LF\r\n".to_vec(), parts(10_050, "x")].concat();
    let long_path = "a".repeat(150_000);
    let cases: [(&str, Vec<u8>, bool, bool); 6] = [
        ("many parts", parts(10_050, "x"), true, false),
        ("as many as we look at", parts(9_998, "x\ny"), false, false),
        ("one more, with trouble", parts(9_999, "x\ny"), false, true),
        ("trouble in the first of many", lf_first, false, false),
        ("a header section of 63 KiB", field(3_580), false, false),
        ("a header section over 64 KiB", field(3_700), false, true),
    ];
    for (name, body, identity, refused) in cases {
        let through = check(&top, &body, body.len() / 3, false);
        assert_eq!((through.plan.is_identity(), through.plan.refusal().is_some()), (identity, refused), "{name}");
    }
    let endless = format!("--b1\r\n{long_path}: x\r\n\r\ny\r\n--b1--\r\n").into_bytes();
    assert!(check(&top, &endless, 70_000, false).plan.refusal().is_some(), "a header section without end");
}
