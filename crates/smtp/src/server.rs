//! The server machine: one inbound session from greeting to close.
//!
//! The driver owns the socket. It calls [`Server::poll`] until [`Step::NeedInput`], sends [`Server::output`], reads,
//! calls [`Server::handle_input`], and so on; a step that asks a question is answered with [`Server::answer`] before the
//! next `poll`. Commands that came in one packet (PIPELINING) give their replies in one packet.
//!
//! Invariants: a reply is given for every command, in order; content never reaches the command parser and commands never
//! reach the content; after STARTTLS nothing said before it is remembered and nothing received with it is read; memory is
//! bounded by the limits and one input piece.

mod auth;
mod chunks;
mod command;
mod data;
mod dispatch;
mod envelope;
mod input;
mod question;
mod replies;
mod session;
mod settings;
mod state;
mod step;

use std::sync::Arc;

use input::{Input, Line};
use session::Session;
pub use settings::{Limits, Settings, StartTls};
use state::{State, Turn};
use step::Next;
pub use step::{Answer, Phase, Step};

use crate::Reply;

/// See the head of this file.
#[derive(Debug)]
pub struct Server {
    session: Session,
    input: Input,
    state: State,
}

impl Server {
    /// `tls`: the connection is encrypted already (implicit TLS).
    pub fn new(settings: Arc<Settings>, tls: bool) -> Self {
        Self { session: Session::new(settings, tls), input: Input::default(), state: State::Connecting }
    }

    /// Takes what the peer sent. Call only after `NeedInput`.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if self.phase() != Phase::Closed {
            self.input.push(bytes);
        }
    }

    /// Goes on. While a question is open: `NeedInput`.
    pub fn poll(&mut self) -> Step<'_> {
        let next = loop {
            let (state, next) = self.advance();
            self.state = state;
            if let Some(next) = next {
                break next;
            }
        };
        match next {
            Next::NeedInput => Step::NeedInput,
            Next::Connected => Step::Connected,
            Next::Hello { esmtp } => Step::Hello { name: &self.session.argument, esmtp },
            Next::StartTls => Step::StartTls,
            Next::TlsHandshake => Step::TlsHandshake,
            Next::Authenticate(credentials) => Step::Authenticate(credentials),
            Next::Mail(reverse_path, parameters) => Step::Mail { reverse_path, parameters },
            Next::Rcpt(forward_path, parameters) => Step::Rcpt { forward_path, parameters },
            Next::Begin => Step::Begin,
            Next::Content(content) => Step::Content(self.input.used(content)),
            Next::HeldContent(content) => Step::Content(content),
            Next::End => Step::End,
            Next::Abort => Step::Abort,
            Next::Verify => Step::Verify(&self.session.argument),
            Next::Close => Step::Close,
        }
    }

    fn advance(&mut self) -> Turn {
        let Self { session, input, state } = self;
        match std::mem::replace(state, State::Closed) {
            State::Connecting => (State::Deciding(question::Question::Connected), Some(Next::Connected)),
            state @ (State::Idle | State::Envelope(_)) => {
                let turn = dispatch::command_line(state, input, session);
                if matches!(turn.1, Some(Next::NeedInput)) {
                    input.release();
                }
                turn
            }
            State::Auth(exchange) => match input.line(session.response_limit()) {
                Line::Incomplete => (State::Auth(exchange), Some(Next::NeedInput)),
                Line::TooLong => (session.refuse(State::Idle, replies::RESPONSE_TOO_LONG), None),
                Line::Whole(line) => exchange.line(session, line),
            },
            State::Data(data) => data.advance(input, session),
            State::Discard(discard) => discard.advance(input, session),
            State::Chunk(chunk) => chunk.advance(input, session),
            State::Swallow(swallow) => swallow.advance(input, session),
            State::Deciding(question) => (State::Deciding(question), Some(Next::NeedInput)),
            State::Handshake => (State::Handshake, Some(Next::TlsHandshake)),
            State::Aborting => (State::Idle, Some(Next::Abort)),
            State::Closing { abort: true } => (State::Closing { abort: false }, Some(Next::Abort)),
            State::Closing { abort: false } | State::Closed => {
                input.clear();
                (State::Closed, Some(Next::Close))
            }
        }
    }

    /// Answers the question that `poll` gave last. An answer that nobody asked for changes nothing (and fails a debug assertion).
    pub fn answer(&mut self, answer: Answer) {
        debug_assert!(self.phase() == Phase::Deciding, "an answer without a question");
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Deciding(question) => question.answered(answer, &mut self.session),
            other => other,
        };
    }

    /// While content arrives: throw the rest away and give this reply at its end (with BDAT: of the chunk under way, or
    /// to the next one). `poll` gives no more `Content` or `End` for this message (nor `Abort`: the driver knows).
    pub fn refuse_content(&mut self, reply: Reply) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Data(data) => data.refused(reply.into()),
            State::Chunk(chunk) => chunk.refused(reply.into()),
            State::Envelope(envelope) if envelope.is_begun() => State::Envelope(envelope.refused(Some(reply))),
            other => other,
        };
    }

    /// The handshake is done: the session starts anew, encrypted.
    pub fn handle_tls(&mut self) {
        debug_assert!(self.phase() == Phase::Tls, "a handshake that nobody asked for");
        if self.phase() == Phase::Tls {
            // RFC 3207 §6: what came in clear behind STARTTLS may be somebody else's.
            self.input.clear();
            self.session.start_anew();
            self.state = State::Idle;
        }
    }

    /// The driver closes (time-out, shutdown, pressure): queues this reply (a 421); the next step is `Close`, after an
    /// `Abort` if a message was under way. During the handshake nothing is said: it could not be understood.
    pub fn close_with(&mut self, reply: Reply) {
        if !matches!(self.phase(), Phase::Closed | Phase::Tls) {
            reply.write(&mut self.session.output);
        }
        self.state = std::mem::replace(&mut self.state, State::Closed).closing();
    }

    /// Bytes to send; the driver drains it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.session.output
    }

    /// See [`Phase`].
    pub fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// Recipients accepted so far in this transaction.
    pub fn recipients(&self) -> usize {
        self.state.envelope().map_or(0, envelope::Envelope::recipients)
    }
}
