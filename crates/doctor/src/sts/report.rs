//! What is said about a domain's MTA-STS policy, and the file to serve.

use m365::Cloud;

use super::fetch::{FetchError, PolicyAnswer, PolicyFetch};
use super::policy::{Mode, PolicyFacts, covers};
use crate::dns::{Answer, Dns};
use crate::domain::DomainName;
use crate::finding::{File, Finding};
use crate::mx::MxReport;

/// What is served at first: a week, so that a mistake does not last.
const AGE: u32 = 604_800;
/// Shorter than this a policy protects hardly anybody.
const SHORT_AGE: u32 = 86_400;
/// Addresses of the policy host that are tried.
const ADDRESSES: usize = 8;
/// Characters of somebody else's that are repeated.
const SHOWN: usize = 200;

/// The domain whose policy is announced in the DNS, and where its mail arrives.
pub(crate) struct Announced<'a> {
    pub(crate) domain: &'a DomainName,
    pub(crate) mx: &'a MxReport,
}

/// Fetches the file and judges it.
pub(crate) async fn report(
    dns: &Dns,
    fetch: &dyn PolicyFetch,
    announced: &Announced<'_>,
) -> (Option<PolicyFacts>, Vec<Finding>) {
    match fetched(dns, fetch, announced).await {
        Ok(policy) => {
            let findings = announced.judged(&policy);
            (Some(policy), findings)
        }
        Err(finding) => (None, vec![*finding]),
    }
}

async fn fetched(dns: &Dns, fetch: &dyn PolicyFetch, announced: &Announced<'_>) -> Result<PolicyFacts, Box<Finding>> {
    let host = announced.domain.child("mta-sts").map_err(|error| Box::new(announced.trouble(&error.to_string())))?;
    let what = match dns.addresses(&host).await {
        Answer::Found(mut addresses) => {
            addresses.truncate(ADDRESSES);
            return announced.read(fetch.fetch(&host, &addresses).await);
        }
        Answer::NoName => "does not exist",
        Answer::NoData => "has no address",
        Answer::Trouble(trouble) => return Err(Box::new(announced.trouble(&trouble))),
    };
    let what = format!("the DNS announces a policy, but {host}, where senders fetch it, {what}: they go by none");
    let remedy =
        format!("Give {host} an address, and serve this file there over HTTPS; or delete the TXT record at _mta-sts.");
    Err(Box::new(announced.serve(Finding::warning("mta-sts-policy-no-host", what).remedy(remedy))))
}

