//! The file as written: every table, every key, its default and its words. The reference page is made from this.

mod signing;
mod telling;

use std::net::{IpAddr, SocketAddr};

use entra::AssertionAlgorithm;
use inbound::{CertificatePattern, NamePattern, PlusAddresses, Priority, TlsMode};
use ipnet::IpNet;
use m365::Cloud;
use queue::Unconfirmed;
use telemetry::LogFormat;
use transport::{ClientTls, Rewrite, SmtpKind};

use crate::read::{At, Defaulted, Many, Map, Optional, Required, table};
use crate::secrets::SecretSource;
use crate::units::{Lasting, Size, Whole};
use crate::values::{
    Address, Argon2id, Day, Display, Domain, Field, FilePath, HostName, HostPort, HttpsUrl, Kept, Match, Name, Pattern,
    Text,
};
use crate::words::{Bounces, OneOf, SpoolKind};

pub(crate) use self::signing::Dkim;
pub(crate) use self::telling::{Alert, MailAlert, Reports, Syslog, Watch, Webhook};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

table! {
    /// What the file says as a whole; the tables follow.
    File "the file" {
        /// Our name: in EHLO, in the greeting and in trace fields. Microsoft 365 refuses a name that no host could have.
        hostname: Optional<HostName>, otherwise "the machine's own name", example "\"relay.contoso.com\"";
        /// Directory of everything that must survive: spool, self-signed certificate, admin socket.
        data_dir: Defaulted<FilePath>, default "\"/var/lib/posthouse\"";
        /// Where mail is taken in. At least one.
        listener: Many<Listener>, default "[]";
        /// Who may relay, and as what. Whoever matches no entry is refused. The entry that matches most specifically counts.
        client: Many<Client>, default "[]";
        /// Microsoft 365 tenants, and how mail gets there. At least one.
        tenant: Many<Tenant>, default "[]";
        /// Keys for DKIM signatures. Without any nothing is signed.
        dkim: Many<Dkim>, default "[]";
        /// Certificate of the listeners.
        tls: Defaulted<Tls>, default "{}";
        /// Where accepted mail is kept.
        spool: Defaulted<Spool>, default "{}";
        /// When mail is tried again, and when it is given up.
        queue: Defaulted<Queue>, default "{}";
        /// Bounds of sessions and connections.
        limits: Defaulted<Limits>, default "{}";
        /// Who is told of trouble, and how.
        alert: Many<Alert>, default "[]";
        /// From when on something is trouble.
        watch: Defaulted<Watch>, default "{}";
        /// How senders and owners are told what became of their mail.
        reports: Defaulted<Reports>, default "{}";
        /// How the DNS is asked, and what of it is watched.
        dns: Defaulted<Dns>, default "{}";
        /// Where `posthouse status` and its like, and monitoring, reach the relay.
        admin: Defaulted<Admin>, default "{}";
        /// What is logged.
        log: Defaulted<Log>, default "{}";
    }
    planned "sender", "senders", "route";
}

table! {
    /// An address at which mail is taken in.
    Listener "[[listener]]" {
        /// For logs, metrics and systemd's socket names.
        name: Optional<Name>, otherwise "the address", example "\"office\"";
        /// IP address and port.
        address: Required<SocketAddr>, example "\"0.0.0.0:25\"";
        /// `none`: plain text. `opportunistic`: STARTTLS is offered. `required`: STARTTLS comes before MAIL and AUTH.
        /// `implicit`: TLS from the first octet, as on port 465.
        tls: Defaulted<OneOf<TlsMode>>, default "\"opportunistic\"";
        /// Take passwords on connections without TLS. Everybody on the way can read them.
        auth_without_tls: Defaulted<bool>, default "false";
    }
}

