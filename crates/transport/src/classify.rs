//! What a refusal means: for the recipient, and for the lane.
//!
//! In: where the server said no, and its reply. Out: a ruling. Microsoft's submission is judged by the catalogue; any other
//! server, and what the catalogue does not know, by the first digit: a 5yz before MAIL is our trouble and pauses what
//! does not work, after it is a verdict on the message. Too much or too fast is neither: the lane slows down.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use m365::{About, Action, Breaker, Catalogue, Class, Row, Where};
use queue::{Counted, Excess, LaneVerdict, Outcome, Pause, RemoteReply, Scope, Throttle};
use smtp::client::Stage;
use smtp::{EnhancedStatus, Reply};

use crate::settings::SmtpKind;
use crate::throttle;

/// After a link fault, or a server that is not well.
pub(crate) const LINK_REST: Duration = Duration::from_secs(10);
/// After a throttle of which nobody knows what it is about.
const THROTTLE_WAIT: Duration = Duration::from_secs(60);
/// Too many submissions at once: gone as soon as one of them ends.
const CONCURRENCY_WAIT: Duration = Duration::from_secs(5);
/// A message for which a quota of the whole tenant left no room waits so long, so that the others go on.
const QUOTA_WAIT: Duration = Duration::from_secs(15 * 60);
/// What is paused is tried again after this …
pub(crate) const PROBE: Duration = Duration::from_secs(5 * 60);
/// … and a mailbox that Microsoft blocks for repeated errors after this.
pub(crate) const PROBE_BLOCKED: Duration = Duration::from_secs(30 * 60);
/// A message that goes as the mailbox itself, or as what a client's entry names, and is refused for its sender all the same
/// waits so long. Nothing else can be tried, and each try may count against the mailbox.
const SENDER_WAIT: Duration = Duration::from_secs(30 * 60);
/// A recipient that gets too much in an hour (`5.2.121`, `5.2.122`) …
const RECIPIENT_WAIT: Duration = Duration::from_secs(60 * 60);
/// … or at once (`432 … recipient thread limit`).
const RECIPIENT_BUSY_WAIT: Duration = Duration::from_secs(60);

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The recipient is tried again by the schedule.
    Retry,
    /// The lane rests.
    Rest(Duration),
    /// The lane slows down, and waits so long; `None`: until by what we know there is room.
    Throttle(Excess, Option<Duration>),
    /// What [`Ruling::scope`] says is paused, and probed after so long.
    Pause(Duration),
    /// The message alone waits so long, without counting; the lane goes on.
    SetAside(Duration),
    /// The mailbox may not send as this sender: it goes as another one, or is held. Never again as it was: Exchange counts
    /// such refusals, and after too many it blocks the mailbox, for everybody who sends through it and for a time that nobody
    /// can shorten (`550 5.2.252`).
    RefusedSender,
    /// Final.
    Bounce,
    /// Once more with a fresh token; if that was one, as `Pause`.
    RefreshToken,
    /// Fewer recipients at once.
    Split,
}

/// A judged refusal.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    pub(crate) what: What,
    /// What does not work, if it is paused.
    pub(crate) scope: Scope,
    /// Meaning and remedy, for the operator.
    pub(crate) hint: Option<String>,
    /// The remedy alone.
    pub(crate) remedy: Option<String>,
}

impl Ruling {
    /// The next transaction of this message would come to the same, and be one refusal more that is counted there.
    pub(crate) fn ends_attempt(&self) -> bool {
        match self.what {
            // Recipients inside the organisation may still get it.
            What::Throttle(Excess::Of(Counted::External | Counted::ExternalUnderProviderDomain), _) => false,
            What::Rest(_) | What::Throttle(..) | What::Pause(_) | What::RefreshToken => true,
            What::RefusedSender => true,
            What::SetAside(_) | What::Retry | What::Bounce | What::Split => false,
        }
    }
}

/// Which rules apply to a next hop.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) kind: SmtpKind,
    pub(crate) catalogue: Arc<Catalogue>,
}

impl Rules {
    /// `token`: we proved ourselves, or were about to, with an access token.
    pub(crate) fn judge(&self, stage: Stage, reply: &Reply, token: bool) -> Ruling {
        let verdict = match self.kind {
            SmtpKind::Submission => Some(self.catalogue.verdict(Where::Submission, stage, reply)),
            SmtpKind::Smarthost => None,
        };
        let row = verdict.and_then(|verdict| verdict.row);
        let token = token && stage == Stage::Auth;
        let what = match (verdict, row) {
            (Some(verdict), Some(row)) => by_row(verdict.without_other_path(), row, stage, reply, token),
            _ => by_words(reply).unwrap_or_else(|| by_digit(stage, reply, token)),
        };
        let hint = row.map(|row| format!("{} {}", row.meaning, row.fix));
        Ruling { what, scope: scope(row, stage, reply, token), hint, remedy: row.map(|row| row.fix.clone()) }
    }
}

fn before_mail(stage: Stage) -> bool {
    matches!(stage, Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth)
}

