//! What differs between operating systems, and what comes from outside: permissions, positioned reads, preallocation, free
//! space, random numbers.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// Makes a directory that nobody else may enter, unless it is there.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A new file that nobody else may read. An existing one is an error.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A lock file: made if missing, its content left alone.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Fills `buffer` from `offset`.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Writes all of it at an offset.
pub(crate) fn write_all_at(file: &File, octets: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(octets, offset)
}

/// A new name in a directory is durable only when the directory is.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Octets that this user may still write on the file system.
pub(crate) fn free(dir: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(dir)?;
    #[allow(clippy::useless_conversion, reason = "the widths differ between systems")]
    let octets = u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size()));
    Ok(octets)
}

/// Gives the file its blocks now, so that they are not missing later.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn allocate(file: &File, octets: u64) -> io::Result<()> {
    match nix::fcntl::posix_fallocate(file, 0, i64::try_from(octets).map_err(io::Error::other)?) {
        // Not every file system can, and not every C library makes up for it.
        Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::EINVAL) => write_zeros(file, octets),
        result => result.map_err(io::Error::from),
    }
}

/// Gives the file its blocks now, so that they are not missing later.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn allocate(file: &File, octets: u64) -> io::Result<()> {
    write_zeros(file, octets)
}

fn write_zeros(file: &File, octets: u64) -> io::Result<()> {
    const PIECE: usize = 64 * 1024;
    let mut at = 0;
    while at < octets {
        let piece = usize::try_from(octets - at).unwrap_or(PIECE).min(PIECE);
        file.write_all_at(&vec![0; piece], at)?;
        at += piece as u64;
    }
    Ok(())
}

/// A number that nobody outside can guess: the keys of the standard library's hasher come from the system.
pub(crate) fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// For the operators' tools, which are given no clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the tools run by themselves, from a command line; nothing is timed by it"
)]
pub(crate) fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
