//! The states of a session and what they have in common.
//!
//! One type for each; a transition takes the state and gives the next one, with what the driver must be told. What is
//! true in every state is in [`Session`](super::session::Session).

use super::auth::Exchange;
use super::chunks::{Chunk, Swallow};
use super::data::{Data, Discard};
use super::envelope::Envelope;
use super::question::Question;
use super::step::{Next, Phase};

#[derive(Debug)]
pub(super) enum State {
    /// Nothing has been said.
    Connecting,
    /// No message under way.
    Idle,
    /// After MAIL.
    Envelope(Envelope),
    /// Inside AUTH.
    Auth(Exchange),
    /// After 354.
    Data(Data),
    /// After 354, but nobody wants the message any more.
    Discard(Discard),
    /// Inside the octets of a BDAT.
    Chunk(Chunk),
    /// Inside the octets of a BDAT that is refused.
    Swallow(Swallow),
    /// The driver is to answer.
    Deciding(Question),
    /// Waiting for the driver to have encrypted the connection.
    Handshake,
    /// The message begun is dropped; the session goes on.
    Aborting,
    /// The last reply has been said.
    Closing {
        /// A message was under way.
        abort: bool,
    },
    Closed,
}

/// The next state, and what the driver must do before it is looked at.
pub(super) type Turn = (State, Option<Next>);

impl State {
    pub(super) fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Envelope(envelope) => Some(envelope),
            Self::Data(data) => Some(data.envelope()),
            Self::Discard(discard) => Some(discard.envelope()),
            Self::Chunk(chunk) => Some(chunk.envelope()),
            Self::Swallow(swallow) => swallow.envelope(),
            Self::Deciding(question) => question.envelope(),
            _ => None,
        }
    }

    pub(super) fn into_envelope(self) -> Option<Envelope> {
        if let Self::Envelope(envelope) = self { Some(envelope) } else { None }
    }

    /// Whether the driver has begun a message and not yet heard or said its end.
    fn has_message_under_way(&self) -> bool {
        match self {
            Self::Data(_) | Self::Chunk(_) | Self::Aborting | Self::Deciding(Question::End(_)) => true,
            Self::Closing { abort } => *abort,
            Self::Discard(_) => false,
            other => other.envelope().is_some_and(Envelope::is_begun),
        }
    }

    pub(super) fn closing(self) -> Self {
        Self::Closing { abort: self.has_message_under_way() }
    }

    /// Where RSET and an accepted EHLO lead.
    pub(super) fn without_message(self) -> Self {
        if self.has_message_under_way() { Self::Aborting } else { Self::Idle }
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Connecting => Phase::Connecting,
            Self::Idle | Self::Envelope(_) | Self::Aborting => Phase::Command,
            Self::Auth(_) => Phase::Auth,
            Self::Data(_) | Self::Discard(_) | Self::Chunk(_) | Self::Swallow(_) => Phase::Content,
            Self::Deciding(_) => Phase::Deciding,
            Self::Handshake => Phase::Tls,
            Self::Closing { .. } | Self::Closed => Phase::Closed,
        }
    }
}

/// Where a command that changes nothing leads back to.
impl From<Option<Envelope>> for State {
    fn from(envelope: Option<Envelope>) -> Self {
        envelope.map_or(Self::Idle, Self::Envelope)
    }
}
