//! The typed client: one method a request, errors that say what to do.
//!
//! Over a Unix socket on the relay's own machine. Before the first client is made, the process must have a rustls provider
//! installed (the HTTP library asks for it even where no TLS is spoken).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::{Done, Event, Message, Order, Page, Probe, Query, Refusal, Status, TestAlerts, Tested, Word};

/// A relay that can be asked.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    place: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no relay answers at {place}: {cause}\n  hint: is `posthouse serve` running, and may you use its socket?")]
    Unreachable {
        /// Socket or address.
        place: String,
        /// The system's words.
        cause: String,
    },
    /// The relay says no.
    #[error("{}{}", refusal.error, refusal.hint.iter().map(|hint| format!("\n  hint: {hint}")).collect::<String>())]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        refusal: Refusal,
    },
    /// The answer is not one of this API, or it broke off.
    #[error("the answer from {place} cannot be understood: {cause}\n  hint: is it a relay, and of the same version?")]
    Unintelligible {
        /// Socket or address.
        place: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Setup(String),
}

impl ClientError {
    /// No relay answers there.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
    /// The relay knows no such message or lane.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// Longest wait for an answer that is not a stream. An order for a million messages takes its time.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest line of a stream: a message has at most some hundred recipients, its last event at most that many replies.
const LONGEST_LINE: usize = 16 << 20;

impl Client {
    /// The relay whose admin socket this is.
    #[cfg(unix)]
    pub fn unix(socket: &std::path::Path) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder().unix_socket(socket.to_owned());
        Self::new(http, "http://posthouse".to_owned(), socket.display().to_string())
    }
    /// A relay behind an address, e.g. `http://127.0.0.1:8025`.
    pub fn http(url: &str) -> Result<Self, ClientError> {
        Self::new(reqwest::Client::builder(), url.trim_end_matches('/').to_owned(), url.to_owned())
    }
    fn new(http: reqwest::ClientBuilder, base: String, place: String) -> Result<Self, ClientError> {
        let http = http.no_proxy().connect_timeout(Duration::from_secs(5)).build();
        Ok(Self { http: http.map_err(|error| ClientError::Setup(chain(&error)))?, base, place })
    }

    /// What is going on.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.json(self.request(Method::GET, "status")).await
    }
    /// Queued messages, oldest first.
    pub async fn queue(&self, query: &Query) -> Result<Page, ClientError> {
        self.json(self.request(Method::GET, "queue").query(query)).await
    }
    /// Settled messages, newest first.
    pub async fn history(&self, query: &Query) -> Result<Page, ClientError> {
        self.json(self.request(Method::GET, "history").query(query)).await
    }
    /// One message, queued or settled.
    pub async fn message(&self, id: &str) -> Result<Message, ClientError> {
        self.json(self.request(Method::GET, &format!("messages/{}", segment(id)))).await
    }
    /// Its bytes.
    pub async fn raw(&self, id: &str) -> Result<Raw, ClientError> {
        let request = self.http.get(format!("{}/v1/messages/{}/raw", self.base, segment(id)));
        Ok(Raw { response: self.send(request).await?, place: self.place.clone() })
    }
    /// Has something done.
    pub async fn order(&self, word: Word, order: &Order) -> Result<Done, ClientError> {
        self.json(self.request(Method::POST, &format!("queue/{}", word.as_str())).json(order)).await
    }
    /// Sends a test notice through one channel, or through all, and waits for what comes of it.
    pub async fn test_alerts(&self, channel: Option<&str>) -> Result<Vec<Tested>, ClientError> {
        let body = TestAlerts { channel: channel.map(str::to_owned) };
        self.json(self.request(Method::POST, "alerts/test").json(&body)).await
    }
    /// Tries one message now although the lane rests, or waits for what does not work. `lane`: a lane, a pool, or a breaker.
    pub async fn probe(&self, lane: &str) -> Result<(), ClientError> {
        let probe = Probe { lane: lane.to_owned() };
        self.send(self.request(Method::POST, "lanes/probe").json(&probe)).await.map(drop)
    }
    /// What happens from now on.
    pub async fn events(&self) -> Result<Events, ClientError> {
        let response = self.send(self.http.get(format!("{}/v1/events", self.base))).await?;
        Ok(Events { raw: Raw { response, place: self.place.clone() }, unread: BytesMut::new() })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1/{path}", self.base)).timeout(PATIENCE)
    }
    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        response.json().await.map_err(|error| unintelligible(&self.place, &error))
    }
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        match response.json().await {
            Ok(refusal) => Err(ClientError::Refused { status: status.as_u16(), refusal }),
            Err(_) => {
                Err(ClientError::Unintelligible { place: self.place.clone(), cause: format!("HTTP status {status}") })
            }
        }
    }
    fn failed(&self, error: &reqwest::Error) -> ClientError {
        if error.is_connect() || error.is_timeout() {
            return ClientError::Unreachable { place: self.place.clone(), cause: innermost(error) };
        }
        unintelligible(&self.place, error)
    }
}

