//! Messages to test with.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use queue::{
    BodyReader, Clock, Message, MessageId, NewMessage, Origin, Recipient, RecipientState, RemoteReply, Spool,
    SpoolError,
};
use smtp::Reply;

use super::LANE;
use crate::sync::lock;

/// A clock that a test moves.
#[derive(Debug)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// 2026-01-01T00:00:00Z
    pub const START: Timestamp = Timestamp::constant(1_767_225_600, 0);

    /// At [`FixedClock::START`].
    pub fn new() -> Self {
        Self(Mutex::new(Self::START))
    }

    /// Later by so much.
    pub fn advance(&self, by: SignedDuration) {
        *lock(&self.0) += by;
    }
}

impl Default for FixedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}

/// So many octets, different from place to place.
pub fn body_of(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8 ^ (at / 9973) as u8).collect()
}

/// As inbound would hand it over.
pub fn new_message(id: MessageId, lane: &str, recipients: usize) -> NewMessage {
    let recipient = |number: usize| Recipient {
        forward_path: format!("<recipient{number}@example.org>").parse().unwrap(),
        notify: None,
        orcpt: None,
        archive: false,
        state: RecipientState::fresh(),
    };
    NewMessage {
        id,
        accepted_at: FixedClock::START,
        origin: Origin {
            client: "printers".into(),
            user: None,
            peer: "192.0.2.1:40000".parse().unwrap(),
            helo: "printer.contoso.com".to_owned(),
            tls: None,
            session: "0001".to_owned(),
        },
        reverse_path: "<printer@contoso.com>".parse().unwrap(),
        body: smtp::BodyType::default(),
        smtputf8: false,
        ret: None,
        envid: None,
        recipients: (0..recipients).map(recipient).collect(),
        header: Default::default(),
        content: Default::default(),
        urgent: false,
        lane: queue::LaneName(lane.into()),
        hold: None,
        report_to: None,
        report_of: None,
    }
}

/// Accepts a message with a body of so many octets.
pub async fn enqueue(spool: &dyn Spool, recipients: usize, size: usize) -> Message {
    enqueue_body(spool, recipients, &body_of(size)).await.unwrap()
}

/// Tries to accept a message.
pub async fn enqueue_body(spool: &dyn Spool, recipients: usize, body: &[u8]) -> Result<Message, SpoolError> {
    let mut writer = spool.body_writer(Some(body.len() as u64))?;
    let id = writer.id();
    writer.write(body).await?;
    let body = writer.finish().await?;
    spool.enqueue(new_message(id, LANE, recipients), body).await
}

/// The whole body; read twice, for it must be the same each time, also when the first reading broke off.
pub async fn read(spool: &dyn Spool, id: MessageId) -> Result<Vec<u8>, SpoolError> {
    let mut body = spool.body(id).await?;
    body.next().await?;
    body.rewind();
    let first = read_on(&mut body).await?;
    body.rewind();
    assert_eq!(read_on(&mut body).await?, first, "the body of {id} is another one when it is read again");
    Ok(first)
}

async fn read_on(body: &mut BodyReader) -> Result<Vec<u8>, SpoolError> {
    let mut octets = Vec::new();
    while let Some(piece) = body.next().await? {
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}

/// The first `count` recipients that are queued are handed over.
pub fn handed_over(mut message: Message, count: usize) -> Message {
    let remote = RemoteReply {
        host: "smtp.office365.com [203.0.113.1]:587".to_owned(),
        reply: Reply::plain(250, "2.0.0 OK <id@contoso.com> Queued mail for delivery"),
        remote_id: Some("id@contoso.com".to_owned()),
    };
    let queued = message.recipients.iter_mut().filter(|recipient| recipient.state.is_queued());
    for recipient in queued.take(count) {
        recipient.state = RecipientState::HandedOver { remote: remote.clone(), at: FixedClock::START };
    }
    message
}

/// All recipients that are queued bounce.
pub fn bounced(mut message: Message) -> Message {
    for recipient in message.recipients.iter_mut().filter(|recipient| recipient.state.is_queued()) {
        recipient.state =
            RecipientState::Bounced { reason: "no such user".to_owned(), remote: None, at: FixedClock::START };
    }
    message
}

/// Tried, and to be tried again.
pub fn deferred(mut message: Message, due_at: Timestamp) -> Message {
    message.attempts += 1;
    message.due_at = due_at;
    message
}
