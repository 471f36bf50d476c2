//! Against the simulated Exchange Online: what it was told.

use std::net::SocketAddr;

use ::sandbox::{Fault, Sandbox, Settings, Step};
use smtp::{Notify, Ret};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};

use super::body::Pieces;
use super::fixture::{attempt, attempt_with, lane, message, named, settings, transport};
use crate::{Auth, ClientTls, SmtpKind, SmtpSettings};

/// Submission as `relay@contoso.test` by password, and the file of its authority, which must live.
fn submission(sandbox: &Sandbox) -> (SmtpSettings, tempfile::NamedTempFile) {
    let endpoints = sandbox.endpoints();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &endpoints.ca_pem).unwrap();
    let password = secret::Secret::Inline("relay-password".to_owned().into());
    let settings = SmtpSettings {
        kind: SmtpKind::Submission,
        host: endpoints.submission_host.clone(),
        tls: ClientTls::Required,
        ca: Some(ca.path().to_owned()),
        auth: Auth::Password { username: "relay@contoso.test".to_owned(), password },
        ..settings(endpoints.submission)
    };
    (settings, ca)
}

#[tokio::test]
async fn who_wants_which_notifications_is_passed_on_with_the_message() {
    let sandbox = Sandbox::start(Settings::default()).await.unwrap();
    let (settings, _ca) = submission(&sandbox);
    let mut asking = message(&["anna@contoso.test", "bert@contoso.test", "carl@contoso.test"]);
    asking.reverse_path = "relay@contoso.test".parse().unwrap();
    (asking.ret, asking.envid) = (Some(Ret::Hdrs), Some("QQ314159".parse().unwrap()));
    asking.recipients[0].notify = Some(Notify { success: true, failure: true, delay: true });
    asking.recipients[1].notify = Some(Notify { success: false, failure: false, delay: false });
    let report = attempt(&transport(settings), &asking).await;
    assert!((0..3).all(|recipient| named(&report, recipient) == "handed over"), "{report:?}");
    let arrived = &sandbox.messages()[0];
    assert_eq!((arrived.parameters.ret, arrived.parameters.envid.as_deref()), (Some(Ret::Hdrs), Some("QQ314159")));
    let told: Vec<_> = arrived.recipients.iter().map(|one| (one.notify.as_deref(), one.orcpt.as_deref())).collect();
    let anna = (Some("SUCCESS,FAILURE,DELAY"), Some("rfc822;anna@contoso.test"));
    assert_eq!(told, [anna, (Some("NEVER"), None), (None, None)]);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refused_recipient_fails_alone_and_a_throttle_fails_nobody() {
    let sandbox = Sandbox::start(Settings::default()).await.unwrap();
    let (settings, _ca) = submission(&sandbox);
    let transport = transport(settings);
    let mut to_two = message(&["bounce-550-5.1.10@contoso.test", "anna@contoso.test"]);
    to_two.reverse_path = "relay@contoso.test".parse().unwrap();
    let report = attempt(&transport, &to_two).await;
    assert_eq!((named(&report, 0).as_str(), named(&report, 1).as_str()), ("bounced 5.1.10", "handed over"));
    assert_eq!(lane(&report), "healthy");

    let reply = "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending";
    sandbox.add_fault(Fault::at(Step::End).reply(reply).once()).unwrap();
    let mut to_one = message(&["anna@contoso.test"]);
    to_one.reverse_path = to_two.reverse_path;
    let report = attempt(&transport, &to_one).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", "throttled Connections"));
    let report = attempt(&transport, &to_one).await;
    assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("handed over", "healthy"));
    assert_eq!(sandbox.messages().len(), 2);
    drop(transport);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_of_several_authors_is_taken_for_it_gets_a_sender() {
    const SEVERAL: &str = "From: Anna <anna@contoso.test>, bert@contoso.test\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
        Message-ID: <1@contoso.test>\r\n\r\nMinutes\r\n";
    let sandbox = Sandbox::start(Settings::default()).await.unwrap();
    let (settings, _ca) = submission(&sandbox);
    let mut mail = message(&["carl@contoso.test"]);
    (mail.reverse_path, mail.size) = ("printer@contoso.test".parse().unwrap(), SEVERAL.len() as u64);
    let report = attempt_with(&transport(settings), &mail, Pieces::of(&[SEVERAL])).await;
    assert_eq!(named(&report, 0), "handed over", "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("several authors")), "{report:?}");
    let arrived = &sandbox.messages()[0];
    let raw = String::from_utf8(arrived.raw().unwrap()).unwrap();
    assert!(arrived.from.len() == 2 && raw.contains("\r\nSender: printer@contoso.test\r\n"), "{raw}");
    sandbox.stop().await;
}

/// Who is heard no further.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Client,
    Server,
}

/// A line to the server that is cut, both ways, after so many octets of one side, wherever in a TLS record that is. Returns
/// how many of them went through.
async fn cut_line(server: SocketAddr, cut: Cut, after: u64) -> (SocketAddr, tokio::task::JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let line = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (from_client, mut to_client) = split(client);
        let (from_server, mut to_server) = split(TcpStream::connect(server).await.unwrap());
        let (client_limit, server_limit) = match cut {
            Cut::Client => (after, u64::MAX),
            Cut::Server => (u64::MAX, after),
        };
        let (mut from_client, mut from_server) = (from_client.take(client_limit), from_server.take(server_limit));
        tokio::select! {
            _ = copy(&mut from_client, &mut to_server) => {}
            _ = copy(&mut from_server, &mut to_client) => {}
        }
        // What came before the cut arrives.
        let _ = tokio::join!(to_server.shutdown(), to_client.shutdown());
        match cut {
            Cut::Client => after - from_client.limit(),
            Cut::Server => after - from_server.limit(),
        }
    });
    (address, line)
}

#[tokio::test]
async fn a_line_cut_anywhere_under_tls_loses_nothing_and_calls_nothing_safe_that_may_have_arrived() {
    let sandbox = Sandbox::start(Settings::default()).await.unwrap();
    let (settings, _ca) = submission(&sandbox);
    let mut mail = message(&["anna@contoso.test"]);
    mail.reverse_path = "relay@contoso.test".parse().unwrap();
    let mut ends = std::collections::BTreeMap::new();
    for cut in [Cut::Client, Cut::Server] {
        for after in (0..).step_by(53) {
            let before = sandbox.statistics().messages;
            let (address, line) = cut_line(sandbox.endpoints().submission, cut, after).await;
            let transport = transport(SmtpSettings { port: address.port(), ..settings.clone() });
            let report = attempt(&transport, &mail).await;
            drop(transport);
            let whole = line.await.unwrap() < after;
            let became = named(&report, 0);
            // What the server had got, it may still be taking in.
            let stored = || sandbox.statistics().messages > before;
            match became.as_str() {
                "handed over" => assert!(stored(), "{cut:?} {after}: {report:?}"),
                "unconfirmed" => assert_eq!(lane(&report), "rest"),
                _ => {
                    tokio::task::yield_now().await;
                    assert!(!stored(), "{cut:?} {after}: called safe to repeat: {report:?}");
                }
            }
            *ends.entry(became).or_insert(0) += 1;
            if whole {
                break;
            }
        }
    }
    // Before there is a message, while it flows, after it.
    assert!(ends["waiting"] > 20 && ends["unconfirmed"] > 0 && ends["handed over"] > 0, "{ends:?}");
    sandbox.stop().await;
}
