//! Bodies as a spool would give them.

use async_trait::async_trait;
use bytes::Bytes;
use queue::{Body, BodyReader, MessageId, SpoolError};

use super::fixture::HEADER;

/// Pieces given one by one.
pub(crate) struct Pieces {
    size: u64,
    all: Vec<Bytes>,
    pieces: Vec<Bytes>,
    damaged: bool,
}

impl Pieces {
    pub(crate) fn of(pieces: &[&'static str]) -> BodyReader {
        Box::new(Self::new(pieces, false))
    }

    /// Says that it has more, and then fails.
    pub(crate) fn damaged_after(pieces: &[&'static str]) -> BodyReader {
        Box::new(Self::new(pieces, true))
    }

    fn new(pieces: &[&'static str], damaged: bool) -> Self {
        let size = pieces.iter().map(|piece| piece.len() as u64).sum::<u64>() + u64::from(damaged);
        let all: Vec<_> = pieces.iter().rev().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        Self { size, pieces: all.clone(), all, damaged }
    }
}

#[async_trait]
impl Body for Pieces {
    fn size(&self) -> u64 {
        self.size
    }
    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        match self.pieces.pop() {
            None if self.damaged => {
                let id = MessageId::from_i64(1).unwrap();
                Err(SpoolError::Damaged { id, what: "its checksum".to_owned() })
            }
            piece => Ok(piece),
        }
    }
    fn rewind(&mut self) {
        self.pieces.clone_from(&self.all);
    }
}

/// A header section, and so many pieces of lines, made as they are read.
pub(crate) struct Endless {
    pub(crate) size: u64,
    pub(crate) piece: Bytes,
    pieces: u64,
    /// Pieces still to be given, the header section among them.
    left: u64,
}

impl Endless {
    pub(crate) fn new(pieces: u64) -> Self {
        let piece = Bytes::from(
            ".seventy-eight octets with a dot before them, to make the encoder work for it.\r\n".repeat(800),
        );
        Self { size: HEADER.len() as u64 + pieces * piece.len() as u64, pieces, left: pieces + 1, piece }
    }
}

#[async_trait]
impl Body for Endless {
    fn size(&self) -> u64 {
        self.size
    }
    async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        Ok(Some(if self.left == self.pieces { Bytes::from_static(HEADER.as_bytes()) } else { self.piece.clone() }))
    }
    fn rewind(&mut self) {
        self.left = self.pieces + 1;
    }
}
