//! The header section while it streams by: its limits, and the few fields that matter to a relay.
//!
//! Lines are taken as they will leave us (a bare CR or LF ends one, see `lines`), so that what we count is what the next
//! hop sees. A line that is neither a field nor a continuation ends the section: it is the body of a message without
//! an empty line, and printers do send such.

use crate::authors::{AuthorsReader, FIELD};
use crate::{HeaderFacts, Importance, ScanError, ScanLimits};

/// Octets kept of one field; what is read out of a field stands in front. One more than an author's field may have, so that
/// one that is too long is known.
const KEPT: usize = FIELD + 1;
/// Octets of a field name; a line has no more (RFC 5322 §2.1.1).
const NAME: usize = 998;
/// Octets kept of a value.
const VALUE: usize = 998;
/// Of our own ids; a loop is known by one.
const OUR_IDS: usize = 16;

/// What the line under way is.
#[derive(Debug)]
enum Line {
    /// Nothing of it yet.
    Start,
    /// So far it may be a field name; `blank` once a blank has come after it.
    Name { octets: usize, blank: bool },
    /// Of a field, after its colon or in a continuation.
    Text,
}

/// Whether a line belongs to the header section.
#[derive(PartialEq, Eq)]
enum Belongs {
    Header,
    Body,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct HeaderReader {
    limits: ScanLimits,
    our_name: Box<str>,
    facts: HeaderFacts,
    authors: AuthorsReader,
    octets: usize,
    fields: usize,
    /// The field under way, unfolded, its first octets.
    field: Vec<u8>,
    line: Line,
    after_cr: bool,
    eight_bit: bool,
    over: bool,
}

impl HeaderReader {
    pub(crate) fn new(limits: ScanLimits, our_name: &str) -> Self {
        Self {
            limits,
            our_name: our_name.into(),
            facts: HeaderFacts::default(),
            authors: AuthorsReader::default(),
            octets: 0,
            fields: 0,
            field: Vec::new(),
            line: Line::Start,
            after_cr: false,
            eight_bit: false,
            over: false,
        }
    }

    /// Whether an octet over 127 stands in the section.
    pub(crate) fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// The facts; of an unfinished section those of its whole fields and of the last one.
    pub(crate) fn finish(mut self) -> HeaderFacts {
        self.end_field();
        self.facts.authors = self.authors.finish();
        self.facts
    }

    /// Gives back the part of the piece that belongs to the body.
    pub(crate) fn push<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], ScanError> {
        let mut rest = piece;
        while !self.over && !rest.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                self.count(1)?;
                rest = after;
                continue;
            }
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let (text, tail) = rest.split_at(end.unwrap_or(rest.len()));
            if !text.is_empty() && self.text(text)? == Belongs::Body {
                self.end_section();
                break;
            }
            rest = tail;
            if let Some((first, after)) = tail.split_first() {
                self.after_cr = *first == b'\r';
                rest = after;
                self.end_line()?;
            }
        }
        Ok(rest)
    }

    /// Part of a line, without its end.
    fn text(&mut self, text: &[u8]) -> Result<Belongs, ScanError> {
        if matches!(self.line, Line::Start) {
            if matches!(text.first(), Some(b' ' | b'\t')) {
                if self.fields == 0 {
                    return Ok(Belongs::Body);
                }
                self.line = Line::Text;
            } else {
                self.end_field();
                self.line = Line::Name { octets: 0, blank: false };
            }
        }
        if let Line::Name { octets, blank } = self.line {
            match name(text, octets, blank) {
                Name::Unfinished { blank } => {
                    self.line = Line::Name { octets: octets + text.len(), blank };
                    self.keep(text);
                    return Ok(Belongs::Header);
                }
                Name::None => return Ok(Belongs::Body),
                Name::Whole => {
                    self.line = Line::Text;
                    self.count(octets)?;
                    self.fields += 1;
                    if self.fields > self.limits.fields {
                        return Err(ScanError::Fields(self.limits.fields));
                    }
                }
            }
        }
        self.eight_bit = self.eight_bit || !text.is_ascii();
        self.keep(text);
        self.count(text.len())?;
        Ok(Belongs::Header)
    }

    fn end_line(&mut self) -> Result<(), ScanError> {
        match self.line {
            Line::Start | Line::Name { .. } => self.end_section(),
            Line::Text => self.line = Line::Start,
        }
        self.count(1)
    }

    fn keep(&mut self, text: &[u8]) {
        let room = KEPT.saturating_sub(self.field.len());
        self.field.extend_from_slice(text.get(..room).unwrap_or(text));
    }

    fn count(&mut self, octets: usize) -> Result<(), ScanError> {
        self.octets += octets;
        if self.octets > self.limits.header_section {
            return Err(ScanError::HeaderSection(self.limits.header_section));
        }
        Ok(())
    }

    fn end_section(&mut self) {
        self.end_field();
        self.field = Vec::new();
        self.over = true;
    }

    fn end_field(&mut self) {
        if let Some(colon) = memchr::memchr(b':', &self.field) {
            let (name, value) = self.field.split_at(colon);
            let (name, value) = (name.trim_ascii_end(), value.get(1..).unwrap_or_default());
            read(&mut self.facts, &self.our_name, name, value);
            self.authors.field(name, value, self.field.len());
        }
        self.field.clear();
    }
}

