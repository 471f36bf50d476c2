//! The client machine: one outbound session, from greeting to QUIT, as many messages as wanted.
//!
//! The driver owns the socket and the time-outs. It makes a request ([`Client::start_tls`], [`Client::authenticate`],
//! [`Client::begin`], …) when the last step was an answer, then calls [`Client::poll`] until [`Step::NeedInput`], sends
//! [`Client::output`], reads, calls [`Client::handle_input`].
//!
//! Invariants: nothing is ever sent that the server did not offer in this very session; a reply is matched to its command
//! in order, also when pipelined; a broken or extra reply ends the session ([`Step::Broken`]), it is never guessed at.

mod auth;
mod replies;
mod script;
mod state;
mod step;

use auth::Exchange;
use script::Script;
use state::State;
pub use step::{BrokenSession, PartialReplies, Replies, Stage, Step, Transaction};

use crate::{Credentials, EnhancedStatus, Extensions, Reply, ReplyError, ReplyParser};

/// See the head of this file.
pub struct Client {
    hello: String,
    tls: bool,
    input: Vec<u8>,
    /// Everything before it has been read.
    read: usize,
    parser: ReplyParser,
    output: Vec<u8>,
    extensions: Extensions,
    state: State,
    /// MAIL was accepted and the message has not ended: RSET must come before the next MAIL.
    transaction_is_open: bool,
    awaits_final_reply: bool,
    /// Nothing more will come.
    ended: bool,
}

impl Client {
    /// `hello`: our name for EHLO. `tls`: encrypted already. The machine waits for the greeting, then says EHLO.
    pub fn new(hello: &str, tls: bool) -> Self {
        Self {
            hello: hello.chars().filter(|character| !character.is_control()).collect(),
            tls,
            input: Vec::new(),
            read: 0,
            parser: ReplyParser::new(),
            output: Vec::new(),
            extensions: Extensions::default(),
            state: State::Greeting,
            transaction_is_open: false,
            awaits_final_reply: false,
            ended: false,
        }
    }

