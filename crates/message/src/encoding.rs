//! Text as it may stand in mail: clean of what could end a line or deceive a reader, folded, as encoded words (RFC 2047),
//! as quoted-printable (RFC 2045 §6.7), as embedded characters (RFC 6533 §3).
//!
//! In: any text or octets. Out: lines of at most 998 octets, CRLF at their ends, and of at most 78 where a blank allows it.
//! Never: a line end, or a control character, that came from outside.

use std::fmt::Write;

/// RFC 5322 §2.1.1: a line has no more, its CRLF not counted.
const LINE: usize = 998;
/// The same section: and should have no more than this.
const COLUMNS: usize = 78;
/// A word longer than this is cut, so that the field's name goes onto its line.
const WORD: usize = 900;
/// RFC 2045 §6.7: a line of quoted-printable has no more.
const QUOTED_LINE: usize = 76;
/// RFC 2047 §2: an encoded word has no more; less here, so that the name of a field goes onto its line.
const ENCODED_WORD: usize = 60;

/// On one line: control characters, and characters that turn the direction of text around, become blanks.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|character| if deceives(character) { ' ' } else { character }).collect()
}

fn deceives(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most so many octets, at the end of a character; `…` where something is missing.
pub(crate) fn cut(text: &str, octets: usize) -> String {
    if text.len() <= octets {
        return text.to_owned();
    }
    let kept = text.get(..text.floor_char_boundary(octets.saturating_sub(3))).unwrap_or_default();
    format!("{}…", kept.trim_end())
}

/// With `\x{FC}` for what is not ASCII.
pub(crate) fn ascii(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() { written.push(character) } else { embed(&mut written, character) }
    }
    written
}

/// `\x{FC}`
pub(crate) fn embed(into: &mut String, character: char) {
    // Writing into a string does not fail.
    let _ = write!(into, "\\x{{{:02X}}}", u32::from(character));
}

/// `name: value`, folded at blanks; every blank of the value stays. A word that no line can hold is cut.
pub(crate) fn field(into: &mut String, name: &str, value: &str) {
    into.push_str(name);
    into.push(':');
    let mut column = name.len() + 1;
    let value = clean(value);
    for (blanks, word) in words(value.trim()) {
        let blanks = blanks.clamp(1, WORD / 10);
        let mut first = true;
        for piece in pieces(word) {
            let blanks = if first { blanks } else { 1 };
            let end = column + blanks + piece.len();
            if !first || (end > COLUMNS && column > name.len() + 1) || end > LINE {
                into.push_str("\r\n");
                column = 0;
            }
            into.extend(std::iter::repeat_n(' ', blanks));
            into.push_str(piece);
            column += blanks + piece.len();
            first = false;
        }
    }
    into.push_str("\r\n");
}

/// `name: value` on one line, however long that is, as long as a line may be; for values that lose their meaning by a blank.
pub(crate) fn unfolded(into: &mut String, name: &str, value: &str) {
    let value = clean(value);
    let value = value.trim();
    if name.len() + 2 + value.len() > LINE {
        return field(into, name, value);
    }
    for part in [name, ": ", value, "\r\n"] {
        into.push_str(part);
    }
}

/// Words, each with the number of blanks before it.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.trim_start_matches(' ');
        let blanks = rest.len() - word.len();
        let (word, after) = word.split_at(word.find(' ').unwrap_or(word.len()));
        rest = after;
        (!word.is_empty()).then_some((blanks, word))
    })
}

/// A word in pieces that a line can hold.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let end = if rest.len() > WORD { rest.floor_char_boundary(WORD) } else { rest.len() };
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// As it is if it is ASCII and cannot be taken for an encoded word; otherwise as encoded words.
pub(crate) fn unstructured(text: &str) -> String {
    let text = clean(text);
    if text.is_ascii() && !text.contains("=?") { text } else { encoded_words(&text) }
}

