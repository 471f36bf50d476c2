//! The structure of a body while it streams by: parts, the text around them, the lines between them.
//!
//! In: pieces cut anywhere. Out: calls of a [`Visit`], the same however the pieces were cut, but that content may come in
//! other pieces. Both passes see the same structure, for both come through here.
//! Memory: one header section, one line of at most 998 octets, the open levels.

use super::entity::{Child, Entity, Kind};
use super::head::{self, Line};

/// Entities that are told apart.
const ENTITIES: u32 = 10_000;
/// Levels of multiparts and messages.
const DEPTH: usize = 32;
/// Octets of the header section of a part.
const SECTION: usize = 64 * 1024;
/// Octets of a delimiter line.
const DELIMITER: usize = 998;

/// How a line ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    None,
    Cr,
    Lf,
    CrLf,
}

impl End {
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Self::Cr | Self::Lf)
    }

    fn octets(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Cr => b"\r",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }

    fn of(octets: &[u8]) -> Self {
        match octets {
            b"\r\n" => Self::CrLf,
            b"\r" => Self::Cr,
            b"\n" => Self::Lf,
            _ => Self::None,
        }
    }
}

/// Where content stands in its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// The content of a part, or what stands before the first part of a multipart.
    Content,
    /// What stands after its last part.
    Epilogue,
}

/// Whoever looks at the structure.
pub(super) trait Visit {
    /// An entity begins: its header section, with the empty line if there is one. Not of the message itself, whose header
    /// section is elsewhere.
    fn head(&mut self, entity: &Entity, section: &[u8]);
    /// It begins to have content; `head` came before if it has one.
    fn enter(&mut self, entity: &Entity);
    /// Octets of it.
    fn content(&mut self, entity: &Entity, region: Region, octets: &[u8]);
    /// A multipart with parts ends without its last delimiter.
    fn unclosed(&mut self, entity: &Entity, boundary: &[u8]);
    /// It has ended; `last`: with the body.
    fn leave(&mut self, entity: &Entity, last: bool);
    /// A delimiter line, and the line end that belongs to it although it stands before.
    fn delimiter(&mut self, before: End, line: &[u8]);
    /// The end of the delimiter line.
    fn line_end(&mut self, end: End);
}

/// What is known of the message before its body: see [`TopPart`](super::TopPart).
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) top: Entity,
    /// The next hop takes 7-bit only.
    pub(super) seven_bit: bool,
}

/// A multipart or message that is open.
struct Level {
    entity: Entity,
    children: u32,
    /// Its last delimiter has been seen.
    closed: bool,
}

impl Level {
    fn end(self, last: bool, visit: &mut impl Visit) {
        if let (Kind::Multipart { boundary, .. }, false, 1..) = (&self.entity.kind, self.closed, self.children) {
            visit.unclosed(&self.entity, boundary);
        }
        visit.leave(&self.entity, last);
    }
}

enum Mode {
    /// Of the header section: what there is of it.
    Head(Head),
    Content(Region),
}

#[derive(Default)]
struct Head {
    section: Vec<u8>,
    /// Where its last line begins.
    line: usize,
    after_cr: bool,
}

/// See the head of this file.
pub(super) struct Walk {
    seven_bit: bool,
    levels: Vec<Level>,
    /// What is open and not on a level.
    leaf: Option<Entity>,
    entities: u32,
    mode: Mode,
    /// At the start of a line of content: the end of the line before, which may belong to a delimiter.
    end: End,
    at_line_start: bool,
    /// And what there is of the line, while it may be a delimiter.
    line: Vec<u8>,
    /// A delimiter line has ended with a CR, to which an LF may belong.
    delimiter_cr: bool,
    top: Option<Entity>,
}

impl Walk {
    pub(super) fn new(start: Start) -> Self {
        Self {
            seven_bit: start.seven_bit,
            levels: Vec::new(),
            leaf: None,
            entities: 1,
            mode: Mode::Content(Region::Content),
            end: End::None,
            at_line_start: true,
            line: Vec::new(),
            delimiter_cr: false,
            top: Some(start.top),
        }
    }

