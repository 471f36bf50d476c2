//! The command line. One file per subcommand; this one holds the definitions and what they share.

mod alert;
mod check;
mod demo;
mod demo_mail;
mod dkim;
mod domain;
mod explain;
mod operate;
mod password;
mod sandbox;
mod serve;
mod show;
mod spool;
mod status;
mod story;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Exit status:
  0  done, or nothing wrong found
  1  something is wrong, or could not be done; the reason is on standard error
  2  the command line is wrong
  4  no running relay answers

Start here:
  posthouse demo                         see it work, no tenant needed
  posthouse check --config FILE          all that is wrong with a configuration file
  posthouse serve --config FILE          run the relay";

/// Posthouse is an SMTP relay for Microsoft 365.
///
/// Printers, applications, monitoring and scripts hand it mail over SMTP; it keeps the mail safe on disk and hands it to
/// Microsoft 365 with modern authentication, inside Microsoft's limits, and explains every refusal.
#[derive(Parser)]
#[command(name = "posthouse", version, about, long_about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Sandbox(sandbox::RunSandbox),
    Check(check::Check),
    Password(password::Password),
    Status(status::Status),
    Queue(show::Queue),
    Message(show::Message),
    Explain(explain::Explain),
    Domain(domain::Domain),
    Try(trial::Try),
    Retry(operate::Retry),
    Hold(operate::Hold),
    Release(operate::Release),
    Remove(operate::Remove),
    #[command(subcommand)]
    Spool(spool::SpoolCommand),
    #[command(subcommand)]
    Alert(alert::Alert),
    #[command(subcommand)]
    Dkim(dkim::Dkim),
}

/// Which configuration file.
#[derive(Args, Clone)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "POSTHOUSE_CONFIG", default_value = "/etc/posthouse/posthouse.toml")]
    config: PathBuf,
}

/// Which running relay.
#[derive(Args, Clone)]
struct Running {
    #[command(flatten)]
    file: ConfigFile,
    /// The admin socket of the relay; default: the one that the configuration file names
    #[arg(long, value_name = "PATH", env = "POSTHOUSE_SOCKET")]
    socket: Option<PathBuf>,
}

impl Running {
    fn client(&self) -> anyhow::Result<api::Client> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => admin_socket(&self.file.config)?,
        };
        Ok(api::Client::unix(&socket)?)
    }
}

fn admin_socket(file: &std::path::Path) -> anyhow::Result<PathBuf> {
    let hint = "name the relay's admin socket with --socket, or its configuration with --config";
    config::admin_socket(file).map_err(|errors| anyhow::anyhow!("{errors}\n  hint: {hint}"))
}

/// Parses the command line, runs the command, prints what went wrong.
pub(crate) fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let threads = match &cli.command {
        Command::Serve(_) | Command::Demo(_) | Command::Sandbox(_) => crate::system::worker_threads(),
        _ => 1,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::anyhow!("cannot start the runtime: {error}")),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Sandbox(sandbox) => sandbox.run().await,
        Command::Check(check) => check.run(),
        Command::Password(password) => password.run(),
        Command::Status(status) => status.run().await,
        Command::Queue(queue) => queue.run().await,
        Command::Message(message) => message.run().await,
        Command::Explain(explain) => explain.run().await,
        Command::Domain(domain) => domain.run().await,
        Command::Try(one) => one.run().await,
        Command::Retry(retry) => retry.run().await,
        Command::Hold(hold) => hold.run().await,
        Command::Release(release) => release.run().await,
        Command::Remove(remove) => remove.run().await,
        Command::Spool(spool) => spool.run(),
        Command::Alert(alert) => alert.run().await,
        Command::Dkim(dkim) => dkim.run().await,
    }
}

/// Prints the error and chooses the exit status.
fn failed(error: &anyhow::Error) -> ExitCode {
    say_error(&format!("{error:#}"));
    match error.downcast_ref::<api::ClientError>() {
        Some(error) if error.is_unreachable() => ExitCode::from(4),
        _ => ExitCode::FAILURE,
    }
}

/// A line for the person at the terminal. A closed pipe (`| head`) is no error.
fn say(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The same on standard error.
fn say_error(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "posthouse: {text}");
}

/// Pretty JSON on standard output.
fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}
