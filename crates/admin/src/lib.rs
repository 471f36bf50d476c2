//! HTTP server of the admin API, metrics and health.
//!
//! In: requests. Out: what spool, queue manager, alerts and listeners say of themselves, and operators' words passed on to the
//! queue manager. Two doors: a Unix socket, where whoever can open it may do everything; and a TCP address without
//! authentication, where there are metrics and health and nothing else.
//! Never: a decision about a message; a write to the spool; an answer that is better than the truth.

mod convert;
mod events;
mod gauges;
mod health;
mod orders;
mod refusal;
mod routes;
mod serve;
mod state;
#[cfg(unix)]
mod unix;
mod ways;

pub use routes::{full_router, public_router};
pub use serve::{HttpServer, ServeError};
pub use state::State;
#[cfg(unix)]
pub use unix::UnixServer;
