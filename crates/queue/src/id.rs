//! The id that a message has from its first byte to its last outcome: in the trace field, in logs, in every command.
//!
//! 64 bits: milliseconds since 2020-01-01 in the upper 42, below them 22 bits that grow within a millisecond. Ordered by
//! time, unique within a spool, and unique between nodes for all practical purposes (the lower bits start at random).
//! Written as 13 characters of Crockford's base 32, upper case; read in any case, with `O` as 0, `I` and `L` as 1.

use serde::{Deserialize, Serialize};

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(u64);

/// Not 13 characters of Crockford's base 32, or over 63 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a message id: 13 letters and digits, as `posthouse queue` prints them")]
pub struct MessageIdError(pub String);

impl MessageId {
    /// The id after `last` at `now`: never smaller than or equal to `last`, whatever the clock does. `random` fills the lower bits.
    pub fn next(last: Option<Self>, now: jiff::Timestamp, random: u32) -> Self {
        let _ = (last, now, random);
        todo!()
    }
    /// As stored in a database: never negative.
    pub fn to_i64(self) -> i64 {
        todo!()
    }
    /// From a database.
    pub fn from_i64(value: i64) -> Option<Self> {
        let _ = value;
        todo!()
    }
}

impl TryFrom<String> for MessageId {
    type Error = MessageIdError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        let _ = value;
        todo!()
    }
}
impl From<MessageId> for String {
    fn from(value: MessageId) -> Self {
        let _ = value;
        todo!()
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}
impl std::str::FromStr for MessageId {
    type Err = MessageIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let _ = text;
        todo!()
    }
}