table! {
    /// A group of devices or applications that may relay: known by network, user, certificate, HELO name or listener, in any
    /// combination. Of the entries that match, the most specific one counts: that which knows the client by the fingerprint of its
    /// certificate, then by a name in it, then by its user, then by the longest prefix of its network, then by its name in HELO (a
    /// whole name before a wildcard, a longer wildcard before a shorter), then by its listener. Two entries that some client could
    /// match alike are an error.
    Client "[[client]]" {
        /// In logs, refusals and stories.
        name: Required<Name>, example "\"printers\"";
        /// Networks or single addresses that it connects from. Of public networks only single
        /// IPv4 addresses and IPv6 links (/64) are enough without user or certificate.
        networks: Many<IpNet>, default "[]", example "[\"10.20.0.0/16\"]";
        /// Users that it may log in as.
        users: Many<User>, default "[]", example "[{ name = \"erp\", password = { file = \"erp.pass\" } }]";
        /// Certificates that it may show in its TLS handshake: by fingerprint, whoever made them and however old they are; or by a
        /// name in them (DNS names and common name, `*.domain` for all below it), if they lead to `client_ca` of `[tls]` and are
        /// valid. Listeners ask for a certificate only while some client has this key.
        certificates: Many<CertificatePattern>, default "[]", example "[\"printer.contoso.com\", \"*.devices.contoso.com\"]";
        /// Names that it may give in EHLO or HELO, `*.domain` for all below it. Anybody can give any name: this narrows, and
        /// never lets in by itself.
        helo: Many<NamePattern>, default "[]", example "[\"*.devices.contoso.com\"]";
        /// Listeners that it may come to, by their names. This narrows as well.
        listeners: Many<Name>, default "[]", example "[\"office\"]";
        /// Which of the criteria above must hold together: the words `network`, `user`, `certificate`, `helo` and `listener` with
        /// `and`, `or` and parentheses; `and` binds closer. It names each criterion that is given, and no other.
        r#match: Optional<Match>, otherwise "one of network, user and certificate, and each of helo and listener, as far as they are given", example "\"network and (user or certificate)\"";
        /// Whether it must use TLS.
        require_tls: Defaulted<bool>, default "false";
        /// What it may send as: `user@domain`, `*@domain`, `*@*.domain` or `*`. Holds for the reverse-path and, if it is given, for
        /// every address in the header fields From and Sender. The null reverse-path is always allowed; the header section stays bound.
        senders: Many<Pattern>, default "[]", otherwise "any reverse-path in the tenants' domains", example "[\"*@contoso.com\"]";
        /// Tenant by which all its mail goes, whatever it sends as; its senders need then not be in the tenant's domains
        /// (`senders = ["*"]`).
        tenant: Optional<Name>, otherwise "the tenant whose domain it sends as", example "\"contoso\"";
        /// Path of that tenant by which all its mail goes. Without `tenant` where there is only one.
        path: Optional<Text>, otherwise "the tenant's first", example "\"on-premises\"";
        /// What it may send to, in the same form as `senders`. Reports hold its mail and obey this as well: a reverse-path that is in no
        /// tenant's domains, that `senders` names by nothing but `*`, and that it may not send to, is told nothing (an `owner` is).
        recipients: Many<Pattern>, default "[]", otherwise "anything", example "[\"*@contoso.com\", \"support@vendor.example\"]";
        /// Whether it may send to nothing but `domains` and `internal_domains` of its tenant: that of `tenant`, else all. Reports obey
        /// this as well.
        internal_only: Defaulted<bool>, default "false";
        /// Addresses and domains that have become others. An address comes before its domain; `*` on the right keeps the local-part.
        /// The rules for recipients see the new address.
        recipient_map: Defaulted<Map>, default "{}", example "{ \"old@contoso.com\" = \"new@contoso.com\", \"*@old.example\" = \"*@contoso.com\" }";
        /// `strip`: `anna+alarm@contoso.com` goes to `anna@contoso.com`, before `recipient_map` and the rules for recipients. `keep`: it
        /// stays as it is.
        plus_addresses: Defaulted<OneOf<PlusAddresses>>, default "\"keep\"";
        /// When the sender of its mail is rewritten, as `rewrite` of a path says it.
        rewrite: Optional<OneOf<Rewrite>>, otherwise "the path's", example "\"always\"";
        /// What its senders are rewritten to.
        rewrite_to: Optional<Address>, otherwise "the mailbox of the path", example "\"scan@contoso.com\"";
        /// How a rewritten message shows who it was.
        rewritten: Defaulted<Rewritten>, default "{}";
        /// Header fields to add, replace or remove on the way out.
        headers: Defaulted<Headers>, default "{}";
        /// Mailbox that gets a copy of each message. What becomes of the copy is never reported to the sender; messages with the
        /// null reverse-path have none.
        archive: Optional<Address>, example "\"journal@contoso.com\"";
        /// Mailbox of whoever answers for it: devices cannot read mail.
        owner: Optional<Address>, example "\"it@contoso.com\"";
        /// Who is told when its mail bounces or is delayed: `owner`, or `sender` (the reverse-path of each message).
        bounces: Optional<OneOf<Bounces>>, otherwise "`owner` if there is one, else `sender`", example "\"owner\"";
        /// Largest message that it may send.
        size: Optional<Size<KIB, { 150 * MIB }>>, otherwise "`message_size` of `[limits]`", example "\"10 MiB\"";
        /// Recipients of a message.
        recipients_per_message: Optional<Whole<1, 10_000>>, otherwise "`recipients` of `[limits]`", example "20";
        /// Recipients in any 24 hours, counted when a message is accepted. A restart begins to count anew: this keeps a device that
        /// has run wild from the budgets of the path, which are kept across restarts.
        recipients_per_day: Optional<Whole<1, 100_000_000>>, otherwise "no limit", example "500";
        /// Messages in any 60 seconds, counted in the same way.
        messages_per_minute: Optional<Whole<1, 10_000_000>>, otherwise "no limit", example "10";
        /// `urgent`: all its mail is. `normal`: none is, whatever it says. `as-marked`: what its header section calls so.
        priority: Defaulted<OneOf<Priority>>, default "\"as-marked\"";
    }
    gone "require_both" => "in place of require_both = true write match = \"network and user\"",
        "urgent" => "in place of urgent = true write priority = \"urgent\"";
}

