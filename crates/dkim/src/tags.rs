//! A header field that is a list of tags (RFC 6376 §3.2), folded as it is written, with `b=` at its end.

use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::header;
use crate::key::Key;

/// A line is folded before it grows longer, if it can be.
const LINE: usize = 76;

/// See the head of this file. Names and values are ours: they hold no line ends.
pub(crate) struct TagList {
    name: &'static str,
    /// Behind `name:`.
    value: String,
    /// Octets of the last line.
    line: usize,
}

impl TagList {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, value: String::new(), line: name.len() + 1 }
    }

    pub(crate) fn tag(mut self, name: &str, value: &str) -> Self {
        self.word(&format!("{name}={value};"));
        self
    }

    /// A list with colons, folded between them.
    pub(crate) fn list(mut self, name: &str, values: &[&str]) -> Self {
        let last = values.len().saturating_sub(1);
        for (at, value) in values.iter().enumerate() {
            let end = if at == last { ';' } else { ':' };
            match at {
                0 => self.word(&format!("{name}={value}{end}")),
                _ => self.part(&format!("{value}{end}")),
            }
        }
        self
    }

    /// The field with its signature over `before` and itself (RFC 6376 §3.7), ending in CRLF.
    pub(crate) fn sign(mut self, key: &Key, before: Vec<u8>) -> Result<Vec<u8>, Unspecified> {
        self.word("b=");
        let mut hashed = before;
        header::relaxed(self.name.as_bytes(), self.value.as_bytes(), &mut hashed);
        // The field signs itself without the CRLF at its end.
        hashed.truncate(hashed.len().saturating_sub(2));
        let signature = BASE64_STANDARD.encode(key.sign(&hashed)?);
        for octet in signature.chars() {
            self.part(octet.encode_utf8(&mut [0; 4]));
        }
        Ok(format!("{}:{}\r\n", self.name, self.value).into_bytes())
    }

    /// With white space before it.
    fn word(&mut self, word: &str) {
        if self.line + 1 + word.len() > LINE {
            self.fold();
        } else {
            self.value.push(' ');
            self.line += 1;
        }
        self.push(word);
    }

    /// With white space before it only where the line is full.
    fn part(&mut self, part: &str) {
        if self.line + part.len() > LINE {
            self.fold();
        }
        self.push(part);
    }

    fn fold(&mut self) {
        self.value.push_str("\r\n\t");
        self.line = 1;
    }

    fn push(&mut self, text: &str) {
        self.value.push_str(text);
        self.line += text.len();
    }
}
