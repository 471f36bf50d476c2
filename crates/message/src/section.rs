//! The header section of a stored message as fields.
//!
//! In: a buffer that begins with the whole head of a message, and the id that the relay's own trace field carries. Out: where
//! the body starts, the fields with their octets as they came. Never: a change of an octet.
//!
//! Lines and fields are told apart exactly as in `header`, which reads the same message before it is stored: a bare CR or
//! LF ends a line, a line that is neither field nor continuation ends the section. The relay's own trace field, which stands in
//! front of what `header` has read, is taken off first, so that a first line of the message that begins with a blank is the
//! body's and never a continuation of ours.

use crate::header::{Name, name};

/// Octets before the id in a trace field of ours, at most: two host names, a cipher suite.
const BEFORE_ID: usize = 2_048;
/// ` Fri, 20 Nov 2026 22:32:07 +0000`
const DATE: usize = 32;

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    trace: &'a [u8],
    fields: Vec<Field<'a>>,
    empty_line: bool,
}

/// A header field, its line ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    octets: &'a [u8],
    colon: usize,
}

impl<'a> Section<'a> {
    /// Where the body starts; `None` if the buffer does not tell yet. `id`: of the message, as its trace field names it;
    /// `whole`: nothing follows the buffer.
    pub fn end_of(buffer: &[u8], id: &str, whole: bool) -> Option<usize> {
        let mut walk = Walk::new(buffer, id);
        while let Some(line) = walk.next_line() {
            if !whole && !line.ended {
                return None;
            }
        }
        (walk.over || whole).then_some(walk.at)
    }

    /// Reads what [`Section::end_of`] has measured. What follows the section in the octets is left alone.
    pub fn parse(octets: &'a [u8], id: &str) -> Self {
        let mut walk = Walk::new(octets, id);
        let trace = octets.get(..walk.at).unwrap_or_default();
        let (mut fields, mut empty_line) = (Vec::<Field<'a>>::new(), false);
        let mut start = walk.at;
        while let Some(line) = walk.next_line() {
            match line.kind {
                Kind::Field { colon } => {
                    start = line.start;
                    fields.push(Field { octets: octets.get(start..walk.at).unwrap_or_default(), colon });
                }
                Kind::Continuation => {
                    if let Some(last) = fields.last_mut() {
                        last.octets = octets.get(start..walk.at).unwrap_or_default();
                    }
                }
                Kind::Empty => empty_line = true,
                Kind::Body => {}
            }
        }
        Self { trace, fields, empty_line }
    }

    /// The trace field that the relay itself has put in front; empty if there is none.
    pub fn trace(&self) -> &'a [u8] {
        self.trace
    }
    /// Those that came with the message.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }
    /// Whether the empty line that divides header section and body was there.
    pub fn has_empty_line(&self) -> bool {
        self.empty_line
    }
}

impl<'a> Field<'a> {
    /// As it came, with its line ends.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }
    /// Without the blanks that may stand before the colon; printable ASCII.
    pub fn name(&self) -> &'a str {
        let name = self.octets.get(..self.colon).unwrap_or_default().trim_ascii_end();
        std::str::from_utf8(name).unwrap_or_default()
    }
    /// Whether it is this field; case does not matter.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }
    /// What follows the colon, its line ends as they came.
    pub fn body(&self) -> &'a [u8] {
        self.octets.get(self.colon + 1..).unwrap_or_default()
    }
    /// What follows the colon, without line ends; every blank stays.
    pub fn unfolded(&self) -> Vec<u8> {
        unfold(self.body())
    }
    /// Octets of the whole field without line ends.
    pub(crate) fn unfolded_length(&self) -> usize {
        self.octets.iter().filter(|octet| !matches!(octet, b'\r' | b'\n')).count()
    }
}

/// Without its line ends.
pub(crate) fn unfold(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect()
}

/// Octets of the trace field that the relay has put in front of this message, see `trace`; 0 if there is none.
fn trace_length(buffer: &[u8], id: &str) -> usize {
    let length = || {
        let front = buffer.get(..BEFORE_ID).unwrap_or(buffer);
        front.strip_prefix(b"Received: from")?;
        let marks = format!(" id {id};");
        let after = memchr::memmem::find(front, marks.as_bytes())? + marks.len();
        let folded = if buffer.get(after..)?.starts_with(b"\r\n") { 2 } else { 0 };
        let end = after + folded + DATE;
        buffer.get(end..)?.starts_with(b"\r\n").then_some(end + 2)
    };
    length().unwrap_or(0)
}

enum Kind {
    Field { colon: usize },
    Continuation,
    Empty,
    Body,
}

struct Line {
    kind: Kind,
    start: usize,
    /// Its end has been seen, and cannot be the half of a CRLF.
    ended: bool,
}

/// Goes through the lines of a header section; at its end `at` is where the body starts.
struct Walk<'b> {
    buffer: &'b [u8],
    at: usize,
    any: bool,
    over: bool,
}

impl<'b> Walk<'b> {
    fn new(buffer: &'b [u8], id: &str) -> Self {
        Self { buffer, at: trace_length(buffer, id), any: false, over: false }
    }

