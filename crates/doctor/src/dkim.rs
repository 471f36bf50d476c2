//! DKIM: Exchange Online's two selectors, and the relay's own.
//!
//! In: a domain, what is expected. Out: each selector's state and what to do. RFC 6376, sections 3.6.1 and 3.6.2; "Use DKIM for
//! email in your custom domain" (Microsoft). That signing is switched on in the tenant does not stand in the DNS; only
//! whether it could be.

use m365::{Cloud, DKIM_SELECTORS, DKIM_SUFFIX_SINCE_2025};
use serde::Serialize;

use crate::dns::{Answer, Dns};
use crate::doctor::{OwnSelector, Signature};
use crate::domain::DomainName;
use crate::finding::Finding;
use crate::tags::Tags;

/// Aliases that are followed to one of Microsoft's names.
const ALIASES: usize = 5;

/// The selectors of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DkimReport {
    /// Microsoft's two, then the relay's own.
    pub selectors: Vec<SelectorFacts>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

/// What stands at one selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelectorFacts {
    /// `selector1`.
    pub selector: String,
    /// Where its CNAME points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<DomainName>,
    /// Whose name that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<TargetForm>,
    /// What is found at the end of it.
    pub key: KeyState,
    /// The key itself: `p=`, without blanks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// All of the record.
    #[serde(skip)]
    pub(crate) text: Option<String>,
}

/// Whose name a selector's CNAME points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetForm {
    /// `selector1-contoso-com._domainkey.contoso.onmicrosoft.com`, or its like in another cloud.
    InitialDomain,
    /// `selector1-contoso-com._domainkey.contoso.<letter>-v1.dkim.mail.microsoft`: domains added since May 2025.
    DkimMailMicrosoft,
    /// Neither.
    Elsewhere,
}

/// The key at a selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// A public key.
    Present,
    /// There is nothing.
    Missing,
    /// `p=` is empty: the key is withdrawn.
    Revoked,
    /// It cannot be read; why.
    Broken(String),
    /// More than one record: receivers may take any of them.
    Several,
    /// The DNS made trouble.
    Unknown(String),
}

impl SelectorFacts {
    /// Whether receivers find a key here.
    pub fn is_good(&self) -> bool {
        self.key == KeyState::Present
    }

    pub(crate) fn is_microsofts(&self) -> bool {
        matches!(self.form, Some(TargetForm::InitialDomain | TargetForm::DkimMailMicrosoft))
    }

    /// Where Exchange Online looks for its key: both forms begin with selector and domain. The target as it should be, if it is
    /// another one of Microsoft's. How it writes the names of international domains is not known.
    fn other_target(&self, domain: &DomainName) -> Option<String> {
        let target = self.target.as_ref().filter(|_| self.is_microsofts() && !domain.as_str().contains("xn--"))?;
        let begin = format!("{}-{}._domainkey.", self.selector, domain.as_str().replace('.', "-"));
        let rest = target.as_str().split_once("._domainkey.").map(|(_, rest)| rest);
        let right = |rest: &str| format!("{begin}{rest}");
        (!target.as_str().starts_with(&begin)).then(|| rest.map(right).unwrap_or_else(|| right("<initial domain>")))
    }

    /// Whether Exchange Online can sign with it.
    pub(crate) fn is_ready(&self, domain: &DomainName) -> bool {
        self.is_good() && self.is_microsofts() && self.other_target(domain).is_none()
    }
}

/// Whether Exchange Online signs for the domain matters only where it sends.
pub(crate) struct Expected<'a> {
    pub(crate) microsoft: bool,
    pub(crate) initial_domain: Option<&'a DomainName>,
    pub(crate) own: &'a [Signature],
}

pub(crate) async fn report(dns: &Dns, domain: &DomainName, expected: &Expected<'_>) -> DkimReport {
    let mut report = DkimReport::default();
    let microsofts = microsoft_selectors(dns, domain).await;
    report.findings = microsoft_findings(domain, &microsofts, expected);
    report.selectors = microsofts.into();
    for Signature { domain: signer, selector: own } in expected.own {
        let facts = facts(dns, signer, &own.selector).await;
        report.findings.push(own_finding(signer, own, &facts));
        if signer == domain {
            report.selectors.push(facts);
        }
    }
    report
}

/// Both, at once.
pub(crate) async fn microsoft_selectors(dns: &Dns, domain: &DomainName) -> [SelectorFacts; 2] {
    let [one, two] = DKIM_SELECTORS;
    tokio::join!(facts(dns, domain, one), facts(dns, domain, two)).into()
}

/// `contoso.onmicrosoft.com`, or its like in another cloud: Exchange Online signs for it by itself, and its DNS is Microsoft's.
pub(crate) fn is_initial_domain(domain: &DomainName) -> bool {
    Cloud::ALL.iter().any(|cloud| {
        let suffix = cloud.initial_domain_suffix();
        domain.is_in(suffix) && domain.labels() == suffix.split('.').count() + 1
    })
}

