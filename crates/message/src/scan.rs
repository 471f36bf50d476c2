//! One streaming pass over a message on its way to the spool: limits of the header section, and facts that the queue and
//! the next hop need later.

use serde::{Deserialize, Serialize};

/// What the content asks of a next hop; found while the message streamed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContentFacts {
    /// An octet over 127 in the body: needs 8BITMIME.
    pub eight_bit_body: bool,
    /// An octet over 127 in the header section: needs SMTPUTF8 (RFC 6532) or a receiver that does not mind.
    pub eight_bit_header: bool,
    /// A CR or LF that is not part of CRLF.
    pub bare_line_ends: bool,
    /// A NUL.
    pub nul: bool,
    /// Octets of the longest line without its CRLF (998 is the most that RFC 5322 allows).
    pub longest_line: u64,
}

/// `Priority: urgent`, `Importance: high`, `X-Priority: 1` or `2` give `High`; `non-urgent`, `low`, `4`, `5` give `Low`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// Bulk.
    Low,
    /// Nothing said.
    #[default]
    Normal,
    /// Urgent.
    High,
}

/// From the header section; texts are cut at 998 octets and unfolded, encoded words decoded nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderFacts {
    /// `Received:` fields, for the hop count (RFC 5321 §6.3).
    pub received: u32,
    /// Values of the comment or id that our own trace fields carry (`id <13 characters>` after `by <our name>`).
    pub our_ids: Vec<String>,
    /// `Message-ID`
    pub message_id: Option<String>,
    /// `From`
    pub from: Option<String>,
    /// `Subject`
    pub subject: Option<String>,
    /// `Auto-Submitted` other than `no`.
    pub auto_submitted: bool,
    /// See there.
    pub importance: Importance,
}

/// Limits of the header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Octets of the whole header section.
    pub header_section: usize,
    /// Header fields.
    pub fields: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { header_section: 256 * 1024, fields: 1000 }
    }
}

/// A limit passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Over `header_section`.
    #[error("the header section is larger than {0} octets")]
    HeaderSection(usize),
    /// Over `fields`.
    #[error("the header section has more than {0} fields")]
    Fields(usize),
}

/// Takes the message as received (without the trace field that we add), in pieces of any size.
#[derive(Debug)]
pub struct Scanner {
    _limits: ScanLimits,
}

impl Scanner {
    /// `our_name`: the host name that our trace fields carry after `by`.
    pub fn new(limits: ScanLimits, our_name: &str) -> Self {
        let _ = our_name;
        Self { _limits: limits }
    }
    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        let _ = piece;
        todo!()
    }
    /// The message is whole.
    pub fn finish(self) -> (HeaderFacts, ContentFacts) {
        todo!()
    }
}
