//! What an answer means, for a person: from anything that somebody may paste.
//!
//! In: a code, a reply, lines of a log, a report of undeliverable mail, an error of Microsoft Entra or Microsoft Graph, a
//! refusal of this relay itself. Out: what is known of it, the surest first; for an SMTP answer that nothing is known of,
//! what its first digit says, because that is what it is treated by. Never: a panic, or work without bound.

mod answers;
mod lookup;
mod words;

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::Regex;
use serde::Serialize;

use crate::Catalogue;
use crate::row::{Evidence, Move, Reference};

/// Explanations of one text.
const MOST: usize = 12;

/// Who gives such an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Exchange Online, or another mail server.
    Smtp,
    /// Microsoft Graph.
    Graph,
    /// The token endpoint of Microsoft Entra.
    Entra,
    /// This relay, to a device.
    Relay,
}

/// How sure it is that this is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Code and words agree, or nothing else has this code.
    Certain,
    /// The code agrees, or the words do.
    Likely,
    /// One of several meanings; the words would tell.
    Possible,
    /// Unknown: its first digit alone.
    FirstDigit,
}

/// What one answer means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was recognised in the text: `550 5.7.60`, `AADSTS7000222`.
    pub answer: String,
    /// The code under which it is known: also a range, `*` or a name. `None` where it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Who says such a thing.
    pub origin: Origin,
    /// See there.
    pub certainty: Certainty,
    /// The usual words, abbreviated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it means.
    pub meaning: String,
    /// Who has to do something.
    pub whose_move: Move,
    /// What they do.
    pub remedy: String,
    /// What else to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What the relay does by itself.
    pub relay: String,
    /// Keys of the configuration that decide it, for refusals of the relay itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// How well founded this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// The page that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Arc<Reference>>,
}

impl Catalogue {
    /// Everything that the text may mean, the surest first. Empty where it holds no answer at all.
    pub fn explain(&self, text: &str) -> Vec<Explanation> {
        let text = answers::bounded(text).trim();
        let mut explanations = lookup::Lookup::new(self).everything(text);
        explanations.sort_by_key(|explanation| explanation.certainty);
        explanations.truncate(MOST);
        explanations
    }
}

/// Without classes that are not ASCII: printable characters but the square brackets.
const DETAILS: &str = r"(?x)
    \bAS\([0-9]{1,20}\) | \bAS[0-9]{3,20}\b | \bATTR[0-9]{1,5}\b | \bPRX[0-9]{1,5}\b | \bS[0-9]{3,4}\b |
    \[Hostname=[!-Z^-~]{1,200}\] | \[Message=[\ -Z^-~]{1,200}\] |
    \[[A-Za-z0-9.-]{4,120}\.(?:com|us|cn|microsoft)(?:\ [\ -Z^-~]{1,120})?\] |
    (?:trace|correlation|request|client-request)[-_\ ]?id[\x22':\ =]{1,8}[0-9A-Fa-f-]{36}";

/// What Microsoft's support asks for: hosts, times and ids that a text names.
pub fn for_support(text: &str) -> Vec<String> {
    static DETAIL: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(detail) = compiled(&DETAIL, &format!("(?i){DETAILS}")) else { return Vec::new() };
    let mut details: Vec<String> = Vec::new();
    for found in detail.find_iter(answers::bounded(text)).take(64) {
        if !details.iter().any(|known| known == found.as_str()) && details.len() < MOST {
            details.push(found.as_str().to_owned());
        }
    }
    details
}

/// `None` where it does not compile; tests compile them.
fn compiled(place: &'static OnceLock<Option<Regex>>, expression: &str) -> Option<&'static Regex> {
    place.get_or_init(|| regex::RegexBuilder::new(expression).unicode(false).build().ok()).as_ref()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "Exchange Online or another mail server",
            Self::Graph => "Microsoft Graph",
            Self::Entra => "Microsoft Entra",
            Self::Relay => "this relay, to a device",
        })
    }
}
