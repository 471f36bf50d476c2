//! Exchange Online's replies, word for word as seen on the wire.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use smtp::{EnhancedStatus, Reply};

use crate::activity::Failing;
use crate::tenant::BasicAuth;

/// The host behind the submission endpoint.
pub(crate) const HOST: &str = "SBX0PR01CA0001.outlook.office365.com";
/// The host in a mailbox server's replies, and behind the `@` of its Message-IDs.
pub(crate) const MAILBOX_SERVER: &str = "SBX0PR01MB0001.sandbox.PROD.OUTLOOK.COM";

/// What a session puts behind some replies: `[host date id]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) session: u64,
    pub(crate) at: Timestamp,
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{HOST} {} {:016X}]", self.at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"), self.session)
    }
}

fn reply(code: u16, (class, subject, detail): (u8, u16, u16), text: impl Into<String>) -> Reply {
    Reply::new(code, EnhancedStatus::new(class, subject, detail), text.into())
}

/// The greeting.
pub(crate) fn banner(session: u64, at: Timestamp) -> Reply {
    let date = at.strftime("%a, %d %b %Y %H:%M:%S +0000");
    Reply::plain(220, format!("{HOST} Microsoft ESMTP MAIL Service ready at {date} [{session:016X}]"))
}

/// Too many connections.
pub(crate) fn too_many_sessions() -> Reply {
    let text = "The maximum number of concurrent connections per resource forest has exceeded a limit, closing transmission channel";
    reply(421, (4, 3, 2), text)
}

/// The first line of the reply to EHLO, the only one to HELO.
pub(crate) fn hello(peer: IpAddr) -> Reply {
    Reply::plain(250, format!("{HOST} Hello [{peer}]"))
}

/// EHLO with something that is no host name.
pub(crate) fn invalid_domain() -> Reply {
    reply(501, (5, 5, 4), "Invalid domain name")
}

/// STARTTLS.
pub(crate) fn start_tls() -> Reply {
    reply(220, (2, 0, 0), "SMTP server ready")
}

/// AUTH was right.
pub(crate) fn signed_in() -> Reply {
    reply(235, (2, 7, 0), "Authentication successful")
}

/// XOAUTH2 was not; Exchange does not say why.
pub(crate) fn token_refused(stamp: Stamp) -> Reply {
    reply(535, (5, 7, 3), format!("Authentication unsuccessful {stamp}"))
}

/// LOGIN was not.
pub(crate) fn wrong_password(stamp: Stamp) -> Reply {
    reply(535, (5, 7, 139), format!("Authentication unsuccessful, the user credentials were incorrect. {stamp}"))
}

/// A mechanism that is not offered.
pub(crate) fn unknown_mechanism() -> Reply {
    reply(504, (5, 7, 4), "Unrecognized authentication type")
}

/// Authenticated SMTP is off.
pub(crate) fn smtp_auth_disabled(whole_tenant: bool, stamp: Stamp) -> Reply {
    let place = if whole_tenant { "Tenant" } else { "Mailbox" };
    let text = format!(
        "Authentication unsuccessful, SmtpClientAuthentication is disabled for the {place}. Visit \
         https://aka.ms/smtp_auth_disabled for more information. {stamp}"
    );
    reply(535, (5, 7, 139), text)
}

/// A password is not enough; `None` if it is.
pub(crate) fn basic_auth_refused(policy: BasicAuth, stamp: Stamp) -> Option<Reply> {
    let why = match policy {
        BasicAuth::Allowed => return None,
        BasicAuth::Retired => {
            return Some(reply(550, (5, 7, 30), "Basic authentication is not supported for Client Submission."));
        }
        BasicAuth::DisabledByPolicy => "basic authentication is disabled.",
        BasicAuth::SecurityDefaults => {
            "user is locked by your organization's security defaults policy. Contact your administrator."
        }
        BasicAuth::ConditionalAccess => {
            "the request did not meet the criteria to be authenticated successfully. Contact your administrator."
        }
    };
    Some(reply(535, (5, 7, 139), format!("Authentication unsuccessful, {why} {stamp}")))
}