/// A display name: atoms, a quoted string or encoded words.
pub(crate) fn phrase(text: &str) -> String {
    let text = clean(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&b);
    if !text.is_ascii() || text.contains("=?") {
        encoded_words(&text)
    } else if text.bytes().all(plain) {
        text
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// `=?utf-8?Q?…?=`, as many as it takes, a blank between them; only what a phrase may hold stays as it is.
pub(crate) fn encoded_words(text: &str) -> String {
    const START: &str = "=?utf-8?Q?";
    let mut written = String::from(START);
    let mut length = START.len() + 2;
    for character in text.chars() {
        let mut piece = String::new();
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '!' | '*' | '+' | '-' | '/' => piece.push(character),
            ' ' => piece.push('_'),
            other => hexadecimal(&mut piece, other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        if length + piece.len() > ENCODED_WORD {
            written.push_str("?= ");
            written.push_str(START);
            length = START.len() + 2;
        }
        length += piece.len();
        written.push_str(&piece);
    }
    written.push_str("?=");
    written
}

fn hexadecimal(into: &mut String, octets: &[u8]) {
    for octet in octets {
        // Writing into a string does not fail.
        let _ = write!(into, "={octet:02X}");
    }
}

/// For people: a field's text with its encoded words decoded, where the character set is one that Western mail uses; others
/// stay as they are.
pub(crate) fn readable(text: &str) -> String {
    clean(&decoded(text))
}

/// The same as it is written, with whatever control characters encoded words hide.
pub(crate) fn decoded(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut after_encoded = false;
    for (blanks, word) in words(text.trim()) {
        let decoded = decoded_word(word);
        // RFC 2047 §6.2: blanks between two encoded words are not shown.
        let shown = !(after_encoded && decoded.is_some());
        if shown && !read.is_empty() {
            read.extend(std::iter::repeat_n(' ', blanks));
        }
        after_encoded = decoded.is_some();
        read.push_str(decoded.as_deref().unwrap_or(word));
    }
    read
}

/// Octets of unknown character set: UTF-8 if they can be, otherwise windows-1252, in which Western devices write.
pub(crate) fn text_of(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().copied().map(western).collect(),
    }
}

/// A character of windows-1252; what has none there is a control character.
fn western(octet: u8) -> char {
    const FROM_128: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    let place = usize::from(octet).checked_sub(128);
    place.and_then(|place| FROM_128.get(place)).copied().unwrap_or(char::from(octet))
}

fn decoded_word(word: &str) -> Option<String> {
    let mut parts = word.strip_prefix("=?")?.strip_suffix("?=")?.split('?');
    let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let octets = match encoding {
        "q" | "Q" => from_quoted(text.replace('_', " ").as_bytes()),
        "b" | "B" => from_base64(text.as_bytes()),
        _ => return None,
    };
    match charset.split('*').next()?.to_ascii_lowercase().as_str() {
        "utf-8" | "us-ascii" => String::from_utf8(octets).ok(),
        "iso-8859-1" | "iso-8859-15" | "windows-1252" => Some(octets.into_iter().map(western).collect()),
        _ => None,
    }
}

/// Octets as quoted-printable; every line end becomes CRLF, and there is one at the end.
pub(crate) fn quoted_printable(octets: &[u8]) -> String {
    let mut written = String::with_capacity(octets.len() + octets.len() / 8);
    for line in lines(octets) {
        quote_line(&mut written, line);
        written.push_str("\r\n");
    }
    written
}

fn quote_line(into: &mut String, line: &[u8]) {
    let mut column = 0;
    for (at, octet) in line.iter().enumerate() {
        let last = at + 1 == line.len();
        let stays = match octet {
            b'=' => false,
            b' ' | b'\t' => !last,
            other => matches!(other, 33..=126),
        };
        let width = if stays { 1 } else { 3 };
        if column + width + usize::from(!last) > QUOTED_LINE {
            into.push_str("=\r\n");
            column = 0;
        }
        if stays {
            into.push(char::from(*octet))
        } else {
            hexadecimal(into, &[*octet])
        }
        column += width;
    }
}

/// Lines ended by CRLF, or by a bare CR or LF; what follows the last end is a line if there is anything.
pub(crate) fn lines(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, tail) = rest.split_at(memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()));
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
        Some(line)
    })
}

