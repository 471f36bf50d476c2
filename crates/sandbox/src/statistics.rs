//! What a sandbox counts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::activity::MailboxStatistics;
use crate::enforcement::TenantStatistics;

/// Since the start, or since the statistics were reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// SMTP connections.
    pub sessions: u64,
    /// Messages taken.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
    /// Their octets.
    pub octets: u64,
    /// Messages whose content began and did not become a message: link broken, RSET, refused.
    pub aborted: u64,
    /// TLS handshakes that failed, at both endpoints.
    pub failed_handshakes: u64,
    /// Tokens given out.
    pub tokens_issued: u64,
    /// Token requests refused, by number (`AADSTS7000215`).
    pub token_refusals: BTreeMap<String, u64>,
    /// Refusals over SMTP by reply code and enhanced status code (`554 5.2.252`), not those that a fault asked for.
    pub refusals: BTreeMap<String, u64>,
    /// How often a fault struck.
    pub faults: u64,
    /// See there.
    pub tenant: TenantStatistics,
    /// By address.
    pub mailboxes: BTreeMap<String, MailboxStatistics>,
}

impl Statistics {
    /// Refusals of all codes.
    pub fn refused(&self) -> u64 {
        self.refusals.values().sum()
    }

    pub(crate) fn count_refusal(&mut self, code: &str) {
        match self.refusals.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                self.refusals.insert(code.to_owned(), 1);
            }
        }
    }
}
