//! After MAIL: recipients are named, then content begins.

use super::chunks::{Chunk, Swallow};
use super::command;
use super::question::Question;
use super::replies;
use super::session::{Refusal, Session};
use super::state::{State, Turn};
use super::step::Next;
use crate::address::split_path;
use crate::{
    AddressError, BodyType, EnhancedStatus, ForwardPath, MailParameters, ParametersError, RcptParameters, Reply,
    ReversePath,
};

/// RFC 3463 §3.2
const BAD_SENDER: EnhancedStatus = EnhancedStatus::new(5, 1, 7);
const BAD_RECIPIENT: EnhancedStatus = EnhancedStatus::new(5, 1, 3);

/// A transaction. Paths and parameters are with the driver; here is what the protocol itself must know.
#[derive(Debug)]
pub(super) struct Envelope {
    body: BodyType,
    smtputf8: bool,
    recipients: usize,
    message: Message,
}

/// How far a message has come that is sent with BDAT.
#[derive(Debug)]
enum Message {
    NotBegun,
    /// With so many octets so far.
    Begun(u64),
    /// Nothing but RSET helps (RFC 3030 §2). The refusal, if it has not been said yet.
    Refused(Option<Reply>),
}

impl Envelope {
    /// MAIL, in no transaction.
    pub(super) fn mail(session: &mut Session, argument: &str) -> Turn {
        if let Some(refusal) = Self::too_early(session) {
            return (session.refuse(State::Idle, refusal), None);
        }
        if session.has_had_its_messages() {
            return (session.close(State::Idle, replies::TOO_MANY_MESSAGES), None);
        }
        match read_mail(session, argument) {
            Err(refusal) => (session.refuse(State::Idle, refusal), None),
            Ok((reverse_path, parameters)) => {
                let envelope = Self {
                    body: parameters.body,
                    smtputf8: parameters.smtputf8,
                    recipients: 0,
                    message: Message::NotBegun,
                };
                (State::Deciding(Question::Mail(envelope)), Some(Next::Mail(reverse_path, parameters)))
            }
        }
    }

    fn too_early(session: &Session) -> Option<&'static str> {
        if session.must_start_tls() {
            return Some(replies::TLS_FIRST);
        }
        (!session.greeted).then_some(replies::HELLO_FIRST)
    }

    pub(super) fn rcpt(self, session: &mut Session, argument: &str) -> Turn {
        if !matches!(self.message, Message::NotBegun) {
            return (session.refuse(State::Envelope(self), replies::IN_CHUNKS), None);
        }
        match read_rcpt(session, argument, self.smtputf8) {
            Err(refusal) => (session.refuse(State::Envelope(self), refusal), None),
            Ok(_) if self.recipients >= session.settings.limits.recipients => {
                (session.refuse_uncounted(State::Envelope(self), replies::TOO_MANY_RECIPIENTS), None)
            }
            Ok((path, parameters)) => (State::Deciding(Question::Rcpt(self)), Some(Next::Rcpt(path, parameters))),
        }
    }

    pub(super) fn data(self, session: &mut Session, argument: &str) -> Turn {
        let refusal = if !argument.is_empty() {
            replies::NO_ARGUMENT_EXPECTED
        } else if !matches!(self.message, Message::NotBegun) {
            replies::IN_CHUNKS
        } else if self.body == BodyType::BinaryMime {
            replies::BINARY_NEEDS_BDAT
        } else if self.recipients == 0 {
            replies::NO_RECIPIENTS
        } else {
            return (State::Deciding(Question::Data(self)), Some(Next::Begin));
        };
        (session.refuse(State::Envelope(self), refusal), None)
    }

    /// A BDAT of `size` octets; they follow whatever we say, and must not be taken for commands.
    pub(super) fn bdat(mut self, size: u64, last: bool) -> Turn {
        let swallow = |envelope, refusal: Refusal| (Swallow::state(Some(envelope), size, refusal), None);
        match &mut self.message {
            Message::Refused(reply) => {
                let refusal = reply.take().map_or(replies::CHUNK_AFTER_REFUSAL.into(), Refusal::Given);
                swallow(self, refusal)
            }
            Message::NotBegun if self.recipients == 0 => swallow(self, replies::NO_RECIPIENTS.into()),
            Message::NotBegun => (State::Deciding(Question::Chunk(Chunk::new(self, size, last))), Some(Next::Begin)),
            Message::Begun(_) => (State::Chunk(Chunk::new(self, size, last)), None),
        }
    }

    pub(super) fn recipients(&self) -> usize {
        self.recipients
    }

    pub(super) fn with_recipient(self) -> Self {
        Self { recipients: self.recipients + 1, ..self }
    }

    pub(super) fn is_begun(&self) -> bool {
        matches!(self.message, Message::Begun(_))
    }

    /// Octets that came with BDAT so far.
    pub(super) fn octets(&self) -> u64 {
        if let Message::Begun(octets) = self.message { octets } else { 0 }
    }

    pub(super) fn with_octets(self, octets: u64) -> Self {
        Self { message: Message::Begun(octets), ..self }
    }

    /// No further BDAT will do. `reply`: what the next one is to hear, if none has heard it yet.
    pub(super) fn refused(self, reply: Option<Reply>) -> Self {
        Self { message: Message::Refused(reply), ..self }
    }
}

