//! Secrets, as the file refers to them.

use secret::{Secret, SecretString};
use toml::de::DeValue;

use crate::problem::{Complaint, Place, Sink};
use crate::read::{Optional, Read, Sort, Spot, as_table, table, wrong_type};
use crate::values::{FilePath, Name};

/// `"literal"`, `{ file = … }`, `{ env = … }` or `{ credential = … }`. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub(crate) enum SecretSource {
    /// In the file itself.
    Literal(SecretString),
    /// In another file.
    File(FilePath, Place),
    /// In a variable.
    Env(String),
    /// Among systemd's credentials.
    Credential(String),
}

table! {
    /// Where a secret is kept: exactly one of these.
    Source "a secret" {
        /// A file; its first line counts.
        file: Optional<FilePath>, example "\"secret\"";
        /// An environment variable.
        env: Optional<Name>, example "\"POSTHOUSE_SECRET\"";
        /// A systemd credential (`LoadCredential=`).
        credential: Optional<Name>, example "\"secret\"";
    }
    planned "vault", "command";
}

impl Read for SecretSource {
    fn sort() -> Sort {
        Sort::Value("secret".to_owned())
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return literal(text, at, sink);
        }
        if !value.is_table() {
            sink.complain(
                at.place,
                Complaint { remedy: Some(FORMS.to_owned()), ..wrong_type(at.key, "a secret", value) },
            );
            return None;
        }
        let table = as_table(value, at, sink)?;
        let source = Source::from_table(table, at.place, sink);
        match (&*source.file, &*source.env, &*source.credential) {
            (Some(file), None, None) => Some(Self::File(file.value.clone(), file.place)),
            (None, Some(env), None) => Some(Self::Env(env.value.0.clone())),
            (None, None, Some(credential)) => Some(Self::Credential(credential.value.0.clone())),
            _ => {
                sink.error(at.place, format!("`{}` must say in exactly one way where the secret is", at.key), FORMS);
                None
            }
        }
    }
}

const FORMS: &str = "{ file = \"…\" }, { env = \"…\" }, { credential = \"…\" }, or the secret itself in quotes";

fn literal(text: &str, at: &Spot<'_>, sink: &mut Sink) -> Option<SecretSource> {
    if text.is_empty() {
        sink.error(at.place, format!("`{}` is empty", at.key), FORMS);
        return None;
    }
    Some(SecretSource::Literal(SecretString::from(text.to_owned())))
}

impl SecretSource {
    /// The reference, with its path made absolute by `resolve`.
    pub(crate) fn reference(&self, resolve: impl FnOnce(&FilePath) -> std::path::PathBuf) -> Secret {
        match self {
            Self::Literal(secret) => Secret::Inline(secret.clone()),
            Self::File(path, _) => Secret::File(resolve(path)),
            Self::Env(name) => Secret::Env(name.clone()),
            Self::Credential(name) => Secret::Credential(name.clone()),
        }
    }
}
