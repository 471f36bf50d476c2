//! Limits of Exchange Online, and what we keep below them by default. Each with the title of the page it is from; all
//! pages were read by 2026-11-20.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// Messages under way at once for one application and mailbox by Microsoft Graph; then `429 MailboxConcurrency`. "Microsoft
/// Graph service-specific throttling limits".
pub const GRAPH_REQUESTS_AT_ONCE: usize = 4;

/// A request of Microsoft Graph, in octets, base64 included. "Microsoft Graph service-specific limits; user: sendMail".
pub const GRAPH_REQUEST: u64 = 4 * 1024 * 1024;

/// Of a High Volume Email message, in octets. "Manage High Volume Email for Microsoft 365" (10 MB, as public readers of the page
/// have it).
pub const HVE_SIZE: u64 = 10 * 1024 * 1024;

/// External recipients in 24 hours of a tenant on trial; then `550 5.7.232`. "Introducing Exchange Online Tenant Outbound Email
/// Limits" (older texts: 5,000).
pub const TRIAL_EXTERNAL_RECIPIENTS_PER_DAY: u32 = 500;

/// The window in which external recipients of a tenant are counted. "Introducing Exchange Online Tenant Outbound Email Limits".
pub const EXTERNAL_WINDOW: Duration = RECIPIENTS_WINDOW;

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
    /// Requests of Microsoft Graph under way at once for one mailbox.
    pub const GRAPH_REQUESTS: usize = 3;
    /// A message by `sendMail`, in octets before base64. From about 2.2 MB on it has been seen to answer 200 and send nothing.
    pub const GRAPH_SIZE: u64 = 2 * 1024 * 1024;
}

/// External recipients in 24 hours that a tenant with so many paid, non-trial email licences may reach, once it is older
/// than 60 days: 500 × licences^0.7 + 9,500. "Introducing Exchange Online Tenant Outbound Email Limits".
pub fn tenant_external_recipients(licences: u32) -> u64 {
    whole(500.0 * f64::from(licences).powf(0.7) + 9_500.0)
}

/// The same for education with free licences: 500 × (paid^0.7 + free^0.3) + 9,500. "Introducing Exchange Online Tenant
/// Outbound Email Limits".
pub fn education_external_recipients(paid: u32, free: u32) -> u64 {
    whole(500.0 * (f64::from(paid).powf(0.7) + f64::from(free).powf(0.3)) + 9_500.0)
}

/// How much of that, in per cent, a tenant has that is so many days old: 10 up to the 30th day, 25 up to the 60th.
/// "Introducing Exchange Online Tenant Outbound Email Limits" (rules of August 2026).
pub fn share_of_a_new_tenant(days_old: u32) -> u32 {
    match days_old {
        0..=30 => 10,
        31..=60 => 25,
        _ => 100,
    }
}

fn whole(limit: f64) -> u64 {
    limit.round() as u64
}

/// The ways to Microsoft 365, and one past it, named as the key `kind` of a path names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathKind {
    /// Authenticated submission as a mailbox, port 587.
    Submission,
    /// The tenant's MX host through an inbound connector.
    Connector,
    /// The tenant's MX host, anonymously.
    Direct,
    /// High Volume Email.
    Hve,
    /// `sendMail` of Microsoft Graph.
    Graph,
    /// Any other SMTP server.
    Smarthost,
}

/// What becomes of recipients outside the tenant on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum External {
    /// They are served, and counted for the tenant's limit.
    Counted,
    /// They are served, and the tenant does not count them.
    NotCounted,
    /// They are refused: for recipients of the tenant only.
    Refused,
}

/// The limits of a path. Where Microsoft names none, `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLimits {
    /// Of which.
    pub kind: PathKind,
    /// What we open at most unless told otherwise.
    pub connections: usize,
    /// What Microsoft serves at most at once, of one mailbox.
    pub connections_max: Option<usize>,
    /// Of one mailbox.
    pub messages_per_minute: Option<u32>,
    /// Of one mailbox, in any 24 hours.
    pub recipients_per_day: Option<u32>,
    /// Of one transaction, unless told otherwise.
    pub recipients_per_message: Option<usize>,
    /// What the former can be set to at most on Microsoft's side.
    pub recipients_per_message_max: Option<usize>,
    /// Octets of a message as it is sent, unless the mailbox has its own limit.
    pub size: Option<u64>,
    /// What the former can be set to at most on Microsoft's side.
    pub size_max: Option<u64>,
    /// See there.
    pub external: External,
    /// Whether it carries the null reverse-path as it is: a mailbox puts its own address there.
    pub null_reverse_path: bool,
    /// Whether a new sending address has to start slowly because Microsoft goes by its reputation.
    pub warm_up: bool,
    /// Titles of the pages.
    pub source: &'static str,
}

impl PathKind {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Submission, Self::Connector, Self::Direct, Self::Hve, Self::Graph, Self::Smarthost];

    /// As it is written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Connector => "connector",
            Self::Direct => "direct",
            Self::Hve => "hve",
            Self::Graph => "graph",
            Self::Smarthost => "smarthost",
        }
    }

    /// What holds there.
    pub const fn limits(self) -> &'static PathLimits {
        match self {
            Self::Submission => &SUBMISSION,
            Self::Connector => &CONNECTOR,
            Self::Direct => &DIRECT,
            Self::Hve => &HVE,
            Self::Graph => &GRAPH,
            Self::Smarthost => &SMARTHOST,
        }
    }
}

