//! The connection, in clear or encrypted.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// See the head of this file.
pub(crate) enum Link {
    Clear(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
    /// A handshake failed, or a fault closed it.
    Gone,
}

impl Link {
    pub(crate) async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(into).await,
            Self::Encrypted(stream) => stream.read(into).await,
            Self::Gone => Ok(0),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.write_all(bytes).await,
            Self::Encrypted(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The handshake, as the server.
    pub(crate) async fn encrypt(&mut self, server: Arc<ServerConfig>) -> io::Result<()> {
        match std::mem::replace(self, Self::Gone) {
            Self::Clear(stream) => {
                *self = Self::Encrypted(Box::new(TlsAcceptor::from(server).accept(stream).await?));
                Ok(())
            }
            Self::Encrypted(_) | Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// `TLSv1_3` and the cipher suite.
    pub(crate) fn tls(&self) -> Option<String> {
        let Self::Encrypted(stream) = self else { return None };
        let (_, session) = stream.get_ref();
        Some(format!("{:?} {:?}", session.protocol_version()?, session.negotiated_cipher_suite()?.suite()))
    }

    /// Says good-bye to TLS and the peer; errors mean that the peer has gone already.
    pub(crate) async fn close(&mut self) {
        let _ = match self {
            Self::Clear(stream) => stream.shutdown().await,
            Self::Encrypted(stream) => stream.shutdown().await,
            Self::Gone => Ok(()),
        };
    }
}
