//! Would SPF, DKIM and DMARC pass for one sender by one way?
//!
//! In: the author's domain, the reverse-path's, the way. Out: a verdict on each, and the causes with their remedies.
//! "Unknown" is said where the DNS makes trouble or where it cannot know; never "pass" on a guess.

use std::net::IpAddr;

use m365::Cloud;
use serde::Serialize;

use crate::dkim::{self, KeyState};
use crate::dmarc::{self, Strictness, Tree};
use crate::dns::Dns;
use crate::doctor::{Signature, Way};
use crate::domain::DomainName;
use crate::finding::{Finding, Severity};
use crate::spf::{self, AddressResult, Walk, Wanted};

/// A message to come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sending {
    /// Of the address in `From:`.
    pub author_domain: DomainName,
    /// `None`: the null reverse-path.
    pub reverse_path_domain: Option<DomainName>,
    /// How it leaves.
    pub way: Way,
}

/// What receivers will conclude.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Of the reverse-path's domain.
    pub spf: Verdict,
    /// Of the signature that counts: an aligned one, if there is one.
    pub dkim: Verdict,
    /// Passes if one of the others passes and is aligned.
    pub dmarc: Verdict,
    /// What receivers are asked to do with mail that fails: `none`, `quarantine`, `reject`.
    pub policy: Option<String>,
    /// Why something does not pass, or is not known.
    pub causes: Vec<Finding>,
}

/// On one of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The result.
    pub result: Outcome,
    /// Whether what was checked is aligned with the author's domain. Of DMARC: whether anything is that passes.
    pub aligned: bool,
    /// Why, in one sentence.
    pub words: String,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It passes.
    Pass,
    /// It fails, softly or not.
    Fail,
    /// There is nothing that could pass or fail.
    None,
    /// It cannot be told.
    Unknown,
}

impl Verdict {
    fn new(result: Outcome, aligned: bool, words: impl Into<String>) -> Self {
        Self { result, aligned, words: words.into() }
    }

    fn counts(&self) -> bool {
        self.result == Outcome::Pass && self.aligned
    }

    fn might_count(&self) -> bool {
        self.result == Outcome::Unknown && self.aligned
    }
}

pub(crate) async fn forecast(dns: &Dns, sending: &Sending) -> Forecast {
    let author = dmarc::tree(dns, &sending.author_domain).await;
    let mut causes = Vec::new();
    let spf = spf_verdict(dns, sending, &author, &mut causes).await;
    let dkim = dkim_verdict(dns, sending, &author, &mut causes).await;
    let dmarc = dmarc_verdict(sending, &author, &spf, &dkim, &mut causes);
    Forecast { spf, dkim, dmarc, policy: author.disposition().map(|policy| policy.to_string()), causes }
}

async fn is_aligned(dns: &Dns, author: &Tree, sending: &Sending, other: &DomainName, strictness: Strictness) -> bool {
    *other == sending.author_domain
        || (strictness == Strictness::Relaxed && author.aligned(&dmarc::tree(dns, other).await, strictness))
}

async fn spf_verdict(dns: &Dns, sending: &Sending, author: &Tree, causes: &mut Vec<Finding>) -> Verdict {
    let Some(domain) = &sending.reverse_path_domain else {
        return Verdict::new(
            Outcome::None,
            false,
            "the reverse-path is null: receivers check the name in EHLO, which helps no author's domain",
        );
    };
    let strictness = author.policy().map_or(Strictness::Relaxed, |(_, policy)| policy.aspf);
    let aligned = is_aligned(dns, author, sending, domain, strictness).await;
    let walk = spf::walk(dns, domain).await;
    let wanted = wanted(&sending.way);
    let (result, words) = match &sending.way {
        Way::ExchangeOnline(cloud) => by_include(dns, domain, &walk, *cloud).await,
        Way::Direct { address: Some(address), .. } => by_address(dns, domain, &walk, *address).await,
        Way::Direct { address: None, .. } => {
            (Outcome::Unknown, "the address that receivers will see is not known".to_owned())
        }
    };
    if result != Outcome::Pass {
        causes.extend(spf::causes(dns, domain, &walk, &wanted).await);
    }
    let words =
        if aligned { words } else { format!("{words}; but {domain} is not aligned with {}", sending.author_domain) };
    Verdict::new(result, aligned, words)
}

fn wanted(way: &Way) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.add(way);
    wanted
}

