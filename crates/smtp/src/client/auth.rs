//! The dialogue of one AUTH.

use std::vec::IntoIter;

use crate::{Credentials, Mechanism};

/// RFC 5321 §4.5.3.1.4, CRLF included. Servers may hold the AUTH command to it (RFC 4954 §4).
const COMMAND_OCTETS: usize = 512;

/// What is still to be said.
pub(super) struct Exchange {
    responses: IntoIter<String>,
    /// An error in JSON may come once as a 334, and is answered with an empty line.
    may_fail_with_334: bool,
}

impl Exchange {
    /// With the command that begins it.
    pub(super) fn new(credentials: &Credentials) -> (Self, String) {
        let mechanism = credentials.mechanism();
        let mut responses = credentials.responses().into_iter();
        let mut command = format!("AUTH {mechanism}");
        let first = responses.as_slice().first().map_or(0, String::len);
        if mechanism != Mechanism::Login && command.len() + " \r\n".len() + first <= COMMAND_OCTETS {
            command.extend(responses.next().map(|response| format!(" {response}")));
        }
        (Self { responses, may_fail_with_334: mechanism == Mechanism::XOAuth2 }, command)
    }

    /// The answer to a 334; `None` if there is nothing to say to it.
    pub(super) fn respond(&mut self) -> Option<String> {
        let response = self.responses.next();
        response.or_else(|| std::mem::take(&mut self.may_fail_with_334).then(String::new))
    }
}
