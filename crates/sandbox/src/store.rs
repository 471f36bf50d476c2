//! The messages that arrived, kept for inspection, oldest out first when there is no more room.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use smtp::{MailParameters, RcptParameters};

use crate::content::Body;
use crate::settings::Retention;

/// A message that was taken.
#[derive(Debug, Serialize)]
pub struct Message {
    /// Counts from 1.
    pub id: u64,
    /// Who signed in; absent at the smart host.
    pub mailbox: Option<String>,
    /// Id of the session, as in the greeting.
    pub session: String,
    /// Address of the client.
    pub peer: SocketAddr,
    /// What it said in EHLO.
    pub hello: String,
    /// TLS version, if any.
    pub tls: Option<String>,
    /// Of the envelope; empty for the null one.
    pub reverse_path: String,
    /// Parameters of MAIL.
    pub parameters: MessageParameters,
    /// Of the envelope, in order.
    pub recipients: Vec<Recipient>,
    /// Octets as received.
    pub size: u64,
    /// When the content was whole, by the sandbox's clock.
    pub received_at: Timestamp,
    /// When the reply may be given: later than `received_at` for a message over the rate.
    pub replied_at: Timestamp,
    /// Exchange's, without angle brackets, as in the reply; absent at the smart host.
    pub message_id: Option<String>,
    /// The sender's, with angle brackets, as received.
    pub original_message_id: Option<String>,
    /// Addresses in From.
    pub from: Vec<String>,
    /// Decoded.
    pub subject: Option<String>,
    /// Of the octets behind the first empty line, as received, in hexadecimal.
    pub body_sha256: String,
    #[serde(skip)]
    pub(crate) header_section: Vec<u8>,
    #[serde(skip)]
    pub(crate) body: Body,
}

impl Message {
    /// As the mailbox keeps it. Fails only when a temporary file cannot be read.
    pub fn raw(&self) -> io::Result<Vec<u8>> {
        let mut raw = self.header_section.clone();
        self.body.read_into(&mut raw)?;
        Ok(raw)
    }

    /// Whether this address is among the recipients.
    pub fn is_for(&self, address: &str) -> bool {
        self.recipients.iter().any(|recipient| recipient.address.eq_ignore_ascii_case(address))
    }

    fn memory(&self) -> u64 {
        (self.header_section.len() + self.body.memory()) as u64
    }
}

/// A recipient of the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recipient {
    /// As in RCPT.
    pub address: String,
    /// NOTIFY=, as text: `NEVER` or the words with commas.
    pub notify: Option<String>,
    /// ORCPT=, as received.
    pub orcpt: Option<String>,
}

impl Recipient {
    pub(crate) fn new(address: String, parameters: RcptParameters) -> Self {
        let words = parameters.notify.map(|notify| {
            let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
            let said: Vec<&str> = words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
            if said.is_empty() { "NEVER".to_owned() } else { said.join(",") }
        });
        Self { address, notify: words, orcpt: parameters.orcpt.map(String::from) }
    }
}

/// What stood behind MAIL FROM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageParameters {
    /// SIZE=
    pub size: Option<u64>,
    /// BODY=
    pub body: smtp::BodyType,
    /// SMTPUTF8
    pub smtputf8: bool,
    /// RET=
    pub ret: Option<smtp::Ret>,
    /// ENVID=
    pub envid: Option<String>,
}

impl From<MailParameters> for MessageParameters {
    fn from(given: MailParameters) -> Self {
        Self {
            size: given.size,
            body: given.body,
            smtputf8: given.smtputf8,
            ret: given.ret,
            envid: given.envid.map(String::from),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Store {
    retention: Retention,
    last_id: u64,
    memory: u64,
    messages: VecDeque<Arc<Message>>,
}

impl Store {
    pub(crate) fn new(retention: Retention) -> Self {
        Self { retention, last_id: 0, memory: 0, messages: VecDeque::new() }
    }

    /// Keeps it, under the next id.
    pub(crate) fn add(&mut self, mut message: Message) {
        self.last_id += 1;
        message.id = self.last_id;
        self.memory += message.memory();
        self.messages.push_back(Arc::new(message));
        while self.messages.len() > self.retention.messages || self.memory > self.retention.memory {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.memory -= oldest.memory();
        }
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Message>> {
        self.messages.iter()
    }

    pub(crate) fn one(&self, id: u64) -> Option<Arc<Message>> {
        let index = self.messages.binary_search_by_key(&id, |message| message.id).ok()?;
        self.messages.get(index).cloned()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn clear(&mut self) -> usize {
        self.memory = 0;
        let count = self.messages.len();
        self.messages.clear();
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn message(body: &[u8]) -> Message {
        Message {
            id: 0,
            mailbox: None,
            session: String::new(),
            peer: "127.0.0.1:1".parse().unwrap(),
            hello: String::new(),
            tls: None,
            reverse_path: String::new(),
            parameters: MailParameters::default().into(),
            recipients: Vec::new(),
            size: 0,
            received_at: Timestamp::UNIX_EPOCH,
            replied_at: Timestamp::UNIX_EPOCH,
            message_id: None,
            original_message_id: None,
            from: Vec::new(),
            subject: None,
            body_sha256: String::new(),
            header_section: b"A: 1\r\n\r\n".to_vec(),
            body: Body::Memory(body.to_vec()),
        }
    }

    fn ids(store: &Store) -> Vec<u64> {
        store.all().map(|message| message.id).collect()
    }

    #[test]
    fn the_oldest_make_room_when_there_are_too_many() {
        let mut store = Store::new(Retention { messages: 2, ..Retention::default() });
        (0..3).for_each(|_| store.add(message(b"x")));
        assert_eq!(ids(&store), [2, 3]);
        assert!(store.one(1).is_none());
        assert_eq!(store.one(3).unwrap().raw().unwrap(), b"A: 1\r\n\r\nx");
    }

    #[test]
    fn the_oldest_make_room_when_memory_is_full() {
        let mut store = Store::new(Retention { memory: 250, ..Retention::default() });
        (0..3).for_each(|_| store.add(message(&[b'x'; 100])));
        assert_eq!(ids(&store), [2, 3]);
        assert_eq!(store.clear(), 2);
        assert_eq!((store.len(), store.memory), (0, 0));
    }
}
