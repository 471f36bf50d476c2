//! One SPF record as written. RFC 7208, sections 4.5, 4.6.1, 5, 6 and 12.
//!
//! In: the text of a TXT record. Out: its directives up to `all`, its redirect, and what will be ignored although somebody meant
//! something by it. A syntax error anywhere makes the whole record worthless (section 4.6), so the first one is the result.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    /// `ip4` or `ip6`, with an address of the network.
    Address(IpAddr),
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
        for term in terms(text) {
            let wrong = || shown(term);
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

    /// What can be read of it, and the terms that cannot.
    pub(crate) fn readable(text: &str) -> (Self, Vec<String>) {
        let (bad, good): (Vec<_>, Vec<_>) =
            terms(text).partition(|term| Self::parse(&format!("{VERSION} {term}")).is_err());
        let mut bad: Vec<_> = bad.into_iter().map(shown).collect();
        let record = Self::parse(&format!("{VERSION} {}", good.join(" "))).unwrap_or_else(|term| {
            bad.push(term);
            Self::default()
        });
        (record, bad)
    }

    /// An address of each `ip4` and `ip6` that means "pass".
    pub(crate) fn networks(&self) -> impl Iterator<Item = IpAddr> {
        self.directives.iter().filter_map(|directive| match directive {
            (Qualifier::Pass, Mechanism::Address(address)) => Some(*address),
            _ => None,
        })
    }

    /// What becomes of everybody whom nothing else matched.
    pub(crate) fn all(&self) -> Option<Qualifier> {
        self.directives.iter().find(|(_, mechanism)| *mechanism == Mechanism::All).map(|(qualifier, _)| *qualifier)
    }
}

/// What stands behind the version.
pub(crate) fn terms(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').skip(1).filter(|term| !term.is_empty())
}

fn shown(term: &str) -> String {
    term.chars().take(100).collect()
}

/// Whether everything after it is never looked at.
pub(crate) fn ends(term: &str) -> bool {
    let bare = term.trim_start_matches(['+', '-', '~', '?']);
    bare.eq_ignore_ascii_case("all") || term.to_ascii_lowercase().starts_with("redirect=")
}

/// One record that says what several say; where they end differently, it ends with `~all`.
pub(crate) fn joined(texts: &[String]) -> String {
    let mut body: Vec<&str> = Vec::new();
    let mut end: Vec<&str> = Vec::new();
    for term in texts.iter().flat_map(|text| terms(text)) {
        let list = if ends(term) { &mut end } else { &mut body };
        if !list.iter().any(|other| other.eq_ignore_ascii_case(term)) {
            list.push(term);
        }
    }
    let end = match end.as_slice() {
        [] => None,
        [one] => Some(*one),
        _ => Some("~all"),
    };
    std::iter::once(VERSION).chain(body).chain(end).collect::<Vec<_>>().join(" ")
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
        "ip4" => network::<Ipv4Addr>(value?, 32).map(|address| Mechanism::Address(address.into())),
        "ip6" => network::<Ipv6Addr>(value?, 128).map(|address| Mechanism::Address(address.into())),
        _ => None,
    }
}

fn network<A: std::str::FromStr>(text: &str, longest: u8) -> Option<A> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    prefix.is_none_or(|prefix| is_prefix(prefix, longest)).then(|| address.parse().ok())?
}

/// Section 12: no zeros lead.
fn is_prefix(text: &str, longest: u8) -> bool {
    let leading_zero = text.len() > 1 && text.starts_with('0');
    !leading_zero
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

/// `[":" domain-spec] ["/" ip4-prefix] ["//" ip6-prefix]`.
fn hosts(rest: &str) -> Option<Target> {
    // A macro may hold slashes as its delimiters: a prefix length is what no macro ends behind.
    let (rest, six) = match rest.rsplit_once("//") {
        Some((before, six)) if !six.contains('}') => (before, Some(six)),
        _ => (rest, None),
    };
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

/// `domain-spec`, section 7.1. International names stand there as A-labels (section 4.3).
fn target(text: &str) -> Option<Target> {
    if text.contains('%') {
        return is_macro_string(text).then(|| Target::Macros(text.chars().take(200).collect()));
    }
    let name = DomainName::parse(text).ok().filter(|name| text.is_ascii() && name.labels() > 1)?;
    is_top_label(name.suffix(1).as_str()).then_some(Target::Name(name))
}

/// An address is no name.
fn is_top_label(label: &str) -> bool {
    !label.starts_with('-') && !label.ends_with('-') && label.bytes().any(|b| b.is_ascii_alphabetic() || b == b'-')
}

/// Visible ASCII and macros, with a macro or a top label at the end.
fn is_macro_string(text: &str) -> bool {
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('%') {
        let Some(after) = is_visible(literal).then(|| after_macro(after)).flatten() else { return false };
        rest = after;
    }
    let end = rest.strip_suffix('.').unwrap_or(rest);
    rest.is_empty() || (is_visible(rest) && end.rsplit_once('.').is_some_and(|(_, label)| is_top_label(label)))
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// What follows the macro whose `%` stood before `text`: `%`, `_`, `-`, or a letter with transformers in braces.
fn after_macro(text: &str) -> Option<&str> {
    if let Some(after) = text.strip_prefix(['%', '_', '-']) {
        return Some(after);
    }
    let (inner, after) = text.strip_prefix('{')?.split_once('}')?;
    let transformers = inner.strip_prefix(|c: char| "slodiphvSLODIPHV".contains(c))?;
    let rest = transformers.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = transformers.strip_suffix(rest)?;
    let delimiters = rest.strip_prefix(['r', 'R']).unwrap_or(rest);
    let counts = digits.is_empty() || digits.bytes().any(|b| b != b'0');
    (counts && delimiters.bytes().all(|b| b".-+,/_=".contains(&b))).then_some(after)
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
        let address = |text: &str| Address(text.parse().unwrap());
        use Qualifier::{Neutral, Pass, SoftFail};
        assert_eq!(
            record.directives,
            [
                (Pass, address("192.0.2.0")),
                (Pass, address("2001:db8::")),
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
            "a:192.0.2.1",
            "mx:192.0.2.1/24",
            "include:host",
            "include:b\u{fc}cher.example",
            "ip4:192.0.2.0/08",
            "a/00",
            "include:%d.example",
            "include:%{d",
            "include:%{x}.example",
            "include:%{d0}.example",
            "include:%{dx}.example",
            "exists:%{i}._spf.123",
            "redirect=%(d).example",
        ] {
            assert_eq!(Record::parse(&format!("v=spf1 mx {term} -all")), Err(term.to_owned()));
        }
        assert!(Record::parse("v=spf1 redirect=a.example redirect=b.example").is_err());
    }

    #[test]
    fn macros_of_each_form_are_good() {
        for term in [
            "exists:%{i}.%{l1r-}.lp._spf.%{d2}",
            "exists:%{ir}.%{v}._spf.%{D}",
            "include:%{l}%-%%%_.example.com.",
            "a:%{d1r//}.example//64",
            "redirect=%{h}.example",
        ] {
            assert!(Record::parse(&format!("v=spf1 {term}")).is_ok(), "{term}");
        }
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
