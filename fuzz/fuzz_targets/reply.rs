//! Any bytes as replies: the same however they are torn, and the same again when written and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::{Extensions, Reply, ReplyError, ReplyParser};

fn replies(bytes: &[u8], piece: usize) -> (Vec<Reply>, Option<ReplyError>) {
    let (mut parser, mut found) = (ReplyParser::new(), Vec::new());
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            match parser.push(piece) {
                Ok((consumed, reply)) => {
                    assert!(consumed > 0);
                    piece = &piece[consumed..];
                    found.extend(reply);
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fuzz_target!(|data: &[u8]| {
    let whole = replies(data, usize::MAX);
    assert_eq!(whole, replies(data, 1));
    for reply in whole.0 {
        Extensions::parse(&reply);
        assert!(!reply.to_string().contains(char::is_control));
        let mut wire = Vec::new();
        reply.write(&mut wire);
        assert!(wire.split_inclusive(|&byte| byte == b'\n').all(|line| line.len() <= 512 && line.ends_with(b"\r\n")));
        let (again, error) = replies(&wire, usize::MAX);
        assert_eq!((again.len(), error), (1, None));
        assert_eq!((again[0].code, again[0].status), (reply.code, reply.status));
        if reply.lines.iter().all(|line| line.len() < 480) {
            assert_eq!(again[0], reply);
        }
    }
});
