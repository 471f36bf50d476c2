//! How much of a message goes back with a report about it: read from the spool, within a limit.

use message::dsn::{Action, Returned};
use queue::{Body, Message, SpoolError};
use smtp::Ret;

use super::fate::Fate;
use crate::context::Context;

/// Octets read to find a header section; what is over goes without its end.
const HEADER: usize = 64 * 1_024;

/// RET=FULL holds for failures alone (RFC 3461 §4.3), and for messages that are not too large.
pub(super) fn is_wanted_whole(context: &Context, message: &Message, fates: &[Fate]) -> bool {
    let failed = fates.iter().any(|fate| fate.action == Action::Failed);
    failed && message.ret == Some(Ret::Full) && message.size <= context.reports.full_limit
}

/// A message that cannot be read is no reason to report nothing.
pub(super) async fn read(context: &Context, message: &Message, whole: bool) -> Returned {
    let limit = match whole {
        true => usize::try_from(context.reports.full_limit).unwrap_or(usize::MAX),
        false => HEADER,
    };
    let octets = match context.spool.body(message.id).await {
        Ok(mut body) => octets(&mut *body, limit, whole).await,
        Err(error) => Err(error),
    };
    match octets {
        Ok((octets, true)) if whole => Returned::Message(octets),
        Ok((octets, all)) => Returned::Header { cut: !all && !ends(&octets), octets },
        Err(error) => {
            tracing::warn!(id = %message.id, %error, "a report goes without the message that it is about, which cannot be read");
            Returned::Nothing("the relay cannot read it any more".to_owned())
        }
    }
}

/// At most so many of the first octets, and whether they are all.
async fn octets(body: &mut dyn Body, limit: usize, whole: bool) -> Result<(Vec<u8>, bool), SpoolError> {
    let mut octets = Vec::new();
    while let Some(piece) = body.next().await? {
        let room = limit.saturating_sub(octets.len());
        octets.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if piece.len() > room || (!whole && ends(&octets)) {
            return Ok((octets, false));
        }
    }
    Ok((octets, true))
}

/// Whether an empty line is in it.
fn ends(octets: &[u8]) -> bool {
    octets.windows(2).any(|pair| pair == b"\n\n" || pair == b"\r\r")
        || octets.windows(4).any(|four| four == b"\r\n\r\n")
}
