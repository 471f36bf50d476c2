//! The bytes of a message on their way to the next hop, as often as several transactions need them.
//!
//! In: the spool's reader, and what goes before the body. Out: pieces. A body that came as one piece can be sent again; a
//! longer one is read once, for memory stays bounded.

use bytes::Bytes;
use queue::{BodyReader, SpoolError};

/// See the head of this file.
pub(crate) struct Content {
    reader: BodyReader,
    /// Header fields of ours, before the body.
    fields: Bytes,
    /// They have not been given yet.
    fields_due: bool,
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
    pub(crate) async fn open(mut reader: BodyReader, fields: Bytes) -> Result<Self, SpoolError> {
        let ahead = reader.next().await?;
        let length = ahead.as_ref().map_or(0, Bytes::len) as u64;
        let whole = (length == reader.size()).then(|| ahead.clone().unwrap_or_default());
        let fields_due = !fields.is_empty();
        Ok(Self { reader, fields, fields_due, ahead, whole, given: 0, ending: false })
    }

    /// The next piece; `None` only at the very end of a sound body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        let piece = match self.ahead.take_if(|_| !self.fields_due) {
            _ if std::mem::take(&mut self.fields_due) => Some(self.fields.clone()),
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
        self.fields_due = !self.fields.is_empty();
        self.given = 0;
        true
    }

    /// Octets of all that goes.
    pub(crate) fn size(&self) -> u64 {
        self.reader.size() + self.added()
    }

    /// Octets of them that are not the body's.
    pub(crate) fn added(&self) -> u64 {
        self.fields.len() as u64
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

    async fn open(body: BodyReader, fields: &'static str) -> Content {
        Content::open(body, Bytes::from_static(fields.as_bytes())).await.unwrap()
    }

    #[tokio::test]
    async fn a_body_in_one_piece_can_be_read_again_and_a_longer_one_cannot() {
        for fields in ["", "Message-ID: <x@y>\r\n"] {
            let whole = format!("{fields}Subject: x\r\n\r\n");
            let mut one = open(Pieces::of(&["Subject: x\r\n\r\n"]), fields).await;
            for _ in 0..2 {
                assert_eq!(one.size(), whole.len() as u64);
                assert_eq!(read(&mut one).await, whole.as_bytes());
                assert!(one.rewind());
            }
            assert!(one.next().await.unwrap().is_some());
            assert!(one.rewind());
            assert_eq!(read(&mut one).await, whole.as_bytes());

            let mut two = open(Pieces::of(&["Subject: x\r\n", "\r\n"]), fields).await;
            assert!(two.rewind(), "nothing was given yet");
            assert_eq!(read(&mut two).await, whole.as_bytes());
            assert!(!two.rewind());
        }
    }

    #[tokio::test]
    async fn a_damaged_body_never_reaches_its_end() {
        let mut content = open(Pieces::damaged_after(&["Subject: x\r\n"]), "").await;
        assert!(content.next().await.unwrap().is_some());
        assert!(content.next().await.is_err());
    }
}
