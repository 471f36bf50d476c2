//! What a client entry has sent lately, against its own limits: messages a minute, recipients a day.
//!
//! In: what was accepted, and when. Out: whether more may come, or when. Kept in memory: a restart forgets it. These limits
//! keep a device that has run wild from the mailbox's budget; Microsoft's own limits are kept in the spool's ledger.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use smtp::{EnhancedStatus, Reply};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Parts that a window moves on by: what was sent leaves it up to a hundredth late, never early.
const PARTS: u32 = 100;
const POLICY: EnhancedStatus = EnhancedStatus::new(4, 7, 1);

/// Of one client entry.
#[derive(Debug)]
pub(crate) struct Usage {
    messages: Option<Limit>,
    recipients: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    most: u64,
    window: Mutex<Window>,
}

impl Usage {
    /// In any 60 seconds; in any 24 hours.
    pub(crate) fn new(messages_per_minute: Option<u64>, recipients_per_day: Option<u64>) -> Self {
        let limit = |most: Option<u64>, span| most.map(|most| Limit { most, window: Mutex::new(Window::new(span)) });
        Self { messages: limit(messages_per_minute, MINUTE), recipients: limit(recipients_per_day, DAY) }
    }

    /// At MAIL: nothing is counted yet.
    pub(crate) fn may_send(&self, name: &str) -> Result<(), Reply> {
        self.messages.as_ref().map_or(Ok(()), |limit| limit.room(1).map_err(|wait| too_fast(name, limit.most, wait)))
    }

    /// At RCPT, as one of so many in its message.
    pub(crate) fn may_reach(&self, name: &str, recipients: u64) -> Result<(), Reply> {
        let too_many = |limit: &Limit, wait| too_many(name, limit.most, wait);
        self.recipients.as_ref().map_or(Ok(()), |limit| limit.room(recipients).map_err(|wait| too_many(limit, wait)))
    }

    /// A message that was taken has not been accepted after all.
    pub(crate) fn give_back(&self, recipients: u64) {
        for (limit, count) in [(&self.messages, 1), (&self.recipients, recipients)] {
            if let Some(limit) = limit {
                limit.window.lock().unwrap_or_else(PoisonError::into_inner).give_back(count);
            }
        }
    }

    /// At the end of data: others may have been faster since. Counts all or nothing.
    pub(crate) fn take(&self, name: &str, recipients: u64) -> Result<(), Reply> {
        if let Some(limit) = &self.messages {
            limit.take(1).map_err(|wait| too_fast(name, limit.most, wait))?;
        }
        let Some(limit) = &self.recipients else { return Ok(()) };
        limit.take(recipients).map_err(|wait| {
            self.give_back(0);
            too_many(name, limit.most, wait)
        })
    }
}

impl Limit {
    /// `Err`: how long to wait.
    fn room(&self, more: u64) -> Result<(), Duration> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).room(more, self.most, Instant::now())
    }

    fn take(&self, more: u64) -> Result<(), Duration> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        window.room(more, self.most, now)?;
        window.add(more, now);
        Ok(())
    }
}

/// What was counted within a span that moves on.
#[derive(Debug)]
struct Window {
    span: Duration,
    /// Begin of a part, and what was counted in it; oldest first, at most [`PARTS`] and one.
    parts: VecDeque<(Instant, u64)>,
    all: u64,
}

impl Window {
    fn new(span: Duration) -> Self {
        Self { span, parts: VecDeque::new(), all: 0 }
    }

    /// What began at this time counts until then.
    fn ends(&self, began: Instant) -> Instant {
        began + self.span + self.span / PARTS
    }

