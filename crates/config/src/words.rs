//! Keys that take one of a few words: which words, and what each means.

use telemetry::{IncidentKind, Severity};

use crate::nearest::nearest;
use crate::problem::Complaint;
use crate::values::FromText;

/// One of a few words.
pub(crate) trait Words: Copy + 'static {
    /// Each with what it means.
    const WORDS: &'static [(&'static str, Self)];
    /// Words that later versions will know.
    const PLANNED: &'static [&'static str] = &[];
}

/// See [`Words`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OneOf<T>(pub(crate) T);

impl<T: Words> FromText for OneOf<T> {
    const IS: &'static str = "a word";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if let Some((_, value)) = T::WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(Self(*value));
        }
        let known = format!("known here: {}", words::<T>(", "));
        if T::PLANNED.contains(&text) {
            return Err(Complaint::new(format!("= \"{text}\" is not supported by this version yet"), known));
        }
        let near = nearest(text, T::WORDS.iter().map(|(word, _)| *word));
        let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        Err(Complaint::new(format!("cannot be \"{text}\"{near}"), known))
    }
    fn sort_words() -> String {
        format!("one of {}", words::<T>(", "))
    }
}

fn words<T: Words>(between: &str) -> String {
    T::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(between)
}

impl Words for inbound::TlsMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("opportunistic", Self::Opportunistic),
        ("required", Self::Required),
        ("implicit", Self::Implicit),
    ];
}

impl Words for transport::ClientTls {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("opportunistic", Self::Opportunistic),
        ("required", Self::Required),
        ("implicit", Self::Implicit),
    ];
}

impl Words for transport::SmtpKind {
    const WORDS: &'static [(&'static str, Self)] = &[("submission", Self::Submission), ("smarthost", Self::Smarthost)];
    const PLANNED: &'static [&'static str] = &["connector", "direct", "hve", "graph"];
}

impl Words for transport::Rewrite {
    const WORDS: &'static [(&'static str, Self)] =
        &[("never", Self::Never), ("when-refused-otherwise", Self::WhenRefusedOtherwise), ("always", Self::Always)];
}

impl Words for m365::Cloud {
    const WORDS: &'static [(&'static str, Self)] =
        &[("worldwide", Self::Worldwide), ("gcc-high", Self::GccHigh), ("dod", Self::Dod), ("china", Self::China)];
}

impl Words for entra::AssertionAlgorithm {
    const WORDS: &'static [(&'static str, Self)] = &[("PS256", Self::Ps256), ("RS256", Self::Rs256)];
}

impl Words for telemetry::LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("human", Self::Human), ("json", Self::Json)];
}

/// The spool's backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpoolKind {
    /// On this machine.
    Embedded,
}

impl Words for SpoolKind {
    const WORDS: &'static [(&'static str, Self)] = &[("embedded", Self::Embedded)];
    const PLANNED: &'static [&'static str] = &["postgres"];
}

/// Who is told of bounces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounces {
    /// The client's owner.
    Owner,
    /// The reverse-path.
    Sender,
}

impl Words for Bounces {
    const WORDS: &'static [(&'static str, Self)] = &[("owner", Self::Owner), ("sender", Self::Sender)];
}

impl Words for inbound::Priority {
    const WORDS: &'static [(&'static str, Self)] =
        &[("urgent", Self::Urgent), ("normal", Self::Normal), ("as-marked", Self::AsMarked)];
}

impl Words for inbound::PlusAddresses {
    const WORDS: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("strip", Self::Strip)];
}

impl Words for queue::Unconfirmed {
    const WORDS: &'static [(&'static str, Self)] = &[("resend", Self::Resend), ("hold", Self::Hold)];
}

impl Words for alert::WebhookFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("json", Self::Json), ("teams", Self::Teams), ("slack", Self::Slack)];
}

impl Words for alert::Facility {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("mail", Self::Mail),
        ("daemon", Self::Daemon),
        ("user", Self::User),
        ("local0", Self::Local(0)),
        ("local1", Self::Local(1)),
        ("local2", Self::Local(2)),
        ("local3", Self::Local(3)),
        ("local4", Self::Local(4)),
        ("local5", Self::Local(5)),
        ("local6", Self::Local(6)),
        ("local7", Self::Local(7)),
    ];
}

impl Words for Severity {
    const WORDS: &'static [(&'static str, Self)] = &[("warning", Self::Warning), ("critical", Self::Critical)];
}

/// All but the test: whoever asks for one wants to see it.
impl Words for IncidentKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("breaker", Self::Breaker),
        ("message", Self::Message),
        ("queue-age", Self::QueueAge),
        ("queue-length", Self::QueueLength),
        ("budget", Self::Budget),
        ("expiry", Self::Expiry),
        ("bounces", Self::Bounces),
        ("disk", Self::Disk),
        ("clock", Self::Clock),
        ("conservation", Self::Conservation),
        ("fault", Self::Fault),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_incidents_have_their_own_names_and_none_but_the_test_is_missing() {
        let words = IncidentKind::WORDS;
        assert!(words.iter().all(|(word, kind)| *word == kind.name()));
        let missing: Vec<_> = IncidentKind::ALL.into_iter().filter(|k| words.iter().all(|(_, w)| w != k)).collect();
        assert_eq!(missing, [IncidentKind::Test]);
    }
}
