//! A message being signed: its header section, then its body in pieces, then the fields to put in front of it.
//!
//! The body is hashed once for all keys and never kept. Of the header section at most [`LONGEST_SECTION`] octets are kept.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::body::BodyHash;
use crate::header::{self, Signed};
use crate::key::Key;
use crate::tags::TagList;

/// Octets of a header section that can be signed.
pub const LONGEST_SECTION: usize = 1 << 20;

/// One message under way. All that is signed must come: [`header`](Self::header) first, then [`body`](Self::body).
pub struct Signing {
    keys: Vec<Arc<Key>>,
    section: Section,
    body: BodyHash,
}

/// Why a message was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// RFC 6376 §5.4: From must be signed.
    #[error("a message without the header field From cannot be signed")]
    NoFrom,
    /// More than [`LONGEST_SECTION`].
    #[error("the header section is longer than {LONGEST_SECTION} octets")]
    LongSection,
    /// The library.
    #[error("the cryptographic library cannot sign with the key {selector} of {domain}")]
    Library {
        /// Of the key.
        domain: String,
        /// Of the key.
        selector: String,
    },
}

/// The header section as far as it may be kept.
#[derive(Default)]
pub(crate) struct Section {
    octets: Vec<u8>,
    too_long: bool,
}

impl Section {
    pub(crate) fn write(&mut self, piece: &[u8]) {
        self.too_long |= self.octets.len() + piece.len() > LONGEST_SECTION;
        if !self.too_long {
            self.octets.extend_from_slice(piece);
        }
    }

    pub(crate) fn octets(&self) -> Result<&[u8], SignError> {
        if self.too_long { Err(SignError::LongSection) } else { Ok(&self.octets) }
    }
}

impl Signing {
    pub(crate) fn new(keys: Vec<Arc<Key>>) -> Self {
        Self { keys, section: Section::default(), body: BodyHash::new() }
    }

    /// The header section, whole or in pieces, as it goes to the next hop; fields end in CRLF. The empty line behind it may
    /// come along or not.
    pub fn header(&mut self, section: &[u8]) {
        self.section.write(section);
    }

    /// A piece of the body, cut anywhere: what follows the empty line, before dot-stuffing.
    pub fn body(&mut self, piece: &[u8]) {
        self.body.write(piece);
    }

    /// The keys that will sign.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(Arc::as_ref)
    }

    /// The DKIM-Signature fields, one for each key, folded, each ending in CRLF: to be put before the header section.
    /// `now` is said in `t=`, in whole seconds.
    pub fn finish(self, now: jiff::Timestamp) -> Result<Vec<u8>, SignError> {
        let Signed { names, canonical } = header::signed(self.section.octets()?).ok_or(SignError::NoFrom)?;
        let body_hash = BASE64_STANDARD.encode(self.body.finish());
        let mut fields = Vec::new();
        for key in &self.keys {
            let unsigned = TagList::new("DKIM-Signature").tag("v", "1");
            let unsigned = signature_tags(unsigned, key, now, &names, &body_hash);
            fields.extend(unsigned.sign(key, canonical.clone()).map_err(|_| library(key))?);
        }
        Ok(fields)
    }
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signing").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What DKIM-Signature and ARC-Message-Signature have in common.
pub(crate) fn signature_tags(
    tags: TagList,
    key: &Key,
    now: jiff::Timestamp,
    names: &[&'static str],
    body_hash: &str,
) -> TagList {
    tags.tag("a", key.algorithm().as_str())
        .tag("c", "relaxed/relaxed")
        .tag("d", key.domain().as_str())
        .tag("s", key.selector().as_str())
        .tag("t", &now.as_second().max(0).to_string())
        .list("h", names)
        .tag("bh", body_hash)
}

pub(crate) fn library(key: &Key) -> SignError {
    SignError::Library { domain: key.domain().to_string(), selector: key.selector().to_string() }
}
