//! The body hash (`bh=`): relaxed canonicalisation (RFC 6376 §3.4.4) and SHA-256 while the body streams by.
//!
//! In: pieces of the body, cut anywhere, before dot-stuffing. Out: the hash. In memory: counters, never a line.

use aws_lc_rs::digest::{Context, Digest, SHA256};

/// Where the canonical octets go.
pub(crate) trait Canonical {
    fn take(&mut self, octets: &[u8]);
}

impl Canonical for Context {
    fn take(&mut self, octets: &[u8]) {
        self.update(octets);
    }
}

/// See the head of this file.
#[derive(Clone)]
pub(crate) struct BodyHash(Relaxed<Context>);

impl BodyHash {
    pub(crate) fn new() -> Self {
        Self(Relaxed::new(Context::new(&SHA256)))
    }

    pub(crate) fn write(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.finish().finish()
    }
}

/// What was read but not yet given on, because it depends on what follows: white space and line ends count only if an
/// ordinary octet comes after them.
#[derive(Clone)]
struct Relaxed<C> {
    out: C,
    /// Line ends since the last ordinary octet.
    line_ends: u64,
    /// White space since the last line end or ordinary octet.
    white: bool,
    /// The last octet was a CR.
    cr: bool,
    /// Nothing was given on yet: a body of nothing but empty lines is an empty body.
    empty: bool,
}

/// Line ends are given on by so many at once.
const LINE_ENDS: [[u8; 2]; 32] = [*b"\r\n"; 32];

impl<C: Canonical> Relaxed<C> {
    fn new(out: C) -> Self {
        Self { out, line_ends: 0, white: false, cr: false, empty: true }
    }

    fn write(&mut self, mut piece: &[u8]) {
        while let [first, rest @ ..] = piece {
            piece = rest;
            match first {
                b'\n' if self.cr => self.line_end(),
                // A CR alone is an octet like any other.
                _ if self.cr => {
                    self.ordinary(b"\r");
                    self.cr = false;
                    piece = self.octet(*first, rest);
                }
                _ => piece = self.octet(*first, rest),
            }
        }
    }

    /// Takes one octet, or a run of ordinary ones; `rest` is what follows it. Gives back what is left.
    fn octet<'a>(&mut self, first: u8, rest: &'a [u8]) -> &'a [u8] {
        match first {
            b'\r' => self.cr = true,
            b' ' | b'\t' => self.white = true,
            _ => {
                self.ordinary(&[first]);
                let (run, left) = rest.split_at(ordinary_run(rest));
                self.out.take(run);
                return left;
            }
        }
        rest
    }

    fn line_end(&mut self) {
        self.cr = false;
        self.white = false;
        self.line_ends += 1;
    }

    fn ordinary(&mut self, octets: &[u8]) {
        self.line_ends();
        if std::mem::take(&mut self.white) {
            self.out.take(b" ");
        }
        self.out.take(octets);
        self.empty = false;
    }

    fn line_ends(&mut self) {
        while let Some(left) = self.line_ends.checked_sub(LINE_ENDS.len() as u64) {
            self.out.take(LINE_ENDS.as_flattened());
            self.line_ends = left;
        }
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.out.take(b"\r\n");
        }
    }

    /// Empty lines at the end do not count; a last line without its end gets one.
    fn finish(mut self) -> C {
        if self.cr {
            self.ordinary(b"\r");
        }
        if !self.empty {
            self.out.take(b"\r\n");
        }
        self.out
    }
}

/// Length of the start of `octets` that is already canonical, whatever follows it. A single space between two ordinary
/// octets is; that makes a line of text one run.
fn ordinary_run(octets: &[u8]) -> usize {
    let ends = |pair: &[u8]| match pair {
        [b' ', next] => is_special(*next),
        [octet, ..] => is_special(*octet),
        [] => false,
    };
    let end = octets.windows(2).position(ends);
    end.unwrap_or_else(|| octets.len() - usize::from(octets.last().is_some_and(|octet| is_special(*octet))))
}

fn is_special(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Canonical for Vec<u8> {
        fn take(&mut self, octets: &[u8]) {
            self.extend_from_slice(octets);
        }
    }

    fn canonical<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut relaxed = Relaxed::new(Vec::new());
        pieces.into_iter().for_each(|piece| relaxed.write(piece));
        relaxed.finish()
    }

    #[test]
    fn white_space_and_empty_lines_are_relaxed() {
        let check = |body: &str, expected: &str| {
            let whole = canonical([body.as_bytes()]);
            assert_eq!(String::from_utf8(whole).unwrap(), expected, "{body:?}");
            let single = canonical(body.as_bytes().chunks(1));
            assert_eq!(String::from_utf8(single).unwrap(), expected, "{body:?}, octet by octet");
        };
        // RFC 6376 §3.4.5
        check(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
        check("", "");
        check("\r\n", "");
        check("\r\n \t\r\n\t\r\n", "");
        check(" ", "");
        check("a", "a\r\n");
        check("a \t", "a\r\n");
        check("a\r\n", "a\r\n");
        check("a\r\n\r\n b", "a\r\n\r\n b\r\n");
        check("a\r\n \t \r\nb\r\n", "a\r\n\r\nb\r\n");
        check("a b  c\td", "a b c d\r\n");
        // Line ends are CRLF and nothing else.
        check("a\nb\r\n", "a\nb\r\n");
        check("a\rb\r\n", "a\rb\r\n");
        check("a\r", "a\r\r\n");
        check("a \r\r\n", "a \r\r\n");
        check("\r \r\n", "\r\r\n");
        check("\n\n", "\n\n\r\n");
    }

    #[test]
    fn many_empty_lines_within_a_body_are_all_there() {
        for count in [31, 32, 33, 64, 1000] {
            let body = format!("a{}b\r\n", "\r\n".repeat(count));
            assert_eq!(canonical([body.as_bytes()]), body.as_bytes(), "{count}");
        }
    }

    /// The rules of RFC 6376 §3.4.4 one after the other, on the whole body.
    fn by_the_book(body: &str) -> String {
        let mut lines: Vec<String> = body.split("\r\n").map(reduced).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.iter().map(|line| format!("{line}\r\n")).collect()
    }

    fn reduced(line: &str) -> String {
        let mut out = String::new();
        for octet in line.chars().map(|c| if c == '\t' { ' ' } else { c }) {
            if !(octet == ' ' && out.ends_with(' ')) {
                out.push(octet);
            }
        }
        out.strip_suffix(' ').unwrap_or(&out).to_owned()
    }

    proptest! {
        #[test]
        fn any_body_in_any_pieces_is_canonical_by_the_book(body in "([ab]|[ \t]|\r\n|\r|\n){0,60}", cut in 1usize..7) {
            let canonical = canonical(body.as_bytes().chunks(cut));
            prop_assert_eq!(String::from_utf8(canonical).unwrap(), by_the_book(&body));
        }
    }
}