table! {
    /// How a message whose sender was rewritten shows who it was. The same for every message, so that threads hold.
    Rewritten "[client.rewritten]" {
        /// The display name: `{name}` (the display name, else the address), `{address}`, `{local}`, `{domain}`, `{client}` and any
        /// other text.
        display: Defaulted<Display>, default "\"{name}\"", example "\"{name} via {client}\"";
        /// Answers go to who it was: Reply-To, where the message has none.
        reply_to: Defaulted<bool>, default "true";
        /// The field that keeps From as it was, `""` for none.
        field: Defaulted<Kept>, default "\"X-Original-From\"";
    }
}

table! {
    /// Fields of the header section. Those that say who sent a message, where it passed and what its parts are cannot be touched.
    Headers "[client.headers]" {
        /// One more of each, unless it is there with this value.
        add: Defaulted<Map>, default "{}", example "{ X-Department = \"Finance\" }";
        /// The only one of its name afterwards.
        replace: Defaulted<Map>, default "{}", example "{ Organization = \"Contoso\" }";
        /// None of these names afterwards.
        remove: Many<Field>, default "[]", example "[\"X-Mailer\"]";
    }
}

table! {
    /// A user of a client entry. `password` or `password_hash`, not both.
    User "users" {
        /// As the client gives it in AUTH.
        name: Required<Text>, example "\"erp\"";
        /// The password.
        password: Optional<SecretSource>, example "{ file = \"erp.pass\" }";
        /// Its argon2id hash, as `posthouse password` prints it (a PHC string).
        password_hash: Optional<Argon2id>, example "\"$argon2id$v=19$m=19456,t=2,p=1$…\"";
    }
}

