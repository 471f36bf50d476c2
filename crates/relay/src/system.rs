//! What touches the operating system and the environment: signals, inherited sockets, systemd, the clock. Whatever is
//! Unix-only sits here.

use std::net::TcpListener;

/// The system's wall clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl queue::Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// As many as there are cores.
pub(crate) fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Lets this process open as many files and connections as the system permits it to: the soft limit that is usual is for
/// programs that cannot count beyond 1,024. Where it cannot be raised the listeners take fewer connections, and say so.
pub(crate) fn open_as_many_as_permitted() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
        // macOS says that there is no limit, and permits no more than this.
        for limit in [hard, 10_240] {
            if limit <= soft || setrlimit(Resource::RLIMIT_NOFILE, limit, hard).is_ok() {
                return;
            }
        }
    }
}

/// Ctrl-C, or SIGTERM from the service manager.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Sockets handed over by the service manager (systemd socket activation), with their names.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the names come in an environment variable, once, at start")]
pub(crate) fn inherited_listeners() -> anyhow::Result<Vec<(String, TcpListener)>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = listenfd::ListenFd::from_env();
    let mut inherited = Vec::new();
    for index in 0..sockets.len() {
        let name = names.next().unwrap_or_default().to_owned();
        if let Some(listener) = sockets.take_tcp_listener(index)? {
            inherited.push((name, listener));
        }
    }
    Ok(inherited)
}

/// There is no socket activation elsewhere.
#[cfg(not(unix))]
pub(crate) fn inherited_listeners() -> anyhow::Result<Vec<(String, TcpListener)>> {
    Ok(Vec::new())
}

/// Tells the service manager that mail is taken from now on.
pub(crate) fn notify_ready(status: &str) {
    #[cfg(unix)]
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(status)]);
    #[cfg(not(unix))]
    let _ = status;
}

/// Tells the service manager that the relay is finishing what is under way.
pub(crate) fn notify_stopping() {
    #[cfg(unix)]
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}
