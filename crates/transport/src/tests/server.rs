//! A server that follows a script, one for each connection, and says where a client left it.
//!
//! `S: line` is sent, `C: line` must come (`*` at the end: any rest). `CONTENT` takes a message to its final dot, `TLS` does a
//! handshake, `TOGETHER` demands that more has come already, `R: text` sends text with `\r` and `\n` written out, `CLOSE`
//! closes, `HOLD` keeps silent until the client goes, `DISCARD` is `CONTENT` of which only the number of octets is kept, `BLOCK`
//! waits for a bit of the content and reads no further, `STALL` neither reads nor speaks until the test lets it, `REST` keeps all that comes until the client goes. After the last
//! line QUIT is answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// When the server breaks the connection, in octets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) after_sent: Option<usize>,
    pub(crate) after_received: Option<usize>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    contents: Contents,
    ends: UnboundedReceiver<Result<(), String>>,
    /// Gets a permit with every `HOLD` and `REST` that a script comes to.
    pub(crate) holding: Arc<Semaphore>,
    /// Each permit ends a `STALL`.
    pub(crate) go_on: Arc<Semaphore>,
    scripts: usize,
    task: JoinHandle<()>,
}

type Contents = Arc<Mutex<Vec<Vec<u8>>>>;

/// What is seen from outside.
#[derive(Clone)]
struct Stage {
    contents: Contents,
    holding: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

/// How one connection ended.
enum End {
    Cut,
    Fault(String),
}

struct Connection {
    stream: Box<dyn Duplex>,
    received: Vec<u8>,
    cut: Cut,
}

impl Server {
    pub(crate) async fn start(scripts: &[String]) -> Self {
        Self::start_with(scripts, Cut::default(), None).await
    }

    pub(crate) async fn start_with(scripts: &[String], cut: Cut, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let contents = Contents::default();
        let (ended, ends) = unbounded_channel();
        let (holding, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let stage = Stage { contents: contents.clone(), holding: holding.clone(), go_on: go_on.clone() };
        let task = tokio::spawn(serve(listener, scripts.to_vec(), cut, tls, stage, ended));
        Self { address, contents, ends, holding, go_on, scripts: scripts.len(), task }
    }

    /// All scripts were followed to their end, and nobody came besides. The messages that were taken.
    pub(crate) async fn followed(mut self) -> Vec<Vec<u8>> {
        for script in 1..=self.scripts {
            let end = timeout(Duration::from_secs(20), self.ends.recv()).await;
            let end = end.unwrap_or_else(|_| panic!("script {script} of {} has not ended", self.scripts)).unwrap();
            end.unwrap_or_else(|fault| panic!("{fault}"));
        }
        assert_eq!(self.ends.try_recv().ok(), None, "a connection too many");
        self.task.abort();
        self.contents.lock().unwrap().drain(..).collect()
    }
}

async fn serve(
    listener: TcpListener,
    scripts: Vec<String>,
    cut: Cut,
    tls: Option<TlsAcceptor>,
    stage: Stage,
    ended: UnboundedSender<Result<(), String>>,
) {
    let mut scripts = scripts.into_iter();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (ended, stage, tls) = (ended.clone(), stage.clone(), tls.clone());
        let Some(script) = scripts.next() else {
            let _ = ended.send(Err("a connection too many".to_owned()));
            continue;
        };
        tokio::spawn(async move {
            let end = match follow(stream, &script, cut, tls, &stage).await {
                Err(End::Fault(fault)) => Err(fault),
                Ok(()) | Err(End::Cut) => Ok(()),
            };
            let _ = ended.send(end);
        });
    }
}

async fn follow(stream: TcpStream, script: &str, cut: Cut, tls: Option<TlsAcceptor>, stage: &Stage) -> Result<(), End> {
    stream.set_nodelay(true).unwrap();
    let mut connection = Connection { stream: Box::new(stream), received: Vec::new(), cut };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(text) = line.strip_prefix("S: ") {
            connection.send(format!("{text}\r\n").as_bytes()).await?;
        } else if let Some(text) = line.strip_prefix("R: ") {
            connection.send(text.replace("\\r", "\r").replace("\\n", "\n").as_bytes()).await?;
        } else if let Some(wanted) = line.strip_prefix("C: ") {
            connection.expect(wanted).await?;
        } else if line == "CONTENT" {
            let content = connection.take_until(b"\r\n.\r\n").await?;
            stage.contents.lock().unwrap().push(content);
        } else if line == "TOGETHER" {
            if connection.received.is_empty() {
                return Err(End::Fault("nothing more had come with the line before".to_owned()));
            }
        } else if line == "TLS" {
            let acceptor = tls.clone().expect("a script with TLS needs a certificate");
            // A client that does not like the certificate is part of the play.
            let Ok(encrypted) = acceptor.accept(connection.stream).await else { return Ok(()) };
            connection = Connection { stream: Box::new(encrypted), received: Vec::new(), cut };
        } else if line == "DISCARD" {
            let octets = connection.discard_content().await?;
            stage.contents.lock().unwrap().push(octets.to_le_bytes().to_vec());
        } else if line == "BLOCK" {
            connection.more().await?;
        } else if line == "CLOSE" {
            return Ok(());
        } else if line == "REST" {
            stage.holding.add_permits(1);
            while connection.more().await.is_ok() {}
            stage.contents.lock().unwrap().push(connection.received);
            return Ok(());
        } else if line == "STALL" {
            stage.go_on.acquire().await.unwrap().forget();
        } else if line == "HOLD" {
            stage.holding.add_permits(1);
            while connection.more().await.is_ok() {}
            return Ok(());
        } else {
            panic!("not a line of a script: {line}");
        }
    }
    connection.goodbye().await
}

