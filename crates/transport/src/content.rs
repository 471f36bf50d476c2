//! The bytes of a message on their way to the next hop, in the form that this next hop takes and as often as several
//! transactions need them.
//!
//! In: the spool's reader, what is to become of the message. Out: pieces. What was well formed and need not change passes octet for
//! octet. The header section is in memory, the body never: where the body must be known before the header section can be
//! written (to be signed, or because parts of it are encoded anew) it is read twice.

use bytes::Bytes;
use message::mime::{BodyPlan, Needs, NewEncoding, Reencoder, Survey, TopPart};
use message::{Authors, ContentFacts, HeaderEdits, Outgoing, Rewriting, Section, outgoing};
use queue::{BodyReader, SpoolError};
use smtp::{Mailbox, ReversePath};

use crate::sender::{ClientRules, Identity};

/// A line has no more octets (RFC 5322 §2.1.1).
const LINE: u64 = 998;
/// Octets of a header section with our trace field: more than any that was taken in.
const SECTION: usize = (8 << 20) + (64 << 10);

/// What is to become of a message.
#[derive(Debug)]
pub(crate) struct Shape<'a> {
    /// Name of the client entry.
    pub(crate) client: &'a str,
    /// Our name.
    pub(crate) host: &'a str,
    /// For a Date that is missing: when the message was accepted.
    pub(crate) date: jiff::Timestamp,
    /// For a From that is missing.
    pub(crate) author: Option<&'a Mailbox>,
    pub(crate) rewriting: Option<Rewriting>,
    pub(crate) edits: &'a HeaderEdits,
    /// What was found when it was taken in.
    pub(crate) facts: &'a ContentFacts,
    /// The message may leave with header fields in UTF-8.
    pub(crate) smtputf8: bool,
    /// The next hop takes 8-bit content.
    pub(crate) eight_bit: bool,
    /// What it is signed with.
    pub(crate) stamp: Option<Stamp<'a>>,
}

/// What a message's shape is made of, whoever asks: an attempt, or somebody who wants to know beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made<'a> {
    /// Name of the client entry.
    pub(crate) client: &'a str,
    pub(crate) rules: &'a ClientRules,
    /// Of the path.
    pub(crate) identity: &'a Identity,
    /// Our name.
    pub(crate) host: &'a str,
    pub(crate) reverse_path: &'a ReversePath,
    pub(crate) accepted_at: jiff::Timestamp,
    pub(crate) facts: &'a ContentFacts,
    pub(crate) smtputf8: bool,
}

/// Signatures, where the relay is the last to touch a message.
#[derive(Debug)]
pub(crate) struct Stamp<'a> {
    pub(crate) keys: &'a dkim::Keys,
    /// How the message came to us, for an ARC seal.
    pub(crate) arrival: dkim::Arrival,
    pub(crate) now: jiff::Timestamp,
}

/// Signatures under way.
#[derive(Debug, Default)]
struct Signers {
    signing: Option<dkim::Signing>,
    sealing: Option<dkim::Sealing>,
}

/// Why a message cannot take that shape.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShapeError {
    /// The spool could not give it.
    #[error(transparent)]
    Body(#[from] SpoolError),
    /// Not without loss: of class 5.6, in words.
    #[error("{0}")]
    Loss(String),
}

/// See the head of this file.
pub(crate) struct Content {
    /// Of the message: our trace field carries it.
    id: String,
    reader: BodyReader,
    /// As spooled: our trace field and the header section, with the empty line after it.
    section: Bytes,
    /// What came behind it in the same piece …
    first: Bytes,
    /// … and whether that is all of the body.
    whole: bool,
    authors: Authors,
    form: Form,
    head_is_next: bool,
    /// Of the body, to be given before what the reader has.
    ahead: Bytes,
    /// Of what the reader gives, to be left out: it stands in `section`.
    skip: usize,
    reencoder: Option<Reencoder>,
    /// The body was begun once: it can only be had again from the reader's first byte.
    begun: bool,
    /// The reader has given its last piece.
    over: bool,
    /// The last byte is on its way, and may have arrived.
    pub(crate) ending: bool,
}

/// What a message asks of the next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demands {
    /// Octets of the whole.
    pub(crate) size: u64,
    /// It has octets over 127.
    pub(crate) eight_bit: bool,
    /// Some of them stand in its header section.
    pub(crate) smtputf8: bool,
}

/// As it leaves.
#[derive(Debug, Default)]
struct Form {
    head: Bytes,
    body: Option<BodyPlan>,
    size: u64,
    eight_bit_header: bool,
    eight_bit: bool,
}

