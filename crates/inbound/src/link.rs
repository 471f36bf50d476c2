//! The connection of a session, plain or encrypted, and the clock that watches over it.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smtp::server::Server;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Read at once. One buffer for each thread of the runtime, none for a session that waits.
const INPUT: usize = 32 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; INPUT].into());
}

/// The connection.
pub(crate) enum Link<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
    /// Between the two.
    Shaking,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Reads once and gives what came to the machine.
    pub(crate) fn poll_input(&mut self, cx: &mut Context<'_>, server: &mut Server) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut input = ReadBuf::new(buffer);
            ready!(self.poll_read(cx, &mut input))?;
            server.handle_input(input.filled());
            Poll::Ready(Ok(input.filled().len()))
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, input),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, input),
            Self::Shaking => Poll::Ready(Ok(())),
        }
    }

    /// Writes what it can of `output` from `*written` on; ready when all of it is out.
    pub(crate) fn poll_output(
        &mut self,
        cx: &mut Context<'_>,
        output: &[u8],
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = output.get(*written..).filter(|rest| !rest.is_empty()) {
            let wrote = match self {
                Self::Plain(stream) => Pin::new(stream).poll_write(cx, rest),
                Self::Tls(stream) => Pin::new(stream).poll_write(cx, rest),
                Self::Shaking => Poll::Ready(Ok(0)),
            };
            match ready!(wrote)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                octets => *written += octets,
            }
        }
        match self {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Says good-bye in TLS and throws away what is left to read, so that closing does not overtake our last reply.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Tls(stream) = self {
            let _ = ready!(Pin::new(stream).poll_shutdown(cx));
            return Poll::Ready(());
        }
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..16 {
                let mut input = ReadBuf::new(buffer);
                match self.poll_read(cx, &mut input) {
                    Poll::Ready(Ok(())) if !input.filled().is_empty() => {}
                    _ => break,
                }
            }
        });
        Poll::Ready(())
    }
}

/// Tokens of a stop: first a request, then the end.
#[derive(Clone, Debug)]
pub(crate) struct Stops {
    /// No new messages.
    pub(crate) soft: CancellationToken,
    /// Grace is over.
    pub(crate) hard: CancellationToken,
}

/// What a session was woken by other than its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    TimedOut,
    /// Given once.
    Stopping,
    Killed,
}

/// Watches over a session: its deadline and the stop of the relay. One timer; moving the deadline away costs nothing.
pub(crate) struct Watch {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
    /// The session's last moment.
    end: Instant,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    hard: Option<CancellationToken>,
}

impl Watch {
    pub(crate) fn new(stops: Stops, first: Duration, session: Duration) -> Self {
        let now = Instant::now();
        let deadline = now + first.min(session);
        Self {
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
            deadline,
            end: now + session,
            stop: Box::pin(stops.soft.cancelled_owned()),
            hard: Some(stops.hard),
        }
    }

    /// From now on the session may wait so long, but never past its own end.
    pub(crate) fn allow(&mut self, wait: Duration) {
        self.allow_past_end(wait, self.end);
    }

    /// For the last words after the end.
    pub(crate) fn allow_farewell(&mut self, wait: Duration) {
        self.allow_past_end(wait, self.end + wait);
    }

    fn allow_past_end(&mut self, wait: Duration, end: Instant) {
        self.deadline = (Instant::now() + wait).min(end);
        if self.deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.deadline);
        }
    }

    /// Whether the session has reached its end.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Whether the relay is stopping, as far as this session has been told.
    pub(crate) fn stopping(&self) -> bool {
        self.hard.is_none()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        if self.stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(match self.hard.take() {
                Some(hard) => {
                    self.stop = Box::pin(hard.cancelled_owned());
                    Interrupt::Stopping
                }
                None => Interrupt::Killed,
            });
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= self.deadline {
                return Poll::Ready(Interrupt::TimedOut);
            }
            self.sleep.as_mut().reset(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn stops() -> Stops {
        Stops { soft: CancellationToken::new(), hard: CancellationToken::new() }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_deadline_moves_and_never_passes_the_end_of_the_session() {
        let start = Instant::now();
        let mut watch = Watch::new(stops(), 10 * SECOND, 100 * SECOND);
        watch.allow(60 * SECOND);
        assert_eq!(poll_fn(|cx| watch.poll(cx)).await, Interrupt::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 60);
        watch.allow(5 * SECOND);
        assert_eq!(poll_fn(|cx| watch.poll(cx)).await, Interrupt::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 65);
        watch.allow(60 * SECOND);
        assert_eq!(poll_fn(|cx| watch.poll(cx)).await, Interrupt::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_told_once_and_its_end_apart() {
        let stops = stops();
        let mut watch = Watch::new(stops.clone(), 10 * SECOND, 100 * SECOND);
        assert!(!watch.stopping());
        stops.soft.cancel();
        assert_eq!(poll_fn(|cx| watch.poll(cx)).await, Interrupt::Stopping);
        assert!(watch.stopping());
        stops.hard.cancel();
        assert_eq!(poll_fn(|cx| watch.poll(cx)).await, Interrupt::Killed);
    }
}
