//! Bodies as a spool would give them.

use async_trait::async_trait;
use bytes::Bytes;
use queue::{Body, BodyReader, MessageId, SpoolError};

/// Pieces given one by one.
pub(crate) struct Pieces {
    size: u64,
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
        let pieces = pieces.iter().rev().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        Self { size, pieces, damaged }
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
}

/// So many octets in lines, made as they are read.
pub(crate) struct Endless {
    pub(crate) size: u64,
    pub(crate) left: u64,
    pub(crate) piece: Bytes,
}

impl Endless {
    pub(crate) fn new(pieces: u64) -> Self {
        let piece = Bytes::from(
            ".seventy-eight octets with a dot before them, to make the encoder work for it.\r\n".repeat(800),
        );
        Self { size: pieces * piece.len() as u64, left: pieces, piece }
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
        Ok(Some(self.piece.clone()))
    }
}
