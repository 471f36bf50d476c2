//! A message on its way in: the header section in memory, the body in memory or, once it is large, in a temporary file.
//!
//! In: decoded content in pieces. Out: an [`Arrived`] that can be read again. The content is never changed here.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};

/// Exchange's limit of the whole header section.
pub(crate) const HEADER_SECTION: usize = 256 * 1024;

/// Takes the pieces.
pub(crate) struct Incoming {
    header_section: Vec<u8>,
    header_complete: bool,
    header_too_large: bool,
    body: Body,
    size: u64,
    in_memory: usize,
    digest: Context,
}

impl Incoming {
    /// Goes to a file when the body is larger than `in_memory`.
    pub(crate) fn new(in_memory: usize) -> Self {
        Self {
            header_section: Vec::with_capacity(2048),
            header_complete: false,
            header_too_large: false,
            body: Body::Memory(Vec::new()),
            size: 0,
            in_memory,
            digest: Context::new(&SHA256),
        }
    }

    /// Octets so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The next piece. An error is a full disk, most likely.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.size += piece.len() as u64;
        if self.header_complete {
            return self.push_body(piece);
        }
        let from = self.header_section.len().saturating_sub(3);
        self.header_section.extend_from_slice(piece);
        match end_of_header_section(&self.header_section, from) {
            Some(end) => {
                self.header_complete = true;
                let body = self.header_section.split_off(end);
                self.header_too_large |= end > HEADER_SECTION;
                self.push_body(&body)
            }
            None => {
                if self.header_section.len() > HEADER_SECTION {
                    self.header_too_large = true;
                    let kept = self.header_section.len() - 3;
                    self.header_section.drain(..kept);
                }
                Ok(())
            }
        }
    }

    fn push_body(&mut self, piece: &[u8]) -> io::Result<()> {
        self.digest.update(piece);
        match &mut self.body {
            Body::Memory(held) if held.len() + piece.len() <= self.in_memory => held.extend_from_slice(piece),
            Body::Memory(held) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(held)?;
                file.write_all(piece)?;
                self.body = Body::File(Mutex::new(file));
            }
            Body::File(file) => file.get_mut().unwrap_or_else(PoisonError::into_inner).write_all(piece)?,
        }
        Ok(())
    }

    /// The message is whole.
    pub(crate) fn finish(self) -> Arrived {
        let digest = self.digest.finish();
        Arrived {
            header_section: self.header_section,
            header_too_large: self.header_too_large,
            body: self.body,
            size: self.size,
            body_sha256: digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect(),
        }
    }
}

/// Where the body starts: behind the first empty line.
fn end_of_header_section(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(bytes.get(from..)?, b"\r\n\r\n").map(|at| from + at + 4)
}

/// A whole message.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// With the empty line at its end, if the message has one.
    pub(crate) header_section: Vec<u8>,
    /// Over [`HEADER_SECTION`]; `header_section` is then not all of it.
    pub(crate) header_too_large: bool,
    pub(crate) body: Body,
    pub(crate) size: u64,
    /// Of the body as received, in hexadecimal.
    pub(crate) body_sha256: String,
}

/// Behind the empty line.
#[derive(Debug)]
pub(crate) enum Body {
    Memory(Vec<u8>),
    File(Mutex<File>),
}

impl Body {
    /// Octets it holds in memory.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(_) => 0,
        }
    }

    /// Appends all of it.
    pub(crate) fn read_into(&self, into: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => into.extend_from_slice(bytes),
            Self::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(0))?;
                file.read_to_end(into)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(message: &[u8], piece: usize, in_memory: usize) -> (Vec<u8>, Vec<u8>, String) {
        let mut incoming = Incoming::new(in_memory);
        for piece in message.chunks(piece) {
            incoming.push(piece).unwrap();
        }
        let arrived = incoming.finish();
        assert_eq!(arrived.size, message.len() as u64);
        let mut body = Vec::new();
        arrived.body.read_into(&mut body).unwrap();
        (arrived.header_section, body, arrived.body_sha256)
    }

    #[test]
    fn header_section_and_body_part_at_the_first_empty_line_however_the_pieces_fall() {
        let message = b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore\r\n";
        for piece in 1..message.len() {
            let (header, body, _) = collect(message, piece, 1000);
            assert_eq!(header, b"A: 1\r\nB: 2\r\n\r\n");
            assert_eq!(body, b"body\r\n\r\nmore\r\n");
        }
    }

    #[test]
    fn a_message_may_lack_body_or_header_section() {
        assert_eq!(collect(b"A: 1\r\n", 3, 1000).0, b"A: 1\r\n");
        assert_eq!(collect(b"\r\nbody\r\n", 1, 1000).1, b"body\r\n");
        assert_eq!(collect(b"\r\n", 1, 1000).0, b"\r\n");
    }

    #[test]
    fn a_large_body_goes_to_a_file_and_comes_back_whole() {
        let mut message = b"A: 1\r\n\r\n".to_vec();
        message.extend((0..200_000u32).flat_map(u32::to_le_bytes));
        let in_file = collect(&message, 4099, 1000);
        let in_memory = collect(&message, 4099, 10_000_000);
        assert_eq!(in_file.1, message[8..]);
        assert_eq!(in_file, in_memory);
        let mut incoming = Incoming::new(1000);
        incoming.push(&message).unwrap();
        assert_eq!(incoming.finish().body.memory(), 0);
    }

    #[test]
    fn an_endless_header_section_is_noted_and_not_kept() {
        let mut incoming = Incoming::new(1000);
        for _ in 0..HEADER_SECTION {
            incoming.push(b"XX").unwrap();
        }
        assert!(incoming.header_section.len() <= HEADER_SECTION);
        incoming.push(b"\r\n\r\nbody").unwrap();
        assert!(incoming.finish().header_too_large);
    }
}