impl Content {
    /// Reads the header section, so that a body that cannot be read is known before the next hop is troubled.
    pub(crate) async fn open(id: String, mut reader: BodyReader) -> Result<Self, SpoolError> {
        let mut buffer = reader.next().await?.unwrap_or_default();
        let mut over = buffer.len() as u64 == reader.size();
        let end = loop {
            if let Some(end) = Section::end_of(&buffer, &id, over || buffer.len() > SECTION) {
                break end;
            }
            match reader.next().await? {
                Some(piece) => buffer = [buffer, piece].concat().into(),
                None => over = true,
            }
        };
        let section = buffer.split_to(end.min(buffer.len()));
        let whole = (section.len() + buffer.len()) as u64 == reader.size();
        Ok(Self {
            authors: message::authors(&Section::parse(&section, &id)),
            id,
            reader,
            section,
            first: buffer,
            whole,
            form: Form::default(),
            head_is_next: true,
            ahead: Bytes::new(),
            skip: 0,
            reencoder: None,
            begun: false,
            over: false,
            ending: false,
        })
    }

    /// Who it says it is from, as it came.
    pub(crate) fn authors(&self) -> &Authors {
        &self.authors
    }

    /// Gives it the form in which it leaves. Out: what was done, for the story.
    pub(crate) async fn shape(&mut self, shape: &Shape<'_>) -> Result<Vec<String>, ShapeError> {
        let plan = self.survey(shape).await?;
        let top = plan.as_ref().and_then(BodyPlan::top);
        let Outgoing { octets, mut notes, changed_fields, eight_bit, authors, signatures } =
            outgoing(&self.section, &self.authors, &shape.header(&self.id, top));
        let body_changed = plan.as_ref().is_some_and(|plan| !plan.is_identity());
        if let Some(plan) = plan.as_ref().filter(|_| body_changed) {
            notes.extend(plan.notes());
        }
        let signed_part = plan.as_ref().is_some_and(BodyPlan::breaks_signed_part);
        let broken = signatures.broken_by(&changed_fields, body_changed, signed_part);
        let only_downgraded = !shape.eight_bit && shape.facts.eight_bit_body && !is_malformed(shape.facts);
        if let Some(broken) = broken {
            let otherwise: Vec<_> = changed_fields.into_iter().filter(|name| !is_of_mime(name)).collect();
            if only_downgraded && signatures.broken_by(&otherwise, false, false).as_ref() != Some(&broken) {
                return Err(ShapeError::Loss(format!("encoded for 7 bits its signature would break ({broken})")));
            }
            notes.push(broken);
        }
        self.form = Form {
            body: plan.filter(|_| body_changed),
            size: 0,
            eight_bit_header: eight_bit,
            eight_bit: eight_bit || (shape.facts.eight_bit_body && shape.eight_bit),
            head: Bytes::from(octets),
        };
        let signers = shape
            .stamp
            .as_ref()
            .map(|stamp| Signers { signing: signing(stamp.keys, &authors), sealing: stamp.keys.sealing() });
        self.measure(signers.unwrap_or_default(), shape.stamp.as_ref()).await?;
        self.rewind();
        Ok(notes)
    }

    /// Whether parts of the body must be encoded anew. Only messages that were found to have something unusual are looked at.
    async fn survey(&mut self, shape: &Shape<'_>) -> Result<Option<BodyPlan>, ShapeError> {
        let seven_bit = !shape.eight_bit && shape.facts.eight_bit_body;
        if !seven_bit && !is_malformed(shape.facts) {
            return Ok(None);
        }
        let mut survey = Survey::new(TopPart::of(&self.section), Needs { seven_bit });
        self.form.body = None;
        self.head_is_next = false;
        self.start_body();
        while let Some(piece) = self.next().await? {
            survey.push(&piece);
        }
        let plan = survey.finish();
        match plan.refusal() {
            Some(why) => Err(ShapeError::Loss(why.to_owned())),
            None => Ok(Some(plan)),
        }
    }

    /// How many octets will go, and the signatures over them. The body is read for this only where it must be.
    async fn measure(&mut self, mut signers: Signers, stamp: Option<&Stamp<'_>>) -> Result<(), ShapeError> {
        if self.form.body.is_none() && signers.signing.is_none() && signers.sealing.is_none() {
            let body = self.reader.size().saturating_sub(self.section.len() as u64);
            self.form.size = self.form.head.len() as u64 + body;
            return Ok(());
        }
        signers.header(&self.form.head);
        let mut size = 0;
        self.head_is_next = false;
        self.start_body();
        while let Some(piece) = self.next().await? {
            size += piece.len() as u64;
            signers.body(&piece);
        }
        if let Some(stamp) = stamp {
            let mut fields = signers.finish(stamp).map_err(|error| match error {
                // It is the message's own fault, and will be at each attempt.
                dkim::SignError::LongSection => ShapeError::Loss(format!("it could not be signed: {error}")),
                error => ShapeError::Body(SpoolError::Failed(format!("the message could not be signed: {error}"))),
            })?;
            fields.extend_from_slice(&self.form.head);
            self.form.head = fields.into();
        }
        self.form.size = size + self.form.head.len() as u64;
        Ok(())
    }

