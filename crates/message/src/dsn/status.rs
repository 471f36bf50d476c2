//! The second part: `message/delivery-status` (RFC 3464 §2), or `message/global-delivery-status` (RFC 6533 §4) where the report
//! needs UTF-8 anyway.

use smtp::Reply;

use super::{About, Recipient, Report, address};
use crate::encoding::{ascii, clean, cut, field, unfolded};
use crate::letter::date;

/// Octets of a reply. Exchange's longest ones have about 1,000.
const REPLY: usize = 4_096;
/// With more recipients than this, octets of each of their replies are fewer.
const MANY: usize = 50;
const REPLY_OF_MANY: usize = 512;
/// Octets of the name of a host (RFC 5321 §4.5.3.1.2).
const HOST: usize = 255;

pub(super) fn part(report: &Report<'_>, utf8: bool) -> String {
    let mut text = String::with_capacity(256 + 512 * report.recipients.len());
    text.push_str(match utf8 {
        true => "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        false => "Content-Type: message/delivery-status\r\n\r\n",
    });
    about(&mut text, &report.about);
    for recipient in &report.recipients {
        text.push_str("\r\n");
        let reply = if report.recipients.len() > MANY { REPLY_OF_MANY } else { REPLY };
        fields(&mut text, report, recipient, utf8, reply);
    }
    text
}

fn about(text: &mut String, about: &About<'_>) {
    if let Some(id) = about.envelope_id {
        unfolded(text, "Original-Envelope-Id", &address::envelope_id(id));
    }
    unfolded(text, "Reporting-MTA", &format!("dns; {}", host(about.reporting_mta)));
    if let Some(peer) = about.peer {
        let name = host(about.helo);
        let name = if name.contains('?') || name.is_empty() { format!("[{peer}]") } else { name };
        unfolded(text, "Received-From-MTA", &format!("dns; {name}"));
    }
    field(text, "Arrival-Date", &date(about.arrived_at));
}

fn fields(text: &mut String, report: &Report<'_>, recipient: &Recipient<'_>, utf8: bool, reply: usize) {
    if let Some(original) = recipient.original {
        unfolded(text, "Original-Recipient", &address::original_recipient(original, utf8));
    }
    unfolded(text, "Final-Recipient", &address::final_recipient(recipient.forward_path, utf8));
    field(text, "Action", report.action.keyword());
    field(text, "Status", &recipient.status.to_string());
    if let Some((name, said)) = recipient.remote {
        unfolded(text, "Remote-MTA", &format!("dns; {}", host(name)));
        field(text, "Diagnostic-Code", &format!("smtp; {}", diagnostic(said, utf8, reply)));
    }
    if let Some(at) = recipient.last_attempt_at {
        field(text, "Last-Attempt-Date", &date(at));
    }
    unfolded(text, "Final-Log-ID", &clean(&report.about.id));
    if let Some(until) = recipient.retry_until {
        field(text, "Will-Retry-Until", &date(until));
    }
}

/// On one line; the caller folds it.
fn diagnostic(reply: &Reply, utf8: bool, octets: usize) -> String {
    let text = cut(&clean(&reply.to_string()), octets);
    if utf8 { text } else { ascii(&text) }
}

/// The name before a blank, with `?` for what no name holds.
fn host(name: &str) -> String {
    let name = name.split_whitespace().next().unwrap_or_default();
    let harmless = |c: char| if c.is_ascii_alphanumeric() || ".-_:[]".contains(c) { c } else { '?' };
    name.chars().take(HOST).map(harmless).collect()
}
