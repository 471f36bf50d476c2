//! What receivers will make of our senders: while the relay runs the DNS is asked about each sender domain, and what is wrong
//! with it is logged, once.
//!
//! In: the sender domains with the ways by which their mail leaves, the doctor. Out: log lines. Never: mail that waits for it,
//! or a relay that stops for it.

use std::sync::Arc;
use std::time::Duration;

use config::Config;
use doctor::{Dns, Doctor, DomainName, DomainQuestion, DomainReport, Finding, Forecast, Sending, Warned, Way};
use tokio_util::sync::CancellationToken;

/// So long after the start: a start asks nobody and is never slow.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_secs(6 * 3600);

/// Who knows what the DNS says.
pub(crate) trait Examiner: Send + Sync {
    fn domain(&self, question: &DomainQuestion) -> impl Future<Output = Arc<DomainReport>> + Send;
    fn forecast(&self, sending: &Sending) -> impl Future<Output = Arc<Forecast>> + Send;
}

impl Examiner for Doctor {
    async fn domain(&self, question: &DomainQuestion) -> Arc<DomainReport> {
        self.domain(question).await
    }

    async fn forecast(&self, sending: &Sending) -> Arc<Forecast> {
        self.forecast(sending).await
    }
}

/// See the head of this file.
pub(crate) struct Outlook<E> {
    examiner: E,
    questions: Vec<DomainQuestion>,
    warned: Warned,
}

impl Outlook<Doctor> {
    /// `None`: it is not wanted, there is nothing to look at, or nobody to ask, which is logged.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let questions = questions(config);
        if questions.is_empty() {
            return None;
        }
        match Dns::new(&config.dns.resolver) {
            Ok(dns) => Some(Self { examiner: Doctor::new(dns), questions, warned: Warned::default() }),
            Err(error) => {
                tracing::warn!(
                    %error,
                    hint = "name resolvers: [dns] servers; or write [dns] warn = false",
                    "sender domains are not looked at"
                );
                None
            }
        }
    }
}

fn questions(config: &Config) -> Vec<DomainQuestion> {
    let domains = config.sender_domains.iter().filter(|_| config.dns.warn);
    domains.map(|known| config.question(known.domain.clone())).collect()
}

impl<E: Examiner> Outlook<E> {
    /// Until it is stopped, at once wherever it is.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let looks = async {
            tokio::time::sleep(FIRST_LOOK).await;
            loop {
                self.look().await;
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        };
        stop.run_until_cancelled(looks).await;
    }

    /// One domain after the other: nobody waits for it.
    async fn look(&self) {
        for question in &self.questions {
            let report = self.examiner.domain(question).await;
            self.tell(&question.domain, report.findings());
            for way in &question.ways {
                let forecast = self.examiner.forecast(&sending(&question.domain, way)).await;
                self.tell(&question.domain, &forecast.causes);
            }
        }
    }

    fn tell<'a>(&self, domain: &DomainName, findings: impl IntoIterator<Item = &'a Finding>) {
        for Finding { id, what, remedy, record, .. } in self.warned.news(domain, findings) {
            let record = record.as_ref().map(|record| format!("{} {} {}", record.name, record.kind, record.value));
            let (remedy, record) = (remedy.as_deref().map(one_line), record.as_deref().map(one_line));
            tracing::warn!(%domain, finding = id, remedy, record, "{}", one_line(what));
        }
    }
}

/// Mail as most of it is: author and reverse-path of the same domain.
fn sending(domain: &DomainName, way: &Way) -> Sending {
    Sending { author_domain: domain.clone(), reverse_path_domain: Some(domain.clone()), way: way.clone() }
}

