//! What the peer sent and nobody has used yet.
//!
//! Bounded by one line's limit and one piece of input: whoever reads lines throws an endless one away, whoever reads
//! content uses all there is. No byte is looked at twice in search of a line end.

use std::ops::Range;

/// An idle session keeps no larger buffer than this.
const KEPT_OCTETS: usize = 4096;

#[derive(Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Everything before it has been used.
    start: usize,
    /// From `start` to here there is no CRLF.
    scanned: usize,
    /// The line under way is too long already.
    overlong: bool,
}

/// What stands at the front.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its CRLF.
    Whole(&'a [u8]),
    Incomplete,
    /// Given once, when its end has come.
    TooLong,
}

impl Input {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // What stays is less than a line, because pieces come when everything has been used.
        self.forget_used();
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives a large buffer back, but for what is unread: the beginning of a line.
    pub(super) fn release(&mut self) {
        if self.bytes.capacity() > KEPT_OCTETS {
            self.forget_used();
            self.bytes.shrink_to_fit();
        }
    }

    fn forget_used(&mut self) {
        self.bytes.drain(..self.start);
        self.scanned = self.scanned.saturating_sub(self.start);
        self.start = 0;
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Uses that many bytes; they can be had with [`Self::used`] until the next `push`.
    pub(super) fn take(&mut self, octets: usize) -> Range<usize> {
        let taken = self.start..(self.start + octets).min(self.bytes.len());
        self.start = taken.end;
        self.scanned = taken.end;
        taken
    }

    pub(super) fn used(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Uses a line, which only CRLF ends, of at most `limit` octets with its CRLF.
    pub(super) fn line(&mut self, limit: usize) -> Line<'_> {
        let Some(end) = self.line_end() else {
            if self.overlong || self.unread().len() > limit {
                self.forget_line();
            }
            return Line::Incomplete;
        };
        let start = self.take(end - self.start).start;
        let overlong = std::mem::take(&mut self.overlong);
        if overlong || end - start > limit { Line::TooLong } else { Line::Whole(self.used(start..end - 2)) }
    }

    /// Just behind the first CRLF.
    fn line_end(&mut self) -> Option<usize> {
        let unscanned = self.bytes.get(self.scanned..).unwrap_or_default();
        for place in memchr::memchr_iter(b'\n', unscanned) {
            let end = self.scanned + place + 1;
            if self.bytes.get(self.start..end).is_some_and(|line| line.ends_with(b"\r\n")) {
                return Some(end);
            }
        }
        self.scanned = self.bytes.len();
        None
    }

    /// Throws away what has come of a line, but for a CR that an LF may follow.
    fn forget_line(&mut self) {
        self.overlong = true;
        self.start = self.bytes.len() - usize::from(self.unread().ends_with(b"\r"));
    }
}

/// Without the bytes: they may be a password.
impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("unread", &self.unread().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_line() {
        let mut input = Input::default();
        for byte in b"a\nb\rc\r" {
            input.push(&[*byte]);
            assert_eq!(input.line(100), Line::Incomplete);
        }
        input.push(b"\nd\r\n");
        assert_eq!(input.line(100), Line::Whole(b"a\nb\rc"));
        assert_eq!(input.line(100), Line::Whole(b"d"));
        assert_eq!(input.line(100), Line::Incomplete);
    }

    #[test]
    fn an_endless_line_is_thrown_away_and_counted_once() {
        let mut input = Input::default();
        for _ in 0..1000 {
            input.push(b"xxxxxxxxx\r");
            assert_eq!(input.line(64), Line::Incomplete);
            assert!(input.unread().len() <= 74);
        }
        input.push(b"\nok\r\n");
        assert_eq!(input.line(64), Line::TooLong);
        assert_eq!(input.line(64), Line::Whole(b"ok"));
    }

    #[test]
    fn the_limit_counts_the_line_end() {
        let mut input = Input::default();
        input.push(b"12345678\r\n123456789\r\n");
        assert_eq!(input.line(10), Line::Whole(b"12345678"));
        assert_eq!(input.line(10), Line::TooLong);
    }

    #[test]
    fn a_waiting_session_keeps_only_the_beginning_of_a_line() {
        let mut input = Input::default();
        input.push(&b"NOOP\r\n".repeat(5000));
        input.push(b"HEL");
        while input.line(100) == Line::Whole(b"NOOP") {}
        input.release();
        assert!(input.bytes.capacity() < KEPT_OCTETS, "{}", input.bytes.capacity());
        input.push(b"P\r\n");
        assert_eq!(input.line(100), Line::Whole(b"HELP"));
    }
}