impl Announced<'_> {
    fn read(&self, answer: Result<PolicyAnswer, FetchError>) -> Result<PolicyFacts, Box<Finding>> {
        let answer = answer.map_err(|error| self.not_fetched(&error))?;
        if let Some(finding) = self.refused(&answer) {
            return Err(Box::new(finding));
        }
        PolicyFacts::parse(&String::from_utf8_lossy(&answer.body)).map_err(|why| {
            let finding = self.warning("mta-sts-policy-syntax", &format!("cannot be read ({})", shown(&why)));
            Box::new(self.serve(finding.remedy(format!("Serve this in its place. {}", self.new_id()))))
        })
    }

    /// What senders do not even read.
    fn refused(&self, answer: &PolicyAnswer) -> Option<Finding> {
        let status = answer.status;
        if (300..400).contains(&status) {
            let to = shown(answer.location.as_deref().unwrap_or("elsewhere"));
            let remedy = "Serve the file at this very address: no redirect is followed (RFC 8461, section 3.3).";
            let finding = self.warning("mta-sts-policy-redirect", &format!("redirects to {to} (status {status})"));
            return Some(self.serve(finding.remedy(remedy)));
        }
        if status != 200 {
            let finding = self.warning("mta-sts-policy-missing", &format!("gives status {status}, not 200"));
            return Some(self.serve(finding.remedy("Serve this file there; or delete the TXT record at _mta-sts.")));
        }
        let kind = answer.content_type.as_deref().unwrap_or_default();
        (!is_plain_text(kind)).then(|| {
            let what = format!("is served as `{}`, not text/plain", shown(kind));
            self.warning("mta-sts-policy-type", &what).remedy("Have the web server say `Content-Type: text/plain`.")
        })
    }

    fn warning(&self, id: &'static str, what: &str) -> Finding {
        Finding::warning(id, format!("{} {what}: senders go by no policy", self.url()))
    }

    fn not_fetched(&self, error: &FetchError) -> Finding {
        let url = self.url();
        match error {
            FetchError::Certificate(_) => {
                let what = format!("{url}: {}; senders go by no policy", shown(&error.to_string()));
                let remedy = format!(
                    "mta-sts.{} needs a certificate of its own name, in date, from a public authority, with the intermediate \
                     certificates. (If a proxy inspects TLS between here and there, look from elsewhere.)",
                    self.domain
                );
                Finding::warning("mta-sts-policy-certificate", what).remedy(remedy)
            }
            FetchError::TooLong => {
                let what = format!("{url} is no policy: {error}; senders give up");
                self.serve(Finding::warning("mta-sts-policy-long", what).remedy("Serve this in its place."))
            }
            FetchError::Unreachable(why) => self.trouble(why),
        }
    }

    /// It may be our own network.
    fn trouble(&self, why: &str) -> Finding {
        let what = format!("{} could not be fetched from here: {}", self.url(), shown(why));
        Finding::note("mta-sts-policy-trouble", what).remedy(
            "Open port 443 from here to there (no proxy is asked), or fetch it from elsewhere. If nobody can, senders go by no \
             policy.",
        )
    }

    fn judged(&self, policy: &PolicyFacts) -> Vec<Finding> {
        let mut findings = vec![self.mode(policy)];
        if policy.mode != Mode::None {
            findings.extend(self.age(policy));
            findings.extend(self.hosts(policy));
        }
        findings
    }

    fn mode(&self, policy: &PolicyFacts) -> Finding {
        let url = self.url();
        match policy.mode {
            Mode::Enforce => Finding::ok("mta-sts-policy-ok", format!("{url} is a policy (enforce)")),
            Mode::Testing => {
                let what = format!("{url} is a policy on trial (testing): senders report, and send all the same");
                let remedy = "Once reports on TLS show no failures, write `mode: enforce`, and a max_age of weeks.";
                let enforced = PolicyFacts { mode: Mode::Enforce, mx: self.patterns(), ..policy.clone() };
                self.file(
                    Finding::note("mta-sts-policy-testing", what).remedy(format!("{remedy} {}", self.new_id())),
                    &enforced,
                )
            }
            Mode::None => {
                let what = format!("{url} says that there is no policy (mode: none)");
                let remedy =
                    "Right on the way out of MTA-STS: after max_age delete record and file. Otherwise serve this.";
                self.serve(Finding::note("mta-sts-policy-off", what).remedy(remedy))
            }
        }
    }

    fn age(&self, policy: &PolicyFacts) -> Option<Finding> {
        (policy.max_age < SHORT_AGE).then(|| {
            let what = format!(
                "senders forget the policy after {} seconds (max_age): it protects hardly anybody",
                policy.max_age
            );
            let longer = PolicyFacts { max_age: AGE, ..policy.clone() };
            let remedy = format!("A week at least, in the end some weeks (RFC 8461, section 3.2). {}", self.new_id());
            self.file(Finding::note("mta-sts-policy-age", what).remedy(remedy), &longer)
        })
    }

    /// Only what is known: where the MX records are not, nothing is said of them.
    fn hosts(&self, policy: &PolicyFacts) -> Vec<Finding> {
        let hosts = self.mx.names();
        if hosts.is_empty() {
            return Vec::new();
        }
        let unlisted: Vec<_> = hosts.iter().filter(|host| !policy.lists(host)).map(DomainName::as_str).collect();
        let unused = policy.mx.iter().filter(|pattern| !hosts.iter().any(|host| covers(pattern, host)));
        let unused: Vec<_> = unused.map(|pattern| shown(pattern)).collect();
        let listed = PolicyFacts { mx: self.patterns(), ..policy.clone() };
        let remedy = format!("Serve this in its place; at a change of MX hosts, the policy first. {}", self.new_id());
        let mut findings = Vec::new();
        if !unlisted.is_empty() {
            let what = format!("the policy does not list the MX hosts {}", unlisted.join(", "));
            let finding = match policy.mode {
                Mode::Enforce => {
                    Finding::error("mta-sts-mx-unlisted", format!("{what}: senders who go by it send nothing there"))
                }
                _ => Finding::warning(
                    "mta-sts-mx-unlisted",
                    format!("{what}: once it is enforced, nothing is sent there"),
                ),
            };
            findings.push(self.file(finding.remedy(remedy), &listed));
        }
        if !unused.is_empty() {
            let what = format!("the policy lists {}, which no MX record names", unused.join(", "));
            findings.push(
                Finding::note("mta-sts-mx-unused", what).remedy("Fine while MX hosts change; otherwise take it out."),
            );
        }
        findings
    }

    fn patterns(&self) -> Vec<String> {
        patterns(self.mx)
    }

    fn url(&self) -> String {
        url(self.domain)
    }

    fn new_id(&self) -> String {
        format!("Then give the TXT record at _mta-sts.{} a new id, or senders do not look.", self.domain)
    }

    /// The file that fits the MX records, on trial.
    fn serve(&self, finding: Finding) -> Finding {
        match proposed(self.domain, self.mx) {
            Some(file) => finding.file(file),
            None => finding,
        }
    }

    fn file(&self, finding: Finding, policy: &PolicyFacts) -> Finding {
        match policy.mx.is_empty() {
            true => finding,
            false => finding.file(File { url: self.url(), text: policy.text() }),
        }
    }
}

fn url(domain: &DomainName) -> String {
    format!("https://mta-sts.{domain}{}", <dyn PolicyFetch>::PATH)
}

/// A policy on trial; `None` where no MX host is known.
pub(crate) fn proposed(domain: &DomainName, mx: &MxReport) -> Option<File> {
    let policy = PolicyFacts { mode: Mode::Testing, max_age: AGE, mx: patterns(mx) };
    (!policy.mx.is_empty()).then(|| File { url: url(domain), text: policy.text() })
}

/// Exchange Online's hosts as Microsoft names them; others by their names.
fn patterns(mx: &MxReport) -> Vec<String> {
    let mut patterns = Vec::new();
    for host in mx.names() {
        let pattern = match host.as_str().split_once('.') {
            Some((_, behind)) if is_microsofts(behind) => format!("*.{behind}"),
            _ => host.to_string(),
        };
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    patterns
}

/// `mail.protection.outlook.com`: one label of the domain's own comes before it. Under `mx.microsoft` there are two.
fn is_microsofts(suffix: &str) -> bool {
    Cloud::ALL.iter().any(|cloud| cloud.mx_suffixes().contains(&suffix))
}

fn is_plain_text(kind: &str) -> bool {
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain")
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