fn by_row(action: Action, row: &Row, stage: Stage, reply: &Reply, token: bool) -> What {
    match row.about {
        // One printer with a foreign sender, one recipient with too much mail must not stop the others.
        Some(About::Sender) if !before_mail(stage) => return What::RefusedSender,
        Some(About::Recipient) if !before_mail(stage) => return What::SetAside(recipient_wait(reply)),
        _ => {}
    }
    if let Some(excess) = row.excess() {
        return too_much(excess_of(excess), reply);
    }
    match action {
        Action::Retry if before_mail(stage) => What::Rest(LINK_REST),
        Action::Retry => retry(reply),
        Action::SlowDown => What::Rest(THROTTLE_WAIT),
        Action::RefreshToken if token => What::RefreshToken,
        Action::Split => What::Split,
        Action::Bounce if !before_mail(stage) => What::Bounce,
        Action::StopRoute | Action::StopSender | Action::RefreshToken | Action::SwitchRoute | Action::Bounce => {
            What::Pause(probe(row))
        }
    }
}

fn by_words(reply: &Reply) -> Option<What> {
    throttle::recognised(reply).map(|excess| too_much(excess, reply))
}

fn too_much(excess: Excess, reply: &Reply) -> What {
    let usual = match excess {
        Excess::Connections if reply.code.get() == 432 => Some(CONCURRENCY_WAIT),
        Excess::Connections | Excess::Unknown => Some(THROTTLE_WAIT),
        Excess::Of(_) => None,
    };
    What::Throttle(excess, throttle::asked_for(reply).or(usual))
}

fn by_digit(stage: Stage, reply: &Reply, token: bool) -> What {
    match (stage, reply.code.get()) {
        // A refusal of the session is never the message's fault.
        (Stage::Auth, 535) if token => What::RefreshToken,
        (_, 500..) if before_mail(stage) => What::Pause(PROBE),
        _ if before_mail(stage) => What::Rest(LINK_REST),
        (Stage::Rcpt, _) if too_many_recipients(reply) => What::Split,
        (Stage::Mail, 503) => What::Pause(PROBE),
        (Stage::Mail | Stage::Rcpt | Stage::Data, code) if wants_login(code) => What::Pause(PROBE),
        _ if reply.code.is_permanent() => What::Bounce,
        _ => retry(reply),
    }
}

/// RFC 4954 §6: nothing that a message could be blamed for.
fn wants_login(code: u16) -> bool {
    matches!(code, 530 | 534 | 535 | 538)
}

/// 421 is about the server, every other 4yz about the message.
fn retry(reply: &Reply) -> What {
    if reply.code.get() == 421 { What::Rest(LINK_REST) } else { What::Retry }
}

/// RFC 5321 §4.5.3.1.10: 452, and 552 from old servers.
fn too_many_recipients(reply: &Reply) -> bool {
    let status = reply.status.is_some_and(|status| (status.subject(), status.detail()) == (5, 3));
    matches!(reply.code.get(), 452 | 552 | 550)
        && (status || reply.text().to_ascii_lowercase().contains("too many recipients"))
}

/// What the refusal shows not to work: as the row says, else by how far we got.
fn scope(row: Option<&Row>, stage: Stage, reply: &Reply, token: bool) -> Scope {
    let told = row.and_then(Row::breaker);
    // Such a row is about tokens. A password that is refused is wrong as a rule.
    let password = stage == Stage::Auth && !token && row.is_some_and(|row| row.action == Action::RefreshToken);
    match told {
        _ if password => Scope::Credential,
        Some(Breaker::Path) => Scope::Path,
        Some(Breaker::Credential) => Scope::Credential,
        Some(Breaker::Tenant) => Scope::Tenant,
        Some(Breaker::Mailbox) => Scope::Mailbox,
        None => match stage {
            // The token was issued, so the application is in order: it may not send as this mailbox.
            Stage::Auth if token => Scope::Mailbox,
            Stage::Auth => Scope::Credential,
            Stage::Mail | Stage::Rcpt | Stage::Data if wants_login(reply.code.get()) => Scope::Credential,
            _ => Scope::Path,
        },
    }
}

fn excess_of(excess: m365::Excess) -> Excess {
    match excess {
        m365::Excess::Connections => Excess::Connections,
        m365::Excess::Messages => Excess::Of(Counted::Messages),
        m365::Excess::Recipients => Excess::Of(Counted::Recipients),
        m365::Excess::External => Excess::Of(Counted::External),
        m365::Excess::ExternalUnderProviderDomain => Excess::Of(Counted::ExternalUnderProviderDomain),
        m365::Excess::Unknown => Excess::Unknown,
    }
}

fn recipient_wait(reply: &Reply) -> Duration {
    let usual = if reply.code.is_transient() { RECIPIENT_BUSY_WAIT } else { RECIPIENT_WAIT };
    throttle::asked_for(reply).unwrap_or(usual)
}

fn probe(row: &Row) -> Duration {
    if row.class == Class::Throttle { PROBE_BLOCKED } else { PROBE }
}

