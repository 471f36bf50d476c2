//! What both kinds of test need: a clock that follows the virtual time, random numbers by seed, messages.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use queue::{Clock, Happening, LaneName, Message, MessageId, NewMessage, Origin, Recipient, RecipientState};
use tokio::time::Instant;

pub(crate) const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// Wall time that goes as the runtime's paused time goes.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    from: Timestamp,
    /// Set forward by so many seconds.
    ahead: AtomicU64,
    since: Instant,
}

impl VirtualClock {
    /// To be made inside the runtime.
    pub(crate) fn starting_at(from: Timestamp) -> Self {
        Self { from, ahead: AtomicU64::new(0), since: Instant::now() }
    }

    /// The calendar goes on, and no timer notices.
    pub(crate) fn set_forward(&self, by: Duration) {
        self.ahead.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.from + self.since.elapsed() + Duration::from_secs(self.ahead.load(Ordering::Relaxed))
    }
}

/// Splitmix64.
#[derive(Debug)]
pub(crate) struct Random(Mutex<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// Less than `below`.
    pub(crate) fn below(&self, below: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % below
    }

    /// Once in so many times.
    pub(crate) fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }
}

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) async fn wait(n: u64) {
    tokio::time::sleep(seconds(n)).await;
}

pub(crate) fn handed_over(message: &Message) -> bool {
    message.recipients.iter().all(|recipient| matches!(recipient.state, RecipientState::HandedOver { .. }))
}

/// The story in one word each.
pub(crate) fn happenings(message: &Message) -> Vec<&'static str> {
    let name = |happening: &Happening| match happening {
        Happening::Accepted => "accepted",
        Happening::Attempted { .. } => "attempted",
        Happening::Waiting { .. } => "waiting",
        Happening::Delayed => "delayed",
        Happening::Expired => "expired",
        Happening::Held { .. } => "held",
        Happening::Released => "released",
        Happening::RetryRequested => "retry",
        Happening::Removed => "removed",
        Happening::Moved { .. } => "moved",
        Happening::Postponed { .. } => "postponed",
        Happening::Interrupted { .. } => "interrupted",
        Happening::Inquired { .. } => "inquired",
        Happening::Reported { .. } => "reported",
        Happening::Rescued | Happening::Omitted { .. } => "else",
    };
    message.story.iter().map(|event| name(&event.what)).collect()
}

pub(crate) fn lane(name: &str) -> LaneName {
    LaneName(name.into())
}

pub(crate) fn new_message(id: MessageId, now: Timestamp, to: &str, recipients: usize, urgent: bool) -> NewMessage {
    let recipient = |n: usize| Recipient {
        forward_path: format!("<someone{n}@example.net>").parse().unwrap(),
        notify: None,
        orcpt: None,
        archive: false,
        state: RecipientState::fresh(),
    };
    NewMessage {
        id,
        accepted_at: now,
        origin: Origin {
            client: "printers".into(),
            user: None,
            peer: "127.0.0.1:40000".parse().unwrap(),
            helo: "printer".to_owned(),
            tls: None,
            session: "s".to_owned(),
        },
        reverse_path: format!("<printer@{to}.example>").parse().unwrap(),
        body: smtp::BodyType::default(),
        smtputf8: false,
        ret: None,
        envid: None,
        recipients: (0..recipients).map(recipient).collect(),
        header: message::HeaderFacts::default(),
        content: message::ContentFacts::default(),
        urgent,
        lane: lane(to),
        hold: None,
        report_to: None,
        report_of: None,
    }
}
