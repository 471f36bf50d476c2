//! One SPF record as written. RFC 7208, sections 4.5, 4.6.1, 5, 6 and 12.
//!
//! In: the text of a TXT record. Out: its directives up to `all`, its redirect, and what will be ignored although somebody meant
//! something by it. A syntax error anywhere makes the whole record worthless (section 4.6), so the first one is the result.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::domain::DomainName;

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// Whom a mechanism asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The domain whose record this is.
    Same,
    Name(DomainName),
    /// With macros (section 7): known only when there is a message.
    Macros(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    All,
    Include(Target),
    A(Target),
    Mx(Target),
    Ptr,
    Address,
    Exists(Target),
}

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// In their order; none after `all`, for they are never reached.
    pub(crate) directives: Vec<(Qualifier, Mechanism)>,
    pub(crate) redirect: Option<Target>,
    /// Unknown modifiers that look like a mechanism with `=` in place of `:`.
    pub(crate) mistaken: Vec<String>,
}

const VERSION: &str = "v=spf1";

/// Section 4.5: the version stands alone, or a blank follows.
pub(crate) fn is_spf(text: &str) -> bool {
    let Some((version, rest)) = text.split_at_checked(VERSION.len()) else { return false };
    version.eq_ignore_ascii_case(VERSION) && (rest.is_empty() || rest.starts_with(' '))
}

impl Record {
    /// The error is the term that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut record = Self::default();
        let mut all_seen = false;
        let mut explained = false;
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            let wrong = || term.chars().take(100).collect::<String>();
            match modifier(term) {
                Some(("redirect", value)) if record.redirect.is_none() => {
                    record.redirect = Some(target(value).ok_or_else(wrong)?);
                }
                Some(("exp", _)) if !explained => explained = true,
                Some(("redirect" | "exp", _)) => return Err(wrong()),
                Some((name, _)) if is_mechanism(name) => record.mistaken.push(wrong()),
                Some(_) => {}
                None => {
                    let directive = directive(term).ok_or_else(wrong)?;
                    if !all_seen {
                        all_seen = directive.1 == Mechanism::All;
                        record.directives.push(directive);
                    }
                }
            }
        }
        Ok(record)
    }

    /// What becomes of everybody whom nothing else matched.
    pub(crate) fn all(&self) -> Option<Qualifier> {
        self.directives.iter().find(|(_, mechanism)| *mechanism == Mechanism::All).map(|(qualifier, _)| *qualifier)
    }
}

/// Name and value; names are letters, digits and `-_.` after a letter.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(inner);
    let known = ["redirect", "exp"].into_iter().find(|known| name.eq_ignore_ascii_case(known));
    named.then_some((known.unwrap_or(name), value))
}

fn is_mechanism(name: &str) -> bool {
    ["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn directive(term: &str) -> Option<(Qualifier, Mechanism)> {
    let (qualifier, rest) = match term.split_at_checked(1)? {
        ("+", rest) => (Qualifier::Pass, rest),
        ("-", rest) => (Qualifier::Fail, rest),
        ("~", rest) => (Qualifier::SoftFail, rest),
        ("?", rest) => (Qualifier::Neutral, rest),
        _ => (Qualifier::Pass, term),
    };
    Some((qualifier, mechanism(rest)?))
}

fn mechanism(text: &str) -> Option<Mechanism> {
    let end = text.find([':', '/']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let value = rest.strip_prefix(':');
    match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Some(Mechanism::All),
        "include" => target(value?).map(Mechanism::Include),
        "exists" => target(value?).map(Mechanism::Exists),
        "ptr" if rest.is_empty() => Some(Mechanism::Ptr),
        "ptr" => target(value?).map(|_| Mechanism::Ptr),
        "a" => hosts(rest).map(Mechanism::A),
        "mx" => hosts(rest).map(Mechanism::Mx),
        "ip4" => network::<Ipv4Addr>(value?, 32),
        "ip6" => network::<Ipv6Addr>(value?, 128),
        _ => None,
    }
}

fn network<A: std::str::FromStr>(text: &str, longest: u8) -> Option<Mechanism> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let good = address.parse::<A>().is_ok() && prefix.is_none_or(|prefix| is_prefix(prefix, longest));
    good.then_some(Mechanism::Address)
}