table! {
    /// A Microsoft 365 tenant, the domains that are its own, and the paths by which their mail is handed over.
    Tenant "[[tenant]]" {
        /// In lane names, logs and metrics.
        name: Required<Name>, example "\"contoso\"";
        /// Directory (tenant) id, or a verified domain. Needed with `credential`.
        id: Optional<Text>, example "\"11111111-2222-3333-4444-555555555555\"";
        /// `worldwide` (GCC included), `gcc-high`, `dod`, `china` (21Vianet): presets for hosts, login and scope.
        cloud: Defaulted<OneOf<Cloud>>, default "\"worldwide\"";
        /// Sender domains that go by this tenant. Subdomains are named one by one.
        domains: Required<Vec<At<Domain>>>, example "[\"contoso.com\"]";
        /// Further accepted domains of the tenant: recipients there are internal, as those in `domains` are.
        internal_domains: Many<Domain>, default "[]", example "[\"contoso.onmicrosoft.com\"]";
        /// Paid licences with a mailbox. From them follows how many external recipients the whole tenant may reach in any 24 hours:
        /// 500 × licences^0.7 + 9,500. Without `licences`, `trial` or `external_recipients_per_day` the relay keeps no such budget.
        licences: Optional<Whole<1, 10_000_000>>, example "25";
        /// A trial tenant may reach 500 external recipients in any 24 hours.
        trial: Defaulted<bool>, default "false";
        /// The same limit given outright: for a tenant younger than 60 days, or where others send as well
        /// (`Get-LimitsEnforcementStatus` shows it).
        external_recipients_per_day: Optional<Whole<1, 100_000_000>>, otherwise "what follows from `licences` or `trial`", example "12006";
        /// What the application proves itself with.
        credential: Optional<Credential>, example "{ client_id = \"…\", client_secret = { file = \"secret\" } }";
        /// Only where the cloud's preset does not fit, and for tests.
        endpoints: Defaulted<Endpoints>, default "{}";
        /// What is known of its mailboxes: as whom each of them may send.
        mailbox: Many<TenantMailbox>, default "[]", example "[{ address = \"relay@contoso.com\", granted = [\"*@contoso.com\"] }]";
        /// How mail is handed over: by the first, unless a `[[client]]` names another. The others carry reports and alerts, as when the
        /// first is broken.
        path: Many<Path>, default "[]", example "[{ kind = \"submission\", mailbox = \"relay@contoso.com\" }]";
    }
    planned "connector";
}

table! {
    /// A mailbox that paths send as. Exchange Online refuses every other sender (`554 5.2.252`), and after too many refusals it
    /// blocks the mailbox: what is not named here is not tried where `rewrite` is `when-refused-otherwise`.
    TenantMailbox "[[tenant.mailbox]]" {
        /// As the paths name it.
        address: Required<Address>, example "\"relay@contoso.com\"";
        /// Its other addresses. Exchange Online lets it send as them after `Set-OrganizationConfig -SendFromAliasEnabled $true`.
        aliases: Many<Address>, default "[]", example "[\"scan@contoso.com\"]";
        /// Addresses on which it was granted SendAs (`Add-RecipientPermission`): `user@domain`, `*@domain`, `*@*.domain` or `*`.
        granted: Many<Pattern>, default "[]", example "[\"*@contoso.com\"]";
    }
}

table! {
    /// The application registration in Microsoft Entra ID: a client secret, or a certificate with its key.
    Credential "[tenant.credential]" {
        /// Application (client) id.
        client_id: Required<Text>, example "\"66666666-7777-8888-9999-000000000000\"";
        /// Client secret: its value, not its id.
        client_secret: Optional<SecretSource>, example "{ file = \"secret\" }";
        /// The day on which the client secret ends, as the portal shows it: a warning comes in time (`expiry_days` of `[watch]`). A
        /// certificate says so itself.
        expires: Optional<Day>, example "\"2027-01-31\"";
        /// Certificate, PEM.
        certificate: Optional<FilePath>, example "\"app.pem\"";
        /// Its private key, PEM.
        key: Optional<FilePath>, example "\"app.key\"";
        /// How the assertion is signed. `RS256` only where `PS256` is refused.
        algorithm: Defaulted<OneOf<AssertionAlgorithm>>, default "\"PS256\"";
    }
    planned "device_code", "federated_token_file", "managed_identity", "pfx";
}