fn read_mail(session: &Session, argument: &str) -> Result<(ReversePath, MailParameters), Refusal> {
    let text = command::after_keyword(argument, "FROM").ok_or(replies::MAIL_SYNTAX)?;
    let wrong_path = |error| bad_path(BAD_SENDER, error);
    let (path, rest) = split_path(text).map_err(wrong_path)?;
    let reverse_path: ReversePath = path.parse().map_err(wrong_path)?;
    let parameters = MailParameters::parse(rest).map_err(bad_parameters)?;
    let settings = &session.settings;
    let not_offered = [
        (!settings.dsn && parameters.ret.is_some(), "RET"),
        (!settings.dsn && parameters.envid.is_some(), "ENVID"),
        (!settings.smtputf8 && parameters.smtputf8, "SMTPUTF8"),
        (!settings.chunking && parameters.body == BodyType::BinaryMime, "BODY=BINARYMIME"),
    ];
    refuse_unoffered(&not_offered)?;
    let is_ascii = reverse_path.is_ascii() && rest.is_ascii();
    if !is_ascii && !parameters.smtputf8 {
        return Err(replies::NEEDS_SMTPUTF8.into());
    }
    if parameters.size.is_some_and(|size| settings.is_too_large(size)) {
        return Err(replies::TOO_LARGE.into());
    }
    Ok((reverse_path, parameters))
}

fn read_rcpt(session: &Session, argument: &str, smtputf8: bool) -> Result<(ForwardPath, RcptParameters), Refusal> {
    let text = command::after_keyword(argument, "TO").ok_or(replies::RCPT_SYNTAX)?;
    let wrong_path = |error| bad_path(BAD_RECIPIENT, error);
    let (path, rest) = split_path(text).map_err(wrong_path)?;
    let forward_path: ForwardPath = path.parse().map_err(wrong_path)?;
    let parameters = RcptParameters::parse(rest).map_err(bad_parameters)?;
    let dsn = session.settings.dsn;
    refuse_unoffered(&[
        (!dsn && parameters.notify.is_some(), "NOTIFY"),
        (!dsn && parameters.orcpt.is_some(), "ORCPT"),
    ])?;
    let is_ascii = forward_path.is_ascii() && rest.is_ascii();
    if !is_ascii && !smtputf8 {
        return Err(replies::NEEDS_SMTPUTF8.into());
    }
    Ok((forward_path, parameters))
}

fn refuse_unoffered(parameters: &[(bool, &'static str)]) -> Result<(), Refusal> {
    match parameters.iter().find(|(used, _)| *used) {
        None => Ok(()),
        Some((_, keyword)) => {
            Err(Reply::new(555, EnhancedStatus::new(5, 5, 4), format!("{keyword} is not offered here")).into())
        }
    }
}

fn bad_path(status: EnhancedStatus, error: AddressError) -> Refusal {
    Reply::new(501, status, format!("Bad address: {error}")).into()
}

/// 501 for a value that cannot be, 555 for a keyword that we do not know (RFC 5321 §4.1.1.11).
fn bad_parameters(error: ParametersError) -> Refusal {
    let code = if matches!(error, ParametersError::Unknown(_)) { 555 } else { 501 };
    Reply::new(code, EnhancedStatus::new(5, 5, 4), capitalised(&error)).into()
}

fn capitalised(error: &ParametersError) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