const SUBMISSION: PathLimits = PathLimits {
    kind: PathKind::Submission,
    connections: CONNECTIONS_PER_MAILBOX,
    connections_max: Some(CONNECTIONS_PER_MAILBOX),
    messages_per_minute: Some(MESSAGES_PER_MINUTE),
    recipients_per_day: Some(RECIPIENTS_PER_DAY),
    recipients_per_message: Some(RECIPIENTS_PER_MESSAGE),
    recipients_per_message_max: Some(RECIPIENTS_PER_MESSAGE_MAX),
    size: Some(SEND_SIZE_DEFAULT),
    size_max: Some(SIZE),
    external: External::Counted,
    null_reverse_path: false,
    warm_up: false,
    source: "Exchange Online limits; SMTP submission improvements; Introducing Exchange Online Tenant Outbound Email Limits",
};

/// No fixed rate is documented: what is too much is answered with `451 4.7.5xx`, and the limit is learnt.
const CONNECTOR: PathLimits = PathLimits {
    kind: PathKind::Connector,
    connections: defaults::MX_CONNECTIONS,
    connections_max: None,
    messages_per_minute: None,
    recipients_per_day: None,
    recipients_per_message: Some(defaults::MX_RECIPIENTS),
    recipients_per_message_max: Some(RECIPIENTS_PER_MX_TRANSACTION),
    size: Some(SEND_SIZE_DEFAULT),
    size_max: Some(SIZE),
    external: External::Counted,
    null_reverse_path: true,
    warm_up: true,
    source: "Exchange Online limits; Email nondelivery reports and SMTP errors in Exchange Online; Introducing Exchange Online \
             Tenant Outbound Email Limits; KumoCorp/kumomta: shaping.toml",
};

const DIRECT: PathLimits = PathLimits { kind: PathKind::Direct, external: External::Refused, ..CONNECTOR };

/// One connection that is kept open, with single messages, is the advised pattern; nothing says that more are refused.
const HVE: PathLimits = PathLimits {
    kind: PathKind::Hve,
    connections: 1,
    connections_max: None,
    messages_per_minute: None,
    recipients_per_day: None,
    recipients_per_message: Some(RECIPIENTS_PER_HVE_MESSAGE),
    recipients_per_message_max: Some(RECIPIENTS_PER_HVE_MESSAGE),
    size: Some(HVE_SIZE),
    size_max: Some(HVE_SIZE),
    external: External::Refused,
    null_reverse_path: false,
    warm_up: false,
    source: "Manage High Volume Email for Microsoft 365; Troubleshoot High Volume Email for Microsoft 365",
};

/// The mailbox's own limits hold as by submission; a message a minute is not counted there.
const GRAPH: PathLimits = PathLimits {
    kind: PathKind::Graph,
    connections: defaults::GRAPH_REQUESTS,
    connections_max: Some(GRAPH_REQUESTS_AT_ONCE),
    messages_per_minute: None,
    recipients_per_day: Some(RECIPIENTS_PER_DAY),
    recipients_per_message: Some(RECIPIENTS_PER_MESSAGE),
    recipients_per_message_max: Some(RECIPIENTS_PER_MESSAGE_MAX),
    size: Some(defaults::GRAPH_SIZE),
    size_max: Some(GRAPH_REQUEST / 4 * 3),
    external: External::Counted,
    null_reverse_path: false,
    warm_up: false,
    source: "Microsoft Graph service-specific throttling limits; Microsoft Graph service-specific limits; user: sendMail; \
             microsoftgraph/microsoft-graph-docs, issue 13979; Exchange Online limits",
};

/// Whatever its owner says. RFC 5321 §4.5.3.1.8: every server takes 100 recipients.
const SMARTHOST: PathLimits = PathLimits {
    kind: PathKind::Smarthost,
    connections: 20,
    connections_max: None,
    messages_per_minute: None,
    recipients_per_day: None,
    recipients_per_message: Some(100),
    recipients_per_message_max: None,
    size: None,
    size_max: None,
    external: External::NotCounted,
    null_reverse_path: true,
    warm_up: true,
    source: "RFC 5321, section 4.5.3.1.8",
};

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
    fn education_and_new_tenants_have_their_own_rules() {
        assert_eq!(education_external_recipients(0, 0), 9_500);
        assert_eq!(education_external_recipients(100, 0), tenant_external_recipients(100));
        assert_eq!(education_external_recipients(100, 1_000), 22_059 + 3_972);
        let shares = [0, 30, 31, 60, 61, u32::MAX].map(share_of_a_new_tenant);
        assert_eq!(shares, [10, 10, 25, 25, 100, 100]);
    }

    #[test]
    fn no_default_of_a_path_is_above_its_limit() {
        for kind in PathKind::ALL {
            let limits = kind.limits();
            assert_eq!(limits.kind, kind);
            assert!(limits.connections > 0 && !limits.source.is_empty(), "{kind:?}");
            assert!(limits.connections_max.is_none_or(|most| limits.connections <= most), "{kind:?}");
            let recipients = limits.recipients_per_message.zip(limits.recipients_per_message_max);
            assert!(recipients.is_none_or(|(ours, most)| 0 < ours && ours <= most), "{kind:?}");
            assert!(limits.size.zip(limits.size_max).is_none_or(|(ours, most)| ours <= most), "{kind:?}");
        }
    }

    #[test]
    fn our_sessions_end_before_microsoft_ends_them() {
        assert!(defaults::CONNECTION_IDLE < SESSION_IDLE && defaults::CONNECTION_AGE < SESSION_AGE);
    }
}