    pub(super) fn push(&mut self, piece: &[u8], visit: &mut impl Visit) {
        self.begin(visit);
        let mut rest = piece;
        while !rest.is_empty() {
            rest = self.step(rest, visit);
        }
    }

    pub(super) fn finish(mut self, visit: &mut impl Visit) {
        self.begin(visit);
        if std::mem::take(&mut self.delimiter_cr) {
            visit.line_end(End::Cr);
        }
        while let Mode::Head(_) = self.mode {
            self.end_unfinished_head(visit);
        }
        self.end_content(visit);
        if let Some(leaf) = self.leaf.take() {
            visit.leave(&leaf, true);
        }
        while let Some(level) = self.levels.pop() {
            level.end(true, visit);
        }
    }

    fn begin(&mut self, visit: &mut impl Visit) {
        if let Some(top) = self.top.take() {
            self.enter(top, visit);
        }
    }

    /// Takes at least one octet.
    fn step<'a>(&mut self, rest: &'a [u8], visit: &mut impl Visit) -> &'a [u8] {
        if std::mem::take(&mut self.delimiter_cr) {
            let after = rest.strip_prefix(b"\n");
            visit.line_end(if after.is_some() { End::CrLf } else { End::Cr });
            return after.unwrap_or(rest);
        }
        match &self.mode {
            Mode::Head(_) => self.head(rest, visit),
            Mode::Content(_) => self.content(rest, visit),
        }
    }

    // --- header sections

    fn head<'a>(&mut self, rest: &'a [u8], visit: &mut impl Visit) -> &'a [u8] {
        let Mode::Head(head) = &mut self.mode else { return rest };
        let (taken, after, ended) = head.take(rest);
        head.section.extend_from_slice(taken);
        if head.section.len() > SECTION {
            let section = std::mem::take(&mut head.section);
            self.end_head(Vec::new(), Some(Kind::Opaque), visit);
            self.replay(&section, visit);
        } else if ended {
            self.head_line(visit);
        }
        after
    }

    /// A line of the section is whole.
    fn head_line(&mut self, visit: &mut impl Visit) {
        let of_message = matches!(self.levels.last(), Some(level) if level.entity.kind == Kind::Message);
        let Mode::Head(head) = &mut self.mode else { return };
        let line = Line::first_of(head.section.get(head.line..).unwrap_or_default());
        let (text, end) = (line.text, End::of(line.end));
        let first = head.line == 0;
        if let Some((level, closing)) = matching(&self.levels, text) {
            let text = text.to_vec();
            head.section.truncate(head.line);
            let section = std::mem::take(&mut head.section);
            self.end_head(section, None, visit);
            // An empty message in a part has a header section of its own.
            while let Mode::Head(_) = self.mode {
                self.end_head(Vec::new(), None, visit);
            }
            self.delimiter(level, closing, End::None, &text, visit);
            self.delimiter_end(end, visit);
        } else if text.is_empty() {
            let section = std::mem::take(&mut head.section);
            self.end_head(section, None, visit);
        } else if head::is_field(text)
            || (head::is_continuation(text) && !first)
            || (first && of_message && (text.starts_with(b"From ") || text.starts_with(b">From ")))
        {
            head.line = head.section.len();
        } else {
            let content = head.section.split_off(head.line);
            let section = std::mem::take(&mut head.section);
            self.end_head(section, None, visit);
            self.replay(&content, visit);
        }
    }

    /// The body has ended in it.
    fn end_unfinished_head(&mut self, visit: &mut impl Visit) {
        let Mode::Head(head) = &mut self.mode else { return };
        if head.line < head.section.len() {
            self.head_line(visit);
        } else {
            let section = std::mem::take(&mut head.section);
            self.end_head(section, None, visit);
        }
        if std::mem::take(&mut self.delimiter_cr) {
            visit.line_end(End::Cr);
        }
    }

    fn end_head(&mut self, section: Vec<u8>, kind: Option<Kind>, visit: &mut impl Visit) {
        let entity = self.entity(&section, kind);
        visit.head(&entity, &section);
        self.enter(entity, visit);
    }

    fn entity(&mut self, section: &[u8], kind: Option<Kind>) -> Entity {
        let ordinal = self.entities;
        self.entities += 1;
        let place = self.levels.last_mut().map(|level| {
            level.children += 1;
            Child { of: &level.entity, number: level.children }
        });
        let (content_type, encoding) = head::media_fields(section);
        let mut entity = Entity::new(ordinal, place, content_type, encoding, self.seven_bit);
        let full = self.levels.len() >= DEPTH || self.entities >= ENTITIES;
        match kind {
            Some(kind) => entity.kind = kind,
            None if full && entity.kind.is_level() => entity.kind = Kind::Opaque,
            None => {}
        }
        entity
    }

    fn enter(&mut self, entity: Entity, visit: &mut impl Visit) {
        visit.enter(&entity);
        self.at_line_start = true;
        self.end = End::None;
        self.mode = match entity.kind {
            Kind::Message => Mode::Head(Head::default()),
            _ => Mode::Content(Region::Content),
        };
        if entity.kind.is_level() {
            self.levels.push(Level { entity, children: 0, closed: false });
        } else {
            self.leaf = Some(entity);
        }
    }

    // --- content

    /// What was taken for part of a header section.
    fn replay(&mut self, octets: &[u8], visit: &mut impl Visit) {
        let mut rest = octets;
        while !rest.is_empty() {
            rest = self.step(rest, visit);
        }
    }

    fn content<'a>(&mut self, rest: &'a [u8], visit: &mut impl Visit) -> &'a [u8] {
        if self.levels.is_empty() {
            self.emit(rest, visit);
            return &[];
        }
        if !self.at_line_start {
            return self.inside_lines(rest, visit);
        }
        if self.line.is_empty() {
            if self.end == End::Cr
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                self.end = End::CrLf;
                return after;
            }
            if rest.first() != Some(&b'-') {
                self.no_delimiter(visit);
                return rest;
            }
        }
        self.candidate(rest, visit)
    }

    /// Up to the next line that begins with `--`; a line end at the end of the piece, which may come before such a line, waits.
    fn inside_lines<'a>(&mut self, rest: &'a [u8], visit: &mut impl Visit) -> &'a [u8] {
        let dash = memchr::memmem::find_iter(rest, b"--").find(|at| self.may_delimit(rest, *at));
        let next = dash.unwrap_or(rest.len() - usize::from(rest.ends_with(b"\n-") || rest.ends_with(b"\r-")));
        let (lines, after) = rest.split_at(next);
        let end = match lines {
            [.., b'\r', b'\n'] => End::CrLf,
            [.., b'\n'] => End::Lf,
            [.., b'\r'] => End::Cr,
            _ => End::None,
        };
        self.emit(lines.get(..lines.len() - end.octets().len()).unwrap_or_default(), visit);
        self.end = end;
        self.at_line_start = end != End::None;
        after
    }

    /// Whether a delimiter may begin there: it does, or its line goes on beyond the piece.
    fn may_delimit(&self, rest: &[u8], at: usize) -> bool {
        let (before, after) = rest.split_at(at);
        if !matches!(before.last(), Some(b'\r' | b'\n')) {
            return false;
        }
        let line = Line::first_of(after);
        line.end.is_empty() || matching(&self.levels, line.text).is_some()
    }

    /// A line that begins with `-`.
    fn candidate<'a>(&mut self, rest: &'a [u8], visit: &mut impl Visit) -> &'a [u8] {
        let end = memchr::memchr2(b'\r', b'\n', rest);
        let room = DELIMITER - self.line.len();
        let (taken, after) = rest.split_at(end.unwrap_or(rest.len()).min(room + 1));
        self.line.extend_from_slice(taken);
        let text = self.line.as_slice();
        if !may_be_delimiter(text) || text.len() > DELIMITER {
            self.no_delimiter(visit);
            return after;
        }
        let (Some(end), Some(octet)) = (end, after.first()) else { return after };
        match matching(&self.levels, text) {
            Some((level, closing)) => {
                let (before, line) = (std::mem::take(&mut self.end), std::mem::take(&mut self.line));
                self.delimiter(level, closing, before, &line, visit);
                self.delimiter_end(End::of(&[*octet]), visit);
                rest.get(end + 1..).unwrap_or_default()
            }
            None => {
                self.no_delimiter(visit);
                after
            }
        }
    }

    /// What waited is content.
    fn no_delimiter(&mut self, visit: &mut impl Visit) {
        let (end, line) = (std::mem::take(&mut self.end), std::mem::take(&mut self.line));
        self.at_line_start = false;
        self.emit(end.octets(), visit);
        self.emit(&line, visit);
    }

    fn emit(&mut self, octets: &[u8], visit: &mut impl Visit) {
        let Mode::Content(region) = self.mode else { return };
        let level = self.levels.last().map(|level| &level.entity);
        if let Some(entity) = self.leaf.as_ref().or(level).filter(|_| !octets.is_empty()) {
            visit.content(entity, region, octets);
        }
    }

    /// The body has ended.
    fn end_content(&mut self, visit: &mut impl Visit) {
        match matching(&self.levels, &self.line).filter(|_| self.at_line_start) {
            Some((level, closing)) => {
                let (before, line) = (std::mem::take(&mut self.end), std::mem::take(&mut self.line));
                self.delimiter(level, closing, before, &line, visit);
                while let Mode::Head(_) = self.mode {
                    self.end_head(Vec::new(), None, visit);
                }
            }
            None => self.no_delimiter(visit),
        }
    }

    // --- delimiters

    fn delimiter(&mut self, level: usize, closing: bool, before: End, line: &[u8], visit: &mut impl Visit) {
        if let Some(leaf) = self.leaf.take() {
            visit.leave(&leaf, false);
        }
        while self.levels.len() > level + 1 {
            if let Some(level) = self.levels.pop() {
                level.end(false, visit);
            }
        }
        visit.delimiter(before, line);
        self.at_line_start = true;
        self.end = End::None;
        self.mode = Mode::Content(Region::Epilogue);
        if let Some(level) = self.levels.last_mut().filter(|_| closing) {
            level.closed = true;
        } else if self.entities >= ENTITIES {
            self.end_head(Vec::new(), Some(Kind::Opaque), visit);
        } else {
            self.mode = Mode::Head(Head::default());
        }
    }

    fn delimiter_end(&mut self, end: End, visit: &mut impl Visit) {
        match end {
            End::Cr => self.delimiter_cr = true,
            End::None => {}
            end => visit.line_end(end),
        }
    }
}

