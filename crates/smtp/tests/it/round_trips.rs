//! What is written is read back the same.

use proptest::prelude::*;
use smtp::{
    BodyType, DotStuffer, DotUnstuffer, EnhancedStatus, ForwardPath, MailParameters, Mailbox, Notify, RcptParameters,
    Reply, ReplyCode, ReplyParser, Ret, ReversePath,
};

const DOT_STRING: &str = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~üж-]{1,8}(\\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~üж-]{1,8}){0,2}";
const XTEXT: &str = "([!-*,-<>-~]|\\+[0-9A-F]{2}){1,30}";

fn mailbox() -> impl Strategy<Value = String> {
    let local_part = prop_oneof![DOT_STRING, r#""([ -!#-\[\]-~ü]|\\[ -~]){0,20}""#,];
    let domain = prop_oneof![
        "[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9_])?(\\.[a-zü]{1,8}){0,3}",
        any::<[u8; 4]>().prop_map(|it| format!("[{}]", std::net::Ipv4Addr::from(it))),
        any::<[u8; 16]>().prop_map(|it| format!("[IPv6:{}]", std::net::Ipv6Addr::from(it))),
    ];
    (local_part, domain).prop_map(|(local_part, domain)| format!("{local_part}@{domain}"))
}

fn mail_parameters() -> impl Strategy<Value = MailParameters> {
    let body = prop_oneof![Just(BodyType::SevenBit), Just(BodyType::EightBitMime), Just(BodyType::BinaryMime)];
    let ret = prop::option::of(prop_oneof![Just(Ret::Full), Just(Ret::Hdrs)]);
    let auth = prop::option::of(XTEXT.prop_map(|text| text.into()));
    let envid = prop::option::of(XTEXT.prop_map(|text| text.parse().unwrap()));
    (any::<Option<u64>>(), body, any::<bool>(), ret, envid, auth)
        .prop_map(|(size, body, smtputf8, ret, envid, auth)| MailParameters { size, body, smtputf8, ret, envid, auth })
}

fn rcpt_parameters() -> impl Strategy<Value = RcptParameters> {
    let notify = any::<Option<(bool, bool, bool)>>()
        .prop_map(|it| it.map(|(success, failure, delay)| Notify { success, failure, delay }));
    let orcpt = prop_oneof![
        XTEXT.prop_map(|text| format!("rfc822;{text}")),
        "utf-8;([!-*,-<>-\\[\\]-~üж]|\\\\x\\{[0-9A-F]{2,6}\\}){1,30}"
    ];
    (notify, prop::option::of(orcpt.prop_map(|text| text.parse().unwrap())))
        .prop_map(|(notify, orcpt)| RcptParameters { notify, orcpt })
}

fn reply() -> impl Strategy<Value = Reply> {
    let class = prop_oneof![Just(2), Just(4), Just(5)];
    let status = prop::option::of(
        (class, 0..1000u16, 0..1000u16)
            .prop_map(|(class, subject, detail)| EnhancedStatus::new(class, subject, detail)),
    );
    // A text that begins like a status code is read as one.
    let line = "([a-zA-Zü][ -~ü]{0,100})?".prop_map(Into::into);
    (200..600u16, status, prop::collection::vec(line, 1..5)).prop_map(|(code, status, lines)| Reply {
        code: ReplyCode::new(code).unwrap(),
        status,
        lines,
    })
}

/// Content in which CR and LF only come as a pair, at the end too; or any bytes of the kind that matter.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    "((\\.|a|\\x00){0,4}\r\n){0,10}".prop_map(String::into_bytes)
}
fn wild() -> impl Strategy<Value = Vec<u8>> {
    "[.a\r\n]{0,40}".prop_map(String::into_bytes)
}

fn stuffed(content: &[u8], piece: usize) -> Vec<u8> {
    let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
    content.chunks(piece).for_each(|piece| stuffer.push(piece, &mut wire));
    stuffer.finish(&mut wire);
    wire
}

/// Content and what was left over.
fn unstuffed(wire: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
    let (mut unstuffer, mut content, mut consumed) = (DotUnstuffer::new(), Vec::new(), 0);
    for piece in wire.chunks(piece) {
        let step = unstuffer.push(piece, &mut content);
        consumed += step.consumed;
        if step.end {
            return Some((content, wire.len() - consumed));
        }
    }
    None
}

