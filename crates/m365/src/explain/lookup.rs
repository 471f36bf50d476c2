//! From the answers and names in a text to the rows that know them.
//!
//! In: a text within its bound. Out: explanations, each row at most once, the closest rows alone where the words tell them
//! apart. Never: more than a few dozen.

use std::sync::OnceLock;

use regex::Regex;

use super::answers::{self, Quoted};
use super::words::{by_digit, of_ours, of_row, unknown_aadsts};
use super::{Certainty, Explanation, MOST, compiled};
use crate::Catalogue;
use crate::matching::{CodePattern, Fit, without_server_tag};
use crate::own::OwnRefusal;
use crate::row::{Row, Source, Where};

/// A bare reply code that so many rows know says nothing.
const TOO_MANY: usize = 8;
/// Shorter phrases are not looked for in the texts of rows.
const SHORTEST_PHRASE: usize = 6;

/// A text being looked up, and what was found so far.
pub(super) struct Lookup<'a> {
    catalogue: &'a Catalogue,
    rows: Vec<&'a Row>,
    explanations: Vec<Explanation>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(catalogue: &'a Catalogue) -> Self {
        Self { catalogue, rows: Vec::new(), explanations: Vec::new() }
    }

    /// In no particular order.
    pub(super) fn everything(mut self, text: &str) -> Vec<Explanation> {
        self.names(text);
        for quoted in answers::quoted(text) {
            self.smtp_answer(&quoted);
        }
        if !self.known() {
            self.phrase(text);
        }
        self.explanations
    }

    /// Errors of Entra and Graph go by names, wherever they stand.
    fn names(&mut self, text: &str) {
        let alone = !text.contains(char::is_whitespace);
        for number in aadsts_numbers(text) {
            match self.catalogue.of(Source::Entra).find(|row| row.code == number && row.agrees(text)) {
                Some(row) => self.row(number.to_owned(), row, Certainty::Certain),
                None => self.push(unknown_aadsts(number)),
            }
        }
        // With a number the OAuth error says nothing more.
        let numbered = self.known();
        for word in answers::words(text) {
            let is = |row: &&Row| row.code == word || alone && row.code.eq_ignore_ascii_case(word);
            let entra = self.catalogue.of(Source::Entra).filter(|row| !numbered && is_name(&row.code) && is(row));
            entra.for_each(|row| self.row(row.code.clone(), row, Certainty::Certain));
            self.graph_name(word, text, alone);
        }
        if alone {
            self.http_status(text);
        }
    }

    fn graph_name(&mut self, word: &str, text: &str, alone: bool) {
        let is = |row: &&Row| row.code == word || alone && row.code.eq_ignore_ascii_case(word);
        let rows: Vec<&Row> = self.catalogue.of(Source::Graph).filter(|row| is_name(&row.code) && is(row)).collect();
        // The HTTP status may stand anywhere in the text.
        let agrees = |row: &Row| {
            let status = row.reply.as_deref().filter(|status| answers::words(text).contains(status));
            row.agrees(text) || status.is_some_and(|status| row.agrees(&format!("{status} {word}")))
        };
        let (told, plain): (Vec<&Row>, Vec<&Row>) = rows.iter().copied().partition(|row| row.text_match.is_some());
        let told: Vec<&Row> = told.into_iter().filter(|row| !alone && agrees(row)).collect();
        let (found, certainty) = match (rows.len(), told.is_empty(), alone || plain.is_empty()) {
            (0 | 1, ..) => (rows, Certainty::Certain),
            (_, false, _) => (told, Certainty::Certain),
            (_, true, true) => (rows, Certainty::Possible),
            (_, true, false) => (plain, Certainty::Likely),
        };
        found.into_iter().for_each(|row| self.row(row.code.clone(), row, certainty));
    }

    /// A bare `429`.
    fn http_status(&mut self, text: &str) {
        if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return;
        }
        let of_status =
            |row: &&Row| row.source != Source::Smtp && (row.code == text || row.reply.as_deref() == Some(text));
        let rows: Vec<&Row> = self.catalogue.rows().iter().filter(of_status).collect();
        let any = rows.iter().any(|row| row.code == text);
        if any || (1..=TOO_MANY).contains(&rows.len()) {
            rows.into_iter().take(TOO_MANY).for_each(|row| self.row(row.code.clone(), row, Certainty::Possible));
        }
    }

    fn smtp_answer(&mut self, quoted: &Quoted) {
        let before = self.explanations.len();
        let own = self.catalogue.own().iter().filter(|own| own.covers(quoted.number, quoted.status));
        let own: Vec<&OwnRefusal> = own.collect();
        if let Some(said) = own.iter().find(|own| own.says(&quoted.text)) {
            self.push(of_ours(quoted.codes(), said, Certainty::Certain));
            return;
        }
        let (rows, certainty) = self.smtp_rows(quoted);
        rows.into_iter().for_each(|row| self.row(quoted.codes(), row, certainty));
        if quoted.text.is_empty() && quoted.status.is_some() {
            own.into_iter().for_each(|own| self.push(of_ours(quoted.codes(), own, Certainty::Possible)));
        }
        if self.explanations.len() == before && !self.has_row_of(&quoted.codes()) {
            self.explanations.extend(by_digit(quoted));
        }
    }

    /// The rows that may know it, and how sure that is.
    fn smtp_rows(&self, quoted: &Quoted) -> (Vec<&'a Row>, Certainty) {
        let number_fits = |row: &&Row| quoted.number.is_none_or(|number| row.replies.fit(number).is_some());
        let rows = self.catalogue.of(Source::Smtp).filter(number_fits);
        let rows: Vec<&Row> = rows.filter(|row| row.pattern.covers(quoted.status) || quoted.status.is_none()).collect();
        if quoted.text.is_empty() {
            return bare(rows, quoted);
        }
        let tagged = without_server_tag(&quoted.text);
        let said = rows.iter().copied().filter(|row| row.text_match.is_some() && row.agrees(tagged));
        let said: Vec<&Row> = best(said.collect(), quoted);
        let sure = if quoted.status.is_some() { Certainty::Certain } else { Certainty::Likely };
        if !said.is_empty() {
            return (said, sure);
        }
        let coded = rows.iter().copied().filter(|row| row.pattern != CodePattern::Any && quoted.status.is_some());
        let (told, plain): (Vec<&Row>, Vec<&Row>) = coded.partition(|row| row.text_match.is_some());
        match (plain.is_empty(), told.is_empty()) {
            (false, true) => (best(plain, quoted), Certainty::Certain),
            (false, false) => (best(plain, quoted), Certainty::Likely),
            (true, _) => (best(told, quoted), Certainty::Possible),
        }
    }

    /// Words without a code: those of a refusal, or a part of them.
    fn phrase(&mut self, text: &str) {
        let own = self.catalogue.own().iter().filter(|own| own.says(text));
        own.for_each(|own| self.push(of_ours(format!("{} {}", own.reply, own.code), own, Certainty::Likely)));
        if !self.explanations.iter().any(|known| known.certainty == Certainty::FirstDigit) {
            let said = self.catalogue.rows().iter().filter(|row| row.text_match.is_some() && row.agrees(text));
            said.for_each(|row| self.row(shown(row), row, Certainty::Likely));
        }
        if self.known() || text.len() < SHORTEST_PHRASE {
            return;
        }
        let phrase = text.to_ascii_lowercase();
        let has = |words: &str| words.to_ascii_lowercase().contains(&phrase);
        let rows = self.catalogue.rows().iter().filter(|row| row.text.as_deref().is_some_and(has));
        rows.for_each(|row| self.row(shown(row), row, Certainty::Likely));
        let own = self.catalogue.own().iter().filter(|own| has(&own.text));
        own.for_each(|own| self.push(of_ours(format!("{} {}", own.reply, own.code), own, Certainty::Likely)));
    }

    fn known(&self) -> bool {
        self.explanations.iter().any(|explanation| explanation.certainty != Certainty::FirstDigit)
    }

    fn row(&mut self, answer: String, row: &'a Row, certainty: Certainty) {
        if !self.rows.iter().any(|known| std::ptr::eq(*known, row)) {
            self.rows.push(row);
            self.push(of_row(answer, row, certainty));
        }
    }

    fn push(&mut self, explanation: Explanation) {
        if self.explanations.len() < 4 * MOST {
            self.explanations.push(explanation);
        }
    }

    fn has_row_of(&self, answer: &str) -> bool {
        self.explanations.iter().any(|known| known.answer == answer)
    }
}

