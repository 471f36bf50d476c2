//! Which channels there are, and what each wants to hear.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secret::Secret;
use telemetry::{IncidentKind, Severity};

/// Of all channels.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name, in every notice.
    pub hostname: String,
    /// None: incidents are logged, nothing else.
    pub channels: Vec<ChannelSettings>,
}

/// One channel.
#[derive(Clone, Debug)]
pub struct ChannelSettings {
    /// In logs and for `alert test`. Unique.
    pub name: String,
    /// See there.
    pub channel: Channel,
    /// Only these kinds; empty: all.
    pub kinds: Vec<IncidentKind>,
    /// Only of at least this severity.
    pub severity: Severity,
}

/// A way to people.
#[derive(Clone, Debug)]
pub enum Channel {
    /// HTTP POST. The URL may hold a secret.
    Webhook {
        /// `https://…`, or `http://…` where the administrator insists.
        url: Secret,
        /// See there.
        format: WebhookFormat,
        /// Roots trusted in addition to the system's, PEM.
        ca: Option<PathBuf>,
    },
    /// RFC 5424, over UDP (RFC 5426), TCP (RFC 6587, octet counting) or a local socket.
    Syslog {
        /// Where.
        to: SyslogTarget,
        /// See there.
        facility: Facility,
    },
    /// A program; the notice comes as JSON on its standard input, nothing of it on its command line.
    Command {
        /// Program and arguments; no shell.
        command: Vec<String>,
        /// It is killed after this.
        timeout: Duration,
    },
    /// Mail through the relay's own queue, by another path than the broken one.
    Mail {
        /// Whom.
        to: Vec<String>,
        /// Lane or pool; `None`: whichever works.
        by: Option<String>,
    },
}

/// The shape of a webhook's JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookFormat {
    /// Ours; documented in docs/operations.md.
    #[default]
    Json,
    /// An adaptive card, as "When a Teams webhook request is received" of Teams workflows takes it.
    Teams,
    /// As Slack's incoming webhooks take it.
    Slack,
}

/// Where syslog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTarget {
    /// A datagram each.
    Udp(Server),
    /// Octet counting.
    Tcp(Server),
    /// `/dev/log`
    Local(PathBuf),
}

/// A server of the network. A name is resolved whenever something is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// See there.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// RFC 5424 §6.2.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Facility {
    /// 2
    #[default]
    Mail,
    /// 3
    Daemon,
    /// 1
    User,
    /// 16 to 23: local0 to local7.
    Local(u8),
}
