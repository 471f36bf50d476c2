//! Transcripts of the server machine, each replayed line by line, whole, split at every byte, and byte by byte.
//!
//! Marks beside `C` and `S`: `set: key=value …` settings; `on: EVENT accept|refuse|close REPLY` what the driver says to
//! every event that begins so (else it accepts; `close` is the driver's own wish); `T:` the handshake is done (what the
//! client sent behind STARTTLS before it is lost); `E: EVENT` what the driver was told, checked if there is any such line.

use std::sync::Arc;

use smtp::server::{Answer, Limits, Phase, Server, Settings, StartTls, Step};
use smtp::{Credentials, Mechanism};

use crate::transcript::{self, Line, reply, shown};

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts!(
    a_chunk_is_never_taken_for_commands,
    a_driver_may_drop_content,
    a_message_in_chunks_is_passed_on,
    a_message_is_passed_on,
    a_sender_may_be_refused,
    addresses_in_utf8_need_smtputf8,
    an_oversized_message_is_thrown_away,
    an_unreadable_chunk_size_closes,
    auth_login_has_the_prompts_that_firmware_waits_for,
    auth_may_be_cancelled_or_malformed,
    auth_needs_tls_where_told,
    auth_plain_with_and_without_initial_response,
    auth_xoauth2_with_and_without_initial_response,
    bare_line_ends_do_not_end_a_command,
    bare_line_ends_do_not_end_content,
    bdat_may_be_unavailable,
    binary_messages_need_bdat,
    commands_out_of_order_are_refused,
    devices_say_things_their_own_way,
    ehlo_offers_what_settings_say,
    ehlo_resets_the_transaction,
    extensions_not_offered_are_refused,
    limit_of_auth_failures,
    limit_of_command_line,
    limit_of_errors,
    limit_of_idle_commands,
    limit_of_messages,
    limit_of_recipients,
    pipelined_commands_after_the_end_are_run,
    plain_text_behind_starttls_is_never_run,
    quit_between_chunks_aborts,
    quit_says_goodbye,
    size_counts_every_octet_of_content,
    size_declared_too_large_is_refused,
    starttls_forgets_authentication,
    starttls_may_be_required,
    the_driver_may_close_the_session,
    the_peer_may_be_refused_at_once,
    wrong_arguments_are_explained,
);

#[test]
fn every_transcript_is_run() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/server");
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names {
        assert!(NAMES.contains(&name.trim_end_matches(".txt")), "{name} is in no test");
    }
}

struct Rule {
    event: String,
    verb: String,
    reply: String,
}

#[derive(Default)]
struct Transcript {
    lines: Vec<Line>,
    settings: String,
    rules: Vec<Rule>,
}

fn read(name: &str) -> Transcript {
    let mut transcript = Transcript::default();
    for line in transcript::read(&format!("server/{name}")) {
        match line.mark.as_str() {
            "set" => transcript.settings += &format!("{} ", line.text),
            "on" => {
                let (place, verb) = [" accept ", " refuse ", " close "]
                    .into_iter()
                    .find_map(|verb| Some((line.text.find(verb)?, verb)))
                    .expect("accept, refuse or close");
                transcript.rules.push(Rule {
                    event: line.text[..place].to_owned(),
                    verb: verb.trim().to_owned(),
                    reply: line.text[place + verb.len()..].to_owned(),
                });
            }
            _ => transcript.lines.push(line),
        }
    }
    transcript
}

