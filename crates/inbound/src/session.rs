//! One session from its first byte to its last: moves bytes between the connection and the protocol machine, and
//! questions between the machine and the [`Conversation`].
//!
//! What is read in one piece is dealt with whole, and answered in one write. A waiting session holds no buffer.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use smtp::server::{Answer, Phase, Server, Step};
use smtp::{EnhancedStatus, Reply};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::conversation::{Conversation, Who};
use crate::link::{Interrupt, Link, Stops, Watch};
use crate::tls;
use crate::{Listener, Shared, TlsMode};

/// For the last reply to a client that we leave.
const FAREWELL: Duration = Duration::from_secs(5);
/// An output buffer that has grown over this is given back.
const OUTPUT_KEPT: usize = 1024;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed")]
    Closed,
    #[error("the client went away")]
    Gone,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("the client did not take our reply in time")]
    Stuck,
    #[error("the relay stopped")]
    Killed,
}

/// A session. Ends by itself: every wait has its limit.
pub(crate) struct Session<S> {
    shared: Arc<Shared>,
    link: Link<S>,
    server: Server,
    conversation: Conversation,
    watch: Watch,
    /// Something was said since the deadline was last moved.
    spoke: bool,
    /// The refusal of the machine that was logged last.
    logged: Option<Box<Reply>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(crate) fn new(shared: Arc<Shared>, listener: &Listener, stream: S, who: Who, stops: Stops) -> Self {
        let implicit = listener.tls == TlsMode::Implicit;
        Self {
            link: Link::Plain(stream),
            server: Server::new(listener.protocol.clone(), implicit),
            conversation: Conversation::new(shared.clone(), who),
            watch: Watch::new(stops, shared.limits.command_timeout, shared.limits.session_timeout),
            spoke: false,
            logged: None,
            shared,
        }
    }

    /// `implicit`: TLS comes first.
    pub(crate) async fn run(mut self, implicit: bool) {
        let Who { session, peer, listener } = self.conversation.who().clone();
        tracing::debug!(session, %peer, listener = &*listener, "session opened");
        let end = match if implicit { self.shake_hands().await } else { Ok(()) } {
            Ok(()) => self.converse().await.err().unwrap_or(End::Closed),
            Err(end) => end,
        };
        if matches!(end, End::Handshake(_)) {
            tracing::info!(session, %peer, listener = &*listener, %end, "session closed");
        } else {
            tracing::debug!(session, %peer, listener = &*listener, %end, "session closed");
        }
        self.conversation.abort();
        if matches!(end, End::Closed) {
            self.close().await;
        }
    }

    async fn converse(&mut self) -> Result<(), End> {
        loop {
            let answer = match self.server.poll() {
                Step::NeedInput => {
                    self.send().await?;
                    self.receive().await?;
                    continue;
                }
                Step::Content(piece) => {
                    if let Err(reply) = self.conversation.content(piece).await {
                        self.server.refuse_content(reply);
                    }
                    continue;
                }
                Step::Abort => {
                    self.conversation.abort();
                    continue;
                }
                Step::TlsHandshake => {
                    self.send().await?;
                    self.shake_hands().await?;
                    self.server.handle_tls();
                    continue;
                }
                Step::Close => return self.send().await,
                Step::Connected | Step::StartTls | Step::Verify(_) => Answer::Accept,
                Step::Hello { name, esmtp } => self.conversation.hello(name, esmtp),
                Step::Mail { reverse_path, parameters } => self.conversation.mail(reverse_path, parameters),
                Step::Rcpt { forward_path, parameters } => self.conversation.rcpt(forward_path, parameters),
                Step::Authenticate(credentials) => Box::pin(self.conversation.authenticate(credentials)).await,
                Step::Begin => Box::pin(self.conversation.begin()).await,
                Step::End => Box::pin(self.conversation.end()).await,
            };
            self.server.answer(answer);
        }
    }

    /// What the machine refuses by itself is counted and logged like our own refusals; the same again is only counted.
    fn tell_refusals(&mut self) {
        let Who { session, peer, listener } = self.conversation.who();
        for (reply, times) in self.server.take_refusals() {
            (0..times).for_each(|_| self.shared.count_refusal(&reply));
            if self.logged.as_deref() != Some(&reply) {
                tracing::info!(session, %peer, listener = &**listener, %reply, "refused");
                self.logged = Some(Box::new(reply));
            }
        }
    }

