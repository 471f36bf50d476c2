//! Faults on demand: where one strikes, whom, what it does, how often.
//!
//! They come from the control API or the lib ([`Fault`]), or from the recipient's address (`address`). Whoever serves a
//! step asks [`Faults::take`] and does what it is told before, or in place of, what it would do.

mod address;
mod list;

use serde::{Deserialize, Serialize};
use smtp::{EnhancedStatus, Reply, ReplyCode};

use crate::ca::TlsFault;
pub(crate) use address::AddressFault;
pub use list::ActiveFault;
pub(crate) use list::{Circumstance, Faults, Struck};

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A client connected; in place of the greeting.
    Connect,
    /// EHLO or HELO, also the one after STARTTLS.
    Hello,
    /// The command STARTTLS.
    Starttls,
    /// The TLS handshake after it.
    Tls,
    /// AUTH, once the credentials are there.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA or the first BDAT.
    Data,
    /// While the content arrives.
    Content,
    /// The end of the content.
    End,
    /// A request at the token endpoint.
    Token,
    /// The TLS handshake of the token endpoint.
    TokenTls,
}

/// What a fault does. Without one, only its delay works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// This reply, as on the wire: `451 4.7.0 Temporary server error`. Lines are parted by LF. At `end`, a 2yz stores
    /// the message, another does not.
    Reply(String),
    /// At `end`: the message is stored, and the reply says this all the same.
    StoreThenReply(String),
    /// The connection is closed without a word. At `end` the message is not stored.
    Disconnect,
    /// At `end`: the message is stored, then the connection is closed without a word.
    StoreThenDisconnect,
    /// The connection is closed after so many more octets from the client, from `connect` or `content` on.
    DisconnectAfter(u64),
    /// Only so many octets of the usual reply are sent, then the connection is closed.
    CutReply(usize),
    /// The handshake fails like this.
    Tls(TlsFault),
    /// At `token`: Entra's refusal of this number.
    Aadsts(u32),
    /// At `token`: this OAuth error, with nothing else.
    Oauth(String),
    /// At `token`: this HTTP status and an empty body.
    Http(u16),
    /// At `token`: status 200 and a body that is no JSON.
    Garbage,
}

/// A fault. As JSON: `{"at": "end", "do": {"reply": "451 4.7.0 Temporary server error"}, "recipient": "*@slow.test", "times": 2}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Where.
    pub at: Step,
    /// What.
    #[serde(rename = "do", default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// How long to wait first, in real time; at `content`: after the 354, before anything is read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// Only for this signed-in mailbox (the user that tries to sign in, at `auth`; the client id, at `token`). `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    /// Only for this recipient; at `data` and later, if any accepted recipient fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Only for this reverse-path, `` for the null one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse_path: Option<String>,
    /// Lets so many pass first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: u64,
    /// Strikes so often, then is gone; absent: until it is cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Fault {
    /// At this step, for everybody, until cleared, doing nothing yet.
    pub fn at(step: Step) -> Self {
        Self {
            at: step,
            action: None,
            delay_ms: 0,
            mailbox: None,
            recipient: None,
            reverse_path: None,
            skip: 0,
            times: None,
        }
    }
    /// Sets what it does.
    pub fn action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }
    /// Answers with this reply.
    pub fn reply(self, reply: &str) -> Self {
        self.action(Action::Reply(reply.to_owned()))
    }
    /// Waits first.
    pub fn delay(mut self, delay: std::time::Duration) -> Self {
        self.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }
    /// Only for this mailbox.
    pub fn mailbox(mut self, pattern: &str) -> Self {
        self.mailbox = Some(pattern.to_owned());
        self
    }
    /// Only for this recipient.
    pub fn recipient(mut self, pattern: &str) -> Self {
        self.recipient = Some(pattern.to_owned());
        self
    }
    /// Only for this reverse-path.
    pub fn reverse_path(mut self, pattern: &str) -> Self {
        self.reverse_path = Some(pattern.to_owned());
        self
    }
    /// Lets so many pass first.
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }
    /// Strikes so often.
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }
    /// Strikes once.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Whether the action can be done at the step.
    pub(crate) fn check(&self) -> Result<(), FaultError> {
        let Some(action) = &self.action else {
            return if self.delay_ms > 0 { Ok(()) } else { Err(FaultError::Nothing) };
        };
        let question = !matches!(self.at, Step::Tls | Step::Content | Step::Token | Step::TokenTls);
        let fits = match action {
            Action::Reply(text) | Action::StoreThenReply(text) => {
                let reply = parse_reply(text)?;
                let right_digit = self.at != Step::End || !reply.code.is_intermediate();
                let stores = matches!(action, Action::StoreThenReply(_));
                question && right_digit && (!stores || self.at == Step::End)
            }
            Action::Disconnect => !matches!(self.at, Step::Tls | Step::TokenTls),
            Action::StoreThenDisconnect => self.at == Step::End,
            Action::DisconnectAfter(_) => matches!(self.at, Step::Connect | Step::Content),
            Action::CutReply(_) => question,
            Action::Tls(_) => matches!(self.at, Step::Tls | Step::TokenTls),
            Action::Aadsts(_) | Action::Oauth(_) | Action::Garbage => self.at == Step::Token,
            Action::Http(status) => self.at == Step::Token && (200..=599).contains(status),
        };
        if fits { Ok(()) } else { Err(FaultError::Misplaced) }
    }
}

