//! Simulated devices for the demo: a printer, applications, each speaking SMTP the way its kind does.
//!
//! In: what a device is like and a mail. Out: the relay's reply to that mail. They are clients like any other: nothing in
//! the relay knows of them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smtp::client::{Client, Step, Transaction};
use smtp::{BodyType, Credentials, MailParameters, RcptParameters, Reply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a device protects its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Not at all: the usual printer.
    Plain,
    /// STARTTLS on the ordinary port.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// One simulated device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// What it is, for the story.
    pub(crate) name: &'static str,
    /// What it says in EHLO.
    pub(crate) hello: &'static str,
    /// Which of the relay's ports it uses.
    pub(crate) relay: SocketAddr,
    /// See there.
    pub(crate) security: Security,
    /// Whether it authenticates.
    pub(crate) credentials: Option<Credentials>,
}

/// What a device sends.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// MAIL FROM.
    pub(crate) reverse_path: String,
    /// RCPT TO.
    pub(crate) forward_paths: Vec<String>,
    /// SMTPUTF8.
    pub(crate) smtputf8: bool,
    /// Header section and body.
    pub(crate) content: Vec<u8>,
}

/// Sends one mail and returns the reply to its end of data.
pub(crate) async fn send(device: &Device, mail: &Mail, tls: &Arc<ClientConfig>, name: &str) -> anyhow::Result<Reply> {
    let tcp =
        TcpStream::connect(device.relay).await.with_context(|| format!("{} cannot reach the relay", device.name))?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
    match device.security {
        Security::Plain => converse(tcp, Client::new(device.hello, false), device, mail).await,
        Security::Implicit => {
            let stream = connector.connect(name, tcp).await?;
            converse(stream, Client::new(device.hello, true), device, mail).await
        }
        Security::StartTls => {
            let (tcp, mut client) = upgrade(tcp, device).await?;
            let stream = connector.connect(name, tcp).await?;
            client.handle_tls();
            converse(stream, client, device, mail).await
        }
    }
}

/// Everything up to the TLS handshake.
async fn upgrade(mut tcp: TcpStream, device: &Device) -> anyhow::Result<(TcpStream, Client)> {
    let mut client = Client::new(device.hello, false);
    loop {
        match client.poll() {
            Step::NeedInput => exchange(&mut tcp, &mut client).await?,
            Step::Ready => client.start_tls(),
            Step::TlsHandshake => return Ok((tcp, client)),
            other => bail!("{}: the relay would not start TLS: {other:?}", device.name),
        }
    }
}

/// Greeting to QUIT.
async fn converse<S>(mut stream: S, mut client: Client, device: &Device, mail: &Mail) -> anyhow::Result<Reply>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut authenticated = device.credentials.is_none();
    loop {
        match client.poll() {
            Step::NeedInput => exchange(&mut stream, &mut client).await?,
            Step::Ready => match &device.credentials {
                Some(credentials) if !authenticated => client.authenticate(credentials),
                _ => client.begin(&transaction(mail)?),
            },
            Step::AuthReply(reply) => {
                if !reply.code.is_positive() {
                    bail!("{} was not let in: {reply}", device.name);
                }
                authenticated = true;
                client.begin(&transaction(mail)?);
            }
            Step::SendContent => {
                for piece in mail.content.chunks(64 * 1024) {
                    client.content(piece);
                    stream.write_all(client.output()).await?;
                    client.output().clear();
                }
                client.end_content();
            }
            Step::Over(replies) => {
                client.quit();
                let _ = stream.write_all(client.output()).await;
                let refused = replies.recipients.into_iter().find(|reply| !reply.code.is_positive());
                return Ok(replies.end.or(refused).or(replies.data).unwrap_or(replies.mail));
            }
            other => bail!("{}: the session ended early: {other:?}", device.name),
        }
    }
}

fn transaction(mail: &Mail) -> anyhow::Result<Transaction> {
    let recipients = mail.forward_paths.iter().map(|path| Ok((path.parse()?, RcptParameters::default())));
    Ok(Transaction {
        reverse_path: mail.reverse_path.parse()?,
        parameters: MailParameters {
            size: Some(mail.content.len() as u64),
            body: if mail.content.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
            smtputf8: mail.smtputf8,
            ..MailParameters::default()
        },
        recipients: recipients.collect::<anyhow::Result<_>>()?,
    })
}

async fn exchange<S>(stream: &mut S, client: &mut Client) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(client.output()).await?;
    client.output().clear();
    stream.flush().await?;
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).await?;
    if read == 0 {
        bail!("the relay closed the connection");
    }
    client.handle_input(buffer.get(..read).unwrap_or_default());
    Ok(())
}