async fn by_include(dns: &Dns, domain: &DomainName, walk: &Walk, cloud: Cloud) -> (Outcome, String) {
    let include = cloud.spf_include();
    match walk.reaches(include) {
        Some(reached) if reached.after_trouble => {
            (Outcome::Unknown, format!("SPF of {domain} could not be looked up as far as include:{include}"))
        }
        Some(reached) if reached.in_time && !walk.own_record_is_broken(domain) => {
            (Outcome::Pass, format!("SPF of {domain} includes {include}"))
        }
        Some(_) => (Outcome::Fail, format!("receivers give up on SPF of {domain} before include:{include}")),
        None if walk.trouble.is_some() => (Outcome::Unknown, format!("SPF of {domain} could not be looked up")),
        None if walk.record.is_none() => (Outcome::None, format!("{domain} has no SPF record")),
        None => match spf::passes_as_copied(dns, domain, include).await {
            Some(true) => (Outcome::Pass, format!("SPF of {domain} allows the networks of {include}")),
            Some(false) if !walk.macros => (Outcome::Fail, format!("SPF of {domain} does not include {include}")),
            _ => (Outcome::Unknown, format!("whether SPF of {domain} allows {include} differs, or is not known")),
        },
    }
}

async fn by_address(dns: &Dns, domain: &DomainName, walk: &Walk, address: IpAddr) -> (Outcome, String) {
    if walk.own_record_is_broken(domain) {
        return (Outcome::Fail, format!("SPF of {domain} is broken"));
    }
    match spf::evaluate(dns, domain, address).await {
        AddressResult::Pass => (Outcome::Pass, format!("SPF of {domain} allows {address}")),
        AddressResult::Fail => (Outcome::Fail, format!("SPF of {domain} forbids {address}")),
        AddressResult::SoftFail => (Outcome::Fail, format!("SPF of {domain} does not allow {address} (soft fail)")),
        AddressResult::Neutral => (Outcome::Fail, format!("SPF of {domain} says nothing of {address}")),
        AddressResult::PermError => (Outcome::Fail, format!("SPF of {domain} is broken")),
        AddressResult::Unknown => (Outcome::Unknown, format!("SPF of {domain} could not be looked up")),
        AddressResult::None if walk.trouble.is_some() => {
            (Outcome::Unknown, format!("SPF of {domain} could not be looked up"))
        }
        AddressResult::None => (Outcome::None, format!("{domain} has no SPF record")),
    }
}

async fn dkim_verdict(dns: &Dns, sending: &Sending, author: &Tree, causes: &mut Vec<Finding>) -> Verdict {
    match &sending.way {
        Way::ExchangeOnline(_) => microsofts_signature(dns, &sending.author_domain, causes).await,
        Way::Direct { signs, .. } => own_signatures(dns, sending, author, signs, causes).await,
    }
}

/// Exchange Online signs as the author's domain, or else as the tenant's initial domain, which is never aligned with it.
async fn microsofts_signature(dns: &Dns, domain: &DomainName, causes: &mut Vec<Finding>) -> Verdict {
    if dkim::is_initial_domain(domain) {
        return Verdict::new(
            Outcome::Pass,
            true,
            format!("Exchange Online signs as {domain}, an initial domain, by itself"),
        );
    }
    let selectors = dkim::microsoft_selectors(dns, domain).await;
    if selectors.iter().any(|facts| facts.is_ready(domain)) {
        let words = format!("Exchange Online's keys for {domain} are published; it signs so if signing is switched on");
        return Verdict::new(Outcome::Pass, true, words);
    }
    let expected = dkim::Expected { microsoft: true, initial_domain: None, own: &[] };
    causes.extend(dkim::microsoft_findings(domain, &selectors, &expected));
    if selectors.iter().any(|facts| matches!(facts.key, KeyState::Unknown(_))) {
        return Verdict::new(Outcome::Unknown, true, format!("the keys of {domain} could not be looked up"));
    }
    let words = format!("Exchange Online has no keys for {domain}: it signs as the tenant's initial domain");
    Verdict::new(Outcome::Pass, false, words)
}