/// MAIL without AUTH.
pub(crate) fn not_authenticated(stamp: Stamp) -> Reply {
    reply(530, (5, 7, 57), format!("Client not authenticated to send mail. {stamp}"))
}

/// MAIL.
pub(crate) fn sender_ok() -> Reply {
    reply(250, (2, 1, 0), "Sender OK")
}

/// RCPT.
pub(crate) fn recipient_ok() -> Reply {
    reply(250, (2, 1, 5), "Recipient OK")
}

/// DATA.
pub(crate) fn start_input() -> Reply {
    Reply::plain(354, "Start mail input; end with <CRLF>.<CRLF>")
}

/// One recipient too many.
pub(crate) fn too_many_recipients() -> Reply {
    reply(452, (4, 5, 3), "Too many recipients")
}

/// Over the mailbox's size.
pub(crate) fn message_too_large() -> Reply {
    reply(552, (5, 3, 4), "Message size exceeds fixed maximum message size")
}

/// A header section of more than 256 KB.
pub(crate) fn header_too_large() -> Reply {
    reply(552, (5, 3, 4), "Header size exceeds fixed maximum size")
}

/// A field of more than 32,768 octets.
pub(crate) fn field_too_large(name: &str, octets: usize) -> Reply {
    let text = format!(
        "Invalid MIME Content: Single text value size ({octets}) exceeded allowed maximum (32768) for the '{name}' header."
    );
    reply(554, (5, 6, 211), text)
}

/// More authors than one, and no Sender.
pub(crate) fn several_authors() -> Reply {
    reply(550, (5, 1, 20), "Multiple From addresses are not allowed")
}

/// The sandbox itself has no room.
pub(crate) fn no_storage() -> Reply {
    reply(452, (4, 3, 1), "Insufficient system storage")
}

/// The reverse-path is not the mailbox's, where it is looked at.
pub(crate) fn foreign_reverse_path() -> Reply {
    reply(550, (5, 7, 60), "SMTP; Client does not have permissions to send as this sender")
}

/// From or Sender is not the mailbox's.
pub(crate) fn send_as_denied(mailbox: &str, from: &str) -> Reply {
    let text = format!(
        "SendAsDenied; {mailbox} not allowed to send as {from}; \
         STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to \
         a permanent exception with message [BeginDiagnosticData]Cannot submit message. \
         [EndDiagnosticData] [Hostname={MAILBOX_SERVER}]"
    );
    reply(554, (5, 2, 252), text)
}

/// The mailbox is full.
pub(crate) fn mailbox_full() -> Reply {
    let text = format!(
        "mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded; Failed \
         to process message due to a permanent exception [Hostname={MAILBOX_SERVER}]"
    );
    reply(554, (5, 2, 2), text)
}

/// The same failure too often.
pub(crate) fn blocked(kind: Failing) -> Reply {
    let (detail, what) = match kind {
        Failing::MailboxFull => (251, "mailbox full"),
        Failing::SendAsDenied => (252, "SendAsDenied"),
    };
    reply(550, (5, 2, detail), format!("Sender throttled due to continuous {what} errors. Please try again later."))
}

/// More submissions at a time than a mailbox may have.
pub(crate) fn too_many_submissions() -> Reply {
    let text = format!(
        "Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. \
         [Hostname={MAILBOX_SERVER}]"
    );
    reply(432, (4, 3, 2), text)
}

/// More messages a minute, where they are refused.
pub(crate) fn rate_exceeded() -> Reply {
    reply(554, (5, 2, 2), format!("Submission quota exceeded [Hostname={MAILBOX_SERVER}]"))
}

/// More recipients a day.
pub(crate) fn daily_quota_exceeded() -> Reply {
    let text = format!(
        "STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent \
         exception with message The message can't be submitted because the sender's submission quota was exceeded. \
         [Hostname={MAILBOX_SERVER}]"
    );
    reply(554, (5, 2, 0), text)
}

