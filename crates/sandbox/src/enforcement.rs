//! Exchange's limits as the submission endpoint enforces them: what a mailbox does at once, in a minute, in a day, and what
//! the whole tenant sends to the outside in a day.
//!
//! In: the tenant's limits, what is submitted, the time. Out: taken (perhaps with a reply that must wait), or Exchange's
//! refusal. Never: a clock, a socket. The endpoint asks it, and so can a test that moves its own time.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use smtp::Reply;

use crate::activity::{Activity, Failing, MailboxStatistics, Pace, Rolling};
use crate::exchange::words;
use crate::tenant::{Limits, Tenant};

const DAY: Duration = Duration::from_secs(86_400);

/// A message whose content is complete.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// The mailbox that is signed in.
    pub mailbox: &'a str,
    /// MAIL FROM, without angle brackets; empty is the null reverse-path.
    pub reverse_path: &'a str,
    /// RCPT TO, without angle brackets.
    pub recipients: &'a [&'a str],
    /// What [`Enforcement::begin`] said when the content began.
    pub within_limit: bool,
}

/// Of the whole tenant, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantStatistics {
    /// External recipients within the last 24 hours.
    pub external_recipients_today: u64,
    /// Most within any 24 hours.
    pub most_external_recipients_in_a_day: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Enforcement {
    mailboxes: HashMap<String, Activity>,
    external: Rolling,
    /// Of these with a sender under `onmicrosoft.com`.
    external_of_initial_domain: Rolling,
}

impl Default for Enforcement {
    fn default() -> Self {
        let day = || Rolling::new(DAY, Duration::from_secs(1));
        Self { mailboxes: HashMap::new(), external: day(), external_of_initial_domain: day() }
    }
}

impl Enforcement {
    /// Content begins. Whether it is within the limit on messages under way; end it in any case.
    pub fn begin(&mut self, tenant: &Tenant, mailbox: &str) -> bool {
        let limits = tenant.limits_of_address(mailbox);
        self.activity(mailbox).open_submission(&limits)
    }

    /// The reply is out, or the link is gone.
    pub fn end(&mut self, mailbox: &str) {
        self.activity(mailbox).close_submission();
    }

    /// Takes a message, or refuses it. The time: when its reply may be given, if not at once.
    pub fn submit(
        &mut self,
        tenant: &Tenant,
        submission: &Submission<'_>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Reply> {
        self.gate(submission, now)?;
        self.admit(tenant, submission, now)
    }

    /// Of a mailbox.
    pub fn statistics(&mut self, mailbox: &str, now: Timestamp) -> MailboxStatistics {
        self.activity(mailbox).statistics(now)
    }

    /// Of the tenant.
    pub fn tenant_statistics(&mut self, now: Timestamp) -> TenantStatistics {
        TenantStatistics {
            external_recipients_today: self.external.sum(now),
            most_external_recipients_in_a_day: self.external.most(),
        }
    }

    /// The mailbox itself: blocked, or busy.
    pub(crate) fn gate(&mut self, submission: &Submission<'_>, now: Timestamp) -> Result<(), Reply> {
        if let Some(kind) = self.activity(submission.mailbox).blocked(now) {
            return Err(words::blocked(kind));
        }
        if !submission.within_limit {
            return Err(words::too_many_submissions());
        }
        Ok(())
    }

    /// The quotas.
    pub(crate) fn admit(
        &mut self,
        tenant: &Tenant,
        submission: &Submission<'_>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Reply> {
        let limits = tenant.limits_of_address(submission.mailbox);
        let recipients = submission.recipients.len() as u64;
        if !self.activity(submission.mailbox).has_room(recipients, &limits, now) {
            return Err(words::daily_quota_exceeded());
        }
        let external = submission.recipients.iter().filter(|address| !tenant.is_internal(address)).count() as u64;
        let initial = tenant.is_initial_domain(submission.reverse_path);
        self.check_external(tenant, external, initial, now)?;
        let not_before = match self.activity(submission.mailbox).pace(&limits, now) {
            Pace::Now => None,
            Pace::At(slot) => Some(slot),
            Pace::Refused => return Err(words::rate_exceeded()),
        };
        self.activity(submission.mailbox).accepted(recipients, not_before.is_some(), now);
        self.external.add(external, now);
        if initial {
            self.external_of_initial_domain.add(external, now);
        }
        Ok(not_before)
    }