fn settings(text: &str) -> (Settings, bool) {
    let mut settings = Settings {
        hostname: "mx.example".into(),
        greeting: "mx.example ESMTP".into(),
        size: 1000,
        starttls: StartTls::Unavailable,
        mechanisms: Vec::new(),
        auth_without_tls: false,
        chunking: true,
        smtputf8: true,
        dsn: true,
        advertise_limits: false,
        limits: Limits { errors: 100, ..Limits::default() },
    };
    let mut tls = false;
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap();
        let number = || value.parse::<usize>().unwrap();
        match key {
            "size" => settings.size = number() as u64,
            "starttls" => {
                settings.starttls = if value == "required" { StartTls::Required } else { StartTls::Offered };
            }
            "auth" => settings.mechanisms = value.split(',').map(|it| Mechanism::from_keyword(it).unwrap()).collect(),
            "auth_without_tls" => settings.auth_without_tls = value == "yes",
            "chunking" => settings.chunking = value == "yes",
            "smtputf8" => settings.smtputf8 = value == "yes",
            "dsn" => settings.dsn = value == "yes",
            "advertise_limits" => settings.advertise_limits = value == "yes",
            "tls" => tls = value == "yes",
            "command_line" => settings.limits.command_line = number(),
            "recipients" => settings.limits.recipients = number(),
            "messages" => settings.limits.messages = number(),
            "errors" => settings.limits.errors = number(),
            "idle_commands" => settings.limits.idle_commands = number(),
            "auth_failures" => settings.limits.auth_failures = number(),
            other => panic!("no such setting: {other}"),
        }
    }
    (settings, tls)
}

/// Answers every question, and writes down what it was told.
struct Driver<'a> {
    server: Server,
    rules: &'a [Rule],
    events: Vec<String>,
    handshake: bool,
}

impl<'a> Driver<'a> {
    fn new(transcript: &'a Transcript) -> Self {
        let (settings, tls) = settings(&transcript.settings);
        let server = Server::new(Arc::new(settings), tls);
        let mut driver = Self { server, rules: &transcript.rules, events: Vec::new(), handshake: false };
        driver.run();
        driver
    }

    fn feed(&mut self, bytes: &[u8]) {
        if !self.handshake {
            self.server.handle_input(bytes);
            self.run();
        }
    }

    fn handle_tls(&mut self) {
        assert!(std::mem::take(&mut self.handshake), "no handshake is due");
        self.server.handle_tls();
        self.run();
    }

    fn run(&mut self) {
        loop {
            let (event, question) = match self.server.poll() {
                Step::NeedInput => return,
                Step::TlsHandshake => {
                    self.handshake = true;
                    return self.events.push("tls".into());
                }
                Step::Close => {
                    if self.events.last().is_none_or(|event| event != "close") {
                        self.events.push("close".into());
                    }
                    return;
                }
                Step::Content(content) => (format!("content {}", content.escape_ascii()), false),
                Step::Abort => ("abort".to_owned(), false),
                question => (name(question), true),
            };
            self.note(&event);
            self.obey(&event, question);
        }
    }

    /// Pieces of content are written down as one.
    fn note(&mut self, event: &str) {
        match (self.events.last_mut(), event.strip_prefix("content ")) {
            (Some(last), Some(content)) if last.starts_with("content ") => last.push_str(content),
            _ => self.events.push(event.to_owned()),
        }
    }

    fn obey(&mut self, event: &str, question: bool) {
        let rule = self.rules.iter().find(|rule| event.starts_with(&rule.event));
        let answer = match rule {
            Some(rule) if rule.verb == "close" => return self.server.close_with(reply(&rule.reply)),
            Some(rule) if !question => {
                self.events.push("dropped".into());
                return self.server.refuse_content(reply(&rule.reply));
            }
            Some(rule) if rule.verb == "refuse" => Answer::Refuse(reply(&rule.reply)),
            Some(rule) => Answer::AcceptWith(reply(&rule.reply)),
            None => Answer::Accept,
        };
        if question {
            assert_eq!(self.server.phase(), Phase::Deciding);
            self.server.answer(answer);
        }
    }

    fn output(&mut self) -> Vec<u8> {
        std::mem::take(self.server.output())
    }
}

fn name(question: Step<'_>) -> String {
    match question {
        Step::Connected => "connected".into(),
        Step::Hello { name, esmtp } => format!("{} {name}", if esmtp { "ehlo" } else { "helo" }),
        Step::StartTls => "starttls".into(),
        Step::Authenticate(Credentials::Plain { authzid, authcid, password }) => {
            format!("plain {authzid}/{authcid}/{password}")
        }
        Step::Authenticate(Credentials::Login { username, password }) => format!("login {username}/{password}"),
        Step::Authenticate(Credentials::XOAuth2 { user, token }) => format!("xoauth2 {user}/{token}"),
        Step::Mail { reverse_path, parameters } => format!("mail {reverse_path}{parameters}"),
        Step::Rcpt { forward_path, parameters } => format!("rcpt {forward_path}{parameters}"),
        Step::Begin => "begin".into(),
        Step::End => "end".into(),
        Step::Verify(argument) => format!("verify {argument}"),
        other => panic!("not a question: {other:?}"),
    }
}

