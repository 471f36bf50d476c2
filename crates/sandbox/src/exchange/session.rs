//! One connection: octets between the socket and the protocol machine, and the dialogue's verdicts carried out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smtp::server::{Server, Step as Machine};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::dialogue::{Act, Dialogue, Piece, Question, Verdict};
use super::link::Link;
use super::listener::Listener;
use super::{Kind, words};
use crate::ca::TlsFault;
use crate::clock::later;
use crate::faults::{Action, Step};
use crate::world::World;

/// How long Exchange waits for a client that says nothing.
const IDLE: Duration = Duration::from_secs(300);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Octets read at once.
const BUFFER: usize = 16 * 1024;

/// Whether the session goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    Go,
    Close,
}

/// What the machine wants.
enum Next {
    Input,
    Question(Question),
    Refuse(smtp::Reply),
    Handshake,
    Close,
    /// Nothing; ask again.
    Again,
}

/// See the head of this file.
pub(crate) struct Session {
    world: Arc<World>,
    tls: Arc<rustls::ServerConfig>,
    link: Link,
    machine: Server,
    dialogue: Dialogue,
    kind: Kind,
    stop: CancellationToken,
    buffer: Vec<u8>,
    received: u64,
    cut: bool,
    /// Output up to here has been looked at.
    seen: usize,
}

impl Session {
    pub(crate) fn new(listener: &Listener, socket: TcpStream, peer: SocketAddr) -> Self {
        let world = listener.world.clone();
        Self {
            dialogue: Dialogue::new(world.clone(), listener.kind, peer),
            tls: listener.tls.clone(),
            machine: Server::new(listener.machine.clone(), false),
            link: Link::Clear(socket),
            kind: listener.kind,
            stop: listener.stop.clone(),
            world,
            buffer: vec![0; BUFFER],
            received: 0,
            cut: false,
            seen: 0,
        }
    }

    /// Until the session is over. A broken connection is nobody's fault here.
    pub(crate) async fn run(mut self) {
        while let Ok(Flow::Go) = self.step().await {}
        self.dialogue.abort();
        self.link.close().await;
    }

    async fn step(&mut self) -> io::Result<Flow> {
        let next = next(&mut self.machine, &mut self.dialogue);
        self.look_at_output(true);
        match next {
            Next::Again => Ok(Flow::Go),
            Next::Input => self.exchange_octets().await,
            Next::Question(question) => {
                let verdict = self.dialogue.decide(question);
                self.carry_out(verdict).await
            }
            Next::Refuse(reply) => {
                self.machine.refuse_content(reply);
                Ok(Flow::Go)
            }
            Next::Handshake => self.handshake().await,
            Next::Close => {
                self.flush().await?;
                Ok(Flow::Close)
            }
        }
    }

    async fn carry_out(&mut self, verdict: Verdict) -> io::Result<Flow> {
        if !verdict.delay.is_zero() || verdict.not_before.is_some() {
            self.flush().await?;
            if !self.wait(verdict.delay, verdict.not_before).await {
                return Ok(Flow::Close);
            }
        }
        match verdict.act {
            Act::Answer(answer) => self.machine.answer(answer),
            Act::Cut(answer, octets) => {
                let before = self.machine.output().len();
                self.machine.answer(answer);
                self.machine.output().truncate(before.saturating_add(octets));
                self.flush().await?;
                return Ok(Flow::Close);
            }
            Act::Close => return Ok(Flow::Close),
        }
        if verdict.by_fault {
            self.seen = self.machine.output().len();
        } else {
            self.look_at_output(false);
        }
        if !verdict.pause.is_zero() {
            self.flush().await?;
            if !self.wait(verdict.pause, None).await {
                return Ok(Flow::Close);
            }
        }
        Ok(Flow::Go)
    }

    /// False if the sandbox stops in the meantime.
    async fn wait(&self, delay: Duration, not_before: Option<Timestamp>) -> bool {
        let wait = async {
            tokio::time::sleep(delay).await;
            if let Some(not_before) = not_before {
                self.world.clock.sleep_until(not_before).await;
            }
        };
        tokio::select! {
            () = wait => true,
            () = self.stop.cancelled() => false,
        }
    }

