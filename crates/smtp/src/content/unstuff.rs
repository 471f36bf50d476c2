//! The way in.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// The only thing in a run of content that matters: a dot at the start of a line.
static LINE_WITH_DOT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));

/// What the decoder found in a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstuffed {
    /// How many bytes of the input were used.
    pub consumed: usize,
    /// True once CRLF.CRLF was seen: what follows `consumed` is the next command.
    pub end: bool,
}

/// Decodes DATA content. Only CRLF.CRLF ends it; a bare CR or LF is content and never a line end.
#[derive(Debug, Default)]
pub struct DotUnstuffer {
    place: Place,
}

/// Where the last piece ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    LineStart,
    Inside,
    /// Behind a CR, which has been passed on.
    Cr,
    /// Behind the dot that begins a line, which has not.
    Dot,
    /// Behind that dot and a CR: neither has been passed on.
    DotCr,
}

/// One run of content, without a copy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Bytes held back earlier that turned out to be content. If there are any, `content` is empty.
    pub(crate) held: &'static [u8],
    /// Which bytes of the input are content.
    pub(crate) content: Range<usize>,
    /// See [`Unstuffed`].
    pub(crate) consumed: usize,
    /// See [`Unstuffed`].
    pub(crate) end: bool,
}

impl DotUnstuffer {
    /// At the start of content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends decoded content to `into`. The final CRLF before the dot belongs to the content.
    pub fn push(&mut self, input: &[u8], into: &mut Vec<u8>) -> Unstuffed {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let run = self.run(rest);
            into.extend_from_slice(run.held);
            into.extend_from_slice(rest.get(run.content).unwrap_or_default());
            consumed += run.consumed;
            if run.end || consumed == input.len() {
                return Unstuffed { consumed, end: run.end };
            }
        }
    }

    /// The first run of content in `input`. Uses at least one byte, if there is one.
    pub(crate) fn run(&mut self, input: &[u8]) -> Run {
        let nothing = Run { held: b"", content: 0..0, consumed: 0, end: false };
        let mut consumed = 0;
        while let Some(&byte) = input.get(consumed) {
            let (place, held): (Place, &'static [u8]) = match (self.place, byte) {
                (Place::LineStart, b'.') => (Place::Dot, b""),
                (Place::Dot, b'\r') => (Place::DotCr, b""),
                (Place::DotCr, b'\n') => {
                    *self = Self::new();
                    return Run { consumed: consumed + 1, end: true, ..nothing };
                }
                // A lone dot before a bare CR or LF is no line of ours: content as it stands.
                (Place::DotCr, _) => (Place::Cr, b".\r"),
                (Place::Dot, b'\n') => (Place::Inside, b"."),
                (Place::Dot, _) => (Place::Inside, b""),
                (Place::LineStart | Place::Inside | Place::Cr, _) => return self.plain_run(input, consumed),
            };
            let waits = matches!(place, Place::Dot | Place::DotCr);
            self.place = place;
            consumed += usize::from(waits);
            if !held.is_empty() {
                return Run { held, consumed, ..nothing };
            }
        }
        Run { consumed, ..nothing }
    }

    /// From `start`, which is content, to behind the next line end that a dot follows; that dot is used up too.
    fn plain_run(&mut self, input: &[u8], start: usize) -> Run {
        let text = input.get(start..).unwrap_or_default();
        let dot = match self.place {
            Place::Cr if text.starts_with(b"\n.") => Some(1),
            _ => LINE_WITH_DOT.find(text).map(|line_end| line_end + 2),
        };
        let length = dot.unwrap_or(text.len());
        self.place = match dot {
            Some(_) => Place::Dot,
            None if text.ends_with(b"\r\n") || (self.place == Place::Cr && text == b"\n") => Place::LineStart,
            None if text.ends_with(b"\r") => Place::Cr,
            None => Place::Inside,
        };
        let end = start + length;
        Run { held: b"", content: start..end, consumed: end + usize::from(dot.is_some()), end: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content and what was not used, fed in pieces of one size.
    fn unstuffed(wire: &[u8], piece: usize) -> (Vec<u8>, Option<usize>) {
        let (mut unstuffer, mut content, mut consumed) = (DotUnstuffer::new(), Vec::new(), 0);
        for piece in wire.chunks(piece) {
            let step = unstuffer.push(piece, &mut content);
            consumed += step.consumed;
            if step.end {
                return (content, Some(wire.len() - consumed));
            }
        }
        (content, None)
    }

    fn check(wire: &[u8], content: &[u8], left: Option<usize>) {
        for piece in 1..=wire.len() + 1 {
            let found = unstuffed(wire, piece);
            assert_eq!(
                (found.0.as_slice(), found.1),
                (content, left),
                "{:?} in {piece}",
                wire.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn only_crlf_dot_crlf_ends_content() {
        check(b".\r\nQUIT\r\n", b"", Some(6));
        check(b"a\r\n.\r\n", b"a\r\n", Some(0));
        check(b"\r\n.\r\n.\r\n", b"\r\n", Some(3));
        check(b"a\r\n\r\n.\r\n", b"a\r\n\r\n", Some(0));
        check(b"\r\r\n.\r\n", b"\r\r\n", Some(0));
        for wire in [
            "a\n.\n",
            "a\n.\r\n",
            "a\r\n.\n",
            "a\r.\r",
            "a\r.\r\n",
            "a\r\n.\rb",
            "a\r\n.\r\r\n",
            "a\n\r.\r\n",
            "a\r\n\n.\r\n",
        ] {
            check(wire.as_bytes(), wire.as_bytes(), None);
        }
    }

    #[test]
    fn a_dot_that_begins_a_line_is_taken_off() {
        check(b"..\r\n.\r\n", b".\r\n", Some(0));
        check(b".a\r\n...\r\n..a\r\na.\r\n.\r\n", b"a\r\n..\r\n.a\r\na.\r\n", Some(0));
        check(b"a\r\n.\r.\r\n.\r\n", b"a\r\n.\r.\r\n", Some(0));
        check(b"..\r..\n..\r\n.\r\n", b".\r..\n..\r\n", Some(0));
    }

    #[test]
    fn what_may_be_the_end_is_held_back() {
        check(b"a\r\n.", b"a\r\n", None);
        check(b"a\r\n.\r", b"a\r\n", None);
    }
}
