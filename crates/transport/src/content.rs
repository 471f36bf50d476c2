//! The bytes of a message on their way to the next hop, as often as several transactions need them.
//!
//! In: the spool's reader, and header fields to add. Out: pieces; what is added stands below the relay's own trace field. A
//! body that came as one piece can be sent again; a longer one is read once, for memory stays bounded.

use std::collections::VecDeque;

use bytes::Bytes;
use queue::{BodyReader, SpoolError};

/// See the head of this file.
pub(crate) struct Content {
    reader: BodyReader,
    /// Header fields of ours.
    fields: Bytes,
    /// Not yet given, before what the reader has.
    ahead: VecDeque<Bytes>,
    /// The whole body, if it came as one piece.
    whole: Option<Bytes>,
    given: u64,
    /// The last byte is on its way, and may have arrived.
    pub(crate) ending: bool,
}

impl Content {
    /// Reads the first piece, so that a body that cannot be read is known before the next hop is troubled.
    pub(crate) async fn open(mut reader: BodyReader, fields: Bytes) -> Result<Self, SpoolError> {
        let first = reader.next().await?.unwrap_or_default();
        let whole = (first.len() as u64 == reader.size()).then(|| first.clone());
        let ahead = with_fields(first, &fields);
        Ok(Self { reader, fields, ahead, whole, given: 0, ending: false })
    }

    /// The next piece; `None` only at the very end of a sound body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        let piece = match self.ahead.pop_front() {
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
        self.ahead = with_fields(whole.clone(), &self.fields);
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

/// The beginning of a body with the fields where they belong.
fn with_fields(mut first: Bytes, fields: &Bytes) -> VecDeque<Bytes> {
    let length = if fields.is_empty() { 0 } else { trace_field(&first) };
    let trace = first.split_to(length);
    [trace, fields.clone(), first].into_iter().filter(|piece| !piece.is_empty()).collect()
}

/// Octets of the trace field that the relay itself has put before the message: it is the first field, and its lines end with
/// CRLF. None if it is not there, or does not end here.
fn trace_field(first: &[u8]) -> usize {
    if !first.starts_with(b"Received: ") {
        return 0;
    }
    let follows = |ends: &[u8]| matches!(ends, [b'\r', b'\n', next] if !matches!(next, b' ' | b'\t'));
    first.windows(3).position(follows).map_or(0, |at| at + 2)
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
    async fn fields_stand_below_our_own_trace_field() {
        const ADDED: &str = "Message-ID: <x@y>\r\n";
        let table = [
            ("Received: from a\r\n by b\r\n\tid c; d\r\n", "Received: from z\r\nSubject: x\r\n\r\nText\r\n"),
            ("Received: from a\r\n", "\r\nReceived: not a field\r\n"),
            ("", "Subject: x\r\nReceived: from a\r\n\r\n"),
            ("", "Received: from a\r\n"),
            ("", ""),
        ];
        for (trace, rest) in table {
            let mut content = open(Pieces::of(&[format!("{trace}{rest}").leak()]), ADDED).await;
            for _ in 0..2 {
                assert_eq!(String::from_utf8(read(&mut content).await).unwrap(), format!("{trace}{ADDED}{rest}"));
                assert!(content.rewind());
            }
        }
    }

    #[tokio::test]
    async fn a_damaged_body_never_reaches_its_end() {
        let mut content = open(Pieces::damaged_after(&["Subject: x\r\n"]), "").await;
        assert!(content.next().await.unwrap().is_some());
        assert!(content.next().await.is_err());
    }
}