table! {
    /// Where the services of this tenant are, where the cloud's preset does not fit.
    Endpoints "[tenant.endpoints]" {
        /// Base URL of the login service.
        login: Optional<HttpsUrl>, otherwise "the cloud's", example "\"https://login.example:8443\"";
        /// SMTP submission; port 587 unless given.
        submission: Optional<HostPort>, otherwise "the cloud's", example "\"smtp.example:1587\"";
        /// PEM of roots trusted in addition to the system's, for these endpoints alone.
        ca: Optional<FilePath>, example "\"ca.pem\"";
    }
    planned "graph", "mx", "scope";
}

table! {
    /// A way out: `submission` to Exchange Online as one mailbox or several, or any other SMTP server as `smarthost`.
    Path "[[tenant.path]]" {
        /// In the lane's name.
        name: Optional<Name>, otherwise "kind and mailbox, or kind and address", example "\"on-premises\"";
        /// `submission` or `smarthost`.
        kind: Required<OneOf<SmtpKind>>, example "\"submission\"";
        /// The mailbox to log in as. Needed by `submission`; on a `smarthost` it asks for a token (XOAUTH2).
        mailbox: Optional<Address>, example "\"relay@contoso.com\"";
        /// `submission`, in place of `mailbox`: a pool. Each message goes by the mailbox with the most left of its limits, so every
        /// sender needs SendAs on each of them: Exchange Online judges by the mailbox that logged in. Limits are those of one mailbox.
        mailboxes: Many<Address>, default "[]", example "[\"relay1@contoso.com\", \"relay2@contoso.com\"]";
        /// With `password`: log in by user name and password in place of a token.
        username: Optional<Text>, example "\"relay@contoso.com\"";
        /// See `username`.
        password: Optional<SecretSource>, example "{ env = \"RELAY_PASSWORD\" }";
        /// Connections at once. Exchange Online allows 3 to a mailbox.
        connections: Optional<Whole<1, 1000>>, otherwise "3 for `submission`, 20 for `smarthost`", example "3";
        /// Messages in any 60 seconds. Exchange Online allows 30 to a mailbox.
        messages_per_minute: Optional<Whole<1, 10_000_000>>, otherwise "30 for `submission`, no limit for `smarthost`", example "30";
        /// Recipients in any 24 hours. Exchange Online allows 10,000 to a mailbox; the tenant's outbound spam policy may allow fewer.
        recipients_per_day: Optional<Whole<1, 100_000_000>>, otherwise "10000 for `submission`, no limit for `smarthost`", example "10000";
        /// Recipients of one transaction; a message with more goes in several. Exchange Online takes 500 from a mailbox, up to 1,000 if
        /// it is set so (`Set-Mailbox -RecipientLimits`).
        recipients_per_message: Optional<Whole<1, 10_000>>, otherwise "500 for `submission`, 100 for `smarthost`", example "500";
        /// How much of each budget of 24 hours is kept for urgent mail, in per cent.
        urgent_reserve: Defaulted<Whole<0, 90>>, default "5";
        /// When the link breaks, or the relay ends, while the last byte is on its way, a message may have arrived. `resend`: it is sent
        /// again, perhaps a second time. `hold`: it waits until somebody has looked and says `posthouse release` or `remove`; each
        /// message then costs one more sync of the disk.
        unconfirmed: Defaulted<OneOf<Unconfirmed>>, default "\"resend\"";
        /// When the sender of a message (reverse-path, From, Sender) is rewritten to the path's mailbox; a `[[client]]` may say
        /// otherwise. `never`: what the far side refuses for its sender is held. `when-refused-otherwise`: when the address is neither
        /// the mailbox nor one that `[[tenant.mailbox]]` names, or when it was refused before. `always`. Who it was stays in the
        /// display name, in Reply-To and in `X-Original-From`.
        rewrite: Optional<OneOf<Rewrite>>, otherwise "`when-refused-otherwise` for `submission`, `never` for `smarthost`", example "\"never\"";
        /// `smarthost`: messages on the first, second, … day on which it sends, so that a new sending address gets known; after
        /// that no limit by this. An interruption does not start it anew.
        warm_up: Many<Whole<1, 100_000_000>>, default "[]", example "[50, 100, 500, 1000, 5000]";
        /// `smarthost`: whether it may carry mail with the null reverse-path, as reports of bounces have. A mailbox never can.
        null_reverse_path: Optional<bool>, otherwise "`true` for `smarthost`", example "false";
        /// `smarthost`: where it is; port 25 unless given (465 with `tls = "implicit"`).
        address: Optional<HostPort>, example "\"exchange.example:25\"";
        /// `smarthost`: `none`: plain text. `opportunistic`: STARTTLS if offered, its certificate unchecked. `required`: STARTTLS,
        /// verified. `implicit`: TLS from the first octet, verified. `submission` always requires it.
        tls: Optional<OneOf<ClientTls>>, otherwise "`required`", example "\"opportunistic\"";
        /// `smarthost`: PEM of roots trusted in addition to the system's.
        ca: Optional<FilePath>, example "\"exchange-ca.pem\"";
    }
    planned "certificate", "key", "senders", "priority";
}

