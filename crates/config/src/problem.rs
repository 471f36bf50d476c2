//! What is wrong with a file: where, what, and what to do.

use std::fmt;
use std::sync::Arc;

/// One error or warning. Displays as `file:line: what`, and on a second line `  hint: remedy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name, as the caller gave it.
    pub file: Arc<str>,
    /// Line and column in it, from 1; `None` where it concerns the file as a whole.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Everything that is wrong with a file, in the order of its lines; at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// What keeps the file from being used.
    pub errors: Vec<Problem>,
    /// What would be worth a look besides.
    pub warnings: Vec<Problem>,
}

impl Problem {
    /// `file:line: what`, for logs, where the remedy is a field of its own.
    pub fn said(&self) -> String {
        match self.place {
            Some((line, _)) => format!("{}:{line}: {}", self.file, self.what),
            None => format!("{}: {}", self.file, self.what),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said())?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  hint: {remedy}"),
            None => Ok(()),
        }
    }
}

/// The errors alone, a line break between them; the warnings are for the caller to show.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Where in the text something stands, in octets; `None`: nowhere in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) Option<usize>);

/// What is wrong with one value, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) what: String,
    pub(crate) remedy: Option<String>,
}

impl Complaint {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: Some(remedy.into()) }
    }
}

/// Collects problems while a file is read and checked.
#[derive(Debug)]
pub(crate) struct Sink {
    file: Arc<str>,
    text: String,
    errors: Vec<(Place, Problem)>,
    warnings: Vec<(Place, Problem)>,
}

impl Sink {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.into(), text: text.to_owned(), errors: Vec::new(), warnings: Vec::new() }
    }
    /// The file cannot be used like this.
    pub(crate) fn error(&mut self, place: Place, what: impl Into<String>, remedy: impl Into<String>) {
        self.complain(place, Complaint::new(what, remedy));
    }
    pub(crate) fn complain(&mut self, place: Place, complaint: Complaint) {
        let problem = self.problem(place, complaint);
        self.errors.push((place, problem));
    }
    /// It can, but somebody should look at it.
    pub(crate) fn warn(&mut self, place: Place, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = self.problem(place, Complaint::new(what, remedy));
        self.warnings.push((place, problem));
    }
    /// From 1.
    pub(crate) fn line(&self, place: Place) -> Option<usize> {
        place.0.map(|offset| self.line_and_column(offset).0)
    }
    /// Errors so far.
    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }
    /// Errors if there are any; the warnings otherwise.
    pub(crate) fn finish(self) -> Result<Vec<Problem>, Errors> {
        let (errors, warnings) = (in_order(self.errors), in_order(self.warnings));
        if errors.is_empty() { Ok(warnings) } else { Err(Errors { errors, warnings }) }
    }

    fn problem(&self, place: Place, complaint: Complaint) -> Problem {
        let place = place.0.map(|offset| self.line_and_column(offset));
        Problem { file: Arc::clone(&self.file), place, what: complaint.what, remedy: complaint.remedy }
    }
    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

fn in_order(mut problems: Vec<(Place, Problem)>) -> Vec<Problem> {
    problems.sort_by_key(|(place, _)| *place);
    problems.into_iter().map(|(_, problem)| problem).collect()
}
