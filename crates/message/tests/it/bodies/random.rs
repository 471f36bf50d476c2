//! Bodies of every make, cut anywhere.

use proptest::prelude::*;

use super::reference::Top;
use super::{check, through};

/// Pieces of which bad content is made; some look like structure.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => Just(b"text ".to_vec()),
        4 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"--b1".to_vec()),
        1 => Just(b"--b1--".to_vec()),
        1 => Just(b"--b11".to_vec()),
        1 => Just(b"-".to_vec()),
        1 => Just(b"=".to_vec()),
        1 => Just(b"=41=\r\n".to_vec()),
        1 => Just(b"=3D = \n".to_vec()),
        1 => Just(b" \t".to_vec()),
        1 => Just(b"\0".to_vec()),
        1 => Just("ü€".as_bytes().to_vec()),
        1 => Just(b"\xff\xfe".to_vec()),
        1 => Just(b"TWFu".to_vec()),
        1 => Just(vec![b'x'; 997]),
        1 => Just(vec![b'-'; 80]),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat()),
        Just(b"plain text\r\nof two lines\r\n".to_vec()),
    ]
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")]
}

/// Octets that a failing test can show.
#[derive(Clone)]
struct Octets(Vec<u8>);

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A part from its header section on.
fn part() -> impl Strategy<Value = Octets> {
    let media = prop_oneof![
        Just(""),
        Just("Content-Type: text/plain; charset=utf-8\r\n"),
        Just("Content-Type: text/html\r\n"),
        Just("Content-Type: application/octet-stream\r\n"),
        Just("Content-Type: message/partial; number=1\r\n"),
        Just("Content-Type: message/delivery-status\r\n"),
        Just("X-Long: a\0b\r\n"),
    ];
    let encoding = prop_oneof![
        Just(""),
        Just("Content-Transfer-Encoding: 8bit\r\n"),
        Just("content-transfer-encoding: QUOTED-printable\r\n"),
        Just("Content-Transfer-Encoding: base64\r\n"),
        Just("Content-Transfer-Encoding: x-uuencode\r\n"),
    ];
    let leaf = (media, encoding, line_end(), content());
    let leaf = leaf.prop_map(|(media, encoding, end, content)| {
        [media.replace("\r\n", end).as_bytes(), encoding.as_bytes(), end.as_bytes(), &content].concat()
    });
    leaf.prop_recursive(4, 20, 4, |inner| {
        let kind = prop_oneof![4 => Just("mixed"), 1 => Just("digest"), 1 => Just("signed")];
        let parts = prop::collection::vec((inner.clone(), line_end()), 0..4);
        let multipart = (kind, 1..16_u8, content(), parts, any::<bool>(), content(), line_end());
        let multipart = multipart.prop_map(|(kind, number, preamble, parts, closed, epilogue, end)| {
            let start = format!(
                "Content-Type: multipart/{kind}; boundary=b{number}{end}Content-Transfer-Encoding: 8bit{end}{end}"
            );
            let mut text = start.into_bytes();
            text.extend(preamble);
            for (part, end) in parts {
                text.extend(format!("{end}--b{number}{end}").into_bytes());
                text.extend(part);
            }
            if closed {
                text.extend(format!("{end}--b{number}--{end}").into_bytes());
                text.extend(epilogue);
            }
            text
        });
        let message = (inner, line_end()).prop_map(|(inner, end)| {
            [format!("Content-Type: message/rfc822{end}{end}Subject: x{end}").as_bytes(), &inner].concat()
        });
        prop_oneof![3 => multipart, 1 => message]
    })
    .prop_map(Octets)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_parts_they_decode_to_the_same(part in part(), cut in any::<prop::sample::Index>(), seven_bit in any::<bool>()) {
        let (section, body) = super::reference::split(&part.0, false);
        check(&super::reference::top(section), body, cut.index(body.len() + 1), seven_bit);
    }

    #[test]
    fn octet_by_octet_is_as_good_as_whole(part in part(), seven_bit in any::<bool>()) {
        let (section, body) = super::reference::split(&part.0, false);
        let top = super::reference::top(section);
        let pieces: Vec<&[u8]> = body.chunks(1).collect();
        let (whole, pieces) = (through(&top, &[body], seven_bit), through(&top, &pieces, seven_bit));
        prop_assert_eq!(whole.body.escape_ascii().to_string(), pieces.body.escape_ascii().to_string());
        prop_assert_eq!(format!("{:?}", whole.plan), format!("{:?}", pieces.plan));
    }

    #[test]
    fn a_body_without_parts_decodes_to_the_same(
        body in content().prop_map(Octets),
        media in prop::option::of(prop_oneof![Just("text/plain"), Just("image/png"), Just("multipart/mixed")]),
        encoding in prop::option::of(prop_oneof![Just("binary"), Just("quoted-printable"), Just("base64"), Just("utf-8")]),
        cut in any::<prop::sample::Index>(),
        seven_bit in any::<bool>(),
    ) {
        let octets = |text: &str| text.as_bytes().to_vec();
        let top = Top { content_type: media.map(octets), encoding: encoding.map(octets) };
        check(&top, &body.0, cut.index(body.0.len() + 1), seven_bit);
    }
}
