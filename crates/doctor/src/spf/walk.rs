//! The walk through a domain's SPF record and everything that it includes, as an evaluation that nothing ends would take it.
//!
//! In: a domain. Out: look-ups, those that found nothing, what was reached and at which cost, faults. RFC 7208, section 4.6.4.
//! Bounded: a domain is not entered twice on one way down; after [`QUESTIONS`] questions, or [`LONGEST`], nothing is asked any
//! more.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::record::{Mechanism, Qualifier, Record, Target, is_spf, joined};
use super::{LOOKUPS, MX_HOSTS, VOID_LOOKUPS};
use crate::dns::{Answer, Dns};
use crate::domain::DomainName;

/// Questions to the DNS in one walk. Every evaluator has given up long before.
const QUESTIONS: u32 = 60;
/// After this nothing is asked any more. RFC 7208, section 4.6.4, names it as the least that evaluators should allow.
const LONGEST: Duration = Duration::from_secs(20);

/// Why evaluators give up, or misread it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// More than one record. Section 4.5.
    Several { domain: DomainName, records: usize },
    /// A term that cannot be read. Section 4.6.
    Syntax { domain: DomainName, term: String },
    /// Included by `from`, or redirected to, and it has no record. Sections 5.2, 6.1.
    NoRecord { domain: DomainName, from: DomainName, term: &'static str },
    /// An `mx` comes to more hosts than an evaluator looks up. Section 4.6.4.
    ManyHosts { domain: DomainName, hosts: usize },
    /// It includes itself.
    Loop { domain: DomainName },
}

/// A domain that was reached by includes and redirects that all mean "pass".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) domain: DomainName,
    /// Whether an evaluator gets that far: within the limits, and with no fault before.
    pub(crate) in_time: bool,
    /// Whether something before it got no answer.
    pub(crate) after_trouble: bool,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The domain's own record; of several, the first in the order of the alphabet.
    pub(crate) record: Option<String>,
    /// The same; of several, all in one.
    pub(crate) joined: String,
    pub(crate) lookups: u8,
    pub(crate) void_lookups: u8,
    /// In the order of evaluation.
    pub(crate) reached: Vec<Reached>,
    /// What happens to the rest: the domain's own `all`, or that of where it redirects to.
    pub(crate) all: Option<Qualifier>,
    pub(crate) faults: Vec<Fault>,
    /// `ptr` stands somewhere. Section 5.5.
    pub(crate) ptr: bool,
    /// Where an include or a redirect has macros, it was not followed.
    pub(crate) macros: bool,
    pub(crate) mistaken: Vec<String>,
    /// The first question that got no answer: more may stand there than was seen.
    pub(crate) trouble: Option<String>,
}

impl Walk {
    /// Whether an evaluator would still be at it here.
    pub(crate) fn alive(&self) -> bool {
        self.faults.is_empty() && self.lookups <= LOOKUPS && self.void_lookups <= VOID_LOOKUPS
    }

    /// Whether receivers drop the domain's record before they begin.
    pub(crate) fn own_record_is_broken(&self, own: &DomainName) -> bool {
        self.faults.iter().any(|fault| match fault {
            Fault::Several { domain, .. } | Fault::Syntax { domain, .. } => domain == own,
            Fault::NoRecord { .. } | Fault::ManyHosts { .. } | Fault::Loop { .. } => false,
        })
    }

    pub(crate) fn reaches(&self, domain: &str) -> Option<&Reached> {
        self.reached.iter().find(|reached| reached.domain.as_str() == domain)
    }
}

/// From the domain's record on.
pub(crate) async fn walk(dns: &Dns, domain: &DomainName) -> Walk {
    let mut walker = Walker { dns, started: Instant::now(), questions: 0, way: Vec::new(), seen: Walk::default() };
    walker.enter(domain.clone(), Entry::Top).await;
    walker.seen
}

/// How a record is come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Top,
    /// `passes`: whoever passes there passes here.
    Include {
        passes: bool,
    },
    Redirect {
        passes: bool,
        /// From the top by redirects alone: its `all` counts.
        whole: bool,
    },
}

impl Entry {
    fn passes(self) -> bool {
        matches!(self, Self::Top | Self::Include { passes: true } | Self::Redirect { passes: true, .. })
    }

    fn whole(self) -> bool {
        matches!(self, Self::Top | Self::Redirect { whole: true, .. })
    }
}

struct Walker<'a> {
    dns: &'a Dns,
    started: Instant,
    questions: u32,
    /// From the top down to here.
    way: Vec<DomainName>,
    seen: Walk,
}

