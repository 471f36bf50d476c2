//! `posthouse try`: every decision about a message that is never sent.
//!
//! In: the configuration, the message as the command line describes it; what a running relay knows, if one answers. Out: the
//! session's decisions, the reply that the device would see, and for each lane that may carry the message: as whom it leaves,
//! what it costs, who signs it, what receivers will conclude. Never: a connection to a next hop, an entry in the spool.

mod lane;
mod mail;
mod told;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use config::Config;
use dkim::Keys;
use doctor::{Dns, Doctor};
use inbound::{PeerCertificate, TlsMode, Trial, Verdict};
use jiff::Timestamp;
use serde::Serialize;
use smtp::{ForwardPath, ReversePath};

use super::{Running, say, say_json};
use lane::{Asked, LaneReport};
use mail::{Mail, Octets};

/// Every decision about a message that is never sent
///
/// Shows listener, client, rights, rewriting before and after, the path, its budgets, who signs, what SPF, DKIM and DMARC will
/// say, and the reply that the device would see. It needs no running relay; where one answers, what is used of the budgets, what is
/// broken and which senders were refused is taken from it.
///
/// Exit status 1: the message would be refused or held.
#[derive(Args)]
pub(super) struct Try {
    #[command(flatten)]
    running: Running,
    /// Address that the device connects from
    #[arg(long, value_name = "ADDRESS")]
    from_ip: IpAddr,
    /// Listener that it connects to, by name; default: the first
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// User that it logs in as; the password is taken to be right
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Certificate that it shows, PEM, with its chain; implies --tls
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Name that it gives in EHLO
    #[arg(long, value_name = "NAME", default_value = "device")]
    helo: String,
    /// It uses TLS
    #[arg(long)]
    tls: bool,
    /// MAIL FROM; <> is the null reverse-path
    #[arg(long, value_name = "ADDRESS")]
    mail_from: ReversePath,
    /// RCPT TO, as often as needed
    #[arg(long, value_name = "ADDRESS", required = true)]
    rcpt: Vec<ForwardPath>,
    /// Size of the message: 12M, 500 KiB, 40000; default: that of --file
    #[arg(long, value_name = "SIZE")]
    size: Option<Octets>,
    /// Value of the header field From; default: the address of --mail-from
    #[arg(long, value_name = "TEXT", value_parser = mail::field_value, conflicts_with = "file")]
    header_from: Option<String>,
    /// The message itself
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Leave out what receivers will conclude: the DNS is not asked
    #[arg(long)]
    no_dns: bool,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// All that is shown.
#[derive(Serialize)]
struct Report {
    /// Would it be taken?
    accepted: bool,
    /// Would it wait for an operator, on one of its lanes at least?
    held: bool,
    steps: Vec<Step>,
    /// The last that the device would see.
    reply: String,
    /// What the header section is made of.
    header: String,
    client: Option<String>,
    pool: Option<String>,
    urgent: bool,
    /// Those that are taken, as they would be stored.
    recipients: Vec<String>,
    relay: RelayReport,
    lanes: Vec<LaneReport>,
}

/// A decision of the session.
#[derive(Serialize)]
struct Step {
    subject: &'static str,
    passed: bool,
    words: String,
    /// What the device is told, if it does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<String>,
}

/// What a running relay says.
#[derive(Serialize)]
struct RelayReport {
    answers: bool,
    /// Why nothing is known, or why it takes no mail now.
    trouble: Vec<String>,
}

impl Try {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(&self.running.file.config)?;
        let now = now();
        let mail = self.mail(&config, now)?;
        let trial = inbound::trial(&config.inbound, &config.routes, &self.question(&config, &mail, now)?);
        let (status, trouble) = self.status().await;
        let lanes = match &trial.accepted {
            Some(accepted) => {
                let keys = Keys::load(&config.dkim).context("cannot sign (DKIM)")?;
                let (config, status, reverse_path) = (&config, status.as_ref(), &self.mail_from);
                let asked = Asked { config, mail: &mail, reverse_path, accepted, keys: &keys, status, now };
                let mut lanes = asked.lanes();
                if !self.no_dns {
                    forecast(config, &mut lanes).await;
                }
                lanes
            }
            None => Vec::new(),
        };
        let relay = RelayReport::new(status.as_ref(), trouble);
        let report = Report::new(trial, mail.whence, relay, lanes);
        match self.json {
            true => say_json(&report)?,
            false => say(told::told(&report)),
        }
        Ok(if report.accepted && !report.held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn mail(&self, config: &Config, now: Timestamp) -> anyhow::Result<Mail> {
        let mut mail = match &self.file {
            Some(file) => Mail::read(file, &config.inbound)?,
            None => Mail::made(self.header_from.as_deref(), &self.mail_from, &config.inbound, now)?,
        };
        mail.size = self.size.map(|size| size.0).or(mail.size);
        Ok(mail)
    }

    fn question(&self, config: &Config, mail: &Mail, now: Timestamp) -> anyhow::Result<inbound::Question> {
        let client_ca = config.inbound.tls.client_ca.as_deref();
        let read = |file: &PathBuf| PeerCertificate::read(file, client_ca, now);
        let wanted = |name: &String| self.listener.as_ref().is_none_or(|wanted| wanted == name);
        let listener = config.inbound.listeners.iter().find(|listener| wanted(&listener.name));
        let implicit = listener.is_some_and(|listener| listener.tls == TlsMode::Implicit);
        Ok(inbound::Question {
            peer: self.from_ip,
            listener: self.listener.clone(),
            user: self.user.clone(),
            certificate: self.certificate.as_ref().map(read).transpose()?,
            helo: self.helo.clone(),
            tls: self.tls || self.certificate.is_some() || implicit,
            reverse_path: self.mail_from.clone(),
            forward_paths: self.rcpt.clone(),
            size: mail.size,
            header: Some(mail.header.clone()),
        })
    }

    /// `None`: nobody answers, and why.
    async fn status(&self) -> (Option<api::Status>, Option<String>) {
        let asked = async { anyhow::Ok(self.running.client()?.status().await?) };
        match asked.await {
            Ok(status) => (Some(status), None),
            // The first line: what there is to do about it stands in the second.
            Err(error) => (None, format!("{error:#}").lines().next().map(str::to_owned)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "whether a certificate is valid and a budget used up is seen from now")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Trouble with the DNS is told, and is no error of ours.
async fn forecast(config: &Config, lanes: &mut [LaneReport]) {
    let dns = match Dns::new(&config.dns.resolver) {
        Ok(dns) => dns,
        Err(error) => {
            return lanes.iter_mut().for_each(|lane| lane.forecast_trouble = Some(format!("{error}")));
        }
    };
    let doctor = Doctor::new(dns);
    for lane in lanes {
        lane.ask(&doctor).await;
    }
}

impl Report {
    fn new(trial: Trial, header: String, relay: RelayReport, lanes: Vec<LaneReport>) -> Self {
        let Trial { steps, reply, accepted } = trial;
        let recipients = accepted.iter().flat_map(|accepted| &accepted.recipients);
        Self {
            accepted: accepted.is_some() && relay.takes_mail(),
            held: lanes.iter().any(LaneReport::is_held),
            reply: reply.to_string(),
            header,
            recipients: recipients.map(|recipient| recipient.forward_path.to_string()).collect(),
            client: accepted.as_ref().map(|accepted| accepted.client.clone()),
            urgent: accepted.as_ref().is_some_and(|accepted| accepted.urgent),
            pool: accepted.map(|accepted| accepted.pool.to_string()),
            steps: steps.into_iter().map(Step::from).collect(),
            relay,
            lanes,
        }
    }
}

impl From<inbound::TrialStep> for Step {
    fn from(inbound::TrialStep { subject, verdict, words }: inbound::TrialStep) -> Self {
        let reply = match verdict {
            Verdict::Passed => None,
            Verdict::Refused(reply) => Some(reply.to_string()),
        };
        Self { subject, passed: reply.is_none(), words, reply }
    }
}

impl RelayReport {
    /// As far as is known.
    fn takes_mail(&self) -> bool {
        !self.answers || self.trouble.is_empty()
    }

    fn new(status: Option<&api::Status>, trouble: Option<String>) -> Self {
        let not_ready = status.filter(|status| !status.ready).map(|status| status.not_ready.clone());
        Self { answers: status.is_some(), trouble: not_ready.unwrap_or_default().into_iter().chain(trouble).collect() }
    }
}
