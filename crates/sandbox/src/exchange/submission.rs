//! The end of a message: Exchange's rules on it, and its way into the store.

use std::sync::Arc;

use jiff::Timestamp;
use smtp::{MailParameters, Reply};

use super::words;
use crate::activity::Failing;
use crate::content::Arrived;
use crate::enforcement::Submission;
use crate::header::{self, HeaderFacts};
use crate::store::{Message, Recipient};
use crate::tenant::Mailbox;
use crate::world::{State, World};

/// A message on its way into a mailbox. Dropping it takes it off the mailbox's count.
pub(crate) struct UnderWay {
    world: Arc<World>,
    mailbox: String,
    within_limit: bool,
}

impl UnderWay {
    /// Content begins.
    pub(crate) fn begin(world: &Arc<World>, mailbox: &str) -> Self {
        let mut state = world.state();
        let state = &mut *state;
        let within_limit = state.enforcement.begin(&state.tenant, mailbox);
        Self { world: world.clone(), mailbox: mailbox.to_owned(), within_limit }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.world.state().enforcement.end(&self.mailbox);
    }
}

/// All that belongs to a message beside its content.
pub(crate) struct Envelope {
    pub(crate) session: u64,
    pub(crate) peer: std::net::SocketAddr,
    pub(crate) hello: String,
    pub(crate) esmtp: bool,
    pub(crate) tls: Option<String>,
    pub(crate) reverse_path: String,
    pub(crate) parameters: MailParameters,
    pub(crate) recipients: Vec<Recipient>,
}

/// The reply to a message that was taken, and when it may be given.
pub(crate) struct Taken {
    pub(crate) reply: Reply,
    pub(crate) not_before: Option<Timestamp>,
}

/// Checks a message against Exchange's rules and, if they let it, stores it.
pub(crate) fn submit(
    world: &World,
    under_way: &UnderWay,
    envelope: Envelope,
    arrived: Arrived,
) -> Result<Taken, Reply> {
    let facts = header::read(&arrived.header_section);
    let now = world.clock.now();
    let mut state = world.state();
    let state = &mut *state;
    check_content(&arrived, &facts)?;
    let address = under_way.mailbox.as_str();
    let recipients: Vec<&str> = envelope.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    let submission = Submission {
        mailbox: address,
        reverse_path: &envelope.reverse_path,
        recipients: &recipients,
        within_limit: under_way.within_limit,
    };
    state.enforcement.gate(&submission, now)?;
    if let Some(mailbox) = state.tenant.mailbox(address).cloned() {
        check_mailbox(state, &mailbox, &facts, now)?;
    }
    let not_before = state.enforcement.admit(&state.tenant, &submission, now)?;
    let message_id = format!("SBX0PR01MB0001{:016X}@{}", world.next_id(), words::MAILBOX_SERVER);
    let reply = words::taken(&message_id);
    let trace = trace(&envelope, &message_id, now);
    let header_section = header::rewrite(&arrived.header_section, &message_id, &trace);
    let times = (now, not_before.unwrap_or(now));
    let message = message(envelope, arrived, facts, header_section, times);
    keep(world, state, Message { mailbox: Some(address.to_owned()), message_id: Some(message_id), ..message });
    Ok(Taken { reply, not_before })
}

/// Takes a message as it is.
pub(crate) fn take_all(world: &World, envelope: Envelope, mut arrived: Arrived) -> Reply {
    let facts = header::read(&arrived.header_section);
    let now = world.clock.now();
    let header_section = std::mem::take(&mut arrived.header_section);
    let message = message(envelope, arrived, facts, header_section, (now, now));
    keep(world, &mut world.state(), message);
    Reply::plain(250, "2.0.0 OK")
}

fn check_content(arrived: &Arrived, facts: &HeaderFacts) -> Result<(), Reply> {
    if arrived.header_too_large {
        return Err(words::header_too_large());
    }
    if let Some((name, octets)) = &facts.oversized {
        return Err(words::field_too_large(name, *octets));
    }
    if facts.from.len() > 1 && facts.sender.is_empty() {
        return Err(words::several_authors());
    }
    Ok(())
}

fn check_mailbox(state: &mut State, mailbox: &Mailbox, facts: &HeaderFacts, now: Timestamp) -> Result<(), Reply> {
    let limits = state.tenant.limits_of(mailbox).clone();
    if mailbox.full {
        state.enforcement.failed(&mailbox.address, Failing::MailboxFull, &limits, now);
        return Err(words::mailbox_full());
    }
    let aliases_too = state.tenant.send_from_alias;
    let foreign = facts.from.iter().chain(&facts.sender).find(|address| !mailbox.may_send_as(address, aliases_too));
    if let Some(foreign) = foreign {
        state.enforcement.failed(&mailbox.address, Failing::SendAsDenied, &limits, now);
        return Err(words::send_as_denied(&mailbox.address, foreign));
    }
    Ok(())
}

fn trace(envelope: &Envelope, message_id: &str, at: Timestamp) -> String {
    let via = message::Via {
        esmtp: envelope.esmtp,
        tls: envelope.tls.is_some(),
        authenticated: true,
        smtputf8: envelope.parameters.smtputf8,
    };
    message::Received {
        helo: &envelope.hello,
        peer: envelope.peer.ip(),
        by: words::MAILBOX_SERVER,
        via,
        id: message_id.split('@').next().unwrap_or_default(),
        tls: envelope.tls.as_deref(),
        at,
    }
    .field()
}

fn message(
    envelope: Envelope,
    arrived: Arrived,
    facts: HeaderFacts,
    header_section: Vec<u8>,
    (received_at, replied_at): (Timestamp, Timestamp),
) -> Message {
    Message {
        id: 0,
        mailbox: None,
        session: format!("{:016X}", envelope.session),
        peer: envelope.peer,
        hello: envelope.hello,
        tls: envelope.tls,
        reverse_path: envelope.reverse_path,
        parameters: envelope.parameters.into(),
        recipients: envelope.recipients,
        size: arrived.size,
        received_at,
        replied_at,
        message_id: None,
        original_message_id: facts.message_id,
        from: facts.from,
        subject: facts.subject,
        body_sha256: arrived.body_sha256,
        header_section,
        body: arrived.body,
    }
}

fn keep(world: &World, state: &mut State, message: Message) {
    state.statistics.messages += 1;
    state.statistics.recipients += message.recipients.len() as u64;
    state.statistics.octets += message.size;
    state.store.add(message);
    world.arrivals.send_modify(|count| *count += 1);
}
