//! The two names under which a key is published: a domain (`d=`) and a selector (`s=`). Together they are the name of the
//! DNS record, and both stand in a header field: what is not a plain host name never gets here.

use std::fmt;
use std::str::FromStr;

/// The domain of a signature (`d=`): at least two labels of letters, digits, hyphens and underscores, in lower case. Names
/// in other scripts are written as A-labels (`xn--…`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

/// Which of a domain's keys (`s=`): one label or several (RFC 6376 §3.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(String);

/// Why a text is no domain or selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// See [`Domain`].
    #[error("\"{0}\" is no domain name: labels of letters, digits and hyphens with dots between, others as xn--…")]
    Domain(String),
    /// See [`Selector`].
    #[error("\"{0}\" is no selector: letters, digits and hyphens, such as \"posthouse-2026-11a\"")]
    Selector(String),
}

/// RFC 1035 §2.3.4, as text without the last dot.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Leaves room for `._domainkey.` and the domain.
const LONGEST_SELECTOR: usize = 63;

impl Domain {
    /// In lower case, without a last dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Selector {
    /// In lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let good = name.len() <= LONGEST_NAME && name.contains('.') && name.split('.').all(|l| is_label(l, true));
        if good { Ok(Self(name.to_ascii_lowercase())) } else { Err(NameError::Domain(text.to_owned())) }
    }
}

impl FromStr for Selector {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = text.len() <= LONGEST_SELECTOR && text.split('.').all(|label| is_label(label, false));
        if good { Ok(Self(text.to_ascii_lowercase())) } else { Err(NameError::Selector(text.to_owned())) }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// In lower case, labels in other scripts as A-labels (RFC 5890 §2.3.2.1), without a last dot. `None`: it is no name.
pub(crate) fn a_labels(name: &str) -> Option<String> {
    let ascii = match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        false => idna::domain_to_ascii(name).ok()?,
    };
    Some(ascii.strip_suffix('.').map_or_else(|| ascii.clone(), str::to_owned))
}

/// The name and all above it that could be a [`Domain`]: `a.b.example`, `b.example`.
pub(crate) fn itself_and_parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
        .filter(|name| name.contains('.'))
}

fn is_label(label: &str, underscore: bool) -> bool {
    let inner = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || (underscore && octet == b'_');
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_host_names_of_two_labels_or_more() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(text.parse::<Domain>().ok().as_ref().map(Domain::as_str), expected, "{text:?}");
        };
        check("Contoso.COM", Some("contoso.com"));
        check("contoso.com.", Some("contoso.com"));
        check("xn--mnchen-3ya.example", Some("xn--mnchen-3ya.example"));
        check("_x.example", Some("_x.example"));
        for bad in
            ["", ".", "com", "a..b", "münchen.example", "a.b;d=c", "a.b\r\nX: y", "-a.example", "a-.example", "a b.c"]
        {
            check(bad, None);
        }
        check(&format!("{}.example", "a".repeat(63)), Some(&format!("{}.example", "a".repeat(63))));
        check(&format!("{}.example", "a".repeat(64)), None);
        check(&format!("{}example", "a23456789.".repeat(25)), None);
    }

    #[test]
    fn selectors_are_labels() {
        let check = |text: &str, good: bool| assert_eq!(text.parse::<Selector>().is_ok(), good, "{text:?}");
        check("posthouse-2026-11a", true);
        check("s1.relay", true);
        for bad in ["", "a_b", "a;b", "a b", "a.", ".a", "-a"] {
            check(bad, false);
        }
    }

    #[test]
    fn parents_end_before_the_last_label() {
        let all: Vec<_> = itself_and_parents("a.b.contoso.com").collect();
        assert_eq!(all, ["a.b.contoso.com", "b.contoso.com", "contoso.com"]);
        assert_eq!(itself_and_parents("localhost").count(), 0);
    }
}