impl Head {
    /// What of the next octets belongs to the line under way, what comes after them, and whether the line is whole with them.
    fn take<'a>(&mut self, rest: &'a [u8]) -> (&'a [u8], &'a [u8], bool) {
        if std::mem::take(&mut self.after_cr) {
            let (taken, after) = rest.split_at(usize::from(rest.first() == Some(&b'\n')));
            return (taken, after, true);
        }
        let room = SECTION + 1 - self.section.len();
        let near = rest.get(..room).unwrap_or(rest);
        let end = memchr::memchr2(b'\r', b'\n', near);
        self.after_cr = end.is_some_and(|end| near.get(end) == Some(&b'\r'));
        let (taken, after) = rest.split_at(end.map_or(near.len(), |end| end + 1));
        (taken, after, end.is_some() && !self.after_cr)
    }
}

fn may_be_delimiter(text: &[u8]) -> bool {
    text.iter().take(2).all(|octet| *octet == b'-')
}

/// Of which open multipart this line is a delimiter, and whether of its end.
fn matching(levels: &[Level], line: &[u8]) -> Option<(usize, bool)> {
    let text = line.strip_prefix(b"--").filter(|_| line.len() <= DELIMITER)?.trim_ascii_end();
    let of = |level: &Level| match &level.entity.kind {
        Kind::Multipart { boundary, .. } if !level.closed => match text.strip_prefix(boundary.as_slice())? {
            b"" => Some(false),
            b"--" => Some(true),
            _ => None,
        },
        _ => None,
    };
    levels.iter().enumerate().rev().find_map(|(at, level)| of(level).map(|closing| (at, closing)))
}
