//! An SMTP client of a few lines, blocking, that hides nothing: what is sent is written out, what comes back is returned.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub(crate) struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// Connects and reads the greeting.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut session = Self { stream: BufReader::new(stream) };
        assert!(session.reply().unwrap().starts_with("220 "));
        session
    }

    /// Connects, says EHLO.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let mut session = Self::connect(address);
        assert!(session.say("EHLO device.contoso.test").starts_with("250"));
        session
    }

    /// A whole reply, line ends as blanks; `None` when the relay closed.
    pub(crate) fn reply(&mut self) -> Option<String> {
        let mut whole = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            whole.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(whole);
            }
            whole.push(' ');
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// A command and its reply; empty when the relay closed.
    pub(crate) fn say(&mut self, command: &str) -> String {
        let _ = self.send(format!("{command}\r\n").as_bytes());
        self.reply().unwrap_or_default()
    }

    /// One message; the reply to its end of data, or to whatever was refused before.
    pub(crate) fn mail(&mut self, from: &str, to: &[&str], content: &str) -> String {
        let mut commands = vec![format!("MAIL FROM:<{from}>")];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".to_owned());
        for command in commands {
            let reply = self.say(&command);
            if !reply.starts_with('2') && !reply.starts_with('3') {
                return reply;
            }
        }
        self.say(&format!("{content}\r\n."))
    }
}

/// One message in a session of its own; must be accepted. Returns its id.
pub(crate) fn accepted(address: SocketAddr, from: &str, to: &[&str], subject: &str) -> String {
    let content = format!("From: <{from}>\r\nSubject: {subject}\r\n\r\nHello.");
    let reply = Session::open(address).mail(from, to, &content);
    assert!(reply.starts_with("250 "), "{reply}");
    id_in(&reply)
}

/// The id in `250 2.0.0 OK queued as <id>`.
pub(crate) fn id_in(reply: &str) -> String {
    reply.rsplit(' ').next().unwrap().to_owned()
}