    /// Takes what the server sent.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        self.input.drain(..std::mem::take(&mut self.read));
        self.input.extend_from_slice(bytes);
    }

    /// Nothing more will come: the server closed, or is given up. When `poll` has told what came before, it gives
    /// `Broken` with the replies to the transaction under way; half a reply is none.
    pub fn handle_end(&mut self) {
        self.ended = true;
    }

    /// Goes on.
    pub fn poll(&mut self) -> Step {
        loop {
            match &self.state {
                State::Broken(step) => return step.clone(),
                State::Answered(step) => {
                    let step = step.clone();
                    self.state = State::Ready;
                    return step;
                }
                State::Handshake if self.has_unread() => return self.broken(BrokenSession::Injected, None),
                _ => {}
            }
            match self.next_reply() {
                Ok(None) if self.ended => return self.broken_off(BrokenSession::Ended),
                Ok(None) => return Step::NeedInput,
                Ok(Some(reply)) => {
                    if let Some(step) = self.take_reply(reply) {
                        return step;
                    }
                }
                Err(error) => return self.broken_off(error.into()),
            }
        }
    }

    fn broken_off(&mut self, cause: BrokenSession) -> Step {
        let replies = std::mem::replace(&mut self.state, State::Ready).into_partial_replies();
        self.broken(cause, replies)
    }

    fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        let (consumed, reply) = self.parser.push(self.input.get(self.read..).unwrap_or_default())?;
        self.read += consumed;
        Ok(reply)
    }

    fn has_unread(&self) -> bool {
        self.read < self.input.len() || !self.parser.is_empty()
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Bytes to send; the driver drains it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Of the last EHLO; empty after HELO.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether a request can be sent. Not if the server has said something that nobody asked for, or has gone: the next
    /// `poll` tells.
    fn may_request(&self) -> bool {
        debug_assert!(matches!(self.state, State::Ready | State::Broken(_)), "a request before the last was answered");
        matches!(self.state, State::Ready) && !self.has_unread() && !self.ended
    }

    /// Says a command and waits in `state` for its reply.
    fn request(&mut self, command: &str, state: State) {
        if self.may_request() {
            self.say(command);
            self.state = state;
        }
    }

    /// Answers a request ourselves, nothing having been sent.
    fn answer(&mut self, step: Step) {
        if self.may_request() {
            self.state = State::Answered(step);
        }
    }

    /// Request: STARTTLS. Where it is not offered: `Refused` with a reply of our own, nothing is sent.
    pub fn start_tls(&mut self) {
        if self.extensions.starttls {
            self.request("STARTTLS", State::StartTls);
        } else {
            let reply = Reply::new(502, EnhancedStatus::new(5, 5, 1), "the server does not offer STARTTLS");
            self.answer(Step::Refused { stage: Stage::StartTls, reply });
        }
    }

    /// Handshake done: EHLO is said again; what was offered in clear is forgotten.
    pub fn handle_tls(&mut self) {
        debug_assert!(matches!(self.state, State::Handshake | State::Broken(_)), "a handshake that nobody asked for");
        if matches!(self.state, State::Handshake) && !self.has_unread() {
            self.tls = true;
            self.say_hello();
        }
    }

    /// Request: AUTH. PLAIN and XOAUTH2 go with the initial response unless the line would pass 512 octets (RFC 4954 §4).
    /// A 334 after XOAUTH2's token (an error in JSON) is answered with an empty line. Where the mechanism is not offered:
    /// `AuthReply` with a reply of our own, nothing is sent.
    pub fn authenticate(&mut self, credentials: &Credentials) {
        let mechanism = credentials.mechanism();
        if self.extensions.auth.contains(&mechanism) {
            let (exchange, command) = Exchange::new(credentials);
            self.request(&command, State::Auth(exchange));
        } else {
            let text = format!("the server does not offer AUTH {mechanism}");
            self.answer(Step::AuthReply(Reply::new(504, EnhancedStatus::new(5, 5, 4), text)));
        }
    }

    /// Request: a message. MAIL, RCPT… and DATA go together where PIPELINING is offered. If every recipient was refused
    /// and DATA was pipelined and accepted all the same, an empty message is ended at once and its reply left out of account (RFC 2920 §3.1).
    pub fn begin(&mut self, transaction: &Transaction) {
        if !self.may_request() {
            return;
        }
        let mut script = Script::new(transaction, &self.extensions);
        if self.transaction_is_open {
            self.say("RSET");
            if script.pipelined {
                script.send(&mut self.output);
            }
            self.state = State::ResetBefore(script);
        } else {
            script.send(&mut self.output);
            self.state = State::Mail(script);
        }
    }

    /// A piece of the message, dot-stuffed into the output.
    pub fn content(&mut self, piece: &[u8]) {
        debug_assert!(matches!(self.state, State::Content(..) | State::Broken(_)), "content that nobody asked for");
        if let State::Content(stuffer, _) = &mut self.state {
            stuffer.push(piece, &mut self.output);
        }
    }

    /// The message is whole: the final dot. From here on a broken link means "unconfirmed".
    ///
    /// If the server has said something before its time the dot is not sent: the next `poll` gives `Broken`.
    pub fn end_content(&mut self) {
        debug_assert!(matches!(self.state, State::Content(..) | State::Broken(_)), "the end of nothing");
        if self.has_unread() {
            return;
        }
        self.state = match std::mem::replace(&mut self.state, State::Ready) {
            State::Content(stuffer, replies) => {
                stuffer.finish(&mut self.output);
                self.awaits_final_reply = true;
                State::End(replies)
            }
            other => other,
        };
    }

    /// Request: RSET (only needed to prove that an idle session lives). Answered by `Ready`.
    pub fn reset(&mut self) {
        self.request("RSET", State::Reset);
    }

    /// Request: QUIT.
    pub fn quit(&mut self) {
        self.request("QUIT", State::Quit);
    }

    /// Replies to RCPT of the transaction under way, in order, as far as they have come.
    pub fn recipient_replies(&self) -> &[Reply] {
        match &self.state {
            State::Rcpt(_, replies)
            | State::Data(_, replies)
            | State::Content(_, replies)
            | State::End(replies)
            | State::EmptyEnd(replies) => &replies.recipients,
            _ => &[],
        }
    }

    /// True from `end_content` until its reply.
    pub fn awaits_final_reply(&self) -> bool {
        self.awaits_final_reply
    }
}

/// Without what was or will be sent: it may be a password or a token.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("hello", &self.hello)
            .field("tls", &self.tls)
            .field("extensions", &self.extensions)
            .field("awaits_final_reply", &self.awaits_final_reply)
            .finish_non_exhaustive()
    }
}
