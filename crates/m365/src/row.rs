//! One row of the catalogue: an answer, what it means, whose move it is.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::matching::{CodePattern, ReplyPattern};

/// Who gives the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// An SMTP reply, live or quoted in a report.
    Smtp,
    /// Microsoft Graph.
    Graph,
    /// The token endpoint.
    Entra,
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Final for this message or recipient.
    Permanent,
    /// Passes by itself.
    Transient,
    /// Too much, too fast.
    Throttle,
    /// Credentials.
    Auth,
    /// Set-up, on our side or in the tenant.
    Config,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Keep in the queue, try again with growing waits.
    Retry,
    /// Less rate and concurrency on this path, then try again.
    SlowDown,
    /// Pause the whole path, keep its mail, alert.
    StopRoute,
    /// Pause this sender (mailbox) on the path, keep its mail, alert.
    StopSender,
    /// Take the next path; where there is none, see [`Verdict::without_other_path`](crate::Verdict::without_other_path).
    SwitchRoute,
    /// Give up for this recipient or message and report to the sender.
    Bounce,
    /// Discard the cached token, take a fresh one, try once more; then stop the path.
    RefreshToken,
    /// Send to the remaining recipients in smaller transactions.
    Split,
}

/// Who has to do something so that such mail goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// The administrator of this relay.
    Relay,
    /// The administrator of the tenant.
    Tenant,
    /// The administrator of the recipient's side.
    Recipient,
    /// Whoever wrote the message, or set the device up that did.
    Sender,
    /// Microsoft.
    Microsoft,
    /// It passes by itself.
    Nobody,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relay => "the administrator of this relay",
            Self::Tenant => "the administrator of the tenant",
            Self::Recipient => "the administrator of the recipient's side",
            Self::Sender => "whoever sends it, or set the device up",
            Self::Microsoft => "Microsoft",
            Self::Nobody => "nobody: it passes by itself",
        })
    }
}

/// What a refusal is about, where it is less than its action says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// The sender of this one message: mail of other senders goes on.
    Sender,
    /// A recipient that gets too much: mail for others goes on.
    Recipient,
}

/// What stops when a refusal stops more than one message, in the order in which an attempt needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// The way to Microsoft: endpoint, network, TLS, connector.
    Path,
    /// The application and its secret or certificate, or a user and the password.
    Credential,
    /// The whole organisation.
    Tenant,
    /// The mailbox that is sent as.
    Mailbox,
}

/// What was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Excess {
    /// Connections, or messages under way, at once.
    Connections,
    /// Messages in a time.
    Messages,
    /// Recipients in a time.
    Recipients,
    /// Of them those outside the tenant.
    External,
    /// Of these those whose sender is under `onmicrosoft.com`.
    ExternalUnderProviderDomain,
    /// Microsoft does not say.
    Unknown,
}

/// On which way an SMTP answer is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// Authenticated submission, port 587.
    Submission,
    /// The tenant's MX host.
    Mx,
    /// The MX host, through an inbound connector.
    Connector,
    /// The MX host, anonymously.
    Direct,
    /// High Volume Email.
    Hve,
    /// Onward delivery inside Microsoft 365.
    Delivery,
    /// Only in a non-delivery report.
    Ndr,
    /// Anywhere. Asked about, it means a server of which nothing is known: only rows that hold anywhere apply.
    Any,
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Microsoft's documentation or blog.
    Doc,
    /// Public logs and issue threads.
    Field,
    /// Not confirmed: a hint.
    Recall,
}

/// The page that a fact is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The page's title.
    pub title: String,
    /// Where it is, if it has an address of its own.
    pub address: Option<String>,
    /// The date of the page or of the copy that was read, as far as known.
    pub date: Option<String>,
}

