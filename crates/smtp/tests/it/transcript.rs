//! Conversations as text files. A line is a mark, a colon, a blank and the rest; `#` begins a comment.
//!
//! `C: …` and `S: …` are lines on the wire (CRLF is added), `C= …` and `S= …` the same without CRLF. In all of them `\r`,
//! `\n`, `\t`, `\\` and `\xHH` stand for bytes, and `{N*x}` for N times `x`. Other marks belong to the runners.

use std::path::PathBuf;

pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) mark: String,
    pub(crate) text: String,
}

/// The lines of `tests/it/NAME.txt`.
pub(crate) fn read(name: &str) -> Vec<Line> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let end = line.find([':', '=']).unwrap_or_else(|| panic!("{name}:{}: no mark", index + 1));
            let mark = line[..end].to_owned() + if line[end..].starts_with('=') { "=" } else { "" };
            let rest = &line[end + 1..];
            Line { number: index + 1, mark, text: rest.strip_prefix(' ').unwrap_or(rest).to_owned() }
        })
        .collect()
}

impl Line {
    /// The bytes that `C`, `C=`, `S` and `S=` stand for.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = unescape(&self.text);
        if !self.mark.ends_with('=') {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(character) = rest.chars().next() {
        if let Some((times, repeated, after)) = repetition(rest) {
            bytes.extend(repeated.repeat(times));
            rest = after;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if character != '\\' {
            bytes.extend(character.to_string().bytes());
            continue;
        }
        let (byte, length) = match rest.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(&rest[1..3], 16).unwrap(), 3),
            other => panic!("no such escape: \\{}", char::from(other)),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

/// `{N*x}` at the start: N, the bytes of x, what follows.
fn repetition(text: &str) -> Option<(usize, Vec<u8>, &str)> {
    let (inner, after) = text.strip_prefix('{')?.split_once('}')?;
    let (times, repeated) = inner.split_once('*')?;
    Some((times.parse().ok()?, unescape(repeated), after))
}

/// For messages of failed tests.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\n")
}

/// `250 2.1.0 text` as a reply.
pub(crate) fn reply(text: &str) -> smtp::Reply {
    let wire = format!("{text}\r\n");
    smtp::ReplyParser::new().push(wire.as_bytes()).unwrap().1.unwrap()
}