table! {
    /// The listeners' certificate. Without it a self-signed one is made in `data_dir` and kept. Replaced files are taken up.
    Tls "[tls]" {
        /// Certificate with its chain, PEM.
        certificate: Optional<FilePath>, example "\"/etc/posthouse/relay.pem\"";
        /// Its private key, PEM.
        key: Optional<FilePath>, example "\"/etc/posthouse/relay.key\"";
        /// Authorities that vouch for the names in clients' certificates, PEM. Needed where `certificates` of a client has names.
        client_ca: Optional<FilePath>, example "\"/etc/posthouse/devices-ca.pem\"";
    }
    planned "minimum";
}

table! {
    /// Where accepted mail is kept.
    Spool "[spool]" {
        /// `embedded`: on this machine, in `data_dir`.
        kind: Defaulted<OneOf<SpoolKind>>, default "\"embedded\"";
        /// Kept free on the file system, so that what is queued can be settled. New mail is refused for a while below it.
        reserve: Defaulted<Size<MIB, TIB>>, default "\"256 MiB\"";
        /// Most memory for messages on their way in, all sessions together; what is over it goes to files.
        memory: Defaulted<Size<MIB, TIB>>, default "\"64 MiB\"";
        /// Settled messages that can still be looked up at most; older ones make room (1,000 take about 1.5 MB).
        history_messages: Defaulted<Whole<1, 1_000_000_000>>, default "100000";
    }
    planned "url";
}

table! {
    /// When mail is tried again, and when it is given up.
    Queue "[queue]" {
        /// Waits after the first, second, … attempt; the last repeats.
        retry: Defaulted<Vec<At<Lasting<1, DAY>>>>, default "[\"1m\", \"5m\", \"15m\", \"30m\", \"1h\", \"2h\", \"4h\"]";
        /// Spread of these waits, in per cent either way.
        jitter: Defaulted<Whole<0, 50>>, default "10";
        /// A message that is older is given up.
        expire: Defaulted<Lasting<1, { 30 * DAY }>>, default "\"3d\"";
        /// A message that is older is noted as delayed.
        warn: Defaulted<Lasting<1, { 30 * DAY }>>, default "\"4h\"";
        /// How long what became of a message can be looked up. Its content is gone as soon as nothing is left to try.
        history: Defaulted<Lasting<MINUTE, { 3650 * DAY }>>, default "\"30d\"";
        /// Messages in memory for each line (urgent, new, deferred) of a lane; the others wait on disk.
        window: Defaulted<Whole<1, 100_000>>, default "1000";
    }
}

