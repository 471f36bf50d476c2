//! What to do after a refusal in an SMTP session.
//!
//! In: where, at which stage, the reply. Out: the action, and the row it is from, if one knows the reply.
//! Invariants: the reply's first digit is trusted over its enhanced status code, so a 4yz never bounces; a refusal before
//! there is a message (greeting, EHLO, STARTTLS, AUTH) says nothing about any message, so it never bounces one; a 5yz
//! whose row says slow down or stop does not bounce either: our trouble is not the sender's.

use smtp::Reply;
use smtp::client::Stage;

use crate::{Action, Catalogue, Class, Row, Where};

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// What to do.
    pub action: Action,
    /// Why, and what the operator should know; `None` where no row knows the reply and its first digit decided.
    pub row: Option<&'a Row>,
    without_other_path: Action,
}

impl Catalogue {
    /// Judges a negative reply. One that is not negative where an answer was due is tried again.
    pub fn verdict(&self, where_: Where, stage: Stage, reply: &Reply) -> Verdict<'_> {
        let row = self.smtp(where_, reply);
        let permanent = reply.code.is_permanent();
        let action = match row {
            Some(row) => known(row.action, stage, permanent),
            None => unknown(stage, reply),
        };
        Verdict { action, row, without_other_path: alone(action, row, stage, permanent) }
    }
}

impl Verdict<'_> {
    /// The action where there is no other path to switch to: trouble with our set-up pauses the path, a permanent refusal
    /// of the message bounces, the rest is tried again.
    pub fn without_other_path(&self) -> Action {
        self.without_other_path
    }
}

fn known(action: Action, stage: Stage, permanent: bool) -> Action {
    match action {
        Action::Bounce | Action::Split if is_before_messages(stage) => Action::StopRoute,
        Action::Bounce if !permanent => Action::Retry,
        action => action,
    }
}

fn alone(action: Action, row: Option<&Row>, stage: Stage, permanent: bool) -> Action {
    match action {
        Action::SwitchRoute if is_before_messages(stage) => Action::StopRoute,
        Action::SwitchRoute if row.is_some_and(|row| row.class == Class::Config) => Action::StopRoute,
        Action::SwitchRoute if permanent => Action::Bounce,
        Action::SwitchRoute => Action::Retry,
        action => action,
    }
}

fn unknown(stage: Stage, reply: &Reply) -> Action {
    let negative = reply.code.is_transient() || reply.code.is_permanent();
    if negative && is_before_messages(stage) {
        Action::StopRoute
    } else if reply.code.is_permanent() {
        Action::Bounce
    } else {
        Action::Retry
    }
}

/// Nothing has been said of a message yet.
fn is_before_messages(stage: Stage) -> bool {
    match stage {
        Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth => true,
        Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transient_reply_does_not_bounce_whatever_its_row_says() {
        assert_eq!(known(Action::Bounce, Stage::End, false), Action::Retry);
        assert_eq!(known(Action::Bounce, Stage::End, true), Action::Bounce);
    }

    #[test]
    fn before_there_is_a_message_a_switch_without_another_path_pauses() {
        assert_eq!(alone(Action::SwitchRoute, None, Stage::Greeting, true), Action::StopRoute);
        assert_eq!(alone(Action::SwitchRoute, None, Stage::Rcpt, true), Action::Bounce);
        assert_eq!(alone(Action::SwitchRoute, None, Stage::Rcpt, false), Action::Retry);
    }
}