/// `<selector>._domainkey.<domain>`.
fn owner(domain: &DomainName, selector: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

pub(crate) async fn facts(dns: &Dns, domain: &DomainName, selector: &str) -> SelectorFacts {
    let mut facts = SelectorFacts {
        selector: selector.to_owned(),
        target: None,
        form: None,
        key: KeyState::Missing,
        public_key: None,
        text: None,
    };
    let Ok(name) = DomainName::parse(&owner(domain, selector)) else {
        facts.key = KeyState::Broken("the selector makes no valid name".to_owned());
        return facts;
    };
    facts.target = match dns.alias(&name).await {
        Answer::Found(target) => Some(target),
        Answer::NoName => return facts,
        Answer::NoData => None,
        Answer::Trouble(trouble) => {
            facts.key = KeyState::Unknown(trouble);
            return facts;
        }
    };
    facts.form = facts.target.as_ref().map(form);
    if facts.form == Some(TargetForm::Elsewhere)
        && let Some(target) = microsofts_name_behind(dns, facts.target.as_ref()).await
    {
        facts.form = Some(form(&target));
        facts.target = Some(target);
    }
    match dns.text(&name).await.known() {
        Ok(texts) => {
            let texts = texts.unwrap_or_default();
            facts.key = key(&texts);
            facts.text = texts.into_iter().next().filter(|_| facts.is_good());
            facts.public_key = facts.text.as_deref().and_then(public_key);
        }
        Err(trouble) => facts.key = KeyState::Unknown(trouble),
    }
    facts
}

/// An alias may lead to another one of the domain's own, and only that to Microsoft.
async fn microsofts_name_behind(dns: &Dns, target: Option<&DomainName>) -> Option<DomainName> {
    let mut name = target.cloned()?;
    for _ in 1..ALIASES {
        let Answer::Found(next) = dns.alias(&name).await else { return None };
        if form(&next) != TargetForm::Elsewhere {
            return Some(next);
        }
        name = next;
    }
    None
}

fn form(target: &DomainName) -> TargetForm {
    if target.is_in(DKIM_SUFFIX_SINCE_2025) {
        TargetForm::DkimMailMicrosoft
    } else if Cloud::ALL.iter().any(|cloud| target.is_in(cloud.initial_domain_suffix())) {
        TargetForm::InitialDomain
    } else {
        TargetForm::Elsewhere
    }
}

/// RFC 6376 §3.6.1: `v=`, if there, is first and is DKIM1; `p=` must be there, and is empty when the key is revoked.
fn key(texts: &[String]) -> KeyState {
    let text = match texts {
        [] => return KeyState::Missing,
        [text] => text,
        _ => return KeyState::Several,
    };
    let tags = match Tags::parse(text) {
        Ok(tags) => tags,
        Err(part) => return KeyState::Broken(format!("`{part}` is no tag")),
    };
    if tags.value("v").is_some() && tags.first() != Some(("v", "DKIM1")) {
        return KeyState::Broken("its first tag is not v=DKIM1".to_owned());
    }
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/= \t".contains(&b);
    match tags.value("p") {
        None => KeyState::Broken("there is no p= in it".to_owned()),
        Some("") => KeyState::Revoked,
        Some(key) if !key.bytes().all(base64) => KeyState::Broken("p= is no base64".to_owned()),
        Some(_) => KeyState::Present,
    }
}

const ASK_THE_TENANT: &str = "In Exchange Online PowerShell, `Get-DkimSigningConfig -Identity DOMAIN | fl Selector1CNAME,Selector2CNAME` \
     shows both targets (if there is none yet: `New-DkimSigningConfig -DomainName DOMAIN -Enabled $false`). Publish both as \
     CNAME, then `Set-DkimSigningConfig -Identity DOMAIN -Enabled $true`.";

fn ask_the_tenant(domain: &DomainName) -> String {
    ASK_THE_TENANT.replace("DOMAIN", domain.as_str())
}

pub(crate) fn microsoft_findings(
    domain: &DomainName,
    selectors: &[SelectorFacts; 2],
    expected: &Expected<'_>,
) -> Vec<Finding> {
    let nothing = |facts: &SelectorFacts| facts.key == KeyState::Missing && facts.target.is_none();
    if selectors.iter().all(nothing) && is_initial_domain(domain) {
        let what = "an initial domain: Exchange Online signs as it by itself, with selectors of its own";
        return vec![Finding::ok("dkim-initial-domain", what)];
    }
    if selectors.iter().all(nothing) {
        let missing = match expected.microsoft {
            true => Finding::warning(
                "dkim-missing",
                format!(
                    "neither selector1 nor selector2 exists: Exchange Online signs as the tenant's initial domain, and \
                     DMARC of {domain} cannot pass by DKIM"
                ),
            ),
            false => Finding::note("dkim-missing", "Exchange Online's selector1 and selector2 do not exist"),
        };
        return vec![proposed(missing.remedy(ask_the_tenant(domain)), domain, "selector1", expected)];
    }
    let mut findings: Vec<_> =
        selectors.iter().filter_map(|facts| microsoft_finding(domain, facts, expected)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(
            "dkim-ok",
            "both selectors lead to keys of Exchange Online (whether signing is switched on does not stand in the DNS)",
        ));
    }
    findings
}