table! {
    /// Bounds of sessions and connections. What is over one is refused with a reply that says so.
    Limits "[limits]" {
        /// Largest message. Exchange Online takes 150 MiB at most, less by default.
        message_size: Defaulted<Size<KIB, { 150 * MIB }>>, default "\"35 MiB\"";
        /// Recipients of a message. Exchange Online takes 1,000 at most.
        recipients: Defaulted<Whole<1, 10_000>>, default "500";
        /// Header section of a message.
        header_section: Defaulted<Size<{ 4 * KIB }, { 8 * MIB }>>, default "\"256 KiB\"";
        /// `Received` fields of a message; more is a loop.
        hops: Defaulted<Whole<1, 1000>>, default "50";
        /// Messages in a session.
        messages: Defaulted<Whole<1, 1_000_000>>, default "10000";
        /// Commands in a session that were refused or not understood.
        errors: Defaulted<Whole<1, 10_000>>, default "20";
        /// Connections in all.
        connections: Defaulted<Whole<1, 1_000_000>>, default "2000";
        /// Connections from one address.
        connections_per_address: Defaulted<Whole<1, 1_000_000>>, default "200";
        /// Wait for a command.
        command_timeout: Defaulted<Lasting<1, DAY>>, default "\"5m\"";
        /// Wait for the next piece of a message.
        content_timeout: Defaulted<Lasting<1, DAY>>, default "\"3m\"";
        /// Life of a session.
        session_timeout: Defaulted<Lasting<1, DAY>>, default "\"2h\"";
        /// Wait for a TLS handshake.
        handshake_timeout: Defaulted<Lasting<1, HOUR>>, default "\"30s\"";
        /// On a stop, sessions inside a message and attempts under way may finish within this.
        grace: Defaulted<Lasting<0, HOUR>>, default "\"30s\"";
    }
    planned "messages_per_minute", "messages_per_hour", "recipients_per_day";
}

table! {
    /// How the DNS is asked what receivers will see of the sender domains: by `posthouse domain`, and while the relay runs.
    Dns "[dns]" {
        /// Recursive resolvers.
        servers: Many<SocketAddr>, default "[]", otherwise "those of the system", example "[\"192.0.2.53:53\"]";
        /// For one question, all attempts included.
        timeout: Defaulted<Lasting<1, MINUTE>>, default "\"5s\"";
        /// Our public addresses, as receivers see them. Where the relay sends straight to receivers, SPF must allow them; their names
        /// (PTR) are looked at.
        addresses: Many<IpAddr>, default "[]", example "[\"203.0.113.10\"]";
        /// Look at the domain of each sender now and then, and log once what is wrong with it.
        warn: Defaulted<bool>, default "true";
    }
}

table! {
    /// How the relay is asked and watched.
    Admin "[admin]" {
        /// Unix socket of the admin API; whoever can open it may do everything. Mode 0660.
        socket: Optional<FilePath>, otherwise "`admin.sock` in `data_dir`", example "\"/run/posthouse/admin.sock\"";
        /// HTTP without authentication, for monitoring: `/metrics`, `/healthz` and `/readyz`, nothing else.
        address: Optional<SocketAddr>, otherwise "no HTTP", example "\"127.0.0.1:8025\"";
    }
    planned "tls", "users", "dashboard";
}

table! {
    /// What is logged, to standard error.
    Log "[log]" {
        /// `error`, `warn`, `info`, `debug`, `trace`, or a filter by part: `"info,posthouse_transport=debug"`.
        level: Defaulted<Text>, default "\"info\"";
        /// `human` or `json`.
        format: Optional<OneOf<LogFormat>>, otherwise "`human` on a terminal, `json` elsewhere", example "\"json\"";
    }
    planned "file", "syslog";
}
