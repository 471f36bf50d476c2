//! One streaming pass over a message on its way to the spool: limits of the header section, and facts that the queue and
//! the next hop need later.

use serde::{Deserialize, Serialize};

use crate::authors::Authors;
use crate::header::HeaderReader;
use crate::lines::Lines;

/// What the content asks of a next hop; found while the message streamed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContentFacts {
    /// An octet over 127 in the body: needs 8BITMIME.
    pub eight_bit_body: bool,
    /// An octet over 127 in the header section: needs SMTPUTF8 (RFC 6532) or a receiver that does not mind.
    pub eight_bit_header: bool,
    /// A CR or LF that is not part of CRLF.
    pub bare_line_ends: bool,
    /// A NUL.
    pub nul: bool,
    /// Octets of the longest line without its CRLF (998 is the most that RFC 5322 allows).
    pub longest_line: u64,
}

/// `Priority: urgent`, `Importance: high`, `X-Priority: 1` or `2` give `High`; `non-urgent`, `low`, `4`, `5` give `Low`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// Bulk.
    Low,
    /// Nothing said.
    #[default]
    Normal,
    /// Urgent.
    High,
}

/// From the header section; texts are cut at 998 octets and unfolded, encoded words decoded nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderFacts {
    /// `Received:` fields, for the hop count (RFC 5321 §6.3).
    pub received: u32,
    /// Values of the comment or id that our own trace fields carry (`id <13 characters>` after `by <our name>`).
    pub our_ids: Vec<String>,
    /// `Message-ID`; `None` if there is no such field: then the copy that leaves gets one made of our own id, the same at
    /// every attempt.
    pub message_id: Option<String>,
    /// `From`
    pub from: Option<String>,
    /// `Subject`
    pub subject: Option<String>,
    /// `Auto-Submitted` other than `no`.
    pub auto_submitted: bool,
    /// `Auto-Submitted: auto-replied`: an answer of a machine, as a report is; nothing answers it (RFC 3834 §2).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_replied: bool,
    /// See there.
    pub importance: Importance,
    /// Who it says it is from; of an earlier version's facts neither authors nor troubles.
    pub authors: Authors,
}

/// Limits of the header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Octets of the whole header section.
    pub header_section: usize,
    /// Header fields.
    pub fields: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { header_section: 256 * 1024, fields: 1000 }
    }
}

/// A limit passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Over `header_section`.
    #[error("the header section is larger than {0} octets")]
    HeaderSection(usize),
    /// Over `fields`.
    #[error("the header section has more than {0} fields")]
    Fields(usize),
}

/// Takes the message as received (without the trace field that we add), in pieces of any size. What it finds does not
/// depend on where the pieces were cut.
#[derive(Debug)]
pub struct Scanner {
    header: HeaderReader,
    lines: Lines,
    nul: bool,
    eight_bit_body: bool,
}

