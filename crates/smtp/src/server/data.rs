//! Content after DATA.

use super::envelope::Envelope;
use super::input::Input;
use super::question::Question;
use super::replies::TOO_LARGE;
use super::session::{Refusal, Session};
use super::state::{State, Turn};
use super::step::Next;
use crate::DotUnstuffer;

/// Content goes to the driver.
#[derive(Debug)]
pub(super) struct Data {
    envelope: Envelope,
    unstuffer: DotUnstuffer,
    /// Counted as RFC 1870 does: decoded, without the final dot.
    octets: u64,
}

/// Content is thrown away up to its end.
#[derive(Debug)]
pub(super) struct Discard {
    envelope: Envelope,
    unstuffer: DotUnstuffer,
    refusal: Refusal,
}

impl Data {
    pub(super) fn new(envelope: Envelope) -> Self {
        Self { envelope, unstuffer: DotUnstuffer::new(), octets: 0 }
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(super) fn refused(self, refusal: Refusal) -> State {
        State::Discard(Discard { envelope: self.envelope, unstuffer: self.unstuffer, refusal })
    }

    pub(super) fn advance(mut self, input: &mut Input, session: &Session) -> Turn {
        let run = self.unstuffer.run(input.unread());
        let used = input.take(run.consumed);
        let content = used.start + run.content.start..used.start + run.content.end;
        self.octets += (run.held.len() + content.len()) as u64;
        if session.settings.is_too_large(self.octets) {
            return (self.refused(TOO_LARGE.into()), Some(Next::Abort));
        }
        if run.end {
            return (State::Deciding(Question::End(self.envelope)), Some(Next::End));
        }
        let next = match (run.held, content.is_empty()) {
            (b"", true) => Next::NeedInput,
            (b"", false) => Next::Content(content),
            (held, _) => Next::HeldContent(held),
        };
        (State::Data(self), Some(next))
    }
}

impl Discard {
    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(super) fn advance(mut self, input: &mut Input, session: &mut Session) -> Turn {
        while !input.unread().is_empty() {
            let run = self.unstuffer.run(input.unread());
            input.take(run.consumed);
            if run.end {
                return (session.refuse(State::Idle, self.refusal), None);
            }
        }
        (State::Discard(self), Some(Next::NeedInput))
    }
}
