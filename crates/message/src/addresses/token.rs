//! The words of an address field: atoms, quoted strings, comments, address literals, specials (RFC 5322 §3.2).
//!
//! In: the value of a field, unfolded. Out: tokens that together are the value, octet for octet. Octets over 127 are of
//! atoms, quoted strings and comments (RFC 6532 §3.2); encoded words are atoms like others.

use crate::authors::AuthorTrouble;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Blank,
    Comment,
    Atom,
    Quoted,
    Literal,
    Special(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a [u8],
}

impl Token<'_> {
    pub(crate) fn is(&self, special: u8) -> bool {
        self.kind == Kind::Special(special)
    }
    /// CFWS.
    pub(crate) fn is_white(&self) -> bool {
        matches!(self.kind, Kind::Blank | Kind::Comment)
    }
}

/// All tokens of a value.
pub(crate) fn tokens(value: &[u8]) -> Result<Vec<Token<'_>>, AuthorTrouble> {
    if value.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
        return Err(AuthorTrouble::Control);
    }
    let (mut tokens, mut rest) = (Vec::new(), value);
    while let Some(first) = rest.first() {
        let (kind, length) = match first {
            b' ' | b'\t' => (Kind::Blank, run(rest, |octet| matches!(octet, b' ' | b'\t'))),
            b'(' => (Kind::Comment, comment(rest)?),
            b'"' => (Kind::Quoted, quoted(rest)?),
            b'[' => (Kind::Literal, literal(rest)?),
            b'<' | b'>' | b'@' | b',' | b';' | b':' | b'.' => (Kind::Special(*first), 1),
            b')' | b']' => return Err(AuthorTrouble::Unbalanced),
            b'\\' => return Err(AuthorTrouble::Unreadable),
            _ => (Kind::Atom, run(rest, is_atext)),
        };
        let (text, after) = rest.split_at(length);
        tokens.push(Token { kind, text });
        rest = after;
    }
    Ok(tokens)
}

fn is_atext(octet: u8) -> bool {
    !octet.is_ascii() || (octet.is_ascii_graphic() && !b"()<>[]:;@\\,.\"".contains(&octet))
}

fn run(text: &[u8], of: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|octet| !of(*octet)).unwrap_or(text.len())
}

fn quoted(text: &[u8]) -> Result<usize, AuthorTrouble> {
    let mut escaped = false;
    for (at, octet) in text.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(at + 1),
            _ => {}
        }
    }
    Err(AuthorTrouble::Unbalanced)
}

/// Comments nest.
fn comment(text: &[u8]) -> Result<usize, AuthorTrouble> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, octet) in text.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return Ok(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    Err(AuthorTrouble::Unbalanced)
}

fn literal(text: &[u8]) -> Result<usize, AuthorTrouble> {
    let end = text.iter().skip(1).position(|octet| matches!(octet, b'[' | b']' | b'\\'));
    match end.and_then(|end| text.get(end + 1).map(|octet| (end + 2, octet))) {
        Some((length, b']')) => Ok(length),
        _ => Err(AuthorTrouble::Unbalanced),
    }
}

/// What a quoted string or a comment holds: without its ends and without the backslashes that quote.
pub(crate) fn inside(token: &[u8]) -> Vec<u8> {
    let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
    let mut escaped = false;
    let kept = inner.iter().filter(|octet| {
        escaped = !escaped && **octet == b'\\';
        !escaped
    });
    kept.copied().collect()
}
