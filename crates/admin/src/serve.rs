//! Connections: accepted up to a limit, each with its time to say what it wants, finished on a stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{State, public_router};

/// Connections at once; the next waits in the system's queue.
const CONNECTIONS: usize = 64;
/// A request's header section must be there within this.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// On a stop, answers under way may finish within this.
const GRACE: Duration = Duration::from_secs(2);

/// Why a door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The TCP address.
    #[error("cannot listen for HTTP at {address}: {error}\n  hint: [admin] address names another, or none")]
    Address {
        /// Which.
        address: SocketAddr,
        /// The system's words.
        error: std::io::Error,
    },
    /// Another relay answers at the socket.
    #[error(
        "a relay is already running with the admin socket {0}\n  hint: stop it first, or give this one a data_dir of its own"
    )]
    InUse(std::path::PathBuf),
    /// There is something at the socket's path that is no socket.
    #[error("{0} is there and is no socket\n  hint: [admin] socket names another path")]
    NoSocket(std::path::PathBuf),
    /// The socket.
    #[error(
        "cannot make the admin socket {path}: {error}\n  hint: its directory must exist, and the relay's user must be able to write there"
    )]
    Socket {
        /// Where.
        path: std::path::PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
}

/// Metrics and health on a TCP address.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl HttpServer {
    /// Port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|error| ServeError::Address { address, error })
    }
    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }
    /// Until `stop`, and at most two seconds longer.
    pub async fn run(self, state: State, stop: CancellationToken) {
        serve(self.listener, public_router(state), stop).await;
    }
}

/// Serves until `stop`; answers under way may finish.
pub(crate) async fn serve<L: Listener>(mut listener: L, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let builder = builder();
    loop {
        let (permit, stream) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&mut listener, &permits) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection.into_owned());
        connections.spawn(async move {
            // A client that goes away, or talks nonsense, is its own trouble.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

async fn accept<L: Listener>(listener: &mut L, permits: &Arc<Semaphore>) -> (OwnedSemaphorePermit, L::Io) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await;
    (permit, stream)
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder
}
