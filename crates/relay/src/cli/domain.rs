//! `posthouse domain`: what receivers see of a sender domain in the DNS, and what to do about it.
//!
//! In: a name, and the configuration if there is one: it says by which ways the domain's mail leaves, of which cloud its tenant is
//! and what our addresses are. Out: the doctor's findings by section. No running relay is asked, nothing is sent or changed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use config::Config;
use doctor::{Dns, DnsSettings, Doctor, DomainName, DomainQuestion, DomainReport, Finding, Severity, Way};
use m365::Cloud;

use super::{say, say_json};

/// Read if it exists and no other is named.
const USUAL_FILE: &str = "/etc/posthouse/posthouse.toml";

/// What receivers see of a sender domain: MX, SPF, DKIM, DMARC, MTA-STS, DANE, and the names of our addresses
///
/// Each finding comes with its remedy and, where one helps, with the record to paste. With a configuration file, the domain's
/// paths, cloud and our addresses are taken from it; without one, mail is taken to leave by Exchange Online.
///
/// Exit status 1: there is at least one error.
#[derive(Args)]
pub(super) struct Domain {
    /// The domain after the @ of senders
    #[arg(value_name = "NAME")]
    name: DomainName,
    /// The configuration file; default: /etc/posthouse/posthouse.toml if it exists
    #[arg(long, short, value_name = "FILE", env = "POSTHOUSE_CONFIG")]
    config: Option<PathBuf>,
    /// The tenant's cloud, if the configuration does not say it: worldwide, gcc-high, dod, china
    #[arg(long)]
    cloud: Option<Cloud>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl Domain {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let (settings, question) = self.question()?;
        let report = Doctor::new(Dns::new(&settings)?).domain(&question).await;
        match self.json {
            true => say_json(&*report)?,
            false => say(told(&question, &report)),
        }
        Ok(if report.severity() == Severity::Error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn question(&self) -> anyhow::Result<(DnsSettings, DomainQuestion)> {
        let Some(config) = self.configuration()? else {
            let cloud = self.cloud.unwrap_or_default();
            return Ok((DnsSettings::default(), DomainQuestion::new(self.name.clone(), cloud, "")));
        };
        let mut question = config.question(self.name.clone());
        question.cloud = self.cloud.unwrap_or(question.cloud);
        Ok((config.dns.resolver, question))
    }

    fn configuration(&self) -> anyhow::Result<Option<Config>> {
        let usual = Path::new(USUAL_FILE);
        match &self.config {
            Some(file) => load(file).map(Some),
            None if usual.exists() => load(usual).map(Some),
            None => Ok(None),
        }
    }
}

fn load(file: &Path) -> anyhow::Result<Config> {
    match config::load(file) {
        Ok(config) => Ok(config),
        Err(errors) => bail!("{errors}\n  hint: `posthouse check --config {}` says more", file.display()),
    }
}

fn told(question: &DomainQuestion, report: &DomainReport) -> String {
    let mut parts = vec![format!("{}: mail leaves by {}", report.domain, ways(question))];
    for (title, findings) in report.sections() {
        // Without addresses there is nothing about their names.
        if !findings.is_empty() {
            parts.push(section(title, &facts(title, report), findings));
        }
    }
    parts.push(summary(report));
    parts.join("\n\n")
}

fn ways(question: &DomainQuestion) -> String {
    if question.ways.is_empty() {
        return format!("Exchange Online ({}), as far as is known", question.cloud);
    }
    let ways = question.ways.iter().map(|way| match way {
        Way::ExchangeOnline(cloud) => format!("Exchange Online ({cloud})"),
        Way::Direct { address: Some(address), .. } => format!("{address}"),
        Way::Direct { address: None, .. } => "a smart host".to_owned(),
    });
    ways.collect::<Vec<_>>().join(" and ")
}

/// What stands there, where a finding does not say it already.
fn facts(title: &str, report: &DomainReport) -> Vec<String> {
    match title {
        "MX" => report.mx.hosts.iter().map(|mx| format!("{} {}", mx.preference, mx.host)).collect(),
        "SPF" => {
            let spf = &report.spf;
            let cost = format!("{} look-ups of 10, {} of them found nothing", spf.lookups, spf.void_lookups);
            spf.record.iter().cloned().chain(spf.record.as_ref().map(|_| cost)).collect()
        }
        "DKIM" => {
            let pointing = report.dkim.selectors.iter().filter_map(|facts| Some((facts, facts.target.as_ref()?)));
            pointing.map(|(facts, target)| format!("{} -> {target}", facts.selector)).collect()
        }
        "DMARC" => {
            let dmarc = &report.dmarc;
            dmarc.at.iter().zip(&dmarc.record).map(|(at, record)| format!("_dmarc.{at}: {record}")).collect()
        }
        "MTA-STS" => report.mta_sts.record.iter().chain(&report.mta_sts.tls_rpt).cloned().collect(),
        _ => Vec::new(),
    }
}

fn section(title: &str, facts: &[String], findings: &[Finding]) -> String {
    let mut lines = vec![title.to_owned()];
    lines.extend(facts.iter().map(|fact| format!("  published  {}", printable(fact))));
    lines.extend(findings.iter().flat_map(finding));
    lines.join("\n")
}

pub(super) fn finding(finding: &Finding) -> Vec<String> {
    let mut lines = vec![format!("  {:<9}  {} [{}]", word(finding.severity), printable(&finding.what), finding.id)];
    lines.extend(finding.remedy.iter().map(|remedy| format!("             remedy: {}", printable(remedy))));
    if let Some(record) = &finding.record {
        lines.push(format!("             record: {} {}", record.name, record.kind));
        lines.push(format!("               {}", printable(&record.value)));
    }
    lines
}

/// Anybody can publish anything: nothing of it reaches the terminal but characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn summary(report: &DomainReport) -> String {
    let count = |severity| report.findings().filter(|finding| finding.severity == severity).count();
    let words = |n: usize, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    let found = match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "nothing wrong".to_owned(),
        (errors, warnings) => format!("{}, {}", words(errors, "error"), words(warnings, "warning")),
    };
    match report.findings().filter(|finding| finding.id.ends_with("-trouble")).count() {
        0 => format!("{}: {found}", report.domain),
        failed => format!("{}: {found}, as far as is known: {} failed", report.domain, words(failed, "look-up")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doctor::{Record, SpfReport};

    fn missing_include() -> Finding {
        Finding {
            id: "spf-missing-include",
            severity: Severity::Error,
            what: "it is not\u{1b}[2J included".to_owned(),
            remedy: Some("Replace it.".to_owned()),
            record: Some(Record {
                name: "contoso.com".to_owned(),
                kind: "TXT",
                value: "v=spf1 include:spf.protection.outlook.com -all".to_owned(),
            }),
        }
    }

    fn report() -> DomainReport {
        let spf = SpfReport {
            record: Some("v=spf1 -all".to_owned()),
            lookups: 0,
            findings: vec![missing_include()],
            ..SpfReport::default()
        };
        DomainReport {
            domain: DomainName::parse("contoso.com").unwrap(),
            mx: doctor::MxReport::default(),
            spf,
            dkim: doctor::DkimReport::default(),
            dmarc: doctor::DmarcReport::default(),
            mta_sts: doctor::MtaStsReport::default(),
            dane: doctor::DaneReport::default(),
            ptr: doctor::PtrReport::default(),
        }
    }

    #[test]
    fn a_report_is_told_with_what_stands_there_the_remedy_and_the_record_on_a_line_of_its_own() {
        let report = report();
        let question = DomainQuestion::new(report.domain.clone(), Cloud::GccHigh, "relay.contoso.com");
        assert_eq!(
            told(&question, &report),
            "contoso.com: mail leaves by Exchange Online (gcc-high), as far as is known\n\
             \n\
             SPF\n\
             \x20 published  v=spf1 -all\n\
             \x20 published  0 look-ups of 10, 0 of them found nothing\n\
             \x20 error      it is not\u{fffd}[2J included [spf-missing-include]\n\
             \x20            remedy: Replace it.\n\
             \x20            record: contoso.com TXT\n\
             \x20              v=spf1 include:spf.protection.outlook.com -all\n\
             \n\
             contoso.com: 1 error, 0 warnings"
        );
    }

    #[test]
    fn nothing_is_called_good_that_could_not_be_looked_up() {
        let failed = Finding { id: "spf-trouble", severity: Severity::Note, ..missing_include() };
        let mut report = report();
        report.spf.findings = vec![failed.clone(), failed];
        assert_eq!(summary(&report), "contoso.com: nothing wrong, as far as is known: 2 look-ups failed");
        report.spf.findings = Vec::new();
        assert_eq!(summary(&report), "contoso.com: nothing wrong");
    }

    #[test]
    fn a_file_that_is_named_must_be_good() {
        let name = DomainName::parse("contoso.com").unwrap();
        let config = Some(PathBuf::from("/nonexistent/posthouse.toml"));
        let error = Domain { name, config, cloud: None, json: false }.question().unwrap_err().to_string();
        assert!(error.contains("cannot read the configuration") && error.contains("hint:"), "{error}");
    }
}
