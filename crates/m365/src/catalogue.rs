//! The table of answers, read once, and how an answer is looked up in it. The rules of matching stand at the head of
//! `data/codes.toml`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use smtp::Reply;

use crate::matching::{Answer, CodePattern, Fit, ReplyPattern};
use crate::own::{OwnRefusal, OwnTable};
use crate::row::{About, Action, Breaker, Class, Evidence, Excess, Move, Reference, Row, Source, TextMatch, Where};

const CODES: &str = include_str!("../data/codes.toml");
const SOURCES: &str = include_str!("../data/sources.toml");
const OWN: &str = include_str!("../data/own.toml");

/// Every answer that is known.
#[derive(Debug)]
pub struct Catalogue {
    as_of: String,
    rows: Vec<Row>,
    own: Vec<OwnRefusal>,
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not TOML, or not of this shape.
    #[error(transparent)]
    Syntax(#[from] toml::de::Error),
    /// A code, a reply or a reference that cannot be read.
    #[error("row {row} ({code}): {what}")]
    Row {
        /// From 0.
        row: usize,
        /// As written.
        code: String,
        /// In words.
        what: &'static str,
    },
}

impl Catalogue {
    /// The one built in.
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: OnceLock<Arc<Catalogue>> = OnceLock::new();
        BUILTIN.get_or_init(|| Arc::new(Self::parse(CODES, SOURCES, OWN).expect("every test reads this table"))).clone()
    }

    fn parse(codes: &str, sources: &str, own: &str) -> Result<Self, TableError> {
        let table: Table = toml::from_str(codes)?;
        let references: HashMap<String, Arc<Reference>> = toml::from_str(sources)?;
        let rows = table.code.into_iter().enumerate();
        let rows = rows.map(|(index, written)| written.check(index, &references)).collect::<Result<_, _>>()?;
        let own = toml::from_str::<OwnTable>(own)?.check();
        let own = own.map_err(|(row, code)| TableError::Row { row, code, what: "code or reply cannot be read" })?;
        Ok(Self { as_of: table.as_of, rows, own })
    }

    /// All rows, as listed.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What this relay itself answers to devices when it refuses.
    pub fn own(&self) -> &[OwnRefusal] {
        &self.own
    }

    /// The day of the state of knowledge, `2026-11-20`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// The row that knows an SMTP reply. `None` for positive replies and for those that no row knows.
    pub fn smtp(&self, where_: Where, reply: &Reply) -> Option<&Row> {
        if !reply.code.is_transient() && !reply.code.is_permanent() {
            return None;
        }
        let answer = Answer::new(reply);
        let ranked = self.rows.iter().filter_map(|row| Some((rank(row, where_, &answer)?, row)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, row)| row)
    }

    /// The row that knows an answer of the token endpoint: by the `AADSTS` number in the description (the first that is
    /// known), else by the OAuth error, else by the HTTP status.
    pub fn entra(&self, error: &str, description: &str, http_status: u16) -> Option<&Row> {
        let named = |code: &str| self.of(Source::Entra).find(|row| row.code == code && row.agrees(description));
        let numbers = description.match_indices("AADSTS").filter_map(|(at, _)| description.get(at..).map(aadsts));
        numbers.map(named).find(Option::is_some).flatten().or_else(|| named(error)).or_else(|| match http_status {
            429 => named("429"),
            500..=599 => named("5xx"),
            _ => None,
        })
    }

    /// The row that knows an answer of Microsoft Graph: by `error.code`, else by the HTTP status.
    pub fn graph(&self, http_status: u16, code: &str, message: &str) -> Option<&Row> {
        let text = format!("{http_status} {code} {message}");
        let status = http_status.to_string();
        let named = |name: &str| {
            let rows = self.of(Source::Graph).filter(|row| row.code.eq_ignore_ascii_case(name) && row.agrees(&text));
            rows.min_by_key(|row| row.text_match.is_none())
        };
        named(code).or_else(|| named(&status))
    }

    pub(crate) fn of(&self, source: Source) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.source == source)
    }
}

/// `AADSTS` and the digits behind it.
fn aadsts(text: &str) -> &str {
    let digits = text.bytes().skip(6).take_while(u8::is_ascii_digit).count();
    text.get(..6 + digits).unwrap_or(text)
}