/// A code without words: every row that has it is possible.
fn bare<'a>(rows: Vec<&'a Row>, quoted: &Quoted) -> (Vec<&'a Row>, Certainty) {
    let named = |row: &&Row| match (quoted.status, quoted.number) {
        (Some(_), _) => row.pattern != CodePattern::Any,
        (None, Some(number)) => row.replies.names(number),
        (None, None) => false,
    };
    let mut rows: Vec<&Row> = rows.into_iter().filter(named).collect();
    rows.sort_by_key(|row| order(row, quoted));
    // A range says only what holds where no row of its own does.
    let is_range = |row: &Row| matches!(row.pattern, CodePattern::Range(..));
    if rows.iter().any(|row| !is_range(row)) {
        rows.retain(|row| !is_range(row));
    }
    match rows.len() {
        1 => (rows, Certainty::Certain),
        n if quoted.status.is_none() && n > TOO_MANY => (Vec::new(), Certainty::Possible),
        _ => (rows, Certainty::Possible),
    }
}

/// Exact codes before ranges, then the exact reply code, then what is met most before what only a report says.
fn order(row: &Row, quoted: &Quoted) -> (bool, Option<Fit>, u8) {
    let range = matches!(row.pattern, CodePattern::Range(..));
    let fit = quoted.number.and_then(|number| row.replies.fit(number));
    let met = match row.where_ {
        Where::Submission => 0,
        Where::Any => 1,
        Where::Mx | Where::Connector | Where::Direct | Where::Hve | Where::Delivery => 2,
        Where::Ndr => 3,
    };
    (range, fit, met)
}

