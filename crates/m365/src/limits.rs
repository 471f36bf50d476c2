//! Limits of Exchange Online, and what we keep below them by default. Each with the title of the page it is from; all
//! pages were read by 2026-11-20.

use std::time::Duration;

/// Port of submission with STARTTLS. "How to set up a multifunction device or application to send email using Microsoft 365
/// or Office 365".
pub const SUBMISSION_PORT: u16 = 587;

/// Submissions under way at once for one mailbox; the next gets `432 4.3.2`. "SMTP submission improvements".
pub const CONNECTIONS_PER_MAILBOX: usize = 3;

/// Messages a minute for one mailbox by submission; what is above is delayed, older pages say refused. "Exchange Online
/// limits"; "SMTP submission improvements".
pub const MESSAGES_PER_MINUTE: u32 = 30;

/// Recipients for one mailbox in any 24 hours; then `554 5.2.0 … SubmissionQuotaExceeded`. A tenant's outbound spam policy
/// may set less. "Exchange Online limits".
pub const RECIPIENTS_PER_DAY: u32 = 10_000;

/// The window of [`RECIPIENTS_PER_DAY`]. "Exchange Online limits".
pub const RECIPIENTS_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Recipients of one message unless the mailbox says otherwise. "Exchange Online limits".
pub const RECIPIENTS_PER_MESSAGE: usize = 500;

/// What a mailbox can be set to at most. "Set-Mailbox", parameter RecipientLimits.
pub const RECIPIENTS_PER_MESSAGE_MAX: usize = 1_000;

/// Recipients of one domain in a transaction at the tenant's MX host; the next gets `452 4.5.3`. "Email nondelivery reports
/// and SMTP errors in Exchange Online".
pub const RECIPIENTS_PER_MX_TRANSACTION: usize = 200;

/// Recipients of one High Volume Email message. "Manage High Volume Email for Microsoft 365".
pub const RECIPIENTS_PER_HVE_MESSAGE: usize = 50;

/// What EHLO announces as SIZE, in octets; base64 included. Public session logs; "Exchange Online limits" (150 MB).
pub const SIZE: u64 = 157_286_400;

/// What a mailbox may send unless it says otherwise, in octets. "Exchange Online limits" (35 MB).
pub const SEND_SIZE_DEFAULT: u64 = 35 * 1024 * 1024;

/// Characters of one header field; then `554 5.6.211`. Public logs.
pub const HEADER_FIELD: usize = 32_768;

/// Characters of a subject. Copies of "Exchange Online limits".
pub const SUBJECT: usize = 255;

/// Attachments of one message. Copies of "Exchange Online limits".
pub const ATTACHMENTS: usize = 250;

/// Messages within messages. Copies of "Exchange Online limits".
pub const NESTED_MESSAGES: usize = 30;

/// An idle session gets `421 4.4.1` after this. Public logs (foxcpp/maddy issue 693, 2024).
pub const SESSION_IDLE: Duration = Duration::from_secs(5 * 60);

/// A session with an MX host gets `421 4.4.1` at about this age. Public logs (haraka/Haraka issue 2321, 2018).
pub const SESSION_AGE: Duration = Duration::from_secs(20 * 60);

/// Messages that a mailbox receives in an hour. "Exchange Online limits".
pub const RECEIVED_PER_HOUR: u32 = 3_600;

/// External recipients in 24 hours for all senders under `*.onmicrosoft.com` of a tenant; then `550 5.7.236`. "Limiting
/// onmicrosoft domain usage for sending emails".
pub const ONMICROSOFT_EXTERNAL_RECIPIENTS_PER_DAY: u32 = 100;

/// How long after a change of permissions a `535` still says nothing. "Authenticate an IMAP, POP or SMTP connection using
/// OAuth" and public reports.
pub const PERMISSION_PROPAGATION: Duration = Duration::from_secs(2 * 60 * 60);

/// What a token must still live so that no server finds it too old (High Volume Email says `5.7.142` below it).
/// "Troubleshoot High Volume Email for Microsoft 365".
pub const TOKEN_LIFE_LEFT: Duration = Duration::from_secs(5 * 60);

/// Our own defaults, at or under the limits.
pub mod defaults {
    use std::time::Duration;

    /// Messages on one connection: what public shaping rules use for these hosts.
    pub const MESSAGES_PER_CONNECTION: u32 = 50;
    /// An idle connection is closed, well before [`SESSION_IDLE`](super::SESSION_IDLE).
    pub const CONNECTION_IDLE: Duration = Duration::from_secs(60);
    /// A connection is closed at this age, well before [`SESSION_AGE`](super::SESSION_AGE).
    pub const CONNECTION_AGE: Duration = Duration::from_secs(10 * 60);
    /// Connections to a tenant's MX host.
    pub const MX_CONNECTIONS: usize = 5;
    /// Recipients of a transaction at the MX host.
    pub const MX_RECIPIENTS: usize = 100;
}

/// External recipients in 24 hours that a tenant with so many paid, non-trial email licences may reach, once it is older
/// than 60 days: 500 × licences^0.7 + 9,500. "Introducing Exchange Online Tenant Outbound Email Limits".
pub fn tenant_external_recipients(licences: u32) -> u64 {
    (500.0 * f64::from(licences).powf(0.7) + 9_500.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenants_limit_gives_the_published_figures() {
        for (licences, limit) in [(1, 10_000), (2, 10_312), (10, 12_006), (25, 14_259), (100, 22_059), (1_000, 72_446)]
        {
            assert_eq!(tenant_external_recipients(licences), limit);
        }
    }

    #[test]
    fn our_sessions_end_before_microsoft_ends_them() {
        assert!(defaults::CONNECTION_IDLE < SESSION_IDLE && defaults::CONNECTION_AGE < SESSION_AGE);
    }
}
