//! The way out.

/// Encodes content for DATA. Bare CR and bare LF leave as CRLF, so that no receiver can be made to see an end of
/// message of its own (SMTP smuggling); a line that starts with a dot gets another.
#[derive(Debug, Default)]
pub struct DotStuffer {
    place: Place,
}

/// Where the last piece ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    LineStart,
    Inside,
    /// Behind a CR that has not been written: what it is depends on the next byte.
    Cr,
}

impl DotStuffer {
    /// At the start of content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the encoded form of `content` to `into`.
    pub fn push(&mut self, content: &[u8], into: &mut Vec<u8>) {
        into.reserve(content.len() + content.len() / 32);
        let mut content = content;
        if self.place == Place::Cr && !content.is_empty() {
            into.extend_from_slice(b"\r\n");
            self.place = Place::LineStart;
            content = content.strip_prefix(b"\n").unwrap_or(content);
        }
        if self.place == Place::LineStart && content.starts_with(b".") {
            into.push(b'.');
        }
        if let Some(place) = push_lines(content, into) {
            self.place = place;
        }
    }

    /// Appends what ends the message: CRLF if the content did not end with it, then `.` CRLF.
    pub fn finish(self, into: &mut Vec<u8>) {
        into.extend_from_slice(if self.place == Place::LineStart { b".\r\n" } else { b"\r\n.\r\n" });
    }
}

/// `content` begins where no CR is pending, and its first dot is dealt with. Returns where it ended, if it is not empty.
fn push_lines(content: &[u8], into: &mut Vec<u8>) -> Option<Place> {
    let after = |place: usize| content.get(place..).unwrap_or_default();
    // Everything before `written` is in `into`; the line under way begins at `line`.
    let (mut written, mut line) = (0, 0);
    for end in memchr::memchr2_iter(b'\r', b'\n', content) {
        if end < line {
            continue; // the LF of a CRLF
        }
        let tail = after(end);
        if tail.starts_with(b"\r\n") {
            line = end + 2;
            if after(line).starts_with(b".") {
                into.extend_from_slice(content.get(written..line).unwrap_or_default());
                into.push(b'.');
                written = line;
            }
            continue;
        }
        into.extend_from_slice(content.get(written..end).unwrap_or_default());
        line = end + 1;
        written = line;
        if tail == b"\r" {
            return Some(Place::Cr);
        }
        into.extend_from_slice(if after(line).starts_with(b".") { b"\r\n." } else { b"\r\n" });
    }
    into.extend_from_slice(after(written));
    let place = if line == content.len() { Place::LineStart } else { Place::Inside };
    (!content.is_empty()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(content: &[u8], piece: usize) -> Vec<u8> {
        let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
        content.chunks(piece).for_each(|piece| stuffer.push(piece, &mut wire));
        stuffer.finish(&mut wire);
        wire
    }

    #[test]
    fn content_leaves_as_lines_that_end_with_crlf_and_hide_their_dots() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b".\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"\r\n", b"\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n..\r\na.b\r\n", b"..\r\n...\r\na.b\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\n.\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\n.\r\nb\r", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"\n\r\r\n", b"\r\n\r\n\r\n.\r\n"),
        ];
        for (content, wire) in table {
            for piece in 1..=content.len() + 1 {
                assert_eq!(&stuffed(content, piece), wire, "{content:?} in pieces of {piece}");
            }
        }
    }
}
