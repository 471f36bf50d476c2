//! The structure of an address field: mailbox-list and address-list (RFC 5322 §3.4, §4.4; RFC 6854; RFC 6532).
//!
//! In: the value of a field, unfolded. Out: its mailboxes, and whether every reader is sure to read the same ones. Never: a
//! guess. What is not of the grammar is refused, with one exception that cannot be misread: a phrase followed by a single
//! addr-spec without its angle brackets. Encoded words are decoded after the structure is known.

mod token;
mod write;

pub(crate) use write::{display, written};

use smtp::Mailbox;
use token::{Kind, Token, inside, tokens};

use crate::authors::AuthorTrouble;
use crate::encoding::{clean, decoded, readable, text_of};

/// Octets of a value that is read; a message's whole header section is smaller unless an operator wants it otherwise.
const VALUE: usize = 1024 * 1024;

/// What an address field holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressList {
    pub(crate) items: Vec<Item>,
    /// An address stands behind a phrase without its angle brackets.
    pub(crate) unbracketed: bool,
    /// Allowed, but in a form that a simple reader may read otherwise.
    pub(crate) odd: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Mailbox(Entry),
    Group { name: String, members: Vec<Entry> },
}

/// One mailbox with its display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Decoded and clean.
    pub(crate) name: Option<String>,
    /// The phrase as it came, where it is of ASCII atoms only: it may have encoded words that we cannot read.
    phrase: Option<String>,
    pub(crate) mailbox: Mailbox,
}

impl AddressList {
    /// Reads a value without line ends.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, AuthorTrouble> {
        if value.len() > VALUE {
            return Err(AuthorTrouble::TooLong);
        }
        let mut parser = Parser::default();
        for token in tokens(value)? {
            parser.token(token)?;
        }
        parser.finish()
    }

    /// All mailboxes, those in groups too.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.items.iter().flat_map(|item| match item {
            Item::Mailbox(entry) => std::slice::from_ref(entry),
            Item::Group { members, .. } => members.as_slice(),
        })
    }
}

/// The form in which [`AddressList::parse`] gives this mailbox; `None` if it would not read it at all.
pub(crate) fn canonical(mailbox: &Mailbox) -> Option<Mailbox> {
    let list = AddressList::parse(format!("<{mailbox}>").as_bytes()).ok()?;
    list.entries().next().map(|entry| entry.mailbox.clone())
}

#[derive(Default)]
struct Parser<'a> {
    list: AddressList,
    /// Of the entry under way.
    segment: Vec<Token<'a>>,
    bracket: bool,
    group: Option<(String, Vec<Entry>)>,
    /// A group has ended, and no comma has come since.
    after_group: bool,
}

impl<'a> Parser<'a> {
    fn token(&mut self, token: Token<'a>) -> Result<(), AuthorTrouble> {
        match token.kind {
            Kind::Special(b'<') if self.bracket => return Err(AuthorTrouble::Unbalanced),
            Kind::Special(b'>') if !self.bracket => return Err(AuthorTrouble::Unbalanced),
            Kind::Special(b',') if !self.bracket => return self.end_entry(),
            Kind::Special(b':') if !self.bracket => return self.begin_group(),
            Kind::Special(b';') if !self.bracket => return self.end_group(),
            Kind::Special(b'<') => self.bracket = true,
            Kind::Special(b'>') => self.bracket = false,
            _ => {}
        }
        if self.after_group && !token.is_white() {
            return Err(AuthorTrouble::Unreadable);
        }
        self.segment.push(token);
        Ok(())
    }

    fn begin_group(&mut self) -> Result<(), AuthorTrouble> {
        let phrase = std::mem::take(&mut self.segment);
        if self.group.is_some() || self.after_group || !is_phrase(&phrase) {
            return Err(AuthorTrouble::Unreadable);
        }
        // A reader that knows no groups may take an address in its name for the author.
        let misread = |token: &Token<'_>| token.kind == Kind::Comment || deceptive(token) || token.text.contains(&b'@');
        self.list.odd |= phrase.iter().any(misread);
        self.group = Some((display_name(&phrase).unwrap_or_default(), Vec::new()));
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), AuthorTrouble> {
        if self.group.as_ref().is_some_and(|(_, members)| members.is_empty())
            && self.segment.iter().all(|token| token.kind == Kind::Blank)
        {
            self.segment.clear();
        } else {
            self.end_entry()?;
        }
        let (name, members) = self.group.take().ok_or(AuthorTrouble::Unreadable)?;
        self.list.items.push(Item::Group { name, members });
        self.after_group = true;
        Ok(())
    }

