//! What this relay itself answers to devices when it refuses. The table is `data/own.toml`.

use serde::{Deserialize, Serialize};
use smtp::EnhancedStatus;

use crate::matching::{ReplyPattern, parse_status};
use crate::row::{Move, TextMatch};

/// A refusal of ours.
#[derive(Debug, Serialize)]
pub struct OwnRefusal {
    /// The enhanced status code.
    pub code: String,
    /// The reply code; alternatives with a slash.
    pub reply: String,
    /// The words, abbreviated.
    pub text: String,
    /// What it means.
    pub meaning: String,
    /// Who does something about it.
    pub whose_move: Move,
    /// What they do.
    pub fix: String,
    /// The keys of the configuration that decide it: `client.networks`.
    pub keys: Vec<String>,
    #[serde(skip)]
    status: EnhancedStatus,
    #[serde(skip)]
    replies: ReplyPattern,
    #[serde(skip)]
    words: TextMatch,
}

impl OwnRefusal {
    /// Whether the codes, as far as they are known, may be of this refusal.
    pub(crate) fn covers(&self, number: Option<u16>, status: Option<EnhancedStatus>) -> bool {
        status.is_none_or(|status| status == self.status)
            && number.is_none_or(|number| self.replies.fit(number).is_some())
    }

    /// Whether these are its words.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.words.is_in(text)
    }

    #[cfg(test)]
    pub(crate) fn has_expression(&self) -> bool {
        self.words.regex().is_some()
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnTable {
    refusal: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    code: String,
    reply: String,
    text: String,
    r#match: String,
    meaning: String,
    whose_move: Move,
    fix: String,
    keys: Vec<String>,
}

impl OwnTable {
    /// `Err`: row and code that cannot be read.
    pub(crate) fn check(self) -> Result<Vec<OwnRefusal>, (usize, String)> {
        let rows = self.refusal.into_iter().enumerate();
        rows.map(|(row, written)| {
            let code = written.code.clone();
            written.check().ok_or((row, code))
        })
        .collect()
    }
}

impl Written {
    fn check(self) -> Option<OwnRefusal> {
        Some(OwnRefusal {
            status: parse_status(&self.code)?,
            replies: ReplyPattern::parse(&self.reply, true)?,
            words: TextMatch::new(self.r#match),
            code: self.code,
            reply: self.reply,
            text: self.text,
            meaning: self.meaning,
            whose_move: self.whose_move,
            fix: self.fix,
            keys: self.keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Catalogue;

    #[test]
    fn every_expression_compiles_and_finds_the_words_of_its_row() {
        for own in Catalogue::builtin().own() {
            assert!(own.has_expression(), "{own:#?}");
            assert!(own.text.split(" / ").any(|words| own.says(&words.replace('…', "1"))), "{own:#?}");
        }
    }
}
