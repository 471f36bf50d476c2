//! Any content out and back, any wire in: against slow implementations that see the whole text at once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::{DotStuffer, DotUnstuffer};

fn stuffed(content: &[u8], piece: usize) -> Vec<u8> {
    let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
    content.chunks(piece).for_each(|piece| stuffer.push(piece, &mut wire));
    stuffer.finish(&mut wire);
    wire
}

/// Content and how much of the wire is its own, if it ends.
fn unstuffed(wire: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
    let (mut unstuffer, mut content, mut consumed) = (DotUnstuffer::new(), Vec::new(), 0);
    for piece in wire.chunks(piece) {
        let step = unstuffer.push(piece, &mut content);
        consumed += step.consumed;
        if step.end {
            return Some((content, consumed));
        }
        assert_eq!(step.consumed, piece.len());
    }
    None
}

/// Every CR, LF or CRLF becomes CRLF, and there is one at the end.
fn normalised(content: &[u8]) -> Vec<u8> {
    let (mut lines, mut last) = (Vec::new(), b'\n');
    for &byte in content {
        match (last, byte) {
            (b'\r', b'\n') => {}
            (_, b'\r' | b'\n') => lines.extend(b"\r\n"),
            _ => lines.push(byte),
        }
        last = byte;
    }
    if !lines.is_empty() && !lines.ends_with(b"\r\n") {
        lines.extend(b"\r\n");
    }
    lines
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn reference(wire: &[u8]) -> Option<(Vec<u8>, usize)> {
    let text = [b"\r\n", wire].concat();
    let end = find(&text, b"\r\n.\r\n")?;
    let (mut content, mut rest) = (Vec::new(), &text[2..end + 2]);
    while !rest.is_empty() {
        let (line, after) = rest.split_at(find(rest, b"\r\n").map_or(rest.len(), |place| place + 2));
        let keeps_dot = line.starts_with(b".\r") || line.starts_with(b".\n") || !line.starts_with(b".");
        content.extend(if keeps_dot { line } else { &line[1..] });
        rest = after;
    }
    Some((content, end + 3))
}

fuzz_target!(|data: (u8, &[u8])| {
    let (piece, bytes) = (usize::from(data.0) + 1, data.1);
    let wire = stuffed(bytes, piece);
    assert_eq!(wire, stuffed(bytes, usize::MAX));
    assert_eq!(unstuffed(&wire, piece), Some((normalised(bytes), wire.len())), "out and back");
    assert_eq!(unstuffed(bytes, piece), reference(bytes), "in");
});
