//! Content in BDAT (RFC 3030): counted octets, nothing to decode.
//!
//! The octets of a chunk follow its command at once, whatever we say to it, so they are always read as octets.

use super::command;
use super::envelope::Envelope;
use super::input::Input;
use super::question::Question;
use super::replies;
use super::session::{Refusal, Session};
use super::state::{State, Turn};
use super::step::Next;
use crate::{EnhancedStatus, Reply};

/// Octets go to the driver.
#[derive(Debug)]
pub(super) struct Chunk {
    envelope: Envelope,
    size: u64,
    left: u64,
    last: bool,
}

/// Octets are thrown away, then the refusal is said.
#[derive(Debug)]
pub(super) struct Swallow {
    /// Where the session goes on.
    envelope: Option<Envelope>,
    left: u64,
    refusal: Refusal,
}

/// A BDAT, wherever it stands.
pub(super) fn bdat(state: State, session: &mut Session, argument: &str) -> Turn {
    let Some((size, last)) = command::chunk(argument) else {
        // The octets that follow cannot be told from commands: running them would be smuggling.
        return (session.refuse(state, replies::BDAT_SYNTAX).closing(), None);
    };
    let envelope = state.into_envelope();
    if !session.settings.chunking {
        return (Swallow::state(envelope, size, replies::CHUNKING_UNAVAILABLE.into()), None);
    }
    match envelope {
        Some(envelope) => envelope.bdat(size, last),
        None => (Swallow::state(None, size, replies::CHUNK_WITHOUT_MAIL.into()), None),
    }
}

impl Chunk {
    pub(super) fn new(envelope: Envelope, size: u64, last: bool) -> Self {
        Self { envelope, size, left: size, last }
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The driver agreed to the message's beginning.
    pub(super) fn begun(self) -> State {
        State::Chunk(Self { envelope: self.envelope.with_octets(0), ..self })
    }

    /// After the last chunk nothing is left of the message; before it only RSET helps.
    pub(super) fn refused(self, refusal: Refusal) -> State {
        let envelope = (!self.last).then(|| self.envelope.refused(None));
        Swallow::state(envelope, self.left, refusal)
    }

    pub(super) fn advance(mut self, input: &mut Input, session: &mut Session) -> Turn {
        if self.left == 0 {
            return self.finish(session);
        }
        let octets = take_at_most(input, self.left);
        let taken = octets.len() as u64;
        self.left -= taken;
        let so_far = self.envelope.octets() + taken;
        if session.settings.is_too_large(so_far) {
            return (self.refused(replies::TOO_LARGE.into()), Some(Next::Abort));
        }
        let next = if octets.is_empty() { Next::NeedInput } else { Next::Content(octets) };
        (State::Chunk(Self { envelope: self.envelope.with_octets(so_far), ..self }), Some(next))
    }

    fn finish(self, session: &mut Session) -> Turn {
        if self.last {
            return (State::Deciding(Question::End(self.envelope)), Some(Next::End));
        }
        let text = format!("{} octets received", self.size);
        Reply::new(250, EnhancedStatus::new(2, 0, 0), text).write(&mut session.output);
        (State::Envelope(self.envelope), None)
    }
}

impl Swallow {
    pub(super) fn state(envelope: Option<Envelope>, left: u64, refusal: Refusal) -> State {
        State::Swallow(Self { envelope, left, refusal })
    }

    pub(super) fn envelope(&self) -> Option<&Envelope> {
        self.envelope.as_ref()
    }

    pub(super) fn advance(mut self, input: &mut Input, session: &mut Session) -> Turn {
        self.left -= take_at_most(input, self.left).len() as u64;
        if self.left > 0 {
            return (State::Swallow(self), Some(Next::NeedInput));
        }
        (session.refuse(self.envelope.into(), self.refusal), None)
    }
}

fn take_at_most(input: &mut Input, octets: u64) -> std::ops::Range<usize> {
    let octets = usize::try_from(octets).unwrap_or(usize::MAX).min(input.unread().len());
    input.take(octets)
}
