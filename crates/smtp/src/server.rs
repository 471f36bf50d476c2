//! The server machine: one inbound session from greeting to close.
//!
//! The driver owns the socket. It calls [`Server::poll`] until [`Step::NeedInput`], sends [`Server::output`], reads,
//! calls [`Server::handle_input`], and so on; a step that asks a question is answered with [`Server::answer`] before the
//! next `poll`. Commands that came in one packet (PIPELINING) give their replies in one packet.
//!
//! Invariants: a reply is given for every command, in order; content never reaches the command parser and commands never
//! reach the content; after STARTTLS nothing said before it is remembered and nothing received with it is read; memory is
//! bounded by the limits and one input piece.

use std::sync::Arc;

use crate::{Credentials, ForwardPath, MailParameters, Mechanism, RcptParameters, Reply, ReversePath};

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
    /// Octets of a command line with its CRLF; over it 500 5.5.2. AUTH lines and responses may have 12,288 (RFC 4954 §4).
    pub command_line: usize,
    /// Recipients of a message; over it 452 4.5.3.
    pub recipients: usize,
    /// Messages of a session; over it 421 4.7.0 to MAIL, so that clients reconnect.
    pub messages: usize,
    /// Commands that were refused or not understood; over it 421 4.7.0 and close.
    pub errors: usize,
    /// Commands of a session that bring no message forward (NOOP, RSET, VRFY, HELP, EHLO …) since the last message; over it 421 4.7.0.
    pub idle_commands: usize,
    /// Failed AUTH commands; over it 421 4.7.0 and close.
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
    /// at the end, the surplus thrown away, [`Step::Abort`] to the driver at the moment it is passed).
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

/// What the driver must do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Everything received has been dealt with: send the output, read more.
    NeedInput,
    /// Question, once, first of all: may this peer speak? The accepted answer is the greeting.
    Connected,
    /// Question: EHLO (`esmtp`) or HELO with this argument.
    Hello {
        /// Argument as received, possibly not a domain.
        name: &'a str,
        /// EHLO?
        esmtp: bool,
    },
    /// Question: may TLS start? After an accepted answer the next step is `TlsHandshake`.
    StartTls,
    /// Send the output, drop unread input, do the handshake, call [`Server::handle_tls`].
    TlsHandshake,
    /// Question: are these right? Standard answers: 235 2.7.0, 535 5.7.8.
    Authenticate(Credentials),
    /// Question: MAIL FROM.
    Mail {
        /// Its path.
        reverse_path: ReversePath,
        /// Its parameters.
        parameters: MailParameters,
    },
    /// Question: RCPT TO.
    Rcpt {
        /// Its path.
        forward_path: ForwardPath,
        /// Its parameters.
        parameters: RcptParameters,
    },
    /// Question: DATA or the first BDAT, with at least one recipient. An accepted answer to DATA is 354.
    Begin,
    /// A piece of the message, decoded. Not a question.
    Content(&'a [u8]),
    /// Question: the message is whole. The answer is the reply to the end of DATA or to BDAT LAST.
    End,
    /// The message begun is not to be: too large, RSET, refused by the driver itself, a fault in BDAT. Not a question.
    Abort,
    /// Question: VRFY with this argument. Standard answer: 252 2.5.0.
    Verify(&'a str),
    /// Send the output and close.
    Close,
}

/// The driver's word on a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the standard reply.
    Accept,
    /// With this reply (2yz or 3yz). For `Hello` with EHLO its lines replace the first line (the one with our name) only.
    AcceptWith(Reply),
    /// With this reply (4yz or 5yz). 421 also closes the session.
    Refuse(Reply),
}

/// Which state a session is in, for time-outs, logs and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the greeting was sent.
    Connecting,
    /// Waiting for a command.
    Command,
    /// Inside AUTH.
    Auth,
    /// Inside the content of a message.
    Content,
    /// `TlsHandshake` was given, `handle_tls` not yet called.
    Tls,
    /// A question is open.
    Deciding,
    /// `Close` was given.
    Closed,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Server {
    _settings: Arc<Settings>,
}

impl Server {
    /// `tls`: the connection is encrypted already (implicit TLS).
    pub fn new(settings: Arc<Settings>, tls: bool) -> Self {
        let _ = (settings, tls);
        todo!()
    }
    /// Takes what the peer sent. Call only after `NeedInput`.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    /// Goes on.
    pub fn poll(&mut self) -> Step<'_> {
        todo!()
    }
    /// Answers the question that `poll` gave last. An answer that nobody asked for changes nothing (and fails a debug assertion).
    pub fn answer(&mut self, answer: Answer) {
        let _ = answer;
        todo!()
    }
    /// While content arrives: throw the rest away and give this reply at its end. `poll` gives no more `Content` or `End`
    /// for this message (nor `Abort`: the driver knows).
    pub fn refuse_content(&mut self, reply: Reply) {
        let _ = reply;
        todo!()
    }
    /// The handshake is done: the session starts anew, encrypted.
    pub fn handle_tls(&mut self) {
        todo!()
    }
    /// The driver closes (time-out, shutdown, pressure): queues this reply (a 421); the next step is `Close`, after an
    /// `Abort` if a message was under way.
    pub fn close_with(&mut self, reply: Reply) {
        let _ = reply;
        todo!()
    }
    /// Bytes to send; the driver drains it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        todo!()
    }
    /// See [`Phase`].
    pub fn phase(&self) -> Phase {
        todo!()
    }
    /// Recipients accepted so far in this transaction.
    pub fn recipients(&self) -> usize {
        todo!()
    }
}
