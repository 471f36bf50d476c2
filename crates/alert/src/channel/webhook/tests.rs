//! Webhooks against a server on the loopback interface.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::notice::samples;

const SECRET: &str = "T0123/B4567/sesame-open";

fn now() -> Now {
    Arc::new(|| "2026-11-21T01:36:00Z".parse().unwrap())
}

fn webhook(url: &str) -> Webhook {
    Webhook::new(Secret::Inline(url.to_owned().into()), WebhookFormat::Json, None, now())
}

/// Head and body of one request; answers it.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> (String, String) {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length: usize = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return (head, body.to_owned());
            }
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "broken off: {text}");
    }
}

fn answer(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n{body}", body.len())
}

/// What came of one request that was answered so, and the request.
async fn answered(answer: &str) -> (Result<(), Failure>, String, String) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = webhook(&format!("http://{}/services/{SECRET}?sig=hush-hush", server.local_addr().unwrap()));
    let bulletin = samples::bulletin(vec![samples::opened()]);
    let serving = async { serve(server.accept().await.unwrap().0, answer).await };
    let (sent, (head, body)) = tokio::join!(webhook.send(&bulletin), serving);
    (sent, head, body)
}

#[tokio::test]
async fn a_notice_is_posted_as_json_and_2xx_is_success() {
    for status in ["200 OK", "202 Accepted", "204 No Content"] {
        let (sent, head, body) = answered(&answer(status, "", "")).await;
        sent.unwrap();
        assert!(head.starts_with("post /services/t0123/b4567/sesame-open?sig=hush-hush http/1.1"), "{head}");
        assert!(head.contains("content-type: application/json") && head.contains("user-agent: posthouse/"), "{head}");
        assert_eq!(body, samples::bulletin(vec![samples::opened()]).json(1));
    }
}

#[tokio::test]
async fn an_answer_says_when_to_try_again_and_what_to_do() {
    let date = "retry-after: Sat, 21 Nov 2026 01:38:00 GMT\r\n";
    for (status, more, again, hint) in [
        ("429 Too Many Requests", "retry-after: 30\r\n", Again::After(Duration::from_secs(30)), "tried again"),
        ("503 Service Unavailable", date, Again::After(Duration::from_secs(120)), "tried again"),
        ("429 Too Many Requests", "retry-after: soon\r\n", Again::Soon, "tried again"),
        ("500 Internal Server Error", "", Again::Soon, "tried again"),
        ("408 Request Timeout", "", Again::Soon, "tried again"),
        ("400 Bad Request", "", Again::Seldom, "`format`"),
        ("404 Not Found", "", Again::Seldom, "new webhook"),
        ("302 Found", "location: http://elsewhere.example/\r\n", Again::Seldom, "not followed"),
    ] {
        let failure = answered(&answer(status, more, "no_service\nmore")).await.0.unwrap_err();
        assert_eq!(failure.what, format!("127.0.0.1 answered {status}: no_service"));
        assert_eq!(failure.again, again, "{status}");
        assert!(failure.hint.contains(hint), "{status}: {}", failure.hint);
    }
}

#[tokio::test]
async fn nothing_of_the_url_but_its_host_is_ever_said() {
    let echo = format!("no hook at /services/{SECRET}?sig=hush-hush");
    let refused = answered(&answer("404 Not Found", "", &echo)).await.0.unwrap_err();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let unreachable = webhook(&format!("http://{gone}/{SECRET}")).send(&samples::bulletin(vec![])).await.unwrap_err();
    let wrong = webhook(&format!("ftp://host/{SECRET}")).send(&samples::bulletin(vec![])).await.unwrap_err();
    for failure in [refused, unreachable, wrong] {
        let said = format!("{failure:?}");
        assert!(!said.contains("sesame") && !said.contains("B4567/") && !said.contains("hush"), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_in_time() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let hasty = Webhook { limit: Duration::from_millis(200), ..webhook(&url) };
    let failure = hasty.send(&samples::bulletin(vec![samples::opened()])).await.unwrap_err();
    assert!(failure.what.starts_with("no answer from 127.0.0.1 in time"), "{failure:?}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let endless = answer("500 Internal Server Error", "", &"x".repeat(100_000));
    let failure = answered(&endless).await.0.unwrap_err();
    assert!(failure.what.chars().count() < 300, "{}", failure.what.len());
}

/// An acceptor for `localhost`, and the PEM of the CA that signed its certificate.
fn tls() -> (TlsAcceptor, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca.pem())
}

async fn over_tls(ca: Option<&str>) -> Result<(), Failure> {
    let (acceptor, own_ca) = tls();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ca.unwrap_or(&own_ca)).unwrap();
    let url = format!("https://localhost:{}/{SECRET}", server.local_addr().unwrap().port());
    let webhook = Webhook { ca: Some(file.path().to_owned()), ..webhook(&url) };
    let serving = tokio::spawn(async move {
        let stream = acceptor.accept(server.accept().await.unwrap().0).await;
        if let Ok(stream) = stream {
            serve(stream, &answer("200 OK", "", "ok")).await;
        }
    });
    let sent = webhook.send(&samples::bulletin(vec![samples::opened()])).await;
    serving.abort();
    sent
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_given_ca_is_believed_and_no_other() {
    over_tls(None).await.unwrap();
    let failure = over_tls(Some(&tls().1)).await.unwrap_err();
    assert!(failure.what.starts_with("the certificate of localhost is not trusted"), "{failure:?}");
    assert!(failure.hint.contains("`ca`"), "{failure:?}");
    let failure = over_tls(Some("no certificate")).await.unwrap_err();
    assert!(failure.what.starts_with("there is no PEM certificate in the CA file"), "{failure:?}");
}
