//! Any server: the client machine never panics, never says what was not offered, and stays broken once it is.
//!
//! Input: sixteen bytes of requests, then what the server says; a byte over 0x7f stands for a whole line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::client::{Client, Step, Transaction};
use smtp::{BodyType, Credentials, MailParameters, RcptParameters};

const LINES: &[&str] = &[
    "220 mx\r\n",
    "250 2.0.0 OK\r\n",
    "250-mx\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-SIZE 10\r\n250-DSN\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n",
    "250-mx\r\n250-STARTTLS\r\n250 AUTH LOGIN\r\n",
    "250-",
    "334 \r\n",
    "354 go on\r\n",
    "235 2.7.0 yes\r\n",
    "421 4.7.0 closing\r\n",
    "451 4.3.0 later\r\n",
    "502 what?\r\n",
    "535 5.7.3 no\r\n",
    "550 5.1.1 no such user\r\n",
    "503 5.5.1 no\r\n",
    "\r\n",
];

fn request(client: &mut Client, byte: u8) {
    let offered = client.extensions().clone();
    let (user, secret) = ("anna".to_owned(), "x".repeat(usize::from(byte) * 4));
    match byte % 8 {
        0 => client.start_tls(),
        1 => client.authenticate(&Credentials::Plain { authzid: String::new(), authcid: user, password: secret }),
        2 => client.authenticate(&Credentials::Login { username: user, password: secret }),
        3 => client.authenticate(&Credentials::XOAuth2 { user, token: secret }),
        4 => client.reset(),
        5 => client.quit(),
        _ => {
            let parameters = MailParameters {
                size: Some(1),
                body: if offered.eight_bit_mime { BodyType::EightBitMime } else { BodyType::SevenBit },
                envid: offered.dsn.then(|| "x".parse().unwrap()),
                ..MailParameters::default()
            };
            let recipient = ("<c@d>".parse().unwrap(), RcptParameters::default());
            let recipients = vec![recipient; usize::from(byte / 8) + 1];
            client.begin(&Transaction { reverse_path: "<a@b>".parse().unwrap(), parameters, recipients });
        }
    }
    let said = String::from_utf8(client.output().clone()).unwrap();
    assert!(offered.starttls || !said.starts_with("STARTTLS"));
    assert!(offered.auth.is_empty() <= !said.starts_with("AUTH"));
    assert!(offered.size.is_some() || !said.contains(" SIZE="));
    assert!(offered.dsn || !said.contains(" ENVID="));
    assert!(offered.pipelining || said.matches("\r\n").count() <= 1, "pipelined, which was not offered: {said}");
}

fuzz_target!(|data: &[u8]| {
    let Some((requests, script)) = data.split_at_checked(16) else { return };
    let mut requests = requests.iter().copied();
    let mut client = Client::new("relay.example", false);
    for &byte in script {
        client.output().clear();
        match byte {
            0x80.. => client.handle_input(LINES.get(usize::from(byte - 0x80)).map_or(&[byte][..], |it| it.as_bytes())),
            _ => client.handle_input(&[byte]),
        }
        loop {
            match client.poll() {
                Step::NeedInput => break,
                Step::TlsHandshake => client.handle_tls(),
                Step::SendContent => {
                    client.content(b".\r\n.\n\r.");
                    client.end_content();
                    let said = client.output().clone();
                    // Nothing is said if the server has spoken out of turn.
                    assert!(said.is_empty() || said.ends_with(b"..\r\n..\r\n\r\n..\r\n.\r\n"));
                    assert_eq!(client.awaits_final_reply(), !said.is_empty());
                }
                broken @ Step::Broken { .. } => {
                    assert_eq!(client.poll(), broken);
                    client.quit();
                    assert_eq!(client.poll(), broken);
                    return;
                }
                Step::Bye => return,
                Step::Over(replies) => {
                    assert!(replies.end.is_none() || replies.recipients.iter().any(|reply| reply.code.is_positive()));
                    let Some(byte) = requests.next() else { return };
                    client.output().clear();
                    request(&mut client, byte);
                }
                Step::Ready | Step::Refused { .. } | Step::AuthReply(_) => {
                    let Some(byte) = requests.next() else { return };
                    client.output().clear();
                    request(&mut client, byte);
                }
            }
        }
    }
});