/// One row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// `5.7.139`, a range `5.7.700-749`, `*`; `AADSTS7000222`; `ErrorSendAsDenied`.
    pub code: String,
    /// The usual reply code, HTTP status or OAuth error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Who gives it.
    pub source: Source,
    /// What kind of trouble.
    pub class: Class,
    /// What to do.
    pub action: Action,
    /// What it is about; `None`: as the action says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// What it stops, where action and class do not say it; see [`Row::breaker`].
    #[serde(skip)]
    pub(crate) own_breaker: Option<Breaker>,
    /// What was too much, where it says so; see [`Row::excess`].
    #[serde(skip)]
    pub(crate) own_excess: Option<Excess>,
    /// The server's text, abbreviated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it means.
    pub meaning: String,
    /// Who does it.
    pub whose_move: Move,
    /// What a person does about it.
    pub fix: String,
    /// What else to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where it is met; [`Where::Any`] for Graph and Entra.
    #[serde(rename = "where")]
    pub where_: Where,
    /// How sure it is.
    pub evidence: Evidence,
    /// From which page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Arc<Reference>>,
    #[serde(skip)]
    pub(crate) pattern: CodePattern,
    #[serde(skip)]
    pub(crate) replies: ReplyPattern,
    #[serde(skip)]
    pub(crate) text_match: Option<TextMatch>,
}

impl Row {
    /// What it stops until somebody or something changes it. `None`: nothing, because it is about one message, one sender or
    /// one recipient, or because something was too much ([`Row::excess`]) and only has to become less.
    pub fn breaker(&self) -> Option<Breaker> {
        if self.about.is_some() || self.own_excess.is_some() {
            return None;
        }
        let credential = self.source == Source::Entra || self.class == Class::Auth;
        let usual = match self.action {
            Action::StopRoute if credential => Breaker::Credential,
            Action::StopRoute => Breaker::Path,
            Action::StopSender => Breaker::Mailbox,
            Action::RefreshToken => Breaker::Credential,
            // With no other path, trouble with our set-up stops this one: see `Verdict::without_other_path`.
            Action::SwitchRoute if self.class == Class::Config => Breaker::Path,
            Action::SwitchRoute | Action::Retry | Action::SlowDown | Action::Bounce | Action::Split => return None,
        };
        Some(self.own_breaker.unwrap_or(usual))
    }

    /// What was too much, if anything of ours was. The token endpoint counts requests for tokens, not mail: `None`. So it is
    /// where one recipient gets too much ([`About::Recipient`]): the lane does not.
    pub fn excess(&self) -> Option<Excess> {
        let mail = self.about.is_none() && self.source != Source::Entra;
        let unsaid = (self.action == Action::SlowDown).then_some(Excess::Unknown);
        self.own_excess.or(unsaid).filter(|_| mail)
    }

    /// What to do, with what else to know.
    pub fn remedy(&self) -> String {
        match &self.note {
            Some(note) => format!("{} {note}", self.fix),
            None => self.fix.clone(),
        }
    }

    /// Whether the text agrees with the row's expression. A row without one agrees with everything.
    pub(crate) fn agrees(&self, text: &str) -> bool {
        self.text_match.as_ref().is_none_or(|found| found.is_in(text))
    }
}

/// `5.7.139: what it means What to do.`
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.code, self.meaning, self.remedy())
    }
}

/// An expression, compiled when it is first needed: most are never met in a process's life.
#[derive(Debug)]
pub(crate) struct TextMatch {
    expression: String,
    compiled: OnceLock<Option<Regex>>,
}

impl TextMatch {
    pub(crate) fn new(expression: String) -> Self {
        Self { expression, compiled: OnceLock::new() }
    }

    /// An expression that does not compile is nowhere; a test compiles those of the built-in table.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.expression)).as_ref()
    }
}

/// ASCII classes only: smaller by far, and the texts are Microsoft's English.
fn compile(expression: &str) -> Option<Regex> {
    RegexBuilder::new(expression).case_insensitive(true).unicode(false).build().ok()
}
