//! Octets written anew, as they stream by: quoted-printable and base64 (RFC 2045 §6.7, §6.8), and CRLF at line ends.
//!
//! In: octets, in pieces; what comes out does not depend on the cuts. Out: lines of at most 76 octets (of any length from
//! `LineEnds`). A line never begins with `-`, lest it be taken for a delimiter.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::plan::Treatment;
use super::quoted::{Quoted, Unquoted};

/// RFC 2045 §6.7, §6.8: a line has no more.
pub(super) const LINE: usize = 76;
/// Octets that base64 makes such a line of.
const GROUP: usize = LINE / 4 * 3;

/// One of the ways to write octets.
pub(super) enum Encoder {
    Keep,
    Omit,
    LineEnds(LineEnds),
    Quoted(Quoted),
    Base64(Base64),
    Requoted(Unquoted, Quoted),
    Rewrapped(Rewrapped),
}

impl Encoder {
    pub(super) fn new(treatment: Treatment) -> Self {
        match treatment {
            Treatment::Keep => Self::Keep,
            Treatment::Omit => Self::Omit,
            Treatment::LineEnds => Self::LineEnds(LineEnds::default()),
            Treatment::Quote => Self::Quoted(Quoted::default()),
            Treatment::Base64 => Self::Base64(Base64::default()),
            Treatment::Requote => Self::Requoted(Unquoted::default(), Quoted::default()),
            Treatment::Rewrap => Self::Rewrapped(Rewrapped::default()),
        }
    }

    pub(super) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Keep => out.extend_from_slice(octets),
            Self::Omit => {}
            Self::LineEnds(lines) => lines.push(octets, out),
            Self::Quoted(quoted) => quoted.push(octets, out),
            Self::Base64(base64) => base64.push(octets, out),
            Self::Requoted(unquoted, quoted) => unquoted.push(octets, |octet| quoted.octet(octet, out)),
            Self::Rewrapped(lines) => lines.push(octets, out),
        }
    }

    /// `last`: no delimiter, whose line end would end the last line, comes after it.
    pub(super) fn finish(self, last: bool, out: &mut Vec<u8>) {
        match self {
            Self::Keep | Self::Omit | Self::LineEnds(_) => {}
            Self::Quoted(quoted) => quoted.finish(last, out),
            Self::Base64(base64) => base64.finish(last, out),
            Self::Requoted(unquoted, mut quoted) => {
                unquoted.finish(|octet| quoted.octet(octet, out));
                quoted.finish(last, out);
            }
            Self::Rewrapped(lines) => lines.finish(last, out),
        }
    }
}

/// Every line end becomes CRLF.
#[derive(Default)]
pub(super) struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        while !rest.is_empty() {
            let after_cr = std::mem::take(&mut self.after_cr);
            rest = rest.strip_prefix(b"\n").filter(|_| after_cr).unwrap_or(rest);
            let (text, tail) = rest.split_at(memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()));
            out.extend_from_slice(text);
            if let Some((end, after)) = tail.split_first() {
                out.extend_from_slice(b"\r\n");
                self.after_cr = *end == b'\r';
                rest = after;
            } else {
                rest = tail;
            }
        }
    }
}

/// Base64 of octets.
#[derive(Default)]
pub(super) struct Base64 {
    group: Vec<u8>,
    lines: bool,
}

