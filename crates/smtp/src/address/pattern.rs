//! Patterns of addresses: which senders a client may use, which recipients it may reach, what a mailbox may send as.

use std::str::FromStr;

use crate::Mailbox;

/// `user@domain`, `*@domain`, `*@*.domain` (any depth below the domain, not the domain itself) or `*`; compared without
/// regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Domain(String),
    Below(String),
    Mailbox(Mailbox),
}

/// Not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pattern of addresses: write user@domain, *@domain, *@*.domain or *")]
pub struct AddressPatternError(pub String);

impl FromStr for AddressPattern {
    type Err = AddressPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || AddressPatternError(text.to_owned());
        let domain = |domain: &str| {
            let example: Mailbox = format!("x@{domain}").parse().map_err(|_| wrong())?;
            Ok(example.domain().to_owned())
        };
        let kind = if text == "*" {
            Kind::Any
        } else if let Some(below) = text.strip_prefix("*@*.") {
            Kind::Below(domain(below)?)
        } else if let Some(whole) = text.strip_prefix("*@") {
            Kind::Domain(domain(whole)?)
        } else if text.contains('*') {
            return Err(wrong());
        } else {
            Kind::Mailbox(text.parse().map_err(|_| wrong())?)
        };
        Ok(Self(kind))
    }
}

impl AddressPattern {
    /// Whether this is `*`, which names nobody.
    pub fn is_any(&self) -> bool {
        self.0 == Kind::Any
    }
    /// Whether this address is one of those meant.
    pub fn matches(&self, mailbox: &Mailbox) -> bool {
        match &self.0 {
            Kind::Any => true,
            Kind::Domain(domain) => mailbox.domain().eq_ignore_ascii_case(domain),
            Kind::Below(domain) => is_below(mailbox.domain(), domain),
            Kind::Mailbox(allowed) => mailbox.same_as(allowed),
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    let Some(at) = name.len().checked_sub(domain.len()).filter(|at| *at > 1) else { return false };
    name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
        && name.get(..at).is_some_and(|s| s.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say_and_nothing_else() {
        let cases = [
            ("*", "a@b.example", true),
            ("*@contoso.com", "Printer@CONTOSO.com", true),
            ("*@contoso.com", "printer@mail.contoso.com", false),
            ("*@contoso.com", "printer@notcontoso.com", false),
            ("*@*.contoso.com", "printer@mail.Contoso.com", true),
            ("*@*.contoso.com", "printer@a.b.contoso.com", true),
            ("*@*.contoso.com", "printer@contoso.com", false),
            ("*@*.contoso.com", "printer@notcontoso.com", false),
            ("billing@contoso.com", "Billing@Contoso.Com", true),
            ("billing@contoso.com", "billing2@contoso.com", false),
        ];
        for (pattern, path, expected) in cases {
            let matches = pattern.parse::<AddressPattern>().unwrap().matches(&Mailbox::parse(path).unwrap());
            assert_eq!(matches, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "contoso.com", "*@", "a*@contoso.com", "*@*", "*@*.*.com", "a@b@c", "*@contoso..com"] {
            assert!(text.parse::<AddressPattern>().is_err(), "{text}");
        }
    }
}