async fn own_signatures(
    dns: &Dns,
    sending: &Sending,
    author: &Tree,
    signs: &[Signature],
    causes: &mut Vec<Finding>,
) -> Verdict {
    let strictness = author.policy().map_or(Strictness::Relaxed, |(_, policy)| policy.adkim);
    let mut best = Verdict::new(Outcome::None, false, "the relay does not sign this mail");
    if signs.is_empty() {
        causes.push(
            Finding::note(
                "dkim-unsigned",
                "the relay does not sign this mail, and on this way nobody else does for certain",
            )
            .remedy("Have the relay sign with DKIM as the author's domain: SPF alone does not survive forwarding."),
        );
    }
    for signature in signs {
        let aligned = is_aligned(dns, author, sending, &signature.domain, strictness).await;
        let verdict = own_signature(dns, signature, aligned, causes).await;
        if verdict.rank() > best.rank() {
            best = verdict;
        }
    }
    best
}

impl Verdict {
    /// What is aligned counts more than what passes.
    fn rank(&self) -> (bool, u8) {
        let result = match self.result {
            Outcome::Pass => 3,
            Outcome::Unknown => 2,
            Outcome::Fail => 1,
            Outcome::None => 0,
        };
        (self.aligned, result)
    }
}

async fn own_signature(dns: &Dns, signature: &Signature, aligned: bool, causes: &mut Vec<Finding>) -> Verdict {
    let (domain, own) = (&signature.domain, &signature.selector);
    let facts = dkim::facts(dns, domain, &own.selector).await;
    let finding = dkim::own_finding(domain, own, &facts);
    let (result, words) = match (&facts.key, finding.severity) {
        (KeyState::Present, Severity::Ok | Severity::Note) => {
            (Outcome::Pass, format!("the relay signs as {domain}, and its key is published"))
        }
        (KeyState::Unknown(_), _) => (Outcome::Unknown, format!("the key of {domain} could not be looked up")),
        _ => (Outcome::Fail, format!("the relay signs as {domain}, but {}", finding.what)),
    };
    if result != Outcome::Pass {
        causes.push(finding);
    }
    Verdict::new(result, aligned, words)
}

fn dmarc_verdict(
    sending: &Sending,
    author: &Tree,
    spf: &Verdict,
    dkim: &Verdict,
    causes: &mut Vec<Finding>,
) -> Verdict {
    let domain = &sending.author_domain;
    let aligned = spf.counts() || dkim.counts();
    if aligned {
        let by = match (spf.counts(), dkim.counts()) {
            (true, true) => "SPF and DKIM pass, aligned",
            (true, false) => "SPF passes, aligned; once somebody forwards it, it fails",
            _ => "DKIM passes, aligned",
        };
        return match author.policy() {
            Some(_) => Verdict::new(Outcome::Pass, true, by),
            None if author.trouble.is_some() => {
                causes.extend(dmarc::trouble(author));
                Verdict::new(Outcome::Unknown, true, format!("{by}, but the policy of {domain} could not be looked up"))
            }
            None => {
                causes.extend(dmarc::findings(domain, author));
                Verdict::new(Outcome::None, true, format!("{by}, but {domain} has no DMARC policy that says so"))
            }
        };
    }
    if spf.might_count() || dkim.might_count() || author.trouble.is_some() {
        causes.extend(dmarc::trouble(author));
        return Verdict::new(Outcome::Unknown, false, "it depends on what could not be found out");
    }
    match author.disposition() {
        Some(policy) => {
            causes.push(failing(domain, policy));
            Verdict::new(
                Outcome::Fail,
                false,
                format!("nothing that passes is aligned with {domain}; its policy is {policy}"),
            )
        }
        None => {
            causes.extend(dmarc::findings(domain, author));
            Verdict::new(
                Outcome::None,
                false,
                format!("{domain} has no DMARC policy, and nothing that passes is aligned"),
            )
        }
    }
}

fn failing(domain: &DomainName, policy: dmarc::Disposition) -> Finding {
    let remedy = "Make SPF or DKIM pass for the author's own domain: the other causes say how. DKIM is the better one: it \
                  survives forwarding.";
    match policy {
        dmarc::Disposition::None => Finding::warning(
            "dmarc-fails",
            format!("mail from {domain} fails DMARC; its policy (none) asks for nothing"),
        ),
        dmarc::Disposition::Quarantine => {
            Finding::error("dmarc-fails", format!("mail from {domain} fails DMARC and goes to junk (p=quarantine)"))
        }
        dmarc::Disposition::Reject => {
            Finding::error("dmarc-fails", format!("mail from {domain} fails DMARC and is refused (p=reject)"))
        }
    }
    .remedy(remedy)
}