    /// Sends what the machine has said.
    async fn send(&mut self) -> Result<(), End> {
        self.tell_refusals();
        let Self { link, server, watch, shared, .. } = self;
        let output = server.output();
        if output.is_empty() {
            return Ok(());
        }
        let (mut written, mut waited) = (0, false);
        poll_fn(|cx| {
            if let Poll::Ready(done) = link.poll_output(cx, output, &mut written) {
                return Poll::Ready(done.map_err(End::Broken));
            }
            if !std::mem::replace(&mut waited, true) {
                watch.allow_farewell(shared.limits.command_timeout.min(FAREWELL * 12));
            }
            loop {
                match watch.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Interrupt::Stopping) => {}
                    Poll::Ready(Interrupt::TimedOut) => return Poll::Ready(Err(End::Stuck)),
                    Poll::Ready(Interrupt::Killed) => return Poll::Ready(Err(End::Killed)),
                }
            }
        })
        .await?;
        output.clear();
        output.shrink_to(OUTPUT_KEPT);
        self.spoke = true;
        Ok(())
    }

    /// Waits for the peer's next words, as long as it may take.
    async fn receive(&mut self) -> Result<(), End> {
        let inside = self.server.phase() == Phase::Content;
        if self.watch.stopping() && !inside {
            self.server.close_with(stopping(&self.shared.hostname));
            return Ok(());
        }
        // Half a command does not buy time; content does.
        if inside {
            self.watch.allow(self.shared.limits.content_timeout);
        } else if std::mem::take(&mut self.spoke) {
            self.watch.allow(self.shared.limits.command_timeout);
        }
        let Self { link, server, watch, .. } = self;
        let interrupt = poll_fn(|cx| {
            if let Poll::Ready(read) = link.poll_input(cx, server) {
                return Poll::Ready(Ok(read?).and_then(|octets| if octets == 0 { Err(End::Gone) } else { Ok(None) }));
            }
            loop {
                match watch.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Interrupt::Stopping) if inside => {}
                    Poll::Ready(interrupt) => return Poll::Ready(Ok(Some(interrupt))),
                }
            }
        })
        .await?;
        match interrupt {
            None => {}
            Some(Interrupt::TimedOut) => self.leave(timed_out(&self.shared.hostname, self.watch.is_over())),
            Some(Interrupt::Stopping | Interrupt::Killed) => self.leave(stopping(&self.shared.hostname)),
        }
        Ok(())
    }

    /// Closes from our side, with a reply.
    fn leave(&mut self, reply: Reply) {
        let Who { session, peer, .. } = self.conversation.who();
        tracing::info!(session, %peer, %reply, "closing");
        self.shared.count_refusal(&reply);
        self.server.close_with(reply);
        self.watch.allow_farewell(FAREWELL);
    }

    async fn shake_hands(&mut self) -> Result<(), End> {
        let Some(certificates) = &self.shared.certificates else {
            return Err(End::Handshake(io::Error::other("no certificate")));
        };
        let Link::Plain(stream) = std::mem::replace(&mut self.link, Link::Shaking) else {
            return Err(End::Handshake(io::Error::other("encrypted already")));
        };
        self.watch.allow(self.shared.limits.handshake_timeout);
        let mut handshake = Box::pin(TlsAcceptor::from(certificates.config()).accept(stream));
        let watch = &mut self.watch;
        let stream = poll_fn(|cx| {
            if let Poll::Ready(done) = Future::poll(handshake.as_mut(), cx) {
                return Poll::Ready(done.map_err(End::Handshake));
            }
            watch.poll(cx).map(|interrupt| match interrupt {
                Interrupt::TimedOut => Err(End::Handshake(io::ErrorKind::TimedOut.into())),
                Interrupt::Stopping | Interrupt::Killed => Err(End::Killed),
            })
        })
        .await?;
        let connection = stream.get_ref().1;
        let certificate = certificates.judge(connection, self.shared.clock.now());
        self.conversation.encrypted(tls::describe(connection), certificate);
        self.link = Link::Tls(Box::new(stream));
        self.spoke = true;
        Ok(())
    }

    async fn close(&mut self) {
        self.watch.allow_farewell(FAREWELL);
        let Self { link, watch, .. } = self;
        poll_fn(|cx| {
            if link.poll_close(cx).is_ready() {
                return Poll::Ready(());
            }
            loop {
                match watch.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Interrupt::Stopping) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

fn timed_out(hostname: &str, session: bool) -> Reply {
    let why = if session { "this session has lasted too long" } else { "heard nothing for too long" };
    Reply::new(421, EnhancedStatus::new(4, 4, 2), format!("{hostname}: {why}, closing"))
}

/// Also said to connections over the limit of all, with another text.
fn stopping(hostname: &str) -> Reply {
    Reply::new(421, EnhancedStatus::new(4, 3, 2), format!("{hostname} is stopping: try again in a moment"))
}

#[cfg(test)]
mod tests;
