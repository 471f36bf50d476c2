//! What is told: one notice for each opening and each end, and the bulletin that carries one or several of them.
//!
//! The notice as JSON is an interface (docs/operations.md, "Alerts") and a stored format: fields are only added. Every text
//! in it is one line of bounded length.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use telemetry::{IncidentKind, Severity};

/// Of the JSON that webhooks and commands are given.
const VERSION: u32 = 1;

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// There is trouble, or it is worse now.
    Open,
    /// It is over.
    Closed,
    /// It comes and goes; nothing more is told until it stays one way.
    Flapping,
    /// Nothing: somebody tries the channel.
    Test,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) state: State,
    #[serde(with = "kind_by_name")]
    pub(crate) kind: IncidentKind,
    pub(crate) about: String,
    #[serde(with = "severity_by_name")]
    pub(crate) severity: Severity,
    pub(crate) what: String,
    pub(crate) remedy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) lanes: Vec<String>,
    pub(crate) since: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// How it ended, or how it flaps; empty if there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) how: String,
    /// When the notice was made.
    pub(crate) at: Timestamp,
}

impl Notice {
    /// What it says in one line: `CRITICAL: …`, `OVER after 12 min: …`.
    pub(crate) fn headline(&self) -> String {
        let Self { what, how, .. } = self;
        match self.state {
            State::Open => format!("{}: {what}", self.severity.name().to_uppercase()),
            State::Closed => format!("OVER after {}: {what}{}", duration(self.lasted()), in_brackets(how)),
            State::Flapping => format!("FLAPPING: {what}{}", in_brackets(how)),
            State::Test => format!("TEST: {what}"),
        }
    }

    /// What to do, as long as there is something to do.
    pub(crate) fn advice(&self) -> Option<&str> {
        (self.state != State::Closed && !self.remedy.is_empty()).then_some(self.remedy.as_str())
    }

    /// `breaker · credential contoso/1111 · AADSTS7000222 · since 2026-11-21 01:36:00 UTC`
    pub(crate) fn particulars(&self) -> String {
        let since = format!("since {}", self.since.strftime("%Y-%m-%d %H:%M:%S UTC"));
        let code = self.code.as_deref();
        let parts = [Some(self.kind.name()), Some(self.about.as_str()), code, Some(since.as_str())];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
    }

    /// From its opening to its end, or to the notice.
    pub(crate) fn lasted(&self) -> SignedDuration {
        self.until.unwrap_or(self.at).duration_since(self.since).max(SignedDuration::ZERO)
    }

    /// They are about the same incident.
    pub(crate) fn same_incident(&self, other: &Self) -> bool {
        self.kind == other.kind && self.about == other.about
    }
}

fn in_brackets(how: &str) -> String {
    if how.is_empty() { String::new() } else { format!(" ({how})") }
}

/// `40 s`, `12 min`, `3 h 5 min`, `2 days 4 h`
pub(crate) fn duration(lasted: SignedDuration) -> String {
    let seconds = lasted.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} days {} h", hours % 24),
    }
}

/// What is sent at once: mostly one notice, several where a channel lags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bulletin {
    pub(crate) host: String,
    pub(crate) notices: Vec<Notice>,
    /// Older ones that were given up since the channel last worked.
    pub(crate) dropped: usize,
}

/// The bulletin as webhooks and commands take it: mostly there is one notice, and its fields stand at the top.
#[derive(Serialize)]
struct Shape<'a> {
    version: u32,
    host: &'a str,
    summary: String,
    #[serde(flatten)]
    first: Option<&'a Notice>,
    others: &'a [Notice],
    omitted: usize,
    dropped: usize,
}

impl Bulletin {
    /// All of it in one line.
    pub(crate) fn summary(&self) -> String {
        match self.notices.as_slice() {
            [notice] => format!("{}: {}", self.host, notice.headline()),
            notices => {
                let open = notices.iter().filter(|notice| notice.state != State::Closed).count();
                format!("{}: {open} alerts, {} recoveries", self.host, notices.len() - open)
            }
        }
    }

    /// The documented shape, with the first notices in it; how many are left out is said.
    pub(crate) fn json(&self, shown: usize) -> String {
        let (first, others) = self.shown(shown).split_first().unzip();
        let shape = Shape {
            version: VERSION,
            host: &self.host,
            summary: self.summary(),
            first,
            others: others.unwrap_or_default(),
            omitted: self.notices.len().saturating_sub(shown),
            dropped: self.dropped,
        };
        serde_json::to_string(&shape).expect("plain texts and numbers are always JSON")
    }

    /// The first ones.
    pub(crate) fn shown(&self, shown: usize) -> &[Notice] {
        self.notices.get(..shown).unwrap_or(&self.notices)
    }

    /// What a person must know of those that are not shown; `None` if there are none.
    pub(crate) fn rest(&self, shown: usize) -> Option<String> {
        let omitted = self.notices.len().saturating_sub(shown);
        let said = match (omitted, self.dropped) {
            (0, 0) => return None,
            (omitted, 0) => format!("{omitted} more"),
            (0, dropped) => format!("{dropped} older ones could not be told in time"),
            (omitted, dropped) => format!("{omitted} more, and {dropped} older ones that could not be told in time"),
        };
        Some(format!("{said}: see `posthouse alert list` and the log."))
    }

