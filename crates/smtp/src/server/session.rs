//! What all states of a session share: what it has become (encrypted, greeted, authenticated), what it has used up, and
//! the bytes on their way out.

use std::borrow::Cow;
use std::sync::Arc;

use super::replies::{TOO_MANY_AUTH_FAILURES, TOO_MANY_ERRORS, TOO_MANY_IDLE_COMMANDS};
use super::settings::{Settings, StartTls};
use super::state::State;
use crate::{Reply, ReplyParser};

/// RFC 4954 §4
const AUTH_LINE_OCTETS: usize = 12_288;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) tls: bool,
    /// EHLO or HELO was accepted.
    pub(super) greeted: bool,
    pub(super) authenticated: bool,
    pub(super) output: Vec<u8>,
    /// Of the EHLO or VRFY that is being decided.
    pub(super) argument: String,
    /// What we refused by ourselves, and how often in a row.
    pub(super) refusals: Vec<(Reply, usize)>,
    messages: usize,
    errors: usize,
    idle_commands: usize,
    auth_failures: usize,
}

/// Refusals that the driver has not asked for yet; more are not kept.
const REFUSALS_KEPT: usize = 64;

/// A reply from our stock, one that we made, or the driver's.
#[derive(Debug)]
pub(super) enum Refusal {
    Fixed(&'static str),
    Made(Reply),
    Given(Reply),
}

impl From<&'static str> for Refusal {
    fn from(line: &'static str) -> Self {
        Self::Fixed(line)
    }
}
impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self::Made(reply)
    }
}

impl Refusal {
    fn closes(&self) -> bool {
        match self {
            Self::Fixed(line) => line.starts_with("421"),
            Self::Made(reply) | Self::Given(reply) => reply.code.get() == 421,
        }
    }
}

/// A line of `replies` as a value.
fn read(line: &'static str) -> Option<Reply> {
    ReplyParser::new().push(format!("{line}\r\n").as_bytes()).ok()?.1
}

impl Session {
    pub(super) fn new(settings: Arc<Settings>, tls: bool) -> Self {
        Self {
            settings,
            tls,
            greeted: false,
            authenticated: false,
            output: Vec::new(),
            argument: String::new(),
            refusals: Vec::new(),
            messages: 0,
            errors: 0,
            idle_commands: 0,
            auth_failures: 0,
        }
    }

    /// After the handshake nothing said before it counts (RFC 3207 §4.2), except how often the peer has erred.
    pub(super) fn start_anew(&mut self) {
        self.tls = true;
        self.greeted = false;
        self.authenticated = false;
        self.argument = String::new();
    }

    /// Controls beyond ASCII get through the check of the line; here they end.
    pub(super) fn set_argument(&mut self, argument: &str) {
        self.argument.clear();
        self.argument.extend(argument.chars().map(|it| if it.is_control() { '?' } else { it }));
    }

