//! From a host name to a connected socket.
//!
//! In: host and port. Out: a TCP connection, or why there is none, each address with its own reason. All addresses are
//! tried in the resolver's order; the next one starts when one fails, or beside it when it says nothing for a while (RFC
//! 8305 in its simplest form).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// How long an address may keep silent before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// More addresses than this are not tried.
const MOST_ADDRESSES: usize = 16;

/// Why there is no connection, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the name {host} cannot be resolved: {cause}")]
    Resolve { host: String, cause: String },
    #[error("no connection to {host}: {causes}")]
    Refused { host: String, causes: String },
    #[error("no connection to {host} within {} s", .limit.as_secs_f32())]
    TimedOut { host: String, limit: Duration },
}

/// Connects within `limit`.
pub(crate) async fn connect(host: &str, port: u16, limit: Duration) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let deadline = Instant::now() + limit;
    let connecting = async {
        let addresses = resolve(host, port).await?;
        race(host, addresses).await
    };
    let timed_out = |_| ConnectError::TimedOut { host: format!("{host}:{port}"), limit };
    let (stream, address) = timeout_at(deadline, connecting).await.map_err(timed_out)??;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    Ok((stream, address))
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let failed = |cause: String| ConnectError::Resolve { host: host.to_owned(), cause };
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| failed(error.to_string()))?;
    let addresses: Vec<_> = found.take(MOST_ADDRESSES).collect();
    if addresses.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(addresses) }
}

/// The first that answers; the others are dropped.
async fn race(host: &str, addresses: Vec<SocketAddr>) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let refused = |causes: &[String]| ConnectError::Refused { host: host.to_owned(), causes: causes.join("; ") };
    let mut causes = Vec::new();
    if let [only] = *addresses {
        return dial(only).await.map_err(|(address, error)| refused(&[format!("{address}: {error}")]));
    }
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    loop {
        if let Some(address) = waiting.next() {
            running.spawn(dial(address));
        }
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = sleep(HEAD_START), if waiting.len() > 0 => continue,
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err((address, error)))) => causes.push(format!("{address}: {error}")),
            Some(Err(error)) => causes.push(error.to_string()),
            None => return Err(refused(&causes)),
        }
    }
}

async fn dial(address: SocketAddr) -> Result<(TcpStream, SocketAddr), (SocketAddr, io::Error)> {
    match TcpStream::connect(address).await {
        Ok(stream) => Ok((stream, address)),
        Err(error) => Err((address, error)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that is taken, and where nobody listens.
    fn nobody() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let (_taken, nobody) = nobody();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let somebody = listener.local_addr().unwrap();
        let (_stream, address) = race("mx.test", vec![nobody, somebody]).await.unwrap();
        assert_eq!(address, somebody);
    }

    #[tokio::test]
    async fn every_refusal_is_named() {
        let (_taken, nobody) = nobody();
        let error = race("mx.test", vec![nobody, nobody]).await.unwrap_err().to_string();
        assert_eq!(error.matches(&nobody.to_string()).count(), 2, "{error}");
        let error = connect("127.0.0.1", nobody.port(), Duration::from_secs(5)).await.unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }
}