/// Line by line: every reply comes at its place.
fn replay(name: &str, transcript: &Transcript) -> (Vec<u8>, Vec<String>) {
    let mut driver = Driver::new(transcript);
    let (mut output, mut pending) = (Vec::new(), driver.output());
    let mut expected_events = Vec::new();
    for line in &transcript.lines {
        let place = format!("{name}.txt:{}", line.number);
        match line.mark.as_str() {
            "C" | "C=" => {
                assert_eq!(shown(&pending), "", "{place}: said before this line");
                driver.feed(&line.bytes());
            }
            "S" => {
                let expected = line.bytes();
                assert!(pending.starts_with(&expected), "{place}: said instead: {}", shown(&pending));
                output.extend(pending.drain(..expected.len()));
            }
            "T" => driver.handle_tls(),
            "E" => expected_events.push(line.text.clone()),
            other => panic!("{place}: mark {other}"),
        }
        pending.extend(driver.output());
    }
    assert_eq!(shown(&pending), "", "{name}.txt: said at the end");
    if !expected_events.is_empty() {
        assert_eq!(driver.events, expected_events, "{name}.txt: events");
    }
    (output, driver.events)
}

/// What the client says, cut where handshakes are.
fn flights(transcript: &Transcript) -> Vec<Vec<u8>> {
    let mut flights = vec![Vec::new()];
    for line in &transcript.lines {
        match line.mark.as_str() {
            "C" | "C=" => flights.last_mut().unwrap().extend(line.bytes()),
            "T" => flights.push(Vec::new()),
            _ => {}
        }
    }
    flights
}

/// The same, without regard to lines: `cut` says where the bytes of each flight are torn.
fn torn<'f>(
    transcript: &Transcript,
    flights: &'f [Vec<u8>],
    cut: impl Fn(&'f [u8]) -> Vec<&'f [u8]>,
) -> (Vec<u8>, Vec<String>) {
    let mut driver = Driver::new(transcript);
    for (index, flight) in flights.iter().enumerate() {
        if index > 0 {
            driver.handle_tls();
        }
        cut(flight).into_iter().for_each(|piece| driver.feed(piece));
    }
    (driver.output(), driver.events)
}

/// Without content that came to nothing: how much of it there is depends on the pieces.
fn settled(events: Vec<String>) -> Vec<String> {
    let next = events.iter().skip(1).map(String::as_str).chain([""]);
    let in_vain =
        |(event, next): &(&String, &str)| event.starts_with("content") && matches!(*next, "abort" | "dropped");
    events.iter().zip(next).filter(|pair| !in_vain(pair)).map(|(event, _)| event.clone()).collect()
}

fn check(name: &str) {
    let transcript = read(name);
    let (output, events) = replay(name, &transcript);
    let flights = flights(&transcript);
    let events = settled(events);
    let same = |found: (Vec<u8>, Vec<String>), how: &str| {
        assert_eq!(shown(&found.0), shown(&output), "{name}.txt {how}");
        assert_eq!(settled(found.1), events, "{name}.txt {how}");
    };
    same(torn(&transcript, &flights, |flight| vec![flight]), "whole");
    same(torn(&transcript, &flights, |flight| flight.chunks(1).collect()), "byte by byte");
    let longest = flights.iter().map(Vec::len).max().unwrap_or_default();
    // Every byte of a short conversation; about five hundred places in a long one.
    for place in (1..longest).step_by(longest / 500 + 1) {
        let cut =
            |flight| <[u8]>::split_at_checked(flight, place).map_or(vec![flight], |(head, tail)| vec![head, tail]);
        same(torn(&transcript, &flights, cut), &format!("split at {place}"));
    }
}
