//! A mail program for tests: it says what it is told and gives back what it hears.

use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use posthouse_sandbox::{Endpoints, Sandbox, Settings};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A session. Every wait has an end.
pub(crate) struct Talk {
    socket: Box<dyn Socket>,
    heard: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn start() -> Sandbox {
    Sandbox::start(Settings::default()).await.unwrap()
}

impl Talk {
    /// Connected, the greeting not yet read.
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        Self { socket: Box::new(TcpStream::connect(address).await.unwrap()), heard: Vec::new() }
    }

    /// Greeted and encrypted.
    pub(crate) async fn encrypted(endpoints: &Endpoints) -> Self {
        let (talk, greeted) = Self::try_encrypted(endpoints).await;
        assert!(greeted.starts_with("220 2.0.0"), "{greeted}");
        talk.unwrap()
    }

    /// Encrypted with the last reply, or the first refusal or the error of the handshake.
    pub(crate) async fn try_encrypted(endpoints: &Endpoints) -> (Option<Self>, String) {
        let mut stream = TcpStream::connect(endpoints.submission).await.unwrap();
        let mut heard = Vec::new();
        let mut reply = hear(&mut stream, &mut heard).await;
        for line in ["EHLO relay.test\r\n", "STARTTLS\r\n"] {
            if !reply.starts_with('2') {
                return (None, reply);
            }
            stream.write_all(line.as_bytes()).await.unwrap();
            reply = hear(&mut stream, &mut heard).await;
        }
        if !reply.starts_with('2') {
            return (None, reply);
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(endpoints.ca_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(endpoints.submission_host.clone()).unwrap();
        match TlsConnector::from(Arc::new(client)).connect(name, stream).await {
            Ok(stream) => (Some(Self { socket: Box::new(stream), heard: Vec::new() }), reply),
            Err(error) => (None, format!("{error:?}")),
        }
    }

    /// Signed in by password.
    pub(crate) async fn login(endpoints: &Endpoints, user: &str, password: &str) -> Self {
        let mut talk = Self::encrypted(endpoints).await;
        talk.say("EHLO relay.test").await;
        let reply = talk.try_login(user, password).await;
        assert_eq!(reply, "235 2.7.0 Authentication successful");
        talk
    }

    pub(crate) async fn relay(sandbox: &Sandbox) -> Self {
        Self::login(sandbox.endpoints(), "relay@contoso.test", "relay-password").await
    }

    pub(crate) async fn try_login(&mut self, user: &str, password: &str) -> String {
        assert_eq!(self.say("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
        assert_eq!(self.say(&BASE64_STANDARD.encode(user)).await, "334 UGFzc3dvcmQ6");
        self.say(&BASE64_STANDARD.encode(password)).await
    }

    pub(crate) async fn xoauth2(&mut self, user: &str, token: &str) -> String {
        assert_eq!(self.say("AUTH XOAUTH2").await, "334 ");
        self.say(&BASE64_STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))).await
    }

    /// A line and its reply, without the last CRLF.
    pub(crate) async fn say(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes()).await;
        self.hear().await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // A server that has closed is found out when listening.
        let _ = self.socket.write_all(bytes).await;
        let _ = self.socket.flush().await;
    }

    /// A whole reply; what came so far, if the server closes.
    pub(crate) async fn hear(&mut self) -> String {
        hear(&mut self.socket, &mut self.heard).await
    }

    /// A whole message; the first refusal, or the reply at the end.
    pub(crate) async fn send(&mut self, from: &str, to: &[&str], content: &str) -> String {
        let mail = self.say(&format!("MAIL FROM:<{from}>")).await;
        if !mail.starts_with('2') {
            return mail;
        }
        for to in to {
            let rcpt = self.say(&format!("RCPT TO:<{to}>")).await;
            if !rcpt.starts_with('2') {
                self.say("RSET").await;
                return rcpt;
            }
        }
        let data = self.say("DATA").await;
        if !data.starts_with('3') {
            self.say("RSET").await;
            return data;
        }
        self.say(&format!("{content}\r\n.")).await
    }

    /// A small message of the relay's mailbox.
    pub(crate) async fn send_to(&mut self, to: &str) -> String {
        self.send("relay@contoso.test", &[to], "From: relay@contoso.test\r\nSubject: x\r\n\r\nhello").await
    }
}

async fn hear(socket: &mut (impl AsyncRead + Unpin + ?Sized), heard: &mut Vec<u8>) -> String {
    let listen = async {
        loop {
            if let Some(end) = end_of_reply(heard) {
                let reply: Vec<u8> = heard.drain(..end).collect();
                return String::from_utf8(reply).unwrap().trim_end_matches("\r\n").to_owned();
            }
            let mut piece = [0; 4096];
            match socket.read(&mut piece).await {
                Ok(0) | Err(_) => return String::from_utf8(std::mem::take(heard)).unwrap(),
                Ok(count) => heard.extend_from_slice(&piece[..count]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.expect("the sandbox says nothing")
}

/// Behind the first line that has a blank after its code.
fn end_of_reply(heard: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in heard.split_inclusive(|octet| *octet == b'\n') {
        end += line.len();
        if line.ends_with(b"\r\n") && line.get(3) == Some(&b' ') {
            return Some(end);
        }
    }
    None
}

/// An HTTP client that trusts the sandbox.
pub(crate) fn http(endpoints: &Endpoints) -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ca = reqwest::Certificate::from_pem(endpoints.ca_pem.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([ca]).no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A good token.
pub(crate) async fn token(sandbox: &Sandbox) -> String {
    let endpoints = sandbox.endpoints();
    let answer = http(endpoints)
        .post(format!("{}/{}/oauth2/v2.0/token", endpoints.login, endpoints.tenant_id))
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &endpoints.client_id),
            ("client_secret", endpoints.client_secret.as_str()),
            ("scope", "https://outlook.office365.com/.default"),
        ])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let body: serde_json::Value = answer.json().await.unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}