    fn next_line(&mut self) -> Option<Line> {
        let start = self.at;
        let rest = self.buffer.get(start..).filter(|rest| !self.over && !rest.is_empty())?;
        let (text, tail) = rest.split_at(memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()));
        let end = if tail.starts_with(b"\r\n") { 2 } else { tail.len().min(1) };
        let ended = end == 2 || matches!(tail, [b'\n', ..] | [b'\r', _, ..]);
        let kind = self.kind(text);
        self.over = matches!(kind, Kind::Empty | Kind::Body);
        self.any = true;
        if !matches!(kind, Kind::Body) {
            self.at += text.len() + end;
        }
        Some(Line { kind, start, ended })
    }

    fn kind(&self, text: &[u8]) -> Kind {
        match text.first() {
            None => Kind::Empty,
            Some(b' ' | b'\t') => {
                if self.any {
                    Kind::Continuation
                } else {
                    Kind::Body
                }
            }
            Some(_) => match (name(text, 0, false), memchr::memchr(b':', text)) {
                (Name::Whole, Some(colon)) => Kind::Field { colon },
                _ => Kind::Body,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ScanLimits, Scanner};

    const ID: &str = "01ARZ3NDEKTSV";
    const TRACE: &str = "Received: from a ([10.0.0.1])\r\n by relay.test with SMTP\r\n id 01ARZ3NDEKTSV; \
        Fri, 20 Nov 2026 22:32:07 +0000\r\n";

    fn names(text: &str) -> Vec<String> {
        Section::parse(text.as_bytes(), ID).fields().iter().map(|field| field.name().to_owned()).collect()
    }

    #[test]
    fn a_section_ends_where_the_body_starts() {
        let table: &[(&str, usize, &[&str])] = &[
            ("A: b\r\n\r\nc", 8, &["A"]),
            ("A: b\n\nc", 6, &["A"]),
            ("A: b\r\rc", 6, &["A"]),
            ("A: b\r\n c\r\nB : d\r\n\r\n", 19, &["A", "B"]),
            ("A: b\r\nHello, world\r\n", 6, &["A"]),
            ("A: b\r\nGrüße: x\r\n", 6, &["A"]),
            (" A: b\r\n\r\n", 0, &[]),
            ("\r\nA: b\r\n", 2, &[]),
            ("A: b", 4, &["A"]),
            ("A: b\r\nB", 6, &["A"]),
            ("", 0, &[]),
        ];
        for (text, end, fields) in table {
            assert_eq!(Section::end_of(text.as_bytes(), ID, true), Some(*end), "{text:?}");
            assert_eq!(names(text), *fields, "{text:?}");
        }
    }

    #[test]
    fn more_is_asked_for_until_the_end_is_certain() {
        let text = "A: b\r\n c\r\n\r\nbody";
        for at in 0..=text.len() {
            let end = Section::end_of(&text.as_bytes()[..at], ID, false);
            assert_eq!(end, (at >= 12).then_some(12), "{at}");
        }
    }

    #[test]
    fn our_trace_field_is_taken_off_before_the_message_is_read() {
        for rest in ["A: b\r\n\r\n", " A: b\r\n\r\n", "\r\nA: b\r\n", ""] {
            let whole = format!("{TRACE}{rest}");
            let section = Section::parse(whole.as_bytes(), ID);
            assert_eq!(section.trace(), TRACE.as_bytes(), "{rest:?}");
            assert_eq!(section.fields(), Section::parse(rest.as_bytes(), ID).fields(), "{rest:?}");
        }
        assert_eq!(Section::parse(TRACE.as_bytes(), "01ARZ3NDEKTSW").trace(), b"", "another id");
    }

    #[test]
    fn the_trace_field_of_this_crate_is_known_however_it_is_folded() {
        for host in ["a.test".to_owned(), "b".repeat(60), "c".repeat(250)] {
            let received = crate::Received {
                helo: &host,
                peer: [10, 0, 0, 1].into(),
                by: &host,
                via: crate::Via { esmtp: true, tls: true, authenticated: true, smtputf8: false },
                id: ID,
                tls: Some("TLSv1.3 TLS13_AES_256_GCM_SHA384"),
                at: jiff::Timestamp::UNIX_EPOCH,
            };
            let field = received.field();
            assert_eq!(trace_length(format!("{field} x").as_bytes(), ID), field.len());
        }
    }

    proptest! {
        #[test]
        fn the_scanner_sees_as_many_received_fields(
            octets in "(Received|A| |\t|:|\r|\n|\r\n|x|: |\\PC){0,40}", cut in any::<prop::sample::Index>(),
        ) {
            let mut scanner = Scanner::new(ScanLimits::default(), "relay.test");
            scanner.push(octets.as_bytes()).unwrap();
            let section = Section::parse(octets.as_bytes(), ID);
            let received = section.fields().iter().filter(|field| field.is("received")).count();
            prop_assert_eq!(scanner.finish().0.received as usize, received);

            let end = Section::end_of(octets.as_bytes(), ID, true).unwrap();
            let part = &octets.as_bytes()[..cut.index(octets.len() + 1)];
            let early = Section::end_of(part, ID, false);
            prop_assert!(early.is_none() || early == Some(end), "{:?} {}", early, end);
            let length: usize = section.fields().iter().map(|field| field.octets().len()).sum();
            prop_assert!(length <= end);
        }
    }
}
