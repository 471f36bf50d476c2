//! What only Unix has: local datagram sockets, and process groups.

#[cfg(unix)]
mod has {
    use std::path::Path;

    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    use tokio::net::UnixDatagram;
    use tokio::process::Command;

    /// One datagram to a socket of the file system.
    pub(crate) async fn send(path: &Path, datagram: &[u8]) -> std::io::Result<()> {
        UnixDatagram::unbound()?.send_to(datagram, path).await.map(drop)
    }

    /// The command leads a group of its own, so that what it starts can be ended with it.
    pub(crate) fn lead_group(command: &mut Command) {
        command.process_group(0);
    }

    /// Ends the group of a process that was started by [`lead_group`] and was not waited for yet.
    pub(crate) fn kill_group(leader: u32) {
        if let Ok(leader) = i32::try_from(leader) {
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}

#[cfg(not(unix))]
mod has {
    use std::path::Path;

    use tokio::process::Command;

    /// There are none here.
    pub(crate) async fn send(_: &Path, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "this system has no such sockets: use udp:// or tcp://",
        ))
    }

    /// There are none here.
    pub(crate) fn lead_group(_: &mut Command) {}

    /// There are none here.
    pub(crate) fn kill_group(_: u32) {}
}

pub(crate) use has::{kill_group, lead_group, send};
