//! Diagnosis: what the DNS (and the domain's MTA-STS policy) tells others about a domain, each finding with its remedy.
//!
//! In: a domain, the ways its mail goes, a resolver, and whoever fetches the policy. Out: [`DomainReport`] (everything that stands there) and [`Forecast`]
//! (would SPF, DKIM and DMARC pass for one sender and one way?), both made of [`Finding`]s whose ids are an interface.
//! Never: a change of anything, a message sent, a wait without a limit, trouble taken for absence.

mod addresses;
mod cache;
mod dkim;
mod dmarc;
mod dns;
mod doctor;
mod domain;
mod finding;
mod forecast;
mod mx;
mod policies;
mod spf;
mod sts;
mod tags;
mod warned;

pub use addresses::{AddressFacts, PtrReport};
pub use dkim::{DkimReport, KeyState, SelectorFacts, TargetForm};
pub use dmarc::{DmarcReport, Strictness};
pub use dns::{Answer, Dns, DnsError, DnsSettings};
pub use doctor::{Doctor, DomainQuestion, DomainReport, OwnSelector, Signature, Way};
pub use domain::{DomainName, NotADomain};
pub use finding::{File, Finding, Record, Severity};
pub use forecast::{Forecast, Outcome, Sending, Verdict};
pub use mx::{DaneReport, MxFacts, MxReport};
pub use policies::MtaStsReport;
pub use spf::SpfReport;
pub use sts::{FetchError, Mode, PolicyAnswer, PolicyFacts, PolicyFetch};
pub use warned::Warned;