/// What part of a line says about its being a field.
pub(crate) enum Name {
    /// The colon is there.
    Whole,
    /// No colon yet.
    Unfinished { blank: bool },
    /// It cannot be one.
    None,
}

/// `octets` of the name were seen before this text, `blank`: and a blank after them (RFC 5322 §4.5 allows it).
pub(crate) fn name(text: &[u8], octets: usize, mut blank: bool) -> Name {
    for (at, octet) in text.iter().enumerate() {
        match octet {
            _ if octets + at >= NAME => return Name::None,
            b':' if octets + at > 0 => return Name::Whole,
            b' ' | b'\t' => blank = true,
            33..=126 if !blank && *octet != b':' => {}
            _ => return Name::None,
        }
    }
    Name::Unfinished { blank }
}

/// Takes down what one field says.
fn read(facts: &mut HeaderFacts, our_name: &str, name: &[u8], value: &[u8]) {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if is("received") {
        facts.received = facts.received.saturating_add(1);
        if facts.our_ids.len() < OUR_IDS {
            facts.our_ids.extend(our_id(value, our_name));
        }
    } else if is("message-id") {
        facts.message_id.get_or_insert_with(|| text(value));
    } else if is("from") {
        facts.from.get_or_insert_with(|| text(value));
    } else if is("subject") {
        facts.subject.get_or_insert_with(|| text(value));
    } else if is("auto-submitted") {
        facts.auto_submitted |= !first_word(value).eq_ignore_ascii_case(b"no");
        facts.auto_replied |= first_word(value).eq_ignore_ascii_case(b"auto-replied");
    } else if is("importance") || is("priority") || is("x-priority") {
        let said = importance(first_word(value));
        if said == Importance::High || facts.importance == Importance::Normal {
            facts.importance = said;
        }
    }
}

fn importance(word: &[u8]) -> Importance {
    let is = |known: &[&str]| known.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    if is(&["urgent", "high", "1", "2"]) {
        Importance::High
    } else if is(&["non-urgent", "low", "4", "5"]) {
        Importance::Low
    } else {
        Importance::Normal
    }
}

/// Up to a blank, a parameter or a comment.
fn first_word(value: &[u8]) -> &[u8] {
    let ends = |b: &u8| matches!(b, b' ' | b'\t' | b';' | b'(');
    value.trim_ascii().split(ends).next().unwrap_or_default()
}

/// For people: no control characters, at most 998 octets.
fn text(value: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(value.trim_ascii()).into_owned();
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    text.truncate(text.floor_char_boundary(VALUE));
    text
}

/// The id in a trace field that carries our name after `by`.
fn our_id(value: &[u8], our_name: &str) -> Option<String> {
    let mut words = Words { rest: value };
    let mut by_us = false;
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"from") {
            words.next();
        } else if word.eq_ignore_ascii_case(b"by") {
            by_us = words.next()?.eq_ignore_ascii_case(our_name.as_bytes());
        } else if by_us && word.eq_ignore_ascii_case(b"id") {
            let id = words.next()?;
            let ours = id.len() == 13 && id.iter().all(u8::is_ascii_alphanumeric);
            return ours.then(|| String::from_utf8_lossy(id).into_owned());
        }
    }
    None
}

/// Words of a trace field before its date, comments left out.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest.first()? {
                b';' => return None,
                b'(' => self.rest = after_comment(self.rest),
                _ => break,
            }
        }
        let ends = |b: &u8| matches!(b, b';' | b'(') || b.is_ascii_whitespace();
        let (word, rest) = self.rest.split_at(self.rest.iter().position(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(word)
    }
}

/// What follows the comment that the text begins with (RFC 5322 §3.2.2: they nest, a backslash quotes).
fn after_comment(text: &[u8]) -> &[u8] {
    let mut depth = 0_u32;
    let mut quoted = false;
    for (at, octet) in text.iter().enumerate() {
        match octet {
            _ if quoted => quoted = false,
            b'\\' => quoted = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(at + 1..).unwrap_or_default();
        }
    }
    &[]
}
