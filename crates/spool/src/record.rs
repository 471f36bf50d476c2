//! The record: one message in a segment, enough to rebuild its row. Format 1, all numbers little-endian.
//!
//! ```text
//! segment   0 magic "PHSEGMNT"   8 version u32   12 CRC-32 of the other 28 octets u32   16 segment u64   24 salt u64
//! record    0 magic "PHRC"       4 version u8    5 flags u8    6 zero u16     8 salt u64    16 message id u64
//!          24 group u64         32 octets of the body u64     40 octets of the document u32
//!          44 CRC-32 of the document u32    48 CRC-32 of the body u32    52 offset of this record u32    56 zero u32
//!          60 CRC-32 of the 60 octets before u32    64 document (JSON of the message as accepted)    … body
//! ```
//!
//! The salt is a random number that every record of a segment repeats: a record that a sender has put into the text of his
//! mail cannot pass for one of ours when damage forces a reader to look for the next record. `group` is the offset where the
//! write began that the record was part of. A record whose group begins after a bad place proves that the bad place had been
//! synced before: it is damage, not a write that was cut off.

use queue::MessageId;

/// Octets of a segment before its first record.
pub(crate) const SEGMENT_HEADER: u64 = 32;
/// Octets of a record before its document.
pub(crate) const RECORD_HEADER: usize = 64;
/// First octets of every record.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"PHRC";

const SEGMENT_MAGIC: [u8; 8] = *b"PHSEGMNT";
const VERSION: u8 = 1;
const FLAG_BIG: u8 = 1;
const FLAG_MOVED: u8 = 2;

/// The header of a segment.
pub(crate) fn segment_header(segment: u64, salt: u64) -> Vec<u8> {
    let mut rest = segment.to_le_bytes().to_vec();
    rest.extend(salt.to_le_bytes());
    let mut out = SEGMENT_MAGIC.to_vec();
    out.extend(u32::from(VERSION).to_le_bytes());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&out);
    checksum.update(&rest);
    out.extend(checksum.finalize().to_le_bytes());
    out.extend(rest);
    out
}

/// The salt, if this is the header of that segment.
pub(crate) fn read_segment_header(octets: &[u8], segment: u64) -> Option<u64> {
    let salt = u64::from_le_bytes(part(octets, 24)?);
    (octets == segment_header(segment, salt)).then_some(salt)
}

/// The fields before the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) id: MessageId,
    /// The body is in a file of its own.
    pub(crate) big: bool,
    /// A copy of an older record, made to empty that one's segment.
    pub(crate) moved: bool,
    pub(crate) group_at: u64,
    pub(crate) size: u64,
    pub(crate) document_octets: u32,
    pub(crate) document_checksum: u32,
    pub(crate) body_checksum: u32,
}

impl RecordHeader {
    /// Octets of the whole record.
    pub(crate) fn octets(&self) -> u64 {
        let inline = if self.big { 0 } else { self.size };
        (RECORD_HEADER as u64).saturating_add(u64::from(self.document_octets)).saturating_add(inline)
    }

    /// Distance from the start of the record to its body.
    pub(crate) fn body_at(&self) -> u64 {
        RECORD_HEADER as u64 + u64::from(self.document_octets)
    }

    /// Adds the 64 octets to `out`.
    pub(crate) fn write(&self, salt: u64, offset: u64, out: &mut Vec<u8>) {
        let mut header = Vec::with_capacity(RECORD_HEADER);
        header.extend(RECORD_MAGIC);
        header.push(VERSION);
        header.push(if self.big { FLAG_BIG } else { 0 } | if self.moved { FLAG_MOVED } else { 0 });
        header.extend([0; 2]);
        header.extend(salt.to_le_bytes());
        header.extend(self.id.to_i64().to_le_bytes());
        header.extend(self.group_at.to_le_bytes());
        header.extend(self.size.to_le_bytes());
        header.extend(self.document_octets.to_le_bytes());
        header.extend(self.document_checksum.to_le_bytes());
        header.extend(self.body_checksum.to_le_bytes());
        header.extend(short(offset).to_le_bytes());
        header.extend([0; 4]);
        let checksum = crc32fast::hash(&header);
        out.extend(header);
        out.extend(checksum.to_le_bytes());
    }

    /// `None` if these octets are not the header of a record at that offset. Without a salt any is believed.
    pub(crate) fn read(octets: &[u8], salt: Option<u64>, offset: u64) -> Option<Self> {
        let (header, checksum) = octets.split_at_checked(RECORD_HEADER - 4)?;
        let sound = header.starts_with(&RECORD_MAGIC)
            && header.get(4) == Some(&VERSION)
            && u32::from_le_bytes(part(checksum, 0)?) == crc32fast::hash(header)
            && salt.is_none_or(|salt| part(header, 8) == Some(salt.to_le_bytes()))
            && u32::from_le_bytes(part(header, 52)?) == short(offset);
        let flags = *header.get(5)?;
        let id = MessageId::from_i64(i64::from_le_bytes(part(header, 16)?))?;
        sound.then_some(Self {
            id,
            big: flags & FLAG_BIG != 0,
            moved: flags & FLAG_MOVED != 0,
            group_at: u64::from_le_bytes(part(header, 24)?),
            size: u64::from_le_bytes(part(header, 32)?),
            document_octets: u32::from_le_bytes(part(header, 40)?),
            document_checksum: u32::from_le_bytes(part(header, 44)?),
            body_checksum: u32::from_le_bytes(part(header, 48)?),
        })
    }

    /// The salt that a header claims to have.
    pub(crate) fn salt(octets: &[u8]) -> Option<u64> {
        part(octets, 8).map(u64::from_le_bytes)
    }
}

/// Segments stay far below 4 GiB.
fn short(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn part<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RecordHeader {
        RecordHeader {
            id: MessageId::from_i64(77).unwrap(),
            big: false,
            moved: true,
            group_at: 32,
            size: 1000,
            document_octets: 10,
            document_checksum: 1,
            body_checksum: 2,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let mut out = Vec::new();
        header().write(5, 4711, &mut out);
        assert_eq!(out.len(), RECORD_HEADER);
        assert_eq!(RecordHeader::read(&out, Some(5), 4711), Some(header()));
        assert_eq!((header().octets(), header().body_at()), (1074, 74));
    }

    #[test]
    fn a_header_with_any_octet_changed_or_in_another_place_or_segment_is_none() {
        let mut out = Vec::new();
        header().write(5, 4711, &mut out);
        for at in 0..out.len() {
            let mut garbled = out.clone();
            garbled[at] ^= 0x40;
            assert_eq!(RecordHeader::read(&garbled, Some(5), 4711), None, "octet {at}");
        }
        assert_eq!(RecordHeader::read(&out, Some(6), 4711), None);
        assert_eq!(RecordHeader::read(&out, Some(5), 4712), None);
        assert_eq!(RecordHeader::read(&out[..63], Some(5), 4711), None);
    }

    #[test]
    fn a_segment_header_gives_its_salt_back_for_its_own_segment_only() {
        let octets = segment_header(3, 99);
        assert_eq!(octets.len() as u64, SEGMENT_HEADER);
        assert_eq!(read_segment_header(&octets, 3), Some(99));
        assert_eq!(read_segment_header(&octets, 4), None);
        let mut garbled = octets;
        garbled[25] ^= 1;
        assert_eq!(read_segment_header(&garbled, 3), None);
    }
}