/// What quoted-printable stands for; what is none stays as it is.
pub(crate) fn from_quoted(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'=', [b'\r', b'\n', tail @ ..] | [b'\n', tail @ ..]) => rest = tail,
            (b'=', [high, low, tail @ ..]) => match digit(*high).zip(digit(*low)) {
                Some((high, low)) => {
                    octets.push(high << 4 | low);
                    rest = tail;
                }
                None => octets.push(*first),
            },
            _ => octets.push(*first),
        }
    }
    octets
}

/// What base64 stands for; what is no digit of it is passed over.
pub(crate) fn from_base64(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.iter().take_while(|octet| **octet != b'=').filter_map(|octet| base64_digit(*octet)) {
        bits = bits << 6 | digit;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count & 0xff) as u8);
        }
    }
    octets
}

fn base64_digit(octet: u8) -> Option<u32> {
    let digit = match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(digit))
}

/// Of a hexadecimal number.
pub(crate) fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(value: &str) -> String {
        let mut text = String::new();
        field(&mut text, "Subject", value);
        text
    }

    #[test]
    fn a_value_is_folded_at_its_blanks_and_a_word_too_long_is_cut() {
        assert_eq!(folded("a b"), "Subject: a b\r\n");
        assert_eq!(folded(&format!("a  {}", "b".repeat(80))), format!("Subject: a\r\n  {}\r\n", "b".repeat(80)));
        assert_eq!(folded(""), "Subject:\r\n");
        assert!(folded(&"c".repeat(2_000)).lines().all(|line| line.len() <= LINE));
    }

    #[test]
    fn nothing_ends_a_line_but_we() {
        assert_eq!(folded("a\r\nBcc: x@y\u{85}z\0"), "Subject: a  Bcc: x@y z\r\n");
        assert_eq!(clean("a\u{202e}b"), "a b");
    }

    #[test]
    fn phrases_and_subjects_are_quoted_or_encoded_where_they_must() {
        assert_eq!(phrase("Mail Delivery System"), "Mail Delivery System");
        assert_eq!(phrase("relay.contoso.com \"x\\"), "\"relay.contoso.com \\\"x\\\\\"");
        assert_eq!(phrase("Störung"), "=?utf-8?Q?St=C3=B6rung?=");
        assert_eq!(unstructured("a =?x"), "=?utf-8?Q?a_=3D=3Fx?=");
    }

    #[test]
    fn encoded_words_are_read() {
        let table = [
            ("plain  text", "plain  text"),
            ("=?utf-8?Q?St=C3=B6rung?= 5", "Störung 5"),
            ("=?UTF-8?B?U3TDtnI=?= =?utf-8?b?dW5n?=", "Störung"),
            ("=?iso-8859-1?q?St=F6rung_5?=", "Störung 5"),
            ("=?shift_jis?q?x?=", "=?shift_jis?q?x?="),
            ("=?utf-8?q?=FF?=", "=?utf-8?q?=FF?="),
            ("=?utf-8?q?a=0D=0Ab?=", "a  b"),
        ];
        for (text, expected) in table {
            assert_eq!(readable(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn fields_have_legal_lines_and_lose_no_word(value in "\\PC{0,300}|[ -~\\r\\n\\t]{0,300}|[a ]{0,2000}") {
            let text = folded(&value);
            let lines: Vec<_> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert!(lines.iter().all(|line| line.len() <= LINE && !line.chars().any(char::is_control)));
            prop_assert!(lines[1..].iter().all(|line| line.starts_with(' ') && !line.trim().is_empty()));
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(squeezed(&text), format!("Subject:{}", squeezed(&clean(&value))));
        }

        #[test]
        fn subjects_are_read_back(value in "\\PC{0,100}") {
            let text = unstructured(&value);
            prop_assert!(text.is_ascii());
            let (back, clean) = (readable(&text), clean(&value));
            prop_assert_eq!(back.trim(), clean.trim());
        }

        #[test]
        fn quoted_printable_is_read_back(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = quoted_printable(&octets);
            prop_assert!(text.is_ascii() && text.split("\r\n").all(|line| line.len() <= QUOTED_LINE));
            let back = from_quoted(text.as_bytes());
            prop_assert!(lines(&back).eq(lines(&octets)));
        }
    }
}
