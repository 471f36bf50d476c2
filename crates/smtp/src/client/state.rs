//! The states of a session, one for each reply that may be due.

use super::auth::Exchange;
use super::script::Script;
use super::step::{PartialReplies, Replies, Step};
use crate::DotStuffer;

pub(super) enum State {
    Greeting,
    Ehlo,
    /// EHLO was not understood.
    Helo,
    /// No reply is due.
    Ready,
    /// No reply is due, because nothing was sent: the request was for something not offered.
    Answered(Step),
    StartTls,
    /// Waiting for the driver to have encrypted the connection.
    Handshake,
    Auth(Exchange),
    /// RSET before the next MAIL.
    ResetBefore(Script),
    Mail(Script),
    Rcpt(Script, Replies),
    Data(Script, Replies),
    Content(DotStuffer, Replies),
    End(Replies),
    /// The end of an empty message that nobody is to get.
    EmptyEnd(Replies),
    Reset,
    Quit,
    /// Stays so.
    Broken(Step),
}

impl State {
    /// What has been answered of the transaction under way.
    pub(super) fn into_partial_replies(self) -> Option<PartialReplies> {
        match self {
            Self::ResetBefore(_) | Self::Mail(_) => Some(PartialReplies::default()),
            Self::Rcpt(_, replies)
            | Self::Data(_, replies)
            | Self::Content(_, replies)
            | Self::End(replies)
            | Self::EmptyEnd(replies) => Some(replies.into()),
            _ => None,
        }
    }
}
