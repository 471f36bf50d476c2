//! Delivery status notifications (RFC 3461, 3462, 3464; RFC 6533 for addresses in UTF-8): written for people and for machines,
//! and read.
//!
//! In: what became of recipients, and as much of the message as is to be returned. Out: the report as octets; or, from the
//! octets of anybody's report, what it says. Never: a line or a part that somebody outside has put there; whatever a remote,
//! a client or a sender has said is text.
//!
//! The first part tells a person which recipients, why, and what to do; the second one says the same in fields; the third
//! returns the message or its header section.

mod address;
mod read;
mod returned;
mod status;
mod text;

use std::net::IpAddr;

use jiff::Timestamp;
use smtp::{EnhancedStatus, EnvelopeId, ForwardPath, OriginalRecipient, Reply, ReversePath};

pub use read::{DeliveryStatus, Original, ReadError, RecipientStatus, read};
pub use text::{advice, subject};

use crate::Letter;
use crate::letter::text_part;

/// What became of recipients, RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// For good.
    Failed,
    /// It is tried further.
    Delayed,
    /// Into the mailbox.
    Delivered,
    /// To a next hop that tells nobody what becomes of it.
    Relayed,
    /// To the members of a list.
    Expanded,
}

/// One report.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Its header section.
    pub letter: Letter,
    /// The same for all recipients.
    pub action: Action,
    /// What it is about.
    pub about: About<'a>,
    /// At least one.
    pub recipients: Vec<Recipient<'a>>,
    /// How many recipients of the message it does not tell of.
    pub others: usize,
    /// See there.
    pub returned: Returned,
    /// 8BITMIME may be asked for.
    pub eight_bit: bool,
}

/// The message that a report is about.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// Our host name.
    pub reporting_mta: &'a str,
    /// Its id here.
    pub id: String,
    /// ENVID=
    pub envelope_id: Option<&'a EnvelopeId>,
    /// What the client that brought it said in HELO or EHLO.
    pub helo: &'a str,
    /// And its address; `None` if it was made here.
    pub peer: Option<IpAddr>,
    /// Name of the client, for people.
    pub client: &'a str,
    /// When it came.
    pub arrived_at: Timestamp,
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// Value of that field.
    pub subject: Option<&'a str>,
    /// Value of that field.
    pub message_id: Option<&'a str>,
}

/// One recipient and what became of it.
#[derive(Clone, Debug)]
pub struct Recipient<'a> {
    /// RCPT TO.
    pub forward_path: &'a ForwardPath,
    /// ORCPT=
    pub original: Option<&'a OriginalRecipient>,
    /// See there.
    pub status: EnhancedStatus,
    /// What happened, in one line.
    pub reason: &'a str,
    /// What it means and what to do.
    pub hint: Option<&'a str>,
    /// Who said so, and the words.
    pub remote: Option<(&'a str, &'a Reply)>,
    /// When it was last tried.
    pub last_attempt_at: Option<Timestamp>,
    /// It is tried no longer than until then.
    pub retry_until: Option<Timestamp>,
}

/// What is returned of the message, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Nothing, and why.
    Nothing(String),
    /// Its header section; what follows it does not matter.
    Header {
        /// The message, or its beginning.
        octets: Vec<u8>,
        /// It is not known to its end.
        cut: bool,
    },
    /// All of it. Only the header section goes if the rest cannot: it needs 8BITMIME, which may not be asked for, or
    /// SMTPUTF8, or has lines or characters that no mail may have.
    Message(Vec<u8>),
}

impl Action {
    /// As in the field.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    fn from_keyword(text: &str) -> Option<Self> {
        let all = [Self::Failed, Self::Delayed, Self::Delivered, Self::Relayed, Self::Expanded];
        all.into_iter().find(|action| action.keyword().eq_ignore_ascii_case(text))
    }
}

impl Report<'_> {
    /// The whole message. It is ASCII but for what is returned of the message, unless [`Letter::needs_utf8`].
    pub fn write(&self) -> Vec<u8> {
        let utf8 = self.letter.needs_utf8();
        let third = returned::part(&self.returned, utf8, self.eight_bit || utf8);
        let mut first = String::new();
        text_part(&mut first, &text::of(self, &third));
        let second = status::part(self, utf8);
        let mut parts = vec![first.into_bytes(), second.into_bytes()];
        parts.extend(third.octets);
        self.joined(&parts)
    }

    fn joined(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        let boundary = boundary(&self.letter.message_id, parts);
        let mut written = self.letter.fields();
        written.push_str("Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"");
        written.push_str(&boundary);
        written.push_str("\"\r\n");
        if !parts.iter().all(|part| part.is_ascii()) {
            written.push_str("Content-Transfer-Encoding: 8bit\r\n");
        }
        let mut written = written.into_bytes();
        for part in parts {
            written.extend_from_slice(b"\r\n--");
            written.extend_from_slice(boundary.as_bytes());
            written.extend_from_slice(b"\r\n");
            written.extend_from_slice(part);
        }
        written.extend_from_slice(b"\r\n--");
        written.extend_from_slice(boundary.as_bytes());
        written.extend_from_slice(b"--\r\n");
        written
    }
}

/// One that does not occur: the first of a row of candidates that no part holds, and no part holds them all.
fn boundary(seed: &str, parts: &[Vec<u8>]) -> String {
    let seed: String = seed.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let mut number = 0_u64;
    loop {
        let boundary = format!("=_{seed}_{number}");
        let line = format!("--{boundary}");
        if parts.iter().all(|part| memchr::memmem::find(part, line.as_bytes()).is_none()) {
            return boundary;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests;
