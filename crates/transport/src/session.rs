//! Drives the client machine over a connection: sends what it wants sent, reads, and gives its next step.
//!
//! In: a connection, limits of time. Out: steps of the machine, or how the link failed. While something is being sent,
//! what the server says is heard too, so that neither side can wait for the other for ever. Never: a verdict on a reply.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use queue::SpoolError;
use smtp::client::{Client, PartialReplies, Step};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::content::Content;
use crate::stream::Stream;

/// Octets read at once.
const READ: usize = 8 * 1024;
/// Content goes to the machine in pieces of this size …
const PIECE: usize = 32 * 1024;
/// … and to the connection when so much has gathered. Encoding at most doubles a piece: 128 KiB is the most that waits.
const GATHER: usize = 64 * 1024;
/// Of the buffer, between messages.
const KEEP: usize = 32 * 1024;
/// How long the last words of a server that closed are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The most that ever waited to be sent.
#[cfg(test)]
pub(crate) static MOST_GATHERED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// How a link fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the server closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
}

/// How sending the content fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The final dot was not sent and must not be: the connection is of no further use.
    #[error(transparent)]
    Body(#[from] SpoolError),
}

/// How long an answer may take: any silence, and all in all (a server that drips is not silent).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    silence: Duration,
    until: Instant,
}

impl Patience {
    /// For so many replies that come together.
    pub(crate) fn new(silence: Duration, replies: usize) -> Self {
        let replies = u32::try_from(replies).unwrap_or(u32::MAX).clamp(1, 12);
        Self { silence, until: Instant::now() + silence.saturating_mul(replies) }
    }
    /// For sending so many octets, at 1 MiB per `silence` at the slowest.
    pub(crate) fn for_octets(silence: Duration, octets: u64) -> Self {
        let shares = u32::try_from(octets >> 20).unwrap_or(u32::MAX).saturating_add(2).min(1000);
        Self { silence, until: Instant::now() + silence.saturating_mul(shares) }
    }
    fn deadline(&self) -> Instant {
        self.until.min(Instant::now() + self.silence)
    }
}

/// What came of sending what was to be sent.
enum Pushed {
    All,
    /// The server said something before all was sent.
    Heard,
}

/// One connection and the conversation on it. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) stream: Stream,
    pub(crate) client: Client,
    input: Box<[u8; READ]>,
    /// Its place among all that this transport opened, for logs.
    pub(crate) number: u64,
    /// Name and address of the peer, for replies and logs.
    pub(crate) peer: Arc<str>,
    pub(crate) opened_at: Instant,
    pub(crate) used_at: Instant,
    /// Transactions begun.
    pub(crate) messages: u32,
    /// Of them the last ones that were refused.
    pub(crate) refusals: u32,
    /// Whether the server said anything since the transaction began.
    pub(crate) heard: bool,
    /// The connection took the last byte of the message under way.
    pub(crate) dot_sent: bool,
    /// TLS took bytes that the system has not taken yet.
    unflushed: bool,
    /// One of the transport's connections.
    _permit: OwnedSemaphorePermit,
}

impl Session {
    pub(crate) fn new(stream: Stream, hello: &str, number: u64, peer: Arc<str>, permit: OwnedSemaphorePermit) -> Self {
        let now = Instant::now();
        Self {
            client: Client::new(hello, stream.is_encrypted()),
            stream,
            input: Box::new([0; READ]),
            number,
            peer,
            opened_at: now,
            used_at: now,
            messages: 0,
            refusals: 0,
            heard: false,
            dot_sent: false,
            unflushed: false,
            _permit: permit,
        }
    }

    /// Sends what is to be sent and reads until the machine says what is next.
    pub(crate) async fn step(&mut self, patience: Patience) -> Result<Step, LinkError> {
        loop {
            match self.client.poll() {
                Step::NeedInput => {}
                step => return Ok(step),
            }
            match self.push(patience).await {
                Ok(Pushed::All) => {}
                Ok(Pushed::Heard) => continue,
                Err(error) => return self.last_words(error).await,
            }
            let read = poll_fn(|cx| self.poll_input(cx));
            timeout_at(patience.deadline(), read).await.map_err(|_| LinkError::TimedOut(patience.silence))??;
        }
    }

    /// Sends the content, but for its last piece: that goes with the final dot. `Some`: the server spoke before the end.
    pub(crate) async fn send(&mut self, content: &mut Content, patience: Patience) -> Result<Option<Step>, SendError> {
        while let Some(piece) = content.next().await? {
            for piece in piece.chunks(PIECE) {
                self.client.content(piece);
                #[cfg(test)]
                MOST_GATHERED.fetch_max(self.client.output().len(), std::sync::atomic::Ordering::Relaxed);
                if self.client.output().len() < GATHER {
                    continue;
                }
                if let Some(step) = self.push_all(patience).await? {
                    return Ok(Some(step));
                }
            }
        }
        Ok(None)
    }