fn is_prefix(text: &str, longest: u8) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

/// `[":" domain-spec] ["/" ip4-prefix] ["//" ip6-prefix]`.
fn hosts(rest: &str) -> Option<Target> {
    let (rest, six) = rest.split_once("//").map_or((rest, None), |(rest, six)| (rest, Some(six)));
    // A macro may hold a slash as its delimiter: a prefix length is what is all digits.
    let (rest, four) = match rest.rsplit_once('/') {
        Some((before, four)) if !four.contains('}') => (before, Some(four)),
        _ => (rest, None),
    };
    let good = four.is_none_or(|prefix| is_prefix(prefix, 32)) && six.is_none_or(|prefix| is_prefix(prefix, 128));
    match rest.strip_prefix(':') {
        _ if !good => None,
        Some(name) => target(name),
        None => rest.is_empty().then_some(Target::Same),
    }
}

fn target(text: &str) -> Option<Target> {
    match text {
        text if text.contains('%') => Some(Target::Macros(text.chars().take(200).collect())),
        text => DomainName::parse(text).ok().filter(|name| name.labels() > 1).map(Target::Name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Target {
        Target::Name(DomainName::parse(text).unwrap())
    }

    #[test]
    fn only_the_version_alone_or_with_a_blank_after_it_is_spf() {
        for (text, is) in [
            ("v=spf1", true),
            ("V=SPF1 -all", true),
            ("v=spf10 -all", false),
            ("v=spf1-all", false),
            ("v=spf", false),
            ("é=spf1", false),
            ("", false),
        ] {
            assert_eq!(is_spf(text), is, "{text}");
        }
    }

    #[test]
    fn terms_become_directives_in_their_order_and_none_after_all() {
        let record = Record::parse(
            "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx/24 ?A:mail.example//64 include:_spf.example ~All mx:after.example",
        )
        .unwrap();
        use Mechanism::{A, Address, All, Include, Mx};
        use Qualifier::{Neutral, Pass, SoftFail};
        assert_eq!(
            record.directives,
            [
                (Pass, Address),
                (Pass, Address),
                (Pass, A(Target::Same)),
                (Pass, Mx(Target::Same)),
                (Neutral, A(name("mail.example"))),
                (Pass, Include(name("_spf.example"))),
                (SoftFail, All),
            ]
        );
        assert_eq!(record.all(), Some(SoftFail));
    }

    #[test]
    fn modifiers_are_read_and_those_that_look_like_mechanisms_are_named() {
        let record = Record::parse("v=spf1 ip4=192.0.2.1 foo=bar exp=e.example Redirect=_spf.example").unwrap();
        assert_eq!(record.redirect, Some(name("_spf.example")));
        assert_eq!(record.mistaken, ["ip4=192.0.2.1"]);
        assert!(record.directives.is_empty());
    }

    #[test]
    fn names_with_macros_are_taken_as_they_are() {
        let record = Record::parse("v=spf1 exists:%{i}._i.example a:%{d1r/}.example/24 -all").unwrap();
        let macros = |text: &str| Target::Macros(text.to_owned());
        let targets: Vec<_> = record.directives.iter().map(|(_, mechanism)| mechanism.clone()).collect();
        assert_eq!(
            targets[..2],
            [Mechanism::Exists(macros("%{i}._i.example")), Mechanism::A(macros("%{d1r/}.example")),]
        );
    }

    #[test]
    fn the_first_wrong_term_is_named() {
        for term in [
            "ip4:192.0.2.300",
            "ip4:192.0.2.1/33",
            "ip4:",
            "ip4",
            "ip6:192.0.2.1",
            "a/x",
            "include",
            "include:",
            "domain",
            "al",
            "all:x",
            "-",
            "mx:a..b",
            "all.",
        ] {
            assert_eq!(Record::parse(&format!("v=spf1 mx {term} -all")), Err(term.to_owned()));
        }
        assert!(Record::parse("v=spf1 redirect=a.example redirect=b.example").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_names_is_a_term_of_it(text in "v=spf1( [-+~?]?[a-z0-9:/.%{}=é]{0,12}){0,8}") {
            if let Err(term) = Record::parse(&text) {
                proptest::prop_assert!(text.split(' ').any(|part| part == term));
            }
        }
    }
}
