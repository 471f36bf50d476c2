//! The Message-ID of a message that came without one.
//!
//! In: the message, our name. Out: a header field, the same at every attempt, so that whoever gets the message twice can
//! tell; empty if the message has one. The spool keeps the message as it came: the field is added on the way out.
//! RFC 5322 §3.6.4; RFC 6409 §8.3 allows a submission server to add it.

use bytes::Bytes;
use queue::Message;

/// See the head of this file.
pub(crate) fn missing_field(message: &Message, hello: &str) -> Bytes {
    if message.header.message_id.is_some() {
        return Bytes::new();
    }
    let host: String = hello.chars().filter(|char| is_of_a_host(*char)).collect();
    let host = if host.is_empty() { "localhost" } else { &host };
    format!("Message-ID: <{}@{host}>\r\n", message.id).into()
}

/// Of a name or of an address in brackets.
fn is_of_a_host(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '[' | ']' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::message;

    #[test]
    fn a_message_without_an_id_gets_the_same_one_every_time_and_another_one_none() {
        let mut message = message(&["anna@contoso.test"]);
        assert_eq!(missing_field(&message, "relay.test"), "");
        message.header.message_id = None;
        let id = message.id;
        for (hello, host) in [
            ("relay.test", "relay.test"),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
            ("re lay>\r\nX: y", "relayX:y"),
            ("", "localhost"),
        ] {
            assert_eq!(missing_field(&message, hello), format!("Message-ID: <{id}@{host}>\r\n"));
        }
    }
}
