//! One DMARC record as written. RFC 9989, section 4.7 (before: RFC 7489, section 6.3).

use std::fmt;

use serde::Serialize;

use crate::domain::DomainName;
use crate::tags::Tags;

/// What is asked for mail that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Disposition {
    None,
    Quarantine,
    Reject,
}

impl Disposition {
    fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject].into_iter().find(|one| one.to_string().eq_ignore_ascii_case(text))
    }
}

impl Disposition {
    /// What `t=y` makes of it (section 4.7).
    pub(crate) const fn one_less(self) -> Self {
        match self {
            Self::Reject => Self::Quarantine,
            Self::Quarantine | Self::None => Self::None,
        }
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        })
    }
}

/// How alike two domains must be to be aligned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// `r`: of the same organisational domain.
    #[default]
    Relaxed,
    /// `s`: the same.
    Strict,
}

/// A record that receivers go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) text: String,
    pub(crate) p: Disposition,
    /// For subdomains; `p` unless given.
    pub(crate) sp: Disposition,
    pub(crate) adkim: Strictness,
    pub(crate) aspf: Strictness,
    pub(crate) rua: Vec<String>,
    /// `psd=y`: a public suffix; `psd=n`: an organisational domain.
    pub(crate) psd: Option<bool>,
    /// `t=y`: receivers go one step less far.
    pub(crate) testing: bool,
    /// `pct=`, if it is not 100: only receivers that go by RFC 7489 know it.
    pub(crate) percent: Option<String>,
    /// Tags with values that receivers ignore.
    pub(crate) ignored: Vec<String>,
}

/// Whether somebody meant a DMARC record by it, rightly written or not.
pub(crate) fn is_meant(text: &str) -> bool {
    text.to_ascii_lowercase().contains("dmarc")
}

/// The version is the first tag, as it is written here (section 4.7: case matters).
pub(crate) fn is_dmarc(text: &str) -> bool {
    let first = text.split(';').next().and_then(|part| part.split_once('='));
    first.is_some_and(|(name, value)| name.trim().eq_ignore_ascii_case("v") && value.trim() == "DMARC1")
}

impl Policy {
    /// The error is what is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // What cannot be read is passed over, not the record (RFC 7489, section 6.3).
        let (tags, unreadable) = Tags::readable(text);
        let rua: Vec<_> = tags.value("rua").into_iter().flat_map(|uris| uris.split(',')).map(str::trim).collect();
        let (rua, bad): (Vec<_>, Vec<_>) = rua.into_iter().map(str::to_owned).partition(|uri| is_uri(uri));
        let p = match (tags.value("p"), tags.value("p").and_then(Disposition::parse)) {
            (_, Some(p)) => p,
            // Section 4.7: somebody who asks for reports at least gets them.
            (_, None) if !rua.is_empty() => Disposition::None,
            (Some(p), None) => return Err(format!("`p={p}` is not none, quarantine or reject")),
            (None, None) => {
                let besides: String = unreadable.iter().map(|part| format!(", and `{part}` is no tag")).collect();
                return Err(format!("there is no p= in it{besides}"));
            }
        };
        let mut ignored: Vec<_> = bad.into_iter().map(|uri| format!("rua={uri}")).collect();
        let mut note = |name: &str, good: &dyn Fn(&str) -> bool| {
            ignored.extend(tags.value(name).filter(|value| !good(value)).map(|value| format!("{name}={value}")));
        };
        for name in ["p", "sp", "np"] {
            note(name, &|value| Disposition::parse(value).is_some());
        }
        for name in ["adkim", "aspf"] {
            note(name, &|value| strictness(value).is_some());
        }
        ignored.extend(unreadable);
        Ok(Self {
            testing: tags.value("t").is_some_and(|t| t.eq_ignore_ascii_case("y")),
            percent: tags.value("pct").filter(|percent| *percent != "100").map(str::to_owned),
            p,
            sp: tags.value("sp").and_then(Disposition::parse).unwrap_or(p),
            adkim: tags.value("adkim").and_then(strictness).unwrap_or_default(),
            aspf: tags.value("aspf").and_then(strictness).unwrap_or_default(),
            psd: tags.value("psd").and_then(|psd| match psd {
                "y" | "Y" => Some(true),
                "n" | "N" => Some(false),
                _ => None,
            }),
            rua,
            ignored,
            text: text.to_owned(),
        })
    }
}

fn strictness(text: &str) -> Option<Strictness> {
    match text {
        "r" | "R" => Some(Strictness::Relaxed),
        "s" | "S" => Some(Strictness::Strict),
        _ => None,
    }
}

/// Where reports go by mail.
pub(crate) fn report_host(uri: &str) -> Option<DomainName> {
    let (scheme, rest) = uri.split_once(':')?;
    let (_, host) = rest.split(['!', '?']).next()?.rsplit_once('@')?;
    scheme.eq_ignore_ascii_case("mailto").then(|| DomainName::parse(host).ok())?
}

/// `mailto:` with an address; other schemes are allowed and used by nobody.
pub(crate) fn is_uri(uri: &str) -> bool {
    match uri.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto") => {
            let address = rest.split(['!', '?']).next().unwrap_or(rest);
            smtp::Mailbox::parse(address).is_ok()
        }
        Some((scheme, rest)) => !scheme.is_empty() && !rest.is_empty() && !scheme.contains('@'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Disposition::{None as No, Quarantine, Reject};

    #[test]
    fn policies_are_read_and_subdomains_take_after_them() {
        for (text, p, sp, ignored) in [
            ("v=DMARC1; p=none", No, No, ""),
            ("v=DMARC1;p=Reject;sp=quarantine;rua=mailto:a@b.test!10m,mailto:c@d.test", Reject, Quarantine, ""),
            ("v=DMARC1; p=reject; sp=often; adkim=x", Reject, Reject, "sp=often adkim=x"),
            ("v=DMARC1; p=often; rua=mailto:a@b.test", No, No, "p=often"),
            ("v=DMARC1; rua=mailto:a@b.test,c@d.test", No, No, "rua=c@d.test"),
        ] {
            let policy = Policy::parse(text).unwrap();
            assert_eq!((policy.p, policy.sp, policy.ignored.join(" ").as_str()), (p, sp, ignored), "{text}");
        }
        let strict = Policy::parse("v=DMARC1; p=none; adkim=s; psd=n").unwrap();
        assert_eq!((strict.adkim, strict.aspf, strict.psd), (Strictness::Strict, Strictness::Relaxed, Some(false)));
    }

    #[test]
    fn what_gives_no_policy_is_said_in_words() {
        for (text, words) in [
            ("v=DMARC1", "no p="),
            ("v=DMARC1; p=often", "p=often"),
            ("v=DMARC1; p=none reject", "p=none reject"),
            ("v=DMARC1; none", "`none`"),
            ("v=DMARC1; p=; rua=nobody", "`p=`"),
        ] {
            let error = Policy::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn only_the_version_as_written_makes_a_dmarc_record() {
        for (text, is) in [
            ("v=DMARC1; p=none", true),
            ("V = DMARC1 ;p=none", true),
            ("v=dmarc1; p=none", false),
            ("v=DMARC1 p=none", false),
            ("p=none; v=DMARC1", false),
            ("v=spf1 -all", false),
        ] {
            assert_eq!(is_dmarc(text), is, "{text}");
        }
    }
}