    /// The longest form of at most `limit` octets, as far as leaving out notices can make it so.
    pub(crate) fn fitted(&self, limit: usize, form: impl Fn(&Self, usize) -> String) -> String {
        let mut shown = self.notices.len();
        loop {
            let text = form(self, shown);
            if text.len() <= limit || shown <= 1 {
                return text;
            }
            shown = (shown * limit / text.len()).clamp(1, shown - 1);
        }
    }
}

/// One line of at most so many characters.
pub(crate) fn line(text: &str, longest: usize) -> String {
    let mut line: String =
        text.chars().take(longest + 1).map(|char| if char.is_control() { ' ' } else { char }).collect();
    if let Some((cut, _)) = line.char_indices().nth(longest) {
        line.truncate(cut);
        line.pop();
        line.push('…');
    }
    line
}

mod kind_by_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use telemetry::IncidentKind;

    pub(crate) fn serialize<S: Serializer>(kind: &IncidentKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.name())
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IncidentKind, D::Error> {
        let name = String::deserialize(deserializer)?;
        IncidentKind::from_name(&name).ok_or_else(|| D::Error::custom(format!("no kind of incident is called {name}")))
    }
}

mod severity_by_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use telemetry::Severity;

    pub(crate) fn serialize<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(severity.name())
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
        let name = String::deserialize(deserializer)?;
        Severity::from_name(&name).ok_or_else(|| D::Error::custom(format!("no severity is called {name}")))
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Notices for the tests of the formats.

    use super::*;

    pub(crate) fn opened() -> Notice {
        Notice {
            state: State::Open,
            kind: IncidentKind::Breaker,
            about: "credential contoso/1111".to_owned(),
            severity: Severity::Critical,
            what: "the client secret has expired: mail of contoso waits".to_owned(),
            remedy: "make a new secret & put it into <secret>".to_owned(),
            code: Some("AADSTS7000222".to_owned()),
            lanes: vec!["contoso/submission".to_owned()],
            since: "2026-11-21T01:36:00Z".parse().unwrap(),
            until: None,
            how: String::new(),
            at: "2026-11-21T01:36:00Z".parse().unwrap(),
        }
    }

    pub(crate) fn closed() -> Notice {
        let at = "2026-11-21T03:41:30Z".parse().unwrap();
        let how = "a probe went through".to_owned();
        Notice { state: State::Closed, until: Some(at), how, at, ..opened() }
    }

    pub(crate) fn bulletin(notices: Vec<Notice>) -> Bulletin {
        Bulletin { host: "relay.contoso.com".to_owned(), notices, dropped: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_the_documented_one() {
        let golden = concat!(
            r#"{"version":1,"host":"relay.contoso.com","#,
            r#""summary":"relay.contoso.com: OVER after 2 h 5 min: the client secret has expired: mail of contoso waits (a probe went through)","#,
            r#""state":"closed","kind":"breaker","about":"credential contoso/1111","#,
            r#""severity":"critical","what":"the client secret has expired: mail of contoso waits","#,
            r#""remedy":"make a new secret & put it into <secret>","code":"AADSTS7000222","lanes":["contoso/submission"],"#,
            r#""since":"2026-11-21T01:36:00Z","until":"2026-11-21T03:41:30Z","how":"a probe went through","#,
            r#""at":"2026-11-21T03:41:30Z","others":[],"omitted":0,"dropped":0}"#
        );
        assert_eq!(samples::bulletin(vec![samples::closed()]).json(9), golden);
    }

    #[test]
    fn several_notices_are_the_first_and_the_others() {
        let text = samples::bulletin(vec![samples::opened(), samples::closed()]).json(9);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["state"], &value["others"][0]["state"]), (&"open".into(), &"closed".into()));
        assert_eq!(value["summary"], "relay.contoso.com: 1 alerts, 1 recoveries");
    }

    #[test]
    fn a_notice_that_was_stored_is_read_back() {
        for notice in [samples::opened(), samples::closed()] {
            let stored = serde_json::to_string(&notice).unwrap();
            assert_eq!(serde_json::from_str::<Notice>(&stored).unwrap(), notice);
        }
        let strange = serde_json::to_string(&samples::opened()).unwrap().replace("breaker", "earthquake");
        assert!(serde_json::from_str::<Notice>(&strange).unwrap_err().to_string().contains("earthquake"));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let many = samples::bulletin(vec![samples::opened(); 50]);
        let text = many.fitted(4_000, Bulletin::json);
        assert!(text.len() <= 4_000, "{}", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let shown = 1 + value["others"].as_array().unwrap().len();
        assert!(shown >= 5, "{shown}");
        assert_eq!(value["omitted"], 50 - shown);
        assert_eq!(many.rest(shown).unwrap(), format!("{} more: see `posthouse alert list` and the log.", 50 - shown));
    }

    #[test]
    fn a_duration_is_said_in_two_units_at_most() {
        for (seconds, said) in
            [(-5, "-5 s"), (40, "40 s"), (720, "12 min"), (11_100, "3 h 5 min"), (187_200, "2 days 4 h")]
        {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn a_text_is_one_line_of_bounded_length() {
        assert_eq!(line("a\nb\u{1b}c", 9), "a b c");
        assert_eq!(line("12345", 5), "12345");
        assert_eq!(line("größer", 4), "grö…");
    }
}
