//! The tables about telling people: alerts, what is watched, reports.

use telemetry::{IncidentKind, Severity};

use crate::read::{At, Defaulted, Many, Optional, Required, table};
use crate::secrets::SecretSource;
use crate::units::{Lasting, Size, Whole};
use crate::values::{Address, FilePath, Name, SyslogServer, Text};
use crate::words::OneOf;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

table! {
    /// Somebody who is told of trouble: once when it begins and once when it is over, whatever happens in between. The log tells it
    /// in any case (`alert = true`). Exactly one of `webhook`, `syslog`, `command` and `mail`. `posthouse alert test` tries them.
    Alert "[[alert]]" {
        /// In logs, and for `posthouse alert test`.
        name: Required<Name>, example "\"operations\"";
        /// An HTTP POST.
        webhook: Optional<Webhook>, example "{ url = { file = \"teams-url\" }, format = \"teams\" }";
        /// A message of RFC 5424.
        syslog: Optional<Syslog>, example "{ to = \"udp://192.0.2.10:514\" }";
        /// A program and its arguments; no shell. The notice comes as JSON on its standard input. It is stopped after 30 seconds.
        command: Many<Text>, default "[]", example "[\"/usr/local/bin/page\", \"--team\", \"mail\"]";
        /// Mail, by another path than the one that is broken.
        mail: Optional<MailAlert>, example "{ to = [\"it@contoso.com\"], path = \"contoso/on-premises\" }";
        /// Only trouble of these kinds.
        kinds: Many<OneOf<IncidentKind>>, default "[]", otherwise "all", example "[\"breaker\", \"expiry\"]";
        /// The least severity: `warning` (will be trouble) or `critical` (is trouble).
        severity: Defaulted<OneOf<Severity>>, default "\"warning\"";
    }
}

table! {
    /// A web address that takes notices.
    Webhook "webhook" {
        /// `https://…`. The addresses of Teams and Slack hold a secret: better in a file.
        url: Required<SecretSource>, example "{ file = \"teams-url\" }";
        /// `json`: ours. `teams`: as the Teams workflow "When a Teams webhook request is received" takes it. `slack`: as Slack's
        /// incoming webhooks take it.
        format: Defaulted<OneOf<alert::WebhookFormat>>, default "\"json\"";
        /// PEM of roots trusted in addition to the system's.
        ca: Optional<FilePath>, example "\"hook-ca.pem\"";
    }
    planned "headers";
}

table! {
    /// A collector of syslog messages.
    Syslog "syslog" {
        /// `udp://` or `tcp://` with a host name or an address, and perhaps a port (514 and 601 unless given), or the path of a local socket.
        to: Required<SyslogServer>, example "\"udp://192.0.2.10:514\"";
        /// RFC 5424's.
        facility: Defaulted<OneOf<alert::Facility>>, default "\"mail\"";
    }
    planned "tls";
}

table! {
    /// Notices as mail.
    MailAlert "mail" {
        /// Whom.
        to: Required<Vec<At<Address>>>, example "[\"it@contoso.com\"]";
        /// The path that it should take, as `posthouse status` names it.
        path: Optional<Text>, otherwise "one that works", example "\"contoso/on-premises\"";
    }
}

table! {
    /// From when on something is trouble that somebody is told of.
    Watch "[watch]" {
        /// The oldest message that waits, and is not held, is older.
        queue_age: Defaulted<Lasting<MINUTE, { 30 * DAY }>>, default "\"1h\"";
        /// More messages wait.
        queue_length: Defaulted<Whole<1, 1_000_000_000>>, default "10000";
        /// More recipients in a hundred bounced or expired, of those settled within the last hour, if these are 20 or more.
        bounce_percent: Defaulted<Whole<1, 100>>, default "10";
        /// A budget will end before the queue does, within this time.
        budget_ahead: Defaulted<Lasting<MINUTE, { 30 * DAY }>>, default "\"24h\"";
        /// This machine's clock differs by more from the time that Microsoft's servers give.
        clock_skew: Defaulted<Lasting<1, DAY>>, default "\"5m\"";
        /// So many days before a client secret or a certificate ends, somebody is told; once for each.
        expiry_days: Defaulted<Vec<At<Whole<0, 3650>>>>, default "[60, 30, 14, 7, 1]";
    }
}

table! {
    /// How senders, and owners of devices, are told what became of their mail.
    Reports "[reports]" {
        /// Reports to one owner for one cause within `digest`, and ten times as many to one reader in all; what comes after is collected into one mail.
        singles: Defaulted<Whole<0, 1000>>, default "3";
        /// That mail leaves so long after its first entry.
        digest: Defaulted<Lasting<1, DAY>>, default "\"15m\"";
        /// Of a larger message only the header section is returned, whatever its sender asked for.
        full_limit: Defaulted<Size<KIB, { 150 * MIB }>>, default "\"1 MiB\"";
    }
}
