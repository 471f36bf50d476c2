//! `posthouse sandbox`: the simulated Microsoft 365 alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::sandbox::Endpoints;
use anyhow::Context;
use clap::Args;

use super::say;

/// Run a simulated Microsoft 365 on this machine, to test any mail program against
///
/// Starts a token endpoint (Entra ID), a submission endpoint (as smtp.office365.com) with a mailbox, and a control API to
/// look at what arrived and to inject faults. Prints the endpoints, the credentials, the file with its certificate
/// authority, and a Posthouse configuration to paste. Runs until Ctrl-C; nothing outside this machine is touched.
#[derive(Args)]
pub(super) struct RunSandbox {
    /// Address of the submission endpoint
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1587")]
    submission: SocketAddr,
    /// Address of the token endpoint (HTTPS)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    login: SocketAddr,
    /// Address of the control API (HTTP)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    control: SocketAddr,
    /// Directory for the certificate authority, the secret and the configuration; kept between runs
    #[arg(long, value_name = "DIR", default_value = "posthouse-sandbox")]
    dir: PathBuf,
    /// Where the printed configuration lets the relay listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2525")]
    listen: SocketAddr,
    /// Let the endpoints bind to addresses that other machines reach; whoever reaches the control API rules the sandbox
    #[arg(long)]
    allow_remote: bool,
}

impl RunSandbox {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        std::fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        let dir = self.dir.canonicalize()?;
        let settings = ::sandbox::Settings {
            submission: self.submission,
            login: self.login,
            control: self.control,
            directory: Some(dir.clone()),
            allow_remote: self.allow_remote,
            ..::sandbox::Settings::default()
        };
        let sandbox = ::sandbox::Sandbox::start(settings).await.context("cannot start the sandbox")?;
        let endpoints = sandbox.endpoints();
        let [ca, _] = endpoints.write_files(&dir)?;
        let file = dir.join("posthouse.toml");
        let configuration = endpoints.configuration(self.listen, &dir);
        std::fs::write(&file, &configuration).with_context(|| format!("cannot write {}", file.display()))?;
        say(introduction(endpoints, &ca));
        say(format!("{configuration}\nThe same is in {}: posthouse serve --config {0}", file.display()));
        say("\nCtrl-C ends the sandbox.");
        crate::system::interrupted().await;
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

fn introduction(endpoints: &Endpoints, ca: &Path) -> String {
    let mut lines = vec![
        "A simulated Microsoft 365 is running on this machine.".to_owned(),
        String::new(),
        format!(
            "submission     {} (host name {}, STARTTLS, AUTH LOGIN XOAUTH2)",
            endpoints.submission, endpoints.submission_host
        ),
        format!("token endpoint {}/{}/oauth2/v2.0/token", endpoints.login, endpoints.tenant_id),
        format!("control API    {} (its front page is the manual)", endpoints.control),
        format!("CA             {}", ca.display()),
        format!("tenant         {}", endpoints.tenant_id),
        format!("client id      {}", endpoints.client_id),
        format!("client secret  {}", endpoints.client_secret.as_str()),
        "scope          https://outlook.office365.com/.default".to_owned(),
    ];
    for account in &endpoints.mailboxes {
        let password = account.password.as_ref().map(|password| format!(", password {}", password.as_str()));
        lines.push(format!("mailbox        {}{}", account.address, password.unwrap_or_default()));
    }
    lines.push("\nA configuration of Posthouse for it:\n".to_owned());
    lines.join("\n")
}
