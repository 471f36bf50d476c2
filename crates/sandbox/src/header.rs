//! What Exchange reads from a header section and what it changes in it.

use std::ops::Range;

use mail_parser::{Address, HeaderValue, MessageParser};

/// Exchange's limit of one header field's value.
const FIELD: usize = 32_768;

/// What the rules ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderFacts {
    /// Addresses of all From fields.
    pub(crate) from: Vec<String>,
    /// Address of Sender.
    pub(crate) sender: Vec<String>,
    pub(crate) subject: Option<String>,
    /// With its angle brackets, as received.
    pub(crate) message_id: Option<String>,
    /// Name and octets of the first field that is too long.
    pub(crate) oversized: Option<(String, usize)>,
}

/// Reads it.
pub(crate) fn read(header_section: &[u8]) -> HeaderFacts {
    let mut facts = HeaderFacts::default();
    for field in fields(header_section) {
        let bytes = header_section.get(field).unwrap_or_default();
        let Some((name, value)) = split(bytes) else { continue };
        if value.len() > FIELD && facts.oversized.is_none() {
            facts.oversized = Some((name.to_owned(), value.len()));
        }
        if name.eq_ignore_ascii_case("Message-ID") && facts.message_id.is_none() {
            facts.message_id = Some(String::from_utf8_lossy(value.trim_ascii()).into_owned());
        }
    }
    let Some(message) = MessageParser::default().parse_headers(header_section) else { return facts };
    let addresses = |name: &'static str| -> Vec<String> {
        message
            .header_values(name)
            .flat_map(|value| match value {
                HeaderValue::Address(list) => addresses_of(list),
                _ => Vec::new(),
            })
            .collect()
    };
    facts.from = addresses("From");
    facts.sender = addresses("Sender");
    facts.subject = message.subject().map(str::to_owned);
    facts
}

fn addresses_of(list: &Address<'_>) -> Vec<String> {
    list.iter().filter_map(|one| one.address.as_deref()).map(str::to_owned).collect()
}

/// The header section as the mailbox keeps it: Exchange's Message-ID in place of the sender's, which moves to
/// `X-Microsoft-Original-Message-ID`, and a trace field on top.
pub(crate) fn rewrite(header_section: &[u8], message_id: &str, trace: &str) -> Vec<u8> {
    let mut written = Vec::with_capacity(header_section.len() + 400);
    written.extend_from_slice(trace.as_bytes());
    written.extend_from_slice(format!("Message-ID: <{message_id}>\r\n").as_bytes());
    let mut end = 0;
    for field in fields(header_section) {
        end = field.end;
        let bytes = header_section.get(field).unwrap_or_default();
        match split(bytes) {
            Some((name, value)) if name.eq_ignore_ascii_case("Message-ID") => {
                written.extend_from_slice(b"X-Microsoft-Original-Message-ID:");
                written.extend_from_slice(value);
                written.extend_from_slice(b"\r\n");
            }
            _ => written.extend_from_slice(bytes),
        }
    }
    written.extend_from_slice(header_section.get(end..).unwrap_or_default());
    written
}

/// Name and value (unfolded nowhere, without the last CRLF) of a field.
fn split(field: &[u8]) -> Option<(&str, &[u8])> {
    let colon = memchr::memchr(b':', field)?;
    let (name, value) = field.split_at_checked(colon)?;
    let value = value.get(1..)?;
    Some((std::str::from_utf8(name).ok()?.trim_end(), value.strip_suffix(b"\r\n").unwrap_or(value)))
}

/// Each field with its folded lines and CRLF, without the empty line.
fn fields(header_section: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut end = start;
        loop {
            let rest = header_section.get(end..)?;
            if rest.is_empty() || (end == start && rest.starts_with(b"\r\n")) {
                break;
            }
            if end > start && !rest.starts_with(b" ") && !rest.starts_with(b"\t") {
                break;
            }
            end += memchr::memmem::find(rest, b"\r\n").map_or(rest.len(), |at| at + 2);
        }
        (end > start).then(|| std::mem::replace(&mut start, end)..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_and_sender_are_addresses_whatever_their_form() {
        let header = b"From: =?utf-8?q?B=C3=BCro?= <relay@contoso.test>,\r\n \"a, b\" <b@contoso.test> (x)\r\n\
            Sender: s@contoso.test\r\nSubject: one\r\n two\r\nmessage-id: <m@x>\r\n\r\n";
        let facts = read(header);
        assert_eq!(facts.from, ["relay@contoso.test", "b@contoso.test"]);
        assert_eq!(facts.sender, ["s@contoso.test"]);
        assert_eq!(facts.message_id.as_deref(), Some("<m@x>"));
        assert_eq!(facts.subject.as_deref(), Some("one two"));
    }

    #[test]
    fn two_from_fields_count_both() {
        assert_eq!(read(b"From: a@x.test\r\nFrom: b@x.test\r\n\r\n").from, ["a@x.test", "b@x.test"]);
    }

    #[test]
    fn the_message_id_is_replaced_and_the_old_one_kept() {
        let header = b"Subject: a\r\nMessage-ID:\r\n <old@x>\r\nTo: b\r\n\r\n";
        let written = rewrite(header, "new@y", "Received: by z\r\n");
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "Received: by z\r\nMessage-ID: <new@y>\r\nSubject: a\r\n\
             X-Microsoft-Original-Message-ID:\r\n <old@x>\r\nTo: b\r\n\r\n"
        );
    }

    #[test]
    fn a_field_over_32768_octets_is_found() {
        let header = format!("Subject: a\r\nAutocrypt: {}\r\n\r\n", "x".repeat(40_000));
        assert_eq!(read(header.as_bytes()).oversized, Some(("Autocrypt".to_owned(), 40_001)));
        assert_eq!(read(b"Subject: a\r\n\r\n").oversized, None);
    }

    #[test]
    fn odd_header_sections_harm_nothing() {
        for header in
            [&b""[..], b"\r\n", b"no colon\r\n\r\n", b" folded first\r\n", b"A: 1", b"From:\r\n\r\n", b":\r\n\r\n"]
        {
            let _ = read(header);
            assert!(rewrite(header, "i", "").ends_with(header.get(header.len().saturating_sub(2)..).unwrap()));
        }
    }
}
