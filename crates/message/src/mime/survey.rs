//! The first pass: what in a body a next hop would not take, and what is to be done about each part.
//!
//! In: the body, in pieces. Out: the plan. Memory: the open levels, some facts on each, and the changes found so far.

use super::entity::{Entity, Kind};
use super::findings::{Findings, Trouble};
use super::head::{self, Rewriting, Written};
use super::media::Declared;
use super::plan::{BodyPlan, Change, NewEncoding, TransferEncoding, Treatment};
use super::walk::{End, Region, Start, Visit, Walk};

/// Notes that are kept one by one.
const NOTES: usize = 20;

/// What the message's header section says of its body: the values of its first Content-Type and of its first
/// Content-Transfer-Encoding, folded or not; `None`: there is no such field. Whether there is a MIME-Version does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopPart<'a> {
    /// `multipart/mixed; boundary=x`
    pub content_type: Option<&'a [u8]>,
    /// `8bit`
    pub content_transfer_encoding: Option<&'a [u8]>,
}

impl<'a> TopPart<'a> {
    /// Of a header section as it is sent.
    pub fn of(section: &'a [u8]) -> Self {
        let (content_type, content_transfer_encoding) = head::media_fields(section);
        Self { content_type, content_transfer_encoding }
    }
}

/// What the next hop cannot take, beyond what no hop can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// An octet over 127: it has no 8BITMIME (RFC 6152).
    pub seven_bit: bool,
}

/// See the head of this file.
pub struct Survey {
    walk: Walk,
    surveyor: Surveyor,
}

impl Survey {
    /// Of the body that belongs to this header section.
    pub fn new(top: TopPart<'_>, needs: Needs) -> Self {
        let seven_bit = needs.seven_bit;
        let top = Entity::new(0, None, top.content_type, top.content_transfer_encoding, seven_bit);
        let start = Start { top, seven_bit };
        Self { walk: Walk::new(start.clone()), surveyor: Surveyor::new(start) }
    }

    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.walk.push(piece, &mut self.surveyor);
    }

    /// The body is whole.
    pub fn finish(self) -> BodyPlan {
        let Self { walk, mut surveyor } = self;
        walk.finish(&mut surveyor);
        surveyor.finish()
    }
}

/// A multipart or message, and what was found in it.
#[derive(Default)]
struct Level {
    /// Before its first part.
    preamble: Findings,
    epilogue: Findings,
    /// A part of it was seen. Without any its text is all that a reader is shown.
    parts: bool,
    /// A part in it will be encoded.
    encoded: bool,
    /// An octet over 127 will still be in it.
    eight_bit: bool,
}

/// The signed part that was last seen.
#[derive(Default)]
struct Signed {
    /// The multipart/signed.
    by: Option<u32>,
    /// It has to change for any next hop.
    broken: bool,
    /// It has to change because this one takes 7-bit only: which part.
    seven_bit: Option<String>,
}

struct Surveyor {
    start: Start,
    levels: Vec<Level>,
    leaf: Findings,
    changes: Vec<(u32, Change)>,
    signed: Signed,
    breaks_signed_part: bool,
    /// A line of the structure has a bare line end.
    structure: bool,
    /// A header section is written otherwise.
    heads: bool,
    /// A multipart lacks its last delimiter.
    unclosed: bool,
    refusal: Option<String>,
    notes: Vec<String>,
    more_notes: usize,
    scratch: Vec<u8>,
}

impl Surveyor {
    fn new(start: Start) -> Self {
        Self {
            start,
            levels: Vec::new(),
            leaf: Findings::default(),
            changes: Vec::new(),
            signed: Signed::default(),
            breaks_signed_part: false,
            structure: false,
            heads: false,
            unclosed: false,
            refusal: None,
            notes: Vec::new(),
            more_notes: 0,
            scratch: Vec::new(),
        }
    }