/// By the book, slowly: lines end with CRLF, CR or LF; each leaves with CRLF.
fn normalised(content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(content.to_vec()).unwrap().replace("\r\n", "\n").replace('\r', "\n");
    let ended = if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" };
    ended.replace('\n', "\r\n").into_bytes()
}

/// By the book, slowly: the whole text at once.
fn reference(wire: &str) -> Option<(String, usize)> {
    let text = format!("\r\n{wire}");
    let end = text.find("\r\n.\r\n")?;
    let content = text[2..end + 2].to_owned();
    let mut plain = String::new();
    for line in content.split_inclusive("\r\n") {
        let lone = line.starts_with(".\n") || line.starts_with(".\r");
        plain += if lone { line } else { line.strip_prefix('.').unwrap_or(line) };
    }
    Some((plain, text.len() - end - 5))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mailboxes(text in mailbox()) {
        let mailbox = Mailbox::parse(&text).unwrap();
        prop_assert_eq!(mailbox.as_str(), &text);
        prop_assert_eq!(format!("{}@{}", mailbox.local_part(), mailbox.domain()), text.clone());
        let reverse = ReversePath::Mailbox(mailbox.clone());
        prop_assert_eq!(reverse.to_string().parse::<ReversePath>(), Ok(reverse));
        let forward = ForwardPath::Mailbox(mailbox);
        prop_assert_eq!(format!("<@a.example,@b:{text}>").parse::<ForwardPath>(), Ok(forward));
    }

    #[test]
    fn any_text_that_is_an_address_is_written_as_it_was_read(text in "[a@.\"\\\\\\[\\]<>: \r\n-]{0,12}") {
        if let Ok(mailbox) = Mailbox::parse(&text) {
            prop_assert_eq!(Mailbox::parse(&mailbox.to_string()), Ok(mailbox.clone()));
            prop_assert_eq!(mailbox.as_str(), &text);
            prop_assert!(!text.contains(['\r', '\n']));
        }
    }

    #[test]
    fn parameters_of_mail(parameters in mail_parameters()) {
        prop_assert_eq!(MailParameters::parse(&parameters.to_string()), Ok(parameters));
    }

    #[test]
    fn parameters_of_rcpt(parameters in rcpt_parameters()) {
        prop_assert_eq!(RcptParameters::parse(&parameters.to_string()), Ok(parameters));
    }

    #[test]
    fn replies(reply in reply(), piece in 1..50usize) {
        let mut wire = Vec::new();
        reply.write(&mut wire);
        let mut parser = ReplyParser::new();
        let mut read = None;
        for piece in wire.chunks(piece) {
            prop_assert!(read.is_none(), "a reply before its end");
            let (consumed, found) = parser.push(piece).unwrap();
            prop_assert_eq!(consumed, piece.len());
            read = found;
        }
        prop_assert_eq!(read, Some(reply));
    }

    #[test]
    fn content_of_lines_comes_back_equal(content in lines(), out in 1..20usize, back in 1..20usize) {
        prop_assert_eq!(unstuffed(&stuffed(&content, out), back), Some((content, 0)));
    }

    #[test]
    fn other_content_comes_back_normalised(content in wild(), out in 1..20usize, back in 1..20usize) {
        prop_assert_eq!(unstuffed(&stuffed(&content, out), back), Some((normalised(&content), 0)));
    }

    #[test]
    fn content_leaves_without_bare_line_ends_and_without_an_early_end(content in wild(), piece in 1..20usize) {
        let wire = String::from_utf8(stuffed(&content, piece)).unwrap();
        prop_assert!(!wire.replace("\r\n", "").contains(['\r', '\n']));
        prop_assert_eq!(format!("\r\n{wire}").find("\r\n.\r\n"), Some(wire.len() - 3));
    }

    #[test]
    fn content_arrives_as_the_book_says(wire in "[.a\r\n]{0,30}", piece in 1..20usize) {
        let found = unstuffed(wire.as_bytes(), piece);
        let found = found.map(|(content, left)| (String::from_utf8(content).unwrap(), left));
        prop_assert_eq!(found, reference(&wire));
    }
}