impl Scanner {
    /// `our_name`: the host name that our trace fields carry after `by`.
    pub fn new(limits: ScanLimits, our_name: &str) -> Self {
        Self { header: HeaderReader::new(limits, our_name), lines: Lines::default(), nul: false, eight_bit_body: false }
    }
    /// The next piece. After an error the scanner is of no more use.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        let body = self.header.push(piece)?;
        self.eight_bit_body = self.eight_bit_body || !body.is_ascii();
        self.nul = self.nul || memchr::memchr(0, piece).is_some();
        self.lines.push(piece);
        Ok(())
    }
    /// The message is whole.
    pub fn finish(self) -> (HeaderFacts, ContentFacts) {
        let content = ContentFacts {
            eight_bit_body: self.eight_bit_body,
            eight_bit_header: self.header.eight_bit(),
            bare_line_ends: self.lines.bare(),
            nul: self.nul,
            longest_line: self.lines.longest(),
        };
        (self.header.finish(), content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Author, AuthorTrouble};

    const US: &str = "relay.contoso.com";

    fn scan_in(limits: ScanLimits, pieces: &[&[u8]]) -> Result<(HeaderFacts, ContentFacts), ScanError> {
        let mut scanner = Scanner::new(limits, US);
        for piece in pieces {
            scanner.push(piece)?;
        }
        Ok(scanner.finish())
    }

    fn scan(text: &str) -> (HeaderFacts, ContentFacts) {
        scan_in(ScanLimits::default(), &[text.as_bytes()]).unwrap()
    }

    const EXAMPLE: &str = "Received: from a (b (by relay.contoso.com id 9999999999999) [10.0.0.1])\r\n\
        \tby relay.contoso.com with ESMTPS (TLSv1.3 X)\r\n id 01ARZ3NDEKTSV; Fri, 20 Nov 2026 22:32:07 +0000\r\n\
        Received: from x by other.example with SMTP id 0000000000000; Fri, 20 Nov 2026 22:32:06 +0000\r\n\
        FROM:\t\"Müller\" <m@contoso.com>\r\n\
        Subject : Toner\r\n  low\r\n\
        Subject: another\r\n\
        Message-ID: <1@contoso.com>\r\n\
        Auto-Submitted: auto-generated; x=y\r\n\
        Importance: low\r\n\
        X-Priority: 1 (Highest)\r\n\
        \r\n\
        Received: not a field\r\nline of the body\r\n\0.\r\n";

    #[test]
    fn the_facts_are_found() {
        let (header, content) = scan(EXAMPLE);
        let expected = HeaderFacts {
            received: 2,
            our_ids: vec!["01ARZ3NDEKTSV".to_owned()],
            message_id: Some("<1@contoso.com>".to_owned()),
            from: Some("\"Müller\" <m@contoso.com>".to_owned()),
            subject: Some("Toner  low".to_owned()),
            auto_submitted: true,
            auto_replied: false,
            importance: Importance::High,
            authors: Authors {
                from: vec![Author { name: Some("Müller".to_owned()), mailbox: "m@contoso.com".parse().unwrap() }],
                ..Authors::default()
            },
        };
        assert_eq!(header, expected);
        let expected = ContentFacts { eight_bit_header: true, nul: true, longest_line: 93, ..ContentFacts::default() };
        assert_eq!(content, expected);
    }

    #[test]
    fn splitting_at_every_octet_gives_the_same_facts() {
        let whole = scan(EXAMPLE);
        for at in 0..=EXAMPLE.len() {
            let (one, two) = EXAMPLE.as_bytes().split_at(at);
            assert_eq!(scan_in(ScanLimits::default(), &[one, two]).unwrap(), whole, "at {at}");
        }
        let octets: Vec<&[u8]> = EXAMPLE.as_bytes().chunks(1).collect();
        assert_eq!(scan_in(ScanLimits::default(), &octets).unwrap(), whole);
    }

    #[test]
    fn eight_bit_octets_are_told_apart_by_where_they_stand() {
        let facts = |text| {
            let content = scan(text).1;
            (content.eight_bit_header, content.eight_bit_body)
        };
        assert_eq!(facts("A: b\r\n\r\nc"), (false, false));
        assert_eq!(facts("A: ü\r\n\r\nc"), (true, false));
        assert_eq!(facts("A: b\r\n\r\nü"), (false, true));
        assert_eq!(facts("A: b\r\nGrüße\r\n"), (false, true), "a line without a colon is body");
    }

    #[test]
    fn a_line_that_is_no_field_ends_the_header_section() {
        for first in ["Hello, world: x", " x", ": x", "Grüße: x", "toner is low"] {
            let (header, _) = scan(&format!("{first}\r\nSubject: in the body\r\n\r\n"));
            assert_eq!(header.subject, None, "{first}");
            assert_eq!(header.authors.from_trouble, Some(AuthorTrouble::Missing), "{first}");
        }
    }

    #[test]
    fn fields_hidden_behind_a_bare_line_end_are_counted_as_the_next_hop_will_see_them() {
        let (header, content) = scan("Subject: a\nReceived: b\rReceived: c\r\n\r\n");
        assert_eq!((header.received, content.bare_line_ends), (2, true));
    }

    #[test]
    fn importance_high_wins() {
        let of = |field: &str| scan(&format!("{field}\r\n\r\n")).0.importance;
        let (low, normal, high) = (Importance::Low, Importance::Normal, Importance::High);
        let cases = [
            ("Priority: URGENT", high),
            ("Importance: high", high),
            ("X-Priority: 2", high),
            ("X-Priority: 10", normal),
            ("X-Priority: 5 (Lowest)", low),
            ("Priority: non-urgent", low),
            ("Priority: normal", normal),
            ("Priority: urgent\r\nImportance: low", high),
            ("Importance: low\r\nPriority: normal", low),
        ];
        for (field, importance) in cases {
            assert_eq!(of(field), importance, "{field}");
        }
    }

    #[test]
    fn auto_submitted_no_is_a_person() {
        let of = |value: &str| scan(&format!("Auto-Submitted: {value}\r\n\r\n")).0.auto_submitted;
        assert!(!of("no"));
        assert!(!of("No (sent by hand)"));
        assert!(of("auto-replied"));
    }

    #[test]
    fn limits_are_met_wherever_the_pieces_are_cut() {
        let text = "Subject: abc\r\n\r\nand a body that is longer than the limit of the header section";
        let limits = |header_section, fields| ScanLimits { header_section, fields };
        for at in 0..text.len() {
            let (one, two) = text.as_bytes().split_at(at);
            assert!(scan_in(limits(15, 1), &[one, two]).is_ok());
            assert_eq!(scan_in(limits(13, 1), &[one, two]), Err(ScanError::HeaderSection(13)));
            assert_eq!(scan_in(limits(15, 0), &[one, two]), Err(ScanError::Fields(0)));
        }
    }

    #[test]
    fn texts_are_cut_at_998_octets_and_hold_no_controls() {
        let (header, _) = scan(&format!("Subject: {}\r\nFrom: a\x1b[2Jb\tc\r\n\r\n", "ü".repeat(5000)));
        assert_eq!(header.subject.unwrap().len(), 998);
        assert_eq!(header.from.unwrap(), "a [2Jb c");
    }

    proptest! {
        #[test]
        fn mail_parser_reads_the_same_values(
            fields in proptest::collection::vec(
                ("Subject|From|Message-ID|Received|X-Other", "[a-z<>@.]{1,9}(\r\n[ \t][!-~]{1,9}| [a-z]{1,5}){0,3}"), 1..9),
            cut in any::<prop::sample::Index>(),
        ) {
            let text: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let text = format!("{text}\r\nbody\r\n");
            let (one, two) = text.as_bytes().split_at(cut.index(text.len()));
            let (header, _) = scan_in(ScanLimits::default(), &[one, two]).unwrap();
            let theirs = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
            let value = |name: &str| {
                let first = theirs.headers_raw().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name));
                first.map(|(_, value)| value.replace("\r\n", "").replace('\t', " ").trim().to_owned())
            };
            prop_assert_eq!(&header.subject, &value("Subject"));
            prop_assert_eq!(&header.from, &value("From"));
            prop_assert_eq!(&header.message_id, &value("Message-ID"));
            let received = theirs.headers_raw().filter(|(name, _)| *name == "Received").count();
            prop_assert_eq!(header.received as usize, received);
        }

        #[test]
        fn any_octets_cut_anywhere_give_the_same_facts(
            octets in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'a'), Just(0), Just(200)], 0..80),
            cut in any::<prop::sample::Index>(),
        ) {
            let limits = ScanLimits { header_section: 40, fields: 4 };
            let (one, two) = octets.split_at(cut.index(octets.len() + 1));
            prop_assert_eq!(scan_in(limits, &[one, two]), scan_in(limits, &[&octets]));
        }
    }
}
