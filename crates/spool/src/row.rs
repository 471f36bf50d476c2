//! What the database knows of a message: where its record lies, and the columns that questions are asked by.

use jiff::Timestamp;
use queue::{Class, LaneName, Message, MessageId, RecipientState};

/// A position in the segments; ordered as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// Where a message's record and body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Start of the record.
    pub(crate) place: Place,
    /// Octets of the record.
    pub(crate) octets: u64,
    /// Offset of the body in its segment; 0 if it is in a file of its own.
    pub(crate) body_at: u64,
    /// Octets of the body.
    pub(crate) size: u64,
    /// CRC-32 of the body.
    pub(crate) checksum: u32,
    /// The body is in a file of its own.
    pub(crate) big: bool,
}

impl Location {
    pub(crate) fn end(&self) -> Place {
        Place { segment: self.place.segment, offset: self.place.offset + self.octets }
    }
}

/// Recipients of one message by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) queued: i64,
    pub(crate) handed_over: i64,
    pub(crate) bounced: i64,
    pub(crate) expired: i64,
    pub(crate) removed: i64,
}

impl Counts {
    pub(crate) fn of(message: &Message) -> Self {
        let mut counts = Self::default();
        for recipient in &message.recipients {
            *match recipient.state {
                RecipientState::Queued { .. } => &mut counts.queued,
                RecipientState::HandedOver { .. } => &mut counts.handed_over,
                RecipientState::Bounced { .. } => &mut counts.bounced,
                RecipientState::Expired { .. } => &mut counts.expired,
                RecipientState::Removed { .. } => &mut counts.removed,
            } += 1;
        }
        counts
    }

    pub(crate) fn total(&self) -> i64 {
        self.queued + self.handed_over + self.bounced + self.expired + self.removed
    }
}

/// The columns of the table `message` that come from its document.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) lane: LaneName,
    pub(crate) class: Class,
    pub(crate) due: i64,
    pub(crate) held: bool,
    pub(crate) counts: Counts,
    pub(crate) accepted_at: i64,
}

impl Columns {
    pub(crate) fn of(message: &Message) -> Self {
        Self {
            lane: message.lane.clone(),
            class: message.class(),
            due: nanoseconds(message.due_at),
            held: message.hold.is_some(),
            counts: Counts::of(message),
            accepted_at: nanoseconds(message.accepted_at),
        }
    }
}

/// A row of the table `message`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: MessageId,
    pub(crate) columns: Columns,
    pub(crate) location: Location,
    pub(crate) document: String,
}

/// As in the columns `class`.
pub(crate) fn class_name(class: Class) -> &'static str {
    match class {
        Class::Urgent => "urgent",
        Class::New => "new",
        Class::Deferred => "deferred",
    }
}

/// As in all columns of instants. What lies outside (before 1678, after 2261) comes to the nearest end.
pub(crate) fn nanoseconds(at: Timestamp) -> i64 {
    let exact = at.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// The way back.
pub(crate) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::MAX)
}

/// As in the ledger: milliseconds, rounded up, so that nothing leaves a window too early.
pub(crate) fn milliseconds_up(at: Timestamp) -> i64 {
    let exact = at.as_nanosecond();
    let whole = exact.div_euclid(1_000_000);
    i64::try_from(if exact.rem_euclid(1_000_000) == 0 { whole } else { whole + 1 }).unwrap_or(i64::MAX)
}

/// For SQLite, whose integers have a sign.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// From SQLite.
pub(crate) fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
