//! AUTH (RFC 4954): PLAIN, LOGIN and XOAUTH2, with and without initial response.

use super::question::Question;
use super::replies;
use super::session::Session;
use super::state::{State, Turn};
use super::step::Next;
use crate::auth::decode;
use crate::{Credentials, Mechanism};

/// Which response is due.
#[derive(Debug)]
pub(super) enum Exchange {
    Plain,
    Username,
    /// After the user name.
    Password(String),
    XOAuth2,
}

/// The command AUTH.
pub(super) fn auth(state: State, session: &mut Session, argument: &str) -> Turn {
    let (keyword, initial_response) = argument.split_once([' ', '\t']).unwrap_or((argument, ""));
    let mechanism = match permitted(&state, session, keyword) {
        Ok(mechanism) => mechanism,
        Err(refusal) => return (session.refuse(state, refusal), None),
    };
    let exchange = match mechanism {
        Mechanism::Plain => Exchange::Plain,
        Mechanism::Login => Exchange::Username,
        Mechanism::XOAuth2 => Exchange::XOAuth2,
    };
    match initial_response.trim_start_matches([' ', '\t']) {
        "" => exchange.prompt(session),
        // RFC 4954 §4: a single "=" is an initial response of no octets.
        "=" => exchange.decoded(session, String::new()),
        response => exchange.response(session, response),
    }
}

fn permitted(state: &State, session: &Session, keyword: &str) -> Result<Mechanism, &'static str> {
    let settings = &session.settings;
    if settings.mechanisms.is_empty() {
        return Err(replies::AUTH_UNAVAILABLE);
    }
    if session.must_start_tls() {
        return Err(replies::TLS_FIRST);
    }
    if !session.tls && !settings.auth_without_tls {
        return Err(replies::AUTH_NEEDS_TLS);
    }
    if !session.greeted {
        return Err(replies::HELLO_FIRST);
    }
    if session.authenticated {
        return Err(replies::AUTHENTICATED_ALREADY);
    }
    if !matches!(state, State::Idle) {
        return Err(replies::NOT_IN_TRANSACTION);
    }
    if keyword.is_empty() {
        return Err(replies::AUTH_SYNTAX);
    }
    let known = Mechanism::from_keyword(keyword).filter(|mechanism| settings.mechanisms.contains(mechanism));
    known.ok_or(replies::UNKNOWN_MECHANISM)
}

impl Exchange {
    fn prompt(self, session: &mut Session) -> Turn {
        session.say(match self {
            Self::Plain | Self::XOAuth2 => replies::EMPTY_PROMPT,
            Self::Username => replies::USERNAME_PROMPT,
            Self::Password(_) => replies::PASSWORD_PROMPT,
        });
        (State::Auth(self), None)
    }

    /// A line from the peer, as it came.
    pub(super) fn line(self, session: &mut Session, line: &[u8]) -> Turn {
        match std::str::from_utf8(line).map(str::trim_ascii) {
            Ok("*") => (session.refuse(State::Idle, replies::CANCELLED), None),
            Ok(response) => self.response(session, response),
            Err(_) => (session.refuse(State::Idle, replies::BAD_BASE64), None),
        }
    }

    fn response(self, session: &mut Session, response: &str) -> Turn {
        match decode(response) {
            Some(response) => self.decoded(session, response),
            None => (session.refuse(State::Idle, replies::BAD_BASE64), None),
        }
    }

    fn decoded(self, session: &mut Session, response: String) -> Turn {
        let credentials = match self {
            Self::Username => return Self::Password(response).prompt(session),
            Self::Password(username) => Some(Credentials::Login { username, password: response }),
            Self::Plain => Credentials::from_plain(&response),
            Self::XOAuth2 => Credentials::from_xoauth2(&response),
        };
        match credentials {
            Some(credentials) => (State::Deciding(Question::Authenticate), Some(Next::Authenticate(credentials))),
            None => (session.refuse(State::Idle, replies::BAD_RESPONSE), None),
        }
    }
}
