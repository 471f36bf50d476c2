//! What follows from a reply: one function for each command that it may be due to.

use super::Client;
use super::auth::Exchange;
use super::script::Script;
use super::state::State;
use super::step::{BrokenSession, PartialReplies, Replies, Stage, Step};
use crate::{DotStuffer, Extensions, Reply};

impl Client {
    /// `None`: more must be read before there is something to tell.
    pub(super) fn take_reply(&mut self, reply: Reply) -> Option<Step> {
        let state = std::mem::replace(&mut self.state, State::Ready);
        if reply.code.get() == 421 && !matches!(state, State::Quit) {
            self.awaits_final_reply = false;
            return Some(self.broken(BrokenSession::Closing(reply), state.into_partial_replies()));
        }
        match state {
            State::Greeting if reply.code.is_positive() => self.say_hello(),
            State::Greeting => Some(self.refused(Stage::Greeting, reply)),
            State::Ehlo if reply.code.is_permanent() => self.fall_back(),
            State::Ehlo | State::Helo => Some(self.greeted(matches!(state, State::Ehlo), reply)),
            State::StartTls => Some(self.tls_reply(reply)),
            State::Auth(exchange) => self.auth_reply(exchange, reply),
            State::ResetBefore(script) => self.reset_before_reply(script, reply),
            State::Mail(script) => self.mail_reply(script, reply),
            State::Rcpt(script, replies) => self.rcpt_reply(script, replies, reply),
            State::Data(script, replies) => self.data_reply(&script, replies, reply),
            State::End(replies) => Some(self.end_reply(replies, reply)),
            State::EmptyEnd(replies) => Some(self.empty_end_reply(replies)),
            State::Reset => Some(self.reset_reply(reply)),
            State::Quit => Some(Step::Bye),
            State::Ready | State::Answered(_) | State::Handshake | State::Content(..) | State::Broken(_) => {
                Some(self.broken(BrokenSession::Unasked(reply), state.into_partial_replies()))
            }
        }
    }

    pub(super) fn broken(&mut self, cause: BrokenSession, replies: Option<PartialReplies>) -> Step {
        let step = Step::Broken { cause, replies: replies.map(Box::new) };
        self.state = State::Broken(step.clone());
        step
    }

    /// A reply that is neither yes nor no where it must be one of them, or yes where it cannot be.
    fn unfitting(&mut self, reply: Reply, replies: Option<PartialReplies>) -> Step {
        self.broken(BrokenSession::Unasked(reply), replies)
    }

    fn refused(&mut self, stage: Stage, reply: Reply) -> Step {
        if reply.code.is_intermediate() { self.unfitting(reply, None) } else { Step::Refused { stage, reply } }
    }

    pub(super) fn say_hello(&mut self) -> Option<Step> {
        self.extensions = Extensions::default();
        self.say(&format!("EHLO {}", self.hello));
        self.state = State::Ehlo;
        None
    }

    fn fall_back(&mut self) -> Option<Step> {
        self.say(&format!("HELO {}", self.hello));
        self.state = State::Helo;
        None
    }

    fn greeted(&mut self, esmtp: bool, reply: Reply) -> Step {
        if !reply.code.is_positive() {
            return self.refused(Stage::Hello, reply);
        }
        if esmtp {
            self.extensions = Extensions::parse(&reply);
            self.extensions.starttls &= !self.tls;
        }
        Step::Ready
    }

    fn tls_reply(&mut self, reply: Reply) -> Step {
        if !reply.code.is_positive() {
            return self.refused(Stage::StartTls, reply);
        }
        if self.has_unread() {
            return self.broken(BrokenSession::Injected, None);
        }
        self.state = State::Handshake;
        Step::TlsHandshake
    }

    fn auth_reply(&mut self, mut exchange: Exchange, reply: Reply) -> Option<Step> {
        if !reply.code.is_intermediate() {
            return Some(Step::AuthReply(reply));
        }
        let Some(response) = exchange.respond() else { return Some(self.unfitting(reply, None)) };
        self.say(&response);
        self.state = State::Auth(exchange);
        None
    }

    /// A server that cannot even reset would refuse MAIL for a reason that is not the message's.
    fn reset_before_reply(&mut self, mut script: Script, reply: Reply) -> Option<Step> {
        if !reply.code.is_positive() {
            return Some(self.unfitting(reply, Some(PartialReplies::default())));
        }
        self.transaction_is_open = false;
        script.send(&mut self.output);
        self.state = State::Mail(script);
        None
    }

    fn mail_reply(&mut self, script: Script, reply: Reply) -> Option<Step> {
        if reply.code.is_intermediate() {
            return Some(self.unfitting(reply, Some(PartialReplies::default())));
        }
        let accepted = reply.code.is_positive();
        self.transaction_is_open = accepted;
        let replies = Replies::to_mail(reply);
        if accepted || script.pipelined { self.next_of(script, replies) } else { Some(Step::Over(replies)) }
    }

    fn rcpt_reply(&mut self, mut script: Script, mut replies: Replies, reply: Reply) -> Option<Step> {
        if reply.code.is_intermediate() {
            return Some(self.unfitting(reply, Some(replies.into())));
        }
        script.recipients_due -= 1;
        if replies.mail.code.is_positive() {
            replies.recipients.push(reply);
        } else {
            script.stray_recipient |= reply.code.is_positive();
        }
        self.next_of(script, replies)
    }

    /// The next RCPT, or DATA if there is anybody to get the message.
    fn next_of(&mut self, mut script: Script, replies: Replies) -> Option<Step> {
        let all_named = script.recipients_due == 0;
        if all_named && !script.pipelined && !replies.has_recipient() {
            return Some(Step::Over(replies));
        }
        script.send(&mut self.output);
        self.state = if all_named { State::Data(script, replies) } else { State::Rcpt(script, replies) };
        None
    }

    fn data_reply(&mut self, script: &Script, mut replies: Replies, reply: Reply) -> Option<Step> {
        if reply.code.is_positive() || (reply.code.is_intermediate() && script.stray_recipient) {
            return Some(self.unfitting(reply, Some(replies.into())));
        }
        let go_ahead = reply.code.is_intermediate();
        replies.data = Some(reply);
        if !go_ahead {
            return Some(Step::Over(replies));
        }
        if replies.has_recipient() {
            self.state = State::Content(DotStuffer::new(), replies);
            return Some(Step::SendContent);
        }
        // RFC 2920 §3.1: the server waits for content that nobody is to get.
        self.say(".");
        self.state = State::EmptyEnd(replies);
        None
    }

    fn end_reply(&mut self, mut replies: Replies, reply: Reply) -> Step {
        if reply.code.is_intermediate() {
            return self.unfitting(reply, Some(replies.into()));
        }
        self.awaits_final_reply = false;
        self.transaction_is_open = false;
        replies.end = Some(reply);
        Step::Over(replies)
    }

    fn empty_end_reply(&mut self, replies: Replies) -> Step {
        self.transaction_is_open = false;
        Step::Over(replies)
    }

    fn reset_reply(&mut self, reply: Reply) -> Step {
        if !reply.code.is_positive() {
            return self.unfitting(reply, None);
        }
        self.transaction_is_open = false;
        Step::Ready
    }
}