/// More external recipients a day than the tenant may reach.
pub(crate) fn external_quota_exceeded(trial: bool) -> Reply {
    let (detail, tenant) = if trial { (232, "your trial tenant") } else { (233, "your tenant") };
    let text = format!(
        "Your message can't be sent because {tenant} has exceeded its daily limit for sending email to external recipients"
    );
    reply(550, (5, 7, detail), text)
}

/// The same for senders under the initial domain.
pub(crate) fn initial_domain_quota_exceeded() -> Reply {
    let text = "Your message can't be sent because your tenant has exceeded its daily limit for sending email to external \
                recipients from your tenant's onmicrosoft.com domains";
    reply(550, (5, 7, 236), text)
}

/// The message was taken.
pub(crate) fn taken(message_id: &str) -> Reply {
    reply(250, (2, 0, 0), format!("OK <{message_id}> [Hostname={MAILBOX_SERVER}]"))
}

/// VRFY.
pub(crate) fn cannot_verify() -> Reply {
    reply(252, (2, 1, 5), "Cannot VRFY user")
}

/// Nothing came for too long.
pub(crate) fn idle(session: Duration) -> Reply {
    let seconds = session.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("Connection timed out. Total session duration: {hours:02}:{minutes:02}:{seconds:02}");
    reply(421, (4, 4, 1), text)
}

/// The sandbox stops.
pub(crate) fn stopping() -> Reply {
    reply(421, (4, 3, 2), "Service not active")
}

/// What the protocol machine says by itself, in Exchange's words. In and out: one whole line.
pub(crate) fn translate(line: &str) -> Option<&'static str> {
    OWN_WORDS.iter().find(|(standard, _)| line.starts_with(standard)).map(|(_, own)| *own)
}

/// How the standard line begins, and Exchange's line in its place.
const OWN_WORDS: [(&str, &str); 10] = [
    ("221 ", "221 2.0.0 Service closing transmission channel\r\n"),
    ("500 5.5.1 ", "500 5.3.3 Unrecognized command\r\n"),
    // An answer to AUTH that is not what the mechanism asks for.
    ("501 5.5.2 ", "451 4.7.0 Temporary server error. Please try again later. PRX4\r\n"),
    ("503 5.5.1 Send EHLO", "503 5.5.2 Send hello first\r\n"),
    ("503 5.5.1 Send MAIL", "503 5.5.2 Need mail command\r\n"),
    ("554 5.5.1 ", "503 5.5.2 Need rcpt command\r\n"),
    ("504 ", "504 5.7.4 Unrecognized authentication type\r\n"),
    ("530 5.7.0 ", "530 5.7.0 Must issue a STARTTLS command first\r\n"),
    ("552 5.3.4 ", "552 5.3.4 Message size exceeds fixed maximum message size\r\n"),
    ("421 4.7.0 Too many", "421 4.7.0 Too many errors on this connection, closing transmission channel\r\n"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_banner_looks_like_exchanges() {
        let at: Timestamp = "2025-04-26T18:06:30Z".parse().unwrap();
        assert_eq!(
            wire(&banner(0x08DD_8424_67C8_274D, at)),
            "220 SBX0PR01CA0001.outlook.office365.com Microsoft ESMTP MAIL Service ready at Sat, 26 Apr 2025 18:06:30 \
             +0000 [08DD842467C8274D]\r\n"
        );
    }

    #[test]
    fn what_the_machine_says_by_itself_is_said_in_exchanges_words() {
        assert_eq!(translate("503 5.5.1 Send EHLO or HELO first\r\n"), Some("503 5.5.2 Send hello first\r\n"));
        assert_eq!(translate("250 2.1.0 Sender OK\r\n"), None);
        assert!(OWN_WORDS.iter().all(|(_, own)| own.ends_with("\r\n")));
    }

    #[test]
    fn a_session_that_idled_is_told_how_long_it_lasted() {
        assert_eq!(idle(Duration::from_secs(3725)).text(), "Connection timed out. Total session duration: 01:02:05");
    }
}
