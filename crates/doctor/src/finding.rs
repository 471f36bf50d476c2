//! What was found, how bad it is, what to do about it, and the record to paste.

use serde::Serialize;

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, an interface: `spf-missing-include`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is so, in one sentence.
    pub what: String,
    /// What an administrator does about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What the remedy puts into the DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// What the remedy puts on a web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
}

/// From good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing; also what could not be found out.
    Note,
    /// Some receivers will treat the mail worse for it.
    Warning,
    /// Mail fails authentication, or will.
    Error,
}

/// A resource record, to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Owner, without the final dot.
    pub name: String,
    /// `TXT`, `CNAME`, `PTR`…
    pub kind: &'static str,
    /// As the web form of a DNS provider takes it: a TXT value without quotes.
    pub value: String,
}

/// A file, to be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Where it is fetched.
    pub url: String,
    /// The whole of it, lines ended by LF.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(severity: Severity, id: &'static str, what: impl Into<String>) -> Self {
        Self { id, severity, what: what.into(), remedy: None, record: None, file: None }
    }

    pub(crate) fn ok(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, id, what)
    }

    pub(crate) fn note(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, id, what)
    }

    pub(crate) fn warning(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, what)
    }

    pub(crate) fn error(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, what)
    }

    /// The DNS did not answer: nothing is known, which is neither good nor bad news about the domain.
    pub(crate) fn trouble(id: &'static str, asked: &str, trouble: &str) -> Self {
        Self::note(id, format!("{asked} could not be looked up: {trouble}")).remedy(
            "Try again later. If it stays so, the domain's name servers, or the resolver that is asked, do not work.",
        )
    }

    /// See [`Finding::trouble`].
    pub(crate) fn is_trouble(&self) -> bool {
        self.id.ends_with("-trouble")
    }

    pub(crate) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    pub(crate) fn record(self, name: impl ToString, kind: &'static str, value: impl Into<String>) -> Self {
        Self { record: Some(Record { name: name.to_string(), kind, value: value.into() }), ..self }
    }

    pub(crate) fn file(self, file: File) -> Self {
        Self { file: Some(file), ..self }
    }
}
