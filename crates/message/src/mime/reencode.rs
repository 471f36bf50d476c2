//! The second pass: the body as it is sent.
//!
//! In: the plan, and the body that it was made of, in pieces. Out: octets. What comes out does not depend on the cuts.

use std::sync::Arc;

use super::encode::Encoder;
use super::entity::Entity;
use super::head::{self, Rewriting};
use super::plan::{BodyPlan, Change};
use super::walk::{End, Region, Visit, Walk};

/// See the head of this file. Given another body than the one surveyed it writes some mail, and does not panic.
pub struct Reencoder {
    walk: Walk,
    changes: Arc<[(u32, Change)]>,
    seven_bit: bool,
    closing: bool,
    /// Of the content under way, from its first octet on.
    encoder: Option<Encoder>,
}

impl Reencoder {
    /// Of the body that the plan is for.
    pub fn new(plan: &BodyPlan) -> Self {
        Self {
            walk: Walk::new(plan.start.clone()),
            changes: plan.changes.clone(),
            seven_bit: plan.start.seven_bit,
            closing: !plan.is_identity(),
            encoder: None,
        }
    }

    /// The next piece; appends what can be said so far.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Self { walk, changes, seven_bit, closing, encoder } = self;
        walk.push(piece, &mut Writer { changes, seven_bit: *seven_bit, closing: *closing, encoder, out });
    }

    /// The body is whole; appends the rest.
    pub fn finish(self, out: &mut Vec<u8>) {
        let Self { walk, changes, seven_bit, closing, mut encoder } = self;
        walk.finish(&mut Writer { changes: &changes, seven_bit, closing, encoder: &mut encoder, out });
    }
}

struct Writer<'a> {
    changes: &'a [(u32, Change)],
    seven_bit: bool,
    closing: bool,
    encoder: &'a mut Option<Encoder>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn change(&self, entity: &Entity) -> Change {
        let found = self.changes.binary_search_by_key(&entity.ordinal, |(ordinal, _)| *ordinal);
        found.ok().and_then(|at| self.changes.get(at)).map(|(_, change)| *change).unwrap_or_default()
    }
}

impl Visit for Writer<'_> {
    fn head(&mut self, entity: &Entity, section: &[u8]) {
        let rewriting =
            Rewriting { encoding: self.change(entity).encoding, message: entity.is_message, seven_bit: self.seven_bit };
        head::write(section, rewriting, self.out);
    }

    fn enter(&mut self, _entity: &Entity) {
        *self.encoder = None;
    }

    fn content(&mut self, entity: &Entity, region: Region, octets: &[u8]) {
        let change = self.change(entity);
        let treatment = match region {
            Region::Content => change.content,
            Region::Epilogue => change.epilogue,
        };
        self.encoder.get_or_insert_with(|| Encoder::new(treatment)).push(octets, self.out);
    }

    /// What is encoded must be seen to end: there are readers that decode nothing up to a delimiter that never comes.
    fn unclosed(&mut self, entity: &Entity, boundary: &[u8]) {
        if self.closing && entity.signed_in.is_none() {
            *self.encoder = None;
            self.out.extend([b"\r\n--", boundary, b"--\r\n"].into_iter().flatten());
        }
    }

    fn leave(&mut self, _entity: &Entity, last: bool) {
        if let Some(encoder) = self.encoder.take() {
            encoder.finish(last, self.out);
        }
    }

    fn delimiter(&mut self, before: End, line: &[u8]) {
        *self.encoder = None;
        if before != End::None {
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(line);
    }

    fn line_end(&mut self, _end: End) {
        self.out.extend_from_slice(b"\r\n");
    }
}
