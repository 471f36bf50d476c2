//! The life of an envelope: what is known of a message, what an attempt can come to, when it is tried again, which
//! message may start next. And the two traits at its edges: [`Spool`] keeps messages, [`Transport`] hands them on.
//!
//! In: arrivals, outcomes, operators' words and `now`. Out: what to start, what to store, when to look again.
//! Never: a socket, a file, a clock, an async runtime, a word of Microsoft's.

mod id;
mod message;
mod outcome;
mod plan;
mod retry;
mod routes;
mod scheduler;
mod settle;
mod spool;
mod story;
mod transport;

pub use self::message::{Class, Hold, LaneName, Message, NewMessage, Origin, Recipient, RecipientState};
pub use self::spool::{
    Body, BodyReader, BodyWriter, Counters, Filter, FinishedBody, LaneDepth, LastByte, Listing, Spool, SpoolError,
    SpoolHealth, SpoolState,
};
pub use self::transport::{
    Attempt, AttemptReport, Excess, Inquiry, Journal, LaneVerdict, Pause, RefusedSender, Throttle, Transport,
};
pub use id::{MessageId, MessageIdError};
pub use outcome::{Outcome, RemoteReply};
pub use plan::{
    BreakerName, BudgetName, BudgetSettings, Cost, Counted, LaneSettings, Plan, PoolSettings, Scope, Spend,
    Unconfirmed, WarmUp,
};
pub use retry::RetryPolicy;
pub use routes::Routes;
pub use scheduler::{
    BreakerStatus, BudgetStatus, Change, Forecast, LaneStatus, Postpone, Refill, Scheduler, SchedulerSettings, Start,
    Status,
};
pub use settle::{Terms, expire_check, interrupted, postponed, settle};
pub use story::{Happening, StoryEvent};

/// Where the time comes from: the system in the program, a value in tests.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time.
    fn now(&self) -> jiff::Timestamp;
}

/// Who must know that a message has arrived: the queue manager.
pub trait Intake: Send + Sync {
    /// Just accepted; leased to whoever calls, and now to the callee. Never blocks.
    fn arrived(&self, message: Message);
}
