//! Patterns of reverse-paths that a client entry may use.

use std::str::FromStr;

use smtp::{Mailbox, ReversePath};

/// `user@domain`, `*@domain`, `*@*.domain` (any depth below the domain, not the domain itself) or `*`; compared without
/// regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Domain(String),
    Below(String),
    Mailbox(Mailbox),
}

/// Not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pattern of senders: write user@domain, *@domain, *@*.domain or *")]
pub struct SenderPatternError(pub String);

impl FromStr for SenderPattern {
    type Err = SenderPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || SenderPatternError(text.to_owned());
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

impl SenderPattern {
    /// The null reverse-path matches every pattern: notifications have no sender to check.
    pub fn matches(&self, reverse_path: &ReversePath) -> bool {
        let ReversePath::Mailbox(mailbox) = reverse_path else { return true };
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
            let matches = pattern.parse::<SenderPattern>().unwrap().matches(&format!("<{path}>").parse().unwrap());
            assert_eq!(matches, expected, "{pattern} {path}");
        }
        assert!("billing@contoso.com".parse::<SenderPattern>().unwrap().matches(&ReversePath::Null));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "contoso.com", "*@", "a*@contoso.com", "*@*", "*@*.*.com", "a@b@c", "*@contoso..com"] {
            assert!(text.parse::<SenderPattern>().is_err(), "{text}");
        }
    }
}