/// What a ruling says about the lane; `None`: nothing.
pub(crate) fn lane_verdict(ruling: &Ruling, stage: Stage, reply: &Reply, host: &str) -> Option<LaneVerdict> {
    match ruling.what {
        What::Rest(wait) => Some(LaneVerdict::Rest { wait, reason: refused(stage, reply) }),
        What::Throttle(what, wait) => Some(LaneVerdict::Throttled(Throttle {
            what,
            wait,
            reason: format!("{host}: {}", refused(stage, reply)),
            remedy: ruling.remedy.clone().unwrap_or_else(|| LESS.to_owned()),
            code: code(reply),
        })),
        What::Pause(_) | What::RefreshToken => Some(LaneVerdict::Paused(pause(ruling, stage, reply, host))),
        What::SetAside(_) | What::RefusedSender => Some(LaneVerdict::Healthy),
        What::Retry | What::Bounce | What::Split => None,
    }
}

/// The alert of a pause.
fn pause(ruling: &Ruling, stage: Stage, reply: &Reply, host: &str) -> Pause {
    let probe_after = if let What::Pause(after) = ruling.what { after } else { PROBE };
    let remedy = ruling.remedy.clone().unwrap_or_else(|| general_remedy(stage, ruling.scope).to_owned());
    let reason = format!("{host}: {}", refused(stage, reply));
    Pause { scope: ruling.scope, reason, remedy, code: code(reply), probe_after }
}

/// The error's own name.
fn code(reply: &Reply) -> String {
    reply.status.map_or_else(|| reply.code.get().to_string(), |status| status.to_string())
}

/// For servers that no catalogue speaks of.
const LESS: &str = "nothing as a rule: the server is given less, and more again with care. If it goes on, lower `connections` \
                    or `messages_per_minute` of this path, or ask there for more";

/// For servers that no catalogue speaks of.
fn general_remedy(stage: Stage, scope: Scope) -> &'static str {
    match stage {
        Stage::Greeting => "the server does not serve this machine: look for its rules on our address there",
        Stage::Hello => "the server does not accept our name: set `hostname` to a name that it knows",
        Stage::StartTls => {
            "the server refuses STARTTLS: look at its certificate and TLS settings, or choose another `tls`"
        }
        Stage::Auth if scope == Scope::Mailbox => {
            "the server refuses a token that was issued a moment ago: look whether the application may send as this mailbox"
        }
        Stage::Auth => "the server refuses the login: check `username`, the password and whether it may send by SMTP",
        _ => "the server wants a login, or another order of commands: check `username` and `tls` of this path",
    }
}

/// In one line.
pub(crate) fn refused(stage: Stage, reply: &Reply) -> String {
    let what = match stage {
        Stage::Greeting => "the server refused the connection",
        Stage::Hello => "the server refused our EHLO",
        Stage::StartTls => "the server refused STARTTLS",
        Stage::Auth => "the server refused the login",
        Stage::Mail => "the sender was refused",
        Stage::Rcpt => "the recipient was refused",
        Stage::Data => "DATA was refused",
        Stage::End => "the message was refused",
    };
    format!("{what}: {reply}")
}

/// The outcome for whoever was refused. `Split` that cannot be helped any more goes by the digit.
pub(crate) fn outcome(ruling: &Ruling, stage: Stage, reply: &Reply, peer: &str, now: Timestamp) -> Outcome {
    let reason = refused(stage, reply);
    let hint = ruling.hint.clone().or_else(|| general_hint(ruling, stage));
    let remote = Some(RemoteReply { host: peer.to_owned(), reply: reply.clone(), remote_id: None });
    let final_ = match ruling.what {
        What::Bounce => true,
        What::Split => reply.code.is_permanent(),
        _ => false,
    };
    if final_ {
        return Outcome::Bounced { status: permanent_status(reply), reason, hint, remote };
    }
    // A message on which a server closes again and again must not hold up the others.
    let closed_on_it = stage == Stage::End && reply.code.get() == 421 && matches!(ruling.what, What::Rest(_));
    let counts = matches!(ruling.what, What::Retry | What::Split) || (closed_on_it && ruling.hint.is_none());
    let patience = match ruling.what {
        What::SetAside(wait) => Some(wait),
        What::RefusedSender => Some(SENDER_WAIT),
        What::Retry => throttle::asked_for(reply),
        What::Throttle(Excess::Of(Counted::External | Counted::ExternalUnderProviderDomain), _) => Some(QUOTA_WAIT),
        _ => None,
    };
    let not_before = patience.map(|wait| now.checked_add(wait).unwrap_or(Timestamp::MAX));
    Outcome::Deferred { reason, hint, not_before, remote, counts }
}

fn general_hint(ruling: &Ruling, stage: Stage) -> Option<String> {
    match ruling.what {
        What::Pause(_) | What::RefreshToken => Some(general_remedy(stage, ruling.scope).to_owned()),
        What::Throttle(..) => Some(LESS.to_owned()),
        _ => None,
    }
}

/// The reply's own, of class 5 whatever the server wrote there.
fn permanent_status(reply: &Reply) -> EnhancedStatus {
    reply
        .status
        .map_or(EnhancedStatus::new(5, 0, 0), |status| EnhancedStatus::new(5, status.subject(), status.detail()))
}
