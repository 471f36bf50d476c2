//! The client machine: one outbound session, from greeting to QUIT, as many messages as wanted.
//!
//! The driver owns the socket and the time-outs. It makes a request ([`Client::start_tls`], [`Client::authenticate`],
//! [`Client::begin`], …) when the last step was an answer, then calls [`Client::poll`] until [`Step::NeedInput`], sends
//! [`Client::output`], reads, calls [`Client::handle_input`].
//!
//! Invariants: nothing is ever sent that the server did not offer in this very session; a reply is matched to its command
//! in order, also when pipelined; a broken or extra reply ends the session ([`Step::Broken`]), it is never guessed at.

use crate::{Credentials, Extensions, ForwardPath, MailParameters, RcptParameters, Reply, ReplyError, ReversePath};

/// Where a reply was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// On connecting.
    Greeting,
    /// EHLO, or HELO after EHLO was not understood (5yz).
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// After the final dot.
    End,
}

/// Which parts of a transaction's envelope go on the wire. The driver has checked them against [`Client::extensions`].
#[derive(Clone, Debug)]
pub struct Transaction {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// Sent as far as present. `size` only where SIZE is offered, and so on: parameters whose extension the server did not
    /// offer are left out by the machine when leaving out loses nothing (SIZE, BODY=7BIT), and are a debug assertion otherwise.
    pub parameters: MailParameters,
    /// RCPT TO, each.
    pub recipients: Vec<(ForwardPath, RcptParameters)>,
}

/// What came of a transaction that did not reach content, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replies {
    /// To MAIL.
    pub mail: Reply,
    /// To each RCPT, in order; shorter than the list where the session broke or MAIL was refused.
    pub recipients: Vec<Reply>,
    /// To DATA, if it was sent.
    pub data: Option<Reply>,
    /// To the final dot, if content was sent.
    pub end: Option<Reply>,
}

/// What the driver must do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the output, read more.
    NeedInput,
    /// The server speaks to us and said what it offers; make a request.
    Ready,
    /// Greeting, EHLO/HELO or STARTTLS was refused; after STARTTLS the session may go on, else close.
    Refused {
        /// Where.
        stage: Stage,
        /// With what.
        reply: Reply,
    },
    /// STARTTLS was accepted: do the handshake, call [`Client::handle_tls`]. Bytes received after the reply are an
    /// injection attempt and give `Broken` in place of this step.
    TlsHandshake,
    /// The final reply to AUTH, good or bad.
    AuthReply(Reply),
    /// 354: give the content with [`Client::content`], then [`Client::end_content`]. At least one recipient was accepted.
    SendContent,
    /// The transaction is over; make another request.
    Over(Replies),
    /// QUIT was answered.
    Bye,
    /// The server closed with 421, or said what is no reply. Close the connection. `replies`: what had been answered of
    /// the transaction under way.
    Broken {
        /// Why.
        cause: BrokenSession,
        /// Of the transaction under way.
        replies: Option<Box<PartialReplies>>,
    },
}

/// What had been answered when a session broke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialReplies {
    /// To MAIL.
    pub mail: Option<Reply>,
    /// To the first RCPTs.
    pub recipients: Vec<Reply>,
    /// To DATA.
    pub data: Option<Reply>,
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenSession {
    /// 421 in place of, or beside, the reply due.
    #[error("the server closed the session: {0}")]
    Closing(Reply),
    /// Not a reply.
    #[error(transparent)]
    Syntax(#[from] ReplyError),
    /// A reply to nothing.
    #[error("a reply that nothing asked for: {0}")]
    Unasked(Reply),
    /// Data behind the reply to STARTTLS (RFC 3207 §6).
    #[error("plain text came after the reply to STARTTLS: somebody may be tampering with the connection")]
    Injected,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Client {
    _hello: String,
}

impl Client {
    /// `hello`: our name for EHLO. `tls`: encrypted already. The machine waits for the greeting, then says EHLO.
    pub fn new(hello: &str, tls: bool) -> Self {
        let _ = (hello, tls);
        todo!()
    }
    /// Takes what the server sent.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    /// Goes on.
    pub fn poll(&mut self) -> Step {
        todo!()
    }
    /// Bytes to send; the driver drains it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        todo!()
    }
    /// Of the last EHLO; empty after HELO.
    pub fn extensions(&self) -> &Extensions {
        todo!()
    }
    /// Request: STARTTLS.
    pub fn start_tls(&mut self) {
        todo!()
    }
    /// Handshake done: EHLO is said again; what was offered in clear is forgotten.
    pub fn handle_tls(&mut self) {
        todo!()
    }
    /// Request: AUTH. PLAIN and XOAUTH2 go with the initial response unless the line would pass 512 octets (RFC 4954 §4).
    /// A 334 after XOAUTH2's token (an error in JSON) is answered with an empty line.
    pub fn authenticate(&mut self, credentials: &Credentials) {
        let _ = credentials;
        todo!()
    }
    /// Request: a message. MAIL, RCPT… and DATA go together where PIPELINING is offered. If every recipient was refused
    /// and DATA was pipelined and accepted all the same, an empty message is ended at once and its reply left out of account (RFC 2920 §3.1).
    pub fn begin(&mut self, transaction: &Transaction) {
        let _ = transaction;
        todo!()
    }
    /// A piece of the message, dot-stuffed into the output.
    pub fn content(&mut self, piece: &[u8]) {
        let _ = piece;
        todo!()
    }
    /// The message is whole: the final dot. From here on a broken link means "unconfirmed".
    pub fn end_content(&mut self) {
        todo!()
    }
    /// Request: RSET (only needed to prove that an idle session lives). Answered by `Ready`.
    pub fn reset(&mut self) {
        todo!()
    }
    /// Request: QUIT.
    pub fn quit(&mut self) {
        todo!()
    }
    /// True from `end_content` until its reply.
    pub fn awaits_final_reply(&self) -> bool {
        todo!()
    }
}
