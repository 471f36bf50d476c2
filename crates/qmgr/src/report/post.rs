//! Queues mail of our own: stored, then told to the loop as any arrival.

use std::net::{Ipv4Addr, SocketAddr};

use message::{ScanLimits, Scanner};
use queue::{MessageId, NewMessage, Origin, Recipient, RecipientState, SpoolError};
use smtp::{BodyType, ForwardPath, Notify};

use super::carrier::Carrier;
use crate::context::{Context, Input};

/// In place of the name of a client entry.
pub(super) const CLIENT: &str = "posthouse";

/// Octets given to the spool at once.
const PIECE: usize = 64 * 1_024;

/// A message, written.
pub(super) struct Draft {
    pub(super) octets: Vec<u8>,
    /// An address in it is not ASCII.
    pub(super) needs_utf8: bool,
}

/// Durable when it returns. `about`: the message that it tells of; otherwise it names itself, so that nobody is told of it.
pub(super) async fn post(
    context: &Context,
    carrier: &Carrier,
    to: &[ForwardPath],
    about: Option<MessageId>,
    draft: impl FnOnce(MessageId) -> Draft,
) -> Result<MessageId, SpoolError> {
    let mut writer = context.spool.body_writer(None)?;
    let id = writer.id();
    let draft = draft(id);
    for piece in draft.octets.chunks(PIECE) {
        writer.write(piece).await?;
    }
    let body = writer.finish().await?;
    let message = new_message(context, carrier, to, (id, about.unwrap_or(id)), &draft);
    let message = context.spool.enqueue(message, body).await?;
    context.tell(Input::Arrived(Box::new(message)));
    Ok(id)
}

fn new_message(
    context: &Context,
    carrier: &Carrier,
    to: &[ForwardPath],
    (id, about): (MessageId, MessageId),
    draft: &Draft,
) -> NewMessage {
    let mut scanner = Scanner::new(ScanLimits::default(), &context.reports.hostname);
    // Within the limits: the header section is ours.
    let (header, content) = scanner.push(&draft.octets).map(|()| scanner.finish()).unwrap_or_default();
    let eight_bit = content.eight_bit_body || content.eight_bit_header;
    NewMessage {
        id,
        accepted_at: context.clock.now(),
        origin: origin(context),
        reverse_path: carrier.reverse_path.clone(),
        body: if eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: draft.needs_utf8,
        ret: None,
        envid: None,
        recipients: to.iter().map(recipient).collect(),
        header,
        content,
        urgent: false,
        lane: carrier.pool.clone(),
        hold: None,
        report_to: None,
        report_of: Some(about),
    }
}

fn origin(context: &Context) -> Origin {
    Origin {
        client: CLIENT.into(),
        user: None,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        helo: context.reports.hostname.clone(),
        tls: None,
        session: CLIENT.to_owned(),
    }
}

/// The next hop must not answer it either (RFC 3461 §6).
fn recipient(to: &ForwardPath) -> Recipient {
    Recipient {
        forward_path: to.clone(),
        notify: Some(Notify { success: false, failure: false, delay: false }),
        orcpt: None,
        archive: false,
        state: RecipientState::fresh(),
    }
}
