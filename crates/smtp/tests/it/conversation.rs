//! Both machines speak to each other over a wire that tears what they say at random places.

use std::sync::Arc;

use proptest::prelude::*;
use smtp::client::{self, Client, Transaction};
use smtp::server::{self, Answer, Limits, Server, Settings, StartTls};
use smtp::{Credentials, Mechanism, RcptParameters, Reply};

use crate::transcript::reply;

/// What the server took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    credentials: Vec<Credentials>,
    /// Reverse-path, accepted forward-paths, content.
    messages: Vec<(String, Vec<String>, Vec<u8>)>,
    aborted: usize,
}

struct Link {
    server: Server,
    client: Client,
    taken: Taken,
    under_way: (String, Vec<String>, Vec<u8>),
    /// Sizes of the pieces, over and over.
    pieces: Vec<usize>,
    next_piece: usize,
}

fn settings() -> Settings {
    Settings {
        hostname: "mx.example".into(),
        greeting: "mx.example ESMTP".into(),
        size: 0,
        starttls: StartTls::Required,
        mechanisms: vec![Mechanism::Plain, Mechanism::Login, Mechanism::XOAuth2],
        auth_without_tls: false,
        chunking: true,
        smtputf8: true,
        dsn: true,
        advertise_limits: true,
        limits: Limits::default(),
    }
}

impl Link {
    fn new(pieces: Vec<usize>) -> Self {
        Self {
            server: Server::new(Arc::new(settings()), false),
            client: Client::new("relay.example", false),
            taken: Taken::default(),
            under_way: Default::default(),
            pieces,
            next_piece: 0,
        }
    }

    fn piece(&mut self, bytes: &mut Vec<u8>) -> Vec<u8> {
        self.next_piece += 1;
        let length = self.pieces[self.next_piece % self.pieces.len()].min(bytes.len());
        bytes.drain(..length).collect()
    }

    /// Until the client has something to tell.
    fn step(&mut self) -> client::Step {
        for _ in 0..1_000_000 {
            match self.client.poll() {
                client::Step::NeedInput => {}
                client::Step::TlsHandshake => {
                    assert!(self.server.output().is_empty());
                    self.client.handle_tls();
                    self.server.handle_tls();
                }
                step => return step,
            }
            self.run_server();
            let mut said = std::mem::take(self.client.output());
            let piece = self.piece(&mut said);
            self.client.output().extend(said);
            self.server.handle_input(&piece);
            self.run_server();
            let mut said = std::mem::take(self.server.output());
            let piece = self.piece(&mut said);
            self.server.output().extend(said);
            self.client.handle_input(&piece);
        }
        panic!("the two wait for each other");
    }

    fn run_server(&mut self) {
        loop {
            let answer = match self.server.poll() {
                server::Step::NeedInput | server::Step::TlsHandshake | server::Step::Close => return,
                server::Step::Content(content) => {
                    self.under_way.2.extend(content);
                    continue;
                }
                server::Step::Abort => {
                    self.taken.aborted += 1;
                    continue;
                }
                server::Step::Authenticate(credentials) => {
                    self.taken.credentials.push(credentials);
                    Answer::Accept
                }
                server::Step::Mail { reverse_path, .. } => {
                    self.under_way = (reverse_path.to_string(), Vec::new(), Vec::new());
                    Answer::Accept
                }
                server::Step::Rcpt { forward_path, .. } if forward_path.to_string().starts_with("<no") => {
                    Answer::Refuse(reply("550 5.1.1 No such user"))
                }
                server::Step::Rcpt { forward_path, .. } => {
                    self.under_way.1.push(forward_path.to_string());
                    Answer::Accept
                }
                server::Step::End => {
                    self.taken.messages.push(std::mem::take(&mut self.under_way));
                    Answer::Accept
                }
                _ => Answer::Accept,
            };
            self.server.answer(answer);
        }
    }
}

/// One message: which of its recipients are there, and its content in pieces.
type Message = (Vec<bool>, Vec<Vec<u8>>);

fn message() -> impl Strategy<Value = Message> {
    let piece = "[.a\r\n]{0,20}".prop_map(String::into_bytes);
    (prop::collection::vec(any::<bool>(), 1..6), prop::collection::vec(piece, 0..4))
}

fn recipients(there: &[bool]) -> Vec<(smtp::ForwardPath, RcptParameters)> {
    let address = |(index, there): (usize, &bool)| format!("<{}{index}@d.example>", if *there { "yes" } else { "no" });
    there.iter().enumerate().map(address).map(|text| (text.parse().unwrap(), RcptParameters::default())).collect()
}

fn lines_of(pieces: &[Vec<u8>]) -> Vec<u8> {
    let text = String::from_utf8(pieces.concat()).unwrap().replace("\r\n", "\n").replace('\r', "\n");
    let ended = if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" };
    ended.replace('\n', "\r\n").into_bytes()
}

