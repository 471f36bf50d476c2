//! `posthouse demo`: a simulated Microsoft 365, the relay, and devices that send through it, all on this machine.
//!
//! The relay is wired as by `serve`, from a configuration file as a user would write it; its story is read through the admin
//! API as any command would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use api::{Client, Counters, Event};
use clap::Args;
use sandbox::Sandbox;
use tokio::task::JoinHandle;

use super::{demo_mail, say, story};
use crate::devices;
use crate::relay::Relay;
use crate::system;

/// See it work: a simulated Microsoft 365 and the relay on this machine, with mail flowing; no tenant needed
///
/// Starts both in a temporary directory on free ports of the loopback interface. Simulated devices send real mail through
/// the relay; a refused token, a throttle and a dropped connection are injected on the way. Prints each message's story as it
/// happens and a summary at the end, then stays up, so that you can send mail of your own, until Ctrl-C.
#[derive(Args)]
pub(super) struct Demo {
    /// Exit after the summary: 0 if everything accepted was handed over, 1 if anything is missing
    #[arg(long)]
    once: bool,
}

/// The longest that the mail of the demo may take.
const PATIENCE: Duration = Duration::from_secs(180);

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        let sandbox =
            Sandbox::start(sandbox::Settings::default()).await.context("cannot start the simulated Microsoft 365")?;
        let relay = start_relay(directory.path(), &sandbox).await?;
        let client = Client::unix(&directory.path().join("data/admin.sock"))?;
        let story = tell(&client).await?;
        let ports = Ports::of(&relay)?;
        introduce(&sandbox, &ports);
        demo_mail::inject_faults(&sandbox)?;
        send_all(directory.path(), &ports).await?;
        let counters = settled(&client).await?;
        let complete = summarise(&counters, &sandbox);
        if !self.once {
            say(own_mail(&ports, directory.path(), &sandbox));
            system::interrupted().await;
        }
        relay.stop().await?;
        sandbox.stop().await;
        story.abort();
        Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Where the relay of the demo listens.
