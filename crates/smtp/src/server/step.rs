//! What machine and driver say to each other.

use std::ops::Range;

use crate::{Credentials, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};

/// What the driver must do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Everything received has been dealt with: send the output, read more.
    NeedInput,
    /// Question, once, first of all: may this peer speak? The accepted answer is the greeting; a refusal closes.
    Connected,
    /// Question: EHLO (`esmtp`) or HELO with this argument.
    Hello {
        /// Argument as received, possibly not a domain; never empty, without control characters.
        name: &'a str,
        /// EHLO?
        esmtp: bool,
    },
    /// Question: may TLS start? After an accepted answer the next step is `TlsHandshake`.
    StartTls,
    /// Send the output, drop unread input, do the handshake, call [`Server::handle_tls`](super::Server::handle_tls).
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
    /// The message begun is not to be: too large, RSET, EHLO or QUIT between two BDAT, the session closed. Not a question.
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
    /// `TlsHandshake` is due or was given, `handle_tls` not yet called.
    Tls,
    /// A question is open.
    Deciding,
    /// `Close` is due or was given.
    Closed,
}

/// A [`Step`] that borrows nothing yet; what it borrows is in the session and in the input.
#[derive(Debug)]
pub(super) enum Next {
    NeedInput,
    Connected,
    Hello { esmtp: bool },
    StartTls,
    TlsHandshake,
    Authenticate(Credentials),
    Mail(ReversePath, MailParameters),
    Rcpt(ForwardPath, RcptParameters),
    Begin,
    Content(Range<usize>),
    HeldContent(&'static [u8]),
    End,
    Abort,
    Verify,
    Close,
}
