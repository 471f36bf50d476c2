//! From a server's bytes to replies.

use std::borrow::Cow;

use super::{EnhancedStatus, Reply, ReplyCode, ReplyError, parse_status, write::without_controls};

/// Exchange's lines run far past the RFC's 512.
const LINE_OCTETS: usize = 8192;
const LINES: usize = 100;
/// How much of a line that is no reply is shown.
const SHOWN_OCTETS: usize = 120;

/// Collects lines until a reply is whole.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// The lines before it.
    begun: Option<Reply>,
}

impl ReplyParser {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses bytes from the front of `input`; `consumed` of them. `Some` when a reply is complete. Lone LF ends no line.
    pub fn push(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut consumed = 0;
        while let Some(used) = self.take_line(input.get(consumed..).unwrap_or_default()) {
            consumed += used;
            let line = std::mem::take(&mut self.line);
            let done = self.read_line(&line)?;
            // The buffer is kept for the next line.
            self.line = line;
            self.line.clear();
            if done {
                return Ok((consumed, self.begun.take()));
            }
        }
        if self.line.len() > LINE_OCTETS { Err(ReplyError::TooLong) } else { Ok((input.len(), None)) }
    }

    /// True between replies: nothing of a next one has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.begun.is_none()
    }

    /// Moves bytes into `line` until it ends with CRLF; `None` if it does not end in `input` (which is then used up).
    fn take_line(&mut self, input: &[u8]) -> Option<usize> {
        let mut moved = 0;
        for line_feed in memchr::memchr_iter(b'\n', input) {
            let piece = input.get(moved..=line_feed).unwrap_or_default();
            moved = line_feed + 1;
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\r\n") || self.line.len() > LINE_OCTETS {
                return Some(moved);
            }
        }
        self.line.extend_from_slice(input.get(moved..).unwrap_or_default());
        None
    }

    /// True if this was the last line of the reply.
    fn read_line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        if line.len() > LINE_OCTETS {
            return Err(ReplyError::TooLong);
        }
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let (code, last, text) = split_line(line).ok_or_else(|| not_a_reply(line))?;
        match &mut self.begun {
            None => {
                let (status, text) = split_status(&text);
                self.begun = Some(Reply { code, status, lines: vec![Cow::Owned(text.to_owned())] });
            }
            Some(begun) if begun.code != code => return Err(ReplyError::MixedCodes(begun.code.get(), code.get())),
            Some(begun) if begun.lines.len() == LINES => return Err(ReplyError::TooLong),
            Some(begun) => begun.lines.push(Cow::Owned(continuation(&text, begun.status).to_owned())),
        }
        Ok(last)
    }
}

/// Code, whether this is the last line, text without controls.
fn split_line(line: &[u8]) -> Option<(ReplyCode, bool, String)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = digits
        .iter()
        .try_fold(0, |code: u16, digit| digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0')))?;
    let (last, text) = match rest.split_first() {
        None => (true, rest),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return None,
    };
    Some((ReplyCode::new(code)?, last, without_controls(&String::from_utf8_lossy(text)).collect()))
}

/// The enhanced status code at the start, if there is one, and what follows it.
fn split_status(text: &str) -> (Option<EnhancedStatus>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match parse_status(word) {
        Some(status) => (Some(status), rest),
        None => (None, text),
    }
}

/// A later line: without the status code if it repeats the first line's, as it came if it does not.
fn continuation(text: &str, first: Option<EnhancedStatus>) -> &str {
    match split_status(text) {
        (Some(status), rest) if Some(status) == first => rest,
        _ => text,
    }
}

fn not_a_reply(line: &[u8]) -> ReplyError {
    let shown = line.get(..SHOWN_OCTETS).unwrap_or(line);
    ReplyError::Syntax(without_controls(&String::from_utf8_lossy(shown)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let whole = ReplyParser::new().push(bytes);
        let mut parser = ReplyParser::new();
        let mut stepwise = Ok((bytes.len(), None));
        for (place, byte) in bytes.iter().enumerate() {
            match parser.push(std::slice::from_ref(byte)) {
                Ok((1, None)) => {}
                Ok((_, reply)) => {
                    stepwise = Ok((place + 1, reply));
                    break;
                }
                Err(error) => {
                    stepwise = Err(error);
                    break;
                }
            }
        }
        assert_eq!(whole, stepwise, "whole and byte by byte");
        whole
    }

    fn text(bytes: &[u8]) -> String {
        parse(bytes).unwrap().1.unwrap().to_string()
    }

    #[test]
    fn replies_keep_what_the_server_said() {
        assert_eq!(text(b"550 5.7.606 Access denied\r\n"), "550 5.7.606 Access denied");
        assert_eq!(text(b"250-2.0.0 a\r\n250-2.0.0\r\n250 2.1.0 b\r\n"), "250 2.0.0 a 2.1.0 b");
        assert_eq!(text(b"220\r\n"), "220");
        assert_eq!(text(b"354 \r\n"), "354");
        assert_eq!(text(b"250 1.2.3.4 is you\r\n"), "250 1.2.3.4 is you");
        assert_eq!(text(b"250 a\nb\rc\x1b\r\n"), "250 a b c ");
        assert_eq!(text(b"250 gr\xfcn\r\n"), "250 gr\u{fffd}n");
    }

    #[test]
    fn bytes_after_a_reply_are_left_alone() {
        let mut parser = ReplyParser::new();
        let (used, reply) = parser.push(b"250 a\r\n550 b\r\n").unwrap();
        assert_eq!((used, reply.unwrap().to_string().as_str()), (7, "250 a"));
        assert!(parser.is_empty());
        assert_eq!(parser.push(b"55").unwrap(), (2, None));
        assert!(!parser.is_empty());
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [&b"hello\r\n"[..], b"25\r\n", b"250x\r\n", b"150 a\r\n", b"600 a\r\n", b"\r\n", b"+50 a\r\n"] {
            assert!(matches!(parse(bytes), Err(ReplyError::Syntax(_))), "{bytes:?}");
        }
        assert_eq!(parse(b"250-a\r\n550 b\r\n"), Err(ReplyError::MixedCodes(250, 550)));
    }

    #[test]
    fn a_reply_without_end_is_given_up() {
        let line = [b"250 ".as_slice(), &[b'x'; 8186], b"\r\n"].concat();
        assert!(parse(&line).unwrap().1.is_some());
        let line = [b"250 ".as_slice(), &[b'x'; 8187], b"\r\n"].concat();
        assert_eq!(ReplyParser::new().push(&line), Err(ReplyError::TooLong));
        assert_eq!(ReplyParser::new().push(&[b'2'; 8193]), Err(ReplyError::TooLong));
        assert_eq!(ReplyParser::new().push(&[b'\n'; 8193]), Err(ReplyError::TooLong));
        let hundred = [b"250-x\r\n".repeat(99), b"250 x\r\n".to_vec()].concat();
        assert_eq!(parse(&hundred).unwrap().1.unwrap().lines.len(), 100);
        assert_eq!(parse(&b"250-x\r\n".repeat(101)), Err(ReplyError::TooLong));
    }
}