    fn room(&mut self, more: u64, most: u64, now: Instant) -> Result<(), Duration> {
        while let Some((began, count)) = self.parts.front().copied().filter(|(began, _)| self.ends(*began) <= now) {
            debug_assert!(began <= now);
            self.all -= count;
            self.parts.pop_front();
        }
        let mut left = self.all;
        if left.saturating_add(more) <= most {
            return Ok(());
        }
        for (began, count) in &self.parts {
            left -= count;
            if left.saturating_add(more) <= most {
                return Err(self.ends(*began).duration_since(now));
            }
        }
        // More at once than can ever be: after the whole span it is still so.
        Err(self.span)
    }

    /// From what was counted last.
    fn give_back(&mut self, mut less: u64) {
        for (_, count) in self.parts.iter_mut().rev() {
            let given = less.min(*count);
            *count -= given;
            self.all -= given;
            less -= given;
        }
    }

    fn add(&mut self, more: u64, now: Instant) {
        self.all += more;
        match self.parts.back_mut() {
            Some((began, count)) if now.duration_since(*began) < self.span / PARTS => *count += more,
            _ => self.parts.push_back((now, more)),
        }
    }
}

fn too_fast(name: &str, most: u64, wait: Duration) -> Reply {
    let text = format!(
        "client \"{name}\" may send {most} messages a minute: try again in {} (messages_per_minute of its [[client]] entry)",
        words(wait)
    );
    Reply::new(450, POLICY, text)
}

fn too_many(name: &str, most: u64, wait: Duration) -> Reply {
    let text = format!(
        "client \"{name}\" may reach {most} recipients in 24 hours: try again in {} (recipients_per_day of its [[client]] entry)",
        words(wait)
    );
    Reply::new(452, POLICY, text)
}

/// Rounded up, so that who waits so long has waited long enough.
fn words(wait: Duration) -> String {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    match seconds {
        0..=120 => format!("{seconds} s"),
        121..=7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_are_counted_when_taken_and_come_back_after_a_minute() {
        let usage = Usage::new(Some(2), None);
        for _ in 0..2 {
            usage.may_send("erp").unwrap();
            usage.may_send("erp").unwrap();
            usage.take("erp", 1).unwrap();
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let reply = usage.may_send("erp").unwrap_err().to_string();
        assert!(
            reply.starts_with("450 4.7.1 client \"erp\" may send 2 messages a minute: try again in 41 s"),
            "{reply}"
        );
        assert!(usage.take("erp", 1).is_err(), "another session was faster");
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(usage.may_send("erp").is_err(), "never early");
        tokio::time::advance(Duration::from_secs(1)).await;
        usage.take("erp", 1).unwrap();
        assert!(usage.take("erp", 1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn recipients_are_counted_over_a_day_all_or_none() {
        let usage = Usage::new(Some(100), Some(10));
        usage.take("erp", 7).unwrap();
        usage.may_reach("erp", 3).unwrap();
        let reply = usage.may_reach("erp", 4).unwrap_err().to_string();
        assert!(
            reply.starts_with("452 4.7.1") && reply.contains("25 h") && reply.contains("recipients_per_day"),
            "{reply}"
        );
        assert!(usage.take("erp", 4).is_err());
        usage.take("erp", 3).unwrap();
        usage.give_back(3);
        usage.take("erp", 3).unwrap();
        tokio::time::advance(DAY + DAY / PARTS).await;
        usage.take("erp", 10).unwrap();
        assert!(usage.may_reach("erp", 11).is_err(), "more than ever can be");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_stays_small_however_much_is_sent() {
        let mut window = Window::new(MINUTE);
        for _ in 0..100_000 {
            let now = Instant::now();
            let _ = window.room(1, u64::MAX, now);
            window.add(1, now);
            tokio::time::advance(Duration::from_millis(7)).await;
        }
        assert!(window.parts.len() <= PARTS as usize + 2, "{}", window.parts.len());
        assert_eq!(window.all, window.parts.iter().map(|(_, count)| count).sum::<u64>());
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let usage = Usage::new(None, None);
        assert!(usage.messages.is_none() && usage.recipients.is_none());
    }
}
