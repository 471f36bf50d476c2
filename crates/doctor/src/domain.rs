//! A domain name, checked once.
//!
//! In: text. Out: its labels in lower case, international ones as A-labels, without the final dot. Underscores are allowed:
//! `_dmarc` and the like are names too.

use std::fmt;

use hickory_resolver::proto::rr::Name;
use serde::Serialize;

/// A name of at least one label, at most 253 octets, lower case, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

/// Not a domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no domain name")]
pub struct NotADomain(pub String);

impl DomainName {
    /// RFC 1035, section 2.3.1, and underscores; international labels become A-labels.
    pub fn parse(text: &str) -> Result<Self, NotADomain> {
        let wrong = || NotADomain(text.chars().take(300).collect());
        let bare = text.strip_suffix('.').unwrap_or(text);
        let ascii = if bare.is_ascii() {
            bare.to_ascii_lowercase()
        } else {
            Name::from_utf8(bare).map_err(|_| wrong())?.to_ascii().to_ascii_lowercase()
        };
        let good = !ascii.is_empty() && ascii.len() <= 253 && ascii.split('.').all(is_label);
        if good { Ok(Self(ascii)) } else { Err(wrong()) }
    }

    /// Without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `zone` or lies in it.
    pub fn is_in(&self, zone: &str) -> bool {
        self.0.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// `labels`, a dot, this name.
    pub(crate) fn child(&self, labels: &str) -> Result<Self, NotADomain> {
        Self::parse(&format!("{labels}.{}", self.0))
    }

    pub(crate) fn labels(&self) -> usize {
        self.0.split('.').count()
    }

    /// Its last `labels` labels; the whole name if it has no more.
    pub(crate) fn suffix(&self, labels: usize) -> Self {
        let surplus = self.labels().saturating_sub(labels.max(1));
        Self(self.0.split('.').skip(surplus).collect::<Vec<_>>().join("."))
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for DomainName {
    type Err = NotADomain;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_a_labels_without_the_final_dot() {
        for (text, name) in [
            ("Contoso.COM.", "contoso.com"),
            ("_dmarc.contoso.com", "_dmarc.contoso.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.Example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("com", "com"),
        ] {
            assert_eq!(DomainName::parse(text).map(|name| name.0), Ok(name.to_owned()));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let label = "a".repeat(64);
        let long = ["a".repeat(63).as_str(); 4].join(".");
        for text in ["", ".", "a..b", "a b.com", "%{i}.example", "user@contoso.com", &label, &long] {
            assert!(DomainName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_in_its_zones_and_in_no_other() {
        let name = DomainName::parse("a.contoso.com").unwrap();
        assert!(name.is_in("contoso.com") && name.is_in("a.contoso.com"));
        assert!(!name.is_in("ontoso.com") && !name.is_in("b.a.contoso.com"));
        assert_eq!([9, 2, 1, 0].map(|n| name.suffix(n).0), ["a.contoso.com", "contoso.com", "com", "com"]);
    }
}