    async fn exchange_octets(&mut self) -> io::Result<Flow> {
        self.flush().await?;
        if self.cut {
            return Ok(Flow::Close);
        }
        let deadline = later(self.world.clock.now(), IDLE);
        let count = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.machine.close_with(words::stopping());
                return Ok(Flow::Go);
            }
            count = self.link.read(&mut self.buffer) => count?,
            () = self.world.clock.sleep_until(deadline) => {
                self.machine.close_with(words::idle(self.dialogue.age()));
                return Ok(Flow::Go);
            }
        };
        if count == 0 {
            return Ok(Flow::Close);
        }
        let count = self.within_cut(count);
        self.machine.handle_input(self.buffer.get(..count).unwrap_or_default());
        Ok(Flow::Go)
    }

    /// How many of these octets come before the place where a fault cuts the connection.
    fn within_cut(&mut self, count: usize) -> usize {
        let after = self.received + count as u64;
        let Some(cut_at) = self.dialogue.cut_at.filter(|cut_at| after >= *cut_at) else {
            self.received = after;
            return count;
        };
        self.cut = true;
        usize::try_from(cut_at.saturating_sub(self.received)).unwrap_or(count)
    }

    async fn handshake(&mut self) -> io::Result<Flow> {
        self.flush().await?;
        let struck = self.dialogue.struck(Step::Tls, None, &[]).unwrap_or_default();
        tokio::time::sleep(struck.delay).await;
        let server = match struck.action {
            Some(Action::Tls(TlsFault::Close)) => return Ok(Flow::Close),
            Some(Action::Tls(TlsFault::Garbage)) => {
                self.link.write(b"550 5.7.0 this is not TLS\r\n").await?;
                return Ok(Flow::Close);
            }
            Some(Action::Tls(flaw)) => self.world.flawed_tls(flaw).map_err(io::Error::other)?,
            _ => self.tls.clone(),
        };
        let handshake = tokio::time::timeout(HANDSHAKE, self.link.encrypt(server)).await;
        if !matches!(handshake, Ok(Ok(()))) {
            self.world.state().statistics.failed_handshakes += 1;
            return Ok(Flow::Close);
        }
        self.dialogue.encrypted(self.link.tls());
        self.machine.handle_tls();
        Ok(Flow::Go)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.seen = 0;
        let output = self.machine.output();
        if output.is_empty() {
            return Ok(());
        }
        let written = self.link.write(output).await;
        output.clear();
        written
    }

    /// Counts the refusals in what was written since the last look, and puts Exchange's words for the machine's own.
    fn look_at_output(&mut self, machine_made: bool) {
        let machine_made = machine_made && self.kind == Kind::Submission;
        let output = self.machine.output();
        let Some(fresh) = output.get(self.seen..).filter(|fresh| !fresh.is_empty()) else {
            self.seen = output.len();
            return;
        };
        let lines =
            || fresh.split_inclusive(|octet| *octet == b'\n').map(|line| std::str::from_utf8(line).unwrap_or(""));
        for code in lines().filter_map(|line| refusal_code(translated(line, machine_made).unwrap_or(line))) {
            self.world.state().statistics.count_refusal(&code);
        }
        if lines().any(|line| translated(line, machine_made).is_some()) {
            let rewritten: String = lines().map(|line| translated(line, machine_made).unwrap_or(line)).collect();
            output.truncate(self.seen);
            output.extend_from_slice(rewritten.as_bytes());
        }
        self.seen = output.len();
    }
}

fn translated(line: &str, machine_made: bool) -> Option<&'static str> {
    if machine_made { words::translate(line) } else { None }
}

fn next(machine: &mut Server, dialogue: &mut Dialogue) -> Next {
    match machine.poll() {
        Machine::NeedInput => Next::Input,
        Machine::Connected => Next::Question(Question::Connected),
        Machine::Hello { name, esmtp } => Next::Question(Question::Hello { name: name.to_owned(), esmtp }),
        Machine::StartTls => Next::Question(Question::StartTls),
        Machine::TlsHandshake => Next::Handshake,
        Machine::Authenticate(credentials) => Next::Question(Question::Authenticate(credentials)),
        Machine::Mail { reverse_path, parameters } => Next::Question(Question::Mail(reverse_path, parameters)),
        Machine::Rcpt { forward_path, parameters } => Next::Question(Question::Rcpt(forward_path, parameters)),
        Machine::Begin => Next::Question(Question::Begin),
        Machine::Content(piece) => match dialogue.content(piece) {
            Piece::Taken => Next::Again,
            Piece::Refused(reply) => Next::Refuse(reply),
            Piece::Close => Next::Close,
        },
        Machine::End => Next::Question(Question::End),
        Machine::Abort => {
            dialogue.abort();
            Next::Again
        }
        Machine::Verify(_) => Next::Question(Question::Verify),
        Machine::Close => Next::Close,
    }
}

/// `554 5.2.252` of the last line of a refusal.
fn refusal_code(line: &str) -> Option<String> {
    if !line.starts_with(['4', '5']) || line.as_bytes().get(3) != Some(&b' ') {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let code = words.next()?;
    let status = words.next().filter(|word| word.parse::<smtp::EnhancedStatus>().is_ok());
    Some(status.map_or_else(|| code.to_owned(), |status| format!("{code} {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_code_and_status() {
        assert_eq!(refusal_code("554 5.2.252 SendAsDenied; x\r\n").as_deref(), Some("554 5.2.252"));
        assert_eq!(refusal_code("421 go away\r\n").as_deref(), Some("421"));
        assert_eq!(refusal_code("554-5.2.252 SendAsDenied; x\r\n"), None);
        assert_eq!(refusal_code("250 2.0.0 OK\r\n"), None);
    }
}
