//! What machine and driver say to each other.

use crate::{ForwardPath, MailParameters, RcptParameters, Reply, ReplyError, ReversePath};

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

/// Which parts of a transaction's envelope go on the wire. The driver has checked them against [`Client::extensions`](super::Client::extensions).
#[derive(Clone, Debug)]
pub struct Transaction {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// Sent as far as present, but for `auth`, which only the first server could vouch for. `size` only where SIZE is offered, and so on: parameters whose extension the server did not
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
    /// STARTTLS was accepted: do the handshake, call [`Client::handle_tls`](super::Client::handle_tls). Bytes received after the reply are an
    /// injection attempt and give `Broken` in place of this step.
    TlsHandshake,
    /// The final reply to AUTH, good or bad.
    AuthReply(Reply),
    /// 354: give the content with [`Client::content`](super::Client::content), then [`Client::end_content`](super::Client::end_content). At least one recipient was accepted.
    SendContent,
    /// The transaction is over; make another request.
    Over(Replies),
    /// QUIT was answered.
    Bye,
    /// The server closed with 421, said what is no reply, or went without a word. Close the connection. `replies`: what had been answered of
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
    /// The driver said so ([`Client::handle_end`](super::Client::handle_end)).
    #[error("the connection ended")]
    Ended,
    /// Data behind the reply to STARTTLS (RFC 3207 §6).
    #[error("plain text came after the reply to STARTTLS: somebody may be tampering with the connection")]
    Injected,
}

impl Replies {
    pub(super) fn to_mail(mail: Reply) -> Self {
        Self { mail, recipients: Vec::new(), data: None, end: None }
    }

    pub(super) fn has_recipient(&self) -> bool {
        self.mail.code.is_positive() && self.recipients.iter().any(|reply| reply.code.is_positive())
    }
}

impl From<Replies> for PartialReplies {
    fn from(replies: Replies) -> Self {
        Self { mail: Some(replies.mail), recipients: replies.recipients, data: replies.data }
    }
}