impl<'a> Walker<'a> {
    fn enter(&mut self, domain: DomainName, entry: Entry) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.way.contains(&domain) {
                return self.fault(Fault::Loop { domain });
            }
            let (in_time, place) = (self.seen.alive(), self.seen.reached.len());
            let record = self.record(&domain, entry).await;
            if entry != Entry::Top && entry.passes() {
                // What is not known of the domain itself counts too.
                let after_trouble = self.seen.trouble.is_some();
                self.seen.reached.insert(place, Reached { domain: domain.clone(), in_time, after_trouble });
            }
            if let Some(record) = record {
                self.way.push(domain);
                self.follow(record, entry).await;
                self.way.pop();
            }
        })
    }

    async fn record(&mut self, domain: &DomainName, entry: Entry) -> Option<Record> {
        let texts = self.known(|dns| async move { dns.text(domain).await }).await?;
        if texts.is_empty() && entry != Entry::Top {
            self.seen.void_lookups = self.seen.void_lookups.saturating_add(1);
        }
        let mut records = texts.into_iter().filter(|text| is_spf(text)).collect::<Vec<_>>();
        records.sort();
        if records.len() > 1 {
            self.fault(Fault::Several { domain: domain.clone(), records: records.len() });
        }
        let text = match records.as_slice() {
            [] => {
                self.no_record(domain, entry);
                return None;
            }
            [one] => one.clone(),
            several => joined(several),
        };
        // Receivers drop the whole record; what it was meant to say is looked at all the same.
        let (record, unreadable) = Record::readable(&text);
        for term in unreadable {
            self.fault(Fault::Syntax { domain: domain.clone(), term });
        }
        if entry == Entry::Top {
            self.seen.record = records.into_iter().next();
            self.seen.joined = text;
        }
        Some(record)
    }

    fn no_record(&mut self, domain: &DomainName, entry: Entry) {
        let term = match entry {
            Entry::Top => return,
            Entry::Include { .. } => "include:",
            Entry::Redirect { .. } => "redirect=",
        };
        if let Some(from) = self.way.last().cloned() {
            self.fault(Fault::NoRecord { domain: domain.clone(), from, term });
        }
    }

    async fn follow(&mut self, record: Record, entry: Entry) {
        let all = record.all();
        self.seen.mistaken.extend(record.mistaken);
        for (qualifier, mechanism) in record.directives {
            let passes = entry.passes() && qualifier == Qualifier::Pass;
            self.mechanism(mechanism, passes).await;
        }
        if entry.whole() {
            self.seen.all = all.or(self.seen.all);
        }
        // Section 6.1: where there is an `all`, the redirect is ignored.
        match record.redirect.filter(|_| all.is_none()) {
            None => {}
            Some(Target::Name(domain)) => {
                self.count();
                self.enter(domain, Entry::Redirect { passes: entry.passes(), whole: entry.whole() }).await;
            }
            Some(_) => {
                self.count();
                self.seen.macros = true;
            }
        }
    }

    async fn mechanism(&mut self, mechanism: Mechanism, passes: bool) {
        match mechanism {
            Mechanism::All | Mechanism::Address(_) => return,
            _ => self.count(),
        }
        match mechanism {
            Mechanism::Include(Target::Name(domain)) => self.enter(domain, Entry::Include { passes }).await,
            Mechanism::Include(_) => self.seen.macros = true,
            Mechanism::A(target) => self.hosts(target).await,
            Mechanism::Mx(target) => self.exchangers(target).await,
            Mechanism::Ptr => self.seen.ptr = true,
            // With a name as written it is the same for everybody, and nobody writes it; with macros, see `Target`.
            Mechanism::Exists(_) | Mechanism::All | Mechanism::Address(_) => {}
        }
    }

    async fn hosts(&mut self, target: Target) {
        let Some(name) = self.name(target) else { return };
        let found = self.known(|dns| async move { dns.addresses(&name).await }).await;
        self.void(found.is_some_and(|found| found.is_empty()));
    }

    async fn exchangers(&mut self, target: Target) {
        let Some(name) = self.name(target) else { return };
        let found = self.known(|dns| async { dns.mx(&name).await }).await;
        let hosts = found.as_ref().map_or(0, Vec::len);
        self.void(found.is_some() && hosts == 0);
        if hosts > MX_HOSTS {
            self.fault(Fault::ManyHosts { domain: name, hosts });
        }
    }

    fn name(&self, target: Target) -> Option<DomainName> {
        match target {
            Target::Same => self.way.last().cloned(),
            Target::Name(name) => Some(name),
            Target::Macros(_) => None,
        }
    }

    /// Each is told once, however often it is come by.
    fn fault(&mut self, fault: Fault) {
        if !self.seen.faults.contains(&fault) {
            self.seen.faults.push(fault);
        }
    }

    fn count(&mut self) {
        self.seen.lookups = self.seen.lookups.saturating_add(1);
    }

    fn void(&mut self, void: bool) {
        self.seen.void_lookups = self.seen.void_lookups.saturating_add(u8::from(void));
    }

    /// What was found, nothing included; `None` after trouble, and when enough has been asked.
    async fn known<T, F>(&mut self, ask: impl FnOnce(&'a Dns) -> F) -> Option<Vec<T>>
    where
        F: Future<Output = Answer<Vec<T>>>,
    {
        self.questions += 1;
        if self.questions > QUESTIONS {
            return None;
        }
        let answer = match self.started.elapsed() < LONGEST {
            true => ask(self.dns).await,
            false => Answer::Trouble("it takes too long altogether".to_owned()),
        };
        match answer.known() {
            Ok(found) => Some(found.unwrap_or_default()),
            Err(trouble) => {
                self.seen.trouble.get_or_insert(trouble);
                None
            }
        }
    }
}