/// The older form can be told beforehand; the newer has a letter that only the tenant knows.
fn proposed(finding: Finding, domain: &DomainName, selector: &str, expected: &Expected<'_>) -> Finding {
    let Some(initial) = expected.initial_domain else { return finding };
    let target = format!("{selector}-{}._domainkey.{initial}", domain.as_str().replace('.', "-"));
    let remedy = finding.remedy.clone().unwrap_or_default();
    finding.remedy(format!("{remedy} The record below (and, where both are missing, the same with selector2) is what it is for domains added before May 2025.")).record(
        owner(domain, selector),
        "CNAME",
        target,
    )
}

fn microsoft_finding(domain: &DomainName, facts: &SelectorFacts, expected: &Expected<'_>) -> Option<Finding> {
    let name = owner(domain, &facts.selector);
    let finding = match (&facts.key, &facts.target) {
        (KeyState::Unknown(trouble), _) => Finding::trouble("dkim-trouble", &name, trouble),
        (_, Some(target)) if facts.other_target(domain).is_some() => {
            let what = format!(
                "{name} points to {target}, which is not the name for this selector of this domain: what Exchange Online signs cannot be verified"
            );
            Finding::warning("dkim-other-target", what)
                .remedy(format!("Put this one in its place. {}", ask_the_tenant(domain)))
                .record(&name, "CNAME", facts.other_target(domain).unwrap_or_default())
        }
        (KeyState::Missing, None) => {
            let what =
                format!("{name} does not exist: when Microsoft next changes keys, signing goes over to it and fails");
            let finding = Finding::warning("dkim-selector-missing", what).remedy(ask_the_tenant(domain));
            proposed(finding, domain, &facts.selector, expected)
        }
        (KeyState::Missing, Some(target)) if facts.is_microsofts() => {
            let what =
                format!("{name} points to {target}, as it should, but there is no key: signing is not switched on");
            let remedy = format!(
                "`Set-DkimSigningConfig -Identity {domain} -Enabled $true` in Exchange Online PowerShell. If it is on: \
                 compare the target with `Get-DkimSigningConfig -Identity {domain} | fl Selector1CNAME,Selector2CNAME`."
            );
            Finding::warning("dkim-no-key", what).remedy(remedy)
        }
        (KeyState::Missing, Some(target)) => {
            let what = format!("{name} points to {target}, where there is no key");
            Finding::warning("dkim-broken-target", what).remedy(ask_the_tenant(domain))
        }
        (KeyState::Revoked, _) => {
            let what = format!("the key at {name} is withdrawn (p= is empty)");
            let remedy = format!("`Rotate-DkimSigningConfig -Identity {domain}` makes new keys.");
            Finding::warning("dkim-revoked", what).remedy(remedy)
        }
        (KeyState::Broken(why), _) => {
            Finding::warning("dkim-broken-key", format!("the key at {name} cannot be read: {why}"))
                .remedy(ask_the_tenant(domain))
        }
        (KeyState::Several, _) => Finding::warning("dkim-several", format!("{name} has more than one TXT record"))
            .remedy(ask_the_tenant(domain)),
        (KeyState::Present, _) if facts.is_microsofts() => return None,
        (KeyState::Present, Some(target)) => Finding::note(
            "dkim-elsewhere",
            format!(
                "{name} points to {target}, which is none of Microsoft's names: Exchange Online does not sign with it"
            ),
        ),
        (KeyState::Present, None) => Finding::note(
            "dkim-no-alias",
            format!(
                "{name} holds a key itself, in place of a CNAME to Microsoft: Exchange Online does not sign with it"
            ),
        ),
    };
    Some(match expected.microsoft {
        true => finding,
        false => Finding { severity: finding.severity.min(crate::Severity::Note), ..finding },
    })
}