impl Connection {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        let most = self.cut.after_sent.unwrap_or(usize::MAX).min(bytes.len());
        let sent = async {
            self.stream.write_all(&bytes[..most]).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| End::Fault(format!("{} was not sent: {error}", String::from_utf8_lossy(bytes))))?;
        if let Some(left) = &mut self.cut.after_sent {
            *left -= most;
            if *left == 0 {
                return Err(End::Cut);
            }
        }
        Ok(())
    }

    async fn expect(&mut self, wanted: &str) -> Result<(), End> {
        let line = self.take_until(b"\r\n").await?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let fits = match wanted.strip_suffix('*') {
            Some(start) => line.starts_with(start),
            None => line == wanted,
        };
        if fits { Ok(()) } else { Err(End::Fault(format!("came: {line}\nwanted: {wanted}"))) }
    }

    async fn take_until(&mut self, end: &[u8]) -> Result<Vec<u8>, End> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.received[looked..].windows(end.len()).position(|window| window == end) {
                return Ok(self.received.drain(..looked + at + end.len()).collect());
            }
            looked = (self.received.len() + 1).saturating_sub(end.len());
            self.more().await?;
        }
    }

    async fn discard_content(&mut self) -> Result<u64, End> {
        let end = b"\r\n.\r\n";
        let mut octets = 0;
        while !self.received.ends_with(end) {
            let last = self.received.len().saturating_sub(end.len());
            octets += self.received.drain(..last).len() as u64;
            self.more().await?;
        }
        octets += self.received.drain(..).len() as u64;
        Ok(octets)
    }

    async fn more(&mut self) -> Result<(), End> {
        let mut buffer = vec![0; self.cut.after_received.unwrap_or(usize::MAX).min(64 * 1024)];
        if buffer.is_empty() {
            return Err(End::Cut);
        }
        match self.stream.read(&mut buffer).await {
            Ok(read) if read > 0 => {
                if let Some(left) = &mut self.cut.after_received {
                    *left -= read;
                }
                self.received.extend_from_slice(&buffer[..read]);
                Ok(())
            }
            Ok(_) => Err(End::Fault("the client went".to_owned())),
            Err(error) => Err(End::Fault(format!("the client went: {error}"))),
        }
    }

    /// The client goes, with QUIT or without.
    async fn goodbye(mut self) -> Result<(), End> {
        match self.take_until(b"\r\n").await {
            Ok(line) if line == b"QUIT\r\n" => self.send(b"221 2.0.0 Bye\r\n").await,
            Ok(line) => Err(End::Fault(format!("after the end came: {}", String::from_utf8_lossy(&line)))),
            Err(_) if self.received.is_empty() => Ok(()),
            Err(end) => Err(end),
        }
    }
}
