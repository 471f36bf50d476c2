//! The Unix socket: made under another name, given its mode, then moved into place, so that nobody ever finds it open to
//! more than its mode says; what a dead relay left behind is replaced; removed on stop.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::serve::{ServeError, serve};
use crate::{State, full_router};

/// Owner and group.
const MODE: u32 = 0o660;

/// The whole API, on a Unix socket.
#[derive(Debug)]
pub struct UnixServer {
    listener: UnixListener,
    path: PathBuf,
    /// Of the socket we made: another one in its place is not ours to remove.
    inode: u64,
}

impl UnixServer {
    /// The directory must exist.
    pub async fn bind(path: &Path) -> Result<Self, ServeError> {
        replaceable(path).await?;
        let failed = |error| ServeError::Socket { path: path.to_owned(), error };
        let (listener, inode) = make(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), inode })
    }
    /// Until `stop`, and at most two seconds longer.
    pub async fn run(self, state: State, stop: CancellationToken) {
        let router = full_router(state, stop.clone());
        serve(self.listener, router, stop).await;
        if inode(&self.path).ok() == Some(self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Nothing there, or a socket at which nobody answers.
async fn replaceable(path: &Path) -> Result<(), ServeError> {
    let Ok(there) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !there.file_type().is_socket() {
        return Err(ServeError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ServeError::InUse(path.to_owned())),
        Err(_) => Ok(()),
    }
}

fn make(path: &Path) -> io::Result<(UnixListener, u64)> {
    let aside = path.with_file_name(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&aside);
    let listener = UnixListener::bind(&aside)?;
    let moved = std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(MODE))
        .and_then(|()| inode(&aside))
        .and_then(|inode| std::fs::rename(&aside, path).map(|()| inode));
    if moved.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    moved.map(|inode| (listener, inode))
}

fn inode(path: &Path) -> io::Result<u64> {
    std::fs::symlink_metadata(path).map(|about| about.ino())
}