    /// The next piece; `None` only at the very end of a sound body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if std::mem::take(&mut self.head_is_next) {
            return Ok(Some(self.form.head.clone()));
        }
        loop {
            let raw = match std::mem::take(&mut self.ahead) {
                ahead if !ahead.is_empty() => Some(ahead),
                _ if self.over => None,
                _ => self.read().await?,
            };
            let piece = match (raw, &mut self.reencoder) {
                (Some(raw), None) => raw,
                (Some(raw), Some(reencoder)) => {
                    let mut piece = Vec::with_capacity(raw.len() + raw.len() / 4);
                    reencoder.push(&raw, &mut piece);
                    piece.into()
                }
                (None, _) => {
                    self.over = true;
                    let Some(reencoder) = self.reencoder.take() else { return Ok(None) };
                    let mut piece = Vec::new();
                    reencoder.finish(&mut piece);
                    piece.into()
                }
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// What the reader has next of the body.
    async fn read(&mut self) -> Result<Option<Bytes>, SpoolError> {
        let Some(mut piece) = self.reader.next().await? else { return Ok(None) };
        let skipped = self.skip.min(piece.len());
        self.skip -= skipped;
        Ok(Some(piece.split_off(skipped)))
    }

    /// Back to the first byte.
    pub(crate) fn rewind(&mut self) {
        self.ending = false;
        self.head_is_next = true;
        self.start_body();
    }

    fn start_body(&mut self) {
        self.reencoder = self.form.body.as_ref().map(Reencoder::new);
        self.over = self.whole;
        if self.whole || !std::mem::replace(&mut self.begun, true) {
            self.ahead = self.first.clone();
            return;
        }
        self.ahead = Bytes::new();
        self.skip = self.section.len();
        self.reader.rewind();
    }

    /// Octets of all that goes.
    pub(crate) fn size(&self) -> u64 {
        self.form.size
    }

    /// What it asks of the next hop.
    pub(crate) fn demands(&self) -> Demands {
        Demands { size: self.form.size, eight_bit: self.form.eight_bit, smtputf8: self.form.eight_bit_header }
    }
}

impl<'s> Shape<'s> {
    /// Of a message for a next hop that takes anything, unsigned. `sent_as`: becomes its author.
    pub(crate) fn new(of: &Made<'s>, sent_as: Option<Mailbox>) -> Self {
        Self {
            client: of.client,
            host: of.host,
            date: of.accepted_at,
            author: of.reverse_path.mailbox().or(of.identity.mailbox.as_ref()),
            rewriting: sent_as.map(|to| of.rules.rewriting(to)),
            edits: &of.rules.edits,
            facts: of.facts,
            smtputf8: of.smtputf8,
            eight_bit: true,
            stamp: None,
        }
    }

    pub(crate) fn header<'a>(&'a self, id: &'a str, encoding: Option<NewEncoding>) -> message::Plan<'a> {
        message::Plan {
            id,
            host: self.host,
            client: self.client,
            date: self.date,
            author: self.author,
            rewriting: self.rewriting.as_ref(),
            edits: self.edits,
            smtputf8: self.smtputf8,
            encoding,
        }
    }
}

impl Signers {
    fn header(&mut self, section: &[u8]) {
        self.signing.iter_mut().for_each(|signing| signing.header(section));
        self.sealing.iter_mut().for_each(|sealing| sealing.header(section));
    }

    fn body(&mut self, piece: &[u8]) {
        self.signing.iter_mut().for_each(|signing| signing.body(piece));
        self.sealing.iter_mut().for_each(|sealing| sealing.body(piece));
    }

    /// The fields that they come to; the seal covers the signature. A message that was sealed before goes on as it is.
    fn finish(self, stamp: &Stamp<'_>) -> Result<Vec<u8>, dkim::SignError> {
        let signature = self.signing.map(|signing| signing.finish(stamp.now)).transpose()?.unwrap_or_default();
        let sealed = self.sealing.map(|sealing| sealing.finish(&signature, &stamp.arrival, stamp.now)).transpose()?;
        Ok(match sealed {
            Some(dkim::Sealed::Set(set)) => [set, signature].concat(),
            Some(dkim::Sealed::SealedBefore) | None => signature,
        })
    }
}

/// What signs a message of these authors. `None`: it goes unsigned.
pub(crate) fn signing(keys: &dkim::Keys, authors: &Authors) -> Option<dkim::Signing> {
    authors.from.first().and_then(|author| keys.signing(author.mailbox.domain()))
}

/// Fields that say how a body is to be read: they change with it.
fn is_of_mime(name: &str) -> bool {
    matches!(name, "mime-version" | "content-type" | "content-transfer-encoding")
}

/// What SMTP does not carry (RFC 5321 §2.3.8, §4.5.3.1.6; RFC 5322 §2.2).
fn is_malformed(facts: &ContentFacts) -> bool {
    facts.bare_line_ends || facts.nul || facts.longest_line > LINE
}
