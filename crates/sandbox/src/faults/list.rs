//! The faults that are set, and the choice of the one that strikes.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::{Action, AddressFault, Fault, FaultError, Step};
use crate::tenant::matches;

/// Faults at the same time.
const FAULTS: usize = 10_000;
/// Recipient addresses whose hits are counted.
const COUNTED: usize = 100_000;

/// What is known when a step is served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstance<'a> {
    pub(crate) mailbox: Option<&'a str>,
    pub(crate) reverse_path: Option<&'a str>,
    pub(crate) recipients: &'a [String],
}

/// A fault that strikes now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Struck {
    pub(crate) delay: Duration,
    pub(crate) action: Option<Action>,
}

/// One fault in the list of the control API.
#[derive(Clone, Debug, Serialize)]
pub struct ActiveFault {
    /// For clearing it.
    pub id: u64,
    /// As it was set; `skip` and `times` are what is left.
    #[serde(flatten)]
    pub fault: Fault,
    /// How often it struck.
    pub struck: u64,
}

/// All faults of a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last_id: u64,
    active: Vec<ActiveFault>,
    hits: HashMap<String, u64>,
    struck: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> Result<u64, FaultError> {
        fault.check()?;
        if self.active.len() >= FAULTS {
            return Err(FaultError::TooMany(FAULTS));
        }
        self.last_id += 1;
        self.active.push(ActiveFault { id: self.last_id, fault, struck: 0 });
        Ok(self.last_id)
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
        self.hits.clear();
    }

    pub(crate) fn active(&self) -> &[ActiveFault] {
        &self.active
    }

    /// How many faults struck so far.
    pub(crate) fn struck(&self) -> u64 {
        self.struck
    }

    /// Starts the counter anew.
    pub(crate) fn reset_struck(&mut self) {
        self.struck = 0;
    }

    /// The first fault that fits, in the order they were set.
    pub(crate) fn take(&mut self, step: Step, circumstance: Circumstance<'_>) -> Option<Struck> {
        for index in 0..self.active.len() {
            let Some(active) = self.active.get_mut(index) else { break };
            if active.fault.at != step || !fits(&active.fault, circumstance) {
                continue;
            }
            if active.fault.skip > 0 {
                active.fault.skip -= 1;
                continue;
            }
            active.struck += 1;
            self.struck += 1;
            let struck =
                Struck { delay: Duration::from_millis(active.fault.delay_ms), action: active.fault.action.clone() };
            if let Some(times) = &mut active.fault.times {
                *times = times.saturating_sub(1);
                if *times == 0 {
                    self.active.remove(index);
                }
            }
            return Some(struck);
        }
        None
    }

    /// What the recipient's address asks for at this step, if its hits are not used up.
    pub(crate) fn take_address(&mut self, step: Step, address: &str) -> Option<Struck> {
        let fault = AddressFault::parse(address).filter(|fault| fault.at == step)?;
        if let Some(times) = fault.times {
            if self.hits.len() >= COUNTED {
                self.hits.clear();
            }
            let hits = self.hits.entry(address.to_ascii_lowercase()).or_default();
            if *hits >= times {
                return None;
            }
            *hits += 1;
        }
        self.struck += 1;
        Some(Struck { delay: fault.delay, action: fault.action })
    }
}

fn fits(fault: &Fault, circumstance: Circumstance<'_>) -> bool {
    let one = |pattern: &Option<String>, text: Option<&str>| match (pattern, text) {
        (None, _) => true,
        (Some(pattern), Some(text)) => matches(pattern, text),
        (Some(_), None) => false,
    };
    one(&fault.mailbox, circumstance.mailbox)
        && one(&fault.reverse_path, circumstance.reverse_path)
        && fault
            .recipient
            .as_ref()
            .is_none_or(|pattern| circumstance.recipients.iter().any(|address| matches(pattern, address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(faults: &mut Faults, step: Step, recipient: &str) -> bool {
        let recipients = [recipient.to_owned()];
        faults.take(step, Circumstance { recipients: &recipients, ..Circumstance::default() }).is_some()
    }

    #[test]
    fn a_fault_skips_strikes_and_goes() {
        let mut faults = Faults::default();
        faults.add(Fault::at(Step::End).reply("451 4.7.0 x").skip(1).times(2)).unwrap();
        let struck: Vec<bool> = (0..5).map(|_| strikes(&mut faults, Step::End, "a@b.test")).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert!(faults.active().is_empty());
        assert_eq!(faults.struck(), 2);
    }

    #[test]
    fn a_fault_strikes_only_its_step_and_its_recipient() {
        let mut faults = Faults::default();
        let id = faults.add(Fault::at(Step::Rcpt).reply("550 5.1.1 x").recipient("*@b.test")).unwrap();
        assert!(!strikes(&mut faults, Step::End, "a@b.test"));
        assert!(!strikes(&mut faults, Step::Rcpt, "a@c.test"));
        assert!(strikes(&mut faults, Step::Rcpt, "a@b.test"));
        assert!(strikes(&mut faults, Step::Rcpt, "a@b.test"));
        assert!(faults.remove(id));
        assert!(!strikes(&mut faults, Step::Rcpt, "a@b.test"));
    }

    #[test]
    fn a_fault_for_a_mailbox_waits_until_one_is_signed_in() {
        let mut faults = Faults::default();
        faults.add(Fault::at(Step::Hello).reply("421 4.3.2 x").mailbox("relay@*")).unwrap();
        assert_eq!(faults.take(Step::Hello, Circumstance::default()), None);
        let signed_in = Circumstance { mailbox: Some("relay@contoso.test"), ..Circumstance::default() };
        assert!(faults.take(Step::Hello, signed_in).is_some());
    }

    #[test]
    fn an_address_counts_its_own_hits() {
        let mut faults = Faults::default();
        let mut hit = |address| faults.take_address(Step::Rcpt, address).is_some();
        assert_eq!(
            [hit("defer-451-x2@b.test"), hit("DEFER-451-x2@b.test"), hit("defer-451-x2@b.test")],
            [true, true, false]
        );
        assert!(hit("defer-451-x2+other@b.test"));
        assert!((0..5).all(|_| hit("defer-451@b.test")));
    }
}