pub(crate) fn own_finding(domain: &DomainName, own: &OwnSelector, facts: &SelectorFacts) -> Finding {
    let name = owner(domain, &own.selector);
    let publish = |finding: Finding| {
        let finding =
            finding.remedy("Publish this TXT record; until then receivers cannot verify what the relay signs.");
        match &own.value {
            Some(value) => finding.record(&name, "TXT", value),
            None => finding,
        }
    };
    match &facts.key {
        KeyState::Unknown(trouble) => Finding::trouble("dkim-own-trouble", &name, trouble),
        KeyState::Missing => {
            publish(Finding::error("dkim-own-missing", format!("the relay signs, but {name} has no key")))
        }
        KeyState::Revoked => publish(Finding::error("dkim-own-revoked", format!("the key at {name} is withdrawn"))),
        KeyState::Broken(why) => {
            publish(Finding::error("dkim-own-broken", format!("the key at {name} cannot be read: {why}")))
        }
        KeyState::Several => {
            publish(Finding::error("dkim-own-several", format!("{name} has more than one TXT record; one must remain")))
        }
        KeyState::Present if differs(own, facts) => publish(Finding::error(
            "dkim-own-differs",
            format!("the key at {name} is not the one that the relay signs with"),
        )),
        KeyState::Present => match use_of(own, facts) {
            Err(why) => {
                publish(Finding::error("dkim-own-unusable", format!("{name} holds the relay's key, but {why}")))
            }
            Ok(true) => Finding::note(
                "dkim-own-testing",
                format!("{name} says t=y: receivers may take signed mail for unsigned"),
            )
            .remedy("Publish it without t=y once mail arrives as it should."),
            Ok(false) => Finding::ok("dkim-own-ok", format!("{name} holds the relay's key")),
        },
    }
}

/// What else the record says (RFC 6376, section 3.6.1): why signatures of ours do not verify, or whether it is for tests.
fn use_of(own: &OwnSelector, facts: &SelectorFacts) -> Result<bool, String> {
    let tags = Tags::parse(facts.text.as_deref().unwrap_or_default())?;
    let kind = |tags: &Tags| tags.value("k").unwrap_or("rsa").to_owned();
    let allows = |name: &str, any: &[&str]| {
        tags.value(name).is_none_or(|list| list.split(':').any(|item| any.contains(&item.trim())))
    };
    if let Some(ours) = own.value.as_deref().and_then(|value| Tags::parse(value).ok())
        && kind(&ours) != kind(&tags)
    {
        return Err(format!("says that it is of the type {}, not {}", kind(&tags), kind(&ours)));
    }
    if !allows("h", &["sha256"]) {
        return Err("does not allow SHA-256 (h=)".to_owned());
    }
    if !allows("s", &["*", "email"]) {
        return Err("is not for mail (s=)".to_owned());
    }
    Ok(tags.value("t").is_some_and(|flags| flags.split(':').any(|flag| flag.trim() == "y")))
}

/// Only the key counts: tags and blanks may differ.
fn differs(own: &OwnSelector, facts: &SelectorFacts) -> bool {
    let expected = own.value.as_deref().and_then(public_key);
    expected.is_some() && expected != facts.public_key
}

fn public_key(text: &str) -> Option<String> {
    let tags = Tags::parse(text).ok()?;
    tags.value("p").map(|key| key.split_ascii_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_what_is_none() {
        let broken = |why: &str| KeyState::Broken(why.to_owned());
        for (text, state) in [
            ("v=DKIM1; k=rsa; p=MIGf MA0=", KeyState::Present),
            ("p=MIGf", KeyState::Present),
            ("v=DKIM1; p=", KeyState::Revoked),
            ("v=DKIM1; k=rsa", broken("there is no p= in it")),
            ("p=MIGf; v=DKIM1", broken("its first tag is not v=DKIM1")),
            ("v=DKIM2; p=MIGf", broken("its first tag is not v=DKIM1")),
            ("v=DKIM1; p=MI§f", broken("p= is no base64")),
            ("v=DKIM1; p", broken("`p` is no tag")),
        ] {
            assert_eq!(key(&[text.to_owned()]), state, "{text}");
        }
        assert_eq!(key(&[]), KeyState::Missing);
        assert_eq!(key(&["p=a".to_owned(), "p=b".to_owned()]), KeyState::Several);
    }

    #[test]
    fn both_of_microsofts_forms_are_known_in_each_cloud() {
        for (target, expected) in [
            ("selector1-contoso-com._domainkey.contoso.onmicrosoft.com", TargetForm::InitialDomain),
            ("selector1-contoso-com._domainkey.contoso.onmicrosoft.us", TargetForm::InitialDomain),
            ("selector1-contoso-com._domainkey.contoso.partner.onmschina.cn", TargetForm::InitialDomain),
            ("selector2-contoso-com._domainkey.contoso.n-v1.dkim.mail.microsoft", TargetForm::DkimMailMicrosoft),
            ("s1.notonmicrosoft.com", TargetForm::Elsewhere),
            ("s1.domainkey.u1.wl.sendgrid.net", TargetForm::Elsewhere),
        ] {
            assert_eq!(form(&DomainName::parse(target).unwrap()), expected, "{target}");
        }
    }
}
