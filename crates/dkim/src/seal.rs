//! ARC seals (RFC 8617): what we knew of a message when it came, signed, for receivers that see it after others changed it.
//!
//! Only the first set is made (`i=1; cv=none`). A message that was sealed before is left as it is: a further set must say
//! whether the chain so far is valid, which only the DNS could tell, and a set that says nothing true is worse than none.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::body::BodyHash;
use crate::header::{self, Signed};
use crate::key::Key;
use crate::signing::{Section, SignError, library, signature_tags};
use crate::tags::TagList;

/// How the message came to us (RFC 8601): by which server, and who had logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Our name (`authserv-id`).
    pub server: String,
    /// The user of AUTH; `None`: nobody had logged in, and nothing is claimed.
    pub user: Option<String>,
}

/// What came of sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// ARC-Seal, ARC-Message-Signature and ARC-Authentication-Results, folded, each ending in CRLF: to be put before
    /// everything else.
    Set(Vec<u8>),
    /// The message carries ARC fields already, and goes on as it is.
    SealedBefore,
}

/// One message under way, as [`Signing`](crate::Signing): header section first, then the body.
pub struct Sealing {
    key: Arc<Key>,
    section: Section,
    body: BodyHash,
}

impl Sealing {
    pub(crate) fn new(key: Arc<Key>) -> Self {
        Self { key, section: Section::default(), body: BodyHash::new() }
    }

    /// The header section, whole or in pieces.
    pub fn header(&mut self, section: &[u8]) {
        self.section.write(section);
    }

    /// A piece of the body, cut anywhere.
    pub fn body(&mut self, piece: &[u8]) {
        self.body.write(piece);
    }

    /// The set. `before`: fields that were put before the header section since, such as our DKIM-Signature; they are covered.
    pub fn finish(self, before: &[u8], arrival: &Arrival, now: jiff::Timestamp) -> Result<Sealed, SignError> {
        let Self { key, section, body } = self;
        let section = [before, section.octets()?].concat();
        if header::is_sealed(&section) {
            return Ok(Sealed::SealedBefore);
        }
        let Signed { names, canonical } = header::sealed(&section).ok_or(SignError::NoFrom)?;
        let body_hash = BASE64_STANDARD.encode(body.finish());
        let results = arrival.field();
        let signature = TagList::new("ARC-Message-Signature").tag("i", "1");
        let signature = signature_tags(signature, &key, now, &names, &body_hash);
        let signature = signature.sign(&key, canonical).map_err(|_| library(&key))?;
        let seal = seal(&key, &results, &signature, now)?;
        Ok(Sealed::Set([seal, signature, results].concat()))
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Arrival {
    fn field(&self) -> Vec<u8> {
        let results = match &self.user {
            None => "none".to_owned(),
            Some(user) => format!("auth=pass smtp.auth={}", value(user)),
        };
        format!("ARC-Authentication-Results: i=1; {};\r\n\t{results}\r\n", value(&self.server)).into_bytes()
    }
}

/// ARC-Seal, over the set (RFC 8617 §5.1.1).
fn seal(key: &Key, results: &[u8], signature: &[u8], now: jiff::Timestamp) -> Result<Vec<u8>, SignError> {
    let mut set = Vec::new();
    header::relaxed_fields(results, &mut set);
    header::relaxed_fields(signature, &mut set);
    TagList::new("ARC-Seal")
        .tag("i", "1")
        .tag("a", key.algorithm().as_str())
        .tag("cv", "none")
        .tag("d", key.domain().as_str())
        .tag("s", key.selector().as_str())
        .tag("t", &now.as_second().max(0).to_string())
        .sign(key, set)
        .map_err(|_| library(key))
}

/// A token, or else a quoted string (RFC 8601 §2.2). What neither can hold becomes a question mark.
fn value(text: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if !text.is_empty() && text.chars().all(is_token) {
        return text.to_owned();
    }
    let mut quoted = "\"".to_owned();
    for c in text.chars().take(LONGEST_VALUE) {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted + "\""
}

/// A line of a header field stays under 998 octets.
const LONGEST_VALUE: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place() {
        let check = |text: &str, expected: &str| assert_eq!(value(text), expected, "{text:?}");
        check("erp", "erp");
        check("relay.contoso.com", "relay.contoso.com");
        check("", "\"\"");
        check("erp user", "\"erp user\"");
        check("a;b=c", "\"a;b=c\"");
        check("a\"b\\c", "\"a\\\"b\\\\c\"");
        check("a\r\nX: y", "\"a??X: y\"");
        check("grüße", "\"gr??e\"");
        assert_eq!(value(&"\"".repeat(2000)).len(), 2 * LONGEST_VALUE + 2);
    }
}