    fn finish(mut self) -> BodyPlan {
        self.end_signed();
        if self.structure {
            self.note("bare line ends between parts and in their header sections written as CRLF".to_owned());
        }
        let identity = self.changes.is_empty() && !self.structure && !self.heads && self.refusal.is_none();
        if self.unclosed && !identity {
            self.note("missing last delimiters added".to_owned());
        }
        if self.refusal.is_some() {
            self.notes.clear();
        } else if self.more_notes > 0 {
            self.notes.push(format!("and {} more", self.more_notes));
        }
        // A level's change is known at its end, after those of its parts.
        self.changes.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        BodyPlan {
            start: self.start,
            identity,
            changes: self.changes.into(),
            refusal: self.refusal,
            notes: self.notes,
            breaks_signed_part: self.breaks_signed_part,
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES { self.notes.push(note) } else { self.more_notes += 1 }
    }

    fn refuse(&mut self, entity: &Entity, why: &str) {
        self.refusal.get_or_insert_with(|| format!("{} {why}", entity.name()));
    }

    /// More than line ends will change in what may be signed.
    fn alters(&mut self, entity: &Entity, only_eight_bit: bool) {
        let Some(by) = entity.signed_in else { return };
        if self.signed.by != Some(by) {
            self.end_signed();
            self.signed.by = Some(by);
        }
        if only_eight_bit {
            self.signed.seven_bit.get_or_insert_with(|| entity.name());
        } else {
            self.signed.broken = true;
        }
    }

    /// If it must change in any case, it does not matter that 7-bit asks for more.
    fn end_signed(&mut self) {
        let signed = std::mem::take(&mut self.signed);
        self.breaks_signed_part |= signed.broken;
        if let (Some(name), false) = (signed.seven_bit, signed.broken) {
            self.refusal
                .get_or_insert(format!("{name} is signed and has 8-bit octets, and the next hop takes 7-bit only"));
        }
    }

    fn eight_bit_remains(&mut self, found: bool) {
        if let Some(level) = self.levels.last_mut() {
            level.eight_bit |= found;
        }
    }

    // --- parts

    fn leave_leaf(&mut self, entity: &Entity) {
        let findings = std::mem::take(&mut self.leaf);
        let trouble = findings.trouble(self.start.seven_bit);
        let treatment = treatment(entity, trouble, findings.dense());
        match treatment {
            Some(Treatment::Keep) => self.eight_bit_remains(findings.eight_bit()),
            Some(Treatment::LineEnds) => {
                self.eight_bit_remains(findings.eight_bit());
                self.change(entity, Change { content: Treatment::LineEnds, ..Change::default() });
                self.note(format!("bare line ends in {} written as CRLF", entity.name()));
            }
            Some(treatment) => self.encode(entity, treatment, trouble, &findings),
            None => {
                self.eight_bit_remains(findings.eight_bit());
                let why = match entity.kind {
                    Kind::Opaque => "lies beyond what is read of a message",
                    _ => "may not be encoded",
                };
                self.refuse(entity, &format!("{why}, and has {}", trouble.words()));
            }
        }
    }

    fn encode(&mut self, entity: &Entity, treatment: Treatment, trouble: Trouble, findings: &Findings) {
        let (encoding, stated) = match treatment {
            Treatment::Quote => (TransferEncoding::QuotedPrintable, true),
            Treatment::Requote => (TransferEncoding::QuotedPrintable, false),
            Treatment::Rewrap => (TransferEncoding::Base64, false),
            _ => (TransferEncoding::Base64, true),
        };
        let charset = findings.charset();
        let encoding_field = stated.then_some(NewEncoding { encoding, charset });
        self.change(entity, Change { encoding: encoding_field, content: treatment, ..Change::default() });
        self.alters(entity, trouble.only_eight_bit());
        if let Some(level) = self.levels.last_mut() {
            level.encoded = true;
        }
        self.note(format!("{} re-encoded as {encoding}: {}", entity.name(), trouble.words()));
    }

    fn change(&mut self, entity: &Entity, change: Change) {
        if change != Change::default() {
            self.changes.push((entity.ordinal, change));
        }
    }

    // --- header sections

    fn head_trouble(&mut self, entity: &Entity, written: Written, eight_bit: bool) {
        if written.mended {
            self.note(format!("header section of {} written without long lines and NUL", entity.name()));
        }
        if written.encoded {
            self.note(format!("header section of {} written without 8-bit octets", entity.name()));
        }
        if written.unfoldable {
            self.refuse(entity, "has a line over 998 octets in its header section, and no blank in it");
        }
        self.eight_bit_remains(eight_bit);
        if eight_bit && self.start.seven_bit {
            self.refuse(entity, "has 8-bit octets in its header section, and the next hop takes 7-bit only");
        }
    }

    // --- levels

    fn leave_level(&mut self, entity: &Entity) {
        let Some(mut level) = self.levels.pop() else { return };
        let around = (level.parts, &mut level.eight_bit);
        let content = self.around(entity, around, &level.preamble, "before its first part");
        let around = (level.parts, &mut level.eight_bit);
        let epilogue = self.around(entity, around, &level.epilogue, "after its last part");
        let encoding = level.encoded.then(|| relabelled(entity, level.eight_bit, self.start.seven_bit)).flatten();
        let encoding = encoding.map(|encoding| NewEncoding { encoding, charset: None });
        self.change(entity, Change { encoding, content, epilogue });
        self.eight_bit_remains(level.eight_bit);
        if let Some(above) = self.levels.last_mut() {
            above.encoded |= level.encoded;
        }
    }

    /// Text around parts, if there are `parts`.
    fn around(
        &mut self,
        entity: &Entity,
        (parts, eight_bit): (bool, &mut bool),
        found: &Findings,
        place: &str,
    ) -> Treatment {
        let trouble = found.trouble(self.start.seven_bit);
        if trouble.beyond_line_ends() && !parts {
            self.refuse(entity, &format!("has no part with its boundary, and has {}", trouble.words()));
        } else if trouble.beyond_line_ends() {
            self.alters(entity, trouble.only_eight_bit());
            self.note(format!("text of {} {place} left out: {}", entity.name(), trouble.words()));
            return Treatment::Omit;
        }
        *eight_bit |= found.eight_bit();
        self.structure |= trouble.bare();
        if trouble.bare() { Treatment::LineEnds } else { Treatment::Keep }
    }
}

/// `None`: nothing can be done without loss.
fn treatment(entity: &Entity, trouble: Trouble, dense: bool) -> Option<Treatment> {
    if !trouble.any() {
        return Some(Treatment::Keep);
    }
    Some(match (&entity.kind, entity.declared) {
        (Kind::Leaf { .. }, _) if entity.is_of_fields() && !trouble.beyond_line_ends() => Treatment::LineEnds,
        (Kind::Leaf { .. }, Declared::Base64) if trouble.beyond_line_ends() => Treatment::Rewrap,
        (Kind::Leaf { .. }, Declared::Base64) => Treatment::LineEnds,
        (Kind::Leaf { text: true }, _) if entity.signed_in.is_some() && trouble.only_bare_lf() => Treatment::LineEnds,
        (Kind::Leaf { .. }, Declared::QuotedPrintable) => Treatment::Requote,
        (Kind::Leaf { text: true }, _) if !dense => Treatment::Quote,
        (Kind::Leaf { .. }, _) => Treatment::Base64,
        (Kind::Lines, _) if !trouble.beyond_line_ends() => Treatment::LineEnds,
        _ => return None,
    })
}

/// What a multipart or message has to declare now that parts in it are encoded.
fn relabelled(entity: &Entity, eight_bit: bool, seven_bit: bool) -> Option<TransferEncoding> {
    match entity.declared {
        Declared::Binary if eight_bit => Some(TransferEncoding::EightBit),
        Declared::Binary => Some(TransferEncoding::SevenBit),
        Declared::EightBit if seven_bit && !eight_bit => Some(TransferEncoding::SevenBit),
        _ => None,
    }
}

impl Visit for Surveyor {
    fn head(&mut self, entity: &Entity, section: &[u8]) {
        if let Some(level) = self.levels.last_mut() {
            level.parts = true;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let rewriting = Rewriting { encoding: None, message: entity.is_message, seven_bit: self.start.seven_bit };
        let written = head::write(section, rewriting, &mut scratch);
        self.head_trouble(entity, written, !scratch.is_ascii());
        if written.mended || written.encoded {
            self.heads = true;
            self.alters(entity, !written.mended);
        } else {
            self.structure |= scratch != section;
        }
        self.scratch = scratch;
    }

    fn enter(&mut self, entity: &Entity) {
        match entity.kind {
            Kind::Multipart { .. } | Kind::Message => self.levels.push(Level::default()),
            Kind::Leaf { text } => self.leaf = Findings::new(text && !entity.typed),
            Kind::Lines | Kind::Opaque => self.leaf = Findings::default(),
        }
    }

    fn content(&mut self, entity: &Entity, region: Region, octets: &[u8]) {
        match (self.levels.last_mut(), region) {
            (Some(level), Region::Content) if entity.kind.is_level() => level.preamble.push(octets),
            (Some(level), Region::Epilogue) => level.epilogue.push(octets),
            _ => self.leaf.push(octets),
        }
    }

    fn unclosed(&mut self, entity: &Entity, _boundary: &[u8]) {
        self.unclosed |= entity.signed_in.is_none();
    }

    fn leave(&mut self, entity: &Entity, _last: bool) {
        if entity.kind.is_level() { self.leave_level(entity) } else { self.leave_leaf(entity) }
    }

    fn delimiter(&mut self, before: End, line: &[u8]) {
        self.structure |= before.is_bare();
        if !line.is_ascii() {
            self.eight_bit_remains(true);
            if self.start.seven_bit {
                self.refusal
                    .get_or_insert_with(|| "a boundary has 8-bit octets, and the next hop takes 7-bit only".to_owned());
            }
        }
    }

    fn line_end(&mut self, end: End) {
        self.structure |= end.is_bare();
    }
}
