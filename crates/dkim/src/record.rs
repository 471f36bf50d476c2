//! The DNS record that goes with a key, ready to be published (RFC 6376 §3.6.1, RFC 8463 §4).

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::key::Key;
use crate::name::{Domain, Selector};

/// A TXT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// `selector._domainkey.domain`, without a last dot.
    pub name: String,
    /// `v=DKIM1; k=rsa; p=…`, as one text: what most DNS providers' forms want.
    pub value: String,
}

/// RFC 1035 §3.3: a character-string holds at most so many octets.
const LONGEST_STRING: usize = 255;

impl Key {
    /// To be published.
    pub fn record(&self) -> DnsRecord {
        let value = format!("v=DKIM1; k={}; p={}", self.algorithm().key_type(), self.published());
        DnsRecord { name: record_name(self.selector(), self.domain()), value }
    }

    /// The value of `p=`.
    pub(crate) fn published(&self) -> String {
        BASE64_STANDARD.encode(self.public())
    }
}

/// Where the record of a key is: `selector._domainkey.domain`.
pub fn record_name(selector: &Selector, domain: &Domain) -> String {
    format!("{selector}._domainkey.{domain}")
}

impl DnsRecord {
    /// The strings that the record is made of, each of at most 255 octets.
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.value.as_str();
        std::iter::from_fn(move || {
            let (string, after) = rest.split_at_checked(LONGEST_STRING).unwrap_or((rest, ""));
            rest = after;
            (!string.is_empty()).then_some(string)
        })
    }

    /// As a line of a zone file, over several lines in parentheses.
    pub fn zone(&self) -> String {
        let mut text = format!("{}. IN TXT (", self.name);
        for string in self.strings() {
            let _ = write!(text, "\n    \"{string}\"");
        }
        text + " )"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, generate};

    fn key(algorithm: Algorithm) -> Key {
        let pem = generate(algorithm, 2048).unwrap();
        Key::from_pem("contoso.com".parse().unwrap(), "s1".parse().unwrap(), pem.expose().as_bytes()).unwrap()
    }

    #[test]
    fn the_record_of_rfc_8463() {
        let pem = include_bytes!("../tests/it/rfc8463-ed25519.pem");
        let key = Key::from_pem("football.example.com".parse().unwrap(), "brisbane".parse().unwrap(), pem).unwrap();
        let record = key.record();
        assert_eq!(record.name, "brisbane._domainkey.football.example.com");
        assert_eq!(record.value, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    }

    #[test]
    fn a_zone_file_has_strings_of_255_octets() {
        let record = key(Algorithm::RsaSha256).record();
        let strings: Vec<_> = record.strings().collect();
        assert_eq!(strings.iter().map(|string| string.len()).collect::<Vec<_>>(), [255, record.value.len() - 255]);
        assert_eq!(strings.concat(), record.value);
        let zone = record.zone();
        assert!(zone.starts_with("s1._domainkey.contoso.com. IN TXT (\n    \"v=DKIM1; k=rsa; p=MIIBIjAN"), "{zone}");
        assert!(zone.ends_with("\" )") && zone.matches('"').count() == 4, "{zone}");
        assert_eq!(key(Algorithm::Ed25519Sha256).record().zone().matches('"').count(), 2);
    }
}