    /// Sends the rest, and the final dot. `Some`: the server spoke before it had all.
    pub(crate) async fn end(&mut self, content: &mut Content, patience: Patience) -> Result<Option<Step>, LinkError> {
        self.client.end_content();
        let ended = self.client.awaits_final_reply();
        content.ending = ended;
        let early = self.push_all(patience).await;
        self.dot_sent = ended && self.client.output().is_empty();
        self.client.output().shrink_to(KEEP);
        early
    }

    /// Until all is sent, or the machine has something to say to what was heard meanwhile.
    async fn push_all(&mut self, patience: Patience) -> Result<Option<Step>, LinkError> {
        loop {
            match self.push(patience).await {
                Ok(Pushed::All) => return Ok(None),
                Ok(Pushed::Heard) => {}
                Err(error) => return self.last_words(error).await.map(Some),
            }
            match self.client.poll() {
                Step::NeedInput => {}
                step => return Ok(Some(step)),
            }
        }
    }

    async fn push(&mut self, patience: Patience) -> Result<Pushed, LinkError> {
        if self.client.output().is_empty() && !self.unflushed {
            return Ok(Pushed::All);
        }
        let pushing = poll_fn(|cx| self.poll_push(cx));
        timeout_at(patience.deadline(), pushing).await.map_err(|_| LinkError::TimedOut(patience.silence))?
    }

    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pushed, LinkError>> {
        let output = self.client.output();
        let mut sent = 0;
        let written = loop {
            let rest = output.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break self.stream.poll_flush(cx);
            }
            match self.stream.poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => sent += taken,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if sent == output.len() {
            output.clear()
        } else {
            output.drain(..sent).for_each(drop)
        }
        self.unflushed = written.is_pending();
        match written {
            Poll::Ready(written) => Poll::Ready(written.map(|()| Pushed::All).map_err(LinkError::Io)),
            Poll::Pending => self.poll_input(cx).map_ok(|()| Pushed::Heard),
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.stream.poll_read(cx, self.input.as_mut_slice()) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(LinkError::Closed)),
            Poll::Ready(Ok(read)) => {
                self.heard = true;
                self.client.handle_input(self.input.get(..read).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Err(LinkError::Closed))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(LinkError::Io(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writing failed: what the server had said before it closed may still be there to be read.
    async fn last_words(&mut self, error: LinkError) -> Result<Step, LinkError> {
        let deadline = Instant::now() + LAST_WORDS;
        if !matches!(error, LinkError::Io(_)) {
            return Err(error);
        }
        while let Ok(Ok(())) = timeout_at(deadline, poll_fn(|cx| self.poll_input(cx))).await {
            match self.client.poll() {
                Step::NeedInput => {}
                step => return Ok(step),
            }
        }
        Err(error)
    }

    /// What the server had answered of the transaction under way when the link failed, or was given up.
    pub(crate) fn answered(&mut self) -> PartialReplies {
        self.client.handle_end();
        match self.client.poll() {
            Step::Broken { replies, .. } => replies.map(|replies| *replies).unwrap_or_default(),
            _ => PartialReplies::default(),
        }
    }

    /// False if the server closed an idle connection, or said something on it.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.stream.poll_read(&mut cx, self.input.as_mut_slice()).is_pending()
    }

    /// QUIT, and the end of the connection whatever the server says.
    pub(crate) async fn bye(mut self, limit: Duration) {
        self.client.quit();
        let _ = self.step(Patience::new(limit, 1)).await;
        let _ = timeout_at(Instant::now() + limit, poll_fn(|cx| self.stream.poll_shutdown(cx))).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        tracing::debug!(connection = self.number, peer = %self.peer, messages = self.messages, "connection closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_drips_is_not_waited_for_any_longer_than_a_silent_one() {
        let began = Instant::now();
        let patience = Patience::new(Duration::from_secs(300), 2);
        tokio::time::advance(Duration::from_secs(200)).await;
        assert_eq!(patience.deadline() - began, Duration::from_secs(500), "silence counts from the last octet");
        tokio::time::advance(Duration::from_secs(290)).await;
        assert_eq!(patience.deadline() - began, Duration::from_secs(600), "and has an end");
        let patience = Patience::new(Duration::from_secs(300), usize::MAX);
        assert_eq!(patience.until - Instant::now(), Duration::from_secs(3600));
    }
}
