//! Any peer, any driver: the server machine never panics, says nothing but replies and not too much of them, and does not
//! care how the network tears what it is sent.
//!
//! Input: a byte of settings, eight of answers, the wire. A byte over 0x7f on the wire stands for a whole command, so that
//! every state is reached quickly; 0xff is the end of a TLS handshake.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use smtp::server::{Answer, Limits, Phase, Server, Settings, StartTls, Step};
use smtp::{EnhancedStatus, Mechanism, Reply, ReplyParser};

const COMMANDS: &[&str] = &[
    "EHLO client.example\r\n",
    "HELO c\r\n",
    "MAIL FROM:<a@b>\r\n",
    "MAIL FROM:<\"a b\"@[192.0.2.1]> SIZE=10 BODY=BINARYMIME RET=FULL ENVID=x\r\n",
    "MAIL FROM:<grün@b> SMTPUTF8\r\n",
    "RCPT TO:<c@d>\r\n",
    "RCPT TO:<@x,@y:c@d> NOTIFY=NEVER ORCPT=rfc822;c@d\r\n",
    "DATA\r\n",
    "BDAT 5\r\n",
    "BDAT 3 LAST\r\n",
    "BDAT 0 LAST\r\n",
    "\r\n.\r\n",
    ".\r\n",
    "\r\n.",
    "\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "VRFY x\r\n",
    "QUIT\r\n",
    "STARTTLS\r\n",
    "AUTH LOGIN\r\n",
    "AUTH PLAIN AGEAYg==\r\n",
    "AUTH XOAUTH2\r\n",
    "dXNlcj1hAWF1dGg9QmVhcmVyIGIBAQ==\r\n",
    "YQ==\r\n",
    "*\r\n",
    "BDAT x\r\n",
];

fn wire(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut flights = vec![Vec::new()];
    for &byte in bytes {
        let flight = flights.last_mut().unwrap();
        match byte {
            0xff => flights.push(Vec::new()),
            0x80.. => flight.extend(COMMANDS.get(usize::from(byte - 0x80)).map_or(&[byte][..], |it| it.as_bytes())),
            _ => flight.push(byte),
        }
    }
    flights
}

fn settings(byte: u8) -> (Settings, bool) {
    let on = |bit: u8| byte >> bit & 1 == 1;
    let settings = Settings {
        hostname: "mx.example".into(),
        greeting: "mx.example ESMTP".into(),
        size: if on(0) { 20 } else { 0 },
        starttls: if on(1) { StartTls::Offered } else { StartTls::Required },
        mechanisms: if on(2) { vec![Mechanism::Plain, Mechanism::Login, Mechanism::XOAuth2] } else { Vec::new() },
        auth_without_tls: on(3),
        chunking: on(4),
        smtputf8: on(5),
        dsn: on(5),
        advertise_limits: on(5),
        limits: Limits { command_line: 64, recipients: 3, messages: 3, errors: 5, idle_commands: 5, auth_failures: 1 },
    };
    (settings, on(6))
}

struct Driver<'a> {
    server: Server,
    answers: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    told: Vec<String>,
    output: Vec<u8>,
    handshake: bool,
    begun: bool,
}

impl Driver<'_> {
    fn feed(&mut self, bytes: &[u8]) {
        if self.handshake {
            return;
        }
        self.server.handle_input(bytes);
        self.run();
        let said = std::mem::take(self.server.output());
        assert!(said.len() <= 1024 + bytes.len() * 64, "{} octets said to {}", said.len(), bytes.len());
        self.output.extend(said);
    }

    fn run(&mut self) {
        loop {
            let (told, question) = match self.server.poll() {
                Step::NeedInput => return,
                Step::TlsHandshake => {
                    assert_eq!(self.server.phase(), Phase::Tls);
                    self.handshake = true;
                    return;
                }
                Step::Close => {
                    assert!(!self.begun, "closed without an Abort");
                    assert_eq!(self.server.phase(), Phase::Closed);
                    return;
                }
                Step::Content(content) => {
                    assert!(self.begun && !content.is_empty());
                    (format!("content {}", content.escape_ascii()), false)
                }
                Step::Abort => {
                    assert!(std::mem::take(&mut self.begun), "an Abort of nothing");
                    ("abort".to_owned(), false)
                }
                question => (format!("{question:?}"), true),
            };
            self.note(&told);
            if question {
                assert_eq!(self.server.phase(), Phase::Deciding);
                self.answer(&told);
            }
        }
    }

    /// Content counts as one piece, and not at all if it came to nothing.
    fn note(&mut self, told: &str) {
        let last = self.told.last_mut().filter(|last| last.starts_with("content "));
        match (last, told.strip_prefix("content ")) {
            (Some(last), Some(content)) => last.push_str(content),
            (Some(last), None) if told == "abort" => *last = told.to_owned(),
            _ => self.told.push(told.to_owned()),
        }
    }

    fn answer(&mut self, question: &str) {
        let status = EnhancedStatus::new;
        let answer = match self.answers.next().copied().unwrap_or_default() % 32 {
            0 => Answer::Refuse(Reply::new(550, status(5, 7, 1), "no\r\n250 yes")),
            1 => Answer::Refuse(Reply::new(421, status(4, 7, 0), "never")),
            2 => Answer::Refuse(Reply::new(451, status(4, 3, 0), "later")),
            3 => Answer::AcceptWith(Reply::new(250, status(2, 0, 0), "as you wish")),
            4 => {
                self.server.close_with(Reply::new(421, status(4, 4, 2), "enough"));
                self.server.close_with(Reply::new(421, status(4, 4, 2), "enough"));
                return;
            }
            5 if question == "Begin" => {
                self.server.answer(Answer::Accept);
                self.server.refuse_content(Reply::new(554, status(5, 6, 0), "not this"));
                return;
            }
            _ => Answer::Accept,
        };
        let accepted = !matches!(answer, Answer::Refuse(_));
        match question {
            "Begin" => self.begun = accepted,
            "End" => assert!(std::mem::take(&mut self.begun)),
            _ => {}
        }
        self.server.answer(answer);
        assert!(self.server.recipients() <= 3);
    }
}

fn replay(data: &[u8], piece: usize) -> Option<(Vec<String>, Vec<u8>)> {
    let (&first, rest) = data.split_first()?;
    let (answers, rest) = rest.split_at_checked(8)?;
    let (settings, tls) = settings(first);
    let mut driver = Driver {
        server: Server::new(Arc::new(settings), tls),
        answers: answers.iter().cycle(),
        told: Vec::new(),
        output: Vec::new(),
        handshake: false,
        begun: false,
    };
    driver.run();
    for flight in wire(rest) {
        if std::mem::take(&mut driver.handshake) {
            driver.server.handle_tls();
            driver.run();
        }
        flight.chunks(piece).for_each(|piece| driver.feed(piece));
    }
    driver.feed(b"");
    Some((driver.told, driver.output))
}

fuzz_target!(|data: &[u8]| {
    let whole = replay(data, usize::MAX);
    assert_eq!(whole, replay(data, 1), "whole and byte by byte");
    assert_eq!(whole, replay(data, 7), "whole and in sevens");
    let output = whole.map(|(_, output)| output).unwrap_or_default();
    let (mut parser, mut read) = (ReplyParser::new(), 0);
    while read < output.len() {
        let (consumed, reply) = parser.push(&output[read..]).expect("nothing but replies");
        assert!(reply.is_some(), "half a reply");
        read += consumed;
    }
});
