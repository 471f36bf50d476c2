//! Bodies that a next hop would refuse or damage, encoded so that every decoded part is octet for octet what the client sent.
//!
//! In: the body of a message (what follows the empty line after its header section), twice, in pieces cut anywhere. The first
//! time through a [`Survey`], which ends in a [`BodyPlan`]; the second time through a [`Reencoder`]. Out: the same body
//! without a bare CR or LF, without NUL, without a line over 998 octets, and in 7-bit if that was asked for. Never: the whole
//! message in memory (at most some 300 KiB, whatever comes), a line folded, a byte changed where nothing had to change.
//!
//! How the parts are read:
//! - A line ends with CRLF, a bare LF or a bare CR. Lines of the MIME structure (delimiters, header sections of parts) leave
//!   with CRLF.
//! - A delimiter is `--`, a boundary of an open multipart, perhaps `--`, then blanks, on a line of its own of at most 998
//!   octets; the innermost boundary is tried first, and an outer one ends the inner parts (RFC 2046 §5.1.1, §5.1.2). The line end before it
//!   belongs to it. A longer line that merely begins like a boundary is text.
//! - The header section of a part ends at its empty line, at the first line that is no field, or at a delimiter.
//! - `message/rfc822`, `message/global` and parts of a `multipart/digest` without a type are messages, and are read on.
//! - `message/partial`, `message/external-body`, a `multipart` without a usable boundary and a part with a transfer encoding
//!   that we do not know (`x-…`, uuencode) may not be encoded: their bare line ends become CRLF, anything else is a refusal.
//! - Bare line ends of other `message/…` become CRLF too. So do those of a multipart of which no part is there, for its text is what people
//!   are shown; anything else in that is a refusal.
//! - What lies deeper than 32 levels or behind 10,000 parts, and a part whose header section is over 64 KiB, passes unread;
//!   if anything in it would have to change, that is a refusal.
//!
//! How a part is encoded: text, and `message/…` other than those above (RFC 6532 §3.7), as quoted-printable, unless that would
//! be longer by more than two thirds; everything else as base64. CRLF in text stays a line break, a bare LF or CR becomes `=0A` or `=0D`.
//! What is quoted-printable already is decoded and encoded again; base64 is cut into lines of 76.
//!
//! If anything changes at all, a multipart that lacks its last delimiter gets one, unless it is signed: there are readers that decode nothing
//! without it.
//!
//! What is signed (the first part of a `multipart/signed`) was signed with CRLF at its line ends (RFC 1847 §2.1): text in it
//! that has nothing wrong but bare LFs gets CRLF and is not encoded, so that the signature holds.

mod encode;
mod entity;
mod findings;
mod head;
mod media;
mod plan;
mod quoted;
mod reencode;
mod survey;
mod walk;

pub(crate) use media::Reader;
pub use plan::{BodyPlan, Charset, NewEncoding, TransferEncoding};
pub use reencode::Reencoder;
pub use survey::{Needs, Survey, TopPart};
