//! The message that is asked about: read from a file, or made of what the command line says.
//!
//! In: a file of any size, or the value of From. Out: its header section and what the relay would find in it. Never: more of the
//! file in memory than its header section may be long.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use message::{HeaderFacts, ScanError, ScanLimits, Scanner, Section};
use smtp::ReversePath;

/// Header fields of a message, as the listeners have it.
const FIELDS: usize = 1000;
/// Octets that are read at once.
const PIECE: usize = 64 << 10;
/// No message has this id: none of the fields is a trace field of ours.
const NO_ID: &str = "0000000000000";

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Mail {
    /// With the empty line after it.
    pub(super) section: Vec<u8>,
    pub(super) header: HeaderFacts,
    /// Octets of the whole, if they are known.
    pub(super) size: Option<u64>,
    /// Where the header section is from, in words.
    pub(super) whence: String,
}

impl Mail {
    /// From a file. Lines that end in LF alone count as any mail client would send them.
    pub(super) fn read(path: &Path, settings: &inbound::Settings) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read the message {}", path.display()))?;
        let mail = Self::scan(file, settings, format!("of {}", path.display()));
        mail.with_context(|| format!("cannot use the message {}", path.display()))
    }

    /// A well-formed message of this author.
    pub(super) fn made(
        from: Option<&str>,
        reverse_path: &ReversePath,
        settings: &inbound::Settings,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let from = from.map(str::to_owned).or_else(|| Some(reverse_path.mailbox()?.to_string()));
        let whence = match &from {
            Some(from) => format!("taken to be From: {from}"),
            None => "taken to have no From".to_owned(),
        };
        let field = from.map(|from| format!("From: {from}\r\n")).unwrap_or_default();
        let date = jiff::fmt::rfc2822::to_string(&now.to_zoned(TimeZone::UTC))?;
        let text = format!("{field}Date: {date}\r\nMessage-ID: <{NO_ID}@{}>\r\n\r\n", settings.hostname);
        Ok(Self { size: None, ..Self::scan(text.as_bytes(), settings, whence)? })
    }

    fn scan(mut reader: impl Read, settings: &inbound::Settings, whence: String) -> anyhow::Result<Self> {
        let limits = ScanLimits { header_section: settings.limits.header_section, fields: FIELDS };
        let mut scanner = Scanner::new(limits, &settings.hostname);
        let (mut line_ends, mut front, mut size) = (LineEnds::default(), Vec::new(), 0);
        let (mut buffer, mut piece) = (vec![0; PIECE], Vec::with_capacity(2 * PIECE));
        loop {
            let read = reader.read(&mut buffer)?;
            let Some(octets) = buffer.get(..read).filter(|octets| !octets.is_empty()) else { break };
            piece.clear();
            line_ends.push(octets, &mut piece);
            scanner.push(&piece).map_err(|error| refused(&error))?;
            size += piece.len() as u64;
            // The scanner lets no section pass that is longer than its limit.
            if front.len() <= limits.header_section {
                front.extend_from_slice(&piece);
            }
        }
        let end = Section::end_of(&front, NO_ID, true).unwrap_or(front.len());
        front.truncate(end);
        let (header, _) = scanner.finish();
        Ok(Self { section: front, header, size: Some(size), whence })
    }
}

fn refused(error: &ScanError) -> anyhow::Error {
    anyhow!("the relay would refuse it: {error}")
}

/// LF becomes CRLF, CRLF stays, wherever the pieces are cut.
#[derive(Default)]
struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    fn push(&mut self, octets: &[u8], to: &mut Vec<u8>) {
        for octet in octets {
            if *octet == b'\n' && !self.after_cr {
                to.push(b'\r');
            }
            to.push(*octet);
            self.after_cr = *octet == b'\r';
        }
    }
}

/// The value of a header field: one line.
pub(super) fn field_value(text: &str) -> Result<String, String> {
    match text.chars().any(char::is_control) {
        true => Err("a header field is one line without control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A number of octets: `12M` and `12 MiB` are 12 × 1,048,576, `12MB` is 12,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Octets(pub(super) u64);

impl FromStr for Octets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no size: write 12M, 500 KiB, 12MB or 40000");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let scale = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "kb" => 1_000,
            "m" | "mib" => 1 << 20,
            "mb" => 1_000_000,
            "g" | "gib" => 1 << 30,
            "gb" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        number.parse().ok().and_then(|number: u64| number.checked_mul(scale)).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> inbound::Settings {
        let text = "hostname = \"relay.contoso.test\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[client]]\nname = \"all\"\n\
            networks = [\"127.0.0.0/8\"]\n[[tenant]]\nname = \"contoso\"\nid = \"contoso.test\"\ndomains = [\"contoso.test\"]\n\
            [[tenant.path]]\nname = \"next\"\nkind = \"smarthost\"\naddress = \"127.0.0.1:9\"\ntls = \"none\"\n";
        config::parse(text, "posthouse.toml", Path::new("/nonexistent")).unwrap().inbound
    }

    #[test]
    fn sizes_are_numbers_with_or_without_a_unit() {
        for (text, octets) in [
            ("40000", Some(40_000)),
            ("12M", Some(12 << 20)),
            ("12 MiB", Some(12 << 20)),
            ("12mb", Some(12_000_000)),
            ("1g", Some(1 << 30)),
            ("7b", Some(7)),
            ("", None),
            ("M", None),
            ("-1", None),
            ("1.5M", None),
            ("12 parsecs", None),
            ("99999999999999999999", None),
            ("99999999999999G", None),
        ] {
            assert_eq!(text.parse().ok(), octets.map(Octets), "{text}");
        }
    }

    #[test]
    fn a_file_gives_header_section_and_size_as_a_client_would_send_it() {
        let text = "From: a@contoso.test\nSubject: x\n\nbody\r\nmore\n";
        let mail = Mail::scan(text.as_bytes(), &settings(), String::new()).unwrap();
        assert_eq!(mail.section, b"From: a@contoso.test\r\nSubject: x\r\n\r\n");
        assert_eq!(mail.size, Some(text.len() as u64 + 4));
        assert_eq!(mail.header.authors.from[0].mailbox.as_str(), "a@contoso.test");
    }

    #[test]
    fn a_file_whose_header_section_is_too_long_is_refused_and_not_read_into_memory() {
        let endless = std::io::repeat(b'a').take(1 << 30);
        let error = Mail::scan(b"X: ".chain(endless), &settings(), String::new()).unwrap_err();
        assert!(error.to_string().contains("header section is larger"), "{error}");
    }

    #[test]
    fn a_large_body_is_counted_and_not_kept() {
        let body = std::io::repeat(b'\n').take(1 << 20);
        let mail = Mail::scan(b"Subject: x\r\n\r\n".chain(body), &settings(), String::new()).unwrap();
        assert_eq!((mail.size, mail.section.len()), (Some(14 + (2 << 20)), 14));
    }

    #[test]
    fn without_a_file_the_author_is_given_or_the_reverse_path() {
        let path = "<scan@contoso.test>".parse().unwrap();
        let author = |from, path: &ReversePath| {
            let mail = Mail::made(from, path, &settings(), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(mail.size, None);
            mail.header.authors.from.first().map(|author| author.mailbox.to_string())
        };
        assert_eq!(author(None, &path).as_deref(), Some("scan@contoso.test"));
        assert_eq!(author(Some("Boss <boss@contoso.test>"), &path).as_deref(), Some("boss@contoso.test"));
        assert_eq!(author(None, &ReversePath::Null), None);
        assert!(field_value("a\r\nBcc: b").is_err() && field_value("Grüße <a@b.test>").is_ok());
    }
}