    pub(super) fn say(&mut self, line: &'static str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Always in ASCII: a peer that has not asked for SMTPUTF8 cannot read anything else (RFC 6531 §3.7.4), and others can.
    pub(super) fn say_given(&mut self, reply: Reply) {
        reply.in_ascii().write(&mut self.output);
    }

    /// Says the driver's reply, or ours if it has none.
    pub(super) fn say_or(&mut self, given: Option<Reply>, standard: &'static str) {
        match given {
            Some(reply) => self.say_given(reply),
            None => self.say(standard),
        }
    }

    /// Refuses a command, after which the session is in `state`; or closes it, if this was one too many or the reply says so.
    pub(super) fn refuse(&mut self, state: State, refusal: impl Into<Refusal>) -> State {
        self.errors += 1;
        if self.errors > self.settings.limits.errors {
            return self.close(state, TOO_MANY_ERRORS);
        }
        self.refuse_uncounted(state, refusal)
    }

    /// For refusals that are not the peer's fault.
    pub(super) fn refuse_uncounted(&mut self, state: State, refusal: impl Into<Refusal>) -> State {
        let refusal = refusal.into();
        let state = if refusal.closes() { state.closing() } else { state };
        match refusal {
            Refusal::Fixed(line) => {
                self.say(line);
                self.note(read(line));
            }
            Refusal::Made(reply) => {
                self.say_given(reply.clone());
                self.note(Some(reply));
            }
            Refusal::Given(reply) => self.say_given(reply),
        }
        state
    }

    /// For the driver, who knows only of its own refusals.
    fn note(&mut self, refusal: Option<Reply>) {
        let Some(reply) = refusal else { return };
        if let Some((_, times)) = self.refusals.last_mut().filter(|(last, _)| *last == reply) {
            *times += 1;
        } else if self.refusals.len() < REFUSALS_KEPT {
            self.refusals.push((reply, 1));
        }
    }

    pub(super) fn refuse_auth(&mut self, state: State, reply: Reply) -> State {
        if reply.code.is_permanent() {
            self.auth_failures += 1;
        }
        if self.auth_failures > self.settings.limits.auth_failures {
            return self.close(state, TOO_MANY_AUTH_FAILURES);
        }
        self.refuse(state, Refusal::Given(reply))
    }

    /// Says a last line.
    pub(super) fn close(&mut self, state: State, line: &'static str) -> State {
        self.say(line);
        if !line.starts_with('2') {
            self.note(read(line));
        }
        state.closing()
    }

    /// Counts a command that brings no message forward. `Err` if it was one too many: the session is closing.
    pub(super) fn count_idle(&mut self, state: State) -> Result<State, State> {
        self.idle_commands += 1;
        if self.idle_commands > self.settings.limits.idle_commands {
            return Err(self.close(state, TOO_MANY_IDLE_COMMANDS));
        }
        Ok(state)
    }

    pub(super) fn count_message(&mut self) {
        self.messages += 1;
        self.errors = 0;
        self.idle_commands = 0;
    }

    pub(super) fn has_had_its_messages(&self) -> bool {
        self.messages >= self.settings.limits.messages
    }

    /// How long the line that begins so may be.
    pub(super) fn line_limit(&self, beginning: &[u8]) -> usize {
        let is_auth = beginning.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
        if is_auth { self.response_limit() } else { self.settings.limits.command_line }
    }

    pub(super) fn response_limit(&self) -> usize {
        self.settings.limits.command_line.max(AUTH_LINE_OCTETS)
    }

    pub(super) fn must_start_tls(&self) -> bool {
        self.settings.starttls == StartTls::Required && !self.tls
    }

    pub(super) fn may_start_tls(&self) -> bool {
        self.settings.starttls != StartTls::Unavailable && !self.tls
    }

    fn may_authenticate(&self) -> bool {
        let encrypted_enough = self.tls || (self.settings.auth_without_tls && !self.must_start_tls());
        encrypted_enough && !self.authenticated && !self.settings.mechanisms.is_empty()
    }

    /// The reply to EHLO: who we are (or the lines given), then exactly what this session may use now.
    pub(super) fn say_extensions(&mut self, given: Option<Reply>) {
        let mut reply = given.unwrap_or_else(|| Reply::plain(250, self.settings.hostname.clone()));
        reply.lines.extend(self.extensions());
        // RFC 2034 §4: no enhanced status codes in the reply to EHLO.
        self.say_given(Reply { status: None, ..reply });
    }

    /// In the order in which Exchange Online says it.
    fn extensions(&self) -> Vec<Cow<'static, str>> {
        let Settings { mechanisms, limits, chunking, .. } = &*self.settings;
        let keywords: Vec<_> = mechanisms.iter().map(|mechanism| mechanism.keyword()).collect();
        let offers: [(bool, Cow<'static, str>); 11] = [
            (true, format!("SIZE {}", self.settings.size).into()),
            (true, "PIPELINING".into()),
            (self.settings.dsn, "DSN".into()),
            (true, "ENHANCEDSTATUSCODES".into()),
            (self.may_start_tls(), "STARTTLS".into()),
            (self.may_authenticate(), format!("AUTH {}", keywords.join(" ")).into()),
            (true, "8BITMIME".into()),
            (*chunking, "BINARYMIME".into()),
            (*chunking, "CHUNKING".into()),
            (self.settings.smtputf8, "SMTPUTF8".into()),
            (
                self.settings.advertise_limits,
                format!("LIMITS RCPTMAX={} MAILMAX={}", limits.recipients, limits.messages).into(),
            ),
        ];
        offers.into_iter().filter_map(|(offered, line)| offered.then_some(line)).collect()
    }
}
