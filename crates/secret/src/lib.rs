//! Where a secret is to be found, and how it is read: each time it is needed, so that a replaced file is taken up without
//! a restart. Neither the reference nor what it yields can be printed by accident.

use std::path::PathBuf;

pub use secrecy::{ExposeSecret, SecretString};

/// A reference to a secret.
#[derive(Clone, Debug)]
pub enum Secret {
    /// In the configuration itself (the user insisted).
    Inline(SecretString),
    /// The first line of a file, without its line end. A relative name was made absolute by the configuration.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A file of that name in systemd's credential directory (`$CREDENTIALS_DIRECTORY`).
    Credential(String),
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file.
    #[error("cannot read the secret file {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// Larger than 64 KiB, not UTF-8, or empty.
    #[error("the secret from {0} is empty, larger than 64 KiB or not UTF-8")]
    Unusable(String),
    /// The variable.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// The directory.
    #[error("{0}: this process was given no systemd credentials (CREDENTIALS_DIRECTORY is not set)")]
    NoCredentials(String),
}

impl Secret {
    /// Reads it. Blocks for a small file.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path),
            Self::Env(name) => {
                let value = env(name).ok_or_else(|| SecretError::Env(name.clone()))?;
                usable(value, || format!("the environment variable {name}"))
            }
            Self::Credential(name) => {
                let dir = env("CREDENTIALS_DIRECTORY").ok_or_else(|| SecretError::NoCredentials(name.clone()))?;
                read_file(&PathBuf::from(dir).join(name))
            }
        }
    }
}

/// For messages: where it is, never what it is.
impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("the configuration file"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::Credential(name) => write!(f, "the systemd credential {name}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this module is where secrets come out of the environment")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read_file(path: &PathBuf) -> Result<SecretString, SecretError> {
    use std::io::Read;
    let failed = |error| SecretError::File { path: path.clone(), error };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(64 * 1024 + 1).read_to_string(&mut text).map_err(failed)?;
    usable(text, || format!("the file {}", path.display()))
}

fn usable(text: String, source: impl Fn() -> String) -> Result<SecretString, SecretError> {
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() || text.len() > 64 * 1024 {
        return Err(SecretError::Unusable(source()));
    }
    Ok(SecretString::from(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_read_anew_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secret = Secret::File(file.path().to_owned());
        std::fs::write(file.path(), "first\r\n").unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), "first");
        std::fs::write(file.path(), "second").unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), "second");
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secret = Secret::Inline(SecretString::from("hunter2".to_owned()));
        assert!(!format!("{secret:?} {secret}").contains("hunter2"));
    }

    #[test]
    fn an_empty_file_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Secret::File(file.path().to_owned()).read().unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