/// Anybody can publish anything: nothing of it makes a line of the log.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use doctor::{Outcome, Record, Severity, Verdict};
    use m365::Cloud;
    use tokio::time::Instant;

    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn finding(severity: Severity, id: &'static str, what: &str) -> Finding {
        let record = Record { name: "contoso.com".to_owned(), kind: "TXT", value: "v=spf1 -all".to_owned() };
        Finding {
            id,
            severity,
            what: what.to_owned(),
            remedy: Some("Publish it.".to_owned()),
            record: Some(record),
            file: None,
        }
    }

    /// Finds one more thing wrong at each look, and writes down when it was asked about what.
    #[derive(Default)]
    struct Fake {
        asked: Arc<Mutex<Vec<(String, Instant)>>>,
    }

    impl Fake {
        fn note(&self, what: String) -> usize {
            let mut asked = self.asked.lock().unwrap();
            asked.push((what.clone(), Instant::now()));
            asked.iter().filter(|(earlier, _)| *earlier == what).count()
        }
    }

    impl Examiner for Fake {
        async fn domain(&self, question: &DomainQuestion) -> Arc<DomainReport> {
            let mut report = DomainReport {
                domain: question.domain.clone(),
                mx: doctor::MxReport::default(),
                spf: doctor::SpfReport::default(),
                dkim: doctor::DkimReport::default(),
                dmarc: doctor::DmarcReport::default(),
                mta_sts: doctor::MtaStsReport::default(),
                dane: doctor::DaneReport::default(),
                ptr: doctor::PtrReport::default(),
            };
            report.spf.findings = vec![finding(Severity::Error, "spf-missing", "no\nrecord")];
            report.mta_sts.findings = vec![finding(Severity::Note, "mta-sts-none", "unremarkable")];
            if self.note(question.domain.to_string()) > 1 {
                report.dmarc.findings = vec![finding(Severity::Warning, "dmarc-missing", "no policy")];
            }
            Arc::new(report)
        }

        async fn forecast(&self, sending: &Sending) -> Arc<Forecast> {
            self.note(format!("{} {:?}", sending.author_domain, sending.way));
            let verdict = || Verdict { result: Outcome::Fail, aligned: false, words: String::new() };
            let causes = vec![
                finding(Severity::Error, "spf-missing", "told already"),
                finding(Severity::Error, "dmarc-fails", "it fails"),
            ];
            Arc::new(Forecast { spf: verdict(), dkim: verdict(), dmarc: verdict(), policy: None, causes })
        }
    }

    const CONFIGURATION: &str = r#"
        hostname = "relay.contoso.test"
        data_dir = "data"
        [[listener]]
        address = "127.0.0.1:0"
        [[tenant]]
        name = "contoso"
        id = "contoso.test"
        domains = ["contoso.test", "fabrikam.test"]
        path = [{ kind = "smarthost", address = "192.0.2.1", tls = "none" }]
        "#;

    fn configured(dns: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("posthouse.toml");
        std::fs::write(&file, format!("{CONFIGURATION}[dns]\n{dns}")).unwrap();
        config::load(&file).unwrap()
    }

    /// The log as text.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn all(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    fn log_to(lines: &Lines) -> tracing::subscriber::DefaultGuard {
        let lines = lines.clone();
        let format = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
        tracing::subscriber::set_default(format.with_writer(move || lines.clone()).finish())
    }

    fn outlook(ways: &[Way]) -> Outlook<Fake> {
        let question = |domain: &str| DomainQuestion {
            ways: ways.to_vec(),
            ..DomainQuestion::new(name(domain), Cloud::Worldwide, "relay.contoso.com")
        };
        let questions = ["contoso.com", "fabrikam.com"].map(question).into();
        Outlook { examiner: Fake::default(), questions, warned: Warned::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn each_domain_is_looked_at_a_minute_after_the_start_and_then_every_six_hours() {
        let outlook = outlook(&[]);
        let (asked, stop, start) = (Arc::clone(&outlook.examiner.asked), CancellationToken::new(), Instant::now());
        let running = tokio::spawn(outlook.run(stop.clone()));
        tokio::time::sleep(FIRST_LOOK + 2 * BETWEEN_LOOKS + Duration::from_secs(1)).await;
        stop.cancel();
        running.await.unwrap();
        let asked: Vec<_> =
            asked.lock().unwrap().iter().map(|(what, at)| (what.clone(), (*at - start).as_secs())).collect();
        let expected =
            [60, 60 + 21_600, 60 + 43_200].map(|at| ["contoso.com", "fabrikam.com"].map(|d| (d.to_owned(), at)));
        assert_eq!(asked, expected.concat());
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_before_the_first_look_too() {
        let outlook = outlook(&[]);
        let (asked, stop, start) = (Arc::clone(&outlook.examiner.asked), CancellationToken::new(), Instant::now());
        stop.cancel();
        outlook.run(stop).await;
        assert_eq!((asked.lock().unwrap().len(), Instant::now()), (0, start));
    }

    #[tokio::test]
    async fn what_is_at_least_a_warning_is_logged_once_for_each_domain_in_one_line() {
        let lines = Lines::default();
        let _guard = log_to(&lines);
        let mut outlook = outlook(&[Way::ExchangeOnline(Cloud::Worldwide), Way::ExchangeOnline(Cloud::Dod)]);
        outlook.questions.truncate(1);
        let tail = "domain=contoso.com finding=\"ID\" remedy=\"Publish it.\" record=\"contoso.com TXT v=spf1 -all\"";
        let line = |what: &str, id: &str| format!(" WARN {what} {}", tail.replace("ID", id));
        let mut expected = vec![line("no\u{fffd}record", "spf-missing"), line("it fails", "dmarc-fails")];
        outlook.look().await;
        assert_eq!(lines.all(), expected);
        outlook.look().await;
        expected.push(line("no policy", "dmarc-missing"));
        assert_eq!(lines.all(), expected);
        outlook.look().await;
        assert_eq!(lines.all(), expected);
    }

    #[tokio::test]
    async fn the_doctor_is_asked_about_all_sender_domains_unless_that_is_not_wanted() {
        let zone = "contoso.test TXT v=spf1 ip4:192.0.2.1 -all\nfabrikam.test TXT v=spf1 +all\n\
                    _dmarc.contoso.test TXT v=DMARC1; p=reject; rua=mailto:d@contoso.test";
        let server = crate::dns_server::Server::start(zone).await;
        let servers = format!("servers = [\"{}\"]\ntimeout = \"20s\"\n", server.address);
        assert!(Outlook::new(&configured(&format!("{servers}warn = false"))).is_none());
        let lines = Lines::default();
        let _guard = log_to(&lines);
        Outlook::new(&configured(&servers)).unwrap().look().await;
        let lines = lines.all();
        let about = |domain: &str| lines.iter().filter(|line| line.contains(&format!("domain={domain} "))).count();
        assert!(
            about("fabrikam.test") > 0 && about("contoso.test") + about("fabrikam.test") == lines.len(),
            "{lines:#?}"
        );
        let open = lines.iter().find(|line| line.contains("finding=\"spf-")).unwrap();
        assert!(open.contains("domain=fabrikam.test"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("domain=fabrikam.test finding=\"dmarc-missing\"")), "{lines:#?}");
    }
}