fn hand_over(link: &mut Link, (there, content): &Message) -> client::Replies {
    link.client.begin(&Transaction {
        reverse_path: "<a@b.example>".parse().unwrap(),
        parameters: Default::default(),
        recipients: recipients(there),
    });
    let mut step = link.step();
    if step == client::Step::SendContent {
        content.iter().for_each(|piece| link.client.content(piece));
        link.client.end_content();
        assert!(link.client.awaits_final_reply());
        step = link.step();
    }
    match step {
        client::Step::Over(replies) => replies,
        other => panic!("{other:?}"),
    }
}

fn credentials() -> impl Strategy<Value = Credentials> {
    let text = || "[ -~ü]{0,500}";
    prop_oneof![
        (text(), text()).prop_map(|(authcid, password)| Credentials::Plain {
            authzid: String::new(),
            authcid,
            password
        }),
        (text(), text()).prop_map(|(username, password)| Credentials::Login { username, password }),
        (text(), text()).prop_map(|(user, token)| Credentials::XOAuth2 { user, token }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn everything_accepted_arrives_and_nothing_else(
        messages in prop::collection::vec(message(), 1..5),
        credentials in credentials(),
        pieces in prop::collection::vec(1..60usize, 1..8),
    ) {
        let mut link = Link::new(pieces);
        prop_assert_eq!(link.step(), client::Step::Ready);
        prop_assert!(link.client.extensions().auth.is_empty());
        link.client.start_tls();
        prop_assert_eq!(link.step(), client::Step::Ready);
        prop_assert!(!link.client.extensions().starttls);
        link.client.authenticate(&credentials);
        let accepted = matches!(link.step(), client::Step::AuthReply(reply) if reply.code.get() == 235);
        prop_assert!(accepted);
        let mut expected = Vec::new();
        for message in &messages {
            let replies = hand_over(&mut link, message);
            let said: Vec<bool> = replies.recipients.iter().map(|reply| reply.code.is_positive()).collect();
            prop_assert_eq!(&said, &message.0);
            prop_assert_eq!(replies.end.as_ref().map(Reply::to_string), said.contains(&true).then(|| "250 2.0.0 OK".into()));
            if said.contains(&true) {
                let accepted = recipients(&message.0).into_iter().map(|(path, _)| path.to_string());
                let accepted = accepted.filter(|path| path.starts_with("<yes")).collect();
                expected.push(("<a@b.example>".to_owned(), accepted, lines_of(&message.1)));
            }
        }
        link.client.quit();
        prop_assert_eq!(link.step(), client::Step::Bye);
        prop_assert_eq!(link.taken, Taken { credentials: vec![credentials], messages: expected, aborted: 0 });
    }
}

fn client_at_starttls() -> Client {
    let mut client = Client::new("relay.example", false);
    client.handle_input(b"220 mx\r\n");
    assert_eq!(client.poll(), client::Step::NeedInput);
    client.handle_input(b"250-mx\r\n250 STARTTLS\r\n");
    assert_eq!(client.poll(), client::Step::Ready);
    client.start_tls();
    assert_eq!(client.poll(), client::Step::NeedInput);
    client
}

#[test]
fn plain_text_behind_the_reply_to_starttls_breaks() {
    let broken = client::Step::Broken { cause: client::BrokenSession::Injected, replies: None };
    for injected in ["2", "250 injected\r\n"] {
        let mut client = client_at_starttls();
        client.handle_input(format!("220 Go on\r\n{injected}").as_bytes());
        assert_eq!(client.poll(), broken, "in the same packet");
        let mut client = client_at_starttls();
        client.handle_input(b"220 Go on\r\n");
        assert_eq!(client.poll(), client::Step::TlsHandshake);
        client.handle_input(injected.as_bytes());
        client.output().clear();
        client.handle_tls();
        assert_eq!(client.poll(), broken, "in the next");
        assert!(client.output().is_empty(), "nothing is said to whoever did it");
    }
}

#[test]
fn a_request_is_not_sent_while_an_unasked_reply_waits() {
    let mut client = Client::new("relay.example", false);
    client.handle_input(b"220 mx\r\n");
    client.poll();
    client.handle_input(b"250 mx\r\n250 stale\r\n");
    assert_eq!(client.poll(), client::Step::Ready);
    client.output().clear();
    client.reset();
    assert!(client.output().is_empty());
    assert!(matches!(client.poll(), client::Step::Broken { cause: client::BrokenSession::Unasked(_), .. }));
}

#[test]
fn content_is_not_ended_if_the_server_has_spoken_already() {
    let mut client = Client::new("relay.example", true);
    let recipients = recipients(&[true]);
    let transaction =
        Transaction { reverse_path: "<a@b>".parse().unwrap(), parameters: Default::default(), recipients };
    for said in ["220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n"] {
        client.handle_input(said.as_bytes());
        client.poll();
    }
    client.begin(&transaction);
    client.handle_input(b"250 OK\r\n250 OK\r\n354 Go on\r\n");
    assert_eq!(client.poll(), client::Step::SendContent);
    client.content(b"x\r\n");
    client.output().clear();
    client.handle_input(b"250 OK before its time\r\n");
    client.end_content();
    assert!(client.output().is_empty() && !client.awaits_final_reply());
    assert!(matches!(client.poll(), client::Step::Broken { cause: client::BrokenSession::Unasked(_), .. }));
}

#[test]
fn debug_of_the_machines_shows_no_secret() {
    let mut server = Server::new(Arc::new(Settings { auth_without_tls: true, ..settings() }), true);
    server.handle_input(b"AUTH PLAIN czNjcmV0s3cret");
    assert!(!format!("{server:?}").contains("czNj") && !format!("{server:?}").contains("[65, 85"));
    let mut client = Client::new("relay.example", true);
    client.handle_input(b"220 mx\r\n");
    client.poll();
    client.handle_input(b"250-mx\r\n250 AUTH LOGIN\r\n");
    client.poll();
    client.authenticate(&Credentials::Login { username: "anna".into(), password: "s3cret".into() });
    let shown = format!("{client:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("czNjcmV0") && !shown.contains("[65, 85"), "{shown}");
}

/// A server that took EHLO, MAIL, RCPT and `command`, and all questions so far.
fn server_after(command: &str) -> Server {
    let mut server = Server::new(Arc::new(Settings { starttls: StartTls::Unavailable, ..settings() }), false);
    server.handle_input(format!("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n{command}").as_bytes());
    loop {
        match server.poll() {
            server::Step::NeedInput => break,
            server::Step::Content(_) => {}
            _ => server.answer(Answer::Accept),
        }
    }
    server.output().clear();
    server
}

#[test]
fn a_message_that_the_driver_dropped_is_not_aborted_again() {
    let mut server = server_after("DATA\r\n");
    server.refuse_content(reply("554 5.6.0 Not this"));
    server.close_with(reply("421 4.4.2 Timed out"));
    assert_eq!(server.poll(), server::Step::Close);
    let mut server = server_after("DATA\r\n");
    server.close_with(reply("421 4.4.2 Timed out"));
    assert_eq!(server.poll(), server::Step::Abort);
    assert_eq!(server.output().as_slice(), b"421 4.4.2 Timed out\r\n");
    assert_eq!(server.poll(), server::Step::Close);
}

#[test]
fn a_message_dropped_between_two_chunks_is_refused_at_the_next() {
    let mut server = server_after("BDAT 1\r\nx");
    server.refuse_content(reply("452 4.3.1 Disk full"));
    server.handle_input(b"BDAT 4\r\nQUITBDAT 4 LAST\r\nQUIT");
    assert_eq!(server.poll(), server::Step::NeedInput);
    let said = String::from_utf8(std::mem::take(server.output())).unwrap();
    assert_eq!(said.lines().map(|line| &line[..9]).collect::<Vec<_>>(), ["452 4.3.1", "503 5.5.1"]);
}

#[test]
fn what_came_in_clear_is_gone_after_the_handshake() {
    let mut server = Server::new(Arc::new(settings()), false);
    assert_eq!(server.poll(), server::Step::Connected);
    server.answer(Answer::Accept);
    server.handle_input(b"STARTTLS\r\nRSET\r\n");
    assert_eq!(server.poll(), server::Step::StartTls);
    server.answer(Answer::Accept);
    assert_eq!(server.poll(), server::Step::TlsHandshake);
    server.handle_input(b"NOOP\r\nNO");
    server.output().clear();
    server.handle_tls();
    server.handle_input(b"OP\r\n");
    assert_eq!(server.poll(), server::Step::NeedInput);
    assert_eq!(server.output().as_slice(), b"500 5.5.1 Command not recognised\r\n");
}

/// Not a time, which would depend on the machine: a work-load that takes minutes if any byte is looked at again.
#[test]
fn endless_lines_and_content_byte_by_byte_cost_nothing_extra() {
    let limits = Limits { command_line: 1 << 20, ..Limits::default() };
    let mut server = Server::new(Arc::new(Settings { limits, ..settings() }), true);
    assert_eq!(server.poll(), server::Step::Connected);
    server.answer(Answer::Accept);
    for _ in 0..1 << 20 {
        server.handle_input(b"\n");
        assert_eq!(server.poll(), server::Step::NeedInput);
    }
}
