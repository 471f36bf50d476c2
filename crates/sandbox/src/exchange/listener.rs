//! Accepts connections, each with a task of its own.

use std::sync::Arc;

use smtp::Mechanism;
use smtp::server::{Limits, Settings, StartTls};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session::Session;
use super::{Kind, words};
use crate::world::World;

/// SIZE of the submission endpoint.
pub(crate) const SIZE: u64 = 157_286_400;

/// What its sessions have in common.
pub(crate) struct Listener {
    pub(crate) world: Arc<World>,
    pub(crate) kind: Kind,
    pub(crate) machine: Arc<Settings>,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) stop: CancellationToken,
}

impl Listener {
    pub(crate) fn new(world: Arc<World>, kind: Kind, tls: Arc<rustls::ServerConfig>, stop: CancellationToken) -> Self {
        let submission = kind == Kind::Submission;
        let machine = Settings {
            hostname: words::HOST.to_owned(),
            greeting: format!("{} ESMTP", words::HOST),
            size: SIZE,
            starttls: if submission { StartTls::Required } else { StartTls::Unavailable },
            mechanisms: if submission { vec![Mechanism::Login, Mechanism::XOAuth2] } else { Vec::new() },
            auth_without_tls: false,
            chunking: true,
            smtputf8: true,
            dsn: true,
            advertise_limits: false,
            // Exchange's own limits are counted by mailbox; these only keep a session from going on for ever.
            limits: Limits {
                recipients: 5000,
                messages: 10_000_000,
                errors: 5000,
                idle_commands: 5000,
                ..Limits::default()
            },
        };
        Self { world, kind, machine: Arc::new(machine), tls, stop }
    }
}

/// Until the listener's stop; `sessions` is the most at the same time.
pub(crate) async fn serve(listener: Listener, socket: TcpListener, sessions: usize, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(sessions.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            () = listener.stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, most likely: others must end first.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let Ok(place) = places.clone().try_acquire_owned() else {
            let mut refusal = Vec::new();
            words::too_many_sessions().write(&mut refusal);
            listener.world.state().statistics.count_refusal("421 4.3.2");
            let _ = stream.try_write(&refusal);
            continue;
        };
        let session = Session::new(&listener, stream, peer);
        tasks.spawn(async move {
            session.run().await;
            drop(place);
        });
    }
}
