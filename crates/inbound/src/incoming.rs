//! A message on its way from the session to the spool: our trace field, then the content as it comes.
//!
//! Dropped at any point before `finish` it leaves nothing behind. Memory: the writer's buffer, and one header field.

use std::sync::Arc;

use message::{ContentFacts, HeaderFacts, Received, ScanError, ScanLimits, Scanner};
use queue::{BodyWriter, FinishedBody, MessageId, SpoolError};
use smtp::{EnhancedStatus, Reply};

/// Header fields of a message.
const FIELDS: usize = 1000;

/// A reply to the client, and apart from it what the operator must know.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reply: Reply,
    pub(crate) trouble: Option<String>,
}

impl Refusal {
    /// The client's own doing: the reply says all.
    pub(crate) fn plain(reply: Reply) -> Self {
        Self { reply, trouble: None }
    }

    fn new(code: u16, status: EnhancedStatus, text: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { reply: Reply::new(code, status, text), trouble: None }
    }
}

/// The client learns what it can do, the log has the paths and the system's words.
impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        let (code, status, text) = match &error {
            SpoolError::Full(_) => {
                (452, EnhancedStatus::new(4, 3, 1), "the spool of this relay is full: try again when there is room")
            }
            SpoolError::Closed(_) => (
                451,
                EnhancedStatus::new(4, 3, 0),
                "the spool of this relay is closed to writes: its log says why; try again later",
            ),
            _ => (
                451,
                EnhancedStatus::new(4, 3, 0),
                "this relay could not store the message: its log says why; try again later",
            ),
        };
        Self { trouble: Some(error.to_string()), ..Self::new(code, status, text) }
    }
}

impl From<ScanError> for Refusal {
    fn from(error: ScanError) -> Self {
        Self::new(552, EnhancedStatus::new(5, 3, 4), error.to_string())
    }
}

/// What bounds a message.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Name of the client entry.
    pub(crate) client: Arc<str>,
    /// Octets of the whole, without our trace field.
    pub(crate) size: u64,
    /// Octets of the header section.
    pub(crate) header_section: usize,
    /// `Received` fields.
    pub(crate) hops: u32,
}

/// See the head of this file.
pub(crate) struct Incoming {
    writer: Box<dyn BodyWriter>,
    scanner: Scanner,
    octets: u64,
    bounds: Bounds,
}

/// A message that is whole, its bytes with the spool.
pub(crate) struct Whole {
    pub(crate) id: MessageId,
    pub(crate) body: FinishedBody,
    pub(crate) header: HeaderFacts,
    pub(crate) content: ContentFacts,
}

impl Incoming {
    /// `trace` becomes our trace field, with the id that the spool gave.
    pub(crate) async fn begin(
        mut writer: Box<dyn BodyWriter>,
        bounds: Bounds,
        trace: Received<'_>,
    ) -> Result<Self, Refusal> {
        let limits = ScanLimits { header_section: bounds.header_section, fields: FIELDS };
        let scanner = Scanner::new(limits, trace.by);
        let id = writer.id().to_string();
        let field = Received { id: &id, ..trace }.field();
        writer.write(field.as_bytes()).await?;
        Ok(Self { writer, scanner, octets: 0, bounds })
    }

    pub(crate) async fn piece(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.octets += piece.len() as u64;
        if self.octets > self.bounds.size {
            return Err(too_large(&self.bounds.client, self.bounds.size));
        }
        self.scanner.push(piece)?;
        Ok(self.writer.write(piece).await?)
    }

    /// `judge`: whether this header section may be sent.
    pub(crate) async fn finish(self, judge: impl FnOnce(&HeaderFacts) -> Result<(), Reply>) -> Result<Whole, Refusal> {
        let (header, content) = self.scanner.finish();
        refuse_loop(&header, self.bounds.hops)?;
        judge(&header).map_err(Refusal::plain)?;
        let id = self.writer.id();
        Ok(Whole { id, body: self.writer.finish().await?, header, content })
    }
}

/// Also to MAIL with a SIZE that is too large.
pub(crate) fn too_large(client: &str, limit: u64) -> Refusal {
    let text = format!(
        "the message is larger than {limit} octets, the most that this client may send (size of the [[client]] entry \
         \"{client}\", message_size of [limits])"
    );
    Refusal::new(552, EnhancedStatus::new(5, 3, 4), text)
}

/// RFC 5321 §6.3.
pub(crate) fn refuse_loop(header: &HeaderFacts, hops: u32) -> Result<(), Refusal> {
    let status = EnhancedStatus::new(5, 4, 6);
    if let Some(id) = header.our_ids.first() {
        let text = format!("mail loop: this message has passed this relay before, as {id}");
        return Err(Refusal::new(554, status, text));
    }
    if header.received > hops {
        let text = format!("mail loop: {} Received fields, more than {hops}", header.received);
        return Err(Refusal::new(554, status, text));
    }
    Ok(())
}
