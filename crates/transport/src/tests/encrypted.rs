//! STARTTLS and implicit TLS: done, absent, refused, tampered with, with a certificate that is not believed.

use queue::{LaneVerdict, Outcome};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

use super::certificates::{authority_and_server, authority_and_server_until};
use super::fixture::{HELLO, TAKEN, attempt, lane, message, named, outcome, script, settings, transport};
use super::server::{Cut, Server};
use crate::{Auth, ClientTls, SmtpSettings};

const OFFERED: &str = "
S: 220 mx.test ESMTP
C: EHLO relay.test
S: 250-mx.test
S: 250-PIPELINING
S: 250 STARTTLS
C: STARTTLS";

/// After the handshake: no greeting, EHLO again.
fn hello_again() -> String {
    HELLO.replacen("S: 220 mx.test ESMTP", "", 1)
}

struct Play<'a> {
    tls: ClientTls,
    host: &'a str,
    ca: Option<&'a NamedTempFile>,
    auth: Auth,
    script: String,
    acceptor: Option<TlsAcceptor>,
}

async fn play(play: Play<'_>) -> (queue::AttemptReport, Vec<Vec<u8>>) {
    let server = Server::start_with(&[play.script], Cut::default(), play.acceptor).await;
    let transport = transport(SmtpSettings {
        tls: play.tls,
        host: play.host.to_owned(),
        ca: play.ca.map(|ca| ca.path().to_owned()),
        auth: play.auth,
        ..settings(server.address)
    });
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    drop(transport);
    (report, server.followed().await)
}

#[tokio::test]
async fn a_certificate_of_the_given_authority_is_believed() {
    let (ca, acceptor) = authority_and_server("localhost");
    let again = hello_again();
    for (tls, script) in [
        (ClientTls::Required, script(&[OFFERED, "S: 220 2.0.0 Ready\nTLS", &again, TAKEN])),
        (ClientTls::Implicit, script(&["TLS", HELLO, TAKEN])),
    ] {
        let acceptor = Some(acceptor.clone());
        let (report, contents) =
            play(Play { tls, host: "localhost", ca: Some(&ca), auth: Auth::None, script, acceptor }).await;
        assert_eq!(named(&report, 0), "handed over", "{report:?}");
        assert_eq!(contents.len(), 1);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_pauses_the_lane_and_names_the_remedy() {
    let (other, _) = authority_and_server("localhost");
    let (elsewhere, named_otherwise) = authority_and_server("elsewhere.test");
    let (old, expired) = authority_and_server_until("localhost", 2020);
    for (ca, acceptor, remedy) in [
        (&other, &named_otherwise, "no authority that this machine trusts"),
        (&elsewhere, &named_otherwise, "for another name"),
        (&old, &expired, "has expired"),
    ] {
        let script = script(&[OFFERED, "S: 220 2.0.0 Ready\nTLS"]);
        let (report, _) = play(Play {
            tls: ClientTls::Required,
            host: "localhost",
            ca: Some(ca),
            auth: Auth::None,
            script,
            acceptor: Some(acceptor.clone()),
        })
        .await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", "paused Path tls-certificate"));
        let LaneVerdict::Paused(pause) = report.lane else { unreachable!() };
        assert!(pause.remedy.contains(remedy), "{pause:?}");
    }
}

#[tokio::test]
async fn opportunistic_tls_takes_any_certificate_and_none() {
    let (_, acceptor) = authority_and_server("elsewhere.test");
    let again = hello_again();
    for script in [
        script(&[OFFERED, "S: 220 2.0.0 Ready\nTLS", &again, TAKEN]),
        script(&[HELLO, TAKEN]),
        script(&[OFFERED, "S: 454 4.7.0 Not now", TAKEN]).replace("test>*", "test>"),
    ] {
        let (report, _) = play(Play {
            tls: ClientTls::Opportunistic,
            host: "localhost",
            ca: None,
            auth: Auth::None,
            script,
            acceptor: Some(acceptor.clone()),
        })
        .await;
        assert_eq!(named(&report, 0), "handed over", "{report:?}");
    }
}

fn clear(tls: ClientTls, auth: Auth, script: String) -> Play<'static> {
    Play { tls, host: "127.0.0.1", ca: None, auth, script, acceptor: None }
}

#[tokio::test]
async fn without_starttls_nothing_is_sent_where_it_is_required() {
    for (script, verdict) in [
        (script(&[HELLO]), "paused Path starttls"),
        (script(&[OFFERED, "S: 554 5.7.3 No"]), "paused Path 5.7.3"),
        (script(&[OFFERED, "S: 454 4.7.0 Not now"]), "rest"),
    ] {
        let (ca, _) = authority_and_server("localhost");
        let wanted = Play { ca: Some(&ca), ..clear(ClientTls::Required, Auth::None, script) };
        let (report, _) = play(wanted).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", verdict), "{report:?}");
        assert_eq!(report.messages, 0);
    }
}

#[tokio::test]
async fn no_password_goes_over_a_connection_from_which_starttls_was_taken_out() {
    let password = secret::Secret::Inline("hunter2".to_owned().into());
    let auth = Auth::Password { username: "relay".to_owned(), password };
    let stripped = HELLO.replace("S: 250-DSN", "S: 250-AUTH PLAIN LOGIN");
    let (report, _) = play(clear(ClientTls::Opportunistic, auth, stripped)).await;
    assert_eq!(lane(&report), "paused Path starttls");
}

#[tokio::test]
async fn words_put_in_behind_starttls_are_noticed() {
    let (ca, _) = authority_and_server("localhost");
    let injected = "R: 220 2.0.0 Ready\\r\\n250 injected\\r\\n\nHOLD";
    let wanted = Play { ca: Some(&ca), ..clear(ClientTls::Required, Auth::None, script(&[OFFERED, injected])) };
    let (report, _) = play(wanted).await;
    assert_eq!(lane(&report), "paused Path starttls-injection", "{report:?}");
    let Outcome::Deferred { hint: Some(hint), .. } = outcome(&report, 0) else { panic!("{report:?}") };
    assert!(hint.contains("nothing was sent"), "{hint}");
}

#[tokio::test]
async fn a_handshake_that_is_none_rests_the_lane() {
    let (ca, _) = authority_and_server("localhost");
    for end in ["S: 220 2.0.0 Ready\nCLOSE", "S: 220 2.0.0 Ready\nBLOCK\nR: garbage in place of a handshake\nHOLD"] {
        let wanted = Play { ca: Some(&ca), ..clear(ClientTls::Required, Auth::None, script(&[OFFERED, end])) };
        let (report, _) = play(wanted).await;
        assert_eq!(lane(&report), "rest", "{report:?}");
    }
}

#[test]
fn a_ca_file_without_certificates_is_refused_at_start() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "nothing here").unwrap();
    let address = "127.0.0.1:25".parse().unwrap();
    let wanted = SmtpSettings { tls: ClientTls::Required, ca: Some(file.path().to_owned()), ..settings(address) };
    let error = crate::tls::Tls::new(&wanted).err().unwrap().to_string();
    assert!(error.contains(&file.path().display().to_string()) && error.contains("no certificate"), "{error}");
}
