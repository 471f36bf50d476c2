//! The bytes of a message on their way to the next hop, as often as several transactions need them.
//!
//! In: the spool's reader. Out: pieces. A body that came as one piece can be sent again; a longer one is read once, for
//! memory stays bounded.

use bytes::Bytes;
use queue::{BodyReader, SpoolError};

/// See the head of this file.
pub(crate) struct Content {
    reader: BodyReader,
    /// Read but not yet given.
    ahead: Option<Bytes>,
    /// The whole body, if it came as one piece.
    whole: Option<Bytes>,
    given: u64,
    /// The last byte is on its way, and may have arrived.
    pub(crate) ending: bool,
}

impl Content {
    /// Reads the first piece, so that a body that cannot be read is known before the next hop is troubled.
    pub(crate) async fn open(mut reader: BodyReader) -> Result<Self, SpoolError> {
        let ahead = reader.next().await?;
        let length = ahead.as_ref().map_or(0, Bytes::len) as u64;
        let whole = (length == reader.size()).then(|| ahead.clone().unwrap_or_default());
        Ok(Self { reader, ahead, whole, given: 0, ending: false })
    }

    /// The next piece; `None` only at the very end of a sound body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        let piece = match self.ahead.take() {
            Some(piece) => Some(piece),
            None if self.whole.is_some() => None,
            None => self.reader.next().await?,
        };
        self.given += piece.as_ref().map_or(0, Bytes::len) as u64;
        Ok(piece)
    }

    /// Back to the first byte. False if the body cannot be had again.
    pub(crate) fn rewind(&mut self) -> bool {
        self.ending = false;
        if self.given == 0 {
            return true;
        }
        let Some(whole) = &self.whole else { return false };
        self.ahead = Some(whole.clone());
        self.given = 0;
        true
    }

    /// Octets of the body.
    pub(crate) fn size(&self) -> u64 {
        self.reader.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::body::Pieces;

    async fn read(content: &mut Content) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = content.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        all
    }

    #[tokio::test]
    async fn a_body_in_one_piece_can_be_read_again_and_a_longer_one_cannot() {
        let mut one = Content::open(Pieces::of(&["Subject: x\r\n\r\n"])).await.unwrap();
        assert_eq!(read(&mut one).await, b"Subject: x\r\n\r\n");
        assert!(one.rewind());
        assert_eq!(read(&mut one).await, b"Subject: x\r\n\r\n");

        let mut two = Content::open(Pieces::of(&["Subject: x\r\n", "\r\n"])).await.unwrap();
        assert!(two.rewind(), "nothing was given yet");
        assert_eq!(read(&mut two).await, b"Subject: x\r\n\r\n");
        assert!(!two.rewind());
    }

    #[tokio::test]
    async fn a_damaged_body_never_reaches_its_end() {
        let mut content = Content::open(Pieces::damaged_after(&["Subject: x\r\n"])).await.unwrap();
        assert!(content.next().await.unwrap().is_some());
        assert!(content.next().await.is_err());
    }
}
