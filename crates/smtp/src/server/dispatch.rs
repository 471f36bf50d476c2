//! A command line meets a state: who deals with it, or why nobody does.

use std::borrow::Cow;

use super::auth::auth;
use super::chunks::bdat;
use super::command::{Command, has_controls, is_chunk};
use super::envelope::Envelope;
use super::input::{Input, Line};
use super::question::Question;
use super::replies;
use super::session::Session;
use super::state::{State, Turn};
use super::step::Next;

/// In `Idle` and `Envelope`: the next line.
pub(super) fn command_line(state: State, input: &mut Input, session: &mut Session) -> Turn {
    let limit = session.line_limit(input.unread());
    match input.line(limit) {
        Line::Incomplete => (state, Some(Next::NeedInput)),
        Line::TooLong => (session.refuse(state, replies::LINE_TOO_LONG), None),
        Line::Whole(line) if has_controls(line) => unreadable(is_chunk(line), state, session, replies::CONTROLS),
        Line::Whole(line) => match String::from_utf8_lossy(line) {
            Cow::Borrowed(text) => run(Command::parse(text), state, session),
            Cow::Owned(text) => mangled(Command::parse(&text), state, session),
        },
    }
}

/// A line in some old code page. Devices have such host names, and are let in; nothing else may be so.
fn mangled(command: Command<'_>, state: State, session: &mut Session) -> Turn {
    match command {
        Command::Hello { name, esmtp } => hello(state, session, name, esmtp),
        other => unreadable(matches!(other, Command::Bdat(_)), state, session, replies::NOT_UTF8),
    }
}

/// Octets follow a BDAT whatever is wrong with it: running them as commands would be smuggling.
fn unreadable(chunk: bool, state: State, session: &mut Session, refusal: &'static str) -> Turn {
    if chunk {
        return (session.refuse(state, replies::BDAT_SYNTAX).closing(), None);
    }
    (session.refuse(state, refusal), None)
}

fn run(command: Command<'_>, state: State, session: &mut Session) -> Turn {
    match command {
        Command::Hello { name, esmtp } => hello(state, session, name, esmtp),
        Command::Mail(argument) => match state {
            State::Idle => Envelope::mail(session, argument),
            other => (session.refuse(other, replies::MAIL_TWICE), None),
        },
        Command::Rcpt(argument) => match state {
            State::Envelope(envelope) => envelope.rcpt(session, argument),
            other => (session.refuse(other, replies::MAIL_FIRST), None),
        },
        Command::Data(argument) => match state {
            State::Envelope(envelope) => envelope.data(session, argument),
            other => (session.refuse(other, replies::MAIL_FIRST), None),
        },
        Command::Bdat(argument) => bdat(state, session, argument),
        Command::Auth(argument) => auth(state, session, argument),
        Command::StartTls(argument) => start_tls(state, session, argument),
        Command::Verify(argument) => verify(state, session, argument),
        Command::Reset => idle(state, session, replies::OK, State::without_message),
        Command::Noop => idle(state, session, replies::OK, |state| state),
        Command::Help => idle(state, session, replies::HELP, |state| state),
        Command::Expand => (session.refuse(state, replies::EXPN_UNAVAILABLE), None),
        Command::Quit => (session.close(state, replies::GOODBYE), None),
        Command::Unknown => (session.refuse(state, replies::UNKNOWN_COMMAND), None),
    }
}

/// A command that is always right, but not for ever.
fn idle(state: State, session: &mut Session, reply: &'static str, then: impl Fn(State) -> State) -> Turn {
    match session.count_idle(state) {
        Err(closing) => (closing, None),
        Ok(state) => {
            session.say(reply);
            (then(state), None)
        }
    }
}

fn hello(state: State, session: &mut Session, name: &str, esmtp: bool) -> Turn {
    let state = match session.count_idle(state) {
        Err(closing) => return (closing, None),
        Ok(state) if name.is_empty() => return (session.refuse(state, replies::NO_NAME), None),
        Ok(state) => state,
    };
    session.set_argument(name);
    (State::Deciding(Question::Hello { esmtp, before: state.into_envelope() }), Some(Next::Hello { esmtp }))
}

fn verify(state: State, session: &mut Session, argument: &str) -> Turn {
    let state = match session.count_idle(state) {
        Err(closing) => return (closing, None),
        Ok(state) if argument.is_empty() => return (session.refuse(state, replies::VRFY_SYNTAX), None),
        Ok(state) => state,
    };
    session.set_argument(argument);
    (State::Deciding(Question::Verify { before: state.into_envelope() }), Some(Next::Verify))
}

fn start_tls(state: State, session: &mut Session, argument: &str) -> Turn {
    let refusal = if session.tls {
        replies::TLS_ALREADY
    } else if !session.may_start_tls() {
        replies::STARTTLS_UNAVAILABLE
    } else if !argument.is_empty() {
        replies::NO_ARGUMENT_EXPECTED
    } else if !matches!(state, State::Idle) {
        replies::NOT_IN_TRANSACTION
    } else {
        return (State::Deciding(Question::StartTls), Some(Next::StartTls));
    };
    (session.refuse(state, refusal), None)
}
