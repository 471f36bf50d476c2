//! What the listeners are told; made by `config`, all checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use queue::LaneName;
use secret::Secret;
use smtp::{AddressPattern, ForwardPath, Mailbox};

use crate::{CertificatePattern, Condition, NamePattern, PlusAddresses, RecipientMap};

/// Of the whole of `inbound`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name: greeting, EHLO reply, trace field.
    pub hostname: String,
    /// At least one.
    pub listeners: Vec<ListenerSettings>,
    /// In any order: the one that fits most specifically counts ([`crate::ties`] finds those that cannot be told apart).
    pub clients: Vec<ClientEntry>,
    /// See there.
    pub tls: TlsSettings,
    /// See there.
    pub limits: Limits,
}

/// One address.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// For logs and for systemd's socket names; default: the address.
    pub name: String,
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
    /// See there.
    pub tls: TlsMode,
    /// AUTH on connections without TLS. Default false.
    pub auth_without_tls: bool,
}

/// What a listener does about TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text only.
    None,
    /// STARTTLS offered.
    #[default]
    Opportunistic,
    /// STARTTLS before MAIL and AUTH.
    Required,
    /// TLS from the first byte.
    Implicit,
}

/// Certificate of the listeners. Both or neither; with neither a self-signed one is made in `state_dir` and kept.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// PEM, chain included.
    pub certificate: Option<PathBuf>,
    /// PEM.
    pub key: Option<PathBuf>,
    /// PEM of the authorities that vouch for the names in clients' certificates; `None`: no names count, only pins.
    pub client_ca: Option<PathBuf>,
    /// Where the self-signed pair is kept (`tls/self-signed.pem`, `tls/self-signed.key`).
    pub state_dir: PathBuf,
}

/// Who may relay, and as what.
#[derive(Clone, Debug)]
pub struct ClientEntry {
    /// In logs, refusals, stories.
    pub name: String,
    /// Addresses that it may come from.
    pub networks: Vec<IpNet>,
    /// Users that it may log in as.
    pub users: Vec<User>,
    /// Certificates that it may show. While any entry has some, listeners ask for one in the handshake.
    pub certificates: Vec<CertificatePattern>,
    /// Names that it may give in EHLO or HELO.
    pub helo: Vec<NamePattern>,
    /// Listeners that it may come to, by name.
    pub listeners: Vec<String>,
    /// Which of these must hold together; `None`: [`Condition::standard`].
    pub condition: Option<Condition>,
    /// Whether it must use TLS.
    pub require_tls: bool,
    /// What it may send as: reverse-path, and every address of the header fields From and Sender. Empty: any reverse-path of
    /// the tenants' domains. The null reverse-path is always allowed.
    pub senders: Vec<AddressPattern>,
    /// What it may send to. Empty: anything.
    pub recipients: Vec<AddressPattern>,
    /// The only domains that it may send to, in any case; `None`: anywhere.
    pub internal_only: Option<Vec<String>>,
    /// Forward-paths that go elsewhere.
    pub recipient_map: RecipientMap,
    /// What becomes of `+tag` in a forward-path.
    pub plus_addresses: PlusAddresses,
    /// A mailbox that gets a copy of each message.
    pub archive: Option<Mailbox>,
    /// The lane of its mail, whatever the reverse-path; `None`: the routes say it.
    pub lane: Option<LaneName>,
    /// Mailbox of whoever answers for it.
    pub owner: Option<String>,
    /// Who hears of bounces and delays in place of the reverse-path.
    pub report_to: Option<ForwardPath>,
    /// Largest message; never over `Limits::message_size`.
    pub size: Option<u64>,
    /// Recipients of a message; never over `Limits::recipients`.
    pub recipients_per_message: Option<u64>,
    /// Recipients in any 24 hours. A restart forgets what was counted.
    pub recipients_per_day: Option<u64>,
    /// Messages in any 60 seconds. A restart forgets what was counted.
    pub messages_per_minute: Option<u64>,
    /// See there.
    pub priority: Priority,
}

impl ClientEntry {
    /// One that nothing is known of yet, and that lets nobody in.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            networks: Vec::new(),
            users: Vec::new(),
            certificates: Vec::new(),
            helo: Vec::new(),
            listeners: Vec::new(),
            condition: None,
            require_tls: false,
            senders: Vec::new(),
            recipients: Vec::new(),
            internal_only: None,
            recipient_map: RecipientMap::default(),
            plus_addresses: PlusAddresses::default(),
            archive: None,
            lane: None,
            owner: None,
            report_to: None,
            size: None,
            recipients_per_message: None,
            recipients_per_day: None,
            messages_per_minute: None,
            priority: Priority::default(),
        }
    }
}

/// How urgent the mail of a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// All of it.
    Urgent,
    /// None of it, whatever it says.
    Normal,
    /// What its header section calls so (`Importance`, `Priority`, `X-Priority`).
    #[default]
    AsMarked,
}

/// A user of a client entry.
#[derive(Clone, Debug)]
pub struct User {
    /// As in AUTH.
    pub name: String,
    /// See there.
    pub password: Verifier,
}

/// What a password is checked against.
#[derive(Clone, Debug)]
pub enum Verifier {
    /// PHC string of argon2id.
    Argon2id(String),
    /// The password itself, kept elsewhere.
    Secret(Secret),
}

/// Bounds of sessions and connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest message. Default 35 MiB (35 × 1,048,576), at most 150 MiB.
    pub message_size: u64,
    /// Recipients of a message. Default 500.
    pub recipients: usize,
    /// Header section in octets. Default 256 KiB.
    pub header_section: usize,
    /// `Received` fields. Default 50; more is a loop (554 5.4.6).
    pub hops: u32,
    /// Messages of a session. Default 10,000.
    pub messages: usize,
    /// Commands refused or not understood. Default 20.
    pub errors: usize,
    /// Connections in all. Default 2,000; over it 421 4.3.2 at once.
    pub connections: usize,
    /// Connections from one address. Default 200; over it 421 4.7.0 at once.
    pub connections_per_address: usize,
    /// Wait for a command. Default 5 minutes (RFC 5321 §4.5.3.2.7); then 421 4.4.2.
    pub command_timeout: Duration,
    /// Wait for the next piece of content. Default 3 minutes (§4.5.3.2.5).
    pub content_timeout: Duration,
    /// Life of a session. Default 2 hours.
    pub session_timeout: Duration,
    /// TLS handshake. Default 30 seconds.
    pub handshake_timeout: Duration,
    /// On shutdown sessions inside a message may finish within this. Default 30 seconds.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            message_size: 35 << 20,
            recipients: 500,
            header_section: 256 << 10,
            hops: 50,
            messages: 10_000,
            errors: 20,
            connections: 2_000,
            connections_per_address: 200,
            command_timeout: minutes(5),
            content_timeout: minutes(3),
            session_timeout: minutes(120),
            handshake_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}
