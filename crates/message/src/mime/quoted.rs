//! Quoted-printable (RFC 2045 §6.7), written and read octet by octet.
//!
//! In: octets, one by one. Out: lines of at most 76 octets that do not begin with `-`; or what such lines stand for.

use super::encode::LINE;

/// Blanks at the end of a line of quoted-printable that are taken for padding (RFC 2045 §6.7 (3)); more are text.
const PADDING: usize = 998;

/// Quoted-printable. CRLF is a line break; a bare CR or LF is encoded, and the line is broken softly after it, so that text
/// looks like text.
#[derive(Default)]
pub(super) struct Quoted {
    column: usize,
    /// A blank, which must not end a line.
    blank: Option<u8>,
    after_cr: bool,
    /// Break the line before the next octet.
    due: bool,
}

impl Quoted {
    pub(super) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        while let Some((first, after)) = rest.split_first() {
            let (run, tail) = rest.split_at(self.run(rest));
            if run.is_empty() {
                self.octet(*first, out);
                rest = after;
            } else {
                out.extend_from_slice(run);
                self.column += run.len();
                rest = tail;
            }
        }
    }

    /// How many of the next octets can stand on the line under way as they are.
    fn run(&self, octets: &[u8]) -> usize {
        if self.column == 0 || self.column >= LINE || self.due || self.after_cr || self.blank.is_some() {
            return 0;
        }
        let near = octets.get(..LINE - 1 - self.column).unwrap_or(octets);
        let plain = |octet: &u8| matches!(octet, b' ' | b'\t' | 33..=126) && *octet != b'=';
        let run = near.get(..near.iter().position(|octet| !plain(octet)).unwrap_or(near.len())).unwrap_or_default();
        // What follows a blank decides about it.
        run.iter().rposition(|octet| !matches!(octet, b' ' | b'\t')).map_or(0, |last| last + 1)
    }

    pub(super) fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.after_cr) {
            if octet == b'\n' {
                return self.line_break(out);
            }
            self.bare_end(b'\r', out);
        }
        match octet {
            b'\r' => self.after_cr = true,
            b'\n' => self.bare_end(octet, out),
            b' ' | b'\t' => {
                self.flush_blank(out);
                self.blank = Some(octet);
            }
            // No delimiter.
            b'-' if self.starts_line() => self.escaped(octet, out),
            b'=' => self.escaped(octet, out),
            33..=126 => {
                self.flush_blank(out);
                self.room(1, out);
                self.literal(octet, out);
            }
            other => self.escaped(other, out),
        }
    }

    /// The next octet will be the first of its line.
    fn starts_line(&self) -> bool {
        let width = usize::from(self.blank.is_some()) + 1;
        (self.column == 0 && self.blank.is_none()) || self.due || self.column + width >= LINE
    }

    fn line_break(&mut self, out: &mut Vec<u8>) {
        if let Some(blank) = self.blank.take() {
            self.escaped(blank, out);
        }
        out.extend_from_slice(b"\r\n");
        self.column = 0;
        self.due = false;
    }

    fn bare_end(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.escaped(octet, out);
        self.due = true;
    }

    fn flush_blank(&mut self, out: &mut Vec<u8>) {
        if let Some(blank) = self.blank.take() {
            self.room(1, out);
            self.literal(blank, out);
        }
    }

    fn literal(&mut self, octet: u8, out: &mut Vec<u8>) {
        out.push(octet);
        self.column += 1;
    }

    fn escaped(&mut self, octet: u8, out: &mut Vec<u8>) {
        const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
        self.flush_blank(out);
        self.room(3, out);
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
        out.extend_from_slice(&[b'=', digit(octet >> 4), digit(octet & 15)]);
        self.column += 3;
    }

    /// One column is kept for the `=` of a soft line break.
    fn room(&mut self, width: usize, out: &mut Vec<u8>) {
        if self.column > 0 && (self.due || self.column + width >= LINE) {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        self.due = false;
    }

    pub(super) fn finish(mut self, last: bool, out: &mut Vec<u8>) {
        if self.after_cr {
            self.bare_end(b'\r', out);
        }
        if let Some(blank) = self.blank.take() {
            self.escaped(blank, out);
        }
        if last && self.column > 0 {
            // A line end that stands for none.
            out.extend_from_slice(b"=\r\n");
        }
    }
}

/// What quoted-printable stands for. A line break is the octets that it is; what is no encoding stands for itself; blanks
/// before a line end are padding.
#[derive(Default)]
pub(super) struct Unquoted {
    state: State,
    blanks: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Text,
    /// After `=`.
    Equals,
    /// After `=` and blanks.
    Padded,
    /// After `=` and this digit.
    Digit(u8),
    /// After `=` and CR.
    SoftCr,
}

impl Unquoted {
    pub(super) fn push(&mut self, octets: &[u8], mut to: impl FnMut(u8)) {
        for octet in octets {
            self.octet(*octet, &mut to);
        }
    }

    fn octet(&mut self, octet: u8, to: &mut impl FnMut(u8)) {
        let digit = crate::encoding::digit(octet);
        self.state = match (self.state, octet, digit) {
            (State::Text | State::SoftCr, b'=', _) => {
                self.blanks.drain(..).for_each(&mut *to);
                State::Equals
            }
            (State::Equals | State::Padded, b'\r', _) => self.drop_blanks(State::SoftCr),
            (State::Equals | State::Padded, b'\n', _) => self.drop_blanks(State::Text),
            (State::Equals | State::Padded, b' ' | b'\t', _) if self.blanks.len() < PADDING => {
                self.blanks.push(octet);
                State::Padded
            }
            (State::Equals, _, Some(_)) => State::Digit(octet),
            (State::Digit(high), _, Some(low)) => {
                let high = crate::encoding::digit(high).unwrap_or_default();
                self.give(high << 4 | low, to);
                State::Text
            }
            (State::SoftCr, b'\n', _) => State::Text,
            (State::Text | State::SoftCr, _, _) => {
                self.text(octet, to);
                State::Text
            }
            (State::Equals | State::Padded | State::Digit(_), _, _) => {
                self.stands_for_itself(to);
                return self.octet(octet, to);
            }
        };
    }

    fn drop_blanks(&mut self, next: State) -> State {
        self.blanks.clear();
        next
    }

    fn text(&mut self, octet: u8, to: &mut impl FnMut(u8)) {
        match octet {
            b' ' | b'\t' if self.blanks.len() < PADDING => self.blanks.push(octet),
            b'\r' | b'\n' => {
                self.blanks.clear();
                to(octet);
            }
            other => self.give(other, to),
        }
    }

    fn give(&mut self, octet: u8, to: &mut impl FnMut(u8)) {
        self.blanks.drain(..).for_each(&mut *to);
        to(octet);
    }

    /// An `=` that encodes nothing.
    fn stands_for_itself(&mut self, to: &mut impl FnMut(u8)) {
        match std::mem::take(&mut self.state) {
            State::Digit(digit) => {
                self.give(b'=', to);
                to(digit);
            }
            _ => {
                to(b'=');
                self.blanks.drain(..).for_each(to);
            }
        }
    }

    /// A soft line break at the end has lost its line end to the delimiter.
    pub(super) fn finish(mut self, mut to: impl FnMut(u8)) {
        if let State::Digit(_) = self.state {
            self.stands_for_itself(&mut to);
        }
    }
}
