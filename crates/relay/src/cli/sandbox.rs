//! `posthouse sandbox`: the simulated Microsoft 365 alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

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
}

impl RunSandbox {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = ::sandbox::Settings {
            submission: self.submission,
            login: self.login,
            control: self.control,
            directory: Some(self.dir.clone()),
            ..::sandbox::Settings::default()
        };
        let sandbox = ::sandbox::Sandbox::start(settings).await.context("cannot start the sandbox")?;
        say(sandbox.introduction());
        crate::system::interrupted().await;
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