/// Kind of row, place, number: smaller is tried first; rows of one rank as listed. `None`: the row does not apply.
fn rank(row: &Row, where_: Where, answer: &Answer<'_>) -> Option<(u8, Nearness, Fit)> {
    if !row.pattern.covers(answer.status) {
        return None;
    }
    let kind = match (&row.pattern, &row.text_match) {
        (CodePattern::Any, _) => 0,
        (CodePattern::Exact(_), Some(_)) => 1,
        (CodePattern::Exact(_), None) => 2,
        (CodePattern::Range(..) | CodePattern::Name, _) => 3,
    };
    let rank = (kind, nearness(row.where_, where_)?, row.replies.fit(answer.code)?);
    row.agrees(&answer.text).then_some(rank)
}

/// Whose rows come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    /// The path's own, and those that hold anywhere.
    Own,
    /// Met on other paths as a rule. An answer that they know by its code is still better judged by them than by its
    /// first digit: `550 5.1.90` on submission is a used-up quota, whichever page mentions it.
    Foreign,
}

/// `None`: rows of there say nothing about here.
fn nearness(row: Where, asked: Where) -> Option<Nearness> {
    use Where::{Any, Connector, Delivery, Direct, Hve, Mx, Ndr, Submission};
    let own = match asked {
        Submission => matches!(row, Submission),
        Hve => matches!(row, Hve | Submission),
        Connector => matches!(row, Connector | Mx),
        Direct => matches!(row, Direct | Mx),
        Mx => matches!(row, Mx | Connector | Direct),
        Delivery | Ndr => matches!(row, Delivery | Ndr),
        Any => return (row == Any).then_some(Nearness::Own),
    };
    Some(if own || row == Any { Nearness::Own } else { Nearness::Foreign })
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: String,
    code: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    code: String,
    source: Source,
    reply: Option<String>,
    #[serde(default)]
    reply_decides: bool,
    r#match: Option<String>,
    class: Class,
    action: Action,
    about: Option<About>,
    breaker: Option<Breaker>,
    excess: Option<Excess>,
    r#where: Option<Where>,
    text: Option<String>,
    meaning: String,
    whose_move: Move,
    fix: String,
    note: Option<String>,
    evidence: Evidence,
    r#ref: Option<String>,
}

impl Written {
    fn check(self, row: usize, references: &HashMap<String, Arc<Reference>>) -> Result<Row, TableError> {
        let wrong = |what| TableError::Row { row, code: self.code.clone(), what };
        let (pattern, replies) = match self.source {
            Source::Smtp => {
                let pattern = CodePattern::parse(&self.code).ok_or_else(|| wrong("the code cannot be read"))?;
                let replies = match &self.reply {
                    None => ReplyPattern::default(),
                    Some(reply) => ReplyPattern::parse(reply, self.reply_decides)
                        .ok_or_else(|| wrong("the reply cannot be read"))?,
                };
                (pattern, replies)
            }
            Source::Graph | Source::Entra => (CodePattern::Name, ReplyPattern::default()),
        };
        if self.r#where.is_some() != (self.source == Source::Smtp) {
            return Err(wrong("`where` belongs to SMTP rows, and to each of them"));
        }
        let stops = matches!(self.action, Action::StopRoute | Action::StopSender | Action::RefreshToken);
        if self.breaker.is_some() && !stops {
            return Err(wrong("`breaker` belongs to actions that stop"));
        }
        if self.excess.is_some() && !(stops || self.action == Action::SlowDown) {
            return Err(wrong("`excess` belongs to actions that stop or slow down"));
        }
        if usize::from(self.breaker.is_some()) + usize::from(self.excess.is_some()) + usize::from(self.about.is_some())
            > 1
        {
            return Err(wrong("only one of `about`, `breaker` and `excess` can be meant"));
        }
        let reference = match &self.r#ref {
            None => None,
            Some(key) => {
                Some(references.get(key).cloned().ok_or_else(|| wrong("the reference is not in the sources"))?)
            }
        };
        Ok(Row {
            code: self.code,
            reply: self.reply,
            source: self.source,
            class: self.class,
            action: self.action,
            about: self.about,
            own_breaker: self.breaker,
            own_excess: self.excess,
            text: self.text,
            meaning: self.meaning,
            whose_move: self.whose_move,
            fix: self.fix,
            note: self.note,
            where_: self.r#where.unwrap_or(Where::Any),
            evidence: self.evidence,
            reference,
            pattern,
            replies,
            text_match: self.r#match.map(TextMatch::new),
        })
    }
}