    /// A refusal of the kind that, in a row, gets a mailbox blocked.
    pub(crate) fn failed(&mut self, mailbox: &str, kind: Failing, limits: &Limits, now: Timestamp) {
        self.activity(mailbox).failed(kind, limits, now);
    }

    pub(crate) fn open_session(&mut self, mailbox: &str) {
        self.activity(mailbox).open_session();
    }

    pub(crate) fn close_session(&mut self, mailbox: &str) {
        self.activity(mailbox).close_session();
    }

    pub(crate) fn reset_statistics(&mut self) {
        self.mailboxes.values_mut().for_each(Activity::reset_statistics);
        self.external.reset_most();
        self.external_of_initial_domain.reset_most();
    }

    fn check_external(&mut self, tenant: &Tenant, external: u64, initial: bool, now: Timestamp) -> Result<(), Reply> {
        if external == 0 {
            return Ok(());
        }
        let over = |limit: u64, window: &mut Rolling| limit > 0 && window.sum(now) + external > limit;
        if over(tenant.external_recipients_per_day, &mut self.external) {
            return Err(words::external_quota_exceeded(tenant.trial));
        }
        if initial && over(tenant.initial_domain_recipients_per_day, &mut self.external_of_initial_domain) {
            return Err(words::initial_domain_quota_exceeded());
        }
        Ok(())
    }

    fn activity(&mut self, mailbox: &str) -> &mut Activity {
        self.mailboxes.entry(mailbox.to_ascii_lowercase()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Mailbox;

    const RELAY: &str = "relay@contoso.test";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn tenant() -> Tenant {
        Tenant { mailboxes: vec![Mailbox::new(RELAY)], external_recipients_per_day: 2, ..Tenant::default() }
    }

    fn submit(it: &mut Enforcement, tenant: &Tenant, from: &str, to: &[&str], now: Timestamp) -> Result<(), String> {
        let submission = Submission { mailbox: RELAY, reverse_path: from, recipients: to, within_limit: true };
        it.submit(tenant, &submission, now).map(|_| ()).map_err(|reply| reply.to_string())
    }

    #[test]
    fn over_the_tenants_limit_only_mail_with_external_recipients_is_refused() {
        let (mut it, tenant) = (Enforcement::default(), tenant());
        let mut send = |to: &[&str], second| submit(&mut it, &tenant, RELAY, to, at(second));
        assert_eq!(send(&["a@example.com", "b@contoso.test", "c@example.com"], 0), Ok(()));
        let refusal = send(&["d@example.com"], 1).unwrap_err();
        assert!(refusal.starts_with("550 5.7.233 "), "{refusal}");
        assert_eq!(send(&["b@contoso.test", "b@contoso.onmicrosoft.com"], 1), Ok(()));
        assert_eq!(send(&["d@example.com"], 86_400), Ok(()));
        assert_eq!(it.tenant_statistics(at(86_400)).most_external_recipients_in_a_day, 2);
    }

    #[test]
    fn a_trial_tenant_is_told_so() {
        let (mut it, tenant) = (Enforcement::default(), Tenant { trial: true, ..tenant() });
        let refusal = submit(&mut it, &tenant, RELAY, &["a@x.test", "b@x.test", "c@x.test"], at(0)).unwrap_err();
        assert!(refusal.starts_with("550 5.7.232 "), "{refusal}");
    }

    #[test]
    fn senders_under_the_initial_domain_reach_a_hundred_external_recipients_a_day() {
        let (mut it, tenant) = (Enforcement::default(), Tenant { external_recipients_per_day: 0, ..tenant() });
        let initial = "relay@contoso.onmicrosoft.com";
        for second in 0..100 {
            assert_eq!(submit(&mut it, &tenant, initial, &["a@example.com"], at(second * 3)), Ok(()));
        }
        let refusal = submit(&mut it, &tenant, initial, &["a@example.com"], at(300)).unwrap_err();
        assert!(refusal.starts_with("550 5.7.236 "), "{refusal}");
        assert_eq!(submit(&mut it, &tenant, RELAY, &["a@example.com"], at(300)), Ok(()));
    }

    #[test]
    fn a_refused_message_uses_up_nothing() {
        let (mut it, tenant) = (Enforcement::default(), tenant());
        assert!(submit(&mut it, &tenant, RELAY, &["a@x.test", "b@x.test", "c@x.test"], at(0)).is_err());
        assert_eq!(it.statistics(RELAY, at(0)).recipients_today, 0);
        assert_eq!(submit(&mut it, &tenant, RELAY, &["a@x.test", "b@x.test"], at(0)), Ok(()));
    }
}
