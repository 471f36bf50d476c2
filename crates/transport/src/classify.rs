//! What a refusal means: for the recipient, and for the lane.
//!
//! In: where the server said no, and its reply. Out: a ruling. Microsoft's submission is judged by the catalogue, any other
//! server, and what the catalogue does not know, by the first digit: a 5yz before MAIL is our trouble and pauses the lane,
//! after it is a verdict on the message.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use m365::{About, Action, Catalogue, Class, Row, Where};
use queue::{LaneVerdict, Outcome, Pause, RemoteReply};
use smtp::client::Stage;
use smtp::{EnhancedStatus, Reply};

use crate::settings::SmtpKind;

/// After a link fault, or a server that is not well.
pub(crate) const LINK_REST: Duration = Duration::from_secs(10);
/// After a throttle.
const THROTTLE_REST: Duration = Duration::from_secs(60);
/// Too many submissions at once: gone as soon as one of them ends.
const CONCURRENCY_REST: Duration = Duration::from_secs(5);
/// A paused lane is tried again after this …
pub(crate) const PROBE: Duration = Duration::from_secs(5 * 60);
/// … a mailbox that Microsoft blocks for repeated errors after this …
const PROBE_BLOCKED: Duration = Duration::from_secs(30 * 60);
/// … and one that used up a quota of a day after this.
const PROBE_QUOTA: Duration = Duration::from_secs(60 * 60);
/// A message whose sender the mailbox may not send as waits so long. Not by the ordinary schedule, which starts with a
/// minute: Exchange counts such refusals, and after too many it blocks the mailbox, for everybody who sends through it and
/// for a time that nobody can shorten (`550 5.2.252`). Nor much longer, so that a right granted meanwhile soon helps.
const SENDER_WAIT: Duration = Duration::from_secs(30 * 60);

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The recipient is tried again by the schedule.
    Retry,
    /// The lane rests.
    Rest(Duration),
    /// The lane is paused, and probed after so long.
    Pause(Duration),
    /// The message alone waits so long, without counting; the lane goes on.
    SetAside(Duration),
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
    /// Meaning and remedy, for the operator.
    pub(crate) hint: Option<String>,
    /// The remedy alone.
    pub(crate) remedy: Option<String>,
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
            _ if before_mail(stage) => session_by_digit(reply, token),
            _ => by_digit(stage, reply),
        };
        let hint = row.map(|row| format!("{} {}", row.meaning, row.fix));
        Ruling { what, hint, remedy: row.map(|row| row.fix.clone()) }
    }
}

fn before_mail(stage: Stage) -> bool {
    matches!(stage, Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth)
}

fn by_row(action: Action, row: &Row, stage: Stage, reply: &Reply, token: bool) -> What {
    // One printer with a foreign sender must not stop the others.
    if row.about == Some(About::Sender) && !before_mail(stage) {
        return What::SetAside(SENDER_WAIT);
    }
    match action {
        Action::Retry if before_mail(stage) => What::Rest(LINK_REST),
        Action::Retry => retry(reply),
        Action::SlowDown => What::Rest(rest(reply)),
        Action::RefreshToken if token => What::RefreshToken,
        Action::Split => What::Split,
        Action::Bounce if !before_mail(stage) => What::Bounce,
        Action::StopRoute | Action::StopSender | Action::RefreshToken | Action::SwitchRoute | Action::Bounce => {
            What::Pause(probe(row))
        }
    }
}

/// A refusal of the session is never the message's fault.
fn session_by_digit(reply: &Reply, token: bool) -> What {
    match reply.code.get() {
        535 if token => What::RefreshToken,
        500.. => What::Pause(PROBE),
        _ => What::Rest(LINK_REST),
    }
}

fn by_digit(stage: Stage, reply: &Reply) -> What {
    // Out of sequence, or not authenticated (RFC 4954 §6): nothing that a message could be blamed for.
    let ours = matches!(reply.code.get(), 503 | 530 | 534 | 535 | 538);
    match stage {
        Stage::Rcpt if too_many_recipients(reply) => What::Split,
        Stage::Mail if ours => What::Pause(PROBE),
        _ if reply.code.is_permanent() => What::Bounce,
        _ => retry(reply),
    }
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

fn rest(reply: &Reply) -> Duration {
    if reply.code.get() == 432 { CONCURRENCY_REST } else { THROTTLE_REST }
}

fn probe(row: &Row) -> Duration {
    match row.class {
        Class::Throttle if row.code.starts_with("5.2.25") => PROBE_BLOCKED,
        Class::Throttle => PROBE_QUOTA,
        _ => PROBE,
    }
}

/// What a ruling says about the lane; `None`: nothing.
pub(crate) fn lane_verdict(ruling: &Ruling, stage: Stage, reply: &Reply, host: &str) -> Option<LaneVerdict> {
    match ruling.what {
        What::Rest(wait) => Some(LaneVerdict::Rest { wait, reason: refused(stage, reply) }),
        What::Pause(_) | What::RefreshToken => Some(LaneVerdict::Paused(pause(ruling, stage, reply, host))),
        What::SetAside(_) => Some(LaneVerdict::Healthy),
        What::Retry | What::Bounce | What::Split => None,
    }
}

/// The alert of a pause.
pub(crate) fn pause(ruling: &Ruling, stage: Stage, reply: &Reply, host: &str) -> Pause {
    let probe_after = if let What::Pause(after) = ruling.what { after } else { PROBE };
    let code = reply.status.map_or_else(|| reply.code.get().to_string(), |status| status.to_string());
    let remedy = ruling.remedy.clone().unwrap_or_else(|| general_remedy(stage).to_owned());
    Pause { scope: queue::Scope::Path, reason: format!("{host}: {}", refused(stage, reply)), remedy, code, probe_after }
}

/// For servers that no catalogue speaks of.
fn general_remedy(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "the server does not serve this machine: look for its rules on our address there",
        Stage::Hello => "the server does not accept our name: set `hostname` to a name that it knows",
        Stage::StartTls => {
            "the server refuses STARTTLS: look at its certificate and TLS settings, or choose another `tls`"
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
    let ours = matches!(ruling.what, What::Pause(_) | What::RefreshToken);
    let hint = ruling.hint.clone().or_else(|| ours.then(|| general_remedy(stage).to_owned()));
    let remote = Some(RemoteReply { host: peer.to_owned(), reply: reply.clone(), remote_id: None });
    let final_ = match ruling.what {
        What::Bounce => true,
        What::Split => reply.code.is_permanent(),
        _ => false,
    };
    if final_ {
        return Outcome::Bounced { status: permanent_status(reply), reason, hint, remote };
    }
    // A message on which a server closes again and again must not hold up the others; a throttle that is known is the lane's.
    let closed_on_it = stage == Stage::End && reply.code.get() == 421 && ruling.hint.is_none();
    let counts = matches!(ruling.what, What::Retry | What::Split) || closed_on_it;
    let not_before = match ruling.what {
        What::SetAside(wait) => Some(now.checked_add(wait).unwrap_or(Timestamp::MAX)),
        _ => None,
    };
    Outcome::Deferred { reason, hint, not_before, remote, counts }
}

/// The reply's own, of class 5 whatever the server wrote there.
fn permanent_status(reply: &Reply) -> EnhancedStatus {
    reply
        .status
        .map_or(EnhancedStatus::new(5, 0, 0), |status| EnhancedStatus::new(5, status.subject(), status.detail()))
}