/// The bytes of a message, in pieces.
#[derive(Debug)]
pub struct Raw {
    response: Response,
    place: String,
}

impl Raw {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.response.chunk().await.map_err(|error| unintelligible(&self.place, &error))
    }
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    raw: Raw,
    unread: BytesMut,
}

impl Events {
    /// The next event; `None` when the relay ends the stream (it stops).
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            while let Some(line) = take_line(&mut self.unread) {
                // An empty line keeps the connection alive.
                if !line.is_empty() {
                    return self.parsed(&line).map(Some);
                }
            }
            if self.unread.len() > LONGEST_LINE {
                return Err(self.broken("a line that does not end"));
            }
            match self.raw.next().await? {
                Some(piece) => self.unread.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
    fn parsed(&self, line: &[u8]) -> Result<Event, ClientError> {
        serde_json::from_slice(line).map_err(|error| self.broken(&error.to_string()))
    }
    fn broken(&self, cause: &str) -> ClientError {
        ClientError::Unintelligible { place: self.raw.place.clone(), cause: cause.to_owned() }
    }
}

/// A whole line from the front, without its LF.
fn take_line(unread: &mut BytesMut) -> Option<BytesMut> {
    let end = unread.iter().position(|byte| *byte == b'\n')?;
    let mut line = unread.split_to(end + 1);
    line.truncate(end);
    Some(line)
}

/// An id that somebody typed, as one segment of a path: whatever it holds, it stays inside it.
fn segment(id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric();
    id.chars().map(|c| if plain(c) { c.to_string() } else { percent(c) }).collect()
}

fn percent(c: char) -> String {
    let mut buffer = [0; 4];
    c.encode_utf8(&mut buffer).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn unintelligible(place: &str, error: &reqwest::Error) -> ClientError {
    ClientError::Unintelligible { place: place.to_owned(), cause: chain(error) }
}

/// The error and its causes, joined.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The cause at the bottom: for a connection that was not made, the system's words.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_leaves_its_segment() {
        assert_eq!(segment("0123456789ABC"), "0123456789ABC");
        assert_eq!(segment("../status?x=ü"), "%2E%2E%2Fstatus%3Fx%3D%C3%BC");
    }

    #[test]
    fn lines_are_taken_whole_however_they_arrive() {
        let mut unread = BytesMut::from(&b"{\"a\"\n\n{\"b"[..]);
        assert_eq!(take_line(&mut unread).unwrap(), b"{\"a\""[..]);
        assert_eq!(take_line(&mut unread).unwrap(), b""[..]);
        assert_eq!(take_line(&mut unread), None);
        unread.extend_from_slice(b"\"\n");
        assert_eq!(take_line(&mut unread).unwrap(), b"{\"b\""[..]);
    }

    #[test]
    fn a_refusal_prints_its_hint() {
        let refusal =
            Refusal { code: "x".into(), error: "no message".into(), hint: Some("see `posthouse queue`".into()) };
        let error = ClientError::Refused { status: 404, refusal };
        assert_eq!(error.to_string(), "no message\n  hint: see `posthouse queue`");
        assert!(error.is_not_found());
    }
}