/// Of rows that all apply, those that come first.
fn best<'a>(mut rows: Vec<&'a Row>, quoted: &Quoted) -> Vec<&'a Row> {
    let key = |row: &Row| {
        let (range, fit, _) = order(row, quoted);
        (range, fit)
    };
    rows.sort_by_key(|row| order(row, quoted));
    let first = rows.first().map(|row| key(row));
    rows.retain(|row| Some(key(row)) == first);
    rows
}

/// `432 4.3.2`, as the row has it.
fn shown(row: &Row) -> String {
    match (row.source, &row.reply) {
        (Source::Smtp, Some(reply)) if row.code == "*" => reply.clone(),
        (Source::Smtp, Some(reply)) => format!("{reply} {}", row.code),
        _ => row.code.clone(),
    }
}

/// Not a number of HTTP, which may stand for anything.
fn is_name(code: &str) -> bool {
    !code.starts_with(|c: char| c.is_ascii_digit()) && !code.starts_with("AADSTS")
}

/// `AADSTS7000222`, each once.
fn aadsts_numbers(text: &str) -> Vec<&str> {
    static NUMBER: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(number) = compiled(&NUMBER, "AADSTS[0-9]{1,9}") else { return Vec::new() };
    let mut numbers: Vec<&str> = Vec::new();
    for found in number.find_iter(text).take(64) {
        if !numbers.contains(&found.as_str()) {
            numbers.push(found.as_str());
        }
    }
    numbers
}
