//! Lines of a message as they will leave us: ended by CRLF, or by a bare CR or LF, which the outbound side writes as CRLF.

/// What is known of the lines so far.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Octets of the line under way.
    line: u64,
    longest: u64,
    /// The last octet was a CR: whether it is bare is not yet known.
    after_cr: bool,
    bare_cr: u64,
    bare_lf: u64,
}

impl Lines {
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let mut start = 0;
        if self.after_cr && !piece.is_empty() {
            self.after_cr = false;
            if piece.first() == Some(&b'\n') {
                start = 1;
            } else {
                self.bare_cr += 1;
            }
        }
        for at in memchr::memchr2_iter(b'\r', b'\n', piece) {
            if at < start {
                continue; // the LF of a CRLF
            }
            self.end_line(at - start);
            start = at + 1;
            match (piece.get(at), piece.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => start = at + 2,
                (Some(b'\r'), None) => self.after_cr = true,
                (Some(b'\r'), _) => self.bare_cr += 1,
                _ => self.bare_lf += 1,
            }
        }
        self.line += (piece.len() - start) as u64;
    }

    fn end_line(&mut self, octets: usize) {
        self.longest = self.longest.max(self.line + octets as u64);
        self.line = 0;
    }

    /// Whether a CR or LF was not part of CRLF.
    pub(crate) fn bare(&self) -> bool {
        self.bare_ends() > 0
    }

    /// How many.
    pub(crate) fn bare_ends(&self) -> u64 {
        self.bare_cr + self.bare_lf + u64::from(self.after_cr)
    }

    /// Whether one of them was a CR.
    pub(crate) fn bare_cr(&self) -> bool {
        self.bare_cr > 0 || self.after_cr
    }

    /// Whether one of them was an LF.
    pub(crate) fn bare_lf(&self) -> bool {
        self.bare_lf > 0
    }

    /// Octets of the longest line, an unfinished one included.
    pub(crate) fn longest(&self) -> u64 {
        self.longest.max(self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&[u8]]) -> (bool, u64) {
        let mut lines = Lines::default();
        pieces.iter().for_each(|piece| lines.push(piece));
        (lines.bare(), lines.longest())
    }

    #[test]
    fn only_crlf_is_not_bare() {
        let cases: [(&[u8], bool, u64); 9] = [
            (b"", false, 0),
            (b"\r\n\r\n", false, 0),
            (b"a\r\nbcd\r\n", false, 3),
            (b"a\r\nbcd", false, 3),
            (b"a\nbc\r\n", true, 2),
            (b"a\rbc\r\n", true, 2),
            (b"a\r\r\n", true, 1),
            (b"a\n\r", true, 1),
            (b"abc\r", true, 3),
        ];
        for (text, bare, longest) in cases {
            assert_eq!(of(&[text]), (bare, longest), "{text:?}");
            for at in 0..=text.len() {
                let (one, two) = text.split_at(at);
                assert_eq!(of(&[one, &[], two]), (bare, longest), "{text:?} at {at}");
            }
        }
    }
}
