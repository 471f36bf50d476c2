//! A reply as bytes.

use super::Reply;

/// RFC 5321 §4.5.3.1.5, CRLF included.
const LINE_OCTETS: usize = 512;

/// The characters of a text, controls as blanks.
pub(super) fn without_controls(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|character| if character.is_control() { ' ' } else { character })
}

/// The characters of a text, those beyond ASCII by their numbers.
pub(super) fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len() * 2);
    for character in without_controls(text) {
        match character {
            ' '..='~' => ascii.push(character),
            other => ascii.extend([r"\x{", &format!("{:X}", u32::from(other)), "}"]),
        }
    }
    ascii
}

pub(super) fn write(reply: &Reply, into: &mut Vec<u8>) {
    let code = reply.code.to_string();
    let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
    let room = LINE_OCTETS - "250-".len() - status.len() - "\r\n".len();
    let mut texts = reply.lines.iter().flat_map(|line| fold(line, room)).peekable();
    if texts.peek().is_none() {
        write_line(&code, b' ', &status, "", into);
    }
    while let Some(text) = texts.next() {
        write_line(&code, if texts.peek().is_some() { b'-' } else { b' ' }, &status, text, into);
    }
}

fn write_line(code: &str, separator: u8, status: &str, text: &str, into: &mut Vec<u8>) {
    into.extend_from_slice(code.as_bytes());
    into.push(separator);
    into.extend_from_slice(if text.is_empty() { status.trim_end() } else { status }.as_bytes());
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        into.extend_from_slice(text.as_bytes());
    } else {
        let mut buffer = [0; 4];
        without_controls(text).for_each(|it| into.extend_from_slice(it.encode_utf8(&mut buffer).as_bytes()));
    }
    into.extend_from_slice(b"\r\n");
}

/// Pieces of at most `room` octets, cut at a blank where there is one. An empty line is one empty piece.
fn fold(line: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        if text.len() <= room {
            return Some(text);
        }
        let end = text.floor_char_boundary(room);
        let (piece, after) = match text.get(..=end).unwrap_or(text.get(..end)?).rfind(' ') {
            Some(blank) if blank > 0 => (text.get(..blank)?, text.get(blank + 1..)?),
            _ => text.split_at_checked(end)?,
        };
        rest = Some(after);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::super::*;

    fn written(reply: &Reply) -> String {
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_line_has_code_and_status() {
        let mut reply = Reply::new(250, EnhancedStatus::new(2, 1, 0), "one");
        reply.lines.push("".into());
        reply.lines.push("three".into());
        assert_eq!(written(&reply), "250-2.1.0 one\r\n250-2.1.0\r\n250 2.1.0 three\r\n");
        assert_eq!(written(&Reply::plain(334, "")), "334 \r\n");
        assert_eq!(written(&Reply { lines: Vec::new(), ..reply }), "250 2.1.0\r\n");
    }

    #[test]
    fn a_text_cannot_break_its_line() {
        assert_eq!(written(&Reply::plain(250, "a\r\n250 b\tc\u{85}d")), "250 a  250 b c d\r\n");
    }

    #[test]
    fn what_is_not_ascii_can_be_told_by_its_number() {
        let reply = Reply::new(550, EnhancedStatus::new(5, 7, 1), "gr\u{fc}n@b\u{85}\u{1f4a9}");
        assert_eq!(written(&reply.in_ascii()), "550 5.7.1 gr\\x{FC}n@b \\x{1F4A9}\r\n");
    }

    #[test]
    fn long_lines_are_folded_and_lose_nothing() {
        let words = "0123456789 ".repeat(100);
        let solid = "ü".repeat(700);
        for text in [words.trim_end(), &solid] {
            let reply = Reply::new(550, EnhancedStatus::new(5, 7, 606), text.to_owned());
            let wire = written(&reply);
            assert!(wire.lines().count() > 1 && wire.split_inclusive("\r\n").all(|line| line.len() <= 512));
            let (_, read) = ReplyParser::new().push(wire.as_bytes()).unwrap();
            let read = read.unwrap();
            let glue = if text.contains(' ') { " " } else { "" };
            assert_eq!((read.status, read.lines.join(glue).as_str()), (reply.status, text));
        }
    }
}
