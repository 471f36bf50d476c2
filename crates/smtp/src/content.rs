//! Transparency of message content in DATA (RFC 5321 §4.5.2), in both directions.

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
    _private: (),
}

impl DotUnstuffer {
    /// At the start of content.
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends decoded content to `into`. The final CRLF before the dot belongs to the content.
    pub fn push(&mut self, input: &[u8], into: &mut Vec<u8>) -> Unstuffed {
        let _ = (input, into);
        todo!()
    }
}

/// Encodes content for DATA. Bare CR and bare LF leave as CRLF, so that no receiver can be made to see an end of
/// message of its own (SMTP smuggling); a line that starts with a dot gets another.
#[derive(Debug, Default)]
pub struct DotStuffer {
    _private: (),
}

impl DotStuffer {
    /// At the start of content.
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends the encoded form of `content` to `into`.
    pub fn push(&mut self, content: &[u8], into: &mut Vec<u8>) {
        let _ = (content, into);
        todo!()
    }
    /// Appends what ends the message: CRLF if the content did not end with it, then `.` CRLF.
    pub fn finish(self, into: &mut Vec<u8>) {
        let _ = into;
        todo!()
    }
}