/// Why a fault is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Neither action nor delay.
    #[error("the fault does nothing: give it \"do\" or \"delay_ms\"")]
    Nothing,
    /// Action and step do not go together.
    #[error("this action cannot be done at this step: see the table of faults in the help")]
    Misplaced,
    /// Not a reply.
    #[error("not an SMTP reply: {0:?}; write it as on the wire, like \"451 4.7.0 Temporary server error\"")]
    Reply(String),
    /// Too many.
    #[error("there are {0} faults already: clear some")]
    TooMany(usize),
}

/// A reply as written by a person: `550 5.1.1 text`, lines parted by LF, the enhanced status code being optional.
pub(crate) fn parse_reply(text: &str) -> Result<Reply, FaultError> {
    let wrong = || FaultError::Reply(text.to_owned());
    let mut whole: Option<Reply> = None;
    for line in text.lines() {
        let (code, rest) = line.split_at_checked(3).ok_or_else(wrong)?;
        let code = code.parse().ok().and_then(ReplyCode::new).ok_or_else(wrong)?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix([' ', '-']).ok_or_else(wrong)? };
        let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let (status, line) = match first.parse::<EnhancedStatus>() {
            Ok(status) => (Some(status), after),
            Err(_) => (None, rest),
        };
        match &mut whole {
            None => whole = Some(Reply { code, status, lines: vec![line.to_owned().into()] }),
            Some(reply) if reply.code == code => reply.lines.push(line.to_owned().into()),
            Some(_) => return Err(wrong()),
        }
    }
    whole.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_as_written_on_the_wire() {
        let reply = parse_reply("550 5.7.1 no\n550 5.7.1 never").unwrap();
        assert_eq!(reply.code.get(), 550);
        assert_eq!(reply.status, Some(EnhancedStatus::new(5, 7, 1)));
        assert_eq!(reply.lines, ["no", "never"]);
        assert_eq!(parse_reply("421 bye now").unwrap().status, None);
        for wrong in ["", "no", "99 x", "600 x", "550_x", "550 5.7.1 a\n551 5.7.1 b"] {
            assert_eq!(parse_reply(wrong), Err(FaultError::Reply(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn an_action_that_the_step_cannot_do_is_refused() {
        let stored = Action::StoreThenDisconnect;
        for (fault, fits) in [
            (Fault::at(Step::End).action(stored.clone()), true),
            (Fault::at(Step::Rcpt).action(stored), false),
            (Fault::at(Step::Token).reply("451 4.7.0 x"), false),
            (Fault::at(Step::Token).action(Action::Aadsts(7000222)), true),
            (Fault::at(Step::Mail).action(Action::Aadsts(7000222)), false),
            (Fault::at(Step::Token).action(Action::Oauth("invalid_client".to_owned())), true),
            (Fault::at(Step::Auth).action(Action::Oauth("invalid_client".to_owned())), false),
            (Fault::at(Step::Tls).action(Action::Tls(TlsFault::Close)), true),
            (Fault::at(Step::Content).action(Action::DisconnectAfter(10)), true),
            (Fault::at(Step::End).reply("354 go on"), false),
            (Fault::at(Step::Connect).reply("no reply"), false),
            (Fault::at(Step::Connect), false),
            (Fault::at(Step::Connect).delay(std::time::Duration::from_millis(1)), true),
        ] {
            assert_eq!(fault.check().is_ok(), fits, "{fault:?}");
        }
    }

    #[test]
    fn a_misspelt_key_is_an_error_and_not_passed_over() {
        let wrong = r#"{"at": "end", "do": "disconnect", "recipients": "x"}"#;
        assert!(serde_json::from_str::<Fault>(wrong).is_err());
        let right = r#"{"at": "end", "do": {"reply": "451 4.7.0 later"}, "times": 2}"#;
        let fault: Fault = serde_json::from_str(right).unwrap();
        assert_eq!(fault, Fault::at(Step::End).reply("451 4.7.0 later").times(2));
    }
}
