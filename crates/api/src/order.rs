//! Operators' words, for one message or for many.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Query;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Not to be tried until it is released.
    Hold,
    /// To be tried again, from now on.
    Release,
    /// Due now, whatever its schedule says.
    Retry,
    /// Never to be tried again; its bytes are freed. Nobody is told.
    Remove,
}

impl Word {
    /// As in the address of the request and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Remove => "remove",
        }
    }
}

/// Body of `POST /v1/queue/{word}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// For which messages.
    pub messages: Selection,
    /// For the story; only with `hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which messages an order is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// These, at most 1,000.
    Ids(Vec<String>),
    /// Those in the queue that match. A filter without a condition is refused: say `all`.
    Filter(Filter),
    /// Everything in the queue.
    All,
}

/// As [`Query`], without the paging.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only this lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Only held ones, or only those that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
    /// Part of the reverse-path, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Part of a forward-path, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Name of the client entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Accepted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<Timestamp>,
}

impl Filter {
    /// True if it has no condition, so that it would match everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
    /// The first page of what it matches.
    pub fn query(self, max: Option<usize>) -> Query {
        let Self { lane, held, sender, recipient, client, older_than } = self;
        Query { lane, held, sender, recipient, client, older_than, from: None, max }
    }
}

impl From<Query> for Filter {
    fn from(query: Query) -> Self {
        let Query { lane, held, sender, recipient, client, older_than, from: _, max: _ } = query;
        Self { lane, held, sender, recipient, client, older_than }
    }
}

/// Answer to an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Messages that the order was for.
    pub matched: u64,
    /// Of them done.
    pub done: u64,
    /// Of the others the first hundred, with the reason.
    pub failures: Vec<Failure>,
}

/// A message for which an order could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which.
    pub id: String,
    /// Why.
    pub error: String,
}

/// Body of `POST /v1/lanes/probe`: try one message now although the lane rests or is paused, or all that one breaker stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Name of the lane, of a pool (each of its lanes is meant) or of a breaker (each lane that it stops).
    pub lane: String,
}

/// Body of every answer with a status of 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs: `not-found`, `bad-request`, `busy`, `spool`, `shutting-down`.
    pub code: String,
    /// What happened.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