struct Ports {
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Ports {
    fn of(relay: &Relay) -> anyhow::Result<Self> {
        let address = |name: &str| {
            let found = relay.listeners.iter().find(|(listener, _)| listener == name);
            found.map(|(_, address)| *address).ok_or_else(|| anyhow!("the relay has no listener `{name}`"))
        };
        Ok(Self { plain: address("smtp")?, tls: address("smtps")? })
    }
}

async fn start_relay(directory: &Path, sandbox: &Sandbox) -> anyhow::Result<Relay> {
    let endpoints = sandbox.endpoints();
    std::fs::write(directory.join("ca.pem"), &endpoints.ca_pem)?;
    std::fs::write(directory.join("secret"), endpoints.client_secret.as_str())?;
    std::fs::write(directory.join("erp.pass"), demo_mail::PASSWORD)?;
    let file = directory.join("posthouse.toml");
    std::fs::write(&file, demo_mail::configuration(endpoints))?;
    let config = config::load(&file).map_err(|errors| anyhow!("{errors}"))?;
    Relay::start(config, Vec::new()).await
}

/// Prints what happens, as it happens.
async fn tell(client: &Client) -> anyhow::Result<JoinHandle<()>> {
    let mut events = client.events().await?;
    Ok(tokio::spawn(async move {
        while let Ok(Some(event)) = events.next().await {
            print_event(&event);
        }
    }))
}

fn print_event(event: &Event) {
    match event {
        Event::Message { id, reverse_path, what, .. } => {
            let mut lines = story::lines(what).into_iter();
            lines.next().into_iter().for_each(|first| say(format!("{id}  {reverse_path}  {first}")));
            lines.for_each(|line| say(format!("{:13}  {line}", "")));
        }
        Event::BreakerOpened(open) => {
            let api::Breaker { scope, name, pause, .. } = open;
            say(format!("{scope} {name} DOES NOT WORK: {}\n  remedy: {}", pause.reason, pause.remedy))
        }
        Event::BreakerClosed { scope, name, after_seconds } => {
            say(format!("{scope} {name} works again after {after_seconds} s"))
        }
        Event::Missed { events } => say(format!("({events} events missed)")),
    }
}

async fn send_all(directory: &Path, ports: &Ports) -> anyhow::Result<()> {
    let tls = Arc::new(trusting(&directory.join("data/tls/self-signed.pem"))?);
    for (device, mail) in demo_mail::all(ports.plain, ports.tls) {
        say(format!("--- {} sends {}", device.name, story::octets(mail.content.len() as u64)));
        let reply = devices::send(&device, &mail, &tls, demo_mail::HOSTNAME).await?;
        say(format!("    the relay says {reply}"));
        if !reply.code.is_positive() {
            bail!("the relay refused the mail of {}", device.name);
        }
    }
    Ok(())
}

/// TLS settings of a device whose administrator has installed the relay's own certificate.
fn trusting(certificate: &Path) -> anyhow::Result<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certificate)? {
        roots.add(certificate?)?;
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Waits until nothing is queued any more.
async fn settled(client: &Client) -> anyhow::Result<Counters> {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let counters = client.status().await?.counters;
            if counters.queued == 0 {
                return Ok::<_, anyhow::Error>(counters);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    match waited.await {
        Ok(counters) => {
            // The last events are on their way to the terminal.
            tokio::time::sleep(Duration::from_millis(200)).await;
            counters
        }
        Err(_) => Ok(client.status().await?.counters),
    }
}

/// True if every recipient accepted was handed over and the simulated Microsoft 365 has every message.
fn summarise(counters: &Counters, sandbox: &Sandbox) -> bool {
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for message in sandbox.messages() {
        *arrived.entry(message.reverse_path.clone()).or_default() += message.recipients.len();
    }
    let received: usize = arrived.values().sum();
    say("\n=== Summary, in recipients");
    say(format!(
        "accepted {} = handed over {} + queued {} + bounced {} + expired {} + removed {}",
        counters.accepted, counters.handed_over, counters.queued, counters.bounced, counters.expired, counters.removed
    ));
    say(format!("the simulated Microsoft 365 received {received}"));
    for (sender, recipients) in arrived {
        say(format!("  {recipients} from {sender}"));
    }
    let complete =
        counters.conserved && counters.accepted == counters.handed_over && received as u64 >= counters.accepted;
    say(if complete { "accepted = handed over: nothing is missing" } else { "SOMETHING IS MISSING" });
    complete
}

fn introduce(sandbox: &Sandbox, ports: &Ports) {
    let endpoints = sandbox.endpoints();
    say(format!(
        "simulated Microsoft 365: submission {}, token endpoint {}, control API {}\n\
         relay: {} (plain and STARTTLS), {} (implicit TLS)\n",
        endpoints.submission, endpoints.login, endpoints.control, ports.plain, ports.tls
    ));
}

fn own_mail(ports: &Ports, directory: &Path, sandbox: &Sandbox) -> String {
    let (plain, tls) = (ports.plain, ports.tls);
    let (user, password) = (demo_mail::USER, demo_mail::PASSWORD);
    let certificate = directory.join("data/tls/self-signed.pem");
    let config = directory.join("posthouse.toml");
    format!(
        r#"
=== Send mail of your own (any sender); its story appears here

swaks --server {plain} --from me@contoso.test --to you@example.test

printf 'From: me@contoso.test\r\nSubject: hello\r\n\r\nHello.\r\n' | curl --silent --show-error \
  --url smtps://{host}:{tls_port} --connect-to {host}:{tls_port}:{tls} --cacert {certificate} \
  --mail-from me@contoso.test --mail-rcpt you@example.test --user {user}:{password} --upload-file -

python3 - <<'END'
import smtplib
with smtplib.SMTP("{plain_ip}", {plain_port}) as relay:
    relay.sendmail("me@contoso.test", ["you@example.test"], "From: me@contoso.test\r\nSubject: hello\r\n\r\nHello.\r\n")
END

What arrived: curl {control}/messages
The relay:    {program} status --config {config}

Ctrl-C ends the demo."#,
        plain_ip = plain.ip(),
        plain_port = plain.port(),
        tls_port = tls.port(),
        host = demo_mail::HOSTNAME,
        certificate = certificate.display(),
        config = config.display(),
        program = std::env::current_exe().unwrap_or_else(|_| "posthouse".into()).display(),
        control = sandbox.endpoints().control,
    )
}
