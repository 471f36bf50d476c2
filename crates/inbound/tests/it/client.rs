//! A client that says what a test wants, line by line, and reads replies whole.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A connection of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// See the head of this file.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Client {
    /// The greeting is still to be read.
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    /// For STARTTLS.
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        assert!(self.unread.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.unread));
        self.stream
    }

    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// A whole reply, lines joined by `\n`; empty when the connection is closed.
    pub(crate) async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                break;
            }
        }
        lines.join("\n")
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = self.unread.drain(..end + 2).collect::<Vec<u8>>();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(octets) => self.unread.extend_from_slice(&piece[..octets]),
            }
        }
    }

    /// A command and its reply.
    pub(crate) async fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n")).await;
        self.reply().await
    }

    /// Says each command and expects each reply to begin as given.
    pub(crate) async fn script(&mut self, lines: &[(&str, &str)]) {
        for (command, expected) in lines {
            let reply = self.say(command).await;
            assert!(reply.starts_with(expected), "{command} gave {reply}, not {expected}");
        }
    }

    /// Greeting and EHLO; gives the reply to EHLO.
    pub(crate) async fn greet(&mut self) -> String {
        let greeting = self.reply().await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        let hello = self.say("EHLO printer.contoso.com").await;
        assert!(hello.starts_with("250-"), "{hello}");
        hello
    }

    /// A whole transaction from printer@contoso.com; gives the last reply.
    pub(crate) async fn transact(&mut self, content: &str) -> String {
        self.script(&[
            ("MAIL FROM:<printer@contoso.com>", "250"),
            ("RCPT TO:<boss@contoso.com>", "250"),
            ("DATA", "354"),
        ])
        .await;
        self.say(&format!("{content}.")).await
    }

    /// True when the peer has closed and said nothing more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && matches!(self.read_once().await, Ok(0) | Err(_))
    }

    async fn read_once(&mut self) -> io::Result<usize> {
        let mut piece = [0; 64];
        self.stream.read(&mut piece).await
    }
}
