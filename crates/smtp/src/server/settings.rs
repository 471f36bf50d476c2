//! What a listener is like, and what it puts up with.

use crate::Mechanism;

/// Whether and when a session must be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Not offered (also right for implicit TLS).
    Unavailable,
    /// Offered.
    Offered,
    /// Offered, and 530 5.7.0 to MAIL and AUTH before it.
    Required,
}

/// Limits of one session; each is met with its reply and has a test that reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command line with its CRLF; over it 500 5.5.2. AUTH lines and responses may have 12,288 (RFC 4954 §4);
    /// a response over that ends the exchange with 500 5.5.6.
    pub command_line: usize,
    /// Recipients of a message; over it 452 4.5.3.
    pub recipients: usize,
    /// Messages of a session; over it 421 4.7.0 to MAIL, so that clients reconnect.
    pub messages: usize,
    /// Commands that were refused or not understood since the last message; over it 421 4.7.0 and close. Recipients over
    /// their limit do not count: the client is to deliver to the others.
    pub errors: usize,
    /// Commands of a session that bring no message forward (NOOP, RSET, VRFY, HELP, EHLO …) since the last message; over it 421 4.7.0.
    pub idle_commands: usize,
    /// AUTH commands refused for good; over it 421 4.7.0 and close.
    pub auth_failures: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line: 2048,
            recipients: 1000,
            messages: 10_000,
            errors: 20,
            idle_commands: 200,
            auth_failures: 3,
        }
    }
}

/// What a listener is like; shared by its sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In the EHLO reply.
    pub hostname: String,
    /// After `220 `.
    pub greeting: String,
    /// Largest message in octets: offered by SIZE, enforced when declared (552 5.3.4 to MAIL) and when not (552 5.3.4
    /// at the end, the surplus thrown away, [`Step::Abort`](super::Step::Abort) to the driver at the moment it is
    /// passed). 0 is "no fixed limit", as in RFC 1870.
    pub size: u64,
    /// STARTTLS.
    pub starttls: StartTls,
    /// Offered in this order; empty: no AUTH at all.
    pub mechanisms: Vec<Mechanism>,
    /// Whether AUTH is offered and taken on a connection without TLS (else 538 5.7.11).
    pub auth_without_tls: bool,
    /// CHUNKING and BINARYMIME.
    pub chunking: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// DSN.
    pub dsn: bool,
    /// LIMITS, with RCPTMAX and MAILMAX from `limits`.
    pub advertise_limits: bool,
    /// See there.
    pub limits: Limits,
}

impl Settings {
    /// Whether a message of this many octets is larger than allowed.
    pub(super) fn is_too_large(&self, octets: u64) -> bool {
        self.size != 0 && octets > self.size
    }
}
