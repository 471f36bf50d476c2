//! Transcripts of the client machine. What the server says arrives whole, in small pieces, and byte by byte.
//!
//! Marks beside `C` and `S`: `R: REQUEST` what the driver asks for next, one whenever the machine has answered (`auth plain
//! USER PASSWORD`, `auth login …`, `auth xoauth2 …`, `starttls`, `begin <a@b> PARAMETERS -> <c@d> PARAMETERS, …`,
//! `content TEXT`, `end`, `reset`, `quit`, `none`); `E: ANSWER` what the machine answered; `X: why` the connection ends.

use smtp::client::{Client, Replies, Step, Transaction};
use smtp::{Credentials, MailParameters, RcptParameters, Reply};

use crate::transcript::{self, Line, shown};

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
    a_final_reply_that_is_none_leaves_it_unconfirmed,
    a_greeting_may_refuse,
    a_message_is_handed_over_pipelined,
    a_message_is_handed_over_step_by_step,
    a_refused_mail_ends_the_transaction,
    a_refused_mail_ends_the_transaction_pipelined,
    a_reply_in_the_middle_of_content_breaks,
    a_reply_that_nothing_asked_for_breaks,
    a_second_transaction_is_preceded_by_rset,
    all_recipients_refused_and_data_accepted,
    all_recipients_refused_step_by_step,
    auth_login_answers_two_prompts,
    auth_plain_goes_with_the_command,
    auth_that_is_not_offered_is_not_sent,
    data_answered_with_250_breaks,
    data_refused_leaves_the_session_usable,
    ehlo_refused_for_now_is_not_followed_by_helo,
    helo_after_starttls_offers_nothing,
    helo_follows_when_ehlo_is_not_understood,
    mail_answered_with_354_breaks,
    mixed_codes_break,
    no_reply_at_all_breaks,
    only_offered_parameters_are_sent,
    quit_is_answered,
    starttls_begins_anew,
    starttls_refused_leaves_the_session_usable,
    the_connection_may_end_after_the_dot,
    the_connection_may_end_between_messages,
    the_connection_may_end_in_the_middle_of_a_reply,
    the_server_may_close_at_any_point,
    the_server_may_close_at_the_end_of_content,
    what_breaks_after_the_final_reply_leaves_nothing_unconfirmed,
    xoauth2_error_is_acknowledged_with_an_empty_line,
    xoauth2_goes_in_two_steps_when_long,
);

#[test]
fn every_transcript_is_run() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/client");
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names {
        assert!(NAMES.contains(&name.trim_end_matches(".txt")), "{name} is in no test");
    }
}

struct Driver<'a> {
    client: Client,
    requests: std::vec::IntoIter<&'a str>,
    events: Vec<String>,
    broken: bool,
}

impl Driver<'_> {
    fn feed(&mut self, bytes: &[u8]) {
        self.client.handle_input(bytes);
        loop {
            let step = self.client.poll();
            match step {
                Step::NeedInput => return,
                Step::Broken { .. } if self.broken => return,
                Step::Broken { .. } => {
                    self.broken = true;
                    return self.events.push(name(&step, &self.client));
                }
                Step::TlsHandshake => {
                    self.events.push("tls".into());
                    self.client.handle_tls();
                }
                step => {
                    self.events.push(name(&step, &self.client));
                    self.request();
                }
            }
        }
    }

    /// One request; of content all pieces.
    fn request(&mut self) {
        for request in self.requests.by_ref() {
            let (verb, rest) = request.split_once(' ').unwrap_or((request, ""));
            match verb {
                "auth" => self.client.authenticate(&credentials(rest)),
                "starttls" => self.client.start_tls(),
                "begin" => self.client.begin(&transaction(rest)),
                "content" => {
                    self.client.content(&content(rest));
                    continue;
                }
                "end" => self.client.end_content(),
                "reset" => self.client.reset(),
                "quit" => self.client.quit(),
                "none" => {}
                other => panic!("no such request: {other}"),
            }
            return;
        }
    }
}

fn content(text: &str) -> Vec<u8> {
    Line { number: 0, mark: "C=".into(), text: text.to_owned() }.bytes()
}