    fn end_entry(&mut self) -> Result<(), AuthorTrouble> {
        let segment = std::mem::take(&mut self.segment);
        let empty = segment.iter().all(Token::is_white);
        if self.after_group || empty {
            // Empty elements are of the obsolete syntax (RFC 5322 §4.4).
            self.list.odd |= !self.after_group || segment.iter().any(|token| token.kind == Kind::Comment);
            self.after_group = false;
            return Ok(());
        }
        let read = entry(&segment)?;
        self.list.odd |= read.odd;
        self.list.unbracketed |= read.unbracketed;
        match &mut self.group {
            Some((_, members)) => members.push(read.entry),
            None => self.list.items.push(Item::Mailbox(read.entry)),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<AddressList, AuthorTrouble> {
        if self.bracket || self.group.is_some() {
            return Err(AuthorTrouble::Unbalanced);
        }
        if !(self.segment.is_empty() && self.list.items.is_empty()) {
            self.end_entry()?;
        }
        Ok(self.list)
    }
}

struct Read {
    entry: Entry,
    odd: bool,
    unbracketed: bool,
}

fn entry(segment: &[Token<'_>]) -> Result<Read, AuthorTrouble> {
    match segment.iter().position(|token| token.is(b'<')) {
        Some(open) => name_addr(segment, open),
        None => bare(trimmed(segment)),
    }
}

/// `[phrase] <[route] addr-spec>`
fn name_addr(segment: &[Token<'_>], open: usize) -> Result<Read, AuthorTrouble> {
    let (phrase, rest) = segment.split_at(open);
    let close = rest.iter().position(|token| token.is(b'>')).ok_or(AuthorTrouble::Unbalanced)?;
    let (inner, after) = (rest.get(1..close).unwrap_or_default(), rest.get(close + 1..).unwrap_or_default());
    let named = phrase.iter().any(|token| !token.is_white());
    if (named && !is_phrase(phrase)) || !after.iter().all(Token::is_white) {
        return Err(AuthorTrouble::Unreadable);
    }
    let spec = without_route(inner)?;
    let comment = |token: &Token<'_>| token.kind == Kind::Comment;
    let (mailbox, plain) = addr_spec(spec)?;
    // There are readers to whom a field ends with a control character, if only in an encoded word.
    let hides = hides_control(phrase);
    let atoms = atoms(phrase).filter(|_| !hides);
    let odd = !plain
        || spec.len() < inner.len()
        || phrase.iter().any(|token| comment(token) || deceptive(token))
        || after.iter().any(comment)
        || hides;
    Ok(Read { entry: Entry { name: display_name(phrase), phrase: atoms, mailbox }, odd, unbracketed: false })
}

/// An addr-spec, and what may stand around it: a comment behind it is its name; words before it are a phrase whose brackets
/// were left out.
fn bare(segment: &[Token<'_>]) -> Result<Read, AuthorTrouble> {
    let end = segment.iter().rposition(|token| !token.is_white()).map_or(0, |last| last + 1);
    let (segment, after) = segment.split_at(end);
    let start = start_of_spec(segment)?;
    let (phrase, spec) = segment.split_at(start);
    let (mailbox, plain) = addr_spec(spec)?;
    if phrase.iter().any(|token| !token.is_white()) {
        if !is_phrase(phrase) || !phrase.last().is_some_and(|token| token.kind == Kind::Blank) {
            return Err(AuthorTrouble::Unreadable);
        }
        let entry = Entry { name: display_name(phrase), phrase: atoms(phrase), mailbox };
        return Ok(Read { entry, odd: true, unbracketed: true });
    }
    let comments: Vec<_> = after.iter().filter(|token| token.kind == Kind::Comment).collect();
    let special = |octet: &u8| b"<>@,;:\"\\()".contains(octet);
    let odd = !plain
        || mailbox.as_str().starts_with('"')
        || !phrase.is_empty()
        || comments.len() > 1
        || comments.iter().any(|comment| inside(comment.text).iter().any(special));
    let name = comments.first().and_then(|comment| named(&text_of(&inside(comment.text))));
    Ok(Read { entry: Entry { name, phrase: None, mailbox }, odd, unbracketed: false })
}

/// Where the addr-spec at the end begins: with words and dots before its only `@` that have no blank between them, unless the
/// whole segment is the addr-spec.
fn start_of_spec(segment: &[Token<'_>]) -> Result<usize, AuthorTrouble> {
    let at = segment.iter().position(|token| token.is(b'@')).ok_or(AuthorTrouble::NoAddress)?;
    let local = segment.get(..at).unwrap_or_default();
    let leading = local.iter().position(|token| !token.is_white()).unwrap_or(0);
    if is_dotted(local) {
        return Ok(leading);
    }
    let start = local.iter().rposition(Token::is_white).map_or(0, |white| white + 1);
    // `John Q. public@contoso.com` may be meant either way.
    let joined = local.get(..start).unwrap_or_default().iter().rfind(|token| !token.is_white());
    if joined.is_some_and(|token| token.is(b'.')) || local.get(start).is_none_or(|token| token.is(b'.')) {
        return Err(AuthorTrouble::Unreadable);
    }
    Ok(start)
}

/// Words with dots between them, blanks and comments left aside.
fn is_dotted(tokens: &[Token<'_>]) -> bool {
    let mut word = false;
    for token in tokens.iter().filter(|token| !token.is_white()) {
        if token.is(b'.') != word {
            return false;
        }
        word = !word;
    }
    word
}

fn trimmed<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let blank = |token: &Token<'_>| token.kind == Kind::Blank;
    let start = tokens.iter().position(|token| !blank(token)).unwrap_or(0);
    let end = tokens.iter().rposition(|token| !blank(token)).map_or(start, |last| last + 1);
    tokens.get(start..end).unwrap_or_default()
}

/// What follows the source route, which RFC 5322 §4.4 lets a reader ignore.
fn without_route<'t, 'a>(inner: &'t [Token<'a>]) -> Result<&'t [Token<'a>], AuthorTrouble> {
    let first = inner.iter().find(|token| !token.is_white() && !token.is(b','));
    if !first.is_some_and(|token| token.is(b'@')) {
        return Ok(inner);
    }
    let colon = inner.iter().position(|token| token.is(b':')).ok_or(AuthorTrouble::Unreadable)?;
    let (route, spec) = inner.split_at(colon);
    let of_route = |token: &Token<'_>| {
        token.is_white() || token.kind == Kind::Atom || [b'@', b',', b'.'].iter().any(|s| token.is(*s))
    };
    if route.iter().all(of_route) { Ok(spec.get(1..).unwrap_or_default()) } else { Err(AuthorTrouble::Unreadable) }
}

/// The mailbox, and whether it is written as plainly as can be.
fn addr_spec(tokens: &[Token<'_>]) -> Result<(Mailbox, bool), AuthorTrouble> {
    let significant: Vec<_> = tokens.iter().filter(|token| !token.is_white()).collect();
    let mut plain = significant.len() == tokens.len();
    let mut octets = Vec::new();
    let (mut after_word, mut after_at) = (false, false);
    for token in &significant {
        let (word, quoted) = (!matches!(token.kind, Kind::Special(_)), token.kind == Kind::Quoted);
        if (word && after_word) || (quoted && (after_at || !is_plain_quoted(token))) {
            return Err(AuthorTrouble::Unreadable);
        }
        (after_word, after_at) = (word, after_at || token.is(b'@'));
        match if quoted { unquoted(token) } else { None } {
            Some(atom) => {
                plain = false;
                octets.extend(atom);
            }
            None => octets.extend_from_slice(token.text),
        }
    }
    let text = String::from_utf8(octets).map_err(|_| AuthorTrouble::NotUtf8)?;
    if text.is_empty() {
        return Err(AuthorTrouble::NoAddress);
    }
    if text.contains("=?") || text.contains(misread) {
        return Err(AuthorTrouble::Unreadable);
    }
    // A quoted string with a tab in it, or a local-part of several quoted strings, is refused here.
    let mailbox = Mailbox::parse(&text).map_err(|_| AuthorTrouble::NoAddress)?;
    Ok((mailbox, plain))
}

/// A quoted local-part of atoms, dots and spaces. One with specials in it is allowed, and lenient readers find other addresses
/// inside.
fn is_plain_quoted(token: &Token<'_>) -> bool {
    let of_atoms = |token: &Token<'_>| {
        token.kind == Kind::Atom || token.is(b'.') || (token.kind == Kind::Blank && !token.text.contains(&b'\t'))
    };
    let inner = token.text.get(1..token.text.len().saturating_sub(1)).unwrap_or_default();
    tokens(inner).is_ok_and(|tokens| tokens.iter().all(of_atoms))
}

/// The atoms that a quoted string means, if it need not be one.
fn unquoted(token: &Token<'_>) -> Option<Vec<u8>> {
    let inner = inside(token.text);
    let atom = |part: &[u8]| matches!(tokens(part).as_deref(), Ok([Token { kind: Kind::Atom, .. }]));
    inner.split(|octet| *octet == b'.').all(atom).then_some(inner)
}

/// Blanks and dots that are not ASCII's, and characters that are not seen: each reader takes them another way.
fn misread(character: char) -> bool {
    !character.is_ascii()
        && (character.is_whitespace()
            || matches!(character,
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2024}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{3002}' | '\u{fe52}' | '\u{fe6b}' | '\u{feff}' | '\u{ff0e}' | '\u{ff20}' | '\u{ff61}'
                | '\u{fff0}'..='\u{ffff}'))
}

/// Words, and dots as RFC 5322 §4.1 allows them.
fn is_phrase(tokens: &[Token<'_>]) -> bool {
    let of_phrase =
        |token: &Token<'_>| token.is_white() || matches!(token.kind, Kind::Atom | Kind::Quoted | Kind::Special(b'.'));
    tokens.iter().all(of_phrase) && tokens.iter().any(|token| matches!(token.kind, Kind::Atom | Kind::Quoted))
}

/// A name with angle brackets in it, for readers that look for these first; octets that are no UTF-8.
fn deceptive(token: &Token<'_>) -> bool {
    token.text.iter().any(|octet| matches!(octet, b'<' | b'>')) || std::str::from_utf8(token.text).is_err()
}

/// Encoded words, quoted or not, in which a control character stands.
fn hides_control(phrase: &[Token<'_>]) -> bool {
    decoded(&phrase_text(phrase)).contains(|character: char| character.is_control() && character != '\t')
}

/// ASCII atoms with their blanks.
fn atoms(phrase: &[Token<'_>]) -> Option<String> {
    let phrase = trimmed(phrase);
    let plain = |token: &Token<'_>| matches!(token.kind, Kind::Atom | Kind::Blank) && token.text.is_ascii();
    let text: Vec<u8> = phrase.iter().flat_map(|token| token.text).copied().collect();
    let plain = !phrase.is_empty() && phrase.iter().all(plain);
    plain.then(|| String::from_utf8(text).ok()).flatten().map(|text| clean(&text))
}

fn display_name(phrase: &[Token<'_>]) -> Option<String> {
    named(&phrase_text(phrase))
}

fn phrase_text(phrase: &[Token<'_>]) -> String {
    let mut text = String::new();
    for token in phrase {
        match token.kind {
            Kind::Blank | Kind::Comment => text.push(' '),
            Kind::Quoted => text.push_str(&text_of(&inside(token.text))),
            _ => text.push_str(&text_of(token.text)),
        }
    }
    text
}

fn named(text: &str) -> Option<String> {
    let name = readable(&clean(text)).split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use AuthorTrouble::*;

    use super::*;

    /// `name <address>` of each, and `!` where it is odd.
    fn read(value: &str) -> Result<String, AuthorTrouble> {
        let list = AddressList::parse(value.as_bytes())?;
        let each = list.entries().map(|entry| format!("{}<{}>", entry.name.as_deref().unwrap_or(""), entry.mailbox));
        Ok(format!("{}{}", each.collect::<Vec<_>>().join(" "), if list.odd { "!" } else { "" }))
    }

    #[test]
    fn address_fields_are_read_by_the_grammar_alone() {
        let long = format!("{}@b.test", "a".repeat(65));
        let table: &[(&str, Result<&str, AuthorTrouble>)] = &[
            ("a@b", Ok("<a@b>")),
            (" Anna Maria <a@b> ", Ok("Anna Maria<a@b>")),
            ("\"Doe, \\\"J\\\"\" <a@b>", Ok("Doe, \"J\"<a@b>")),
            ("John Q. Public <a@b>", Ok("John Q. Public<a@b>")),
            ("a@b (Anna)", Ok("Anna<a@b>")),
            ("a@b (c@d)", Ok("c@d<a@b>!")),
            ("a@b, <c@d>", Ok("<a@b> <c@d>")),
            ("\"x@y\" <a@b>", Ok("x@y<a@b>")),
            ("=?utf-8?q?=C3=84?= =?utf-8?q?b=40c?= <a@b>", Ok("Äb@c<a@b>")),
            ("=?utf-8?q?a=2Cb=40c?= <d@e>", Ok("a,b@c<d@e>")),
            ("=?utf-8?b?YUBiAA==?= <d@e>", Ok("a@b<d@e>!")),
            ("\"=?utf-8?q?a=0AFrom:?=\" <d@e>", Ok("a From:<d@e>!")),
            ("=?utf-8?q?a,b@c?= <d@e>", Err(NoAddress)),
            ("=?utf-8?q?<a@b>?= <c@d>", Err(Unreadable)),
            ("=?utf-8?q?a=40b?=@c", Err(Unreadable)),
            ("G: a@b, X <c@d>; , e@f", Ok("<a@b> X<c@d> <e@f>")),
            ("G:;", Ok("")),
            ("\"x@y\": a@b;", Ok("<a@b>!")),
            ("\"<x>\": a@b;", Ok("<a@b>!")),
            ("B\u{fc}ro: a@b;", Ok("<a@b>")),
            ("", Ok("")),
            (",a@b,,", Ok("<a@b>!")),
            ("(x) a@b", Ok("<a@b>!")),
            ("A (x) <a@b>", Ok("A<a@b>!")),
            ("((n(e)sted)) <a@b> (z)", Ok("<a@b>!")),
            ("a . b @ c . d", Ok("<a.b@c.d>!")),
            ("< a @ b >", Ok("<a@b>!")),
            ("<@x,@y.z:a@b>", Ok("<a@b>!")),
            ("Printer 3 p@b", Ok("Printer 3<p@b>!")),
            ("\"Printer, 3\" p@b (x)", Ok("Printer, 3<p@b>!")),
            ("John Q. public@b", Err(Unreadable)),
            ("Printer (x)p@b", Err(Unreadable)),
            ("\"a b\"@c", Ok("<\"a b\"@c>!")),
            ("<\"a b\"@c>", Ok("<\"a b\"@c>")),
            ("<\"a.b\"@c>", Ok("<a.b@c>!")),
            ("<\"a@b\"@c>", Err(Unreadable)),
            ("a@\"b\"", Err(Unreadable)),
            ("Büro <ü@bücher.test>", Ok("Büro<ü@bücher.test>")),
            ("a@b\u{3002}c", Err(Unreadable)),
            ("a\u{a0}@b", Err(Unreadable)),
            ("a@[192.0.2.1], b@[IPv6:::1]", Ok("<a@[192.0.2.1]> <b@[IPv6:::1]>")),
            ("a@b c@d", Err(Unreadable)),
            ("a@b <c@d>", Err(Unreadable)),
            ("<a@b> <c@d>", Err(Unreadable)),
            ("<a@b>, <c@d", Err(Unbalanced)),
            ("<a@b>>", Err(Unbalanced)),
            ("\"x <a@b>", Err(Unbalanced)),
            ("(x <a@b>", Err(Unbalanced)),
            ("x) <a@b>", Err(Unbalanced)),
            ("G: a@b", Err(Unbalanced)),
            ("G: H: a@b;;", Err(Unreadable)),
            ("a@b; c@d", Err(Unreadable)),
            ("G: a@b; c@d", Err(Unreadable)),
            ("a\\@b", Err(Unreadable)),
            ("a", Err(NoAddress)),
            ("<>", Err(NoAddress)),
            ("<a>", Err(NoAddress)),
            ("a@", Err(NoAddress)),
            ("a@@b", Err(NoAddress)),
            ("a..b@c", Err(NoAddress)),
            (&long, Err(NoAddress)),
            ("a\0 <a@b>", Err(Control)),
            ("a <a@b>\u{7f}", Err(Control)),
        ];
        for (value, expected) in table {
            assert_eq!(read(value), expected.map(str::to_owned), "{value:?}");
        }
    }

    #[test]
    fn a_value_over_a_mebibyte_is_not_read() {
        let commas = |octets| AddressList::parse(&vec![b','; octets]).map(|list| list.items.len());
        assert_eq!((commas(VALUE), commas(VALUE + 1)), (Ok(0), Err(TooLong)));
    }

    #[test]
    fn what_is_no_utf8_is_a_name_at_most() {
        let list = AddressList::parse(b"B\xfcro <a@b>").unwrap();
        assert!(list.odd);
        assert_eq!(list.entries().next().unwrap().name.as_deref(), Some("Büro"));
        assert_eq!(AddressList::parse(b"\xfc@b"), Err(NotUtf8));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in [
            "Doe, John <a@b>",
            "\"<x@y>\" <a@b>",
            "a@b (n)",
            "Printer p@b",
            "=?koi8-r?q?=C1?= <a@b>",
            "\"a b\"@c",
            "Ü <ü@b>",
            "G: a@b, \"=?x\" <c@d>;",
            "Q. X <a@b>, <c@d>",
        ] {
            let Ok(list) = AddressList::parse(value.as_bytes()) else { continue };
            let again = AddressList::parse(list.written().as_bytes()).unwrap();
            assert!(!again.odd, "{value}: {}", list.written());
            assert_eq!(again.written(), list.written());
            assert!(again.entries().map(|entry| &entry.mailbox).eq(list.entries().map(|entry| &entry.mailbox)));
        }
    }
}
