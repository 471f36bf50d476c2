//! The DNS tree walk: from a domain upwards, at each step the record at `_dmarc`. RFC 9989, section 4.10.
//!
//! In: a domain. Out: whose domain it is part of, and the policy that holds for it. At most eight questions.

use super::record::{Disposition, Policy, Strictness, is_dmarc, is_meant};
use crate::dns::Dns;
use crate::domain::DomainName;

/// Longer names are cut to so many labels after the first question.
const LABELS: usize = 7;

/// What was found on the way up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    domain: DomainName,
    /// From the domain upwards.
    found: Vec<(DomainName, Policy)>,
    /// Records that receivers do not take, and why.
    pub(crate) bad: Vec<(DomainName, Bad)>,
    /// The first question that got no answer, and why. Whatever else was found may then be wrong.
    pub(crate) trouble: Option<(DomainName, String)>,
}

/// Why a record counts as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    Several(usize),
    Broken { text: String, why: String },
}

/// Asks its way up.
pub(crate) async fn tree(dns: &Dns, domain: &DomainName) -> Tree {
    let mut tree = Tree { domain: domain.clone(), found: Vec::new(), bad: Vec::new(), trouble: None };
    for step in steps(domain) {
        let Ok(name) = step.child("_dmarc") else { continue };
        match dns.text(&name).await.known() {
            Err(trouble) => {
                tree.trouble.get_or_insert((name, trouble));
            }
            Ok(texts) => tree.note(step, texts.unwrap_or_default()),
        }
        if tree.is_at_its_end() {
            break;
        }
    }
    tree
}

fn steps(domain: &DomainName) -> impl Iterator<Item = DomainName> {
    let labels = domain.labels();
    let above = (1..labels.min(LABELS + 1)).rev();
    std::iter::once(labels).chain(above).map(|labels| domain.suffix(labels))
}

impl Tree {
    fn note(&mut self, at: DomainName, texts: Vec<String>) {
        let records: Vec<_> = texts.iter().filter(|text| is_dmarc(text)).collect();
        match records.as_slice() {
            [] => {
                if let Some(text) = texts.iter().find(|text| is_meant(text)) {
                    let why = "it does not begin with v=DMARC1;".to_owned();
                    self.bad.push((at, Bad::Broken { text: text.clone(), why }));
                }
            }
            [text] => match Policy::parse(text) {
                Ok(policy) => self.found.push((at, policy)),
                Err(why) => self.bad.push((at, Bad::Broken { text: (*text).clone(), why })),
            },
            many => self.bad.push((at, Bad::Several(many.len()))),
        }
    }

    fn is_at_its_end(&self) -> bool {
        self.found.last().is_some_and(|(_, policy)| policy.psd.is_some())
    }

    /// The domain's own record, the organisational domain's, or the public suffix's.
    pub(crate) fn policy(&self) -> Option<(&DomainName, &Policy)> {
        let organisation = self.organisation();
        let at = |name: &DomainName| self.found.iter().find(|(at, _)| at == name);
        let suffix = || self.found.iter().find(|(_, policy)| policy.psd == Some(true));
        at(&self.domain).or_else(|| at(&organisation)).or_else(suffix).map(|(at, policy)| (at, policy))
    }

    /// What receivers are asked to do with mail of the domain that fails.
    pub(crate) fn disposition(&self) -> Option<Disposition> {
        let (at, policy) = self.policy()?;
        let asked = if *at == self.domain { policy.p } else { policy.sp };
        Some(if policy.testing { asked.one_less() } else { asked })
    }

    /// Section 4.10.2.
    pub(crate) fn organisation(&self) -> DomainName {
        if let Some((at, _)) = self.found.iter().find(|(_, policy)| policy.psd == Some(false)) {
            return at.clone();
        }
        if let Some((at, _)) = self.found.iter().find(|(at, policy)| policy.psd == Some(true) && *at != self.domain) {
            return self.domain.suffix(at.labels() + 1);
        }
        self.found.last().map_or_else(|| self.domain.clone(), |(at, _)| at.clone())
    }

    /// Whether an identifier is aligned with the author's domain, whose tree this is. `theirs`: the identifier's tree.
    pub(crate) fn aligned(&self, theirs: &Self, strictness: Strictness) -> bool {
        self.domain == theirs.domain
            || (strictness == Strictness::Relaxed && self.organisation() == theirs.organisation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn walked(domain: &str, records: &[(&str, &str)]) -> Tree {
        let mut tree = Tree { domain: name(domain), found: Vec::new(), bad: Vec::new(), trouble: None };
        for step in steps(&name(domain)) {
            let here = records.iter().filter(|(at, _)| name(at) == step);
            let texts = here.map(|(_, text)| (*text).to_owned()).collect();
            tree.note(step, texts);
            if tree.is_at_its_end() {
                break;
            }
        }
        tree
    }

    #[test]
    fn long_names_are_cut_so_that_at_most_eight_questions_are_asked() {
        let count = |domain: &str| steps(&name(domain)).count();
        assert_eq!(["com", "a.com", "a.b.c.d.e.f.g.com", "a.b.c.d.e.f.g.h.i.j.k.com"].map(count), [1, 2, 8, 8]);
        let second = steps(&name("a.b.c.d.e.f.g.h.i.j.k.com")).nth(1);
        assert_eq!(second, Some(name("f.g.h.i.j.k.com")));
    }

    #[test]
    fn policy_and_organisation_follow_the_tree() {
        let p = "v=DMARC1; p=reject; sp=none";
        for (domain, records, organisation, disposition) in [
            ("contoso.com", &[("contoso.com", p)][..], "contoso.com", Some(Disposition::Reject)),
            ("a.contoso.com", &[("contoso.com", p)], "contoso.com", Some(Disposition::None)),
            ("a.contoso.com", &[("a.contoso.com", p), ("contoso.com", p)], "contoso.com", Some(Disposition::Reject)),
            ("a.b.test", &[("b.test", "v=DMARC1; p=none; psd=y")], "a.b.test", Some(Disposition::None)),
            (
                "x.a.b.test",
                &[("a.b.test", "v=DMARC1; p=none; psd=n"), ("b.test", p)],
                "a.b.test",
                Some(Disposition::None),
            ),
            ("contoso.com", &[], "contoso.com", None),
        ] {
            let tree = walked(domain, records);
            assert_eq!(
                (tree.organisation(), tree.disposition()),
                (name(organisation), disposition),
                "{domain} {records:?}"
            );
        }
    }

    #[test]
    fn relaxed_alignment_asks_for_the_organisation_and_strict_for_the_name() {
        let records = [("contoso.com", "v=DMARC1; p=none")];
        let (top, sub) = (walked("contoso.com", &records), walked("mail.contoso.com", &records));
        let other = walked("fabrikam.com", &[]);
        assert!(top.aligned(&sub, Strictness::Relaxed) && sub.aligned(&top, Strictness::Relaxed));
        assert!(!top.aligned(&sub, Strictness::Strict) && top.aligned(&top, Strictness::Strict));
        assert!(!top.aligned(&other, Strictness::Relaxed));
    }
}
