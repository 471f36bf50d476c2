//! A token endpoint that says what the test wants and keeps what it was sent; and a source that asks it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use posthouse_entra::{Credential, Settings, TokenSource};
use secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

pub(crate) const START: i64 = 1_800_000_000;
pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
pub(crate) const SECRET: &str = "S3cret~that/must+not be.shown";

/// What the endpoint says.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Tokens `token-1`, `token-2`, …, living so many seconds.
    Tokens(u64),
    /// Status, further header lines, body.
    Say(u16, &'static str, String),
    /// Reads the request and hangs up.
    HangUp,
    /// Reads the request and says nothing.
    Silence,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) form: HashMap<String, String>,
}

/// See the head of this file.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) authority: String,
    script: Arc<Mutex<Script>>,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Answers wait for it.
    gate: Arc<Semaphore>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    pub(crate) async fn start_tls(tls: TlsAcceptor) -> Self {
        Self::start_with(Some(tls)).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = match tls {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let script = Arc::new(Mutex::new(Script::Tokens(3600)));
        let server = Self { authority, script, requests: Arc::default(), gate };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => server.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                server.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn script(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// Refuses as Microsoft does.
    pub(crate) fn refuse(&self, error: &str, description: &str) {
        let body = format!(r#"{{"error":"{error}","error_description":"{description}","trace_id":"trace-1"}}"#);
        self.script(Script::Say(401, "", body));
    }

    /// No answer from here on until it is dropped.
    pub(crate) fn close_gate(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.gate.available_permits()).unwrap_or(u32::MAX);
        Arc::clone(&self.gate).try_acquire_many_owned(all).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(request) = read_request(&mut stream).await else { return };
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request);
            requests.len()
        };
        let _open = self.gate.acquire().await.unwrap();
        let script = self.script.lock().unwrap().clone();
        let (status, headers, body) = match script {
            Script::Tokens(life) => {
                (200, "", format!(r#"{{"token_type":"Bearer","expires_in":{life},"access_token":"token-{number}"}}"#))
            }
            Script::Say(status, headers, body) => (status, headers, body),
            Script::HangUp => return,
            Script::Silence => return std::future::pending().await,
        };
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut read = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let target = head.split(' ').nth(1)?.to_owned();
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    Some(Request { target, form: pairs.map(|(name, value)| (decoded(name), decoded(value))).collect() })
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                decoded.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
                at += 2;
            }
            b'+' => decoded.push(b' '),
            byte => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8(decoded).unwrap()
}

/// A clock that the test sets.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    /// Seconds since the start.
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn closure(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || Timestamp::from_second(START + clock.0.load(Ordering::SeqCst)).unwrap())
    }
}

pub(crate) fn settings(server: &Server, credential: Credential) -> Settings {
    Settings {
        authority: server.authority.clone(),
        tenant: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        credential,
        scope: "https://outlook.office365.com/.default".to_owned(),
        ca: None,
    }
}

/// A source with a secret in it, and its clock.
pub(crate) fn source(server: &Server) -> (Arc<TokenSource>, Clock) {
    let clock = Clock::default();
    let secret = Credential::ClientSecret(Secret::Inline(SECRET.to_owned().into()));
    (Arc::new(TokenSource::new(settings(server, secret), clock.closure()).unwrap()), clock)
}

/// Waits for what another task does; every wait in these tests is for an event, this bound only ends a failed one.
pub(crate) async fn until(mut true_now: impl FnMut() -> bool) {
    let waiting = async {
        while !true_now() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never happened");
}
