//! What is wrong with the octets of one part, or of the text around parts.
//!
//! In: its octets, in pieces. Out: facts. What they mean for the part is `survey`'s.

use super::plan::Charset;
use crate::lines::Lines;

/// RFC 5322 §2.1.1: a line has no more, its CRLF not counted.
const LINE: u64 = 998;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Findings {
    lines: Lines,
    octets: u64,
    /// Octets that quoted-printable would write as three.
    quoted: u64,
    nul: bool,
    eight_bit: bool,
    utf8: Option<Utf8>,
}

impl Findings {
    /// `charset`: whether the character set will have to be named.
    pub(super) fn new(charset: bool) -> Self {
        Self { utf8: charset.then(Utf8::default), ..Self::default() }
    }

    pub(super) fn push(&mut self, octets: &[u8]) {
        self.lines.push(octets);
        self.octets += octets.len() as u64;
        self.nul = self.nul || memchr::memchr(0, octets).is_some();
        self.eight_bit = self.eight_bit || !octets.is_ascii();
        self.quoted += quoted(octets);
        if let Some(utf8) = &mut self.utf8 {
            utf8.push(octets);
        }
    }

    pub(super) fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Quoted-printable would be longer by more than two thirds; base64 is by a third.
    pub(super) fn dense(&self) -> bool {
        let bare = self.lines.bare_ends();
        (self.quoted + bare) * 3 > self.octets
    }

    /// The character set to state where none was.
    pub(super) fn charset(&self) -> Option<Charset> {
        let utf8 = self.utf8.as_ref()?;
        Some(match (self.eight_bit, utf8.holds()) {
            (false, _) => Charset::UsAscii,
            (true, true) => Charset::Utf8,
            (true, false) => Charset::Unknown8Bit,
        })
    }

    /// What a next hop would not take.
    pub(super) fn trouble(&self, seven_bit: bool) -> Trouble {
        Trouble {
            bare_cr: self.lines.bare_cr(),
            bare_lf: self.lines.bare_lf(),
            long: self.lines.longest() > LINE,
            nul: self.nul,
            eight_bit: seven_bit && self.eight_bit,
        }
    }
}

/// Written so that a compiler makes wide instructions of it.
fn quoted(octets: &[u8]) -> u64 {
    let needs = |octet: &u8| u32::from(*octet == b'=' || *octet > 126 || (*octet < 32 && !b"\t\r\n".contains(octet)));
    octets.chunks(1 << 16).map(|chunk| u64::from(chunk.iter().map(needs).sum::<u32>())).sum()
}

/// Why something has to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) bare_cr: bool,
    pub(super) bare_lf: bool,
    pub(super) long: bool,
    pub(super) nul: bool,
    /// And the next hop takes none.
    pub(super) eight_bit: bool,
}

impl Trouble {
    pub(super) fn any(self) -> bool {
        self.bare() || self.beyond_line_ends()
    }

    pub(super) fn bare(self) -> bool {
        self.bare_cr || self.bare_lf
    }

    /// CRLF for bare line ends would not be enough.
    pub(super) fn beyond_line_ends(self) -> bool {
        self.long || self.nul || self.eight_bit
    }

    /// Some next hops take it as it is.
    pub(super) fn only_eight_bit(self) -> bool {
        self == Self { eight_bit: true, ..Self::default() }
    }

    /// Signed text has it in its local form, and CRLF when it is signed.
    pub(super) fn only_bare_lf(self) -> bool {
        self == Self { bare_lf: true, ..Self::default() }
    }

    /// In words.
    pub(super) fn words(self) -> String {
        let all = [
            (self.bare(), "bare line ends"),
            (self.long, "lines over 998 octets"),
            (self.nul, "NUL"),
            (self.eight_bit, "8-bit octets"),
        ];
        let found: Vec<_> = all.into_iter().filter_map(|(found, words)| found.then_some(words)).collect();
        found.join(", ")
    }
}

/// Whether octets are UTF-8, however they are cut.
#[derive(Debug, Default)]
struct Utf8 {
    broken: bool,
    /// The beginning of a character: at most three octets.
    open: Vec<u8>,
}

impl Utf8 {
    fn push(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !self.broken && !self.open.is_empty() {
            let Some((first, after)) = rest.split_first() else { return };
            rest = after;
            self.open.push(*first);
            let open = std::mem::take(&mut self.open);
            self.check(&open);
        }
        self.check(rest);
    }

    fn check(&mut self, octets: &[u8]) {
        if let Err(error) = std::str::from_utf8(octets) {
            match error.error_len() {
                None => self.open = octets.get(error.valid_up_to()..).unwrap_or_default().to_vec(),
                Some(_) => self.broken = true,
            }
        }
    }

    fn holds(&self) -> bool {
        !self.broken && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8], at: usize) -> (String, Option<Charset>, bool) {
        let (one, two) = text.split_at(at);
        let mut findings = Findings::new(true);
        findings.push(one);
        findings.push(two);
        (findings.trouble(true).words(), findings.charset(), findings.dense())
    }

    #[test]
    fn trouble_is_found_wherever_the_octets_are_cut() {
        let long = [b'x'; 999];
        let fits = [&long[1..], b"\r\n"].concat();
        let cases: [(&[u8], &str, Charset, bool); 10] = [
            (b"", "", Charset::UsAscii, false),
            (b"all is well\r\n", "", Charset::UsAscii, false),
            (b"a longer line\nb", "bare line ends", Charset::UsAscii, false),
            (b"a longer line\rb", "bare line ends", Charset::UsAscii, false),
            (b"a longer line\r\0\xff", "bare line ends, NUL, 8-bit octets", Charset::Unknown8Bit, false),
            (&long, "lines over 998 octets", Charset::UsAscii, false),
            (&fits, "", Charset::UsAscii, false),
            ("müßig".as_bytes(), "8-bit octets", Charset::Utf8, true),
            ("this is some €".as_bytes(), "8-bit octets", Charset::Utf8, false),
            (&"cut in some €".as_bytes()[..14], "8-bit octets", Charset::Unknown8Bit, false),
        ];
        for (text, words, charset, dense) in cases {
            for at in 0..=text.len() {
                assert_eq!(of(text, at), (words.to_owned(), Some(charset), dense), "{} at {at}", text.escape_ascii());
            }
        }
    }
}
