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
use session::{Refusal, Session};
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
            State::Data(data) => data.refused(Refusal::Given(reply)),
            State::Chunk(chunk) => chunk.refused(Refusal::Given(reply)),
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
            self.session.say_given(reply);
        }
        self.state = std::mem::replace(&mut self.state, State::Closed).closing();
    }

    /// Bytes to send; the driver drains it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.session.output
    }

    /// What the machine refused by itself since this was last asked, with how often in a row, for logs and metrics: the
    /// driver's own replies are not among it. Ask now and then: no more than 64 are kept.
    pub fn take_refusals(&mut self) -> Vec<(Reply, usize)> {
        std::mem::take(&mut self.session.refusals)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnhancedStatus;

    fn settings() -> Settings {
        Settings {
            hostname: "mx".to_owned(),
            greeting: "mx".to_owned(),
            size: 0,
            starttls: StartTls::Required,
            mechanisms: Vec::new(),
            auth_without_tls: false,
            chunking: true,
            smtputf8: true,
            dsn: true,
            advertise_limits: true,
            limits: Limits { errors: 3, ..Limits::default() },
        }
    }

    /// What is said to `input` by a driver that refuses MAIL and agrees to all else; and whether it was told to close.
    fn converse(server: &mut Server, input: &[u8]) -> (String, bool) {
        server.handle_input(input);
        let closes = loop {
            let answer = match server.poll() {
                Step::NeedInput => break false,
                Step::Close => break true,
                Step::Mail { .. } => Answer::Refuse(Reply::new(550, EnhancedStatus::new(5, 7, 1), "no")),
                Step::Content(_) | Step::Abort => continue,
                _ => Answer::Accept,
            };
            server.answer(answer);
        };
        (String::from_utf8(std::mem::take(server.output())).unwrap(), closes)
    }

    #[test]
    fn the_driver_hears_what_the_machine_refused_by_itself_and_how_often() {
        let mut server = Server::new(Arc::new(settings()), false);
        converse(&mut server, b"EHLO x\r\nMAIL FROM:<a@b>\r\nDATA\r\nDATA\r\nDATA\r\n");
        let refusals: Vec<_> =
            server.take_refusals().into_iter().map(|(reply, times)| (reply.to_string(), times)).collect();
        let expected = [
            ("530 5.7.0 Send STARTTLS first".to_owned(), 1),
            ("503 5.5.1 Send MAIL first".to_owned(), 2),
            ("421 4.7.0 Too many errors; closing".to_owned(), 1),
        ];
        assert_eq!(refusals, expected);
        assert!(server.take_refusals().is_empty());
    }

    #[test]
    fn the_drivers_own_refusals_are_not_told_to_it() {
        let settings = Settings { starttls: StartTls::Unavailable, ..settings() };
        let mut server = Server::new(Arc::new(settings), false);
        let (said, _) = converse(&mut server, b"EHLO x\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<@>\r\nQUIT\r\n");
        assert!(said.contains("550 5.7.1 no"), "{said}");
        let refusals = server.take_refusals();
        assert_eq!(refusals.iter().map(|(reply, _)| reply.code.get()).collect::<Vec<_>>(), [501]);
    }

    #[test]
    fn octets_behind_a_bdat_that_cannot_be_read_are_never_run() {
        for line in [&b"BDAT 6\x01\r\n"[..], b"bdat\n6\r\n", b"BDAT 6\xff\r\n", b"BDAT\0\r\n"] {
            let mut server = Server::new(Arc::new(settings()), false);
            let (said, closes) = converse(&mut server, &[b"EHLO x\r\n", line, b"NOOP\r\n"].concat());
            let last = said.lines().last().unwrap_or_default();
            assert!(closes && last.starts_with("501 5.5.4 Syntax: BDAT"), "{}: {said}", line.escape_ascii());
        }
    }

    #[test]
    fn the_name_of_a_host_has_no_controls() {
        let mut server = Server::new(Arc::new(settings()), false);
        converse(&mut server, b"");
        server.handle_input("EHLO x\u{9b}2Jy\r\n".as_bytes());
        assert_eq!(server.poll(), Step::Hello { name: "x?2Jy", esmtp: true });
    }
}
