//! What differs between operating systems: who may read a private key.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// A new file that nobody else may read. A file that is there is an error.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The entry of a new file is only then on stable storage. Windows does that by itself.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Whether the group or everybody may read it or write into it. Where there are no modes nothing is said.
pub(crate) fn open_to_others(about: &Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o066 != 0
    }
    #[cfg(not(unix))]
    {
        let _ = about;
        false
    }
}
