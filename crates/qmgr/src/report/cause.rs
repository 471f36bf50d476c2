//! When two failures have one cause: the same status, and the same reason but for what differs from message to message.

use super::fate::Fate;

/// Octets of a normalised reason.
const REASON: usize = 120;

/// Stable over restarts and releases; equal for one cause.
pub(super) fn key(fate: &Fate) -> String {
    name(&[fate.action.keyword(), &fate.status.to_string(), &normalised(&fate.reason)])
}

/// A short name for texts, safe in a key.
pub(super) fn name(texts: &[&str]) -> String {
    // FNV-1a. Whoever finds two texts of one name gets a wrong count in a digest, and nothing else.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in texts.iter().flat_map(|text| text.bytes().chain([0])) {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// Without addresses, numbers and ids, without case.
fn normalised(reason: &str) -> String {
    let mut text = String::with_capacity(REASON + 16);
    for word in
        reason.split(|c: char| c.is_whitespace() || "<>()[]{}\"',;:=".contains(c)).filter(|word| !word.is_empty())
    {
        if text.len() > REASON {
            break;
        }
        let varies = word.contains('@') || word.contains(|c: char| c.is_ascii_digit());
        text.push_str(if varies { "#" } else { word });
        text.push(' ');
    }
    text.truncate(text.floor_char_boundary(REASON));
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_message_to_message_is_left_out() {
        let one = "550 5.1.1 <anna@example.net>: User unknown [AM0PR01.outlook.com 2026-11-21T01:46:35Z]";
        let other = "550 5.1.1 <ben@example.com>: user unknown [AM1PR77.outlook.com 2026-11-22T07:11:00Z]";
        assert_eq!(normalised(one), normalised(other));
        assert_ne!(normalised(one), normalised("550 5.1.1 <anna@example.net>: mailbox full"));
        assert!(normalised(&"ü ".repeat(500)).len() <= REASON);
    }

    #[test]
    fn names_are_stable() {
        assert_eq!(name(&["a", "b"]), "ab40d7820d408076");
        assert_ne!(name(&["a", "b"]), name(&["ab", ""]));
    }
}