impl Base64 {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.group.len() == GROUP {
                self.line(out);
            }
            let (taken, after) = rest.split_at(rest.len().min(GROUP - self.group.len()));
            self.group.extend_from_slice(taken);
            rest = after;
        }
    }

    fn line(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.lines, true) {
            out.extend_from_slice(b"\r\n");
        }
        let mut text = [0; LINE];
        let length = STANDARD.encode_slice(&self.group, &mut text).expect("a group makes no more than a line");
        out.extend_from_slice(text.get(..length).unwrap_or_default());
        self.group.clear();
    }

    fn finish(mut self, last: bool, out: &mut Vec<u8>) {
        if !self.group.is_empty() {
            self.line(out);
        }
        if last && self.lines {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Base64 in other lines; what is no digit of it means nothing (RFC 2045 §6.8) and is left out.
#[derive(Default)]
pub(super) struct Rewrapped {
    column: usize,
}

impl Rewrapped {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let digits = octets.iter().filter(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(octet));
        for digit in digits {
            if self.column == LINE {
                out.extend_from_slice(b"\r\n");
                self.column = 0;
            }
            out.push(*digit);
            self.column += 1;
        }
    }

    fn finish(self, last: bool, out: &mut Vec<u8>) {
        if last && self.column > 0 {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(treatment: Treatment, pieces: &[&[u8]], last: bool) -> Vec<u8> {
        let (mut encoder, mut out) = (Encoder::new(treatment), Vec::new());
        pieces.iter().for_each(|piece| encoder.push(piece, &mut out));
        encoder.finish(last, &mut out);
        out
    }

    fn check(treatment: Treatment, table: &[(&str, &str)]) {
        for (text, expected) in table {
            let out = String::from_utf8(written(treatment, &[text.as_bytes()], false)).unwrap();
            assert_eq!(out, *expected, "{treatment:?} of {text:?}");
        }
    }

    #[test]
    fn quoted_printable_keeps_crlf_and_encodes_bare_line_ends() {
        check(
            Treatment::Quote,
            &[
                ("", ""),
                ("one\r\ntwo\r\n", "one\r\ntwo\r\n"),
                ("one\ntwo", "one=0A=\r\ntwo"),
                ("one\n", "one=0A"),
                ("one\rtwo\r", "one=0D=\r\ntwo=0D"),
                ("one\r\r\ntwo", "one=0D\r\ntwo"),
                ("one\n\r\ntwo", "one=0A\r\ntwo"),
                ("a = b\0\u{fc}", "a =3D b=00=C3=BC"),
                ("a \r\nb\t\r\nc ", "a=20\r\nb=09\r\nc=20"),
                ("a \nb", "a =0A=\r\nb"),
                ("-- \r\na--b\n-c", "=2D-=20\r\na--b=0A=\r\n=2Dc"),
            ],
        );
    }

    #[test]
    fn a_last_line_is_ended_without_meaning_it() {
        let cases: [(Treatment, &[u8], &str); 6] = [
            (Treatment::Quote, b"one\n", "one=0A=\r\n"),
            (Treatment::Quote, b"one\r\n", "one\r\n"),
            (Treatment::Quote, b"", ""),
            (Treatment::Base64, b"one", "b25l\r\n"),
            (Treatment::Rewrap, b"b25l", "b25l\r\n"),
            (Treatment::Keep, b"one", "one"),
        ];
        for (treatment, text, expected) in cases {
            let out = written(treatment, &[text], true);
            assert_eq!(out, expected.as_bytes(), "{treatment:?} of {}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_quoted_printable_already_says_the_same_in_other_lines() {
        let (long, broken) = ("=E9".repeat(30), format!("{}=\r\n{}", "=E9".repeat(25), "=E9".repeat(5)));
        check(
            Treatment::Requote,
            &[
                ("one=0Atwo=\n three", "one=0A=\r\ntwo three"),
                ("soft  =\r\nhard  \r\nend", "soft  hard\r\nend"),
                ("soft = \t\nend=", "soft end"),
                ("=e9=E9", "=E9=E9"),
                ("a=b =4 =4G == =\rx", "a=3Db =3D4 =3D4G =3D=3D x"),
                ("=4", "=3D4"),
                ("= x", "=3D x"),
                (&long, &broken),
            ],
        );
    }

    #[test]
    fn base64_is_cut_into_lines_and_nothing_else_is_left_in_it() {
        let digits = "QUJD".repeat(20);
        let (line, rest) = digits.split_at(76);
        let cut = format!("{line}\r\n{rest}");
        check(Treatment::Rewrap, &[(&digits, &cut), ("QU\0J\nD--=\r\n", "QUJD="), ("", "")]);
        check(Treatment::Base64, &[(&"ABC".repeat(20), &cut), ("a", "YQ=="), ("", "")]);
    }

    #[test]
    fn line_ends_become_crlf_and_other_text_is_left_out() {
        check(Treatment::LineEnds, &[("a\nb\rc\r\nd\r\r\n\n\re", "a\r\nb\r\nc\r\nd\r\n\r\n\r\n\r\ne"), ("\r", "\r\n")]);
        check(Treatment::Omit, &[("a\nb", "")]);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter_and_lines_are_short(
            octets in prop::collection::vec(prop_oneof![Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'='), Just(b'4'), Just(b'-'), any::<u8>()], 0..400),
            cut in any::<prop::sample::Index>(),
            last in any::<bool>(),
        ) {
            let (one, two) = octets.split_at(cut.index(octets.len() + 1));
            for treatment in [Treatment::Quote, Treatment::Base64, Treatment::Requote, Treatment::Rewrap, Treatment::LineEnds] {
                let out = written(treatment, &[&octets], last);
                prop_assert_eq!(&out, &written(treatment, &[one, &[], two], last));
                let lines: Vec<_> = crate::encoding::lines(&out).collect();
                if treatment != Treatment::LineEnds {
                    prop_assert!(lines.iter().all(|line| line.len() <= LINE && !line.starts_with(b"-") && line.is_ascii()));
                }
            }
        }

        #[test]
        fn quoted_printable_is_read_back(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let out = written(Treatment::Quote, &[&octets], true);
            prop_assert_eq!(crate::encoding::from_quoted(&out), octets.clone());
            let out = written(Treatment::Base64, &[&octets], true);
            prop_assert_eq!(crate::encoding::from_base64(&out), octets);
        }
    }
}
