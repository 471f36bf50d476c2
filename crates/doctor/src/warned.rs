//! What has been told already: one warning for each domain and cause.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::domain::DomainName;
use crate::finding::{Finding, Severity};

/// How many pairs are remembered; beyond it the oldest is forgotten, and might be told a second time.
const REMEMBERED: usize = 10_000;

/// The pairs of domain and finding that have been told.
#[derive(Debug, Default)]
pub struct Warned(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    pairs: HashSet<(DomainName, &'static str)>,
    order: VecDeque<(DomainName, &'static str)>,
}

impl Warned {
    /// Those of the findings that are at least a warning and were not told yet. They count as told from now on.
    pub fn news<'a>(&self, domain: &DomainName, findings: impl IntoIterator<Item = &'a Finding>) -> Vec<&'a Finding> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bad = findings.into_iter().filter(|finding| finding.severity >= Severity::Warning);
        bad.filter(|finding| told.note((domain.clone(), finding.id))).collect()
    }
}

impl Told {
    /// Whether it is new.
    fn note(&mut self, pair: (DomainName, &'static str)) -> bool {
        if !self.pairs.insert(pair.clone()) {
            return false;
        }
        self.order.push_back(pair);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.pairs.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn each_cause_is_told_once_for_each_domain_and_notes_never() {
        let warned = Warned::default();
        let findings = [
            Finding::error("spf-missing", "a"),
            Finding::note("mta-sts-none", "b"),
            Finding::warning("dmarc-missing", "c"),
        ];
        let ids = |domain: &DomainName| warned.news(domain, &findings).iter().map(|f| f.id).collect::<Vec<_>>();
        assert_eq!(ids(&domain("contoso.com")), ["spf-missing", "dmarc-missing"]);
        assert!(ids(&domain("Contoso.com")).is_empty());
        assert_eq!(ids(&domain("fabrikam.com")).len(), 2);
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let warned = Warned::default();
        let findings = [Finding::error("spf-missing", "a")];
        let tell = |n: usize| warned.news(&domain(&format!("d{n}.test")), &findings).len();
        assert_eq!((0..=REMEMBERED).map(tell).sum::<usize>(), REMEMBERED + 1);
        assert_eq!(warned.0.lock().unwrap().pairs.len(), REMEMBERED);
        assert_eq!((tell(0), tell(REMEMBERED)), (1, 0));
    }
}
