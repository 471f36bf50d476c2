//! What happens, as it happens: one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::{Breaker, StoryEvent};

/// One line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// Something happened to a message.
    Message {
        /// Which.
        id: String,
        /// MAIL FROM.
        reverse_path: String,
        /// RCPT TO, all of them.
        recipients: Vec<String>,
        /// Where it is now.
        lane: String,
        /// What happened.
        what: StoryEvent,
        /// Whether nothing is left to try.
        settled: bool,
    },
    /// Something that lanes need does not work until its cause is cured: one alert.
    BreakerOpened(Breaker),
    /// It works again.
    BreakerClosed {
        /// `path`, `credential`, `tenant` or `mailbox`.
        scope: String,
        /// Which one.
        name: String,
        /// It was open so long.
        after_seconds: u64,
    },
    /// The reader was too slow: so many events were left out.
    Missed {
        /// How many.
        events: u64,
    },
}
