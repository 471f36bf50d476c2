//! Where accepted mail survives. Backend `embedded`: SQLite for what is known of a message, segments for its bytes.

use std::path::PathBuf;

/// `[spool]` of the configuration, for the embedded backend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of its own; made if missing (mode 0700).
    pub dir: PathBuf,
    /// Kept free for settling. Default 256 MiB; new mail is refused when less than this is free.
    pub reserve: u64,
    /// Bodies in memory at most, all sessions together; beyond it small bodies go to files too. Default 64 MiB.
    pub memory: u64,
}
