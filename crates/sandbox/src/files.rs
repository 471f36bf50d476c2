//! The directory in which a sandbox keeps its CA, its keys and its identity.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}", path = path.display())]
pub struct FileError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// Reads `name`, or makes its text and writes it. Without a directory it is made and not kept.
pub(crate) fn load_or_make<E: From<FileError>>(
    directory: Option<&Path>,
    name: &str,
    make: impl FnOnce() -> Result<String, E>,
) -> Result<String, E> {
    let Some(directory) = directory else { return make() };
    let path = directory.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make()?;
            write_private(&path, &text)?;
            Ok(text)
        }
        Err(cause) => Err(FileError { path, cause }.into()),
    }
}

/// As [`load_or_make`] for two files that belong together.
pub(crate) fn load_or_make_pair<E: From<FileError>>(
    directory: Option<&Path>,
    first: &str,
    second: &str,
    make: impl FnOnce() -> Result<(String, String), E>,
) -> Result<(String, String), E> {
    let Some(directory) = directory else { return make() };
    let (one, two) = (directory.join(first), directory.join(second));
    if one.exists() && two.exists() {
        let read = |path: PathBuf| fs::read_to_string(&path).map_err(|cause| FileError { path, cause });
        return Ok((read(one)?, read(two)?));
    }
    let made = make()?;
    write_private(&one, &made.0)?;
    write_private(&two, &made.1)?;
    Ok(made)
}

/// Writes a file that only its owner may read, making its directory if need be.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), FileError> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(text.as_bytes())
    };
    write().map_err(|cause| FileError { path: path.to_owned(), cause })
}
