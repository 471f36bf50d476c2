//! The commands of a transaction: MAIL, RCPT for each recipient, DATA.

use super::step::Transaction;
use crate::{BodyType, Extensions, MailParameters, RcptParameters};

/// Written once; sent all together where PIPELINING is offered, a line for each reply elsewhere.
pub(super) struct Script {
    lines: String,
    sent: usize,
    pub(super) pipelined: bool,
    /// Replies to RCPT that are still due.
    pub(super) recipients_due: usize,
    /// A recipient was accepted although MAIL was refused.
    pub(super) stray_recipient: bool,
}

impl Script {
    pub(super) fn new(transaction: &Transaction, extensions: &Extensions) -> Self {
        let Transaction { reverse_path, parameters, recipients } = transaction;
        debug_assert!(!recipients.is_empty(), "a transaction without recipients");
        let mut lines = format!("MAIL FROM:{reverse_path}{}\r\n", offered_of_mail(parameters, extensions));
        for (forward_path, parameters) in recipients {
            lines += &format!("RCPT TO:{forward_path}{}\r\n", offered_of_rcpt(parameters, extensions));
        }
        lines += "DATA\r\n";
        let pipelined = extensions.pipelining;
        Self { lines, sent: 0, pipelined, recipients_due: recipients.len(), stray_recipient: false }
    }

    /// Sends what may be sent now.
    pub(super) fn send(&mut self, output: &mut Vec<u8>) {
        let unsent = self.lines.get(self.sent..).unwrap_or_default();
        let length = if self.pipelined { unsent.len() } else { unsent.find('\n').map_or(unsent.len(), |end| end + 1) };
        output.extend_from_slice(unsent.get(..length).unwrap_or_default().as_bytes());
        self.sent += length;
    }
}

/// Only what the server offered. The driver has seen to it that leaving out the rest loses nothing.
fn offered_of_mail(parameters: &MailParameters, extensions: &Extensions) -> MailParameters {
    let body_is_offered = match parameters.body {
        BodyType::SevenBit => true,
        BodyType::EightBitMime => extensions.eight_bit_mime,
        BodyType::BinaryMime => false, // needs BDAT, which this machine does not speak
    };
    debug_assert!(body_is_offered, "BODY={} was not offered", parameters.body.keyword());
    debug_assert!(!parameters.smtputf8 || extensions.smtputf8, "SMTPUTF8 was not offered");
    debug_assert!(extensions.dsn || (parameters.ret.is_none() && parameters.envid.is_none()), "DSN was not offered");
    MailParameters {
        size: parameters.size.filter(|_| extensions.size.is_some()),
        body: if body_is_offered { parameters.body } else { BodyType::SevenBit },
        smtputf8: parameters.smtputf8 && extensions.smtputf8,
        ret: parameters.ret.filter(|_| extensions.dsn),
        envid: parameters.envid.clone().filter(|_| extensions.dsn),
        auth: None,
    }
}

fn offered_of_rcpt(parameters: &RcptParameters, extensions: &Extensions) -> RcptParameters {
    debug_assert!(extensions.dsn || *parameters == RcptParameters::default(), "DSN was not offered");
    if extensions.dsn { parameters.clone() } else { RcptParameters::default() }
}
