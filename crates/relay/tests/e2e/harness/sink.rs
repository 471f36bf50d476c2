//! A next hop for tests: takes mail over plain SMTP and remembers what it took, or does as its script says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A message as the sink got it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) content: String,
}

impl Taken {
    pub(crate) fn subject(&self) -> &str {
        self.content.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default()
    }
}

/// What the sink answers to a command line or to `.`, in place of its usual reply.
type Script = dyn Fn(&str) -> Option<String> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::scripted(|_| None)
    }

    pub(crate) fn scripted(script: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(script))
    }

    /// On an address that was free a moment ago: the next hop comes to life.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::on(TcpListener::bind(address).unwrap(), Arc::new(|_: &str| None))
    }

    fn on(listener: TcpListener, script: Arc<Script>) -> Self {
        let sink = Self { address: listener.local_addr().unwrap(), taken: Arc::default() };
        let taken = Arc::clone(&sink.taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (taken, script) = (Arc::clone(&taken), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &taken, &*script));
            }
        });
        sink
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Waits until it has taken so many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Taken> {
        super::eventually(&format!("{count} messages at the next hop"), || {
            Some(self.taken()).filter(|t| t.len() >= count)
        })
    }
}

/// An address where nothing listens.
pub(crate) fn dead_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(stream: TcpStream, taken: &Mutex<Vec<Taken>>, script: &Script) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    let mut say = |text: &str| writer.write_all(format!("{text}\r\n").as_bytes()).ok();
    say("220 sink.test ESMTP")?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let scripted = script(line);
        let reply = match (scripted, verb.as_str()) {
            (Some(reply), _) if reply.is_empty() => return None,
            (Some(reply), _) => reply,
            (None, "EHLO") => {
                "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 0".to_owned()
            }
            (None, "MAIL") => {
                from = between(line);
                to.clear();
                "250 2.1.0 ok".to_owned()
            }
            (None, "RCPT") => {
                to.push(between(line));
                "250 2.1.5 ok".to_owned()
            }
            (None, "DATA") => {
                say("354 go on")?;
                let content = content(&mut reader)?;
                let reply = script(".").unwrap_or_else(|| "250 2.0.0 OK <sink-id@sink.test>".to_owned());
                if reply.starts_with('2') || reply.is_empty() {
                    taken.lock().unwrap().push(Taken { from: from.clone(), to: std::mem::take(&mut to), content });
                }
                if reply.is_empty() {
                    return None;
                }
                reply
            }
            (None, "QUIT") => {
                say("221 2.0.0 bye");
                return None;
            }
            (None, _) => "250 2.0.0 ok".to_owned(),
        };
        say(&reply)?;
    }
}

fn between(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn content(reader: &mut impl BufRead) -> Option<String> {
    let mut whole = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(String::from_utf8_lossy(&whole).into_owned());
        }
        whole.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
