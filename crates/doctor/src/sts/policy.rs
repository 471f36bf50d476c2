//! One policy as served. RFC 8461, section 3.2; which MX hosts it covers, section 4.1.
//!
//! In: the file's text. Out: its fields. Of fields that stand there twice the first counts; unknown ones are passed over.

use std::fmt;

use serde::Serialize;

use crate::domain::DomainName;

/// A year and a day's part: longer than this is not allowed.
const LONGEST_AGE: u32 = 31_557_600;

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyFacts {
    /// What senders do if an MX host does not fit.
    pub mode: Mode,
    /// For so many seconds senders go by it without asking again.
    pub max_age: u32,
    /// Host names, or `*.` and what comes behind one label.
    pub mx: Vec<String>,
}

/// What is done if an MX host is not listed, or its certificate cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Mail is not sent.
    Enforce,
    /// It is reported, and mail is sent.
    Testing,
    /// As if there were no policy.
    None,
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|mode| mode.to_string() == text)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        })
    }
}

impl PolicyFacts {
    /// The error is what is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut fields = Vec::new();
        for line in text.lines().map(|line| line.trim_end_matches([' ', '\t', '\r'])).filter(|line| !line.is_empty()) {
            let shown = || line.chars().take(80).collect::<String>();
            let (name, value) = line.split_once(':').ok_or_else(|| format!("`{}` is no field", shown()))?;
            fields.push((name, value.trim_start_matches([' ', '\t'])));
        }
        let value = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        let demanded = |name: &str| value(name).ok_or_else(|| format!("there is no `{name}:` in it"));
        let odd = |name: &str, value: &str| format!("`{name}: {}`", value.chars().take(80).collect::<String>());
        let version = demanded("version")?;
        if version != "STSv1" {
            return Err(format!("{} is not STSv1", odd("version", version)));
        }
        let mode = demanded("mode")?;
        let mode = Mode::parse(mode).ok_or_else(|| format!("{} is not enforce, testing or none", odd("mode", mode)))?;
        let age = demanded("max_age")?;
        let digits = (1..=10).contains(&age.len()) && age.bytes().all(|b| b.is_ascii_digit());
        let max_age = age
            .parse()
            .ok()
            .filter(|seconds| digits && *seconds <= LONGEST_AGE)
            .ok_or_else(|| format!("{} is no number of seconds up to {LONGEST_AGE}", odd("max_age", age)))?;
        let mx: Vec<_> =
            fields.iter().filter(|(name, _)| *name == "mx").map(|(_, value)| (*value).to_owned()).collect();
        if let Some(wrong) = mx.iter().find(|pattern| !is_pattern(pattern)) {
            return Err(format!("{} is no host name, nor `*.` with one", odd("mx", wrong)));
        }
        if mx.is_empty() && mode != Mode::None {
            return Err("there is no `mx:` in it".to_owned());
        }
        Ok(Self { mode, max_age, mx })
    }

    /// Whether one of the patterns is this host's.
    pub(crate) fn lists(&self, host: &DomainName) -> bool {
        self.mx.iter().any(|pattern| covers(pattern, host))
    }

    /// As it is served.
    pub(crate) fn text(&self) -> String {
        let mx: String = self.mx.iter().map(|pattern| format!("mx: {pattern}\n")).collect();
        format!("version: STSv1\nmode: {}\n{mx}max_age: {}\n", self.mode, self.max_age)
    }
}

fn is_pattern(pattern: &str) -> bool {
    pattern.is_ascii() && DomainName::parse(pattern.strip_prefix("*.").unwrap_or(pattern)).is_ok()
}

/// The star stands for one whole label, the first (RFC 6125, section 6.4.3).
pub(crate) fn covers(pattern: &str, host: &DomainName) -> bool {
    let same = |text: &str, name: &str| text.trim_end_matches('.').eq_ignore_ascii_case(name);
    match pattern.strip_prefix("*.") {
        Some(rest) => host.as_str().split_once('.').is_some_and(|(_, behind)| same(rest, behind)),
        None => same(pattern, host.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_whatever_their_order_and_line_ends() {
        let text = "version: STSv1\r\nmode:testing \nmx: *.mail.protection.outlook.com\nfoo: bar\nmx:\tA.test\n\nmax_age: 86400\nmode: none";
        let policy = PolicyFacts::parse(text).unwrap();
        let mx = ["*.mail.protection.outlook.com", "A.test"].map(str::to_owned).into();
        assert_eq!(policy, PolicyFacts { mode: Mode::Testing, max_age: 86_400, mx });
        assert_eq!(PolicyFacts::parse(&policy.text()), Ok(policy));
        let off = PolicyFacts::parse("mode: none\nmax_age: 0\nversion: STSv1").unwrap();
        assert_eq!((off.mode, off.mx.len()), (Mode::None, 0));
    }

    #[test]
    fn what_is_no_policy_is_said_in_words() {
        let good = "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 604800\n";
        for (from, to, words) in [
            ("version: STSv1\n", "", "no `version:`"),
            ("STSv1", "STSv2", "`version: STSv2`"),
            ("version", "\u{feff}version", "no `version:`"),
            ("mode: enforce\n", "", "no `mode:`"),
            ("enforce", "Enforce", "`mode: Enforce`"),
            ("mx: a.test\n", "", "no `mx:`"),
            ("a.test", "*.", "`mx: *.`"),
            ("a.test", "a.*.test", "`mx: a.*.test`"),
            ("a.test", ".a.test", "`mx: .a.test`"),
            ("a.test", "b\u{fc}cher.test", "`mx: b\u{fc}cher.test`"),
            ("max_age: 604800", "", "no `max_age:`"),
            ("604800", "31557601", "31557600"),
            ("604800", "+1", "`max_age: +1`"),
            ("604800", "00000000001", "00000000001"),
            ("mx: a.test", "mx a.test", "`mx a.test` is no field"),
            (good, "<!DOCTYPE html>", "`<!DOCTYPE html>`"),
            (good, "", "no `version:`"),
        ] {
            let error = PolicyFacts::parse(&good.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(words), "{from:?} -> {to:?}: {error}");
        }
        assert!(PolicyFacts::parse(good).is_ok());
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let host = DomainName::parse("a.b.test").unwrap();
        for (pattern, covered) in [
            ("a.b.test", true),
            ("A.B.Test.", true),
            ("*.b.test", true),
            ("*.B.Test", true),
            ("*.test", false),
            ("*.a.b.test", false),
            ("b.test", false),
        ] {
            assert_eq!(covers(pattern, &host), covered, "{pattern}");
        }
    }
}
