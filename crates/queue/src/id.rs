//! The id that a message has from its first byte to its last outcome: in the trace field, in logs, in every command.
//!
//! 63 bits: milliseconds since 2020-01-01 in the upper 41 (enough until 2089), below them 22 bits that grow within a
//! millisecond. Ordered by time, unique within a spool, and unique between nodes for all practical purposes (the lower
//! bits start at random). Written as 13 characters of Crockford's base 32, upper case; read in any case, with `O` as 0,
//! `I` and `L` as 1.

use serde::{Deserialize, Serialize};

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(u64);

/// Not 13 characters of Crockford's base 32, or over 63 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a message id: 13 letters and digits, as `posthouse queue` prints them")]
pub struct MessageIdError(pub String);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 13;
const LOWER_BITS: u32 = 22;
/// 2020-01-01T00:00:00Z in milliseconds since 1970.
const EPOCH_MILLISECONDS: i64 = 1_577_836_800_000;
const LARGEST: u64 = i64::MAX as u64;

impl MessageId {
    /// The id after `last` at `now`: never smaller than or equal to `last`, whatever the clock does. `random` fills the lower bits.
    pub fn next(last: Option<Self>, now: jiff::Timestamp, random: u32) -> Self {
        let since = now.as_millisecond().saturating_sub(EPOCH_MILLISECONDS).max(0).unsigned_abs();
        let milliseconds = since.min(LARGEST >> LOWER_BITS);
        // The highest lower bit starts as 0: room for two million ids before they run into the next millisecond.
        let fresh = milliseconds << LOWER_BITS | u64::from(random >> (32 - (LOWER_BITS - 1)));
        match last {
            Some(last) if last.0 >> LOWER_BITS >= milliseconds => Self((last.0 + 1).min(LARGEST)),
            _ => Self(fresh),
        }
    }
    /// As stored in a database: never negative.
    pub fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }
    /// From a database.
    pub fn from_i64(value: i64) -> Option<Self> {
        u64::try_from(value).ok().map(Self)
    }
}

impl TryFrom<String> for MessageId {
    type Error = MessageIdError;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}
impl From<MessageId> for String {
    fn from(value: MessageId) -> Self {
        value.to_string()
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = [0; LENGTH];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl std::str::FromStr for MessageId {
    type Err = MessageIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || MessageIdError(text.chars().take(40).collect());
        if text.len() != LENGTH {
            return Err(refused());
        }
        let mut value = 0_u128;
        for octet in text.bytes() {
            value = value << 5 | u128::from(digit(octet).ok_or_else(refused)?);
        }
        u64::try_from(value).ok().filter(|value| *value <= LARGEST).map(Self).ok_or_else(refused)
    }
}

fn digit(octet: u8) -> Option<u8> {
    let wanted = match octet.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.iter().position(|known| *known == wanted).and_then(|position| u8::try_from(position).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(milliseconds: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(EPOCH_MILLISECONDS + milliseconds).unwrap()
    }

    #[test]
    fn an_id_is_thirteen_characters_and_reads_back_in_any_case_and_with_look_alikes() {
        let id = MessageId::from_i64(1).unwrap();
        assert_eq!(id.to_string(), "0000000000001");
        assert_eq!("000000000000i".parse(), Ok(id));
        assert_eq!("OOOOOOOOOOOOL".parse(), Ok(id));
        let id = MessageId::from_i64(i64::MAX).unwrap();
        assert_eq!(id.to_string(), "7ZZZZZZZZZZZZ");
        assert_eq!("7zzzzzzzzzzzz".parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"7ZZZZZZZZZZZZ\"");
        assert_eq!(serde_json::from_str::<MessageId>("\"7ZZZZZZZZZZZZ\"").unwrap(), id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "1", "00000000000011", "8000000000000", "ZZZZZZZZZZZZZ", "000000000000U", "00000000000é"] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
        assert_eq!(MessageId::from_i64(-1), None);
    }

    #[test]
    fn ids_of_one_millisecond_follow_each_other() {
        let first = MessageId::next(None, at(5), u32::MAX);
        let second = MessageId::next(Some(first), at(5), 0);
        assert_eq!(second.to_i64(), first.to_i64() + 1);
    }

    proptest! {
        #[test]
        fn an_id_is_greater_than_the_last_whatever_the_clock_does(
            steps in proptest::collection::vec((0_i64..2_000_000_000_000, any::<u32>()), 1..50)
        ) {
            let mut last = None;
            for (milliseconds, random) in steps {
                let next = MessageId::next(last, at(milliseconds - 1_000_000_000_000), random);
                prop_assert!(last < Some(next));
                prop_assert_eq!(MessageId::from_i64(next.to_i64()), Some(next));
                prop_assert_eq!(next.to_string().parse(), Ok(next));
                last = Some(next);
            }
        }
    }
}