fn credentials(text: &str) -> Credentials {
    let words: Vec<String> = text.split(' ').map(|word| String::from_utf8(content(word)).unwrap()).collect();
    let [mechanism, user, secret] = <[String; 3]>::try_from(words).unwrap();
    match mechanism.as_str() {
        "plain" => Credentials::Plain { authzid: String::new(), authcid: user, password: secret },
        "login" => Credentials::Login { username: user, password: secret },
        "xoauth2" => Credentials::XOAuth2 { user, token: secret },
        other => panic!("no such mechanism: {other}"),
    }
}

fn transaction(text: &str) -> Transaction {
    let (mail, recipients) = text.split_once(" -> ").unwrap();
    let (path, parameters) = mail.split_once(' ').unwrap_or((mail, ""));
    let recipients = recipients.split(", ").map(|recipient| {
        let (path, parameters) = recipient.split_once(' ').unwrap_or((recipient, ""));
        (path.parse().unwrap(), RcptParameters::parse(parameters).unwrap())
    });
    Transaction {
        reverse_path: path.parse().unwrap(),
        parameters: MailParameters::parse(parameters).unwrap(),
        recipients: recipients.collect(),
    }
}

fn name(step: &Step, client: &Client) -> String {
    let number = |reply: &Reply| reply.code.to_string();
    match step {
        Step::Ready => "ready".into(),
        Step::Refused { stage, reply } => format!("refused {stage:?} {reply}"),
        Step::AuthReply(reply) => format!("auth {reply}"),
        Step::SendContent => "content".into(),
        Step::Over(Replies { mail, recipients, data, end }) => {
            let recipients: Vec<_> = recipients.iter().map(number).collect();
            let data = data.as_ref().map_or("-".into(), number);
            let end = end.as_ref().map_or("-".into(), Reply::to_string);
            format!("over mail={} rcpt={} data={data} end={end}", number(mail), recipients.join(","))
        }
        Step::Bye => "bye".into(),
        Step::Broken { cause, replies } => {
            let partial = replies.as_ref().map_or(String::new(), |replies| {
                let mail = replies.mail.as_ref().map_or("-".into(), number);
                let recipients: Vec<_> = replies.recipients.iter().map(number).collect();
                let data = replies.data.as_ref().map_or("-".into(), number);
                format!(" [mail={mail} rcpt={} data={data}]", recipients.join(","))
            });
            let unconfirmed = if client.awaits_final_reply() { " unconfirmed" } else { "" };
            format!("broken: {cause}{partial}{unconfirmed}")
        }
        Step::NeedInput | Step::TlsHandshake => unreachable!("dealt with before"),
    }
}

/// Everything the server says between two lines of the client arrives in pieces of this many bytes.
fn replay(name: &str, lines: &[Line], piece: usize) {
    let requests: Vec<_> = lines.iter().filter(|line| line.mark == "R").map(|line| line.text.as_str()).collect();
    let tls = requests.first() == Some(&"tls");
    let mut driver = Driver {
        client: Client::new("relay.example", tls),
        requests: requests.into_iter().collect::<Vec<_>>().into_iter(),
        events: Vec::new(),
        broken: false,
    };
    if tls {
        driver.requests.next();
    }
    let mut expected_events = Vec::new();
    let mut incoming = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let place = format!("{name}.txt:{} in pieces of {piece}", line.number);
        match line.mark.as_str() {
            "S" | "S=" => {
                assert_eq!(shown(driver.client.output()), "", "{place}: said before this line");
                incoming.extend(line.bytes());
                if !lines.get(index + 1).is_some_and(|next| next.mark.starts_with('S')) {
                    incoming.chunks(piece).for_each(|piece| driver.feed(piece));
                    incoming.clear();
                }
            }
            "C" | "C=" => {
                let expected = line.bytes();
                let output = driver.client.output();
                assert!(output.starts_with(&expected), "{place}: said instead: {}", shown(output));
                output.drain(..expected.len());
            }
            "X" => {
                driver.client.handle_end();
                driver.feed(b"");
            }
            "E" => expected_events.push(line.text.clone()),
            "R" => {}
            other => panic!("{place}: mark {other}"),
        }
    }
    assert_eq!(shown(driver.client.output()), "", "{name}.txt in pieces of {piece}: said at the end");
    assert_eq!(driver.events, expected_events, "{name}.txt in pieces of {piece}");
    assert_eq!(driver.requests.next(), None, "{name}.txt: a request that was never made");
}

fn check(name: &str) {
    let lines = transcript::read(&format!("client/{name}"));
    for piece in [usize::MAX, 1, 2, 3, 5, 7, 11, 17, 31] {
        replay(name, &lines, piece);
    }
}
