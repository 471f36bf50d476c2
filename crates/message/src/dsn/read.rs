//! A report as anybody may have written it: ours, Exchange's, Postfix's.
//!
//! In: the octets of a message. Out: its fields, as far as they can be read; unknown ones are passed over. Never: a panic, or
//! more work than the octets given and the limits here allow.

mod mime;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use smtp::EnhancedStatus;

use self::mime::{Kind, Part};
use super::{Action, address};
use crate::encoding::{clean, cut};
use crate::{HeaderFacts, ScanLimits, Scanner};

/// Recipients that are read.
const RECIPIENTS: usize = 5_000;
/// Octets of a field's value.
const VALUE: usize = 4_096;
/// Octets of the text for people.
const TEXT: usize = 64 * 1_024;

/// What a report says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// `Original-Envelope-Id`
    pub envelope_id: Option<String>,
    /// `Reporting-MTA`, without its type.
    pub reporting_mta: Option<String>,
    /// `Received-From-MTA`, without its type.
    pub received_from_mta: Option<String>,
    /// `Arrival-Date`
    pub arrived_at: Option<Timestamp>,
    /// In their order.
    pub recipients: Vec<RecipientStatus>,
    /// The first part, for people, if it is plain text; lines end with `\n`.
    pub text: Option<String>,
    /// The message that it is about.
    pub original: Option<Original>,
}

/// What a report says of one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientStatus {
    /// `Original-Recipient`: type and address.
    pub original: Option<(String, String)>,
    /// `Final-Recipient`: type and address.
    pub recipient: Option<(String, String)>,
    /// See there.
    pub action: Option<Action>,
    /// See there.
    pub status: Option<EnhancedStatus>,
    /// `Remote-MTA`, without its type.
    pub remote_mta: Option<String>,
    /// `Diagnostic-Code`: type and text.
    pub diagnostic: Option<(String, String)>,
    /// `Last-Attempt-Date`
    pub last_attempt_at: Option<Timestamp>,
    /// `Final-Log-ID`
    pub log_id: Option<String>,
    /// `Will-Retry-Until`
    pub retry_until: Option<Timestamp>,
}

/// What is returned of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// All of it, not only its header section.
    pub whole: bool,
    /// What its header section says.
    pub header: HeaderFacts,
}

/// Why octets are no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No part says it is one.
    #[error("there is no delivery status in it")]
    NoStatus,
    /// One says so, but tells of nobody.
    #[error("its delivery status names no recipient")]
    NoRecipient,
}

/// Reads a report, wherever in the message it stands.
pub fn read(octets: &[u8]) -> Result<DeliveryStatus, ReadError> {
    let parts = mime::parts(octets);
    let at = parts.iter().position(|part| part.kind == Kind::Status).ok_or(ReadError::NoStatus)?;
    let (before, rest) = parts.split_at(at);
    let (status, after) = rest.split_first().ok_or(ReadError::NoStatus)?;
    let mut read = fields(status);
    if read.recipients.is_empty() {
        return Err(ReadError::NoRecipient);
    }
    read.text = before.iter().find(|part| part.kind == Kind::Text).map(text);
    read.original = after.iter().find_map(original);
    Ok(read)
}

fn fields(part: &Part<'_>) -> DeliveryStatus {
    let mut read = DeliveryStatus::default();
    let content = part.content();
    for (at, block) in mime::blocks(&content).enumerate().take(RECIPIENTS + 1) {
        let mut recipient = RecipientStatus::default();
        for (name, value) in mime::fields(block, VALUE) {
            let name = name.to_ascii_lowercase();
            if at == 0 {
                about(&mut read, &name, &value);
            }
            of_recipient(&mut recipient, &name, &value);
        }
        // Some leave out the empty line after the fields about the message.
        if recipient != RecipientStatus::default() {
            read.recipients.push(recipient);
        }
    }
    read
}

fn about(read: &mut DeliveryStatus, name: &str, value: &str) {
    match name {
        "original-envelope-id" => read.envelope_id = some(value),
        "reporting-mta" => read.reporting_mta = typed(value).map(|(_, text)| text),
        "received-from-mta" => read.received_from_mta = typed(value).map(|(_, text)| text),
        "arrival-date" => read.arrived_at = date(value),
        _ => {}
    }
}

fn of_recipient(read: &mut RecipientStatus, name: &str, value: &str) {
    match name {
        "original-recipient" => read.original = address::read(value),
        "final-recipient" => read.recipient = address::read(value),
        "action" => read.action = Action::from_keyword(word(value)),
        "status" => read.status = word(value).parse().ok(),
        "remote-mta" => read.remote_mta = typed(value).map(|(_, text)| text),
        "diagnostic-code" => read.diagnostic = typed(value),
        "last-attempt-date" => read.last_attempt_at = date(value),
        "final-log-id" => read.log_id = some(value),
        "will-retry-until" => read.retry_until = date(value),
        _ => {}
    }
}

/// Before a blank or a comment.
fn word(value: &str) -> &str {
    value.split([' ', '\t', '(', ';']).find(|word| !word.is_empty()).unwrap_or_default()
}

/// `smtp; 550 5.1.1 no`
fn typed(value: &str) -> Option<(String, String)> {
    let (kind, text) = value.split_once(';')?;
    Some((clean(kind.trim()).to_ascii_lowercase(), some(text)?))
}

fn some(value: &str) -> Option<String> {
    let text = clean(value.trim());
    (!text.is_empty()).then_some(text)
}

fn date(value: &str) -> Option<Timestamp> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value.trim()).ok()
}

fn text(part: &Part<'_>) -> String {
    let content = part.content();
    let text = String::from_utf8_lossy(&content).replace("\r\n", "\n");
    cut(&text, TEXT)
}

fn original(part: &Part<'_>) -> Option<Original> {
    let whole = match part.kind {
        Kind::Message => true,
        Kind::Header => false,
        _ => return None,
    };
    let mut scanner = Scanner::new(ScanLimits { header_section: usize::MAX, fields: usize::MAX }, "");
    scanner.push(&part.content()).ok()?;
    Some(Original { whole, header: scanner.finish().0 })
}
