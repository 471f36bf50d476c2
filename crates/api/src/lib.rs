//! Request and response types of the admin API, and its typed client.
//!
//! In: what an operator wants to know or to have done. Out: HTTP over the relay's Unix socket, JSON both ways. The types
//! are an interface: fields are added, never given another meaning. Never: a word of the relay's own types.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/queue?…` ([`Query`]) | [`Page`], oldest first |
//! | `GET /v1/history?…` ([`Query`]) | [`Page`], newest first |
//! | `GET /v1/messages/{id}` | [`Message`] |
//! | `GET /v1/messages/{id}/raw` | the bytes, `message/rfc822` |
//! | `POST /v1/queue/hold`, `release`, `retry`, `remove` ([`Order`]) | [`Done`] |
//! | `POST /v1/lanes/probe` ([`Probe`]) | 204 |
//! | `POST /v1/alerts/test` ([`TestAlerts`]) | `[`[`Tested`]`]`, a channel each |
//! | `GET /v1/events` | [`Event`], one JSON object a line, for as long as both sides live |
//!
//! What goes wrong is answered with a status of 400 or more and a [`Refusal`].

mod alerts;
mod client;
mod event;
mod message;
mod order;
mod status;

pub use alerts::{TestAlerts, Tested};
pub use client::{Client, ClientError, Events, Raw};
pub use event::Event;
pub use message::{Held, Message, Outcome, Page, Query, Recipient, RecipientState, Remote, Step, StoryEvent, Summary};
pub use order::{Done, Failure, Filter, Order, Probe, Refusal, Selection, Word};
pub use status::{
    Breaker, Budget, Counters, Forecast, Incident, Lane, Learnt, Listener, Paused, RefusedSender, Resting, Short,
    SpoolHealth, SpoolState, Status, Waiting,
};
