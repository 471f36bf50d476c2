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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, _)) = self.place {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)?;
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
