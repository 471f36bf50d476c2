//! Questions to the driver and what follows from its answers.

use super::chunks::Chunk;
use super::data::Data;
use super::envelope::Envelope;
use super::replies;
use super::session::{Refusal, Session};
use super::state::State;
use super::step::Answer;
use crate::Reply;

/// What was asked, with what the session goes on with.
#[derive(Debug)]
pub(super) enum Question {
    Connected,
    Hello {
        esmtp: bool,
        /// Where a refusal leads back to.
        before: Option<Envelope>,
    },
    StartTls,
    Authenticate,
    /// The transaction to be.
    Mail(Envelope),
    Rcpt(Envelope),
    Data(Envelope),
    /// The first BDAT of a message.
    Chunk(Chunk),
    End(Envelope),
    Verify {
        before: Option<Envelope>,
    },
}

impl Question {
    pub(super) fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Connected | Self::StartTls | Self::Authenticate => None,
            Self::Hello { before, .. } | Self::Verify { before } => before.as_ref(),
            Self::Mail(envelope) | Self::Rcpt(envelope) | Self::Data(envelope) | Self::End(envelope) => Some(envelope),
            Self::Chunk(chunk) => Some(chunk.envelope()),
        }
    }

    pub(super) fn answered(self, answer: Answer, session: &mut Session) -> State {
        match answer {
            Answer::Accept => self.accepted(None, session),
            Answer::AcceptWith(reply) => self.accepted(Some(reply), session),
            Answer::Refuse(reply) => self.refused(reply, session),
        }
    }

    fn accepted(self, given: Option<Reply>, session: &mut Session) -> State {
        match self {
            Self::Connected => {
                let greeting = given.unwrap_or_else(|| Reply::plain(220, session.settings.greeting.clone()));
                session.say_given(greeting);
                State::Idle
            }
            Self::Hello { esmtp, before } => {
                session.greeted = true;
                greet(esmtp, given, session);
                State::from(before).without_message()
            }
            Self::StartTls => say(session, given, replies::READY_FOR_TLS, State::Handshake),
            Self::Authenticate => {
                session.authenticated = true;
                say(session, given, replies::AUTHENTICATED, State::Idle)
            }
            Self::Mail(envelope) => say(session, given, replies::SENDER_OK, State::Envelope(envelope)),
            Self::Rcpt(envelope) => {
                say(session, given, replies::RECIPIENT_OK, State::Envelope(envelope.with_recipient()))
            }
            Self::Data(envelope) => say(session, given, replies::START_CONTENT, State::Data(Data::new(envelope))),
            // BDAT is answered when its octets have come.
            Self::Chunk(chunk) => chunk.begun(),
            Self::End(_) => {
                session.count_message();
                say(session, given, replies::MESSAGE_OK, State::Idle)
            }
            Self::Verify { before } => say(session, given, replies::NOT_VERIFIED, before.into()),
        }
    }

    fn refused(self, reply: Reply, session: &mut Session) -> State {
        match self {
            Self::Connected => {
                session.say_given(reply);
                State::Closing { abort: false }
            }
            Self::Authenticate => session.refuse_auth(State::Idle, reply),
            Self::Chunk(chunk) => chunk.refused(Refusal::Given(reply)),
            Self::StartTls | Self::Mail(_) | Self::End(_) => session.refuse(State::Idle, Refusal::Given(reply)),
            Self::Rcpt(envelope) | Self::Data(envelope) => {
                session.refuse(State::Envelope(envelope), Refusal::Given(reply))
            }
            Self::Hello { before, .. } | Self::Verify { before } => {
                session.refuse(before.into(), Refusal::Given(reply))
            }
        }
    }
}

fn say(session: &mut Session, given: Option<Reply>, standard: &'static str, state: State) -> State {
    session.say_or(given, standard);
    state
}

fn greet(esmtp: bool, given: Option<Reply>, session: &mut Session) {
    if esmtp {
        session.say_extensions(given);
    } else {
        session.say_given(given.unwrap_or_else(|| Reply::plain(250, session.settings.hostname.clone())));
    }
}
