//! The figures that are promised at Microsoft's limits, in virtual time: hours and days of mail through the real queue manager,
//! spool and transport, against the simulated Exchange and its enforcement.
//!
//! All of it runs in one thread under tokio's paused clock, which the relay and the sandbox share. The spool's threads are
//! waited for with the clock standing still ([`spool`]).

mod burst;
mod cut;
mod halved;
mod recipients;
mod spool;
mod week;
mod world;
